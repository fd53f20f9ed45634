"""Recognisers for US tax identifiers and for dates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.checksums import itin_is_issuable, ssn_is_issuable
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRITTEN = 0.6
_SPACED = 0.3
_COMPACT = 0.1
_NINE_DIGITS = re.compile(r"(?<![\w.,-])(\d{3})([-. ]?)(\d{2})\2(\d{4})(?![\w-]|[.,]\d)")
_SCORES = {"-": _WRITTEN, ".": _SPACED, " ": _SPACED, "": _COMPACT}


def _find_ssn(text: str) -> Iterator[Span]:
    for match in _NINE_DIGITS.finditer(text):
        if ssn_is_issuable(match[1] + match[3] + match[4]):
            yield Span(match.start(), match.end(), "US_SSN", _SCORES[match[2]])


def _find_itin(text: str) -> Iterator[Span]:
    for match in _NINE_DIGITS.finditer(text):
        if itin_is_issuable(match[1] + match[3] + match[4]):
            yield Span(match.start(), match.end(), "US_ITIN", _SCORES[match[2]])


_MONTH = (
    "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
)
_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH_NUMBER = "(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:(?:1[89]|2[01])\d\d)"
_DATES = re.compile(
    rf"(?<![\w./-])(?:{_YEAR}([-/.]){_MONTH_NUMBER}\1{_DAY}(?:[T ][0-2]?\d:[0-5]\d(?::[0-5]\d)?Z?)?"
    rf"|(?:{_DAY}([-/.]){_MONTH_NUMBER}\2|{_MONTH_NUMBER}([-/.]){_DAY}\3)(?:{_YEAR}|\d\d)"
    rf"|{_DAY}(?:st|nd|rd|th)?(?: of)?[ -]{_MONTH}\.?,?(?:[ -](?:{_YEAR}|\d\d))?"
    rf"|{_MONTH}\.?[ -]{_DAY}(?:st|nd|rd|th)?(?:,? {_YEAR})?"
    rf"|{_MONTH}\.?,? {_YEAR})(?![\w/]|[.-]\d)",
    re.IGNORECASE,
)


def _find_date(text: str) -> Iterator[Span]:
    for match in _DATES.finditer(text):
        yield Span(match.start(), match.end(), "DATE_TIME", _WRITTEN)


IDENTITY_RECOGNIZERS = (
    Recognizer(
        "US social security number",
        ("US_SSN",),
        _find_ssn,
        ("ssn", "ssns", "social", "security", "ssid"),
        Trigger.SIX_DIGITS,
        _WRITTEN,
    ),
    Recognizer(
        "US individual taxpayer number",
        ("US_ITIN",),
        _find_itin,
        ("itin", "individual", "taxpayer", "tax", "tin"),
        Trigger.SIX_DIGITS,
        _WRITTEN,
    ),
    Recognizer("date", ("DATE_TIME",), _find_date, (), Trigger.DIGIT, _WRITTEN),
)
