"""What stands in a template's slots: one cast of people, dates and numbers per note.

A slot that occurs twice in a note has the same value, perhaps in another form; a number after its
name (`<doctor2>`) makes another one of the kind.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.notes import identifiers, people
from domains.notes.grammar import Piece, Slot
from domains.notes.identifiers import one
from domains.notes.number_slots import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from domains.notes.people import Person, Region

PEOPLE: Final = frozenset(
    {"patient", "doctor", "nurse", "relative", "customer", "agent", "payee", "officer", "person"}
)
"""Slots that hold a person; their forms are `people.FORMS`."""

_DATES: Final = {"date": (-400, 60), "admitted": (0, 0), "discharged": (1, 21), "later": (7, 200)}
"""Days from the day that the note is about, at least and at most."""

DATE_STYLES: Final = {
    "iso": "{y}-{m:02d}-{d:02d}",
    "us": "{m:02d}/{d:02d}/{y}",
    "us_short": "{m}/{d}/{yy:02d}",
    "eu": "{d:02d}.{m:02d}.{y}",
    "eu_slash": "{d:02d}/{m:02d}/{y}",
    "eu_short": "{d}/{m}/{yy:02d}",
    "dash": "{d:02d}-{m:02d}-{y}",
    "long_us": "{month} {d}, {y}",
    "long_eu": "{d} {month} {y}",
    "medium": "{d:02d} {mon} {y}",
    "medium_dash": "{d:02d}-{mon}-{y}",
    "medium_short": "{d:02d}-{mon}-{yy:02d}",
    "medium_us": "{mon} {d}, {y}",
    "ordinal": "{d}{th} {month} {y}",
    "ordinal_us": "{month} {d}{th}, {y}",
    "spoken": "{d}{th} of {month}",
    "no_year": "{month} {d}",
    "no_year_eu": "{d} {month}",
    "month": "{month} {y}",
    "month_number": "{m:02d}/{y}",
    "stamp": "{y}-{m:02d}-{d:02d}T{hh:02d}:{mm:02d}:00Z",
    "stamp_space": "{y}-{m:02d}-{d:02d} {hh:02d}:{mm:02d}",
}
"""How a date can be written; a template may ask for one of them by name."""

_DAY_FIRST: Final = (
    "eu",
    "eu",
    "eu_slash",
    "dash",
    "long_eu",
    "medium",
    "iso",
    "eu_short",
    "ordinal",
    "medium_dash",
)
_MONTH_FIRST: Final = (
    "us",
    "us",
    "us_short",
    "us_short",
    "long_us",
    "medium_us",
    "medium_short",
    "iso",
    "ordinal_us",
)
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_AGE_WORDS: Final = (
    "ninety", "ninety-one", "ninety-two", "ninety-three", "ninety-four", "ninety-five",
    "ninety-six", "ninety-seven", "ninety-eight", "ninety-nine", "one hundred", "a hundred and one",
)  # fmt: skip

_NATIONALITIES: Final = (
    "German", "French", "Spanish", "Italian", "Dutch", "Polish", "Swedish", "Finnish", "Irish",
    "British", "American", "Canadian", "Mexican", "Brazilian", "Turkish", "Romanian", "Lithuanian",
    "Indonesian", "Indian", "Pakistani", "Nigerian", "Kenyan", "Japanese", "Vietnamese", "Greek",
)  # fmt: skip

_RELIGIONS: Final = (
    "Christian", "Catholic", "Hindu", "Muslim", "Jewish", "Sikh", "Buddhist", "Baptist",
)  # fmt: skip
_LISTED: Final = {
    "month": ("DATE_TIME", (*_MONTHS, "April", "May", "June", "August")),
    "nationality": ("NRP", _NATIONALITIES),
    "religion": ("NRP", _RELIGIONS),
}
"""Slots that hold one of a few words; months that are names of people come more often."""

_NEAR_SHARE, _KIN_SHARE, _OTHER_STYLE_SHARE = 0.6, 0.6, 0.12
"""Who lives in the patient's region, which relatives share the name, which dates look different."""

_FIRST_DAY: Final = dt.date(2009, 1, 1).toordinal()
_LAST_DAY: Final = dt.date(2026, 6, 30).toordinal()


def _province(rng: np.random.Generator, region: Region) -> str:
    return one(rng, region.provinces or (region.country,))


def _country(rng: np.random.Generator, region: Region) -> str:
    del rng
    return region.country


_PLACES: Final[dict[str, tuple[str, Callable[[np.random.Generator, Region], str]]]] = {
    "street": ("STREET_ADDRESS", people.street),
    "postcode": ("POSTAL_CODE", people.postcode),
    "city": ("LOCATION", people.town),
    "state": ("LOCATION", _province),
    "country": ("LOCATION", _country),
    "firm": ("ORGANIZATION", people.firm),
    "hospital": ("ORGANIZATION", people.hospital),
}
"""Slots that hold a place or what is called after one."""


