"""Years of birth that tell an age over 89, which no search for dates finds: a bare year is none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

EARLIEST_YEAR: Final = 1800
_YEAR: Final = re.compile(r"(?<![\w.,/-])(?:1[89]|2[01])\d\d(?![\w/]|[.,-]\d)", re.ASCII)
_BIRTH: Final = re.compile(
    r"(?<!\w)(?:born|birth|birthday|b\.|yob|dob|d\.o\.b\.?|geb\.?|geboren\w*|geburtsjahr|jahrgang|"
    r"jg\.?|n\u00e9e?|naissance|nacid[oa]|nacimiento|nat[oa]|nascita|\*)(?!\w)",
    re.IGNORECASE,
)
_STOP: Final = re.compile(r"[\d<]")
_LONGEST_WAY: Final = 30
_SCORE: Final = 0.6


def early_births(latest: int) -> Recognizer:
    """Return what finds the years up to `latest` that stand within 30 characters after "born"."""

    def find(text: str) -> Iterator[Span]:
        for match in _YEAR.finditer(text):
            before = text[max(0, match.start() - _LONGEST_WAY) : match.start()]
            cues = list(_BIRTH.finditer(before))
            # What follows another number or a placeholder is not this birth's year.
            if int(match[0]) <= latest and cues and not _STOP.search(before, cues[-1].end()):
                yield Span(match.start(), match.end(), "DATE_TIME", _SCORE)

    return Recognizer("early year of birth", ("DATE_TIME",), find, (), Trigger.DIGIT, _SCORE)
