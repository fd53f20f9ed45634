"""Recognisers for US social security and individual taxpayer numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.checksums.banking import itin_is_issuable, ssn_is_issuable
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_WRITTEN = 0.6
_SPACED = 0.3
_COMPACT = 0.1
_NINE_DIGITS = re.compile(r"(\d(?<![\w.,-]\d)\d\d)([-. ]?)(\d{2})\2(\d{4})(?![\w-]|[.,]\d)")
_SCORES = {"-": _WRITTEN, ".": _SPACED, " ": _SPACED, "": _COMPACT}


def _find_ssn(text: str) -> Iterator[Span]:
    for match in _NINE_DIGITS.finditer(text):
        if ssn_is_issuable(match[1] + match[3] + match[4]):
            yield Span(match.start(), match.end(), "US_SSN", _SCORES[match[2]])


def _find_itin(text: str) -> Iterator[Span]:
    for match in _NINE_DIGITS.finditer(text):
        if itin_is_issuable(match[1] + match[3] + match[4]):
            yield Span(match.start(), match.end(), "US_ITIN", _SCORES[match[2]])


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
)
