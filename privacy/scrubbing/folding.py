"""A plain reading of a text for the patterns, with the way back to its own offsets.

Banks write account numbers with no-break spaces and typographic hyphens, right-to-left text wraps
numbers in invisible direction marks, and combining marks split a letter in two. Patterns see a
folded copy; spans are moved back to the text as it was given, which is never normalised.
"""

from __future__ import annotations

import functools
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

_SPACES = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"
_TABLE = str.maketrans(
    _SPACES + "\u205f\u3000" + _HYPHENS,
    " " * (len(_SPACES) + 2) + "-" * len(_HYPHENS),
)


@dataclass(frozen=True, slots=True)
class Folded:
    """One reading of a text.

    Character i of `text` is `starts[i]` to `ends[i]` of the original, marks that combine with it
    included. Both are None where every character kept its place.
    """

    text: str
    starts: tuple[int, ...] | None = None
    ends: tuple[int, ...] | None = None

    def unfold(self, spans: Iterable[Span]) -> list[Span]:
        """Return spans of this reading as spans of the original."""
        if self.starts is None or self.ends is None:
            return list(spans)
        return [
            Span(self.starts[span.start], self.ends[span.end - 1], span.entity, span.score)
            for span in spans
        ]


def _plain(character: str) -> str:
    """Return one ASCII character for a decimal digit or full-width form, else the same."""
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if "\uff01" <= character <= "\uff5e":  # full-width ASCII
        return chr(ord(character) - 0xFEE0)
    return character


@functools.lru_cache(maxsize=4096)
def _kind(character: str) -> tuple[str, str]:
    """Return a character as patterns see it, and its Unicode category."""
    return _plain(character.translate(_TABLE)), unicodedata.category(character)


def readings(text: str) -> tuple[Folded, ...]:
    """Return the readings of `text` that patterns should see, one for plain ASCII.

    Invisible format characters (direction marks, zero-width spaces, soft hyphens) stand for
    nothing inside a number and for a gap between words, and no rule can know which: such a text
    is read both ways. Marks that combine with the letter before them are left out.
    """
    if text.isascii():
        return (Folded(text),)
    # Looked up once per different character: a page has a hundred of them, and thousands in all.
    kinds = {character: _kind(character) for character in set(text)}
    plain = text.translate({ord(c): new for c, (new, _) in kinds.items() if new != c})
    combining = {c for c, (_, category) in kinds.items() if category[0] == "M"}
    invisible = {c for c, (_, category) in kinds.items() if category == "Cf"}
    if not combining and not invisible:
        return (Folded(plain),)
    marks = {place for place, character in enumerate(text) if character in combining}
    formats = {place for place, character in enumerate(text) if character in invisible}
    if not formats:
        return (_without(plain, marks, frozenset()),)
    spaced = "".join(" " if place in formats else c for place, c in enumerate(plain))
    return (_without(plain, marks, formats), _without(spaced, marks, frozenset()))


def _without(text: str, marks: AbstractSet[int], formats: AbstractSet[int]) -> Folded:
    if not marks and not formats:
        return Folded(text)
    starts: list[int] = []
    ends: list[int] = []
    for place in range(len(text)):
        if place not in marks and place not in formats:
            starts.append(place)
            ends.append(place + 1)
        elif place in marks and ends and ends[-1] == place:
            ends[-1] = place + 1
    return Folded("".join(text[place] for place in starts), tuple(starts), tuple(ends))
