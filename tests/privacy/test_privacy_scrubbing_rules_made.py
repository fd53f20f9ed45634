"""Made-up numbers with their check digits are found for certain, and slips of the pen are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rules_alone import rules_alone

from privacy.scrubbing.checksums import banking as checksums
from privacy.scrubbing.checksums import health as checksums_health
from privacy.scrubbing.checksums import securities as checksums_securities
from privacy.scrubbing.checksums import taxes as tax
from privacy.scrubbing.modes.date_words import ENGLISH, FRENCH, GERMAN, SPANISH
from privacy.scrubbing.rules.ages import AGE_RECOGNIZERS
from privacy.scrubbing.rules.cued_names import NAME_CUE_RECOGNIZERS
from privacy.scrubbing.rules.dates import DATE_RECOGNIZERS
from privacy.scrubbing.rules.devices import DEVICE_RECOGNIZERS
from privacy.scrubbing.rules.forms import WRITTEN
from privacy.scrubbing.rules.health import HEALTH_RECOGNIZERS
from privacy.scrubbing.rules.label_words import LABELS
from privacy.scrubbing.rules.labels import LABEL_RECOGNIZERS
from privacy.scrubbing.rules.securities import SECURITIES_RECOGNIZERS
from privacy.scrubbing.rules.taxes import TAX_RECOGNIZERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.scrubbing import Recognizer, Scrubber

DIGITS = "0123456789"
CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
EITHER = DIGITS + CAPITALS


def completed(
    check: Callable[[str], bool], body: st.SearchStrategy[str], ends: Sequence[str]
) -> st.SearchStrategy[str]:
    """Bodies with the first of `ends` that makes them valid."""
    return body.map(lambda b: next((b + end for end in ends if check(b + end)), "")).filter(bool)


def some(alphabet: str, count: int) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, min_size=count, max_size=count)


PAIRS = [f"{n:02}" for n in range(100)]

# Who finds it, its entity, its check, valid numbers, and how they are written.
VIN_CHARACTERS = "ABCDEFGHJKLMNPRSTUVWXYZ123456789"


def with_check_at_nine(rest: str) -> str:
    return rest[:8] + rest[16:] + rest[8:16]


def vin_is_valid(rest: str) -> bool:
    return checksums_health.vin_is_valid(with_check_at_nine(rest))


LEIS = completed(checksums_securities.lei_is_valid, some(EITHER, 18), PAIRS)
ISINS = completed(checksums_securities.isin_is_valid, some(EITHER, 9).map("FR".__add__), DIGITS)
VINS = completed(
    vin_is_valid,
    some(VIN_CHARACTERS, 16).filter(lambda b: not (b.isdecimal() or b.isalpha())),
    DIGITS,
).map(with_check_at_nine)
GTINS = completed(checksums_health.gtin_is_valid, some(DIGITS, 13), DIGITS)
DEAS = completed(checksums_health.dea_is_valid, some(DIGITS, 6).map("AB".__add__), DIGITS)
NIFS = completed(tax.nif_is_valid, some(DIGITS, 8), CAPITALS)
CPFS = completed(tax.cpf_is_valid, some(DIGITS, 9), PAIRS)
HETUS = completed(tax.henkilotunnus_is_valid, some(DIGITS, 3).map("131052-".__add__), EITHER)
PERSONNUMMERS = completed(tax.personnummer_is_valid, some(DIGITS, 3).map("811218".__add__), DIGITS)
NIRS = completed(tax.nir_is_valid, some(DIGITS, 8).map("25508".__add__), PAIRS)
CODICI = completed(
    tax.codice_fiscale_is_valid, some(DIGITS, 3).map("RSSMRA85T10A".__add__), CAPITALS
)
AHVS = completed(tax.ahv_is_valid, some(DIGITS, 9).map("756".__add__), DIGITS)

# Who finds it, its entity, its check, valid numbers, and how they are written.
Check = Callable[[str], bool]
Row = tuple["Sequence[Recognizer]", str, Check, "st.SearchStrategy[str]", Callable[[str], str]]
MADE: list[Row] = [
    (SECURITIES_RECOGNIZERS, "LEI", checksums_securities.lei_is_valid, LEIS, str),
    (SECURITIES_RECOGNIZERS, "ISIN", checksums_securities.isin_is_valid, ISINS, str),
    (DEVICE_RECOGNIZERS, "VEHICLE_ID", checksums_health.vin_is_valid, VINS, str),
    (DEVICE_RECOGNIZERS, "DEVICE_ID", checksums_health.gtin_is_valid, GTINS, "(01){}".format),
    (HEALTH_RECOGNIZERS, "MEDICAL_LICENSE", checksums_health.dea_is_valid, DEAS, str),
    (TAX_RECOGNIZERS, "TAX_ID", tax.nif_is_valid, NIFS, str),
    (
        TAX_RECOGNIZERS,
        "TAX_ID",
        tax.cpf_is_valid,
        CPFS,
        lambda n: f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}",
    ),
    (TAX_RECOGNIZERS, "TAX_ID", tax.henkilotunnus_is_valid, HETUS, str),
    (
        TAX_RECOGNIZERS,
        "TAX_ID",
        tax.personnummer_is_valid,
        PERSONNUMMERS,
        lambda n: f"{n[:6]}-{n[6:]}",
    ),
    (TAX_RECOGNIZERS, "TAX_ID", tax.nir_is_valid, NIRS, str),
    (TAX_RECOGNIZERS, "TAX_ID", tax.codice_fiscale_is_valid, CODICI, str),
    (TAX_RECOGNIZERS, "TAX_ID", tax.ahv_is_valid, AHVS, str),
]


@pytest.mark.parametrize("row", MADE)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_valid_number_is_found_whole_and_a_wrong_digit_makes_it_less_sure(
    row: Row, data: st.DataObject
) -> None:
    recognizers, entity, check, numbers, written = row
    number = data.draw(numbers)
    text = f"It is {written(number)}, so."
    found = [s for r in recognizers for s in r.find(text) if s.entity == entity]
    whole = [s for s in found if text[s.start : s.end] == written(number)]
    assert whole
    assert whole[0].score >= 0.5

    place = data.draw(st.sampled_from([i for i, c in enumerate(number) if c.isdecimal()]))
    wrong = DIGITS[(int(number[place]) + data.draw(st.sampled_from([1, 2, 3, 4, 6]))) % 10]
    slip = number[:place] + wrong + number[place + 1 :]
    assume(not check(slip))  # which some checksums of two remainders let pass
    slip = written(slip)
    text = f"It is {slip}, so."
    after = [
        s
        for r in recognizers
        for s in r.find(text)
        if s.entity == entity and text[s.start : s.end] == slip
    ]
    # Another country's number may be right by chance, never for certain.
    assert all(s.score < whole[0].score or s.score <= WRITTEN for s in after)


ANNOUNCING = sorted(name for name, label in LABELS.items() if label.entity)
OTHERS = sorted(name for name, label in LABELS.items() if not label.entity)


@pytest.mark.parametrize("label", ANNOUNCING)
def test_every_label_announces_a_number(label: str) -> None:
    (recognizer,) = LABEL_RECOGNIZERS
    text = f"{label.capitalize()} no. 4471829."
    assert [(s.entity, text[s.start : s.end]) for s in recognizer.find(text)] == [
        (LABELS[label].entity, "4471829")
    ]


@pytest.mark.parametrize("label", OTHERS)
def test_what_identifies_nobody_is_left_to_others(label: str) -> None:
    (recognizer,) = LABEL_RECOGNIZERS
    assert list(recognizer.find(f"{label} no. 4471829")) == []


@given(
    age=st.integers(0, 135), words=st.sampled_from(["{}-year-old", "aged {}.", "age: {}", "{} y/o"])
)
def test_ages_are_found_from_ninety_on(age: int, words: str) -> None:
    (recognizer,) = AGE_RECOGNIZERS
    text = "A " + words.format(age)
    found = [text[s.start : s.end] for s in recognizer.find(text)]
    assert found == ([str(age)] if 90 <= age <= 129 else [])


DATE_FORMS = (
    "{y}-{m:02}-{d:02}", "{d:02}/{m:02}/{y}", "{m}/{d}/{y}", "{d}.{m}.{y}", "{d} {month} {y}",
    "{month} {d}, {y}", "{d:02}-{short}-{y}", "Monday, {d} {month} {y}", "{d} {month}",
    "{month} {y}", "{d}. {german} {y}", "{d} de {spanish} de {y}", "{d} {french} {y}",
)  # fmt: skip


@given(day=st.dates(date(1900, 1, 1), date(2099, 12, 31)), form=st.sampled_from(DATE_FORMS))
def test_every_date_is_one_whole_finding(day: date, form: str) -> None:
    written = form.format(
        y=day.year,
        m=day.month,
        d=day.day,
        month=ENGLISH.months[day.month - 1].capitalize(),
        short=ENGLISH.short_months[day.month - 1].capitalize(),
        german=GERMAN.months[day.month - 1].capitalize(),
        spanish=SPANISH.months[day.month - 1],
        french=FRENCH.months[day.month - 1],
    )
    (recognizer,) = DATE_RECOGNIZERS
    text = f"Seen ({written}) again"
    assert [text[s.start : s.end] for s in recognizer.find(text)] == [written]


NAMES = st.lists(
    st.sampled_from(["Anna", "J.", "Müller", "O'Neill", "Al-Hassan", "García", "Łukasz", "Çelik"]),
    min_size=2,
    max_size=4,
).map(" ".join).filter(lambda name: not name.endswith("."))  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after"),
    [("Dr. ", " said"), ("Patient: ", "\nMRN: 1"), ("Name: ", ""), ("Dear ", ",\n"), ("", ", MD\n"),
     ("Regards,\n", "\n"), ("I am ", ".")],
)  # fmt: skip
@given(name=NAMES)
def test_an_announced_name_is_found_whole(before: str, after: str, name: str) -> None:
    (recognizer,) = NAME_CUE_RECOGNIZERS
    text = before + name + after
    covered = {i for s in recognizer.find(text) for i in range(s.start, s.end)}
    start = len(before)
    assert covered == set(range(start, start + len(name)))


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return rules_alone()


PIECES = [
    "MRN: ", "12 ", "Dr. ", "A. ", "Rue ", "12 Rue de ", "(01)", "no. ", "May ", "aged 9", "1-",
    "Apt. ", "A B ", "Box ", "a ", "1", "A", "#", ":", "\n", "Name: ", ", MD ", "9 A ", "Smith ",
]  # fmt: skip


@pytest.mark.parametrize("piece", PIECES)
def test_a_long_line_of_openings_takes_linear_time(scrubber: Scrubber, piece: str) -> None:
    # Quadratic, the longer line would take 64 times as long and not 8; the clock decides nothing
    # below a second, so a slow machine does not fail this.
    def seconds(times: int) -> float:
        begun = time.process_time()
        scrubber._find(piece * times)
        return time.process_time() - begun

    short, long = seconds(1_000), seconds(8_000)
    assert long < max(1.0, 30 * short)


def test_ssn_and_itin_groups_are_disjoint() -> None:
    for first in range(900, 1000, 7):
        digits = f"{first}701234"
        assert not (checksums.ssn_is_issuable(digits) and checksums.itin_is_issuable(digits))
