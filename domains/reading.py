"""Strict reading of published files: CSV and JSON lines row by row, JSON at once.

Every refusal names the file and the row, never what stands in it. A published file ends with a
line end or a closing brace, so that one that was cut in the middle is told from a whole one.
"""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn, cast

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from crypto.digests import JsonValue

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_AGAIN: Final = "Copy the published file again"
_CONTROLS: Final = frozenset(range(32)) - frozenset(b"\t\n\r")
_CONTROL_TABLE: Final = bytes(_CONTROLS)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file; `repr` does not show what it holds.

    Attributes:
        path: the file.
        number: from 1; a header is not counted. Of a JSON object: the place among its keys.
        cells: by column.
        line: where the row ends in the file, if rows may be longer than lines.
    """

    path: Path
    number: int
    cells: Mapping[str, JsonValue] = field(repr=False)
    line: int | None = None

    @property
    def where(self) -> str:
        """How a message names the row."""
        return _where(self.path, self.number, self.line)

    def text(self, column: str) -> str:
        """Return the text in `column`.

        Raises:
            ConfigError: it is absent, no text, or blank.
        """
        value = self.cells.get(column)
        if not isinstance(value, str):
            self.refuse(f"no text in {column!r}", "there is nothing to read")
        if not value.strip():
            self.refuse(f"an empty text in {column!r}", "there is nothing to read")
        if not is_text(value):
            self.refuse(f"half a character in {column!r}", "no encoding has it")
        return value

    def choice(self, column: str, choices: Mapping[str, int]) -> int:
        """Return what `choices` says of the text in `column`.

        Raises:
            ConfigError: it is none of the choices; the message lists them, not the value.
        """
        value = self.cells.get(column)
        if not isinstance(value, str) or value not in choices:
            self.refuse(
                f"an unknown label in {column!r}",
                "it would be trained as something it is not",
                f"Known labels: {', '.join(choices)}",
            )
        return choices[value]

    def refuse(self, fault: str, consequence: str, mend: str = _AGAIN) -> NoReturn:
        """Raise the ConfigError that names this row."""
        raise ConfigError(
            f"{self.where} has {fault}: {consequence}, so nothing was loaded. {mend}."
        )


def is_text(value: str) -> bool:
    r"""Return whether every character is one, and none a half, as JSON's `\ud800` gives it."""
    try:
        value.encode()
    except UnicodeEncodeError:  # holds the text
        return False
    return True


def published_file(folder: Path, name: str, expected: Collection[str]) -> Path:
    """Return the path of `name` in `folder`.

    Raises:
        ConfigError: the folder or the file is absent; the message lists the `expected` files.
    """
    listed = ", ".join(expected)
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is not a folder: nothing was loaded. Name the folder that holds {listed}."
        )
    path = folder / name
    if not path.is_file():
        raise ConfigError(f"{folder} has no {name}: nothing was loaded. Expected files: {listed}.")
    return path


def check_rows(path: Path, found: int, published: int) -> None:
    """Raise ConfigError if `path` does not hold as many rows as the published file."""
    if found != published:
        raise ConfigError(
            f"{path} has {found} rows, the published file {published}: the split would not be the "
            f"published one. {_AGAIN}."
        )


