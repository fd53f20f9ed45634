"""A pile of A4 pages with a place to write at: fonts, lines of text, and page breaks.

The fonts are DejaVu Sans, which come with matplotlib (Latin, Greek, Cyrillic and many signs). What
they cannot show, or not in its reading order, stands as its code point, such as `[U+4E2D]`: nothing
is dropped and nothing looks like another text.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from fpdf import FPDF
from fpdf.fonts import TTFFont

from audits.compliance.drawing import Ink
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

LEFT: Final = 17.0
RIGHT: Final = 193.0
TOP: Final = 20.0
BOTTOM: Final = 277.0
WIDTH: Final = RIGHT - LEFT
"""The text's place on an A4 page, in millimetres."""

_POINT_MM: Final = 25.4 / 72
_LEADING: Final = 1.42
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_FILES: Final = (
    ("sans", "", "DejaVuSans.ttf"),
    ("sans", "B", "DejaVuSans-Bold.ttf"),
    ("mono", "", "DejaVuSansMono.ttf"),
)

Align = Literal["left", "middle", "right"]


@dataclass(frozen=True)
class Font:
    """How a text looks: its family, its size in points, and its colour."""

    size: float
    ink: Ink = Ink.INK
    bold: bool = False
    mono: bool = False

    @property
    def family(self) -> str:
        """The name under which the file of this font was added."""
        return "mono" if self.mono else "sans"

    @property
    def style(self) -> Literal["", "B"]:
        """The style under which the file of this font was added."""
        return "B" if self.bold else ""

    @property
    def height(self) -> float:
        """The height of a line, in millimetres."""
        return self.size * _POINT_MM * _LEADING


BODY: Final = Font(8.4)
STRONG: Final = Font(8.4, bold=True)
NOTE: Final = Font(7.6, Ink.SOFT)
CELL: Final = Font(7.8)
CELL_STRONG: Final = Font(7.8, bold=True)
CELL_SOFT: Final = Font(7.8, Ink.SOFT)
DIGEST: Final = Font(6.6, mono=True)
COMMAND: Final = Font(8.0, mono=True)


