"""Dates as people write them: read, shifted by days, and written back the same way.

What cannot be read for certain is not guessed: `read_date` returns None, and the caller removes it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from privacy.scrubbing.modes.date_words import GERMAN, LANGUAGES, DateWords
from privacy.scrubbing.modes.modes import DateOrder

if TYPE_CHECKING:
    from collections.abc import Sequence

_TIME: Final = re.compile(
    r"(?:(?<!\d)|(?<=\d)T)(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?"
    r"(?: ?[ap]\.?m\.?(?!\w))?(?:Z(?!\w)| ?(?:UTC|GMT)(?!\w)|[+-]\d\d:?\d\d(?!\d))?",
    re.ASCII | re.IGNORECASE,
)
_TOKEN: Final = re.compile(r"(\d+)|([^\W\d_]+)|([\W_]+)")
_BETWEEN: Final = re.compile(r" ?[\u2013\u2014] ?| - | (?:to|until|through|bis|au|al|tot|and|und) ")
_ORDINALS: Final = ("st", "nd", "rd", "th")
_FIRST_OF_MONTH: Final = ("er", "re", "º")
"""What French and Spanish write after the first day of a month alone."""
_SEPARATORS: Final = frozenset({"-", "/", ".", " / ", " - ", ". ", " . "})
_DAYS_BETWEEN: Final = frozenset(
    (
        "-", "\u2013", "/", "&", "to", "and", "bis", "und", "au", "et", "al", "y", "e", "tot", "en",
    )
)  # fmt: skip
"""What stands between the first and the last day of a range within one month, spaces aside."""
_COMPACT: Final = re.compile(r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", re.ASCII)
_LONGEST: Final = 80
_NO_YEAR: Final = 2000
"""A leap year, for dates without one."""
_CENTURY: Final = 2000
"""For years of two digits: every fourth of this century is a leap year, as of the last but 1900."""
_MIDDLE_OF_MONTH: Final = 15


class _Role(Enum):
    DAY = auto()
    LAST_DAY = auto()
    MONTH = auto()
    YEAR = auto()
    SHORT_YEAR = auto()
    WEEKDAY = auto()
    ORDINAL = auto()
    REST = auto()


_PLAIN_ORDERS: Final = {
    (True, False, False): (_Role.YEAR, _Role.MONTH, _Role.DAY),
    (True, False): (_Role.YEAR, _Role.MONTH),
    (False, True): (_Role.MONTH, _Role.YEAR),
}
"""By which numbers have four digits: orders of which there is no other."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    role: _Role = _Role.REST


@dataclass(frozen=True, slots=True, repr=False)
class WrittenDate:
    """One date as it was written; shows nothing of it.

    `year` is None where none of four digits stands there; two digits do not say which century.
    """

    year: int | None
    _tokens: tuple[_Token, ...]
    _language: DateWords
    _certain: bool

    def shifted(self, days: int) -> str | None:
        """Return the date `days` later, in the same form; None where its day cannot be told.

        A time of day stays. A date without a day moves as its month's middle, one without a year
        as in a leap year. Days of one month that would then lie in two cannot be written.
        """
        if not self._certain:
            return None
        try:
            after = self._day(_Role.DAY) + timedelta(days)
            last = after
            if any(token.role is _Role.LAST_DAY for token in self._tokens):
                last = self._day(_Role.LAST_DAY) + timedelta(days)
        except (ValueError, OverflowError):
            return None
        if (after.year, after.month) != (last.year, last.month):
            return None
        moved = after
        written = []
        for token in self._tokens:
            moved = last if token.role is _Role.LAST_DAY else moved
            written.append(self._written(token, moved, days))
        return "".join(written)

    def _day(self, role: _Role) -> date:
        year = self.year if self.year is not None else _NO_YEAR
        month, day = 1, _MIDDLE_OF_MONTH
        for token in self._tokens:
            match token.role:
                case _Role.SHORT_YEAR:
                    year = _CENTURY + int(token.text)
                case _Role.MONTH:
                    month = _month_in(token.text, self._language)
                case found if found is role:
                    day = int(token.text)
                case _:
                    pass
        return date(year, month, day)

    def _written(self, token: _Token, after: date, days: int) -> str:
        written = token.text
        match token.role:
            case _Role.DAY | _Role.LAST_DAY:
                written = self._number(after.day)
            case _Role.MONTH if written.isdecimal():
                written = self._number(after.month)
            case _Role.MONTH:
                written = _month_like(written, after.month, self._language)
            case _Role.YEAR:
                written = f"{after.year:04d}"
            case _Role.SHORT_YEAR:
                written = f"{after.year % 100:02d}"
            case _Role.WEEKDAY:
                written = _weekday_like(written, days, self._language)
            case _Role.ORDINAL:
                written = _ordinal_like(written, after.day)
            case _:
                pass
        return written

    def _number(self, value: int) -> str:
        """Return `value` with a leading zero if the date's numbers are written with one."""
        small = [
            other.text
            for other in self._tokens
            if other.role in {_Role.DAY, _Role.LAST_DAY, _Role.MONTH} and other.text.isdecimal()
        ]
        zeros = any(text.startswith("0") for text in small)
        alone = self._has_month_word()
        padded = zeros or (not alone and all(len(text) == 2 for text in small))  # noqa: PLR2004 - two digits
        return f"{value:02d}" if padded else str(value)

    def _has_month_word(self) -> bool:
        return any(t.role is _Role.MONTH and not t.text.isdecimal() for t in self._tokens)


