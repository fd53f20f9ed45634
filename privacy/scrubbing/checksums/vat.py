"""Forms and check digits of European VAT numbers, by country prefix.

The forms are those of the European Commission's VIES; the check digits those that each country
publishes. Where a country's are not computed here, the form alone decides.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.checksums.banking import luhn_is_valid
from privacy.scrubbing.checksums.taxes import (
    bsn_is_valid,
    mod_11_10_is_valid,
    nif_is_valid,
    portuguese_is_valid,
    weighted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_FORMS = {
    "AT": r"U\d{8}", "BE": r"[01]\d{9}", "BG": r"\d{9,10}", "CY": r"\d{8}[A-Z]",
    "CZ": r"\d{8,10}", "DE": r"[1-9]\d{8}", "DK": r"\d{8}", "EE": r"\d{9}", "EL": r"\d{9}",
    "ES": r"[A-Z\d]\d{7}[A-Z\d]", "FI": r"\d{8}", "FR": r"[A-HJ-NP-Z\d]{2}\d{9}",
    "GB": r"\d{9}(?:\d{3})?", "HR": r"\d{11}", "HU": r"\d{8}", "IE": r"\d[A-Z\d+*]\d{5}[A-W][A-I]?",
    "IT": r"\d{11}", "LT": r"\d{9}(?:\d{3})?", "LU": r"\d{8}", "LV": r"\d{11}", "MT": r"\d{8}",
    "NL": r"\d{9}B\d{2}", "PL": r"\d{10}", "PT": r"\d{9}", "RO": r"\d{2,10}", "SE": r"\d{10}01",
    "SI": r"\d{8}", "SK": r"\d{10}", "XI": r"\d{9}(?:\d{3})?",
}  # fmt: skip
_COMPILED = {country: re.compile(form) for country, form in _FORMS.items()}

VAT_COUNTRIES = tuple(sorted(_FORMS))


def _ints(text: str) -> list[int]:
    return [int(character) for character in text]


def _austrian(number: str) -> bool:
    total = 0
    for place, digit in enumerate(_ints(number[1:8])):
        value = digit * (1 + place % 2)
        total += value // 10 + value % 10
    return (96 - total) % 10 == int(number[8])


def _belgian(number: str) -> bool:
    return 97 - int(number[:8]) % 97 == int(number[8:])


def _british(number: str) -> bool:
    total = weighted(_ints(number[:7]), (8, 7, 6, 5, 4, 3, 2)) + int(number[7:9])
    return total % 97 in (0, 42)  # 42: numbers issued since 2010 add 55


def _danish(number: str) -> bool:
    return weighted(_ints(number), (2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def _dutch(number: str) -> bool:
    if bsn_is_valid(number[:9]):
        return True
    # Since 2020 the numbers of sole traders: ISO 7064 mod 97-10 over the country too.
    return int("".join(str(int(character, 36)) for character in "NL" + number)) % 97 == 1


def _finnish(number: str) -> bool:
    return weighted(_ints(number), (7, 9, 10, 5, 8, 4, 2, 1)) % 11 == 0


def _french(number: str) -> bool:
    if not number[:2].isdecimal():
        return True  # the newer keys have letters, and their rule is not published
    return (12 + 3 * (int(number[2:]) % 97)) % 97 == int(number[:2])


def _luxembourgish(number: str) -> bool:
    return int(number[:6]) % 89 == int(number[6:])


def _polish(number: str) -> bool:
    return weighted(_ints(number), (6, 5, 7, 2, 3, 4, 5, 6, 7, -1)) % 11 == 0


def _spanish(number: str) -> bool:
    return nif_is_valid(number) or _cif_is_valid(number)


def _cif_is_valid(number: str) -> bool:
    """Say whether a firm's NIF ends in its digit or the letter for it (Orden EHA/451/2008)."""
    if number[0] not in "ABCDEFGHJNPQRSUVW":
        return False
    total = 0
    for place, digit in enumerate(_ints(number[1:8])):
        value = digit * (2 - place % 2)
        total += value // 10 + value % 10
    check = -total % 10
    return number[8] in (str(check), "JABCDEFGHI"[check])


_CHECKS: Mapping[str, Callable[[str], bool]] = {
    "AT": _austrian,
    "BE": _belgian,
    "DE": lambda number: mod_11_10_is_valid(_ints(number)),
    "DK": _danish,
    "ES": _spanish,
    "FI": _finnish,
    "FR": _french,
    "GB": _british,
    "IT": luhn_is_valid,
    "LU": _luxembourgish,
    "NL": _dutch,
    "PL": _polish,
    "PT": portuguese_is_valid,
    "SE": lambda number: luhn_is_valid(number[:10]),
    "XI": _british,
}


def vat_has_its_form(number: str) -> bool:
    """Say whether a compact upper-case number with its country has that country's form."""
    form = _COMPILED.get(number[:2])
    return number.isascii() and form is not None and form.fullmatch(number, 2) is not None


def vat_is_valid(number: str) -> bool:
    """Say whether a VAT number has its country's form and, where one is computed, check digit."""
    if not vat_has_its_form(number):
        return False
    check = _CHECKS.get(number[:2])
    return check is None or check(number[2:])
