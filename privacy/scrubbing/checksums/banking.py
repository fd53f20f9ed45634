"""Checksums and registries that tell an identifier from a number that looks like one.

Every function takes a candidate without separators and answers yes or no. Nothing here reads a
file, keeps state or raises on malformed input: a malformed candidate is not that identifier.
"""

from __future__ import annotations

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
    "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28,
    "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip
"""Characters in an IBAN, by country (SWIFT IBAN Registry, ISO 13616)."""

COUNTRIES = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "  # noqa: SIM905 - quoted codes read worse
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA "
    "ZM ZW".split()
)
"""ISO 3166-1 alpha-2 country codes, and XK for Kosovo, as SWIFT uses them."""

_ABA_DIGITS = 9
_ABA_WEIGHTS = (3, 7, 1, 3, 7, 1, 3, 7, 1)
_ITIN_GROUPS = frozenset((*range(50, 66), *range(70, 89), *range(90, 93), *range(94, 100)))
_EIN_PREFIXES = frozenset(
    (*range(1, 7), *range(10, 17), *range(20, 28), *range(30, 49), *range(50, 69), *range(71, 78),
     *range(80, 89), *range(90, 96), 98, 99)
)  # fmt: skip
_ABA_PREFIXES = frozenset((*range(13), *range(21, 33), *range(61, 73), 80))


def iban_is_valid(iban: str) -> bool:
    """Say whether a compact upper-case IBAN has its country's length and remainder 1 (ISO 7064)."""
    if IBAN_LENGTHS.get(iban[:2]) != len(iban) or not (iban.isascii() and iban.isalnum()):
        return False
    return int("".join(str(int(character, 36)) for character in iban[4:] + iban[:4])) % 97 == 1


def luhn_is_valid(digits: str) -> bool:
    """Say whether the last digit is the Luhn check digit of the others (ISO/IEC 7812-1)."""
    if not digits.isdecimal():
        return False
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character) * (1 + place % 2)
        total += value - 9 if value > 9 else value  # noqa: PLR2004 - the largest single digit
    return total % 10 == 0


_NETWORKS: tuple[tuple[range, tuple[int, ...]], ...] = (
    (range(400_000, 500_000), (13, 16, 19)),  # Visa
    (range(510_000, 560_000), (16,)),  # Mastercard
    (range(222_100, 272_100), (16,)),  # Mastercard, second series
    (range(340_000, 350_000), (15,)),  # American Express
    (range(370_000, 380_000), (15,)),
    (range(601_100, 601_200), (16, 19)),  # Discover
    (range(644_000, 660_000), (16, 19)),
    (range(352_800, 359_000), (16, 17, 18, 19)),  # JCB
    (range(300_000, 306_000), (14, 16, 19)),  # Diners Club
    (range(309_500, 309_600), (14, 16, 19)),
    (range(360_000, 370_000), (14, 16, 19)),
    (range(380_000, 400_000), (14, 16, 19)),
    (range(620_000, 630_000), (16, 17, 18, 19)),  # UnionPay
    (range(810_000, 820_000), (16,)),  # RuPay
    (range(500_000, 510_000), (12, 13, 14, 15, 16, 17, 18, 19)),  # Maestro
    (range(560_000, 600_000), (12, 13, 14, 15, 16, 17, 18, 19)),
    (range(600_000, 620_000), (12, 13, 14, 15, 16, 17, 18, 19)),
    (range(630_000, 644_000), (12, 13, 14, 15, 16, 17, 18, 19)),
    (range(660_000, 700_000), (12, 13, 14, 15, 16, 17, 18, 19)),
    (range(220_000, 220_500), (16, 17, 18, 19)),  # Mir
)


def card_network_is_known(digits: str) -> bool:
    """Say whether a card network issues numbers of this length under this six-digit prefix."""
    if not digits.isdecimal():
        return False
    prefix = int(digits[:6])
    return any(prefix in prefixes and len(digits) in sizes for prefixes, sizes in _NETWORKS)


def aba_is_valid(digits: str) -> bool:
    """Say whether nine digits are an ABA routing number: issued prefix and weighted sum mod 10."""
    if len(digits) != _ABA_DIGITS or not digits.isdecimal() or int(digits[:2]) not in _ABA_PREFIXES:
        return False
    return sum(int(d) * w for d, w in zip(digits, _ABA_WEIGHTS, strict=True)) % 10 == 0


def ssn_is_issuable(digits: str) -> bool:
    """Say whether nine digits can be a US social security number (SSA: area, group, serial)."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in {"000", "666"} or area[0] == "9" or group == "00" or serial == "0000":
        return False
    # Printed on wallets and in advertisements, so never a person's.
    return digits not in {"078051120", "219099999", "123456789"} and len(set(digits)) > 1


def itin_is_issuable(digits: str) -> bool:
    """Say whether nine digits can be a US individual taxpayer number (IRS: area 9, group)."""
    return digits[0] == "9" and int(digits[3:5]) in _ITIN_GROUPS


def ein_is_issuable(digits: str) -> bool:
    """Say whether nine digits start with a campus prefix of a US employer number (IRS)."""
    return len(digits) == _ABA_DIGITS and digits.isdecimal() and int(digits[:2]) in _EIN_PREFIXES