def read_date(text: str, order: DateOrder | None = None) -> WrittenDate | None:
    """Return the one date that `text` is, or None where it is none, several, or not understood.

    Args:
        text: a whole date, with or without weekday, year and time of day.
        order: how numbers such as 03/04/2019 are meant. Without it they are not shifted, unless
            one of them is above 12, both are the same, or dots stand between them.
    """
    if len(text) > _LONGEST:
        return None
    tokens = _tokens(text)
    if any(token.text.isdecimal() and not token.text.isascii() for token in tokens):
        return None
    language = _language(tokens)
    if language is None:
        return None
    named = _with_words(tokens, language)
    if named is None:
        return None
    named = _taken_apart(named)
    numbers = [at for at, token in enumerate(named) if token.text.isdecimal() and _is_free(token)]
    roles = {token.role for token in named}
    certain: bool | None
    if not numbers:
        certain = _Role.DAY in roles or None
    elif _Role.MONTH in roles:
        certain = _beside_month(named, numbers)
    else:
        certain = _of_numbers(named, numbers, order)
    if certain is None:
        return None
    years = [int(token.text) for token in named if token.role is _Role.YEAR]
    return WrittenDate(years[0] if years else None, tuple(named), language, certain)


def read_dates(text: str, order: DateOrder | None = None) -> tuple[WrittenDate | str, ...] | None:
    """Return `text` as dates and what stands between them: one date, or a range of two.

    None where it is neither.
    """
    whole = read_date(text, order)
    if whole is not None:
        return (whole,)
    if len(text) > 2 * _LONGEST:
        return None
    for between in _BETWEEN.finditer(text):
        first = read_date(text[: between.start()], order)
        last = read_date(text[between.end() :], order)
        if first is not None and last is not None:
            return (first, between[0], last)
    return None


def _taken_apart(tokens: Sequence[_Token]) -> list[_Token]:
    """Return the tokens with 20190312 in three, roles given."""
    if len(tokens) == 1 and re.fullmatch(
        r"\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])", tokens[0].text
    ):
        text = tokens[0].text
        return [
            _Token(text[:4], _Role.YEAR),
            _Token(text[4:6], _Role.MONTH),
            _Token(text[6:], _Role.DAY),
        ]
    return list(tokens)


def _is_free(token: _Token) -> bool:
    return token.role is _Role.REST


def _tokens(text: str) -> list[_Token]:
    """Return numbers, words and what stands between, each time of day in one piece."""
    tokens: list[_Token] = []
    done = 0
    for time in _TIME.finditer(text):
        tokens += [_Token(match[0]) for match in _TOKEN.finditer(text, done, time.start())]
        tokens.append(_Token(time[0]))
        done = time.end()
    tokens += [_Token(match[0]) for match in _TOKEN.finditer(text, done)]
    return tokens


