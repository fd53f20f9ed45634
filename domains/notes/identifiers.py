"""Invented numbers and codes, each with the check digits that its standard asks for.

Nobody real is meant. E-mail and web addresses use the domains that RFC 2606 reserves, IP addresses
the blocks of RFC 5737 and RFC 3849, and phone numbers the ranges that regulators set aside for
fiction; other numbers are random.
"""

from __future__ import annotations

import string
from hashlib import sha256
from typing import TYPE_CHECKING, Final, TypeVar

from domains.finance.surrogates import check_digits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from domains.notes.people import Person

T = TypeVar("T")

_DOMAINS: Final = (
    "example.com", "example.org", "example.net", "mail.example.org", "clinic.example.com",
)  # fmt: skip
"""None of the names that end in ".example": it is no public suffix, so an engine may refuse it."""

_PHONES: Final = (
    # North American Numbering Plan: 555-0100 to 555-0199 in every area
    "({area}) 555-01##", "{area}-555-01##", "{area}.555.01##", "+1 {area} 555 01##",
    "1-{area}-555-01##", "{area} 555 01##", "{area}/555-01##", "{area}55501##",
    "({area}) 555-01## ext. ###", "{area}-555-01## x####",
    # Ofcom: London, Leeds, no area, mobile
    "020 7946 0###", "+44 20 7946 0###", "(0113) 496 0###", "01632 960###", "07700 900###",
    "+44 7700 900###", "+44 (0)20 7946 0###",
    # Bundesnetzagentur: Berlin, mobile
    "030 23125 ###", "+49 30 23125 ###", "0171 39200 ##", "030/23125###", "+49 (0)30 23125-###",
    # Arcep
    "01 99 00 ## ##", "+33 1 99 00 ## ##", "06 39 98 ## ##", "+33.1.99.00.##.##",
    # ACMA, ComReg, PTS
    "(02) 5550 ####", "0491 570 ###", "+61 491 570 ###", "020 91# ####", "08-465 004 ##",
)  # fmt: skip
_AREAS: Final = ("202", "212", "312", "415", "503", "617", "646", "713", "808", "919", "416", "604")

_IBAN_SHAPES: Final = {
    "AT": "#" * 16, "BE": "#" * 12, "CH": "#" * 17, "DE": "#" * 18, "DK": "#" * 14,
    "EE": "#" * 16, "ES": "#" * 20, "FI": "#" * 14, "FR": "#" * 23, "GB": "@@@@" + "#" * 14,
    "HU": "#" * 24, "IE": "@@@@" + "#" * 14, "IT": "@" + "#" * 22, "LT": "#" * 16,
    "NL": "@@@@" + "#" * 10, "NO": "#" * 11, "PL": "#" * 24, "PT": "#" * 21,
    "RO": "@@@@" + "#" * 16, "SE": "#" * 20, "TR": "#" * 22,
}  # fmt: skip
"""What follows the check digits: # a digit, @ a capital letter."""

_BASE58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VIN_LETTERS: Final = "ABCDEFGHJKLMNPRSTUVWXYZ"
_VIN_VALUES: Final = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", "12345678123457923456789", strict=True))
_VIN_WEIGHTS: Final = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_MBI_LETTERS: Final = "ACDEFGHJKMNPQRTUVWXY"
_NHS_WEIGHTS: Final = range(10, 1, -1)
_STREAM_BANKS: Final = ("NWBK", "BARC", "DEUT", "COBA", "BNPA", "INGB", "NDEA", "UNCR", "BCIT")


