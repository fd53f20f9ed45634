"""A long text in pieces that a model can read, so that nothing is cut off unread.

Token classifiers drop what exceeds their window without a word, and spaCy's memory grows with the
text. Presidio's chunker extends a chunk to the next space, which in one long line without spaces is
its end, and drops the longer of two findings in the overlap; so pieces are made here, and findings
are united.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3130-\u318f\u31f0-\u9fff"
    "\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Thai, Lao, Burmese, Khmer, Chinese, Japanese and Korean: no space where a name ends."""
_IN_WORD: Final = re.compile(rf"[^\W_{_UNSPACED}]|[\u0300-\u036f]")


def windows(text: str, size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Yield ascending ranges of code points of `text`, each at most `size` long.

    Every stretch of at most `overlap` characters lies within one of them. They begin and end at a
    space or line end where one is near.

    Raises:
        ValueError: `overlap` is not less than a quarter of `size`.
    """
    if not 0 <= 4 * overlap < size:
        raise ValueError("the overlap has to be less than a quarter of the window")
    start = 0
    while True:
        end = min(start + size, len(text))
        if end < len(text):
            end = _after_space(text, start + size // 2, end)
        yield start, end
        if end == len(text):
            return
        # Later than the last one: `end` is at least half of `size` from it.
        start = _after_space(text, end - min(2 * overlap, size // 2 - 1), end - overlap)


def _after_space(text: str, first: int, last: int) -> int:
    """Return the last place up to `last` that follows a space or line end, else `last`."""
    found = max(text.rfind(space, first, last) for space in " \n\t")
    return last if found < 0 else found + 1


def whole_words(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a range widened to the words that it begins and ends in.

    A model that reads parts of words may find the first half of a name alone. In scripts without
    spaces nothing says where a word ends, and the range stays.
    """
    while 0 < start < len(text) and _joined(text, start):
        start -= 1
    while 0 < end < len(text) and _joined(text, end):
        end += 1
    return start, end


def _joined(text: str, place: int) -> bool:
    """Say whether the characters before and at `place` are of one word."""
    return bool(_IN_WORD.match(text[place - 1]) and _IN_WORD.match(text[place]))
