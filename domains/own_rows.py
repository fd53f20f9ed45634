"""Rows of a site's own file, one at a time: CSV, JSON lines, and Parquet through `parquet_rows`.

A row that cannot be used is handed on with its fault, so that who reads decides whether one such
row stops everything. What makes the rest of a file unreadable is refused here. No message holds
what stands in a row.
"""

from __future__ import annotations

import csv
import enum
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.reading import STRICT_JSON, TwiceError, naming

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

CSV_SUFFIXES: Final = (".csv", ".tsv")
JSON_SUFFIXES: Final = (".jsonl", ".ndjson")
PARQUET_SUFFIX: Final = ".parquet"
SUFFIXES: Final = (*CSV_SUFFIXES, *JSON_SUFFIXES, PARQUET_SUFFIX)

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CONTROLS: Final = bytes(frozenset(range(32)) - frozenset(b"\t\n\r"))
_COLUMN: Final = re.compile(r"[^\W\d]\w*([ ._-]\w+){0,3}")
_LONGEST_COLUMN: Final = 40


class Fault(enum.StrEnum):
    """Why a row cannot be used; a message's words."""

    LENGTH = "another number of cells than the header"
    ENCODING = "broken encoding (it is not UTF-8 text, or holds half a character)"
    FORM = "no JSON object, or a key twice"
    TEXT = "an empty text"
    LABEL = "an unknown label"
    UNIT = "no unit"
    SPLIT = "an unknown split"
    ID = "no id"
    REPEATED = "the id of an earlier row"


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One row; `repr` does not show what it holds.

    Attributes:
        number: from 1; a header is not counted.
        cells: by column; without a meaning where there is a fault.
        fault: why the row cannot be used, as far as its form goes.
    """

    number: int
    cells: Mapping[str, object] = field(repr=False)
    fault: Fault | None = None


def own_rows(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[OwnRow]:
    """Yield the rows of a file, by what its name ends with.

    Args:
        path: the file.
        columns: that it has to have; it may have others.
        delimiter: between the cells of a CSV file; a `.tsv` file has tabs.

    Raises:
        ConfigError: the file is absent, cannot be read, is of another kind, lacks a column or has
            one twice, or was cut or damaged so that what follows is unknown.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ConfigError(
            f"{path} is no file that is read here: nothing was loaded. Its name has to end with "
            f"{', '.join(SUFFIXES)}, and it has to be of that kind."
        )
    if not path.is_file():
        raise ConfigError(
            f"There is no file {path}: nothing was loaded. Correct `path` in [data]; a relative "
            "one begins at the folder of the file that names it."
        )
    with naming(path):
        if suffix in JSON_SUFFIXES:
            yield from _json_rows(path, columns)
        elif suffix in CSV_SUFFIXES:
            yield from _csv_rows(path, columns, "\t" if suffix == ".tsv" else delimiter)
        else:
            from domains.parquet_rows import parquet_rows  # noqa: PLC0415 - pyarrow is heavy

            yield from parquet_rows(path, columns)


def check_columns(path: Path, found: Sequence[str], needed: Sequence[str]) -> None:
    """Raise ConfigError if a column is absent, or one that is needed stands there twice.

    The columns are listed only where all look like names: without a header, the first row's words
    would stand in their place.
    """
    missing = [column for column in needed if column not in found]
    if not missing:
        twice = [column for column in needed if found.count(column) > 1]
        if twice:
            raise ConfigError(
                f"{path} has the column {twice[0]!r} twice: it is unknown which is meant, so "
                "nothing was loaded. Rename one."
            )
        return
    if all(len(name) <= _LONGEST_COLUMN and _COLUMN.fullmatch(name) for name in found):
        listed = f"Its columns are {', '.join(found)}"
    else:
        listed = (
            f"Its {len(found)} columns are not all named like columns, so they are not shown: give "
            "the file a header, or another `delimiter`"
        )
    raise ConfigError(f"{path} has no column {missing[0]!r}: nothing was loaded. {listed}.")


class _Lines:
    """A file's lines as text; `damaged` says whether one since the last question was no UTF-8."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._damaged = False

    def damaged(self) -> bool:
        """Return whether a line was damaged, and begin anew."""
        damaged, self._damaged = self._damaged, False
        return damaged

    def __iter__(self) -> Iterator[str]:
        """Yield each line; ends at the newline byte alone."""
        with self._path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
                if not line.endswith(b"\n"):
                    raise ConfigError(
                        f"Line {number} of {self._path} has no end: the file was cut there, and "
                        "nobody knows what is missing, so nothing was loaded. Copy the file "
                        "again, or end the last line of a whole one."
                    )
                yield self._decoded(line)

    def _decoded(self, line: bytes) -> str:
        if len(line.translate(None, _CONTROLS)) == len(line):
            try:
                return line.decode("utf-8")
            except UnicodeDecodeError:
                pass  # holds the line, so it is not chained
        self._damaged = True
        return line.translate(None, _CONTROLS).decode("utf-8", "replace")


def _csv_rows(path: Path, columns: Sequence[str], delimiter: str) -> Iterator[OwnRow]:
    lines = _Lines(path)
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
    header = _next(path, reader, 0)
    if header is None or lines.damaged():
        raise ConfigError(
            f"{path} has no header that is UTF-8 text: nothing was loaded. Its first line has to "
            "name the columns; save the file as UTF-8."
        )
    check_columns(path, header, columns)
    places = [(column, header.index(column)) for column in columns]
    number = 0
    while (cells := _next(path, reader, number + 1)) is not None:
        number += 1
        if lines.damaged():
            yield OwnRow(number, {}, Fault.ENCODING)
        elif len(cells) != len(header):
            yield OwnRow(number, {}, Fault.LENGTH)
        else:
            yield OwnRow(number, {column: cells[place] for column, place in places})


def _next(path: Path, reader: Iterator[list[str]], number: int) -> list[str] | None:
    """Return the reader's next row, or None after the last."""
    try:
        return next(reader, None)
    except csv.Error:
        pass  # its message may hold a part of the row
    raise ConfigError(
        f"Row {number} of {path} is no CSV: a quote is not closed, text follows one, or a cell has "
        f"more than {csv.field_size_limit()} characters. Rows after it would be read as one text, "
        "so nothing was loaded. Correct the row, or export the file again."
    )


def _json_rows(path: Path, columns: Sequence[str]) -> Iterator[OwnRow]:
    lines = _Lines(path)
    known = False
    for number, line in enumerate(lines, start=1):
        if lines.damaged():
            yield OwnRow(number, {}, Fault.ENCODING)
            continue
        cells = _object(line)
        if cells is None:
            yield OwnRow(number, {}, Fault.FORM)
            continue
        if not known:
            check_columns(path, list(cells), columns)
            known = True
        yield OwnRow(number, {column: cells.get(column) for column in columns})


def _object(line: str) -> dict[str, object] | None:
    try:
        value: object = STRICT_JSON.decode(line)
    except (json.JSONDecodeError, TwiceError, RecursionError):  # hold the line: not chained
        return None
    return value if isinstance(value, dict) else None
