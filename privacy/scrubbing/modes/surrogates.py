"""Invented names, made of syllables: the words that stand where names and places stood.

No list of real names is behind them. They say nothing of sex, language or country, on purpose: what
they kept of a name would be kept of its bearer.
"""

from __future__ import annotations

from typing import Final

_HEADS: Final = (
    "Bav", "Bel", "Bren", "Cal", "Cor", "Dal", "Dov", "Dren", "Fal", "Fen", "Fir", "Gal", "Gor",
    "Hal", "Hev", "Hol", "Jal", "Jev", "Kel", "Kor", "Lav", "Len", "Lor", "Mav", "Mel", "Mor",
    "Nal", "Nev", "Nor", "Pal", "Pel", "Ral", "Ren", "Rov", "Sal", "Sev", "Sor", "Tal", "Tev",
    "Tor", "Val", "Vel", "Vor", "Zal", "Zev", "Zor",
)  # fmt: skip
_LINKS: Final = ("a", "e", "i", "o", "u")
_MIDDLES: Final = (
    "b", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "fl", "gr", "kr",
)  # fmt: skip
_NAME_ENDS: Final = (
    "ard", "ask", "ax", "el", "em", "en", "ent", "esk", "et", "ic", "im", "in", "ish", "isk",
    "ond", "or", "orn", "osk", "und", "urn",
)  # fmt: skip
_PLACE_ENDS: Final = (
    "brook", "dale", "field", "ford", "gate", "haven", "mere", "port", "stead", "ton", "wick",
)  # fmt: skip
_STREETS: Final = ("Street", "Road", "Lane", "Avenue", "Way")
_FIRMS: Final = ("Group", "Partners", "Services", "Institute", "Company")
_LARGEST_HOUSE: Final = 199

NAMES: Final = len(_HEADS) * len(_LINKS) * len(_MIDDLES) * len(_NAME_ENDS)
"""How many names of one word there are (82 800)."""
PLACES: Final = len(_HEADS) * len(_LINKS) * len(_MIDDLES) * len(_PLACE_ENDS)
"""How many places of one word there are (45 540)."""
COMMON_WORDS: Final = tuple(word.casefold() for word in _STREETS + _FIRMS)
"""The words of surrogates that are not invented."""


def name(number: int) -> str:
    """Return one of the `NAMES` names, such as "Kelabrond"; the same for equal remainders."""
    rest, stem = _stem(number)
    return stem + _NAME_ENDS[rest % len(_NAME_ENDS)]


def place(number: int) -> str:
    """Return one of the `PLACES` places, such as "Tevigramere"."""
    rest, stem = _stem(number)
    return f"{stem}a{_PLACE_ENDS[rest % len(_PLACE_ENDS)]}"


def street(number: int) -> str:
    """Return a street address, such as "87 Norudask Lane"."""
    rest, stem = _stem(number)
    rest, end = divmod(rest, len(_NAME_ENDS))
    rest, kind = divmod(rest, len(_STREETS))
    return f"{rest % _LARGEST_HOUSE + 1} {stem}{_NAME_ENDS[end]} {_STREETS[kind]}"


def firm(number: int) -> str:
    """Return the name of an organisation, such as "Palevurn Institute"."""
    rest, stem = _stem(number)
    rest, end = divmod(rest, len(_NAME_ENDS))
    return f"{stem}{_NAME_ENDS[end]} {_FIRMS[rest % len(_FIRMS)]}"


def _stem(number: int) -> tuple[int, str]:
    """Return what is left of `number` after a head, a link and a middle were chosen by it."""
    rest, head = divmod(number, len(_HEADS))
    rest, link = divmod(rest, len(_LINKS))
    rest, middle = divmod(rest, len(_MIDDLES))
    return rest, _HEADS[head] + _LINKS[link] + _MIDDLES[middle]
