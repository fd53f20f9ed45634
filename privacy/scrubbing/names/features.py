"""What the names model is told about each token of a text."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from privacy.scrubbing.names.gazetteer import PLACES, Gazetteer
from privacy.scrubbing.names.tokens import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

AFFIX_BUCKETS: Final = 4096
AFFIXES: Final = 5
"""Prefixes of 2 and 3 letters, suffixes of 2, 3 and 4."""
SHAPES: Final = 20
LISTS: Final = 9
PLACE_FLAGS: Final = 6
UNKNOWN_WORD: Final = 0
_LINE_END: Final = "\n"

TOKEN_COLUMNS: Final = 1 + AFFIXES + 1 + 1
"""Word, affixes, shape, lists as one number: what depends on the token alone."""

_FIXED_SHAPES: Final = {
    "\n": 1, ".": 2, ",": 3, ":": 4, "-": 5, "(": 6, ")": 6, "'": 7, '"': 7, "/": 8, "#": 8, "@": 8,
}  # fmt: skip
_PLACEHOLDER_SHAPE = 9
_OTHER_MARK = 10
_DIGITS_FROM = 11
_MOST_DIGITS = 5
_LOWER, _TITLE, _CAPITAL, _CAPITALS = 16, 17, 18, 19
_PLACEHOLDER = re.compile("<[A-Z][A-Z0-9_]*>")


def shape(token: str) -> int:
    """Return the class of a token's form, from 0 (mixed case) to `SHAPES` - 1."""
    fixed = _FIXED_SHAPES.get(token)
    if fixed is not None:
        return fixed
    if token.isdigit():
        return _DIGITS_FROM + min(len(token), _MOST_DIGITS) - 1
    if not token[0].isalpha():
        return _PLACEHOLDER_SHAPE if _PLACEHOLDER.fullmatch(token) else _OTHER_MARK
    if token.islower():
        return _LOWER
    if token.isupper():
        return _CAPITAL if len(token) == 1 else _CAPITALS
    return _TITLE if token.istitle() else 0


def _bucket(kind: str, piece: str) -> int:
    return zlib.crc32(f"{kind}{piece}".encode("utf-8", "surrogatepass")) % AFFIX_BUCKETS


def token_row(token: str, vocabulary: Mapping[str, int], gazetteer: Gazetteer) -> tuple[int, ...]:
    """Return what is known of a token without its neighbours: `TOKEN_COLUMNS` integers."""
    word = plain(token)
    return (
        vocabulary.get(word, UNKNOWN_WORD),
        _bucket("^2", word[:2]),
        _bucket("^3", word[:3]),
        _bucket("2$", word[-2:]),
        _bucket("3$", word[-3:]),
        _bucket("4$", word[-4:]),
        shape(token),
        gazetteer.of(word),
    )


def place_rows(tokens: Sequence[str], gazetteer: Gazetteer) -> NDArray[np.float32]:
    """Return what is known of each token from where it stands: `(n, PLACE_FLAGS)` of 0 and 1.

    Part of a place name of several words; first of its line; in a line with no small letter; in a
    line with no capital; in a text with no capital; in a text of a single line.
    """
    flags = np.zeros((len(tokens), PLACE_FLAGS), np.float32)
    if not tokens:
        return flags
    phrases = np.array(gazetteer.phrases([plain(token) for token in tokens]))
    flags[:, 0] = (phrases & int(PLACES)) != 0
    opening = 0
    ends = [place for place, token in enumerate(tokens) if token == _LINE_END]
    for place in (*ends, len(tokens)):
        line = "".join(tokens[opening:place])
        flags[opening, 1] = place > opening
        flags[opening:place, 2] = line.isupper()
        flags[opening:place, 3] = line.islower()
        flags[opening:place, 5] = opening == 0 and place == len(tokens)
        opening = min(place + 1, len(tokens) - 1)
    flags[:, 4] = "".join(tokens).islower()
    return flags


def list_flags(lists: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return numbers of `Listed` as flags: `(n,)` to `(n, LISTS)`."""
    return ((lists[:, None] >> np.arange(LISTS)) & 1).astype(np.float32)
