from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from rules_alone import ENTITIES, rules_alone
from scrub_examples import FOUND, NOT_FOUND

if TYPE_CHECKING:
    from privacy.scrubbing import Scrubber


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return rules_alone()


@pytest.fixture(scope="module")
def scrubbers() -> dict[str, Scrubber]:
    return {entity: rules_alone((entity,)) for entity in ENTITIES}


@pytest.mark.parametrize(("entity", "before", "value", "after"), FOUND)
def test_a_valid_example_becomes_its_placeholder(
    scrubbers: dict[str, Scrubber], entity: str, before: str, value: str, after: str
) -> None:
    scrubbed = scrubbers[entity].scrub(before + value + after)
    assert scrubbed.text == f"{before}<{entity}>{after}"
    (span,) = scrubbed.spans
    assert (span.start, span.end) == (len(before), len(before + value))


@pytest.mark.parametrize(("entity", "before", "value", "after"), FOUND)
def test_nothing_of_a_valid_example_is_left_when_everything_is_looked_for(
    scrubber: Scrubber, entity: str, before: str, value: str, after: str
) -> None:
    del entity
    scrubbed = scrubber.scrub(before + value + after)
    assert scrubbed.text.startswith(before + "<")
    assert scrubbed.text.endswith(">" + after)
    assert value not in scrubbed.text
    middle = re.sub("<[A-Z0-9_]+>", "", scrubbed.text[len(before) :][: -len(after)])
    assert not any(character.isdigit() for character in middle)


@pytest.mark.parametrize(("entity", "text"), NOT_FOUND)
def test_an_invalid_example_stays(scrubbers: dict[str, Scrubber], entity: str, text: str) -> None:
    assert scrubbers[entity].scrub(text).text == text


def test_every_pattern_entity_has_valid_and_invalid_examples() -> None:
    assert {example[0] for example in FOUND} == set(ENTITIES)
    assert {example[0] for example in NOT_FOUND} == set(ENTITIES)


@pytest.mark.parametrize(
    ("entity", "number", "word"),
    [
        ("US_BANK_NUMBER", "12345678", "account"),
        ("US_SSN", "536904399", "SSN"),
        ("BIC_CODE", "NDEAFIHH", "swift"),
        ("PHONE_NUMBER", "99577450", "Phone:"),
    ],
)
def test_a_context_word_raises_the_score_over_the_threshold(
    scrubbers: dict[str, Scrubber], entity: str, number: str, word: str
) -> None:
    scrubber = scrubbers[entity]
    assert scrubber.scrub(f"the {number}").spans == ()
    (before,) = scrubber.scrub(f"the {word} of my old friend is {number}").spans
    (after,) = scrubber.scrub(f"{number} is the {word}").spans
    assert before.score == after.score >= 0.4
    far = "one two three four five six"
    assert scrubber.scrub(f"{word} {far} {number} {far} {word}").spans == ()


def test_a_word_that_only_contains_a_context_word_is_none(scrubbers: dict[str, Scrubber]) -> None:
    assert scrubbers["US_BANK_NUMBER"].scrub("accounted for 12345678 units").spans == ()


def test_many_numbers_in_a_row_are_each_found(scrubber: Scrubber) -> None:
    cards = "4111 1111 1111 1111 5555 5555 5555 4444 3782 822463 10005"
    assert scrubber.scrub(cards).text == "<CREDIT_CARD> <CREDIT_CARD> <CREDIT_CARD>"
    phones = "212-555-0187 415-555-0199 +44 20 7946 0958"
    assert not any(character.isdigit() for character in scrubber.scrub(phones).text)


@pytest.mark.parametrize("mess", ["a@" * 3000, "1-" * 1500, "a." * 3000, "x" * 9000, "a:" * 3000])
def test_hostile_repetition_takes_no_quadratic_time(scrubber: Scrubber, mess: str) -> None:
    # The suite's time limit fails this where a pattern backtracks over the whole text.
    assert scrubber.scrub(mess).text
