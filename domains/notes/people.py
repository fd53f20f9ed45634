"""Invented people and places of many countries: first and last names combined at random.

Names, streets and towns come from Faker, once per locale, and are then shared by all notes: Faker
is too slow to ask for each of them. Where Faker has no places of a locale's own, another locale's
or a short list of ours stands in.
"""

from __future__ import annotations

import functools
import tomllib
import unicodedata
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from domains.notes.identifiers import one, shaped

if TYPE_CHECKING:
    import numpy as np

_DRAWS: Final = 700
"""How often Faker is asked for each kind of word of a locale."""

_POOL_SEED: Final = 20231

_LISTED_SHARE: Final = 0.6
"""How many towns are of our list where Faker has towns too and the file says nothing."""

_DOUBLE_SHARE: Final = 0.05
"""How many last names are double."""


@dataclass(frozen=True, slots=True)
class Region:
    """Where a person lives.

    Attributes:
        names: Faker's locale for people.
        places: Faker's locale for streets and towns; empty where it has none.
        country: in English, as an address says it.
        weight: how often it is drawn, relative to others.
        month_first: whether numeric dates begin with the month.
        provinces: states or counties that addresses name, as codes or words.
        towns: towns that stand beside Faker's, which for some locales are made of syllables.
        listed_share: how many of its towns are of that list.
        streets: shapes of street addresses where Faker has none; # is a digit.
        postcode: shape of a post code where Faker has none.
    """

    names: str
    places: str
    country: str
    weight: float
    month_first: bool
    provinces: tuple[str, ...]
    towns: tuple[str, ...]
    listed_share: float
    streets: tuple[str, ...]
    postcode: str


@functools.cache
def load_regions(part: str) -> tuple[Region, ...]:
    """Return the regions of `part`, "train" or "held_out", in the order of the file."""
    file = resources.files("domains.notes") / "templates" / f"regions_{part}.toml"
    return tuple(
        Region(
            names=entry["names"],
            places="" if "streets" in entry else entry.get("places", entry["names"]),
            country=entry["country"],
            weight=float(entry.get("weight", 1)),
            month_first=entry.get("month_first", False),
            provinces=tuple(entry.get("provinces", ())),
            towns=tuple(entry.get("towns", ())),
            listed_share=entry.get("listed_share", 1.0 if "streets" in entry else _LISTED_SHARE),
            streets=tuple(entry.get("streets", ())),
            postcode=entry.get("postcode", ""),
        )
        for entry in tomllib.loads(file.read_text(encoding="utf-8"))["region"]
    )


@dataclass(frozen=True, slots=True)
class Person:
    """An invented person; shown freely, since nobody real is meant."""

    first: str
    middle: str
    last: str

    @property
    def ascii_first(self) -> str:
        """The first name in letters that every system has."""
        return without_accents(self.first)

    @property
    def ascii_last(self) -> str:
        """The last name in letters that every system has."""
        return without_accents(self.last)

    def written(self, form: str) -> str:
        """Return the name in one of `FORMS`.

        Raises:
            KeyError: there is no such form.
        """
        return FORMS[form].format(
            f=self.first, m=self.middle, l=self.last, fi=self.first[0], mi=self.middle[0],
            L=self.last.upper(), F=self.first.upper(),
        )  # fmt: skip


FORMS: Final = {
    "full": "{f} {l}",
    "middle": "{f} {m} {l}",
    "mi": "{f} {mi}. {l}",
    "first": "{f}",
    "last": "{l}",
    "last_first": "{l}, {f}",
    "last_first_mi": "{l}, {f} {mi}",
    "last_first_upper": "{L}, {F}",
    "upper_last": "{L}, {f}",
    "upper": "{F} {L}",
    "initial": "{fi}. {l}",
    "initials": "{fi}. {mi}. {l}",
    "last_initial": "{l}, {fi}.",
    "last_initials": "{l} {fi}{mi}",
}
"""How a name can be written."""

_PLAIN_FORMS: Final = (
    *("full",) * 10, *("mi",) * 2, *("middle",) * 2, "initial", "initials", "upper_last",
)  # fmt: skip


