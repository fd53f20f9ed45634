"""What was scrubbed of some rows, in numbers: exact, so they stay with whoever has the file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Count:
    """An immutable sum over rows.

    Attributes:
        rows: rows that hold a record.
        rows_changed: those of them in which anything was replaced.
        texts: chosen texts in them, each scrubbed as a document of its own.
        characters_in: code points of these texts.
        characters_out: code points of what they became.
        entities: how many findings of each type were replaced, sorted by type, without zeros.
        choices_found: numbers of the chosen fields that occurred.
    """

    rows: int = 0
    rows_changed: int = 0
    texts: int = 0
    characters_in: int = 0
    characters_out: int = 0
    entities: tuple[tuple[str, int], ...] = ()
    choices_found: frozenset[int] = frozenset()

    def __add__(self, other: Count) -> Count:
        both = Counter(dict(self.entities)) + Counter(dict(other.entities))
        return Count(
            self.rows + other.rows,
            self.rows_changed + other.rows_changed,
            self.texts + other.texts,
            self.characters_in + other.characters_in,
            self.characters_out + other.characters_out,
            tuple(sorted(both.items())),
            self.choices_found | other.choices_found,
        )

    @property
    def replaced(self) -> int:
        """How many findings were replaced."""
        return sum(count for _, count in self.entities)
