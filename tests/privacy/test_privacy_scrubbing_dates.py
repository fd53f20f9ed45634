"""Dates keep their form and their distances, and what cannot be read does not stay."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.scrubbing.modes.date_words import LANGUAGES, DateWords
from privacy.scrubbing.modes.dates import WrittenDate, read_date, read_dates
from privacy.scrubbing.modes.modes import DateOrder

DAYS = st.dates(date(1900, 1, 1), date(2098, 12, 31))
SHIFTS = st.integers(-365, 365).filter(bool)
ENGLISH = LANGUAGES[0]
FORMS = (
    "{y:04d}-{m:02d}-{d:02d}",
    "{y:04d}-{m:02d}-{d:02d}T10:15:00Z",
    "{y:04d}/{m:02d}/{d:02d}",
    "{d:02d}.{m:02d}.{y:04d}",
    "{d}.{m}.{y:04d}",
    "{d} {month} {y:04d}",
    "{d:02d} {month} {y:04d}",
    "{d} {Short} {y:04d}",
    "{d}-{SHORT}-{y:04d}",
    "{Month} {d}, {y:04d}",
    "{Weekday}, {d} {Month} {y:04d} at 9:30 pm",
    "the {d}{th} of {Month}, {y:04d}",
)


def ordinal(day: int) -> str:
    if day in (11, 12, 13):
        return "th"
    return ["th", "st", "nd", "rd", *["th"] * 6][day % 10]


def write(form: str, day: date, words: DateWords = ENGLISH) -> str:
    """The naive twin: a date written anew from a form."""
    return form.format(
        y=day.year,
        m=day.month,
        d=day.day,
        th=ordinal(day.day),
        month=words.months[day.month - 1],
        Month=words.months[day.month - 1].capitalize(),
        Short=words.short_months[day.month - 1].capitalize(),
        SHORT=words.short_months[day.month - 1].upper(),
        Weekday=words.weekdays[day.weekday()].capitalize(),
    )


def shifted(text: str, days: int, order: DateOrder | None = None) -> str | None:
    read = read_date(text, order)
    assert read is not None, text
    return read.shifted(days)


@given(DAYS, SHIFTS, st.sampled_from(FORMS))
def test_a_shifted_date_is_what_would_have_been_written(day: date, days: int, form: str) -> None:
    text = write(form, day)
    got, expected = shifted(text, days), write(form, day + timedelta(days))
    assert got is not None
    if "{d:02d} {month}" in form and not text.startswith("0"):
        # "12 march" does not say whether its days have a leading zero.
        expected = expected.removeprefix("0")
    elif "{Short}" in form and "May" in text:
        # Nor does "May" say whether months are written short.
        expected = write(form.replace("{Short}", "{Month}"), day + timedelta(days))
    elif "{SHORT}" in form and "MAY" in text:
        expected = write(form.replace("{SHORT}", "{Month}"), day + timedelta(days))
        got, expected = got.upper(), expected.upper()
    elif form == "{d}.{m}.{y:04d}" and len(text) == len("12.12.2019"):
        # Numbers of two digits each may have leading zeros or not: they get them.
        expected = write("{d:02d}.{m:02d}.{y:04d}", day + timedelta(days))
    assert got == expected
    assert got != text


@given(DAYS, DAYS, SHIFTS, st.sampled_from([f for f in FORMS if "-{m" in f]))
def test_the_days_between_two_dates_stay(first: date, second: date, days: int, form: str) -> None:
    moved = []
    for day in (first, second):
        text = shifted(write(form, day), days)
        assert text is not None
        moved.append(date.fromisoformat(text[:10]))
    assert moved[1] - moved[0] == second - first


@given(DAYS, SHIFTS, st.sampled_from(LANGUAGES))
def test_months_are_written_in_the_language_they_were_read_in(
    day: date, days: int, words: DateWords
) -> None:
    marks = {"de": "{d}. {Month} {y:04d}"}
    form = marks["de"] if words.weekdays[0] == "montag" else "{Weekday} {d} {month} {y:04d}"
    got = shifted(write(form, day, words), days)
    assert got == write(form, day + timedelta(days), words)


@given(DAYS, SHIFTS)
def test_what_is_shifted_back_is_what_was_there(day: date, days: int) -> None:
    text = write("{Weekday}, {d:02d}/{m:02d}/{y:04d}", day)
    there = shifted(text, days, DateOrder.DAY_FIRST)
    assert there is not None
    assert shifted(there, -days, DateOrder.DAY_FIRST) == text


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("03/04/2019", DateOrder.DAY_FIRST, "13/04/2019"),
        ("03/04/2019", DateOrder.MONTH_FIRST, "03/14/2019"),
        ("13/04/2019", None, "23/04/2019"),
        ("13/04/2019", DateOrder.MONTH_FIRST, "23/04/2019"),
        ("04/13/2019", DateOrder.DAY_FIRST, "04/23/2019"),
        ("05/05/2019", None, "15/05/2019"),
        ("3/4/19", DateOrder.MONTH_FIRST, "3/14/19"),
        ("12/31/99", None, "01/10/00"),
        ("28/2", None, "9/3"),
        ("3.4.2019", None, "13.4.2019"),
        ("3rd of March", None, "13th of March"),
        ("Feb 27", None, "Mar 8"),
        ("March 2019", None, "March 2019"),
        ("25 March 2019", None, "4 April 2019"),
        ("12/2019", None, "12/2019"),
        ("le 1er mars 2019", None, "le 11 mars 2019"),
        ("Mon 4 May '19", None, "Thu 14 May '19"),
        ("22. Dez. 2019", None, "1. Jan. 2020"),
        ("22 Sept 2019", None, "2 Oct 2019"),
        ("22:10, 31 December 2019", None, "22:10, 10 January 2020"),
        ("2019-03-22 10:15 UTC", None, "2019-04-01 10:15 UTC"),
        ("20190322", None, "20190401"),
        ("Thurs, 22 March 2019", None, "Sun, 1 April 2019"),
        ("Sonnabend, 22. Juni 2019", None, "Dienstag, 2. Juli 2019"),
        ("4 d\u2019octobre 2019", None, "14 d\u2019octobre 2019"),
        ("22.3.'19", None, "1.4.'19"),
        ("2-4 March 2019", None, "12-14 March 2019"),
        ("March 1st to 3rd, 2019", None, "March 11th to 13th, 2019"),
        ("2. bis 4. M\u00e4rz", None, "12. bis 14. M\u00e4rz"),
        ("March 5 and 6", None, "March 15 and 16"),
    ],
)
def test_ten_days_later(text: str, order: DateOrder | None, expected: str) -> None:
    assert shifted(text, 10, order) == expected


@pytest.mark.parametrize("text", ["03/04/2019", "3/4/19", "3/12", "03-04-2019"])
def test_a_date_of_two_readings_is_not_shifted_unless_the_order_is_given(text: str) -> None:
    """Under the wrong reading a person's dates would change their order."""
    assert shifted(text, 10) is None
    assert shifted(text, 10, DateOrder.DAY_FIRST) != shifted(text, 10, DateOrder.MONTH_FIRST)


