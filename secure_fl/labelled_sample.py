"""A site's labelled texts: JSON lines of a text and where its personal data stands.

Each line is `{"text": "...", "spans": [{"start": 4, "end": 13, "entity": "PERSON"}]}`; `start` and
`end` count code points from 0, the end excluded. No message here repeats any of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pydantic import ValidationError

from audits.site_facts import ResidualFacts, ResidualRow
from crypto.digests import sha256
from crypto.errors import ConfigError
from privacy.scrubbing import Document, Span
from privacy.scrubbing.measuring import Quality, measure
from secure_fl.config_sections import CountOrNone, Section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from privacy.scrubbing import Scrubbed
    from privacy.scrubbing.measuring import TypeQuality


class _Label(Section):
    start: CountOrNone
    end: CountOrNone
    entity: str


class _Row(Section):
    text: str
    spans: tuple[_Label, ...]


@dataclass(frozen=True)
class Residual:
    """What scrubbing left in a labelled sample.

    Attributes:
        quality: the counts.
        sample: SHA-256 of the sample's bytes, 32 bytes.
    """

    quality: Quality
    sample: bytes

    def facts(self) -> ResidualFacts:
        """Return it as a report says it."""
        quality = self.quality
        return ResidualFacts(
            sample_sha256=self.sample.hex(),
            texts=quality.documents,
            texts_with_data=quality.with_entities,
            clean_texts=quality.clean,
            characters=sum(row.characters for row in quality.types),
            characters_left=sum(row.leaked for row in quality.types),
            findings=quality.findings,
            false_findings=quality.false_findings,
            rows=tuple(_residual_row(row) for row in quality.types),
        )


def _residual_row(row: TypeQuality) -> ResidualRow:
    low, high = row.recall_interval()
    return ResidualRow(
        entity=row.entity, labelled=row.labelled, removed=row.covered, low=low, high=high
    )


class Scrubs(Protocol):
    """What a measurement needs of a scrubber."""

    def scrub(self, text: str, document: Document) -> Scrubbed:
        """Return one document scrubbed."""


def measure_sample(
    path: Path, scrubber: Scrubs, *, setting: str = "`runtime.scrub_sample`"
) -> Residual:
    """Return what `scrubber` leaves of the personal data in the labelled texts at `path`.

    What a mode lets stay of a finding, such as a year, counts as removed.

    Args:
        path: the labelled texts.
        scrubber: what is measured.
        setting: where the path was given, for messages.

    Raises:
        ConfigError: the file cannot be read, is empty, or a line is none as described above;
            names file and line and nothing of its text. Or a recogniser failed.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): what scrubbing leaves cannot be measured. "
            f"Mend {setting}, or leave it out."
        ) from None
    quality = Quality()
    for number, (text, labels) in enumerate(_labelled(data, path)):
        found = scrubber.scrub(text, Document(number)).spans
        quality += measure(text, labels, found)
    if not quality.documents:
        raise ConfigError(
            f"{path} holds no labelled text: what scrubbing leaves cannot be measured. Fill it, or "
            f"leave {setting} out."
        )
    return Residual(quality, sha256(data))


def _labelled(data: bytes, path: Path) -> Iterator[tuple[str, tuple[Span, ...]]]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        row = _row(line)
        # Raised here, so that no error with a record's text in it is chained.
        if row is None:
            raise ConfigError(
                f"{path}, line {number}, is no labelled text: give a JSON object of `text` and "
                "`spans`, a list of `start`, `end` and `entity`, in UTF-8."
            )
        spans = tuple(Span(label.start, label.end, label.entity, 1.0) for label in row.spans)
        if any(not span.start < span.end <= len(row.text) for span in spans):
            raise ConfigError(
                f"{path}, line {number}, has a span outside its text, or an empty one: count code "
                "points from 0, the end excluded."
            )
        yield row.text, spans


def _row(line: bytes) -> _Row | None:
    try:
        return _Row.model_validate_json(line)
    except ValidationError:
        return None
