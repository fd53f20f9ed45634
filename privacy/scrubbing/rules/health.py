"""Recognisers for numbers of patients and prescribers: NHS, MBI, NPI, DEA."""

from __future__ import annotations

from privacy.scrubbing.checksums.health import (
    dea_is_valid,
    mbi_is_valid,
    nhs_is_valid,
    npi_is_valid,
)
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import NEEDS_CONTEXT, NONE, SHAPE, WRITTEN, Form, checked, finder

_NPI = (Form("MEDICAL_LICENSE", r"[12]\d{9}", checked(npi_is_valid, NEEDS_CONTEXT)),)
_NHS = (
    Form(
        "HEALTH_PLAN_NUMBER",
        r"\d{3}[ -]?\d{3}[ -]?\d{4}",
        checked(nhs_is_valid, NEEDS_CONTEXT),
    ),
)
_LETTERED = (
    Form("MEDICAL_LICENSE", r"[A-HJ-MPRSTUX][A-Z9]\d{7}", checked(dea_is_valid, SHAPE)),
    Form(
        "HEALTH_PLAN_NUMBER",
        r"\d[A-Z][A-Z0-9]\d-?[A-Z][A-Z0-9]\d-?[A-Z]{2}\d\d",
        checked(mbi_is_valid, WRITTEN, NONE),
    ),
)

HEALTH_RECOGNIZERS = (
    Recognizer(
        "NHS number",
        ("HEALTH_PLAN_NUMBER",),
        finder(_NHS, opening=r"\d\d\d"),
        ("nhs", "patient", "hospital", "gp"),
        Trigger.SIX_DIGITS,
        NEEDS_CONTEXT,
    ),
    Recognizer(
        "US provider number",
        ("MEDICAL_LICENSE",),
        finder(_NPI, opening=r"[12]\d"),
        ("npi", "provider", "prescriber", "physician", "pharmacy"),
        Trigger.SIX_DIGITS,
        NEEDS_CONTEXT,
    ),
    Recognizer(
        "DEA or Medicare number",
        ("HEALTH_PLAN_NUMBER", "MEDICAL_LICENSE"),
        finder(_LETTERED, opening="[0-9A-Z][A-Z9]"),
        ("dea", "medicare", "mbi", "beneficiary"),
        Trigger.CAPITAL_AND_DIGIT,
        WRITTEN,
    ),
)