def plain_form(rng: np.random.Generator) -> str:
    """Return the form of a name where the template leaves it open."""
    return one(rng, _PLAIN_FORMS)


_METHODS: Final = {
    ("ja_JP", "first_name"): "first_romanized_name",
    ("ja_JP", "last_name"): "last_romanized_name",
    ("vi_VN", "first_name"): "first_name_male",
}
"""What to ask Faker for instead, where a locale answers in another script or in English."""


@functools.cache
def _pool(locale: str, kind: str) -> tuple[str, ...]:
    """Return distinct words of one kind, the same in every process."""
    from faker import Faker  # noqa: PLC0415 - costs 0.2 s that loading real data need not pay

    faker = Faker(locale)
    faker.seed_instance(_POOL_SEED)
    method = _METHODS.get((locale, kind), kind)
    words = (str(getattr(faker, method)()) for _ in range(_DRAWS))
    tidied = (" ".join(word.replace("\n", ", ").split()) for word in words)
    return tuple(dict.fromkeys(word for word in tidied if word))


def person(rng: np.random.Generator, region: Region) -> Person:
    """Return a person with a name of the region."""
    firsts, lasts = _pool(region.names, "first_name"), _pool(region.names, "last_name")
    first, middle, last = one(rng, firsts), one(rng, firsts), one(rng, lasts)
    if rng.random() < _DOUBLE_SHARE:
        last = f"{last}-{one(rng, lasts)}"
    return Person(first, middle, last)


def town(rng: np.random.Generator, region: Region) -> str:
    """Return a town of the region."""
    if region.towns and rng.random() < region.listed_share:
        return one(rng, region.towns)
    return one(rng, _pool(region.places, "city"))


def street(rng: np.random.Generator, region: Region) -> str:
    """Return a street address of the region, without town and post code."""
    if region.streets:
        return shaped(rng, *region.streets)
    return one(rng, _pool(region.places, "street_address"))


def postcode(rng: np.random.Generator, region: Region) -> str:
    """Return a post code of the region."""
    if region.postcode:
        return shaped(rng, region.postcode)
    return one(rng, _pool(region.places, "postcode"))


def firm(rng: np.random.Generator, region: Region) -> str:
    """Return the name of a small firm of the region, by its owner or its town."""
    endings = (
        "Ltd",
        "GmbH",
        "& Sons",
        "LLC",
        "Partners",
        "Logistics",
        "Trading",
        "& Co.",
        "Holdings",
    )
    name = one(rng, _pool(region.names, "last_name"))
    other = one(rng, _pool(region.names, "last_name"))
    ending = one(rng, endings)
    return one(
        rng,
        (
            f"{name} {ending}",
            f"{name} & {other} {ending.lstrip('& ')}",
            f"{town(rng, region)} {ending}",
        ),
    )


def hospital(rng: np.random.Generator, region: Region) -> str:
    """Return the name of a hospital or a practice of the region, by its town or a saint."""
    place, saint = town(rng, region), person(rng, region).first
    forms = (
        f"{place} General Hospital", f"{place} Medical Center", f"{place} Family Practice",
        f"{place} Regional Medical Centre", f"{place} Health Centre", f"Klinik {place}",
        f"University Hospital {place}", f"St. {saint} Hospital", f"{saint} Memorial Hospital",
    )  # fmt: skip
    return one(rng, forms)


_DOTLESS_I: Final = "\N{LATIN SMALL LETTER DOTLESS I}"
_PLAIN_LETTERS: Final = str.maketrans(
    {"ł": "l", "Ł": "L", "ø": "o", "Ø": "O", "ß": "ss", "æ": "ae", "Æ": "Ae", "ð": "d", "Ð": "D",
     "þ": "th", "Þ": "Th", "đ": "d", "Đ": "D", "ə": "e", "Ə": "E", "œ": "oe", _DOTLESS_I: "i"}
)  # fmt: skip


def without_accents(text: str) -> str:
    """Return `text` as a system without accents stores it."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_PLAIN_LETTERS))
    return "".join(character for character in decomposed if not unicodedata.combining(character))