def _language(tokens: Sequence[_Token]) -> DateWords | None:
    """Return the first language that has all words of the date, or None."""
    words = [token.text.casefold() for token in tokens if token.text.isalpha()]
    words = [word for word in words if word not in _ORDINALS + _FIRST_OF_MONTH]
    # "12. April" is German, and "april" alone would be read as English.
    dotted = any(
        first.text.isdecimal() and second.text == ". "
        for first, second in itertools.pairwise(tokens)
    )
    for language in (GERMAN, *LANGUAGES) if dotted and words else LANGUAGES:
        if all(_is_known(word, language) for word in words):
            return language
    return None


def _is_known(word: str, language: DateWords) -> bool:
    return (
        _month(word, language) is not None
        or _weekday(word, language) is not None
        or word in language.small
    )


def _month(word: str, language: DateWords) -> int | None:
    for months in (language.months, language.short_months):
        if word in months:
            return months.index(word) + 1
    return next((index + 1 for other, index in language.other_months if other == word), None)


def _weekday(word: str, language: DateWords) -> int | None:
    for days in (language.weekdays, language.short_weekdays):
        if word in days:
            return days.index(word)
    return next((index for other, index in language.other_weekdays if other == word), None)


def _month_in(text: str, language: DateWords) -> int:
    if text.isdecimal():
        return int(text)
    return _month(text.casefold(), language) or 0


def _with_words(tokens: Sequence[_Token], language: DateWords) -> list[_Token] | None:
    """Return the tokens with the roles of months, weekdays and ordinals; None where several fit."""
    named: list[_Token] = []
    for at, token in enumerate(tokens):
        word = token.text.casefold()
        after_number = at > 0 and tokens[at - 1].text.isdecimal()
        role = _Role.REST
        if after_number and word in _ORDINALS + _FIRST_OF_MONTH:
            role = _Role.ORDINAL
        elif word.isalpha() and _month(word, language) is not None:
            role = _Role.MONTH
        elif word.isalpha() and _weekday(word, language) is not None:
            role = _Role.WEEKDAY
        named.append(_Token(token.text, role))
    roles = [token.role for token in named]
    if max(roles.count(_Role.MONTH), roles.count(_Role.WEEKDAY)) > 1:
        # "mar" is a Tuesday and a month, and two months are two dates.
        return None
    return named


def _give(tokens: list[_Token], at: int, role: _Role) -> bool:
    """Give the number at `at` a role that its value allows; say whether it does."""
    text = tokens[at].text
    value = int(text)
    fits = {
        _Role.DAY: len(text) <= 2 and 1 <= value <= 31,  # noqa: PLR2004 - days of a month
        _Role.LAST_DAY: len(text) <= 2 and 1 <= value <= 31,  # noqa: PLR2004 - the same
        _Role.MONTH: len(text) <= 2 and 1 <= value <= 12,  # noqa: PLR2004 - months of a year
        _Role.YEAR: len(text) == 4,  # noqa: PLR2004 - digits
        _Role.SHORT_YEAR: len(text) == 2,  # noqa: PLR2004 - digits
    }[role]
    if fits:
        tokens[at] = _Token(text, role)
    return fits


def _give_year(tokens: list[_Token], at: int) -> bool:
    return _give(tokens, at, _Role.YEAR) or _give(tokens, at, _Role.SHORT_YEAR)


def _beside_month(tokens: list[_Token], numbers: Sequence[int]) -> bool | None:
    """Give day and year beside a month's name their roles; None where it is no date."""
    if len(numbers) == 1:
        alone = numbers[0]
        apostrophe = alone > 0 and tokens[alone - 1].text.endswith(("'", "\u2019"))
        if apostrophe:
            return _give(tokens, alone, _Role.SHORT_YEAR) or None
        if _may_be_a_year(tokens, alone):
            return False
        return _give(tokens, alone, _Role.DAY) or _give(tokens, alone, _Role.YEAR) or None
    days = _days_between(tokens, numbers)
    if days is not None:
        first, last = days
        given = _give(tokens, first, _Role.DAY) and _give(tokens, last, _Role.LAST_DAY)
        rest = [at for at in numbers if at not in days]
        return (given and len(rest) <= 1 and all(_give_year(tokens, at) for at in rest)) or None
    if len(numbers) != 2:  # noqa: PLR2004 - day and year
        return None
    first, last = numbers
    if len(tokens[first].text) == 4:  # noqa: PLR2004 - a year in front
        first, last = last, first
    return (_give(tokens, first, _Role.DAY) and _give_year(tokens, last)) or None