class Cast:
    """Fills the slots of one note.

    Args:
        rng: the note's own; asked in the order of the text.
        region: where the patient or customer lives.
        regions: all of the part, from which others in the note may come.
    """

    def __init__(self, rng: np.random.Generator, region: Region, regions: Sequence[Region]) -> None:
        self._rng = rng
        self._region = region
        self._regions = regions
        self._people: dict[str, Person] = {}
        self._homes: dict[str, Region] = {}
        self._values: dict[str, Piece] = {}
        self._days: dict[str, int] = {}
        self._forms: dict[str, str] = {}
        self._age = int(rng.integers(18, 90))
        self._today = int(rng.integers(_FIRST_DAY, _LAST_DAY))
        self._style = one(rng, _MONTH_FIRST if region.month_first else _DAY_FIRST)

    def fill(self, slot: Slot) -> Piece:
        """Return what stands in `slot`.

        Raises:
            ConfigError: nothing is known by that name, or not in that form.
        """
        base = slot.name.rstrip("0123456789")
        if base in PEOPLE:
            return self._named(slot, base)
        if base in _DATES or base == "dob":
            return self._dated(slot, base)
        if slot.form:
            raise _unknown(slot)
        if slot.name not in self._values:
            self._values[slot.name] = self._drawn(slot, base)
        return self._values[slot.name]

    def _drawn(self, slot: Slot, base: str) -> Piece:
        if base in NUMBERS:
            entity, draw = NUMBERS[base]
            return Piece(draw(self._rng), entity)
        if base in _PLACES:
            entity, draw_place = _PLACES[base]
            return Piece(draw_place(self._rng, self._region), entity)
        if base == "abroad":
            return Piece(one(self._rng, self._regions).country, "LOCATION")
        if base in _LISTED:
            entity, words = _LISTED[base]
            return Piece(one(self._rng, words), entity)
        if base == "old_age":
            in_words = int(self._rng.integers(4)) == 0
            number = one(self._rng, _AGE_WORDS) if in_words else str(self._rng.integers(90, 106))
            return Piece(number, "AGE_OVER_89")
        if base not in {"age", "year"}:
            raise _unknown(slot)
        return Piece(str(self._age if base == "age" else self._rng.integers(1975, 2025)))

    def _person(self, name: str, base: str) -> Person:
        if name not in self._people:
            rng = self._rng
            near = base in {"patient", "customer", "relative"} or rng.random() < _NEAR_SHARE
            home = self._region if near else one(rng, self._regions)
            drawn = people.person(rng, home)
            kin = next(
                (self._people[k] for k in ("patient", "customer") if k in self._people), None
            )
            if base == "relative" and kin is not None and rng.random() < _KIN_SHARE:
                drawn = people.Person(drawn.first, drawn.middle, kin.last)
            self._people[name] = drawn
        return self._people[name]

    def _named(self, slot: Slot, base: str) -> Piece:
        person = self._person(slot.name, base)
        if slot.form == "email":
            if slot.name + ".email" not in self._values:
                self._values[slot.name + ".email"] = Piece(
                    identifiers.email(self._rng, person), "EMAIL_ADDRESS"
                )
            return self._values[slot.name + ".email"]
        form = slot.form
        if not form:
            form = self._forms.setdefault(slot.name, people.plain_form(self._rng))
        if form not in people.FORMS:
            raise _unknown(slot)
        return Piece(person.written(form), "PERSON")

    def _dated(self, slot: Slot, base: str) -> Piece:
        rng = self._rng
        if slot.name not in self._days:
            if base == "dob":
                born = self._today - self._age * 365 - self._age // 4 - int(rng.integers(1, 350))
                self._days[slot.name] = born
            else:
                first, last = _DATES[base]
                self._days[slot.name] = self._today + int(rng.integers(first, last + 1))
        style = slot.form or self._style
        if not slot.form and rng.random() < _OTHER_STYLE_SHARE:
            style = one(rng, _MONTH_FIRST if self._region.month_first else _DAY_FIRST)
        if style not in DATE_STYLES:
            raise _unknown(slot)
        return Piece(self._written(self._days[slot.name], DATE_STYLES[style]), "DATE_TIME")

    def _written(self, day: int, style: str) -> str:
        date = dt.date.fromordinal(day)
        month = _MONTHS[date.month - 1]
        last = date.day % 10 if date.day not in {11, 12, 13} else 0
        return style.format(
            y=date.year, yy=date.year % 100, m=date.month, d=date.day, month=month, mon=month[:3],
            th={1: "st", 2: "nd", 3: "rd"}.get(last, "th"), hh=int(self._rng.integers(24)),
            mm=int(self._rng.integers(60)),
        )  # fmt: skip


def _unknown(slot: Slot) -> ConfigError:
    asked = f"<{slot.name}.{slot.form}>" if slot.form else f"<{slot.name}>"
    return ConfigError(
        f"A template has the slot {asked}, which nothing fills: no note can be made from it. Use a "
        "name and a form that domains.notes.slots knows, or add a list of words."
    )
