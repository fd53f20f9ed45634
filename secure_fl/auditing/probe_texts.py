"""Invented texts to be read out of sums: short ones in pairs, and whole ones to be summed beside.

Nobody's records: the notes of `domains.notes`. A short text is a few words of one, as many as the
rank of a layer still shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from domains.classification import SentenceClassification
from domains.notes import NoteKind, Part, labelled_notes
from domains.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domains.encoding import EncodedRecords
    from domains.tasks import TrainedTask

    Place = tuple[int, int]
    """A position, and which text of a pair the token there is of."""

_LONGEST_WINDOW: Final = 5
_SEED: Final = 7
_OPTIONS: Final = ("yes", "no")


@dataclass(frozen=True, eq=False)
class Probes:
    """Texts as the run's task reads them.

    Attributes:
        records: encoded.
        inputs: of each text the different tokens with their places.
    """

    records: EncodedRecords = field(repr=False)
    inputs: tuple[frozenset[tuple[Place, int]], ...] = field(repr=False)

    @property
    def places(self) -> tuple[Place, ...]:
        """Every place that some text has a token at, in order."""
        return tuple(sorted({place for own in self.inputs for place, _ in own}))

    @property
    def tokens(self) -> frozenset[int]:
        """Every token of some text."""
        return frozenset(token for own in self.inputs for _, token in own)


def short_texts(task: TrainedTask, count: int, most_inputs: int) -> Probes:
    """Return `count` short texts of at most `most_inputs` different inputs each, where it can be.

    Two that follow on each other have one label: they are a pair. A text that is longer than that
    in a single word stays: nothing shorter can be asked.
    """
    rng = np.random.default_rng(_SEED)
    records = []
    for number, note in enumerate(_notes(count)):
        windows = _windows(note.split(), rng)
        drafts = [_record(task, f"{number}-{i}", text, number // 2) for i, text in windows]
        sizes = [len(own) for own in _inputs(task.encode(drafts))]
        fitting = [i for i, size in enumerate(sizes) if size <= most_inputs]
        chosen = max(fitting, key=sizes.__getitem__) if fitting else int(np.argmin(sizes))
        records.append(drafts[chosen])
    encoded = task.encode(records)
    return Probes(encoded, _inputs(encoded))


def whole_texts(task: TrainedTask, count: int) -> Probes:
    """Return `count` whole notes, cut where the run cuts records."""
    records = [_record(task, f"whole-{i}", text, i) for i, text in enumerate(_notes(count))]
    encoded = task.encode(records)
    return Probes(encoded, _inputs(encoded))


def _notes(count: int) -> list[str]:
    half = (count + 1) // 2
    clinical = labelled_notes(NoteKind.CLINICAL, Part.HELD_OUT, half, seed=_SEED)
    banking = labelled_notes(NoteKind.BANKING, Part.HELD_OUT, half, seed=_SEED)
    mixed = [note.text for pair in zip(clinical, banking, strict=True) for note in pair]
    # On one line: a ranking takes a line for an item.
    return [" ".join(text.split()) for text in mixed[:count]]


def _windows(words: Sequence[str], rng: np.random.Generator) -> list[tuple[int, str]]:
    """Return stretches of one word and more, from several places of a text, numbered."""
    starts = rng.choice(len(words), size=min(8, len(words)), replace=False).tolist()
    longest = range(1, _LONGEST_WINDOW + 1)
    return list(enumerate(" ".join(words[s : s + size]) for s in starts for size in longest))


def _record(task: TrainedTask, name: str, text: str, turn: int) -> Record:
    if isinstance(task, SentenceClassification):
        return Record(name, text, turn % len(task.labels))
    options = task.labels or _OPTIONS
    return Record(name, text, turn % len(options), options=options)


def _inputs(encoded: EncodedRecords) -> tuple[frozenset[tuple[Place, int]], ...]:
    """Return each record's different tokens with their places."""
    return tuple(
        frozenset(
            ((position, _type(encoded, int(row), position)), int(token))
            for row in encoded.rows_of(record)
            for position, token in enumerate(encoded.token_ids[int(row)])
        )
        for record in range(len(encoded))
    )


def _type(encoded: EncodedRecords, row: int, position: int) -> int:
    return int(encoded.token_types[row][position]) if encoded.token_types else 0