def _may_be_a_year(tokens: Sequence[_Token], at: int) -> bool:
    """Say whether the number behind a month may be its day as well as a year: "Mar-19"."""
    behind = at > 1 and tokens[at - 1].text in {"-", "/"} and tokens[at - 2].role is _Role.MONTH
    return behind and len(tokens[at].text) == 2  # noqa: PLR2004 - digits


def _days_between(tokens: Sequence[_Token], numbers: Sequence[int]) -> tuple[int, int] | None:
    """Return where two days stand that are a range or a pair, as in "12-14 March"."""
    for first, last in itertools.pairwise(numbers):
        between = [token for token in tokens[first + 1 : last] if token.role is not _Role.ORDINAL]
        word = "".join(token.text for token in between).strip(" .")
        shorter = max(len(tokens[first].text), len(tokens[last].text)) <= 2  # noqa: PLR2004 - digits
        if shorter and word.casefold() in _DAYS_BETWEEN:
            return first, last
    return None


def _of_numbers(
    tokens: list[_Token], numbers: Sequence[int], order: DateOrder | None
) -> bool | None:
    """Give numbers without a month's name their roles; False where their order is not known."""
    between = {
        "".join(token.text for token in tokens[first + 1 : second]).rstrip("'\u2019")
        for first, second in itertools.pairwise(numbers)
    }
    if len(between) != 1 or not between <= _SEPARATORS:
        return None
    dotted = "." in next(iter(between))
    long = tuple(len(tokens[at].text) == 4 for at in numbers)  # noqa: PLR2004 - digits of a year
    if long in _PLAIN_ORDERS:
        return _with_roles(tokens, numbers, _PLAIN_ORDERS[long])
    if len(long) not in {2, 3} or any(long[:2]):
        return None
    if len(long) > 2 and not _give_year(tokens, numbers[2]):  # noqa: PLR2004 - a year comes last
        return None
    return _day_and_month(tokens, numbers[0], numbers[1], order, dotted=dotted)


def _with_roles(
    tokens: list[_Token], numbers: Sequence[int], roles: tuple[_Role, ...]
) -> bool | None:
    given = [_give(tokens, at, role) for at, role in zip(numbers, roles, strict=True)]
    return all(given) or None


def _day_and_month(
    tokens: list[_Token], first: int, second: int, order: DateOrder | None, *, dotted: bool
) -> bool | None:
    a, b = (int(tokens[at].text) for at in (first, second))
    orders = [
        possible
        for possible, day, month in (
            (DateOrder.DAY_FIRST, a, b),
            (DateOrder.MONTH_FIRST, b, a),
        )
        if 1 <= day <= 31 and 1 <= month <= 12  # noqa: PLR2004 - days and months
    ]
    if not orders:
        return None
    preferred = order or (DateOrder.DAY_FIRST if dotted else None)
    chosen = preferred if preferred in orders else orders[0]
    day, month = (first, second) if chosen is DateOrder.DAY_FIRST else (second, first)
    if not (_give(tokens, day, _Role.DAY) and _give(tokens, month, _Role.MONTH)):
        return None
    return preferred in orders or len(orders) == 1 or a == b


def _like(word: str, text: str) -> str:
    """Return `word` in small letters, capitals or with one capital, as `text` is written."""
    if text.isupper():
        return word.upper()
    return word.capitalize() if text[:1].isupper() else word


def _month_like(text: str, month: int, language: DateWords) -> str:
    word = text.casefold()
    full = word in language.months or len(word) > 4  # noqa: PLR2004 - longer than any short form
    months = language.months if full else language.short_months
    return _like(months[month - 1], text)


def _weekday_like(text: str, days: int, language: DateWords) -> str:
    word = text.casefold()
    full = word in language.weekdays or len(word) > 5  # noqa: PLR2004 - longer than any short form
    names = language.weekdays if full else language.short_weekdays
    return _like(names[((_weekday(word, language) or 0) + days) % 7], text)


def _ordinal_like(text: str, day: int) -> str:
    if text.casefold() in _FIRST_OF_MONTH:
        return text if day == 1 else ""
    suffix = "th" if day in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return _like(suffix, text)
