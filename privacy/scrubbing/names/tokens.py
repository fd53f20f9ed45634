"""Words, numbers and marks of a text: what the names model reads, and where each stands."""

from __future__ import annotations

import re
import unicodedata

_TOKEN = re.compile(
    r"<[A-Z][A-Z0-9_]*>"  # what scrubbing left
    r"|[^\W\d_]+(?:['\u2019](?!s\b)[^\W\d_]+)*"  # O'Brien is one word, Maclean's is two
    r"|\d+|\n|[^\w\s]|_"
)


def tokenise(text: str) -> tuple[list[str], list[tuple[int, int]]]:
    """Return the tokens of a folded text, and [start, end) of each, both ascending.

    White space but the line end is no token: a line end says as much as a full stop in a form.
    """
    matches = list(_TOKEN.finditer(text))
    return [match[0] for match in matches], [match.span() for match in matches]


_APART = str.maketrans({"\u0142": "l", "\u0141": "l", "\u00f8": "o", "\u00d8": "o"} | {
    "\u0111": "d", "\u0110": "d", "\u2019": "'", "\u0131": "i", "\u00fe": "th", "\u00de": "th",
    "\u00f0": "d", "\u00d0": "d", "\u00e6": "ae", "\u00c6": "ae", "\u0153": "oe", "\u0152": "oe",
})  # fmt: skip


def plain(word: str) -> str:
    """Return `word` in lower case and without diacritics: how lists of names are looked up.

    The same for an accented letter and for its base letter, since people write both.
    """
    if word.isascii():
        return word.lower()
    apart = unicodedata.normalize("NFKD", word.translate(_APART).casefold())
    return "".join(c for c in apart if not unicodedata.combining(c))
