"""What is written where something was found: three ways, after one search.

The search is the same in every mode, and works with placeholders; a replacement then writes the
final text from the original one and its spans. `modes.ScrubMode` says which rule each follows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from crypto.errors import ConfigError
from privacy.scrubbing.modes import surrogates
from privacy.scrubbing.modes.dates import read_dates
from privacy.scrubbing.modes.early_births import EARLIEST_YEAR, early_births
from privacy.scrubbing.modes.kept_places import stays, zip_area
from privacy.scrubbing.modes.modes import SAFE_HARBOR_ENTITIES, DateOrder, Document, ScrubMode
from privacy.scrubbing.spans import Scrubbed, Span, placeholder, replace

if TYPE_CHECKING:
    from privacy.scrubbing.recognizers import Recognizer

Draw = Callable[[int, int], int]
"""Returns the random number, 0 <= n < 2^64, that belongs to a document's number and a count from 0.

It is given places and no value, so that what it returns cannot be derived from one.
"""

Keyed = Callable[[bytes], bytes]
"""A pseudo-random function under a secret of the caller's: 16 bytes or more, equal for equal ones.
"""

OLDER_THAN_89: Final = "90 or older"
"""The one category that 45 CFR 164.514(b)(2)(i)(C) leaves for every age over 89."""

_WORD: Final = re.compile(r"[^\W\d_]+")
_PIECE: Final = re.compile(r"[^,;/()\n]+")
_TITLES: Final = {
    "dr": "Dr.", "frau": "Frau", "herr": "Herr", "mme": "Mme", "mr": "Mr.", "mrs": "Mrs.",
    "ms": "Ms.", "prof": "Prof.", "rev": "Rev.", "sra": "Sra.",
}  # fmt: skip
_COMMON_WORDS: Final = frozenset(surrogates.COMMON_WORDS)
_SIMPLE_ATTEMPTS: Final = 8
_MOST_ATTEMPTS: Final = 1000
_LONGEST_SHIFT_DAYS: Final = 365
_CODE_BYTES: Final = 6
_WORD_BYTES: Final = 8


class Replacement(Protocol):
    """Writes the final text of one document."""

    @property
    def mode(self) -> ScrubMode:
        """Which rule it follows."""

    @property
    def required(self) -> tuple[str, ...]:
        """Entities without which its mode would claim too much."""

    @property
    def recognizers(self) -> tuple[Recognizer, ...]:
        """What it has to find itself, beside what is loaded."""

    def write(self, text: str, spans: Sequence[Span], document: Document | None) -> Scrubbed:
        """Return `text` with the disjoint ascending `spans` replaced.

        The result's spans are those of `text` in which something else stands now.

        Raises:
            ConfigError: what is written depends on the document, and none is named.
        """


@dataclass(frozen=True, slots=True)
class Placeholders:
    """A finding's type stands in its place, such as `<PERSON>`; scrubbing again changes nothing."""

    mode: ScrubMode = field(default=ScrubMode.PLACEHOLDERS, init=False)
    required: tuple[str, ...] = field(default=(), init=False)
    recognizers: tuple[Recognizer, ...] = field(default=(), init=False)

    def write(self, text: str, spans: Sequence[Span], document: Document | None) -> Scrubbed:
        """Return `text` with a placeholder for each of `spans`, whichever document it is."""
        del document
        return Scrubbed(replace(text, spans), tuple(spans))


