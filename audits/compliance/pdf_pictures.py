"""Plots of the PDF: the marks of the page, drawn with the document's own lines and fonts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits.compliance.drawing import TEXT_SIZE, Disc, Picture, Stroke, Words
from audits.compliance.pdf_sheet import LEFT, NOTE, STRONG, WIDTH, Font, Sheet

if TYPE_CHECKING:
    from audits.compliance.pdf_sheet import Align

_POINTS_PER_MM: Final = 72 / 25.4
_NARROWER: Final = 0.8
"""DejaVu Sans is so much wider than the sans-serif that the pictures are laid out for."""
_ALIGNS: Final[dict[str, Align]] = {"start": "left", "middle": "middle", "end": "right"}


def picture_height(sheet: Sheet, picture: Picture) -> float:
    """Return how much of a page a picture and its words take, mm."""
    text = [*picture.legend, picture.caption]
    lines = sum(len(sheet.wrap(entry, WIDTH, NOTE)) for entry in text)
    titles = len(sheet.wrap(picture.title, WIDTH, STRONG))
    drawn = picture.height * WIDTH / picture.width
    return titles * STRONG.height + drawn + lines * NOTE.height + 6.0


def write_picture(sheet: Sheet, picture: Picture) -> None:
    """Write a plot with its title, its legend and how to read it, all on one page."""
    scale = WIDTH / picture.width
    sheet.need(picture_height(sheet, picture))
    sheet.lines(picture.title, STRONG)
    top = sheet.y + 1.0
    for mark in picture.marks:
        match mark:
            case Stroke():
                _stroke(sheet, mark, top, scale)
            case Disc():
                _disc(sheet, mark, top, scale)
            case Words():
                font = Font(TEXT_SIZE * scale * _POINTS_PER_MM * _NARROWER, mark.ink)
                at = (LEFT + mark.x * scale, top + mark.y * scale)
                sheet.put_on_baseline(*at, mark.text, font, _ALIGNS[mark.anchor])
    sheet.y = top + picture.height * scale + 1.0
    for entry in (*picture.legend, picture.caption):
        sheet.lines(entry, NOTE)
    sheet.y += 5.0


def _stroke(sheet: Sheet, mark: Stroke, top: float, scale: float) -> None:
    points = tuple((LEFT + x * scale, top + y * scale) for x, y in mark.points)
    pdf = sheet.pdf
    if mark.fill is not None:
        pdf.set_fill_color(str(mark.fill))
    if mark.ink is not None and not mark.closed:
        dash = tuple(length * scale for length in mark.dash)
        sheet.stroke(points, mark.ink, mark.width * scale, (dash[0], dash[1]) if dash else ())
        return
    if mark.ink is not None:
        pdf.set_draw_color(mark.ink.value)
        pdf.set_line_width(mark.width * scale)
    pdf.polygon(points, style="F" if mark.ink is None else "DF" if mark.fill else "D")


def _disc(sheet: Sheet, mark: Disc, top: float, scale: float) -> None:
    pdf = sheet.pdf
    pdf.set_fill_color(mark.fill.value)
    pdf.set_draw_color(mark.ink.value)
    pdf.set_line_width(1.2 * scale)
    pdf.circle(LEFT + mark.x * scale, top + mark.y * scale, mark.radius * scale, style="DF")
