"""A recogniser for dates, in figures and in words, whole: from the weekday to the time of day.

A year alone is no date here, since it may stay (45 CFR 164.514(b)(2)(i)(C)); a month is. Dates in
figures need a plausible day and month. Words are looked up one by one, so that the time is linear
in the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from privacy.scrubbing.modes.date_words import ENGLISH, LANGUAGES
from privacy.scrubbing.recognizers import Recognizer, Trigger
from privacy.scrubbing.rules.forms import NEEDS_CONTEXT, WRITTEN
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_FULL_NAMES = frozenset(month for language in LANGUAGES for month in language.months)
_MONTHS = (
    _FULL_NAMES
    | frozenset(month for language in LANGUAGES for month in language.short_months)
    | frozenset(month for language in LANGUAGES for month, _ in language.other_months)
)
_PLAIN = _FULL_NAMES | frozenset(ENGLISH.short_months) | {"sept"}
"""Months that need no day before them: "Set 2" is rarely the second of September in Italian."""

_CAPITALS_TOO = frozenset(("MAY", "MARCH", "MARS", "MAI"))
_WORDS_TOO = frozenset(("may", "march", "mar", "mars", "mai", "dec", "sep", "marzo"))
"""What is another word in small letters."""

_WEEKDAYS = sorted(
    {day.capitalize() for language in LANGUAGES for day in language.weekdays}
    | {day for language in LANGUAGES[2:5] for day in language.weekdays}
    | {day.capitalize() for day in ENGLISH.short_weekdays}
    | {"Tues", "Thur", "Thurs", "Sonnabend"},
    key=lambda day: (-len(day), day),
)

_DAY = "(?:0?[1-9]|[12][0-9]|3[01])"
_MONTH = "(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:(?:1[89]|2[01])\d\d)"
_TIME = (
    r"(?:(?:[Tt ]|,? at |,? um |, ?)[0-2]?\d:[0-5]\d(?::[0-5]\d(?:[.,]\d{1,9})?)?"
    r"(?: ?[ap]\.?m\b)?(?:[Zz]|[ ]?(?:UTC|GMT)|[+-][01]\d:?[0-5]\d)?)"
)
_WEEKDAY = rf"(?:{'|'.join(_WEEKDAYS)})"

_TWO_FIGURES = re.compile(r"\d(?:\d{0,3} ?[-./] ?\d|\d{7})")
_NUMERIC = re.compile(
    rf"(?<![\w./-])(?:"
    rf"(?P<iso>{_YEAR}([-/.]){_MONTH}\2{_DAY}){_TIME}?"
    rf"|(?P<full>{_DAY} ?([-/.]) ?{_MONTH} ?\4 ?(?:{_YEAR}|'?\d\d)|"
    rf"{_MONTH}([-/.]){_DAY}\5(?:{_YEAR}|\d\d)){_TIME}?"
    rf"|(?P<month>(?:0[1-9]|1[0-2]|[1-9])/(?:19|20)\d\d)"
    rf"|(?P<padded>(?:0[1-9]|[12]\d|3[01])/(?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])/(?:0[1-9]|[12]\d|"
    rf"3[01]))"
    rf"|(?P<short>{_DAY}/{_MONTH}|{_MONTH}/{_DAY})"
    rf"|(?P<dotted>{_DAY}\.{_MONTH}\.)"
    rf"|(?P<compact>(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))"
    rf")(?![\w/]|[.-]\d|,\d)"
)  # fmt: skip
_SHORT_CUE = re.compile(
    r"(?:\b(?:on|since|until|till|dated|from|before|after|by|to|through|date|dob|born|seen|due|"
    r"am|vom|"
    r"seit|le|el|il|op|admitted|discharged|between|and|week of|w/c|reviewed|last)[:.]? ?|"
    r"[-\u2013] ?)\Z",
    re.IGNORECASE,
)
_GERMAN_CUE = re.compile(r"\b(?:am|vom|seit|bis|zum|ab|den|der|dem) \Z", re.IGNORECASE)
_CUES = {"padded": None, "short": _SHORT_CUE, "dotted": _GERMAN_CUE}
_WITHOUT_YEAR = frozenset(_CUES)
_LONGEST_CUE = 14
_NO_DATE_AFTER = re.compile(
    r" ?(?:%|of\b|patients?|cases?|points?|strength|mm|mg|ml|systolic|murmur)"
)
_WEEKDAY_BEFORE = re.compile(rf"(?<!\w){_WEEKDAY}(?:,|\.,?)? (?:the )?\Z")
_LONGEST_WEEKDAY = 18

_WORD = re.compile(
    r"(?<![^\W\d_])[ADEFGJLMNOSadefgjlmnos][^\W\d_]{2,9}(?![^\W\d_])"  # how months start
)
_DAY_BEFORE = re.compile(
    rf"(?<![\w.,/])(?:{_DAY}(?:st|nd|rd|th|\.|\u00ba|\u00b0|er|re)? ?(?:-|\u2013|to|and|bis|/|&|"
    rf",)? ?)?"
    rf"{_DAY}(?:st|nd|rd|th|\.|\u00ba|\u00b0|er|re)?(?:[ -/]|(?:,? (?:day )?of | de | di | del |"
    rf" d[\u2019']))?\Z",
    re.IGNORECASE,
)
_LONGEST_DAYS = 24
_AFTER_MONTH = re.compile(
    rf"\.?(?:(?:[ -]|, ?){_DAY}(?:st|nd|rd|th)?(?! ?(?:%|mg|ml|mm|patients|[:/.]\d))"
    rf"(?: ?(?:-|\u2013|to|and) ?{_DAY}(?:st|nd|rd|th)?)?(?:(?:,| of|,? )[ ]?{_YEAR})?"
    rf"|(?:[ -/]|,? (?:of )?| de | del | d[\u2019']){_YEAR}|[-/ ]?'?\d\d(?!\d)"
    rf")(?![\w]|[.,:]\d){_TIME}?"
)
_WITH_YEAR = re.compile(_YEAR)
_YEAR_AFTER_DAY = re.compile(
    rf"\.?(?:(?:[ /-]|, ?| of | de | del |){_YEAR}|[-/ ]'?\d\d|'\d\d)(?![\w]|[.,:/]\d|[ ]?%|"
    rf"-\d){_TIME}?"
)
_TIME_ONLY = re.compile(_TIME)
_MONTH_CUE = re.compile(
    r"\b(?:in|since|last|next|each|every|until|till|early|late|mid|during|by|before|after|"
    r"from|to|this|end of|beginning of|im|seit|ende|anfang|en|in the|of|between|and|through|"
    r"month of|ab)[ -]\Z",
    re.IGNORECASE,
)
_NEXT_MONTH = re.compile(r"(?: ?[-/] ?| to | and | through )([^\W\d_]{3,9})(?!\w)")
_LONGEST_MONTH_CUE = 14


def _find_numeric(text: str) -> Iterator[Span]:
    done = 0
    for figures in _TWO_FIGURES.finditer(text):
        match = _NUMERIC.match(text, figures.start()) if figures.start() >= done else None
        if match is None:
            continue
        done = match.end()
        kind = match.lastgroup
        score = WRITTEN
        if kind == "compact":
            score = NEEDS_CONTEXT
        elif kind in _WITHOUT_YEAR and not _says_a_date(text, match, kind):
            continue
        yield Span(_with_weekday(text, match.start()), match.end(), "DATE_TIME", score)


def _says_a_date(text: str, match: re.Match[str], kind: str) -> bool:
    """Say whether a day and a month without a year are that, and not a score or a fraction."""
    if _NO_DATE_AFTER.match(text, match.end()):
        return False
    cue = _CUES[kind]
    return cue is None or bool(
        cue.search(text, max(0, match.start() - _LONGEST_CUE), match.start())
    )


def _with_weekday(text: str, start: int) -> int:
    weekday = _WEEKDAY_BEFORE.search(text, max(0, start - _LONGEST_WEEKDAY), start)
    return start if weekday is None else weekday.start()


def _find_in_words(text: str) -> Iterator[Span]:
    done = 0
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if word not in _MONTHS or match.start() < done:
            continue
        span = _around_month(text, match.start(), match.end(), done)
        if span is not None:
            yield span
            done = span.end


def _around_month(text: str, start: int, end: int, floor: int) -> Span | None:
    """Return the date that a month's name at [`start`, `end`) belongs to, if there is one."""
    word = text[start:end]
    plain = word.lower() in _PLAIN and word not in _WORDS_TOO
    day = _DAY_BEFORE.search(text, max(floor, start - _LONGEST_DAYS), start)
    if day is not None:
        after = _YEAR_AFTER_DAY.match(text, end)
        if after is None:
            if not plain:
                return None
            after = _TIME_ONLY.match(text, end)
        stop = after.end() if after else end
        return Span(_with_weekday(text, day.start()), stop, "DATE_TIME", WRITTEN)
    following = _AFTER_MONTH.match(text, end)
    if following is not None and (plain or _WITH_YEAR.search(following[0])):
        return Span(_with_weekday(text, start), following.end(), "DATE_TIME", WRITTEN)
    if plain and word.lower() in _FULL_NAMES and word not in _CAPITALS_TOO:
        cue = _MONTH_CUE.search(text, max(0, start - _LONGEST_MONTH_CUE), start)
        if cue is not None or _is_range_of_months(text, end):
            return Span(start, end, "DATE_TIME", WRITTEN)
    return None


def _is_range_of_months(text: str, end: int) -> bool:
    """Say whether another month follows, as in "January-March"."""
    following = _NEXT_MONTH.match(text, end)
    return following is not None and following[1].lower() in _FULL_NAMES


def _find_date(text: str) -> Iterator[Span]:
    yield from _find_numeric(text)
    yield from _find_in_words(text)


DATE_RECOGNIZERS = (
    Recognizer(
        "date",
        ("DATE_TIME",),
        _find_date,
        (
            "dob", "born", "birth", "birthdate", "birthday", "date", "dated", "admitted",
            "discharged", "admission", "discharge", "geboren", "geb", "n\u00e9", "n\u00e9e",
        ),
        Trigger.ALWAYS,
        WRITTEN,
    ),
)  # fmt: skip