class SafeHarbor:
    """What 45 CFR 164.514(b)(2)(i) leaves of a text, with surrogates drawn at random.

    Formal guarantees: a surrogate is a function of `draw`, of the document's number, of the order
    in which different values first occur, and of which occurrences are equal; no character of a
    value goes into it. The one exception is a draw that happens to be a word of a value of the same
    document: it is passed over. So two documents whose values differ, but stand in the same places
    and are equal in the same places, get the same surrogates.

    It does not make a text de-identified: the rule also asks that the holder has no actual
    knowledge that what is left could identify somebody (164.514(b)(2)(ii)), and nothing here can
    attest that, or that everything was found.

    | finding | what is written |
    |---|---|
    | PERSON | an invented word for each word; initials are left out, titles such as Dr. stay |
    | LOCATION | an invented place; a US state or a country stays |
    | STREET_ADDRESS, ORGANIZATION | an invented one |
    | POSTAL_CODE | three digits of a US ZIP code, 000 where few live; else its placeholder |
    | DATE_TIME | its year; the placeholder if somebody born then may be over 89 |
    | AGE_OVER_89 | "90 or older" |
    | anything else | its placeholder |

    A date that cannot be read, or has a year of two digits, becomes its placeholder too.

    Args:
        draw: the caller's random numbers, the same for the whole of a run.
        this_year: the year in which the text is scrubbed; who was born 90 years before or earlier
            may be over 89.

    Raises:
        ConfigError: `this_year` cannot be one.
    """

    def __init__(self, draw: Draw, *, this_year: int) -> None:
        if not EARLIEST_YEAR <= this_year <= 9999:  # noqa: PLR2004 - years of four digits
            raise ConfigError(
                f"The year {this_year} cannot be the present one: ages over 89 would not be told "
                "from others. Set the machine's clock."
            )
        self._draw = draw
        self._latest_early_birth = this_year - 90
        self.recognizers = (early_births(self._latest_early_birth),)

    @property
    def mode(self) -> ScrubMode:
        """Safe Harbor."""
        return ScrubMode.SAFE_HARBOR

    @property
    def required(self) -> tuple[str, ...]:
        """Every entity by which one of the eighteen identifiers is looked for."""
        return SAFE_HARBOR_ENTITIES

    def write(self, text: str, spans: Sequence[Span], document: Document | None) -> Scrubbed:
        """Return `text` with what the rule leaves of each of `spans`.

        Raises:
            ConfigError: no document is named: every text would get the same surrogates, and
                readers would take different people for one.
        """
        number = _named(document).number
        drawn = iter(range(1 << 62))
        names = _Surrogates(text, spans, lambda *_: self._draw(number, next(drawn)))
        return _written(text, spans, lambda span: self._pieces(text, span, names))

    def _pieces(self, text: str, span: Span, names: _Surrogates) -> list[_Piece]:
        if span.entity == "DATE_TIME":
            return [_Piece(span, self._years(text[span.start : span.end]))]
        return _of_any_mode(text, span, names) or [_Piece(span, placeholder(span.entity))]

    def _years(self, value: str) -> str:
        """Return the year or the two years of a date, or the placeholder."""
        parts = read_dates(value) or ()
        years = [part.year for part in parts if not isinstance(part, str)]
        if not years or any(year is None or year <= self._latest_early_birth for year in years):
            return placeholder("DATE_TIME")
        return "-".join(dict.fromkeys(str(year) for year in years))


