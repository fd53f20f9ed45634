"""Recognisers for legal entities and securities: LEI, ISIN, CUSIP, SEDOL."""

from __future__ import annotations

from privacy.scrubbing.checksums.securities import (
    cusip_is_valid,
    isin_is_valid,
    lei_is_valid,
    sedol_is_valid,
)
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import CERTAIN, NEEDS_CONTEXT, WRITTEN, Form, checked, finder

_FORMS = (
    Form("LEI", r"[A-Z0-9]{18}\d\d", checked(lei_is_valid, CERTAIN)),
    Form("ISIN", r"[A-Z]{2}[ -]?[A-Z0-9]{9}[ -]?\d", checked(isin_is_valid, WRITTEN)),
    Form("CUSIP", r"\d{3}[0-9A-Z]{5}[ -]?\d", checked(cusip_is_valid, NEEDS_CONTEXT)),
    Form("SEDOL", r"[0-9B-DF-HJ-NP-TV-Z]{6}\d", checked(sedol_is_valid, NEEDS_CONTEXT)),
)

SECURITIES_RECOGNIZERS = (
    Recognizer(
        "securities and legal entities",
        ("LEI", "ISIN", "CUSIP", "SEDOL"),
        finder(_FORMS, opening="[0-9A-Z]{2}[0-9A-Z -]"),
        ("lei", "isin", "cusip", "sedol", "security", "securities"),
        Trigger.SEVEN_CAPITALS_OR_DIGITS,
    ),
)
