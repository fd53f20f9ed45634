"""A row of a file: what of it is text to scrub, and how a scrubbed text is written in its place.

Everything between the slots of a row is copied as it stands, so that a file keeps its quoting, the
order of its keys, the digits of its numbers and its line ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST_ROW_CHARACTERS = 2**27
"""A longer row is refused, so that an open quote does not read a whole disk into memory."""


class RowError(Exception):
    """A row that cannot be scrubbed; says why in words, and holds nothing of the row.

    Attributes:
        lines_before: where the row is a whole document, how many of its lines are good.
    """

    lines_before: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """A text within a row.

    `start` and `end` are code points of the row as it stands in the file, quotes included; `text`
    is what they mean. `choices` are the numbers of the chosen fields or columns that it belongs to.
    """

    start: int
    end: int
    text: str = field(repr=False)
    choices: tuple[int, ...] = ()


class RowRules(Protocol):
    """How one format's rows are read and written; travels to the workers."""

    def slots(self, row: str) -> tuple[Slot, ...]:
        """Return the texts to scrub, in order and disjoint.

        Raises:
            RowError: the row is damaged, or lacks what was chosen.
        """

    def unit(self, row: str) -> str | None:
        """Return whose the row is, where somebody said which part of it tells.

        Raises:
            RowError: the row does not say it.
        """

    def literal(self, replaced: str, text: str) -> str:
        """Return how `text` stands in a row in place of `replaced`, the source of a slot."""


def rebuilt(row: str, slots: Sequence[Slot], texts: Sequence[str], rules: RowRules) -> str:
    """Return `row` with `texts` in its `slots`; a text that did not change keeps its source."""
    parts: list[str] = []
    done = 0
    for slot, text in zip(slots, texts, strict=True):
        if text == slot.text:
            continue
        parts += (row[done : slot.start], rules.literal(row[slot.start : slot.end], text))
        done = slot.end
    parts.append(row[done:])
    return "".join(parts)
