"""Pictures as lists of marks, which the page writes as SVG and the PDF draws itself.

A mark has its colour, its dash and its words in it, so that both outputs show the same picture.
Coordinates are units of the picture, y downwards; a width of 660 fills the text's width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeVar

from audits import numerals
from audits.charts import nice_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

T = TypeVar("T")

WIDTH = 660.0
TEXT_SIZE = 12.5
_PER_CHARACTER = 6.6
"""Width of a character of a wide sans-serif at `TEXT_SIZE`, on average."""
_SMALLEST_RATE = 1e-6
_IN_FULL = ("1", "0.1", "0.01")
_SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076"


class Ink(StrEnum):
    """The colours, as the style sheet has them: on paper each text has a contrast of 4.5 or more.

    Those of lines differ in lightness too, and no line is told apart by its colour alone.
    """

    INK = "#16202b"
    SOFT = "#4b5762"
    LINE = "#b9c2ca"
    HAIR = "#dde2e7"
    TINT = "#f3f5f7"
    PAPER = "#ffffff"
    ACCENT = "#14406b"
    BAND = "#dbe5ee"
    RUST = "#9a3412"
    PLUM = "#6b2e83"
    PINE = "#0f5e4c"
    VIOLATED = "#8c1d18"
    INCONCLUSIVE = "#7a4a00"
    NOT_RUN = "#3f3a52"


Dash = tuple[()] | tuple[float, float]
"""Nothing for a solid line, or the lengths of a dash and of a gap."""
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Stroke:
    """A line, or with `fill` an area: through `points`, back to the first if `closed`."""

    points: tuple[tuple[float, float], ...]
    ink: Ink | None
    width: float = 1.0
    dash: Dash = ()
    fill: Ink | str | None = None
    closed: bool = False
    kind: Literal["stroke"] = "stroke"


@dataclass(frozen=True)
class Disc:
    """A filled circle."""

    x: float
    y: float
    radius: float
    fill: Ink
    ink: Ink
    kind: Literal["disc"] = "disc"


@dataclass(frozen=True)
class Words:
    """A line of text whose baseline is at `y`."""

    x: float
    y: float
    text: str
    anchor: Anchor = "start"
    ink: Ink = Ink.INK
    kind: Literal["words"] = "words"


Mark = Stroke | Disc | Words


@dataclass(frozen=True)
class Picture:
    """A picture that is ready to draw. `slug` makes its element names unique on the page.

    `legend` says in words how each thing looks and what it is; `caption` how to read the whole.
    """

    slug: str
    title: str
    description: str
    caption: str
    legend: tuple[str, ...]
    height: float
    marks: tuple[Mark, ...]
    width: float = WIDTH


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis: `low` lies at `start`, `high` at `stop`.

    What lies outside is drawn at the nearer end.
    """

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[tuple[float, str], ...]
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return where `value` lies, in units of the picture."""
        inside = min(self.high, max(self.low, value))
        if self.logarithmic:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 2)


def linear_scale(low: float, high: float, *, start: float, stop: float) -> Scale:
    """Return an axis that holds [low, high] and ends on its ticks."""
    first, last, step = nice_range(low, high)
    # Through decimals, so that 3 * 0.1 is marked as 0.3.
    ticks = [float(f"{first + i * step:.10g}") for i in range(round((last - first) / step) + 1)]
    marked = tuple((tick, numerals.plain(tick)) for tick in ticks)
    return Scale(first, last, start, stop, marked)


def rate_scale(smallest: float, *, start: float, stop: float) -> Scale:
    """Return a logarithmic axis up to 1 that begins at the power of ten below `smallest`.

    It has two decades at least, and six at most.
    """
    decades = -math.floor(math.log10(max(smallest, _SMALLEST_RATE)) + 1e-9)
    decades = min(6, max(2, decades))
    ticks = tuple((10.0**-power, _power_words(power)) for power in range(decades, -1, -1))
    return Scale(10.0**-decades, 1.0, start, stop, ticks, logarithmic=True)


def _power_words(power: int) -> str:
    """Return 10 to the power of -`power`: in full where that is short."""
    if power < len(_IN_FULL):
        return _IN_FULL[power]
    return f"10\u207b{_SUPERSCRIPTS[power]}"


def chunks(items: Sequence[T], size: int) -> Iterator[tuple[T, ...]]:
    """Return `items` in order, `size` at a time."""
    for first in range(0, len(items), size):
        yield tuple(items[first : first + size])


def shortened(text: str, width: float, *, middle: bool = False) -> str:
    """Return `text`, cut to about `width` units with an ellipsis at its end or in its middle."""
    most = max(4, int(width / _PER_CHARACTER))
    if len(text) <= most:
        return text
    tail = (most - 1) // 2 if middle else 0
    return f"{text[: most - 1 - tail].rstrip()}\u2026{text[len(text) - tail :].lstrip()}"


def segment(
    start: tuple[float, float],
    end: tuple[float, float],
    ink: Ink,
    width: float = 1.0,
    dash: Dash = (),
) -> Stroke:
    """Return one straight line."""
    return Stroke((start, end), ink, width, dash)


def box(left: float, top: float, width: float, height: float, *, fill: Ink | str | None) -> Stroke:
    """Return a filled rectangle with a hair of paper around it."""
    right, bottom = round(left + width, 2), round(top + height, 2)
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Stroke(corners, Ink.PAPER, 1.0, fill=fill, closed=True)


def axes(x: Scale, y: Scale, x_title: str, y_title: str) -> tuple[Mark, ...]:
    """Return the frame of a plot: grid, ticks, their words and the axes' titles."""
    left, right, bottom, top = x.start, x.stop, y.start, y.stop
    marks: list[Mark] = []
    for value, words in y.ticks:
        marks.append(segment((left, y.at(value)), (right, y.at(value)), Ink.HAIR))
        marks.append(Words(left - 8, y.at(value) + 4, words, "end"))
    for value, words in x.ticks:
        if x.logarithmic:
            marks.append(segment((x.at(value), bottom), (x.at(value), top), Ink.HAIR))
        marks.append(segment((x.at(value), bottom), (x.at(value), bottom + 5), Ink.INK))
        marks.append(Words(x.at(value), bottom + 18, words, "middle"))
    marks.append(segment((left, bottom), (right, bottom), Ink.INK))
    marks.append(Words(4, top - 24, y_title, ink=Ink.SOFT))
    marks.append(Words((left + right) / 2, bottom + 36, x_title, "middle", ink=Ink.SOFT))
    return tuple(marks)
