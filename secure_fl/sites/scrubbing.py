"""From a site's records as they came to what is trained on: the scrubber that a run asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.scrubbing import (
    Coverage,
    Document,
    ExpertDetermination,
    Placeholders,
    SafeHarbor,
    Scrubber,
    ScrubMode,
    ScrubProfile,
    ScrubTally,
)
from secure_fl.labelled_sample import Residual, measure_sample
from secure_fl.own_models import OwnRecognizers

if TYPE_CHECKING:
    from pathlib import Path

    from domains.records import Record
    from privacy.scrubbing import DateOrder, Provider, Replacement
    from privacy.scrubbing.own_models.description import Own
    from secure_fl.config import Mechanism
    from secure_fl.sites.scrub_secrets import ScrubSecrets


@dataclass(frozen=True)
class Preparation:
    """What became of a site's records before training; the counts stay at the site.

    Attributes:
        mode: what was written in the place of what was found.
        coverage: what was looked for, and what was not.
        tally: how much was replaced, in how many texts.
        records_changed: in how many records; one with options is several texts.
        providers: who looked for what.
        residual: what is left of the personal data in the site's labelled sample, if it gave one.
    """

    mode: ScrubMode
    coverage: Coverage
    tally: ScrubTally
    records_changed: int = 0
    providers: tuple[Provider, ...] = ()
    residual: Residual | None = None


@dataclass(frozen=True)
class RecordFacts:
    """What the site's officer says of its records, as far as scrubbing depends on it.

    Attributes:
        unit_column: which column says whose a record is.
        date_order: how numeric dates are meant.
        own: recognisers of the site's own, beside ours.
    """

    unit_column: str | None = None
    date_order: DateOrder | None = None
    own: tuple[Own, ...] = ()


def scrub_records(
    records: tuple[Record, ...],
    mechanism: Mechanism,
    facts: RecordFacts,
    secrets: ScrubSecrets | None,
    sample: Path | None = None,
) -> tuple[tuple[Record, ...], Preparation]:
    """Return `records` as the run's scrubbing writes them, and what was looked for.

    Args:
        records: as they came.
        mechanism: says what is looked for, and what is written in its place.
        facts: the officer's words about the records.
        secrets: what surrogates are drawn by; placeholders need none.
        sample: labelled texts, to measure what is left of their personal data.

    Raises:
        ConfigError: an entity has no provider on this machine, a recogniser of the site's own
            cannot be loaded, one failed, a record does not say whose it is, or the sample is none;
            nothing is trained on.
        IntegrityError: what surrogates are drawn by does not unseal, or the folder of a model of
            the site's own was changed.
    """
    entities, mode = mechanism.data.scrub, mechanism.data.scrub_mode
    if not entities:
        nothing = Coverage(looked_for=(), not_looked_for=())
        return records, Preparation(mode, nothing, ScrubTally())
    replacement = _replacement(mechanism, facts, secrets)
    units = [_unit(record, facts.unit_column, mode) for record in records]
    with OwnRecognizers(facts.own) as own:
        scrubber = Scrubber(ScrubProfile(required=entities), own.recognizers, replacement)
        clean, tally, changed = _scrubbed(records, units, scrubber)
        residual = None if sample is None else measure_sample(sample, scrubber)
    done = Preparation(mode, scrubber.coverage, tally, changed, scrubber.providers, residual)
    return clean, done


def _scrubbed(
    records: tuple[Record, ...], units: list[str | None], scrubber: Scrubber
) -> tuple[tuple[Record, ...], ScrubTally, int]:
    """Scrub every text that is trained on: a record's own, and each of its options.

    Returns:
        The records, what was replaced, and in how many records something was.
    """
    tally, changed = ScrubTally(), 0
    texts = [
        (text, unit)
        for record, unit in zip(records, units, strict=True)
        for text in (record.text, *record.options)
    ]
    documents = [Document(number, unit) for number, (_, unit) in enumerate(texts)]
    scrubbed = iter(scrubber.scrub_all((text for text, _ in texts), documents))
    clean = []
    for record in records:
        results = [next(scrubbed) for _ in range(1 + len(record.options))]
        of_record = sum(map(ScrubTally.of, results), ScrubTally())
        tally += of_record
        changed += of_record.documents_changed > 0
        text, *options = (result.text for result in results)
        clean.append(replace(record, text=text, options=tuple(options)))
    return tuple(clean), tally, changed


def _replacement(
    mechanism: Mechanism, facts: RecordFacts, secrets: ScrubSecrets | None
) -> Replacement:
    mode = mechanism.data.scrub_mode
    if mode is ScrubMode.PLACEHOLDERS:
        return Placeholders()
    if secrets is None:
        raise ConfigError(
            f"The run scrubs in mode {mode.value}, and this site has nothing to draw surrogates "
            "by: nothing was trained. Open the site from its own folder."
        )
    if mode is ScrubMode.SAFE_HARBOR:
        draw, year = secrets.beginning(mechanism.digest())
        return SafeHarbor(draw, this_year=year)
    return ExpertDetermination(secrets.keyed(), date_order=facts.date_order)


def _unit(record: Record, column: str | None, mode: ScrubMode) -> str | None:
    """Return whose a record is, where its dates move with those of its unit's other records."""
    if column is None or mode is not ScrubMode.EXPERT_DETERMINATION:
        return None
    unit = record.columns.get(column, "")
    if not unit:
        raise ConfigError(
            f"Record {record.id!r} says nothing in the column `{column}`: its dates would not move "
            "with those of the same person. Fill it in, or remove the record."
        )
    return unit