def csv_rows(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a CSV file (RFC 4180, UTF-8, with a header of exactly `columns`).

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 text, has other columns, a row of
            another length, a quote that is not closed, or a last line without its end.
    """
    with naming(path):
        reader = csv.reader(_lines(path), strict=True)
        header = _next(path, reader, 0)
        if header is None or sorted(header) != sorted(columns):
            raise ConfigError(
                f"The header of {path} is not that of the published file: nothing was loaded. "
                f"Its columns are {', '.join(columns)}."
            )
        number = 0
        while (cells := _next(path, reader, number + 1)) is not None:
            number += 1
            if len(cells) != len(header):
                raise ConfigError(
                    f"{_where(path, number, reader.line_num)} has {len(cells)} cells under a "
                    f"header of {len(header)}: it is unknown which is the text. {_AGAIN}."
                )
            yield Row(path, number, dict(zip(header, cells, strict=True)), reader.line_num)


def _next(path: Path, reader: Iterator[list[str]], number: int) -> list[str] | None:
    """Return the reader's next row, or None after the last."""
    try:
        return next(reader, None)
    except csv.Error:
        pass  # its message may hold a part of the row
    raise ConfigError(
        f"{_where(path, number)} is no CSV: a quote is not closed, or text follows one. Rows after "
        f"it would be read as one text. {_AGAIN}."
    )


def json_lines(path: Path, columns: Collection[str]) -> Iterator[Row]:
    """Yield the rows of a file with one JSON object per line, each with at least `columns`.

    Raises:
        ConfigError: the file cannot be read or is not UTF-8 text, a line is no JSON object, has
            a key twice or lacks a column, or the last line has no end.
    """
    with naming(path):
        for number, line in enumerate(_lines(path), start=1):
            cells = _parsed(line, _where(path, number))
            missing = [column for column in columns if column not in cells]
            if missing:
                raise ConfigError(
                    f"{_where(path, number)} lacks the column {missing[0]!r}: nothing was loaded. "
                    f"Every row has {', '.join(columns)}."
                )
            yield Row(path, number, cells)


def json_object(path: Path) -> dict[str, JsonValue]:
    """Return the one JSON object that a file holds; the whole file is read at once.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8 text, holds no JSON object (as one
            that was cut), or an object in it has a key twice.
    """
    with naming(path):
        return _parsed("".join(_lines(path, whole=True)), str(path))


class TwiceError(Exception):
    """A JSON object has a key twice.

    Attributes:
        member: the place of the second among the object's members, from 1; the key may be text.
    """

    def __init__(self, member: int) -> None:
        super().__init__(member)
        self.member = member


def _once(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for member, (key, _) in enumerate(pairs, start=1):
            if key in seen:
                raise TwiceError(member)
            seen.add(key)
    return found


STRICT_JSON: Final = json.JSONDecoder(object_pairs_hook=_once)
"""Refuses an object with a key twice (`TwiceError`), of which one value would be lost."""


def _parsed(text: str, where: str) -> dict[str, JsonValue]:
    fault = "holds no JSON object"
    try:
        value = STRICT_JSON.decode(text)
    except json.JSONDecodeError as error:  # holds the text, so it is not chained
        fault = f"is no JSON from line {error.lineno}, column {error.colno} on: it was cut there"
        fault += " or damaged"
    except TwiceError as error:
        fault = f"has a key or an id twice (member {error.member} of its object is the second), so "
        fault += "one of two records would be lost"
    except RecursionError:
        fault = "is nested too deeply for a record"
    else:
        if isinstance(value, dict):
            return cast("dict[str, JsonValue]", value)
    raise ConfigError(f"{where} {fault}: nothing was loaded. {_AGAIN}.")


def _lines(path: Path, *, whole: bool = False) -> Iterator[str]:
    """Yield the file's lines as text; ends at the newline byte alone.

    Raises:
        ConfigError: a line is not UTF-8 text, or, unless `whole`, the last one has no end.
    """
    with path.open("rb") as file:
        for number, raw in enumerate(file, start=1):
            line = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
            if not whole and not line.endswith(b"\n"):
                raise ConfigError(
                    f"Line {number} of {path} has no end: the file was cut there, and a part of "
                    f"the data would be missing from every score. {_AGAIN}."
                )
            yield _decoded(line, number, path)


def _decoded(line: bytes, number: int, path: Path) -> str:
    if len(line.translate(None, _CONTROL_TABLE)) == len(line):
        try:
            return line.decode("utf-8")
        except UnicodeDecodeError:
            pass  # holds the line, so it is not chained
    raise ConfigError(
        f"Line {number} of {path} is not UTF-8 text (it looks re-encoded or damaged): the model "
        f"would read other characters than the published ones. {_AGAIN}."
    )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Turn a failure of the file system into a ConfigError that names the file."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read ({error.strerror}): nothing was loaded. "
            "Let this user read the file."
        ) from error


def _where(path: Path, number: int, line: int | None = None) -> str:
    at = "" if line is None else f" (to line {line})"
    return f"Row {number}{at} of {path}"