def one(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """Return one of `choices`, each as likely."""
    return choices[int(rng.integers(len(choices)))]


def shaped(rng: np.random.Generator, *shapes: str) -> str:
    """Return one of `shapes` with # as a digit, @ as a capital and ? as one of both."""
    shape = one(rng, shapes)
    drawn: list[str] = []
    for character in shape:
        if character == "#":
            drawn.append(str(rng.integers(10)))
        elif character == "@":
            drawn.append(one(rng, string.ascii_uppercase))
        elif character == "?":
            drawn.append(one(rng, "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"))
        else:
            drawn.append(character)
    return "".join(drawn)


def luhn_digit(digits: str) -> str:
    """Return the digit that makes `digits` with it pass Luhn's check (ISO/IEC 7812-1)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 - place % 2)
        total += value // 10 + value % 10
    return str(-total % 10)


def phone(rng: np.random.Generator) -> str:
    """Return a phone number that no subscriber has."""
    return shaped(rng, one(rng, _PHONES).replace("{area}", one(rng, _AREAS)))


def email(rng: np.random.Generator, person: Person) -> str:
    """Return an address of `person` at a reserved domain."""
    first, last = person.ascii_first.lower(), person.ascii_last.lower()
    local = one(
        rng,
        (f"{first}.{last}", f"{first[:1]}{last}", f"{first}_{last}", f"{last}{first[:1]}",
         f"{first}{last}{rng.integers(1, 99)}", f"{last}.{first}+health"),
    )  # fmt: skip
    return f"{local.replace(' ', '').replace(chr(39), '')}@{one(rng, _DOMAINS)}"


def url(rng: np.random.Generator) -> str:
    """Return a web address at a reserved domain."""
    host = one(rng, ("www.", "portal.", "my.", "secure.")) + one(rng, _DOMAINS)
    path = one(
        rng, ("", "/login", f"/u/{shaped(rng, '######')}", f"/case?id={shaped(rng, '####')}")
    )
    return one(rng, ("https://", "http://", "")) + host + path


def ip_address(rng: np.random.Generator) -> str:
    """Return an address of the blocks for documentation."""
    if rng.integers(4) == 0:
        return f"2001:db8:{rng.integers(1, 65536):x}::{rng.integers(1, 65536):x}"
    return f"{one(rng, ('192.0.2', '198.51.100', '203.0.113'))}.{rng.integers(1, 255)}"


def mac_address(rng: np.random.Generator) -> str:
    """Return a locally administered MAC address."""
    return ":".join(["02", *(f"{value:02X}" for value in rng.integers(0, 256, size=5))])


def uuid(rng: np.random.Generator) -> str:
    """Return a random UUID (RFC 9562, version 4)."""
    digits = "".join(f"{value:x}" for value in rng.integers(0, 16, size=30))
    variant = one(rng, "89ab")
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-{variant}{digits[15:18]}-{digits[18:30]}"


def ssn(rng: np.random.Generator) -> str:
    """Return a US social security number of an area, group and serial that are issued."""
    area = int(rng.integers(1, 665))
    mark = one(rng, ("-", "-", "-", " "))
    return f"{area:03d}{mark}{rng.integers(1, 100):02d}{mark}{rng.integers(1, 10000):04d}"


def itin(rng: np.random.Generator) -> str:
    """Return a US individual taxpayer number."""
    return f"9{rng.integers(100):02d}-{rng.integers(70, 89)}-{rng.integers(1, 10000):04d}"


def ein(rng: np.random.Generator) -> str:
    """Return a US employer number with a prefix that is issued."""
    prefixes = ("12", "20", "27", "36", "45", "54", "61", "77", "83", "94")
    return f"{one(rng, prefixes)}-{shaped(rng, '#######')}"


def card(rng: np.random.Generator) -> str:
    """Return a card number of one of four networks, passing Luhn's check."""
    body = shaped(rng, "4" + "#" * 14, "5412" + "#" * 11, "6011" + "#" * 11, "37" + "#" * 12)
    digits = body + luhn_digit(body)
    mark = one(rng, ("", " ", "-", " "))
    sizes = (4, 6, 5) if len(digits) == 15 else (4, 4, 4, 4)  # noqa: PLR2004 - American Express
    groups, start = [], 0
    for size in sizes:
        groups.append(digits[start : start + size])
        start += size
    return mark.join(groups)


def iban(rng: np.random.Generator) -> str:
    """Return an IBAN with valid check digits (ISO 13616), in groups of four half of the time."""
    country = one(rng, tuple(_IBAN_SHAPES))
    body = shaped(rng, _IBAN_SHAPES[country])
    compact = country + check_digits(country, body) + body
    if rng.integers(2):
        return " ".join(compact[start : start + 4] for start in range(0, len(compact), 4))
    return compact


def bic(rng: np.random.Generator) -> str:
    """Return the shape of a BIC (ISO 9362)."""
    country = one(rng, ("DE", "GB", "FR", "NL", "ES", "IT", "CH", "US"))
    return f"{one(rng, _STREAM_BANKS)}{country}{shaped(rng, '@@', '#@')}{one(rng, ('', 'X' * 3))}"


def routing_number(rng: np.random.Generator) -> str:
    """Return an ABA routing number with its check digit (weights 3, 7, 1)."""
    body = f"{one(rng, ('01', '02', '06', '07', '11', '12', '31'))}{shaped(rng, '######')}"
    weights = (3, 7, 1, 3, 7, 1, 3, 7)
    return body + str(-sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 10)


def lei(rng: np.random.Generator) -> str:
    """Return a legal entity identifier with its check digits (ISO 17442, ISO 7064 mod 97-10)."""
    body = shaped(rng, "####00????????????")
    return body + f"{98 - int(_as_number(body + '00')) % 97:02d}"


def isin(rng: np.random.Generator) -> str:
    """Return a security's number with its check digit (ISO 6166)."""
    body = one(rng, ("US", "DE", "GB", "FR")) + shaped(
        rng, "#########", "@########", "##@#######"[:9]
    )
    return body + luhn_digit(_as_number(body))


def cusip(rng: np.random.Generator) -> str:
    """Return a CUSIP with its check digit (ANSI X9.6, modulus 10 double add double)."""
    body = shaped(rng, "######10", "#####@10", "######@#")
    total = 0
    for place, character in enumerate(body):
        value = int(character, 36) * (1 + place % 2)
        total += value // 10 + value % 10
    return body + str(-total % 10)


def sedol(rng: np.random.Generator) -> str:
    """Return a SEDOL with its check digit (weights 1, 3, 1, 7, 3, 9)."""
    body = "B" + "".join(one(rng, "0123456789BCDFGHJKLMNPQRSTVWXYZ") for _ in range(5))
    return body + str(
        -sum(int(c, 36) * w for c, w in zip(body, (1, 3, 1, 7, 3, 9), strict=True)) % 10
    )


def bitcoin(rng: np.random.Generator) -> str:
    """Return a Bitcoin address with its checksum (Base58Check, version 0)."""
    raw = b"\0" + rng.bytes(20)
    raw += sha256(sha256(raw).digest()).digest()[:4]
    number, digits = int.from_bytes(raw, "big"), ""
    while number:
        number, place = divmod(number, 58)
        digits = _BASE58[place] + digits
    return "1" * (len(raw) - len(raw.lstrip(b"\0"))) + digits


def vin(rng: np.random.Generator) -> str:
    """Return a vehicle's number with its check digit at place 9 (49 CFR 565.15)."""
    body = [one(rng, _VIN_LETTERS + string.digits) for _ in range(11)]
    body = ["1", *body[:10], *shaped(rng, "######")]
    body[8] = "0"
    total = sum(int(_VIN_VALUES.get(c, c)) * w for c, w in zip(body, _VIN_WEIGHTS, strict=True))
    body[8] = "0123456789X"[total % 11]
    return "".join(body)


def plate(rng: np.random.Generator) -> str:
    """Return a vehicle's plate in one of several countries' forms."""
    return shaped(
        rng, "#@@@###", "@@@-####", "@@## @@@", "@-@@ ####", "@@-###-@@", "@@@ ###", "## @@@ ##"
    )


def imei(rng: np.random.Generator) -> str:
    """Return a phone's IMEI, passing Luhn's check (3GPP TS 23.003)."""
    body = "35" + shaped(rng, "############")
    return body + luhn_digit(body)


def udi(rng: np.random.Generator) -> str:
    """Return a device identifier in GS1's form with the GTIN's check digit."""
    body = "0" + shaped(rng, "############")
    check = -sum(int(d) * (3 if place % 2 == 0 else 1) for place, d in enumerate(body)) % 10
    return f"(01){body}{check}(21){shaped(rng, '@@######', '########')}"


def npi(rng: np.random.Generator) -> str:
    """Return a US provider number, passing Luhn's check after the prefix 80840 (45 CFR 162.406)."""
    body = "1" + shaped(rng, "########")
    return body + luhn_digit("80840" + body)


def dea(rng: np.random.Generator) -> str:
    """Return a US prescriber's DEA number with its check digit."""
    digits = shaped(rng, "######")
    odd, even = sum(map(int, digits[::2])), sum(map(int, digits[1::2]))
    return f"{one(rng, 'ABFM')}{shaped(rng, '@')}{digits}{(odd + 2 * even) % 10}"


def medicare_id(rng: np.random.Generator) -> str:
    """Return a Medicare beneficiary identifier (CMS: no S, L, O, I, B or Z)."""
    letter = [one(rng, _MBI_LETTERS) for _ in range(4)]
    digit = shaped(rng, "#######")
    first = str(rng.integers(1, 10))
    mark = one(rng, ("-", ""))
    return (
        f"{first}{letter[0]}{digit[0]}{digit[1]}{mark}{letter[1]}{digit[2]}{digit[3]}{mark}"
        f"{letter[2]}{letter[3]}{digit[4]}{digit[5]}"
    )


def nhs_number(rng: np.random.Generator) -> str:
    """Return a UK NHS number with its check digit (modulus 11)."""
    while True:
        body = shaped(rng, "4########", "6########")
        check = -sum(int(d) * w for d, w in zip(body, _NHS_WEIGHTS, strict=True)) % 11
        if check < 10:  # noqa: PLR2004 - ten is not issued
            return f"{body[:3]} {body[3:6]} {body[6:]}{check}"


def tax_id(rng: np.random.Generator) -> str:
    """Return a person's or firm's tax number of one of several countries."""
    return one(rng, (_nino, _bsn, _cpf, _pesel, _pan, _sin))(rng)


def _nino(rng: np.random.Generator) -> str:
    return shaped(rng, "AB ## ## ## C", "CE######A", "JK ## ## ## D")


def _bsn(rng: np.random.Generator) -> str:
    while True:
        body = shaped(rng, "1#######")
        check = sum(int(d) * w for d, w in zip(body, range(9, 1, -1), strict=True)) % 11
        if check < 10:  # noqa: PLR2004 - ten is not issued
            return body + str(check)


def _cpf(rng: np.random.Generator) -> str:
    digits = shaped(rng, "#########")
    for weight in (10, 11):
        total = sum(int(d) * w for d, w in zip(digits, range(weight, 1, -1), strict=True))
        digits += str(total * 10 % 11 % 10)
    return f"{digits[:3]}.{digits[3:6]}.{digits[6:9]}-{digits[9:]}"


def _pesel(rng: np.random.Generator) -> str:
    born = f"{rng.integers(40, 99)}{rng.integers(1, 13):02d}{rng.integers(1, 29):02d}"
    body = born + shaped(rng, "####")
    weights = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)
    return body + str(-sum(int(d) * w for d, w in zip(body, weights, strict=True)) % 10)


def _pan(rng: np.random.Generator) -> str:
    return shaped(rng, "@@@P@####@")


def _sin(rng: np.random.Generator) -> str:
    body = shaped(rng, "1#######", "5#######")
    digits = body + luhn_digit(body)
    return f"{digits[:3]} {digits[3:6]} {digits[6:]}"


def _as_number(code: str) -> str:
    return "".join(str(int(character, 36)) for character in code)
