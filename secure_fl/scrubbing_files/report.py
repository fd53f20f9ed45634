"""The report of a scrubbing: what was looked for, what could not be, and what was replaced.

It holds counts and names of files and columns, and no text of a record. The counts are exact, so it
stays with whoever has the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from audits.site_facts import ResidualFacts
from privacy.scrubbing import ProviderKind, ScrubMode
from secure_fl import __version__
from secure_fl.config_sections import Section
from secure_fl.scrubbing_files.formats import FormatName, TableFormat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.scrubbing import Coverage, Provider
    from secure_fl.labelled_sample import Residual
    from secure_fl.scrubbing_files.job import Scrubbed

SCHEMA = "secure-fl.scrub-report.v1"


class FileFacts(Section):
    """One file.

    `chosen` are the fields or columns that were scrubbed, empty where that was every text; `kept`
    the columns of a table that stay as they are. `texts` are the documents within the rows, and
    `characters_in` and `characters_out` their code points before and after.
    """

    source: str
    output: str
    output_sha256: str
    format: FormatName
    chosen: tuple[str, ...]
    kept: tuple[str, ...]
    rows: int
    rows_changed: int
    texts: int
    characters_in: int
    characters_out: int
    replaced: dict[str, int]


class ProviderFacts(Section):
    """What looked for one type; `digest` is of its model, where it has one."""

    entity: str
    name: str
    kind: ProviderKind
    digest: str | None


class CoverageFacts(Section):
    """Which types of identifier were looked for, and which known ones were not.

    Looked for is not found. `required` are those without which nothing would have been scrubbed.
    """

    looked_for: tuple[str, ...]
    not_looked_for: tuple[str, ...]
    required: tuple[str, ...]
    providers: tuple[ProviderFacts, ...]


class EngineFacts(Section):
    """The versions of what scrubbed."""

    secure_fl: str
    presidio_analyzer: str


class ScrubReport(Section):
    """The whole report.

    `expert_statement` is the SHA-256 of the document that the site's policy names as the expert's
    determination, in the mode that needs one; it was not read.
    """

    schema_: Literal["secure-fl.scrub-report.v1"] = Field(alias="schema")
    mode: ScrubMode
    expert_statement: str | None
    coverage: CoverageFacts
    engine: EngineFacts
    files: tuple[FileFacts, ...]
    residual: ResidualFacts | None
    """What is left of the personal data in labelled texts, where somebody gave any."""

    def as_json(self) -> str:
        """Return the report as JSON, indented, with a line end."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked for, by whom, what had to be, and what is left of a labelled sample."""

    coverage: Coverage
    providers: tuple[Provider, ...]
    required: tuple[str, ...]
    residual: Residual | None = None


def report_of(
    files: Sequence[Scrubbed], looked: Looked, mode: ScrubMode, *, expert_statement: str | None
) -> ScrubReport:
    """Return the report of what was scrubbed."""
    by_expert = mode is ScrubMode.EXPERT_DETERMINATION
    return ScrubReport(
        schema=SCHEMA,
        mode=mode,
        expert_statement=expert_statement if by_expert else None,
        coverage=CoverageFacts(
            looked_for=looked.coverage.looked_for,
            not_looked_for=looked.coverage.not_looked_for,
            required=looked.required,
            providers=tuple(
                ProviderFacts(entity=p.entity, name=p.name, kind=p.kind, digest=p.digest)
                for p in looked.providers
            ),
        ),
        engine=EngineFacts(secure_fl=__version__, presidio_analyzer=version("presidio-analyzer")),
        files=tuple(map(_file_facts, files)),
        residual=None if looked.residual is None else looked.residual.facts(),
    )


def _file_facts(done: Scrubbed) -> FileFacts:
    task, count = done.task, done.count
    kept: tuple[str, ...] = ()
    if isinstance(task.format, TableFormat) and task.format.columns is not None:
        kept = tuple(name for name in done.columns if name not in task.format.columns)
    return FileFacts(
        source=str(task.source),
        output=str(task.target),
        output_sha256=done.sha256,
        format=task.name,
        chosen=task.format.chosen,
        kept=kept,
        rows=count.rows,
        rows_changed=count.rows_changed,
        texts=count.texts,
        characters_in=count.characters_in,
        characters_out=count.characters_out,
        replaced=dict(count.entities),
    )
