"""Canaries follow from their seed alone, fairly, and nothing of them can be changed afterwards."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from audits.canaries import (
    SECRETS,
    Answers,
    Canary,
    CanaryPlan,
    canaries_of,
    commitment,
    secret_of,
)
from crypto.errors import ConfigError
from crypto.merkle import MerkleLog
from crypto.secrets import SecretBytes

SEED = SecretBytes(bytes(range(32)))
PLAN = CanaryPlan(3, (1, 4))
SECRET = CanaryPlan(3, (1, 4), Answers.SECRETS)
UNLUCKY = 1e-4
"""Seeds below are fixed, so that a test that passed once passes always."""


def seeds(count: int) -> list[SecretBytes]:
    return [SecretBytes(hashlib.sha256(bytes([i >> 8, i & 255])).digest()) for i in range(count)]


def root_of(canaries: tuple[Canary, ...]) -> bytes:
    """What a commitment to these would be."""
    return MerkleLog(canary.leaf() for canary in canaries).root()


def test_the_canaries_of_a_known_seed() -> None:
    """Written down once: another version of the program has to open what this one committed to."""
    first, *others = canaries_of(SEED, PLAN)
    assert (first.index, first.repetitions, first.member) == (0, 1, True)
    assert first.text == "Goutupo bimouzu doufuke sutrunai feonaiva tidiva bozaigo molaila."
    assert first.drawn_label == 50771253
    assert first.salt == 1666928968624840
    assert first.label(3) == 0
    assert [canary.index for canary in others] == [1, 2, 3, 4, 5]
    assert [canary.member for canary in others] == [False, False, False, True, False]
    assert [canary.repetitions for canary in others] == [1, 1, 4, 4, 4]
    root = "72786b47f5e27a2bf545107610571823d10f624b228fd7aaeda1a4fec7ed1e12"
    assert commitment(SEED, PLAN).hex() == root


def test_the_leaf_is_one_line_of_canonical_json() -> None:
    assert canaries_of(SEED, PLAN)[0].leaf() == (
        b'{"index":0,"label":50771253,"member":true,"repetitions":1,"salt":"1666928968624840",'
        b'"schema":"secure-fl.canary.v1",'
        b'"text":"Goutupo bimouzu doufuke sutrunai feonaiva tidiva bozaigo molaila."}'
    )


def test_the_secrets_of_a_known_seed() -> None:
    """Nothing else of a canary changes with what it is answered by, and it is another leaf."""
    first, *others = canaries_of(SEED, SECRET)
    plain, *_ = canaries_of(SEED, PLAN)
    assert first.secret == "5093-6117"  # noqa: S105 - made up
    assert first == replace(plain, drawn_label=0, secret=first.secret)
    assert first.leaf() == (
        b'{"index":0,"label":0,"member":true,"repetitions":1,"salt":"1666928968624840",'
        b'"schema":"secure-fl.secret-canary.v1","secret":"5093-6117",'
        b'"text":"Goutupo bimouzu doufuke sutrunai feonaiva tidiva bozaigo molaila."}'
    )
    assert len({canary.secret for canary in (first, *others)}) == 6
    assert commitment(SEED, SECRET) != commitment(SEED, PLAN)


@given(seed=st.binary(min_size=32, max_size=32), each=st.integers(1, 9))
def test_the_same_seed_gives_the_same_and_a_longer_plan_only_more(seed: bytes, each: int) -> None:
    short, long = CanaryPlan(each, (2,)), CanaryPlan(each + 3, (2,))
    found = canaries_of(SecretBytes(seed), short)
    assert found == canaries_of(SecretBytes(seed), short)
    assert found == canaries_of(SecretBytes(seed), long)[:each]
    assert commitment(SecretBytes(seed), short) == root_of(found)
    assert commitment(SecretBytes(seed), short) != commitment(SecretBytes(seed), long)


def test_every_bit_of_the_seed_matters() -> None:
    roots = {commitment(SEED, PLAN)}
    for bit in range(256):
        changed = bytearray(SEED.reveal())
        changed[bit // 8] ^= 1 << bit % 8
        roots.add(commitment(SecretBytes(bytes(changed)), PLAN))
    assert len(roots) == 257


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=f"one of {length} was given"):
        canaries_of(SecretBytes(bytes(length)), PLAN)


# -- chance ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many() -> tuple[Canary, ...]:
    """The canaries of a hundred seeds."""
    plan = CanaryPlan(20, (1, 8))
    return tuple(canary for seed in seeds(100) for canary in canaries_of(seed, plan))


def test_the_coin_is_fair_for_every_number_of_repetitions(many: tuple[Canary, ...]) -> None:
    for repetitions in (1, 8):
        coins = [canary.member for canary in many if canary.repetitions == repetitions]
        assert len(coins) == 2000
        assert stats.binomtest(sum(coins), len(coins)).pvalue > UNLUCKY


def test_the_coin_of_one_says_nothing_of_the_next(many: tuple[Canary, ...]) -> None:
    coins = [canary.member for canary in many]
    alike = sum(a is b for a, b in itertools.pairwise(coins))
    assert stats.binomtest(alike, len(coins) - 1).pvalue > UNLUCKY


@pytest.mark.parametrize("labels", [2, 3, 5])
def test_labels_are_spread_and_say_nothing_of_the_coin(
    many: tuple[Canary, ...], labels: int
) -> None:
    counts = Counter((canary.member, canary.label(labels)) for canary in many)
    table = np.array([[counts[side, label] for label in range(labels)] for side in (True, False)])
    assert table.sum() == len(many)
    assert stats.chisquare(table.sum(axis=0)).pvalue > UNLUCKY
    assert stats.chi2_contingency(table).pvalue > UNLUCKY


def test_texts_salts_and_drawn_labels_differ(many: tuple[Canary, ...]) -> None:
    assert len({canary.text for canary in many}) == len(many)
    assert len({canary.salt for canary in many}) == len(many)
    assert all(0 <= canary.drawn_label < 2**31 for canary in many)


def test_secrets_are_spread_and_say_nothing_of_the_coin() -> None:
    plan = CanaryPlan(20, (1, 8), Answers.SECRETS)
    many = [canary for seed in seeds(100) for canary in canaries_of(seed, plan)]
    found = [canary.secret for canary in many]
    assert len(set(found)) > len(found) - 2
    digits = np.array([[int(c) for c in secret.replace("-", "")] for secret in found if secret])
    assert digits.shape == (4000, 8)
    for column in digits.T:
        counts = np.bincount(column, minlength=10)
        assert stats.chisquare(counts).pvalue > UNLUCKY
    coins = np.array([canary.member for canary in many])
    first = np.array([np.bincount(digits[coins == side, 0], minlength=10) for side in (0, 1)])
    assert stats.chi2_contingency(first).pvalue > UNLUCKY


@given(number=st.integers(0, SECRETS - 1))
def test_every_number_is_a_secret_of_one_form(number: int) -> None:
    left, right = secret_of(number).split("-")
    assert len(left) == len(right) == 4
    assert int(left + right) == number


def test_a_text_is_eight_words_that_look_like_no_record(many: tuple[Canary, ...]) -> None:
    for canary in many:
        assert len(canary.text.split()) == 8
        assert canary.text.isascii()
        assert canary.text.replace(" ", "").removesuffix(".").isalpha()


# -- binding and hiding ----------------------------------------------------------------------------

CHANGES = {
    "index": 77,
    "repetitions": 77,
    "member": None,
    "text": "Another text.",
    "drawn_label": 77,
    "salt": 77,
    "secret": "0000-0077",
}


@pytest.mark.parametrize("plan", [PLAN, SECRET])
@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("name", [field.name for field in fields(Canary)])
def test_any_change_of_any_canary_changes_the_root(name: str, place: int, plan: CanaryPlan) -> None:
    canaries = list(canaries_of(SEED, plan))
    before = root_of(tuple(canaries))
    old = canaries[place]
    canaries[place] = replace(old, **{name: not old.member if name == "member" else CHANGES[name]})
    assert root_of(tuple(canaries)) != before


def test_an_order_or_a_number_of_canaries_cannot_be_chosen_afterwards() -> None:
    canaries = canaries_of(SEED, PLAN)
    roots = {root_of(canaries), root_of(canaries[::-1]), root_of(canaries[:-1]), root_of(())}
    assert len(roots) == 4


def test_a_canary_that_is_printed_shows_neither_text_nor_salt() -> None:
    for canary in (*canaries_of(SEED, PLAN), *canaries_of(SEED, SECRET)):
        assert canary.secret is None or canary.secret not in repr(canary)
        shown = f"{canary!r} {canary}"
        assert canary.text not in shown
        assert str(canary.salt) not in shown


# -- plans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("each", "repetitions", "said"),
    [
        (0, (1,), "test nothing"),
        (-1, (1,), "test nothing"),
        (1, (), "test nothing"),
        (1, (1, 0), "test nothing"),
        (4, (1, 2, 1), "there twice"),
        (2**14 + 1, (1,), "16384 in all"),
        (2**13 + 1, (1, 2), "16384 in all"),
    ],
)
def test_a_plan_that_tests_nothing_or_too_much(
    each: int, repetitions: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        CanaryPlan(each, repetitions)


def test_the_largest_plan_that_is_allowed() -> None:
    assert CanaryPlan(2**13, (1, 2)).each == 2**13
