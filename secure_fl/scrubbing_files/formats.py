"""The formats: how a file is cut into rows, and what of a row is scrubbed."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Protocol

from secure_fl.scrubbing_files import csv_table, plain_text
from secure_fl.scrubbing_files.plain_text import TextRules
from secure_fl.scrubbing_files.rows import RowError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from secure_fl.scrubbing_files.json_text import JsonRules
    from secure_fl.scrubbing_files.rows import RowRules
    from secure_fl.scrubbing_files.window import TextWindow


class FormatName(Enum):
    """What a file is."""

    TEXT = "text"
    JSON = "json"
    JSON_LINES = "jsonl"
    TABLE = "csv"


SUFFIXES: Final = {
    ".txt": FormatName.TEXT,
    ".md": FormatName.TEXT,
    ".json": FormatName.JSON,
    ".jsonl": FormatName.JSON_LINES,
    ".ndjson": FormatName.JSON_LINES,
    ".csv": FormatName.TABLE,
    ".tsv": FormatName.TABLE,
}


@dataclass(frozen=True, slots=True)
class Begun:
    """A file's rows behind its header.

    Attributes:
        rows: what is still to be read.
        rules: how they are read and written.
        first: the number of the first of them, from 1.
        head: the header as it stands.
        columns: the names in the header.
    """

    rows: Iterator[str]
    rules: RowRules
    first: int = 1
    head: str = ""
    columns: tuple[str, ...] = ()


class RowFormat(Protocol):
    """One file's format with what was chosen of it."""

    @property
    def whole(self) -> bool:
        """Whether the whole file is one row."""

    @property
    def chosen(self) -> tuple[str, ...]:
        """What is scrubbed, by name; empty where that is everything."""

    def begin(self, window: TextWindow) -> Begun:
        """Read what stands before the first row.

        Raises:
            RowError: the header is damaged, or lacks a chosen column.
        """


@dataclass(frozen=True, slots=True)
class TextFormat:
    """Text: one document, or one per line."""

    each_line: bool = False

    @property
    def whole(self) -> bool:
        """Whether the whole file is one document."""
        return not self.each_line

    @property
    def chosen(self) -> tuple[str, ...]:
        """All of it."""
        return ()

    def begin(self, window: TextWindow) -> Begun:
        """Nothing stands before the first row."""
        rows = plain_text.lines(window) if self.each_line else plain_text.whole(window)
        return Begun(rows, TextRules())


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """JSON: one value, or one per line."""

    rules: JsonRules
    each_line: bool

    @property
    def whole(self) -> bool:
        """Whether the whole file is one value."""
        return not self.each_line

    @property
    def chosen(self) -> tuple[str, ...]:
        """The fields' paths as they were written."""
        return tuple(path.written for path in self.rules.paths or ())

    def begin(self, window: TextWindow) -> Begun:
        """Nothing stands before the first row."""
        rows = plain_text.lines(window) if self.each_line else plain_text.whole(window)
        return Begun(rows, self.rules)


@dataclass(frozen=True, slots=True)
class TableFormat:
    """A table.

    Attributes:
        delimiter: what stands between cells.
        columns: the chosen columns by name, or by number from 1 without a header; None for all.
        header: whether the first row names the columns.
        unit: the column that says whose a row is.
    """

    delimiter: str
    columns: tuple[str, ...] | None
    header: bool = True
    unit: str | None = None

    @property
    def whole(self) -> bool:
        """A table has rows."""
        return False

    @property
    def chosen(self) -> tuple[str, ...]:
        """The columns, by name or number."""
        return self.columns or ()

    def begin(self, window: TextWindow) -> Begun:
        """Read the first row, and find the chosen columns in it.

        Raises:
            RowError: there is none, it is damaged, or it lacks a chosen column.
        """
        rows = csv_table.records(window, self.delimiter)
        head = next(rows, None)
        if head is None:
            if self.header:
                raise RowError("the file is empty, and a table has a first row with its columns")
            return Begun(rows, csv_table.TableRules(self.delimiter, 0, ()))
        names = csv_table.header_names(head, self.delimiter, distinct=self.header)
        rules = csv_table.TableRules(
            self.delimiter, len(names), self._chosen_places(names), self._unit_place(names)
        )
        if not self.header:
            return Begun(itertools.chain([head], rows), rules)
        return Begun(rows, rules, 2, head, names)

    def _chosen_places(self, names: tuple[str, ...]) -> tuple[int, ...]:
        if self.columns is None:
            return tuple(range(len(names)))
        return tuple(sorted(self._place(column, names) for column in self.columns))

    def _unit_place(self, names: tuple[str, ...]) -> int | None:
        return None if self.unit is None else self._place(self.unit, names)

    def _place(self, column: str, names: tuple[str, ...]) -> int:
        known = names if self.header else tuple(str(n + 1) for n in range(len(names)))
        if column not in known:
            raise RowError(f"there is no column {column}. {self.listed(names)}")
        return known.index(column)

    def listed(self, names: tuple[str, ...]) -> str:
        """Return a sentence that says which columns there are."""
        listed = csv_table.shown(names) if self.header else None
        if not self.header:
            return f"There are {len(names)} columns, numbered from 1"
        if listed is None:
            return (
                f"The first row has {len(names)} cells that do not look like names of columns: if "
                "they are a record, give --no-header and columns by number"
            )
        return f"The columns are: {listed}"
