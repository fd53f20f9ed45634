"""Check digits of people's and firms' tax and national numbers, by country.

Every function takes a compact upper-case candidate, without separators unless it says so, and
answers yes or no, like `checksums`. The rules are those of each country's tax office, as collected
in the OECD's and the European Commission's descriptions of tax identification numbers.
"""

from __future__ import annotations

import re

from privacy.scrubbing.checksums.banking import luhn_is_valid

_MOST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _digits(text: str, count: int) -> list[int] | None:
    """Return the digits of `text`, None unless it is exactly `count` ASCII digits."""
    if len(text) != count or not (text.isascii() and text.isdecimal()):
        return None
    return [int(character) for character in text]


def weighted(digits: list[int], weights: tuple[int, ...]) -> int:
    """Return the sum of each digit times its weight, as far as the shorter of them goes."""
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def is_day_and_month(day: int, month: int) -> bool:
    """Say whether some year has this day of this month."""
    return 1 <= month <= len(_MOST_DAYS) and 1 <= day <= _MOST_DAYS[month - 1]


# --- United Kingdom ------------------------------------------------------------------------

_NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]")
_UTR_WEIGHTS = (6, 7, 8, 9, 10, 5, 4, 3, 2)


def nino_is_issuable(number: str) -> bool:
    """Say whether a UK national insurance number has an issued prefix and suffix (HMRC NIM39110).

    It has no check digit.
    """
    return number.isascii() and _NINO.fullmatch(number) is not None


def utr_is_valid(number: str) -> bool:
    """Say whether ten digits start with the check digit of a UK taxpayer reference."""
    digits = _digits(number, 10)
    if digits is None:
        return False
    return digits[0] == int("21987654321"[weighted(digits[1:], _UTR_WEIGHTS) % 11])


# --- Germany, France -----------------------------------------------------------------------


def mod_11_10_is_valid(digits: list[int]) -> bool:
    """Say whether the last digit is the check digit of ISO 7064 mod 11,10."""
    product = 10
    for digit in digits[:-1]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == digits[-1]


def steuer_id_is_valid(number: str) -> bool:
    """Say whether eleven digits are a German Steuer-ID (ISO 7064 mod 11,10).

    Of the first ten digits exactly one occurs twice or three times, and none leads with zero.
    """
    digits = _digits(number, 11)
    if digits is None or digits[0] == 0:
        return False
    repeats = sorted(digits[:10].count(digit) for digit in set(digits[:10]))
    if repeats[-1] not in (2, 3) or (len(repeats) > 1 and repeats[-2] > 1):
        return False
    return mod_11_10_is_valid(digits)


def spi_is_valid(number: str) -> bool:
    """Say whether a French numéro fiscal of 13 digits ends in the first ten modulo 511."""
    digits = _digits(number, 13)
    return digits is not None and digits[0] <= 3 and int(number[:10]) % 511 == int(number[10:])  # noqa: PLR2004 - the largest first digit


_NIR = re.compile(r"[1-478]\d\d(?:0[1-9]|1[0-2]|[2-9]\d)(?:\d\d|2[AB])\d{6}\d\d")


def nir_is_valid(number: str) -> bool:
    """Say whether a French NIR of 15 places ends in its key: 97 minus the rest modulo 97 (INSEE).

    Corsica's 2A and 2B count as 19 and 18.
    """
    if not number.isascii() or not _NIR.fullmatch(number):
        return False
    plain = number.replace("2A", "19").replace("2B", "18")
    return 97 - int(plain[:13]) % 97 == int(plain[13:])


# --- Spain, Italy --------------------------------------------------------------------------

_NIF_LETTERS = "TRWAGMYFPDXBNJZSQVHLCKE"
_NIF = re.compile(r"[\dXYZ]\d{7}[A-Z]")
_CODICE = re.compile(r"[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]")
_CODICE_ODD = (
    1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
)  # fmt: skip


