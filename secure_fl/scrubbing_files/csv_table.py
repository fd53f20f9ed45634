"""Tables of separated cells (RFC 4180): exact places of cells, so that the rest stays as it is.

A quote within a cell that does not begin with one is a character like any other, as spreadsheets
write it. What other readers guess at is refused: text behind a closing quote, a quote that never
closes, a row with too few or too many cells, two columns of one name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from secure_fl.scrubbing_files.rows import RowError, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from secure_fl.scrubbing_files.window import TextWindow

_LINE_END = re.compile(r"\r\n?|\n")
_LONGEST_NAME = 64
_NAME = re.compile(r"[^\W\d][\w .,:;/()\[\]{}#%&+-]*")


@dataclass(frozen=True, slots=True)
class Record:
    """The cells of one row, as (start, end) with quotes, and where the next row starts."""

    cells: tuple[tuple[int, int], ...]
    end: int


def record(text: str, start: int, delimiter: str, *, final: bool) -> Record | None:
    """Return the row that starts at `start`; None if `text` ends before it is known to be over.

    Args:
        text: a table, or its beginning.
        start: where a row starts, before the end of `text`.
        delimiter: what stands between cells, one character.
        final: whether nothing comes after `text`.

    Raises:
        RowError: text behind a closing quote, or, in a final text, a quote that never closes.
    """
    cells: list[tuple[int, int]] = []
    bare = re.compile(rf"[\r\n{re.escape(delimiter)}]")
    place = start
    while True:
        quoted = text.startswith('"', place)
        end = _closing(text, place) if quoted else _bare_end(text, place, bare)
        if quoted and end is None and final:
            raise RowError(
                "a quote that opens in this row never closes: the file is cut, or the quote is "
                "missing"
            )
        if end is None or (end == len(text) and not final):
            return None
        cells.append((place, end))
        if end == len(text):
            return Record(tuple(cells), end)
        if text[end] != delimiter:
            break
        place = end + 1
    over = _LINE_END.match(text, end)
    if over is None:
        raise RowError(f"there is text behind the closing quote of cell {len(cells)}")
    if over.end() == len(text) and text[end] == "\r" and not final:
        return None
    return Record(tuple(cells), over.end())


def _closing(text: str, place: int) -> int | None:
    """Return the place behind the quote that closes the one at `place`."""
    quote = text.find('"', place + 1)
    while quote >= 0 and text.startswith('"', quote + 1):
        quote = text.find('"', quote + 2)
    return None if quote < 0 else quote + 1


def _bare_end(text: str, place: int, bare: re.Pattern[str]) -> int:
    found = bare.search(text, place)
    return len(text) if found is None else found.start()


def records(window: TextWindow, delimiter: str) -> Iterator[str]:
    """Yield each row with its end.

    Raises:
        RowError: a byte that is no text, or what `record` raises.
    """
    final = False
    while True:
        end = _end_of_row(window.text, window.start, delimiter, final=final)
        if end is not None:
            yield window.take(end)
        elif final:
            return
        else:
            final = not window.more()


def _end_of_row(text: str, start: int, delimiter: str, *, final: bool) -> int | None:
    if start == len(text):
        return None
    over = _LINE_END.search(text, start)
    if over is not None and text.find('"', start, over.start()) < 0:
        ambiguous = over.end() == len(text) and not final
        return None if ambiguous else over.end()
    found = record(text, start, delimiter, final=final)
    return None if found is None else found.end


def unquoted(cell: str) -> str:
    """Return what a cell's source means."""
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


def header_names(row: str, delimiter: str, *, distinct: bool) -> tuple[str, ...]:
    """Return the cells of a table's first row.

    Raises:
        RowError: the row is damaged, or two columns have one name where they have to be distinct.
    """
    found = record(row, 0, delimiter, final=True)
    cells = () if found is None else found.cells
    names = tuple(unquoted(row[start:end]) for start, end in cells)
    for number, name in enumerate(names):
        if distinct and name and name in names[:number]:
            raise RowError(
                f"columns {names.index(name) + 1} and {number + 1} have the same name: rename one"
            )
    return names


def shown(names: tuple[str, ...]) -> str | None:
    """Return column names for a message; None where the first row may be no header but a record."""
    if all(len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) for name in names if name):
        return ", ".join(name or "(no name)" for name in names)
    return None


@dataclass(frozen=True, slots=True)
class TableRules:
    """The chosen columns of a table; a row that is empty is no record and stays.

    Attributes:
        delimiter: what stands between cells.
        width: how many cells each row has.
        columns: which of them are scrubbed, from 0, ascending.
        unit_column: which of them says whose a row is, from 0.
    """

    delimiter: str
    width: int
    columns: tuple[int, ...]
    unit_column: int | None = None

    def slots(self, row: str) -> tuple[Slot, ...]:
        """Return the chosen cells.

        Raises:
            RowError: the row is damaged, or has too few or too many cells.
        """
        if _LINE_END.match(row):
            return ()
        cells = self._cells(row)
        return tuple(
            Slot(*cells[column], unquoted(row[slice(*cells[column])]), (choice,))
            for choice, column in enumerate(self.columns)
        )

    def unit(self, row: str) -> str | None:
        """Return the cell that says whose the row is.

        Raises:
            RowError: it is empty.
        """
        if self.unit_column is None or _LINE_END.match(row):
            return None
        said = unquoted(row[slice(*self._cells(row)[self.unit_column])])
        if not said:
            raise RowError(
                f"cell {self.unit_column + 1} does not say whose it is: its dates would not move "
                "with those of the same person"
            )
        return said

    def _cells(self, row: str) -> tuple[tuple[int, int], ...]:
        found = record(row, 0, self.delimiter, final=True)
        cells = () if found is None else found.cells
        if len(cells) != self.width:
            raise RowError(
                f"it has {len(cells)} cells and the first row has {self.width}: the file is cut "
                "there, a quote is missing, or the delimiter is another (see --delimiter)"
            )
        return cells

    def literal(self, replaced: str, text: str) -> str:
        """Return the text as a cell: quoted where its source was, or where it has to be."""
        special = (self.delimiter, "\r", "\n")
        needed = text.startswith('"') or not text or any(mark in text for mark in special)
        if replaced.startswith('"') or needed:
            return '"' + text.replace('"', '""') + '"'
        return text
