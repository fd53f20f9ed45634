"""Generated sentences: repeatable, unseen at evaluation, and with valid invented numbers."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import astuple, fields
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.finance import surrogates
from domains.finance.generator import LABELS, generate
from domains.finance.templates import EVALUATION, TRAIN, Templates

if TYPE_CHECKING:
    from domains.records import Dataset

IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){3,4}(?: ?[0-9]{1,4})?\b")
PHONE = re.compile(r"\+\d{1,2}(?: \d{2,5}){2,5}")
EMAIL = re.compile(r"[a-z0-9.-]+@example\.(?:com|org|net)\b")
ACCOUNT = re.compile(r"\b(?:account|File) \d{10}\b")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return generate(7, train=600, evaluation=300)


def valid_iban(text: str) -> bool:
    """ISO 13616, digit by digit: move four characters to the end, letters to numbers, mod 97."""
    compact = text.replace(" ", "")
    remainder = 0
    for character in compact[4:] + compact[:4]:
        for digit in str(int(character, 36)):
            remainder = (remainder * 10 + int(digit)) % 97
    return remainder == 1


def test_the_same_seed_gives_the_same_data(dataset: Dataset) -> None:
    assert generate(7, train=600, evaluation=300) == dataset
    assert generate(8, train=600, evaluation=300).version != dataset.version


def test_every_sentence_occurs_once_in_the_whole_data_set(dataset: Dataset) -> None:
    texts = [record.text for record in (*dataset.train, *dataset.evaluation)]
    assert len(texts) == 900
    assert len(set(texts)) == 900


def test_no_slot_was_left_open(dataset: Dataset) -> None:
    assert not any("{" in r.text or "}" in r.text for r in (*dataset.train, *dataset.evaluation))


def test_all_classes_occur_and_none_has_the_majority(dataset: Dataset) -> None:
    for part in (dataset.train, dataset.evaluation):
        counts = Counter(record.label for record in part)
        assert set(counts) == set(range(len(LABELS)))
        assert max(counts.values()) < len(part) / 2


@pytest.mark.parametrize("name", [field.name for field in fields(Templates)])
def test_training_and_evaluation_share_no_template_and_no_word_of_a_slot(name: str) -> None:
    shared = set(getattr(TRAIN, name)) & set(getattr(EVALUATION, name))
    assert shared <= ({"{core}"} if name == "frames" else set())


def test_each_class_has_many_templates_and_no_template_has_two_classes() -> None:
    for templates in (TRAIN, EVALUATION):
        cores = (*templates.negative, *templates.neutral, *templates.positive)
        assert len(set(cores)) == len(cores)
    for name in ("negative", "neutral", "positive"):
        assert len(getattr(TRAIN, name)) + len(getattr(EVALUATION, name)) >= 30


def test_names_seen_in_training_do_not_occur_in_evaluation() -> None:
    drawn = surrogates.people(7, 80)
    dataset = generate(7, train=400, evaluation=400)
    trained = {p.name for p in drawn if any(p.name in r.text for r in dataset.train)}
    evaluated = {p.name for p in drawn if any(p.name in r.text for r in dataset.evaluation)}
    assert len(trained) > 50
    assert len(evaluated) > 50
    assert not trained & evaluated


@pytest.mark.parametrize(
    ("pattern", "share"), [(IBAN, 0.05), (PHONE, 0.05), (EMAIL, 0.1), (ACCOUNT, 0.05)]
)
def test_there_is_something_to_scrub(
    dataset: Dataset, pattern: re.Pattern[str], share: float
) -> None:
    for part in (dataset.train, dataset.evaluation):
        found = sum(1 for record in part if pattern.search(record.text))
        assert found / len(part) > share


def test_ibans_in_the_text_have_valid_check_digits(dataset: Dataset) -> None:
    found = [
        match.group()
        for r in (*dataset.train, *dataset.evaluation)
        for match in IBAN.finditer(r.text)
    ]
    assert len(found) > 50
    assert all(valid_iban(text) for text in found)


@given(st.integers(0, 2**32))
def test_ibans_are_valid_and_one_wrong_digit_is_not(seed: int) -> None:
    text = surrogates.iban(np.random.default_rng(seed))
    assert valid_iban(text)
    wrong = text[:-1] + str((int(text[-1]) + 1) % 10)
    assert not valid_iban(wrong)


@pytest.mark.parametrize(
    ("country", "body", "digits"),
    [
        # The examples of the IBAN registry (ISO 13616).
        ("DE", "370400440532013000", "89"),
        ("FI", "12345600000785", "21"),
        ("GB", "NWBK60161331926819", "29"),
        ("NL", "ABNA0417164300", "91"),
    ],
)
def test_check_digits_are_those_of_the_registry(country: str, body: str, digits: str) -> None:
    assert surrogates.check_digits(country, body) == digits


def test_people_come_from_several_countries_and_mail_goes_nowhere() -> None:
    people = surrogates.people(1, 20)
    assert len(people) == 120
    assert any(not person.name.isascii() for person in people)
    assert all(EMAIL.fullmatch(person.email) for person in people)


def test_four_sites_of_data_are_made_within_two_seconds() -> None:
    generate(0, train=1, evaluation=1)  # Faker's first import is paid once
    start = time.process_time()
    dataset = generate(1, train=2400, evaluation=600)
    assert time.process_time() - start < 2.0
    assert len(dataset.train) == 2400


@pytest.mark.parametrize(("seed", "train", "evaluation"), [(-1, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_an_empty_data_set_is_refused(seed: int, train: int, evaluation: int) -> None:
    with pytest.raises(ConfigError, match="nothing was generated"):
        generate(seed, train=train, evaluation=evaluation)


def test_templates_hold_words_everywhere() -> None:
    for templates in (TRAIN, EVALUATION):
        assert all(words and all(words) for words in astuple(templates))
