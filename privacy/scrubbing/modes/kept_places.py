"""What Safe Harbor lets stay of a place: states, countries, and three digits of a US ZIP code.

45 CFR 164.514(b)(2)(i)(B) removes every geographic subdivision smaller than a State. A name that is
also a city's, a county's or a person's is left out of the lists below, so that it is replaced: New
York, Washington, Georgia, Virginia, Jordan, Chad, Luxembourg, Singapore and the like. (Small towns
are called after most states; where a text means one of those, the name of the state stays.)
"""

from __future__ import annotations

import re
from typing import Final

_STATES: Final = (
    "Alabama", "Alaska", "Arizona", "Arkansas", "California", "Colorado", "Connecticut", "Delaware",
    "District of Columbia", "Florida", "Hawaii", "Idaho", "Illinois", "Indiana", "Iowa", "Kansas",
    "Kentucky", "Louisiana", "Maine", "Maryland", "Massachusetts", "Michigan", "Minnesota",
    "Mississippi", "Missouri", "Montana", "Nebraska", "Nevada", "New Hampshire", "New Jersey",
    "New Mexico", "New York State", "State of New York", "North Carolina", "North Dakota", "Ohio",
    "Oklahoma", "Oregon", "Pennsylvania", "Puerto Rico", "Rhode Island", "South Carolina",
    "South Dakota", "State of Georgia", "State of Virginia", "State of Washington", "Tennessee",
    "Texas", "Utah", "Vermont", "Washington State", "West Virginia", "Wisconsin", "Wyoming",
)  # fmt: skip
_STATE_LETTERS: Final = frozenset(
    (
        "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN",
        "IA", "KS", "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH",
        "NJ", "NM", "NY", "NC", "ND", "OH", "OK", "OR", "PA", "PR", "RI", "SC", "SD", "TN", "TX",
        "UT", "VT", "VA", "WA", "WV", "WI", "WY",
    )
)  # fmt: skip
_COUNTRIES: Final = (
    "Albania", "Algeria", "Angola", "Argentina", "Armenia", "Australia", "Austria", "Azerbaijan",
    "Bahrain", "Bangladesh", "Belarus", "Belgium", "Bolivia", "Botswana", "Brazil", "Bulgaria",
    "Cambodia", "Cameroon", "Canada", "Chile", "China", "Colombia", "Costa Rica", "Croatia",
    "Czech Republic", "Czechia", "Denmark", "Ecuador", "Egypt", "El Salvador", "England",
    "Estonia", "Ethiopia", "Finland", "Germany", "Ghana", "Great Britain", "Greece", "Honduras",
    "Hungary", "Iceland", "Indonesia", "Iran", "Iraq", "Italy", "Ivory Coast", "Japan",
    "Kazakhstan", "Latvia", "Lebanon", "Libya", "Lithuania", "Madagascar", "Malawi", "Malaysia",
    "Moldova", "Mongolia", "Morocco", "Mozambique", "Myanmar", "Namibia", "Nepal", "Netherlands",
    "New Zealand", "Nicaragua", "Nigeria", "North Macedonia", "Northern Ireland", "Norway", "Oman",
    "Pakistan", "Paraguay", "Peru", "Philippines", "Poland", "Portugal", "Qatar", "Romania",
    "Russia", "Rwanda", "Saudi Arabia", "Scotland", "Senegal", "Serbia", "Slovakia", "Slovenia",
    "Somalia", "South Africa", "South Korea", "Spain", "Sri Lanka", "Sudan", "Sweden",
    "Switzerland", "Syria", "Taiwan", "Tanzania", "Thailand", "Tunisia", "Turkey", "Uganda",
    "Ukraine", "United Arab Emirates", "United Kingdom", "United States",
    "United States of America", "Uruguay", "Uzbekistan", "Venezuela", "Vietnam", "Wales", "Yemen",
    "Zambia", "Zimbabwe", "UK", "USA",
)  # fmt: skip
_KEPT: Final = frozenset(name.casefold() for name in _STATES + _COUNTRIES)

RESTRICTED_ZIP3: Final = frozenset(
    (
        "036", "059", "063", "102", "203", "205", "369", "556", "692", "790", "821", "823", "830",
        "831", "878", "879", "884", "890", "893",
    )
)  # fmt: skip
"""Prefixes of areas with 20 000 people or fewer, whose ZIP codes become 000.

The seventeen that the Department of Health and Human Services lists from the census of 2000 (its
guidance on de-identification, 2012), and 205 and 369 of the census of 2010. The rule speaks of the
*current* census data: compare the list with the newest before relying on it.
"""

_ZIP: Final = re.compile(r"(\d{3})\d{2}(-\d{4})?", re.ASCII)
_BEFORE_ZIP: Final = re.compile(r"(?:\bzip(?: ?code)?|\b([A-Z]{2}))[:.,]? {0,2}$", re.IGNORECASE)
_LONGEST_CUE: Final = 20


def stays(place: str) -> bool:
    """Say whether `place` is a US state or a country, and no smaller place's name as well."""
    plain = " ".join(place.split())
    if plain in _STATE_LETTERS:
        return True
    return plain.casefold().removeprefix("the ") in _KEPT


def zip_area(text: str, start: int, end: int) -> str | None:
    """Return what may stay of the postal code [`start`, `end`) of `text`, or None for nothing.

    That is the first three digits of a US ZIP code, or 000 where few people live there. Five digits
    are a postal code in many countries: they count as a ZIP code with four more after a hyphen, or
    behind a state's letters, a state's name or the word itself.
    """
    digits_start = start
    while digits_start < end and not text[digits_start].isdecimal():
        digits_start += 1
    match = _ZIP.fullmatch(text, digits_start, end)
    if match is None:
        return None
    if match[2] is None and not _behind_a_state(text, digits_start):
        return None
    return "000" if match[1] in RESTRICTED_ZIP3 else match[1]


def _behind_a_state(text: str, at: int) -> bool:
    before = text[max(0, at - _LONGEST_CUE) : at]
    cue = _BEFORE_ZIP.search(before)
    if cue is not None and (cue[1] is None or cue[1] in _STATE_LETTERS):
        return True
    words = before.rstrip(" ,.").casefold()
    return any(words.endswith(state.casefold()) for state in _STATES)
