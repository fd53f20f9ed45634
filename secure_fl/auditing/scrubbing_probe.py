"""The attack that looks for personal data in what the run's scrubbing leaves of invented notes.

The notes are generated and their personal data is known to the letter. Every type that the run asks
for and that the notes hold is looked for after scrubbing by the function that a site scrubs with.

Formal guarantee: where at least half of each type's values is taken out, the gate says `violated`
with probability at most its significance, which the types share. What scrubbing is worth on a
site's own texts is for the site's labelled sample to say: the gate finds scrubbing that is off.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window
from audits.statistics import binomial
from crypto.errors import ConfigError
from domains.notes import NoteKind, Part, labelled_notes
from domains.records import Record
from privacy.scrubbing import ScrubMode
from secure_fl.sites.scrubbing import RecordFacts, scrub_records

if TYPE_CHECKING:
    from collections.abc import Callable

    from domains.notes import LabelledNote
    from secure_fl.auditing.subject import Subject
    from secure_fl.config import Mechanism

GATE: Final = "scrubbing"
CLAIM: Final = "The types of personal data that the run names are taken out before training."
_THREAT: Final = (
    "What stays in a text is trained on, and can be drawn from the adapter by whoever has it."
)
NOTES: Final = 150
_FEWEST: Final = 20
_HALF: Final = 0.5


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return whether scrubbing takes out what the run asks for.

    Raises:
        ConfigError: the run scrubs nothing, or an entity has no provider here.
    """
    note(0, 1)
    found = probe_scrubbing(subject.config.mechanism)
    note(1, 1)
    return (found,)


def probe_scrubbing(mechanism: Mechanism, notes_per_kind: int = NOTES) -> Finding:
    """Return whether the scrubbing of `mechanism` takes out what it names.

    Args:
        mechanism: names the types, and the mode that is not probed: placeholders are.
        notes_per_kind: how many clinical notes are written, and how many of a bank.

    Raises:
        ConfigError: it scrubs nothing, or an entity has no provider here.
    """
    if not mechanism.data.scrub:
        raise ConfigError(
            "The run names no personal data to be scrubbed, so that nothing is claimed: personal "
            "data in the records was trained on as it stands."
        )
    notes = [
        *labelled_notes(NoteKind.CLINICAL, Part.HELD_OUT, notes_per_kind, seed=7),
        *labelled_notes(NoteKind.BANKING, Part.HELD_OUT, notes_per_kind, seed=7),
    ]
    return _finding(*_planted_and_left(mechanism, notes))


def _planted_and_left(
    mechanism: Mechanism, notes: list[LabelledNote]
) -> tuple[Counter[str], Counter[str]]:
    """Return how many values of each type stood in the notes, and how many still do."""
    # Surrogates could be a value by chance; which values are found is the same in every mode.
    data = mechanism.data.model_copy(update={"scrub_mode": ScrubMode.PLACEHOLDERS})
    records = tuple(Record(f"note-{i}", each.text, 0) for i, each in enumerate(notes))
    scrubbed, _ = scrub_records(
        records, mechanism.model_copy(update={"data": data}), RecordFacts(), None
    )
    planted: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for each, clean in zip(notes, scrubbed, strict=True):
        for span in each.spans:
            if span.entity in mechanism.data.scrub:
                planted[span.entity] += 1
                left[span.entity] += each.text[span.start : span.end] in clean.text
    return planted, left


def _finding(planted: Counter[str], left: Counter[str]) -> Finding:
    tested = sorted(entity for entity, count in planted.items() if count >= _FEWEST)
    details = tuple(
        Measure(
            name=f"share of {entity} values left, of {planted[entity]}",
            value=left[entity] / planted[entity],
            interval=binomial.interval(left[entity], planted[entity]),
        )
        for entity in tested
    )
    total, remaining = sum(planted.values()), sum(left.values())
    statistic = None
    if total:
        statistic = Measure(
            name="share of planted values that scrubbing left",
            value=remaining / total,
            interval=binomial.interval(remaining, total),
            limit=_HALF,
        )
    failed = [
        entity
        for entity in tested
        if binomial.lower(left[entity], planted[entity], GATE_SIGNIFICANCE / len(tested)) > _HALF
    ]
    if failed:
        verdict, reason = (
            Verdict.VIOLATED,
            (f"Of {', '.join(failed)} more than half was still there after scrubbing."),
        )
    elif not tested:
        verdict, reason = (
            Verdict.INCONCLUSIVE,
            (
                f"No type that the run names stands {_FEWEST} times in the generated notes: "
                "whether it is taken out was not tested."
            ),
        )
    else:
        verdict, reason = (
            Verdict.NOT_REFUTED,
            (
                f"Of {total} planted values {remaining} were left, and of none of the "
                f"{len(tested)} tested types ({', '.join(tested)}) more than half."
            ),
        )
    return Finding(
        gate=GATE,
        window=Window.RELEASE,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=total,
        statistic=statistic,
        details=details,
    )