class ExpertDetermination:
    """Keyed surrogates and shifted dates: what remains useful, at a risk that an expert must judge.

    Equal values get equal surrogates in all documents that are written under one key, so records
    of one person can be linked, and whoever has the key can test a guess of a value. 45 CFR
    164.514(b)(2) forbids surrogates that are derived from the value: this is never Safe Harbor.

    Formal guarantees: a surrogate is a function of the key and of the value, read without case;
    the one exception is a surrogate that happens to be a word of a value of the same document, or
    that another value has there: the next one is taken. All dates of one unit move by the same
    number of days, of 1 to 365 forwards or backwards, so the days between two dates that show a
    day, a month and a year stay. A date without a day may stay in its month, since what stood
    there instead would tell that the shift is short. What cannot be read as a date becomes a
    placeholder. Two different words have the same surrogate with a probability of 1 in 82 800.

    | finding | what is written |
    |---|---|
    | PERSON, LOCATION, STREET_ADDRESS, ORGANIZATION | as in `SafeHarbor`, by the key |
    | POSTAL_CODE, AGE_OVER_89 | as in `SafeHarbor` |
    | DATE_TIME | the shifted date in the same form; else its placeholder |
    | anything else | `<US_SSN 4f81b2c90d3e>`: its type and 48 bits by the key |

    Args:
        keyed: the caller's pseudo-random function.
        date_order: how the texts mean 03/04/2019; without it, such a date becomes a placeholder.
    """

    def __init__(self, keyed: Keyed, *, date_order: DateOrder | None = None) -> None:
        self._keyed = keyed
        self._order = date_order

    @property
    def mode(self) -> ScrubMode:
        """Expert Determination."""
        return ScrubMode.EXPERT_DETERMINATION

    @property
    def required(self) -> tuple[str, ...]:
        """None: the expert says what has to be looked for."""
        return ()

    @property
    def recognizers(self) -> tuple[Recognizer, ...]:
        """None."""
        return ()

    def write(self, text: str, spans: Sequence[Span], document: Document | None) -> Scrubbed:
        """Return `text` with a keyed surrogate or a shifted date for each of `spans`.

        Raises:
            ConfigError: no document is named: dates of different people would move together.
        """
        days = self._days(_named(document))
        names = _Surrogates(text, spans, self._number)
        return _written(text, spans, lambda span: self._pieces(text, span, names, days))

    def _pieces(self, text: str, span: Span, names: _Surrogates, days: int) -> list[_Piece]:
        value = text[span.start : span.end]
        if span.entity == "DATE_TIME":
            return [_Piece(span, self._shifted(value, days))]
        return _of_any_mode(text, span, names) or [_Piece(span, self._code(span.entity, value))]

    def _shifted(self, value: str, days: int) -> str:
        parts = read_dates(value, self._order) or ()
        written = [part if isinstance(part, str) else part.shifted(days) for part in parts]
        known = [part for part in written if part is not None]
        return "".join(known) if known and len(known) == len(written) else placeholder("DATE_TIME")

    def _days(self, document: Document) -> int:
        """Return by how many days the dates of this document's unit move: -365 to 365, never 0."""
        whose = f"document {document.number}" if document.unit is None else f"unit {document.unit}"
        step = self._number("days", whose, 0) % (2 * _LONGEST_SHIFT_DAYS)
        return step - _LONGEST_SHIFT_DAYS + (step >= _LONGEST_SHIFT_DAYS)

    def _number(self, kind: str, value: str, attempt: int) -> int:
        return int.from_bytes(self._keyed_of(kind, value, attempt)[:_WORD_BYTES], "big")

    def _keyed_of(self, kind: str, value: str, attempt: int) -> bytes:
        # Neither a kind nor an attempt holds a NUL, so no two triples meet.
        return self._keyed(f"{kind}\0{attempt}\0{value}".encode("utf-8", "surrogatepass"))

    def _code(self, entity: str, value: str) -> str:
        plain = "".join(filter(str.isalnum, value.casefold())) or value
        return f"<{entity} {self._keyed_of(entity, plain, 0)[:_CODE_BYTES].hex()}>"


# -- what both kinds of surrogates share ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands in the place of `span`; None where it stays as it is."""

    span: Span
    written: str | None


_Numbers = Callable[[str, str, int], int]
"""Returns 64 random bits for a kind, a value without case and an attempt."""


