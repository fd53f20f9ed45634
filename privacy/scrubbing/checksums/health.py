"""Check digits in health care and on devices: NHS, NPI, DEA, MBI, GTIN, IMEI, VIN.

Every function takes a compact upper-case candidate and answers yes or no, like `checksums`.
"""

from __future__ import annotations

import re

from privacy.scrubbing.checksums.banking import luhn_is_valid

_NHS_DIGITS = 10
_NPI_DIGITS = 10
_IMEI_DIGITS = 15
_GTIN_DIGITS = (8, 12, 13, 14)
_DEA = re.compile(r"[ABCDEFGHJKLMPRSTUX][A-Z9]\d{7}")
_MBI_LETTER = "[AC-HJKMNP-RT-Y]"
_MBI_EITHER = "[0-9AC-HJKMNP-RT-Y]"
_MBI = re.compile(
    rf"[1-9]{_MBI_LETTER}{_MBI_EITHER}\d{_MBI_LETTER}{_MBI_EITHER}\d{_MBI_LETTER}{{2}}\d\d"
)
_VIN = re.compile("[0-9A-HJ-NPR-Z]{17}")
_VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_VIN_CHECK_PLACE = 8
_VIN_VALUES = dict(
    zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True)
) | {digit: int(digit) for digit in "0123456789"}


def _are_digits(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def nhs_is_valid(digits: str) -> bool:
    """Say whether ten digits are an NHS number (NHS Data Dictionary: weights 10 to 2, mod 11)."""
    if len(digits) != _NHS_DIGITS or not _are_digits(digits):
        return False
    # The check digit weighs one, so that the whole sum is zero; a check of 10 is never issued.
    return sum(int(digit) * (10 - place) for place, digit in enumerate(digits)) % 11 == 0


def npi_is_valid(digits: str) -> bool:
    """Say whether ten digits are a US provider number (CMS: Luhn over 80840 and the number)."""
    return len(digits) == _NPI_DIGITS and digits[0] in "12" and luhn_is_valid("80840" + digits)


def dea_is_valid(number: str) -> bool:
    """Say whether a DEA registration ends in its check digit.

    The last digit of (d1 + d3 + d5) + 2 (d2 + d4 + d6), after a registrant's letter and the
    initial of the name (DEA Diversion Control).
    """
    if not number.isascii() or not _DEA.fullmatch(number):
        return False
    digits = [int(digit) for digit in number[2:]]
    return (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6]


def mbi_is_valid(number: str) -> bool:
    """Say whether eleven characters follow the positions of a Medicare number (CMS, MBI format)."""
    return number.isascii() and _MBI.fullmatch(number) is not None


def gtin_is_valid(digits: str) -> bool:
    """Say whether 8, 12, 13 or 14 digits end in their GS1 check digit (weights 3 and 1)."""
    if len(digits) not in _GTIN_DIGITS or not _are_digits(digits):
        return False
    return sum(int(d) * (3 if n % 2 else 1) for n, d in enumerate(reversed(digits))) % 10 == 0


def imei_is_valid(digits: str) -> bool:
    """Say whether fifteen digits end in the Luhn digit of a mobile device (3GPP TS 23.003)."""
    return len(digits) == _IMEI_DIGITS and _are_digits(digits) and luhn_is_valid(digits)


def vin_is_valid(vin: str) -> bool:
    """Say whether a vehicle number has its check digit at the ninth place (49 CFR 565.15).

    Vehicles for North America and China carry one; others need not.
    """
    if not vin.isascii() or not _VIN.fullmatch(vin):
        return False
    total = sum(_VIN_VALUES[c] * weight for c, weight in zip(vin, _VIN_WEIGHTS, strict=True))
    return vin[_VIN_CHECK_PLACE] == "0123456789X"[total % 11]