@pytest.mark.parametrize(
    "text",
    [
        "", "March", "yesterday", "12", "2019", "Easter 2019", "99/99/2019", "31/13/2019",
        "12 March 2019 and later", "12 March April 2019", "1/2/3/4", "12 March 2019 2018",
        "20191345", "1-2-3 March", "to March",
        "0x12 March", "\u0661\u0662/\u0663/\u0662\u0660\u0661\u0669", "12.03-2019", "12 12 2019",
        "10 March 19 20", "march mar", "12 March 2019" + " " * 80, "2019-13-01", "32 March",
    ],
)  # fmt: skip
def test_what_is_no_date_for_certain_is_not_read(text: str) -> None:
    read = read_date(text, DateOrder.DAY_FIRST)
    assert read is None or read.shifted(1) is None


@pytest.mark.parametrize("text", ["Mar-19", "Mar/19", "28-30 March 2019", "20190230"])
def test_what_cannot_be_told_or_written_after_the_shift_is_not_shifted(text: str) -> None:
    assert shifted(text, 2, DateOrder.DAY_FIRST) is None


@pytest.mark.parametrize(
    "text", ["30 February 2019", "29 Feb 2019", "31/04/2019", "1 January 9999"]
)
def test_a_day_that_never_was_or_leaves_the_calendar_is_not_shifted(text: str) -> None:
    assert shifted(text, 365, DateOrder.DAY_FIRST) is None


def test_a_leap_day_without_a_year_is_a_day() -> None:
    assert shifted("29 February", 1) == "1 March"


def test_a_range_is_two_dates_that_move_together() -> None:
    parts = read_dates("12 March 2019 to 14 April 2019")
    assert parts is not None
    first, between, last = parts
    assert isinstance(first, WrittenDate)
    assert isinstance(last, WrittenDate)
    assert (first.shifted(1), between, last.shifted(1)) == (
        "13 March 2019",
        " to ",
        "15 April 2019",
    )
    assert read_dates("12 March 2019 to somewhere") is None


@given(st.text(max_size=90))
def test_any_text_is_read_or_refused(text: str) -> None:
    parts = read_dates(text)
    for part in parts or ():
        if not isinstance(part, str):
            part.shifted(1)


def test_long_texts_take_no_longer_than_short_ones() -> None:
    assert read_dates("12 to " * 1_000_000) is None


def test_a_date_shows_nothing_of_itself() -> None:
    read = read_date("12 March 2019")
    assert read is not None
    assert not re.search("2019|12|March", repr(read))
