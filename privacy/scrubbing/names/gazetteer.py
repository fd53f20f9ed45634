"""Lists of names, places and ordinary words, each word with the lists that it is on."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Listed(enum.IntFlag):
    """A list of the gazetteer. A word can be on several: Paris, Grace, Will, Park."""

    FIRST_NAME = 1
    LAST_NAME = 2
    CITY = 4
    COUNTRY = 8
    REGION = 16
    EVERYDAY = 32
    """Among the 500 most frequent English words."""
    FREQUENT = 64
    """Among the 4000 most frequent, not above."""
    WORD = 128
    """In an English dictionary, not above."""
    FOREIGN_WORD = 256
    """Among the frequent words of German, French, Spanish, Italian, Dutch or Portuguese."""


PLACES: Final = Listed.CITY | Listed.COUNTRY | Listed.REGION
ORDINARY: Final = Listed.EVERYDAY | Listed.FREQUENT | Listed.WORD
"""What English words are on, whatever else they are."""
LONGEST_PHRASE: Final = 4
"""Words in the longest place name of several words that is kept."""


class Gazetteer:
    """Which lists a word is on, and which runs of words are the name of one place.

    Args:
        lines: `words TAB number`, the words in lower case without diacritics, one space between
            two; the number is a sum of `Listed`.

    Raises:
        ValueError: a line is none; the file was damaged.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._words: dict[str, int] = {}
        self._phrases: dict[str, int] = {}
        self._openings: set[str] = set()
        for line in lines:
            words, _, lists = line.partition("\t")
            first, space, _ = words.partition(" ")
            if space:
                self._phrases[words] = int(lists)
                self._openings.add(first)
            else:
                self._words[words] = int(lists)

    def of(self, word: str) -> int:
        """Return the lists that one plain word is on, as a number of `Listed`; 0 if none."""
        return self._words.get(word, 0)

    def phrases(self, words: Sequence[str]) -> list[int]:
        """Return, for each of the plain `words`, the lists of the place name that it is part of.

        The longest name at each word counts; 0 for a word in none. Linear in the words.
        """
        lists = [0] * len(words)
        for place, word in enumerate(words):
            if word not in self._openings or lists[place]:
                continue
            for length in range(min(LONGEST_PHRASE, len(words) - place), 1, -1):
                found = self._phrases.get(" ".join(words[place : place + length]), 0)
                if found:
                    lists[place : place + length] = [found] * length
                    break
        return lists
