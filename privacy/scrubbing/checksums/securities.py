"""Check digits of legal entities and securities: LEI, ISIN, CUSIP, SEDOL.

Every function takes a compact upper-case candidate and answers yes or no, like `checksums`.
"""

from __future__ import annotations

from privacy.scrubbing.checksums.banking import COUNTRIES, luhn_is_valid

_LEI_LENGTH = 20
_ISIN_LENGTH = 12
_CUSIP_LENGTH = 9
_SEDOL_WEIGHTS = (1, 3, 1, 7, 3, 9, 1)
_ISIN_PREFIXES = COUNTRIES | {"EU", "EZ", "QS", "QT", "XA", "XB", "XC", "XD", "XF", "XS", "XT"}
"""Countries, and the prefixes of ISO 6166 for what belongs to none, such as XS for Euroclear."""


def _is_capitals_and_digits(text: str) -> bool:
    return text.isascii() and text.isalnum() and text == text.upper()


def lei_is_valid(lei: str) -> bool:
    """Say whether a legal entity identifier has remainder 1 (ISO 17442, ISO 7064 mod 97-10)."""
    if len(lei) != _LEI_LENGTH or not _is_capitals_and_digits(lei) or not lei[-2:].isdecimal():
        return False
    return int("".join(str(int(character, 36)) for character in lei)) % 97 == 1


def isin_is_valid(isin: str) -> bool:
    """Say whether an ISIN has a known prefix and its Luhn digit, letters as 10 to 35 (ISO 6166)."""
    if len(isin) != _ISIN_LENGTH or not _is_capitals_and_digits(isin):
        return False
    if isin[:2] not in _ISIN_PREFIXES or not isin[-1].isdecimal():
        return False
    return luhn_is_valid("".join(str(int(character, 36)) for character in isin))


def cusip_is_valid(cusip: str) -> bool:
    """Say whether nine characters end in their CUSIP check digit (ANSI X9.6).

    Letters count 10 to 35; every second value is doubled; the digits of each are added.
    """
    if len(cusip) != _CUSIP_LENGTH or not _is_capitals_and_digits(cusip):
        return False
    if not cusip[-1].isdecimal():
        return False
    total = 0
    for place, character in enumerate(cusip[:-1]):
        value = int(character, 36) * (1 + place % 2)
        total += value // 10 + value % 10
    return (10 - total % 10) % 10 == int(cusip[-1])


def sedol_is_valid(sedol: str) -> bool:
    """Say whether seven characters without vowels have a weighted sum of 0 mod 10 (LSE)."""
    if len(sedol) != len(_SEDOL_WEIGHTS) or not _is_capitals_and_digits(sedol):
        return False
    if not set("AEIOU").isdisjoint(sedol) or not sedol[-1].isdecimal():
        return False
    values = zip(sedol, _SEDOL_WEIGHTS, strict=True)
    return sum(int(character, 36) * weight for character, weight in values) % 10 == 0