class Sheet:
    """Pages that are written from the top to the bottom; `y` is how far, in millimetres."""

    def __init__(self, *, title: str, subject: str, author: str, made: datetime) -> None:
        """Begin the first page.

        Raises:
            ConfigError: the fonts are not installed.
        """
        self.pdf = FPDF(format="A4", unit="mm")
        self.pdf.set_auto_page_break(auto=False)
        self.pdf.set_title(title)
        self.pdf.set_subject(subject)
        self.pdf.set_author(author)
        self.pdf.set_lang("en")
        self.pdf.set_creation_date(made)
        for family, style, name in _FILES:
            self.pdf.add_font(family, style, _font_file(name))
        self._shown = self._common_characters()
        self._widths: dict[tuple[str, str, str], float] = {}
        self.y = TOP
        self.pdf.add_page()

    def _common_characters(self) -> frozenset[int]:
        """Return the code points that every font has, so that bold text loses none either."""
        return frozenset.intersection(*(frozenset(font.cmap) for font in self._fonts()))

    def shown(self, text: str) -> str:
        """Return `text` with what cannot be shown as code points."""
        if text.isascii():
            return text
        return "".join(
            character if self._can_show(character) else f"[U+{ord(character):04X}]"
            for character in text
        )

    def _can_show(self, character: str) -> bool:
        if unicodedata.category(character) == "Cf":
            return False
        if unicodedata.bidirectional(character) in _RIGHT_TO_LEFT:
            return False
        return ord(character) in self._shown

    def width(self, text: str, font: Font) -> float:
        """Return how wide a text is, in millimetres."""
        key = (font.family, font.style, text)
        if key not in self._widths:
            self.pdf.set_font(font.family, font.style, 100.0)
            self._widths[key] = self.pdf.get_string_width(text) / 100.0
        return self._widths[key] * font.size

    def wrap(self, text: str, width: float, font: Font) -> tuple[str, ...]:
        """Return `text` in lines no wider than `width`; a word that is too long is cut."""
        lines: list[str] = []
        space, room = self.width(" ", font), 0.0
        for word in self.shown(text).split(" "):
            for part in self._parts(word, width, font):
                taken = self.width(part, font)
                if lines and taken + space <= room:
                    lines[-1] += f" {part}"
                    room -= taken + space
                else:
                    lines.append(part)
                    room = width - taken
        return tuple(lines)

    def _parts(self, word: str, width: float, font: Font) -> tuple[str, ...]:
        """Return a word, cut where it does not fit into a line: after a hyphen if it has one."""
        if self.width(word, font) <= width:
            return (word,)
        fits = 1
        while fits < len(word) and self.width(word[: fits + 1], font) <= width:
            fits += 1
        hyphen = word.rfind("-", 1, fits) + 1
        cut = hyphen or fits
        return (word[:cut], *self._parts(word[cut:], width, font))

    def put(self, x: float, y: float, text: str, font: Font, align: Align = "left") -> None:
        """Write one line whose upper edge is at `y`; `x` is its left end, middle or right end."""
        self.put_on_baseline(x, y + 0.76 * font.height, text, font, align)

    def put_on_baseline(
        self, x: float, y: float, text: str, font: Font, align: Align = "left"
    ) -> None:
        """Write one line whose baseline is at `y`."""
        words = self.shown(text)
        if align != "left":
            x -= self.width(words, font) / (2.0 if align == "middle" else 1.0)
        self.pdf.set_font(font.family, font.style, font.size)
        self.pdf.set_text_color(font.ink.value)
        self.pdf.text(x, y, words)

    def lines(self, text: str, font: Font, *, left: float = LEFT, width: float = WIDTH) -> None:
        """Write a paragraph at the present place, over as many pages as it takes."""
        for line in self.wrap(text, width, font):
            self.need(font.height)
            self.put(left, self.y, line, font)
            self.y += font.height

    def need(self, height: float) -> None:
        """Go to a new page unless `height` fits on this one."""
        if self.y + height > BOTTOM and self.y > TOP:
            self.new_page()

    def new_page(self) -> None:
        """Go to the top of a new page."""
        self.pdf.add_page()
        self.y = TOP

    def rule(
        self, ink: Ink, width: float = 0.2, *, left: float = LEFT, right: float = RIGHT
    ) -> None:
        """Draw a horizontal line at the present place; `width` is in millimetres."""
        self.stroke(((left, self.y), (right, self.y)), ink, width)

    def stroke(
        self,
        points: tuple[tuple[float, float], ...],
        ink: Ink,
        width: float,
        dash: tuple[()] | tuple[float, float] = (),
    ) -> None:
        """Draw a line through `points`; lengths are in millimetres."""
        self.pdf.set_draw_color(ink.value)
        self.pdf.set_line_width(width)
        self.pdf.set_dash_pattern(*dash)
        self.pdf.polyline(points)
        self.pdf.set_dash_pattern()

    def box(self, left: float, top: float, width: float, height: float, fill: str) -> None:
        """Fill a rectangle."""
        self.pdf.set_fill_color(fill)
        self.pdf.rect(left, top, width, height, style="F")

    def frame(self, top: float, ink: Ink, width: float) -> None:
        """Draw a frame as wide as the text, from `top` to the present place."""
        self.pdf.set_draw_color(ink.value)
        self.pdf.set_line_width(width)
        self.pdf.rect(LEFT, top, WIDTH, self.y - top, style="D")

    def bookmark(self, name: str, level: int) -> None:
        """Put this place into the document's outline."""
        self.pdf.set_y(self.y)
        self.pdf.start_section(self.shown(name), level=level)

    def finish(self, *, above: str, verdict: str, below: str) -> bytes:
        """Write the head and foot of every page, and return the PDF.

        The first page has no head. The foot says which page it is of how many.
        """
        pages = self.pdf.page
        for number in range(1, pages + 1):
            self.pdf.page = number
            self.pdf.current_font_is_set_on_page = False
            if number > 1:
                self.put(LEFT, 10.5, self.wrap(above, WIDTH - 45.0, NOTE)[0], NOTE)
                self.put(RIGHT, 10.5, verdict, Font(NOTE.size, bold=True), "right")
            self.put(LEFT, 284.0, below, Font(6.8, Ink.SOFT))
            self.put(RIGHT, 284.0, f"page {number} of {pages}", Font(6.8, Ink.SOFT), "right")
        return bytes(self.pdf.output())

    def close(self) -> None:
        """Close the files of the fonts. Nothing can be written afterwards."""
        for font in self._fonts():
            font.close()

    def _fonts(self) -> list[TTFFont]:
        return [font for font in self.pdf.fonts.values() if isinstance(font, TTFFont)]


def _font_file(name: str) -> Path:
    """Return where matplotlib keeps a font; matplotlib itself is not loaded."""
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / name
        if path.is_file():
            return path
    raise ConfigError(
        f"The PDF cannot be written: its font {name}, which comes with matplotlib, is not "
        "installed. Install what requirements.lock names."
    )
