"""Fills the slots of templates with invented people, places and things."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from faker import Faker

from privacy.scrubbing.names.network import KINDS
from recipes.names.lists import HELD_OUT_LOCALES, ordinary_words
from recipes.names.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recipes.names.lists import Lists

PERSON, LOCATION, STREET, POSTAL, ORGANIZATION, IDENTIFIER = range(1, len(KINDS))

_LOCALES: Final = (
    "cs_CZ", "da_DK", "de_AT", "de_CH", "de_DE", "en_AU", "en_CA", "en_GB", "en_IE", "en_IN",
    "en_NZ", "en_US", "es_AR", "es_CL", "es_CO", "es_ES", "es_MX", "et_EE", "fi_FI", "fr_BE",
    "fr_CA", "fr_CH", "fr_FR", "hr_HR", "hu_HU", "is_IS", "it_IT", "nl_BE", "nl_NL", "no_NO",
    "pl_PL", "pt_BR", "pt_PT", "sk_SK", "sl_SI", "sv_SE", "az_AZ",
)  # fmt: skip
"""Whose addresses and companies are drawn; names come from all lists."""

_SHARES_OF_FORMS: Final = (55, 14, 6, 6, 4, 2, 5, 3, 3, 2)
_POOL: Final = 150
"""Streets and companies drawn per locale: Faker is too slow to ask for each text."""


@dataclass(frozen=True)
class Piece:
    """A part of a text.

    `kind` is an index into `KINDS`, `drawn` says that its words mean nothing, and `entity` is what
    scrubbing would write in its place, if anything.
    """

    text: str
    kind: int = 0
    drawn: bool = False
    entity: str = ""

    @property
    def placeholder(self) -> str:
        """What scrubbing leaves of this piece; empty where it leaves the piece."""
        entity = self.entity or KINDS[self.kind]
        return f"<{entity}>" if entity else ""


class Filler:
    """Draws what stands in a slot; the same for the same seed.

    Args:
        lists: names, places and words.
        seed: of the drawing.
    """

    def __init__(self, lists: Lists, seed: int) -> None:
        self.rng = random.Random(seed)
        self._lists = lists
        usable = sorted(set(lists.names) - HELD_OUT_LOCALES)
        self._names = [lists.names[locale] for locale in usable if _is_usable(lists, locale)]
        self._streets: list[str] = []
        self._street_names: list[str] = []
        self._postals: list[str] = []
        self._companies: list[str] = []
        self._villages: list[str] = []
        for number, locale in enumerate(_LOCALES):
            fake = Faker(locale)
            fake.seed_instance(seed * len(_LOCALES) + number)
            for _ in range(_POOL):
                self._streets.append(fake.street_address().replace("\n", ", "))
                self._street_names.append(fake.street_name())
                self._postals.append(fake.postcode())
                self._companies.append(fake.company())
                self._villages.append(fake.city())
        ordinary = ordinary_words(lists)
        self._vocabulary = [word for word in lists.words if word in ordinary]

    # --- people -----------------------------------------------------------------------------------

    def first(self) -> str:
        """Return a first name."""
        names = self.rng.choice(self._names) if self.rng.random() < 0.8 else self._lists.census
        return _latin(self.rng, names.first)

    def last(self) -> str:
        """Return a last name, sometimes double or with a particle."""
        rng = self.rng
        if rng.random() < 0.06:
            return rng.choice(WORDS.wordy_last_names)
        names = rng.choice(self._names) if rng.random() < 0.7 else self._lists.census
        name = _latin(rng, names.last or names.first)
        draw = rng.random()
        if draw < 0.04:
            return f"{name}-{_latin(rng, names.last or names.first)}"
        if draw < 0.08:
            return f"{rng.choice(WORDS.particles)} {name}"
        if draw < 0.10:
            return rng.choice(("O'", "Mc", "Mac", "D'", "St. ")) + name
        return name

    def person(self) -> str:
        """Return a full name in one of the orders that people write."""
        rng = self.rng
        first, last = self.first(), self.last()
        initial = rng.choice(string.ascii_uppercase)
        forms = (
            f"{first} {last}",
            f"{first} {initial}{rng.choice(('.', '.', ''))} {last}",
            f"{first} {self.first()} {last}",
            f"{first[0]}. {last}",
            f"{first[0]}. {initial}. {last}",
            f"{first} {last} {self.last()}",
            f"{last}, {first}",
            f"{last.upper()}, {first}",
            f"{last} {first[0]}{rng.choice((initial, '.', ''))}",
            f"{first} {last.upper()}",
        )
        return rng.choices(forms, _SHARES_OF_FORMS)[0]

    def any_person(self) -> str:
        """Return a full name, a first name or a last name."""
        draw = self.rng.random()
        if draw < 0.45:
            return self.person()
        return self.first() if draw < 0.8 else self.last()

    # --- places -----------------------------------------------------------------------------------

    def city(self) -> str:
        """Return a city's name: a real one by population, or a village that Faker made up."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.35:
            name = rng.choices(self._lists.cities, self._lists.city_weights)[0]
        elif draw < 0.65:
            name = rng.choice(self._lists.cities)
        else:
            name = rng.choice(self._villages)
        return name.upper() if rng.random() < 0.15 else name

    def country(self) -> str:
        """Return a country's name."""
        return self.rng.choice(self._lists.countries)

    def place(self) -> str:
        """Return a city, region or country."""
        draw = self.rng.random()
        if draw < 0.55:
            return self.city()
        return self.country() if draw < 0.85 else self.rng.choice(self._lists.regions)

    def street(self) -> str:
        """Return a street with its number, now and then with a flat, a box or a second number."""
        rng = self.rng
        draw = rng.random()
        street = rng.choice(self._streets)
        if draw < 0.08:
            return self._box()
        if draw < 0.25:
            street = f"{rng.randint(1, 99999)} {street}"
        elif draw < 0.4:
            street = f"{rng.choice(self._street_names)} {rng.randint(1, 250)}"
        elif draw < 0.5:
            street = (
                f"{rng.randint(1, 99999)} {rng.choice(self._street_names)} {rng.randint(1, 250)}"
            )
        if rng.random() < 0.25:
            street += rng.choice((" ", ", ", "\n", "\n ")) + self.unit()
        return street

    def street_name(self) -> str:
        """Return a street without a number."""
        return self.rng.choice(self._street_names)

    def unit(self) -> str:
        """Return what says which flat."""
        rng = self.rng
        kind = rng.choice(
            ("Apt.", "Apt", "Suite", "Unit", "Flat", "Floor", "Room", "#", "Ste.", "No.")
        )
        return f"{kind} {rng.randint(1, 999)}{rng.choice(('', '', 'A', 'b'))}"

    def _box(self) -> str:
        rng = self.rng
        number, box = rng.randint(1000, 9999), rng.randint(1000, 9999)
        forces = f"{rng.choice(('APO', 'FPO', 'DPO'))} {rng.choice(('AA', 'AE', 'AP'))}"
        return rng.choice((
            f"PSC {number}, Box {box}\n{forces} {self.postal()}",
            f"Unit {number} Box {box}\n{forces} {self.postal()}",
            f"PO Box {box}", f"P.O. Box {box}", f"Postfach {box}", f"Postbus {box}",
        ))  # fmt: skip

    def postal(self) -> str:
        """Return a postal code."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.5:
            return rng.choice(self._postals)
        return f"{rng.randint(0, 99999):05d}" if draw < 0.9 else f"{rng.randint(1000, 9999)}"

    def region_code(self) -> str:
        """Return the two letters of a state or province."""
        return "".join(self.rng.choices(string.ascii_uppercase, k=2))

    def address(self) -> list[Piece]:
        """Return a whole address: the parts and what stands between them."""
        rng = self.rng
        gap = rng.choice((", ", "\n", "\n ", "\n  ", " ", ",\n"))
        parts = [Piece(self.street(), STREET), Piece(gap)]
        city = Piece(self.city(), LOCATION)
        postal = Piece(self.postal(), POSTAL)
        order = rng.random()
        if order < 0.3:
            parts += [postal, Piece(" "), city]
        elif order < 0.5:
            code = Piece(self.region_code(), LOCATION)
            parts += [city, Piece(rng.choice((", ", "\n, "))), code, Piece(" "), postal]
        elif order < 0.8:
            country = Piece(self.country(), LOCATION)
            parts += [city, Piece(gap), country, Piece(" "), postal]
        else:
            parts += [city]
        if rng.random() < 0.25:
            parts += [Piece(gap), Piece(self.country(), LOCATION)]
        return parts

    # --- other ------------------------------------------------------------------------------------

    def org(self) -> str:
        """Return an invented organisation."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.5:
            return rng.choice(self._companies)
        word = self.word(12_000).capitalize()
        if draw < 0.7:
            return self.coined() + rng.choice(("", "", *WORDS.suffixes))
        if draw < 0.78:
            return word + rng.choice(WORDS.suffixes)
        if draw < 0.85:
            return word + self.word(6000)
        if draw < 0.93:
            return f"{word} {self.word(6000).capitalize()}{rng.choice(('', *WORDS.suffixes))}"
        return f"{self.last()}{rng.choice(WORDS.suffixes)}"

    def word(self, among: int = 20_000) -> str:
        """Return an English word, frequent ones more often."""
        among = min(among, len(self._vocabulary))
        return self._vocabulary[int(among * self.rng.random() ** 2)]

    def words(self, fewest: int = 3, most: int = 14) -> str:
        """Return some words in no order, small ones between them."""
        rng = self.rng
        count = rng.randint(fewest, most)
        return " ".join(
            rng.choice(self._vocabulary[:150]) if rng.random() < 0.45 else self.word()
            for _ in range(count)
        )

    def coined(self) -> str:
        """Return a brand that somebody might have made up."""
        rng = self.rng
        syllables = "".join(rng.choice(WORDS.syllables) for _ in range(rng.randint(2, 3)))
        name = (
            syllables + rng.choice(("", "", "tec", "tel", "soft", "net", "med", "corp"))
        ).capitalize()
        return rng.choice((name, name, name.upper(), name[:4] + name[4:].capitalize()))

    def street_part(self) -> str:
        """Return a street with its number and nothing else."""
        rng = self.rng
        number = rng.randint(1, 250)
        name = self.street_name()
        return rng.choice((f"{number} {name}", f"{name} {number}"))

    def capitals(self, count: int) -> str:
        """Return an abbreviation that means nothing."""
        return "".join(self.rng.choices(string.ascii_uppercase, k=count))

    def identifier(self) -> str:
        """Return a number of a form that offices give out."""
        rng, n = self.rng, self.number
        a = self.capitals(rng.randint(1, 3))
        return rng.choice((
            n(rng.randint(5, 12)), n(rng.randint(5, 9)), f"{a}{n(rng.randint(4, 10))}",
            f"{a}-{n(rng.randint(4, 8))}", f"{n(2)}-{n(rng.randint(4, 7))}", f"{n(4)}/{n(5)}",
            f"{n(3)}-{n(2)}-{n(4)}", f"{n(4)}-{n(4)}-{n(2)}", f"{n(2)}-{a}-{n(6)}",
            f"{a}{n(3)}{a}{n(2)}", f"{a}-{n(4)}-{n(4)}", f"{n(6)}{a}", f"{n(3)} {n(3)} {n(3)}",
            f"{n(2)}.{n(6)}", self.code(),
        ))  # fmt: skip

    def code(self) -> str:
        """Return letters and digits that mean nothing."""
        return "".join(
            self.rng.choices(string.ascii_letters + string.digits, k=self.rng.randint(4, 20))
        )

    def term(self) -> str:
        """Return a word, or what sounds like a term of medicine."""
        rng = self.rng
        if rng.random() < 0.35:
            return self.word()
        return rng.choice(WORDS.starts) + rng.choice(WORDS.middles) + rng.choice(WORDS.ends)

    def number(self, digits: int) -> str:
        """Return that many random digits."""
        return "".join(self.rng.choices(string.digits, k=digits))


def _is_usable(lists: Lists, locale: str) -> bool:
    names = lists.names[locale]
    return any(n.isascii() or n[0].isupper() for n in names.first)


def _latin(rng: random.Random, names: Sequence[str]) -> str:
    """Return one of `names` in Latin letters; a few stay in their own script."""
    for _ in range(8):
        name = rng.choice(names)
        if name[0].isascii() or "\u00c0" <= name[0] <= "\u024f" or rng.random() < 0.05:
            break
    return name
