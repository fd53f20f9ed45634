"""What every benchmark prints: rows of numbers, as a table or as one JSON object."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO

_DIGITS = 4
_FILE_WIDTH = 200
"""Characters in a line where the output is no terminal: no number is broken in two."""
_BELOW = "error"
"""The field that is a sentence: it stands below a table, not in it."""


@dataclass(frozen=True)
class Cell:
    """One measured thing; a benchmark adds its own fields, each a number, a text or None."""

    name: str


def write_cells(
    title: str, cells: Sequence[Cell], *, as_json: bool, stream: TextIO | None = None
) -> None:
    """Write `cells`, all of one type: one JSON object {"cells": [...]}, or a table.

    The JSON object holds the numbers as they are; a table shows four decimals, leaves out
    columns without any value, and says below it why a row has no numbers.

    Raises:
        ValueError: a number is not finite, which JSON cannot say.
    """
    out = sys.stdout if stream is None else stream
    if as_json:
        rows = [asdict(cell) for cell in cells]
        out.write(json.dumps({"cells": rows}, allow_nan=False) + "\n")
        return
    table = Table(title=title, title_justify="left")
    columns = [
        name
        for name in (field.name for field in (fields(cells[0]) if cells else ()))
        if name != _BELOW and any(getattr(cell, name) not in {None, ()} for cell in cells)
    ]
    for column in columns:
        table.add_column(column.replace("_", " "))
    for cell in cells:
        table.add_row(*(_text(getattr(cell, column)) for column in columns))
    console = Console(file=out, markup=False, highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    console.print(table)
    for cell in cells:
        if reason := getattr(cell, _BELOW, None):
            console.print(f"{cell.name}: {reason}", soft_wrap=True)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{_DIGITS}f}" if abs(value) >= 10.0**-_DIGITS else f"{value:g}"
    if isinstance(value, tuple):
        return " ".join(str(part) for part in value)
    return str(value)