class _Surrogates:
    """The surrogates of one document: equal for equal values, different for different ones."""

    def __init__(self, text: str, spans: Sequence[Span], numbers: _Numbers) -> None:
        values = [text[span.start : span.end].casefold() for span in spans]
        self._taken = {word for value in values for word in _WORD.findall(value)} - _COMMON_WORDS
        self._numbers = numbers
        self._known: dict[tuple[str, str], str] = {}

    def person(self, value: str) -> str:
        """Return a name of as many words as `value` has, initials and titles not counted."""
        words = _WORD.findall(value.casefold())
        named = [word for word in words if len(word) > 1]
        if all(word in _TITLES for word in named):
            return self._one("name", " ".join(value.casefold().split()), surrogates.name)
        return " ".join(
            _TITLES[word] if word in _TITLES else self._one("name", word, surrogates.name)
            for word in named
        )

    def place(self, value: str) -> str:
        """Return a place."""
        return self._one("place", " ".join(value.casefold().split()), surrogates.place)

    def street(self, value: str) -> str:
        """Return a street address."""
        return self._one("street", " ".join(value.casefold().split()), surrogates.street)

    def firm(self, value: str) -> str:
        """Return an organisation's name."""
        return self._one("firm", " ".join(value.casefold().split()), surrogates.firm)

    def _one(self, kind: str, value: str, made: Callable[[int], str]) -> str:
        known = self._known.get((kind, value))
        if known is not None:
            return known
        for attempt in range(_MOST_ATTEMPTS):
            number = self._numbers(kind, value, attempt)
            made_up = made(number)
            if attempt >= _SIMPLE_ATTEMPTS:  # so many different values that single words run out
                made_up = f"{surrogates.name(number // surrogates.NAMES)}-{made_up}"
            words = set(_WORD.findall(made_up.casefold())) - _COMMON_WORDS
            whole = {made_up.casefold()}
            if whole & self._taken or (attempt < _SIMPLE_ATTEMPTS and words & self._taken):
                continue
            self._taken |= whole if attempt >= _SIMPLE_ATTEMPTS else whole | words
            self._known[kind, value] = made_up
            return made_up
        raise ConfigError(
            "The numbers that surrogates are drawn by repeat themselves: different people would "
            "get one name, so nothing was written. Give a random stream or a keyed function."
        )


def _named(document: Document | None) -> Document:
    if document is None:
        raise ConfigError(
            "Surrogates and shifted dates belong to one document, and none is named: different "
            "people would look like one. Say which document of the run the text is."
        )
    return document


def _of_any_mode(text: str, span: Span, names: _Surrogates) -> list[_Piece]:
    """Return what both modes write for names, places and ages; nothing for other entities."""
    value = text[span.start : span.end]
    written: str | None
    match span.entity:
        case "LOCATION":
            return _places(span, value, names)
        case "PERSON":
            written = names.person(value)
        case "STREET_ADDRESS":
            written = names.street(value)
        case "ORGANIZATION":
            written = names.firm(value)
        case "POSTAL_CODE":
            written = zip_area(text, span.start, span.end) or placeholder("POSTAL_CODE")
        case "AGE_OVER_89":
            joined = text.startswith("-", span.end)  # "92" of "92-year-old"
            written = OLDER_THAN_89.replace(" ", "-") if joined else OLDER_THAN_89
        case _:
            written = None
    return [] if written is None else [_Piece(span, written)]


def _places(span: Span, value: str, names: _Surrogates) -> list[_Piece]:
    """Return an invented place for each part of `value`; states and countries stay."""
    pieces = []
    for match in _PIECE.finditer(value):
        part = match[0].strip()
        if not part:
            continue
        start = span.start + match.start() + match[0].index(part)
        place = Span(start, start + len(part), span.entity, span.score)
        pieces.append(_Piece(place, None if stays(part) else names.place(part)))
    return pieces or [_Piece(span, placeholder(span.entity))]


def _written(
    text: str, spans: Sequence[Span], pieces_of: Callable[[Span], list[_Piece]]
) -> Scrubbed:
    parts: list[str] = []
    replaced: list[Span] = []
    done = 0
    for span in spans:
        for piece in pieces_of(span):
            if piece.written is None:
                continue
            parts += (text[done : piece.span.start], piece.written)
            done = piece.span.end
            replaced.append(piece.span)
    parts.append(text[done:])
    return Scrubbed("".join(parts), tuple(replaced))