def nif_is_valid(number: str) -> bool:
    """Say whether a Spanish NIF, or NIE with X, Y or Z first, ends in its letter (modulo 23)."""
    if not number.isascii() or not _NIF.fullmatch(number):
        return False
    first = str("XYZ".find(number[0])) if number[0] in "XYZ" else number[0]
    return _NIF_LETTERS[int(first + number[1:8]) % 23] == number[8]


def codice_fiscale_is_valid(code: str) -> bool:
    """Say whether an Italian codice fiscale ends in its check letter (DM 23/12/1976).

    Letters in places of digits (omocodia) are allowed.
    """
    if not code.isascii() or not _CODICE.fullmatch(code):
        return False
    total = 0
    for place, character in enumerate(code[:15]):
        value = int(character) if character.isdecimal() else ord(character) - ord("A")
        total += value if place % 2 else _CODICE_ODD[value]
    return chr(ord("A") + total % 26) == code[15]


# --- Netherlands, Belgium, Switzerland, Portugal ---------------------------------------------


def bsn_is_valid(number: str) -> bool:
    """Say whether nine digits pass the Dutch eleven test, the last digit counted minus once."""
    digits = _digits(number, 9)
    if digits is None or not any(digits):
        return False
    return weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def belgian_is_valid(number: str) -> bool:
    """Say whether eleven digits are a Belgian national number: 97 minus the first nine modulo 97.

    A 2 stands before the nine digits of people born from 2000 on.
    """
    digits = _digits(number, 11)
    if digits is None or not is_day_and_month(int(number[4:6]) or 1, int(number[2:4]) % 20 or 1):
        return False
    key = int(number[9:])
    return key in (97 - int(number[:9]) % 97, 97 - int("2" + number[:9]) % 97)


def ahv_is_valid(number: str) -> bool:
    """Say whether 13 digits are a Swiss AHV number: 756 and an EAN-13 check digit."""
    digits = _digits(number, 13)
    if digits is None or not number.startswith("756"):
        return False
    return weighted(digits, (1, 3) * 6 + (1,)) % 10 == 0


def portuguese_is_valid(number: str) -> bool:
    """Say whether nine digits are a Portuguese NIF (weights 9 to 2, modulo 11, 10 as 0)."""
    digits = _digits(number, 9)
    if digits is None or digits[0] == 0:
        return False
    return (-weighted(digits[:8], (9, 8, 7, 6, 5, 4, 3, 2)) % 11) % 10 == digits[8]


# --- the North, Poland ---------------------------------------------------------------------

_HETU = re.compile(r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]")
_HETU_CHECK = "0123456789ABCDEFHJKLMNPRSTUVWXY"
_COORDINATION_DAYS = 60
_D_NUMBER_DAYS = 40
_PESEL_CENTURIES = 20


def personnummer_is_valid(number: str) -> bool:
    """Say whether ten digits are a Swedish number: YYMMDD, or the day plus 60, and Luhn's digit."""
    digits = _digits(number, 10)
    if digits is None:
        return False
    day = int(number[4:6]) % _COORDINATION_DAYS
    return is_day_and_month(day, int(number[2:4])) and luhn_is_valid(number)


def henkilotunnus_is_valid(code: str) -> bool:
    """Say whether a Finnish code, with its century sign, ends in its character (modulo 31)."""
    if not code.isascii() or not _HETU.fullmatch(code):
        return False
    if not is_day_and_month(int(code[:2]), int(code[2:4])):
        return False
    return _HETU_CHECK[int(code[:6] + code[7:10]) % 31] == code[10]


def cpr_is_plausible(number: str) -> bool:
    """Say whether ten digits start with a date, as a Danish CPR number does.

    Numbers issued since 2007 need not pass modulo 11, so `cpr_is_valid` is not required of one.
    """
    digits = _digits(number, 10)
    return digits is not None and is_day_and_month(int(number[:2]), int(number[2:4]))


