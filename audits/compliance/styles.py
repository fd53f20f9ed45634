"""How the lines of a plot differ: each by its dash and its marker, and by its colour besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audits.charts import spread
from audits.compliance.drawing import Dash, Disc, Ink, Mark, Stroke, Words, segment, shortened
from audits.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_MARKERS = 24
_GAP = 16.0
_SAMPLE = 40.0
_SIDE = 3.6


@dataclass(frozen=True)
class LineStyle:
    """One way to draw a line; `words` says how it looks."""

    words: str
    ink: Ink
    width: float
    dash: Dash
    marker: str


STYLES: Final = (
    LineStyle("solid line, discs", Ink.ACCENT, 2.2, (), "disc"),
    LineStyle("dashed line, squares", Ink.RUST, 1.8, (9, 4), "square"),
    LineStyle("dotted line, triangles", Ink.PINE, 1.8, (1.5, 4), "triangle"),
    LineStyle("short-dashed line, diamonds", Ink.PLUM, 1.8, (4, 3), "diamond"),
    LineStyle("long-dashed line, open discs", Ink.INK, 1.6, (16, 5), "open disc"),
    LineStyle("sparse-dashed line, open squares", Ink.SOFT, 1.8, (5, 9), "open square"),
)
"""In the order in which a plot's lines take them; a plot has no more lines than these."""


def marker(x: float, y: float, style: LineStyle) -> Mark:
    """Return the marker of `style` at one point."""
    fill = Ink.PAPER if style.marker.startswith("open") else style.ink
    if style.marker.endswith("disc"):
        return Disc(x, y, _SIDE, fill, style.ink)
    corners = {
        "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "triangle": ((0, -1.25), (1.2, 1), (-1.2, 1)),
        "diamond": ((0, -1.35), (1.35, 0), (0, 1.35), (-1.35, 0)),
    }[style.marker.removeprefix("open ")]
    points = tuple((round(x + _SIDE * a, 2), round(y + _SIDE * b, 2)) for a, b in corners)
    return Stroke(points, style.ink, 1.2, fill=fill, closed=True)


def line(points: Sequence[tuple[float, float]], style: LineStyle) -> tuple[Mark, ...]:
    """Return a line with its markers, or with the last alone where they would run together."""
    kept = points if len(points) <= _MOST_MARKERS else points[-1:]
    drawn = Stroke(tuple(points), style.ink, style.width, style.dash)
    return (drawn, *(marker(x, y, style) for x, y in kept))


VERDICT_INKS: Final = {
    Verdict.VIOLATED: Ink.VIOLATED,
    Verdict.INCONCLUSIVE: Ink.INCONCLUSIVE,
    Verdict.NOT_RUN: Ink.NOT_RUN,
    Verdict.NOT_REFUTED: None,
}
"""What a verdict's badge is filled with. What is not refuted has an outline alone."""


@dataclass(frozen=True)
class End:
    """A name to stand beside the end of what it names; `style` draws a sample before it."""

    x: float
    y: float
    name: str
    style: LineStyle


def end_labels(
    ends: Sequence[End], *, left: float, right: float, bottom: float
) -> tuple[Mark, ...]:
    """Return the names of lines to the right of `left`, each with a sample of its line.

    A thin leader runs from the line's end to its name. `bottom` is the lowest place of a name.
    """
    places = spread([end.y for end in ends], gap=_GAP)
    over = max(0.0, max(places, default=0.0) - bottom)
    marks: list[Mark] = []
    for end, place in zip(ends, places, strict=True):
        y = round(place - over, 2)
        first, last = left + 14, left + 14 + _SAMPLE
        marks.append(segment((end.x + 5, end.y), (first - 2, y), Ink.LINE))
        marks.append(segment((first, y), (last, y), end.style.ink, end.style.width, end.style.dash))
        marks.append(marker((first + last) / 2, y, end.style))
        words = shortened(end.name, right - last - 6)
        marks.append(Words(last + 6, y + 4, words))
    return tuple(marks)
