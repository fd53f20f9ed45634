"""Tables of the PDF: heads that are repeated on every page, and rows that a verdict marks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audits.compliance import words
from audits.compliance.drawing import Ink
from audits.compliance.pdf_sheet import (
    BOTTOM,
    CELL,
    CELL_SOFT,
    CELL_STRONG,
    DIGEST,
    LEFT,
    NOTE,
    RIGHT,
    TOP,
    WIDTH,
    Font,
    Sheet,
)
from audits.compliance.styles import VERDICT_INKS
from audits.findings import Verdict

if TYPE_CHECKING:
    from audits.compliance.blocks import Cell, Column, Row, Table

_PAD: Final = 1.15
_GAP: Final = 3.0
_MARK: Final = 1.5
_INSET: Final = 3.2
_KEPT: Final = 75.0
"""A table up to this height is not broken over pages."""
_WHOLE_ROW: Final = 120.0
"""Likewise a row."""
_SIGNING: Final = 13.0
_BELOW_CAPTION: Final = 0.5
_DASHES: Final = {
    Verdict.VIOLATED: (500.0, 0.0),
    Verdict.INCONCLUSIVE: (2.4, 1.2),
    Verdict.NOT_RUN: (0.9, 0.9),
}
"""Lengths of a dash and of a gap of the bar beside a row: longer than any page for a solid one."""


@dataclass(frozen=True)
class _Piece:
    """One line of a cell: a text, or the badge of a verdict."""

    text: str
    font: Font
    verdict: Verdict | None = None

    @property
    def height(self) -> float:
        return self.font.height if self.verdict is None else badge_height(self.font)


_Pieces = list[_Piece]


def badge_height(font: Font) -> float:
    """Return the height that a badge takes, with some air below, in millimetres."""
    return font.height + 1.5


def badge(sheet: Sheet, x: float, y: float, verdict: Verdict, font: Font) -> float:
    """Draw a verdict and return the width it took: filled, but where nothing is refuted."""
    fill = VERDICT_INKS[verdict]
    words_ = f"{words.sign(verdict)} {words.label(verdict)}"
    ink = Ink.INK if fill is None else Ink.PAPER
    drawn = Font(font.size, ink, bold=True)
    width = sheet.width(words_, drawn) + 3.0
    if fill is not None:
        sheet.box(x, y, width, font.height + 0.4, fill.value)
    else:
        corners = ((x, y), (x + width, y), (x + width, y + font.height + 0.4))
        closed = (*corners, (x, y + font.height + 0.4), (x, y))
        sheet.stroke(closed, Ink.SOFT, 0.25)
    sheet.put(x + 1.5, y + 0.2, words_, drawn)
    return width


def write_table(sheet: Sheet, table: Table) -> None:
    """Write a table at the present place, on as many pages as it takes."""
    inset = _INSET if table.marked else 0.0
    places = _places(table.columns, inset)
    rows = [_pieces(sheet, row, table, places) for row in table.rows]
    caption = sheet.wrap(table.caption, WIDTH, NOTE)
    heads = _head_pieces(sheet, table, places)
    fixed = len(caption) * NOTE.height + _BELOW_CAPTION + (_height(heads) if table.heads else 0.0)
    heights = [_SIGNING if table.signing else _height(row) for row in rows]
    total = fixed + sum(heights)
    sheet.need(total if total <= _KEPT else fixed + min(_WHOLE_ROW, heights[0]))
    for line in caption:
        sheet.put(LEFT, sheet.y, line, NOTE)
        sheet.y += NOTE.height
    sheet.y += _BELOW_CAPTION
    if table.heads:
        _write_heads(sheet, heads, places, table)
    for row, pieces, height in zip(table.rows, rows, heights, strict=True):
        if table.signing:
            sheet.need(_SIGNING)
            sheet.y += _SIGNING
            sheet.rule(Ink.INK)
        else:
            _write_row(sheet, _Line(row.verdict, pieces, heads, places, table), height)
    sheet.y += 3.0


@dataclass(frozen=True)
class _Line:
    """A row with what has to be repeated above it on a new page."""

    verdict: Verdict | None
    pieces: list[_Pieces]
    heads: list[_Pieces]
    places: list[tuple[float, float]]
    table: Table


def _places(columns: tuple[Column, ...], inset: float) -> list[tuple[float, float]]:
    """Return the left end and the width of each column."""
    places, left = [], LEFT + inset
    whole = sum(column.width for column in columns)
    for column in columns:
        width = (WIDTH - inset) * column.width / whole
        last = column is columns[-1]
        places.append((left, width if last else width - _GAP))
        left += width
    return places


def _head_pieces(sheet: Sheet, table: Table, places: list[tuple[float, float]]) -> list[_Pieces]:
    return [
        [_Piece(line, CELL_STRONG) for line in sheet.wrap(column.title, width, CELL_STRONG)]
        for column, (_, width) in zip(table.columns, places, strict=True)
    ]


def _pieces(
    sheet: Sheet, row: Row, table: Table, places: list[tuple[float, float]]
) -> list[_Pieces]:
    cells = zip(row.cells, places, strict=True)
    return [
        _cell(sheet, cell, width, first=number == 0 and not table.signing)
        for number, (cell, (_, width)) in enumerate(cells)
    ]


def _cell(sheet: Sheet, cell: Cell, width: float, *, first: bool) -> _Pieces:
    pieces: _Pieces = []
    if cell.verdict is not None:
        pieces.append(_Piece("", Font(7.0), cell.verdict))
    for number, text in enumerate(cell.shown):
        font = CELL_SOFT if number else CELL_STRONG if first else CELL
        if cell.digest and number == 0:
            font = DIGEST
        pieces += [_Piece(line, font) for line in sheet.wrap(text, width, font)]
    return pieces


def _height(pieces: list[_Pieces]) -> float:
    return max(sum(piece.height for piece in cell) for cell in pieces) + 2 * _PAD


def _write_heads(
    sheet: Sheet, heads: list[_Pieces], places: list[tuple[float, float]], table: Table
) -> None:
    height = _height(heads)
    _write_cells(sheet, heads, places, table)
    sheet.y += height
    sheet.rule(Ink.INK, 0.35)


def _write_row(sheet: Sheet, line: _Line, height: float) -> None:
    """Write a row, in several parts where it is longer than a page."""
    rest = line.pieces
    while True:
        if height <= _WHOLE_ROW and sheet.y + height > BOTTOM:
            _next_page(sheet, line)
        part, rest = _split(rest, BOTTOM - sheet.y - 2 * _PAD)
        if not any(part) and any(rest) and sheet.y > TOP:
            _next_page(sheet, line)
            part, rest = _split(rest, BOTTOM - sheet.y - 2 * _PAD)
        _write_part(sheet, line, part)
        if not any(rest):
            return
        _next_page(sheet, line)
        height = _height(rest)


def _next_page(sheet: Sheet, line: _Line) -> None:
    sheet.new_page()
    if line.table.heads:
        _write_heads(sheet, line.heads, line.places, line.table)


def _split(pieces: list[_Pieces], room: float) -> tuple[list[_Pieces], list[_Pieces]]:
    """Return what of each cell fits into `room`, and the rest."""
    parts, rests = [], []
    for cell in pieces:
        taken, used = 0, 0.0
        while taken < len(cell) and used + cell[taken].height <= room:
            used += cell[taken].height
            taken += 1
        parts.append(cell[:taken])
        rests.append(cell[taken:])
    return parts, rests


def _write_part(sheet: Sheet, line: _Line, pieces: list[_Pieces]) -> None:
    height = _height(pieces)
    if line.verdict is not None:
        _mark(sheet, line.verdict, height)
    _write_cells(sheet, pieces, line.places, line.table)
    sheet.y += height
    sheet.rule(Ink.HAIR)


def _mark(sheet: Sheet, verdict: Verdict, height: float) -> None:
    """Mark a row that is no pass: a tint, and a bar that differs by its dashes too."""
    ink = VERDICT_INKS[verdict]
    if ink is None:
        return
    sheet.box(LEFT, sheet.y, RIGHT - LEFT, height, Ink.TINT.value)
    dash, gap = _DASHES[verdict]
    at, end = sheet.y, sheet.y + height
    while at < end:
        sheet.box(LEFT, at, _MARK, min(dash, end - at), ink.value)
        at += dash + gap


def _write_cells(
    sheet: Sheet, cells: list[_Pieces], places: list[tuple[float, float]], table: Table
) -> None:
    for column, cell, (left, width) in zip(table.columns, cells, places, strict=True):
        y = sheet.y + _PAD
        for piece in cell:
            if piece.verdict is not None:
                badge(sheet, left, y, piece.verdict, piece.font)
            elif column.number:
                sheet.put(left + width, y, piece.text, piece.font, "right")
            else:
                sheet.put(left, y, piece.text, piece.font)
            y += piece.height