def cpr_is_valid(number: str) -> bool:
    """Say whether a Danish CPR number passes modulo 11 (CPR-kontoret)."""
    if not cpr_is_plausible(number):
        return False
    return weighted([int(c) for c in number], (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def fodselsnummer_is_valid(number: str) -> bool:
    """Say whether eleven digits are a Norwegian number: DDMMYY, or day plus 40, two modulo 11."""
    digits = _digits(number, 11)
    if digits is None:
        return False
    if not is_day_and_month(int(number[:2]) % _D_NUMBER_DAYS, int(number[2:4])):
        return False
    first = weighted(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11
    return first == 0 and weighted(digits, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0


def pesel_is_valid(number: str) -> bool:
    """Say whether eleven digits are a Polish PESEL: YYMMDD, the month plus a century, modulo 10."""
    digits = _digits(number, 11)
    if digits is None:
        return False
    if not is_day_and_month(int(number[4:6]), int(number[2:4]) % _PESEL_CENTURIES):
        return False
    return weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


# --- India, Brazil, Canada, Australia --------------------------------------------------------

_PAN = re.compile(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]")
_VERHOEFF_SHIFT = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def pan_is_plausible(number: str) -> bool:
    """Say whether ten characters have the form of an Indian PAN, its fourth the kind of holder.

    How its last letter is computed is not published.
    """
    return number.isascii() and _PAN.fullmatch(number) is not None


def _dihedral(left: int, right: int) -> int:
    """Return the product in the dihedral group of ten elements (Verhoeff 1969)."""
    if left < 5:  # noqa: PLR2004 - five rotations, then five reflections
        turned = (left + right) % 5
        return turned if right < 5 else turned + 5  # noqa: PLR2004 - the same
    turned = (left - right) % 5
    return turned + 5 if right < 5 else turned  # noqa: PLR2004 - the same


def aadhaar_is_valid(number: str) -> bool:
    """Say whether twelve digits, the first from 2, end in Verhoeff's check digit (UIDAI)."""
    digits = _digits(number, 12)
    if digits is None or digits[0] < 2:  # noqa: PLR2004 - 0 and 1 are not issued
        return False
    check = 0
    for place, digit in enumerate(reversed(digits)):
        shifted = digit
        for _ in range(place % 8):
            shifted = _VERHOEFF_SHIFT[shifted]
        check = _dihedral(check, shifted)
    return check == 0


def _mod_11_digit(digits: list[int], weights: tuple[int, ...]) -> int:
    remainder = weighted(digits, weights) % 11
    return 0 if remainder < 2 else 11 - remainder  # noqa: PLR2004 - 10 and 11 become 0


def cpf_is_valid(number: str) -> bool:
    """Say whether eleven digits, not all the same, end in the two digits of a Brazilian CPF."""
    digits = _digits(number, 11)
    if digits is None or len(set(digits)) == 1:
        return False
    first = _mod_11_digit(digits[:9], (10, 9, 8, 7, 6, 5, 4, 3, 2))
    second = _mod_11_digit(digits[:10], (11, 10, 9, 8, 7, 6, 5, 4, 3, 2))
    return digits[9:] == [first, second]


def cnpj_is_valid(number: str) -> bool:
    """Say whether fourteen digits, not all the same, end in the two of a Brazilian CNPJ."""
    digits = _digits(number, 14)
    if digits is None or len(set(digits)) == 1:
        return False
    weights = (6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    return digits[12:] == [
        _mod_11_digit(digits[:12], weights[1:]),
        _mod_11_digit(digits[:13], weights),
    ]


def sin_is_valid(number: str) -> bool:
    """Say whether nine digits, the first not 0 or 8, are a Canadian SIN (Luhn)."""
    return _digits(number, 9) is not None and number[0] not in "08" and luhn_is_valid(number)


def tfn_is_valid(number: str) -> bool:
    """Say whether nine digits are an Australian tax file number (weighted sum 0 mod 11, ATO)."""
    digits = _digits(number, 9)
    return digits is not None and weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0
