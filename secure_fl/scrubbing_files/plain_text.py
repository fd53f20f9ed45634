"""Text files: the whole file is one document, or each line is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.scrubbing_files.rows import Slot
from secure_fl.scrubbing_files.window import BadBytesError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from secure_fl.scrubbing_files.window import TextWindow


def whole(window: TextWindow) -> Iterator[str]:
    """Yield all of the file, if it holds anything.

    Raises:
        RowError: a byte that is no text, or too many of them.
    """
    try:
        while window.more():
            pass
    except BadBytesError as error:
        error.lines_before = window.text.count("\n")
        raise
    if window.waiting:
        yield window.take(len(window.text))


def lines(window: TextWindow) -> Iterator[str]:
    r"""Yield each line with its end, which is a line feed alone; the last may have none.

    Raises:
        RowError: a byte that is no text, or a line of too many.
    """
    searched = 0
    while True:
        end = window.text.find("\n", window.start + searched)
        if end >= 0:
            yield window.take(end + 1)
            searched = 0
            continue
        searched = window.waiting
        if not window.more():
            break
    if window.waiting:
        yield window.take(len(window.text))


@dataclass(frozen=True, slots=True)
class TextRules:
    """A row is a document, up to its line end."""

    def slots(self, row: str) -> tuple[Slot, ...]:
        """Return the whole row but a line end at its end."""
        end = len(row.removesuffix("\n").removesuffix("\r"))
        return (Slot(0, end, row[:end]),) if end else ()

    def unit(self, row: str) -> str | None:
        """Return None: a text does not say whose it is."""
        del row
        return None

    def literal(self, replaced: str, text: str) -> str:
        """Return the text as it is."""
        del replaced
        return text
