"""What scrubbing is for: which rule of de-identification a text is written by, and what it asks.

The rules are those of the HIPAA Privacy Rule, 45 CFR 164.514(b). This module imports nothing heavy,
so that a configuration can name a mode.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ScrubMode(StrEnum):
    """What stands in a text in the place of a finding."""

    PLACEHOLDERS = "placeholders"
    """Its type, such as `<PERSON>`. Claims nothing."""
    SAFE_HARBOR = "safe-harbor"
    """What 45 CFR 164.514(b)(2)(i) leaves: years, the first three digits of a ZIP code, states;
    for names and places random surrogates that are not derived from them."""
    EXPERT_DETERMINATION = "expert-determination"
    """Keyed surrogates and shifted dates, which 45 CFR 164.514(b)(2) forbids: an expert has to
    determine under 164.514(b)(1) that the risk is very small."""


class DateOrder(StrEnum):
    """How a numeric date such as 03/04/2019 is read."""

    DAY_FIRST = "day-first"
    MONTH_FIRST = "month-first"


@dataclass(frozen=True, slots=True)
class Document:
    """Which document a text is: all, beside its values, that a replacement may depend on.

    Attributes:
        number: its place among the documents of the run, from 0.
        unit: whose it is, where that is known; not shown by `repr`.
    """

    number: int
    unit: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Identifier:
    """One of the eighteen identifiers of 45 CFR 164.514(b)(2)(i).

    Attributes:
        letter: of its paragraph, A to R.
        words: what it is.
        entities: all that have to be looked for; none where text cannot hold it.
    """

    letter: str
    words: str
    entities: tuple[str, ...]


SAFE_HARBOR_IDENTIFIERS = (
    Identifier(
        "A", "names, also of relatives, employers and household", ("ORGANIZATION", "PERSON")
    ),
    Identifier(
        "B",
        "places smaller than a state, postal codes",
        ("LOCATION", "POSTAL_CODE", "STREET_ADDRESS"),
    ),
    Identifier("C", "dates but the year, ages over 89", ("AGE_OVER_89", "DATE_TIME")),
    Identifier("D", "telephone numbers", ("PHONE_NUMBER",)),
    Identifier("E", "fax numbers", ("PHONE_NUMBER",)),
    Identifier("F", "e-mail addresses", ("EMAIL_ADDRESS",)),
    Identifier("G", "social security numbers", ("US_SSN",)),
    Identifier("H", "medical record numbers", ("MEDICAL_RECORD_NUMBER",)),
    Identifier("I", "health plan beneficiary numbers", ("HEALTH_PLAN_NUMBER",)),
    Identifier(
        "J",
        "account numbers",
        ("ACCOUNT_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_BANK_NUMBER"),
    ),
    Identifier(
        "K",
        "certificate and licence numbers",
        ("MEDICAL_LICENSE", "US_DRIVER_LICENSE", "US_PASSPORT"),
    ),
    Identifier("L", "vehicle identifiers and plates", ("LICENCE_PLATE", "VEHICLE_ID")),
    Identifier("M", "device identifiers and serial numbers", ("DEVICE_ID",)),
    Identifier("N", "web addresses", ("URL",)),
    Identifier("O", "internet (IP) addresses", ("IP_ADDRESS",)),
    Identifier("P", "biometric identifiers", ("BIOMETRIC_ID",)),
    Identifier("Q", "full-face photographs", ()),
    Identifier(
        "R", "any other unique number or code", ("CRYPTO", "TAX_ID", "UNIQUE_ID", "US_ITIN")
    ),
)
"""The eighteen identifiers, and the entities by which they are looked for in text.

A photograph cannot stand in text. A *characteristic* that is unique ("the mayor of ...", the last
words of R in the rule) has no form, and no entity finds it.
"""

SAFE_HARBOR_ENTITIES = tuple(
    sorted({entity for entry in SAFE_HARBOR_IDENTIFIERS for entity in entry.entities})
)
"""What a site has to look for in Safe Harbor mode: without a provider for one, it refuses."""


def entities_of(mode: ScrubMode, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return `chosen` with what `mode` asks for beside it, added at the end in alphabetic order."""
    if mode is not ScrubMode.SAFE_HARBOR:
        return chosen
    return chosen + tuple(entity for entity in SAFE_HARBOR_ENTITIES if entity not in chosen)
