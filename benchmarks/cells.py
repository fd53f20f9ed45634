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
_LEAST_WIDTH = 100


@dataclass(frozen=True)
class Cell:
    """One measured thing; a benchmark adds its own fields, each a number, a text or None."""

    name: str


def write_cells(
    title: str, cells: Sequence[Cell], *, as_json: bool, stream: TextIO = sys.stdout
) -> None:
    """Write `cells`, all of one type: one JSON object {"cells": [...]}, or a table.

    Numbers of the JSON object are the exact ones; a table shows four decimals.
    """
    if as_json:
        rows = [asdict(cell) for cell in cells]
        stream.write(json.dumps({"cells": rows}, allow_nan=False) + "\n")
        return
    table = Table(title=title, title_justify="left")
    columns = [field.name for field in fields(cells[0])] if cells else []
    shown = [
        name for name in columns if any(getattr(cell, name) not in {None, ()} for cell in cells)
    ]
    for name in shown:
        table.add_column(name.replace("_", " "), overflow="fold")
    for cell in cells:
        table.add_row(*(_text(getattr(cell, name)) for name in shown))
    console = Console(file=stream, markup=False, highlight=False)
    if not console.is_terminal:
        # A file has no width of its own; eighty columns would break every number in two.
        console = Console(file=stream, markup=False, highlight=False, width=_LEAST_WIDTH * 2)
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{_DIGITS}f}" if abs(value) >= 10.0**-_DIGITS else f"{value:g}"
    if isinstance(value, tuple):
        return " ".join(str(part) for part in value)
    return str(value)
