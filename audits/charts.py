"""The geometry of the report's charts; the templates draw it as inline SVG.

Lines differ by dash and marker and carry their names at their ends, so that a chart can be read
without colour and without a legend. Coordinates are SVG user units, y downwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

WIDTH = 660
HEIGHT = 252
_LEFT = 52
_RIGHT = 200  # the longest name of a line, also in a wide sans-serif
_TOP = 28
_BOTTOM = 44
_LABEL_GAP = 15.0
_MOST_MARKERS = 30
_TICKS = 5


class Stroke(StrEnum):
    """How a line looks; the style sheet gives each its dash and weight."""

    MAIN = "main"
    SECOND = "second"
    REFERENCE = "reference"


class Marker(StrEnum):
    """What stands on a line's points."""

    DISC = "disc"
    SQUARE = "square"
    NONE = "none"


@dataclass(frozen=True)
class Series:
    """A named line: `points` are (x, y) in data units, in order of x."""

    name: str
    points: tuple[tuple[float, float], ...]
    stroke: Stroke
    marker: Marker


@dataclass(frozen=True)
class Axis:
    """One axis: its title, the range it shows, and where it is marked with which words."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Tick:
    """A mark at one coordinate along an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class DrawnLine:
    """A line in SVG coordinates: its path, its markers, and its name at `label_y`."""

    name: str
    stroke: Stroke
    marker: Marker
    path: str
    markers: tuple[tuple[float, float], ...]
    end: tuple[float, float]
    label_y: float


@dataclass(frozen=True)
class LineChart:
    """A chart ready to draw. `slug` makes its element names unique on the page."""

    slug: str
    title: str
    description: str
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[DrawnLine, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True)
class Bar:
    """One bar of a chart of fractions; `low` and `high` are its interval, if it has one."""

    name: str
    value: float
    label: str
    low: float | None
    high: float | None
    main: bool


def line_chart(  # noqa: PLR0913 - a chart has this many independent parts
    slug: str, title: str, description: str, *, x: Axis, y: Axis, series: tuple[Series, ...]
) -> LineChart:
    """Lay out a chart of lines.

    Raises:
        ValueError: there is no line, or a line without points.
    """
    if not series or not all(entry.points for entry in series):
        raise ValueError("a chart needs lines, and a line needs points")
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def place(point: tuple[float, float]) -> tuple[float, float]:
        across = (point[0] - x.low) / (x.high - x.low)
        up = (point[1] - y.low) / (y.high - y.low)
        return round(_LEFT + across * (right - _LEFT), 2), round(bottom - up * (bottom - _TOP), 2)

    drawn = [tuple(place(point) for point in entry.points) for entry in series]
    label_ys = spread([points[-1][1] for points in drawn], gap=_LABEL_GAP)
    return LineChart(
        slug=slug,
        title=title,
        description=description,
        x_title=x.title,
        y_title=y.title,
        x_ticks=tuple(Tick(place((at, y.low))[0], label) for at, label in x.ticks),
        y_ticks=tuple(Tick(place((x.low, at))[1], label) for at, label in y.ticks),
        lines=tuple(
            DrawnLine(
                name=entry.name,
                stroke=entry.stroke,
                marker=entry.marker,
                path=_path(points),
                markers=points if len(points) <= _MOST_MARKERS else (points[-1],),
                end=points[-1],
                label_y=round(label_y, 2),
            )
            for entry, points, label_y in zip(series, drawn, label_ys, strict=True)
        ),
    )


def _path(points: tuple[tuple[float, float], ...]) -> str:
    return "M" + " L".join(f"{across:g} {down:g}" for across, down in points)


def spread(positions: list[float], *, gap: float) -> list[float]:
    """Return positions near the given ones, in their order, at least `gap` apart.

    Overlapping neighbours are merged into blocks that are centred on their mean, which keeps
    every label as near to its line as the others allow.
    """
    order = sorted(range(len(positions)), key=lambda index: (positions[index], index))
    blocks: list[list[int]] = []
    centres: list[float] = []
    for index in order:
        blocks.append([index])
        centres.append(positions[index])
        while len(blocks) > 1 and _overlap(blocks, centres, gap):
            last = blocks.pop()
            centres.pop()
            blocks[-1] += last
            centres[-1] = sum(positions[member] for member in blocks[-1]) / len(blocks[-1])
    placed = [0.0] * len(positions)
    for block, centre in zip(blocks, centres, strict=True):
        for rank, member in enumerate(block):
            placed[member] = centre + gap * (rank - (len(block) - 1) / 2)
    return placed


def _overlap(blocks: list[list[int]], centres: list[float], gap: float) -> bool:
    room = gap * (len(blocks[-1]) + len(blocks[-2])) / 2
    return centres[-1] - centres[-2] < room


def nice_step(span: float) -> float:
    """Return a step of 1, 2 or 5 times a power of ten that divides `span` into about five."""
    raw = span / _TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1.0, 2.0, 5.0):
        if raw <= factor * power * (1 + 1e-9):
            return factor * power
    return 10.0 * power


def nice_range(low: float, high: float) -> tuple[float, float, float]:
    """Return a range that holds [low, high] and ends on its ticks, and the ticks' distance."""
    span = max(high - low, 1e-3 * max(abs(high), abs(low)), 1e-6)
    step = nice_step(span)
    start = math.floor(low / step + 1e-9)
    stop = math.ceil(high / step - 1e-9)
    return start * step, max(stop, start + 1) * step, step


def round_ticks(rounds: int) -> tuple[int, ...]:
    """Return which of the rounds 1 to `rounds` are marked on an axis: few, with the last."""
    step = max(1, math.ceil(nice_step(rounds)) if rounds > 2 * _TICKS else 1)
    marked = [number for number in range(step, rounds + 1, step) if rounds - number >= step / 2]
    return (*marked, rounds)
