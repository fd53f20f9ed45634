"""Invented people and their numbers, for text that scrubbing has something to find in.

Nobody real is meant: names combine Faker's first and last names, e-mail addresses use the
domains that RFC 2606 reserves, phone numbers the ranges that the regulators of four countries
set aside for fiction, and IBANs carry valid check digits over random accounts.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np

_LOCALES: Final = ("en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "fi_FI")

_DOMAINS: Final = ("example.com", "example.org", "example.net")

_PHONES: Final = (
    ("+1 202 555 01", 2),  # North American Numbering Plan: 555-0100 to 555-0199
    ("+44 20 7946 0", 3),  # Ofcom: London 7946 0000 to 0999
    ("+49 30 23125 ", 3),  # Bundesnetzagentur: Berlin 23125 000 to 999
    ("+33 1 99 00 ", 4),  # Arcep: 01 99 00 xx xx
)
"""A fixed start and how many random digits follow."""

_IBAN_COUNTRIES: Final = (("DE", 0, 18), ("FI", 0, 14), ("GB", 4, 14), ("NL", 4, 10))
"""Country, letters of the bank code, digits after it."""

_BANK_LETTERS: Final = ("NWBK", "ABNA", "BARC", "INGB")


@dataclass(frozen=True, slots=True)
class Person:
    """An invented person; shown freely, since nobody real is meant."""

    name: str
    email: str


def people(seed: int, count_per_locale: int) -> tuple[Person, ...]:
    """Return that many invented people per locale, the same for the same seed.

    Drawn once and shared by many sentences: Faker is too slow to ask for each of them.
    """
    from faker import Faker  # noqa: PLC0415 - costs 0.2 s that loading real data need not pay

    drawn: list[Person] = []
    for locale in _LOCALES:
        faker = Faker(locale)
        faker.seed_instance(seed)
        for number in range(count_per_locale):
            name = f"{faker.first_name()} {faker.last_name()}"
            domain = _DOMAINS[(seed + number) % len(_DOMAINS)]
            drawn.append(Person(name, f"{_ascii_local_part(name)}@{domain}"))
    return tuple(drawn)


def phone(rng: np.random.Generator) -> str:
    """Return a phone number in international form that no subscriber has."""
    start, digits = _PHONES[int(rng.integers(len(_PHONES)))]
    return start + _digits(rng, digits)


def account(rng: np.random.Generator) -> str:
    """Return a ten-digit account number."""
    return _digits(rng, 10)


def iban(rng: np.random.Generator) -> str:
    """Return an IBAN with valid check digits (ISO 13616), in groups of four half of the time."""
    country, letters, digits = _IBAN_COUNTRIES[int(rng.integers(len(_IBAN_COUNTRIES)))]
    bank = _BANK_LETTERS[int(rng.integers(len(_BANK_LETTERS)))][:letters]
    body = bank + _digits(rng, digits)
    compact = f"{country}{check_digits(country, body)}{body}"
    if rng.integers(2):
        return " ".join(compact[start : start + 4] for start in range(0, len(compact), 4))
    return compact


def check_digits(country: str, body: str) -> str:
    """Return the two check digits: 98 - (body, country, 00 as a number, mod 97), ISO 7064."""
    number = "".join(str(int(character, 36)) for character in f"{body}{country}00")
    return f"{98 - int(number) % 97:02d}"


def _digits(rng: np.random.Generator, count: int) -> str:
    return "".join(str(digit) for digit in rng.integers(0, 10, size=count))


def _ascii_local_part(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode("ascii")
    return ".".join(plain.lower().replace("'", "").split())
