"""Exposure and its null: enumerated, convolved, and what ties and samples do to it."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.release.exposure import (
    Exposure,
    exposure,
    exposure_tests,
    null_mean,
    null_tail,
    sum_tail,
)
from crypto.errors import ConfigError

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=12)


@given(st.integers(-5, 5), SCORES)
def test_the_rank_counts_all_that_score_as_high(secret: int, others: list[int]) -> None:
    found = exposure(secret, np.array(others))
    ordered = sorted([*others, secret], reverse=True)
    assert found.rank == len(ordered) - ordered[::-1].index(secret)  # the last of its ties
    assert found.candidates == len(ordered)
    assert found.bits == pytest.approx(math.log2(len(ordered) / found.rank))


@given(st.integers(-5, 5), SCORES)
def test_only_the_order_of_scores_matters(secret: int, others: list[int]) -> None:
    plain = exposure(secret, np.array(others))
    assert exposure(math.exp(secret), np.exp(np.array(others, float))) == plain
    assert exposure(secret, np.array(others[::-1])) == plain


def test_a_model_that_scores_all_alike_exposes_nothing() -> None:
    """Had ties counted for the attack, each secret would be first, and the test certain."""
    alike = [exposure(0.0, np.zeros(999)) for _ in range(20)]
    (test,) = exposure_tests(alike)
    assert (test.mean, test.p_value) == (0.0, 1.0)
    (generous,) = exposure_tests([Exposure(1, 1000)] * 20)
    assert generous.p_value < 1e-20


@given(st.integers(2, 200))
def test_the_null_of_one_secret_is_that_of_uniform_ranks(candidates: int) -> None:
    bits = [Exposure(rank, candidates).bits for rank in range(1, candidates + 1)]
    assert null_mean(candidates) == pytest.approx(sum(bits) / candidates)
    for rank, each in enumerate(bits, start=1):
        assert null_tail(each, candidates) == pytest.approx(rank / candidates)
        assert sum_tail(each, [candidates]) == pytest.approx(rank / candidates)
    for at in (0.5, 1.0, 2.5, 30.0):
        share = sum(each >= at for each in bits) / candidates
        assert null_tail(at, candidates) == pytest.approx(share)
        assert null_tail(at, candidates) <= 2**-at


@pytest.mark.parametrize("candidates", [2, 10, 10**6, 10**9, 10**13])
def test_few_or_many_candidates_keep_below_the_exponential(candidates: int) -> None:
    for bits in (0.0, 1e-9, 1.0, 7.3, math.log2(candidates), 60.0):
        assert null_tail(bits, candidates) <= 2**-bits * (1 + 1e-9)
    assert null_tail(math.log2(candidates), candidates) == pytest.approx(1 / candidates)


@settings(max_examples=15)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=3))
def test_the_null_of_a_sum_is_that_of_all_ranks_written_out(candidates: list[int]) -> None:
    """Products of ranks are whole numbers, so that nothing is rounded here."""
    products = Counter(
        math.prod(ranks) for ranks in itertools.product(*(range(1, r + 1) for r in candidates))
    )
    whole = math.prod(candidates)
    below = 0
    for product in sorted(products):
        below += products[product]
        bits = math.fsum(math.log2(r) for r in candidates) - math.log2(product)
        assert sum_tail(bits, candidates) == pytest.approx(below / whole, abs=1e-8)


def test_a_sum_is_never_tested_below_its_probability() -> None:
    """Of a hundred secrets: against draws, and where draws end against what must hold."""
    rng = np.random.default_rng(2)
    ranks = rng.integers(1, 1001, (20_000, 100))
    sums = np.log2(1000 / ranks).sum(axis=1)
    for quantile in (0.5, 0.1, 0.01):
        bits = float(np.quantile(sums, 1 - quantile))
        error = 4 * math.sqrt(quantile / 20_000)
        assert quantile - error < sum_tail(bits, [1000] * 100) < quantile + error
    highest = sum_tail(100 * math.log2(1000), [1000] * 100)
    assert 1000.0**-100 <= highest < 1e-150


def test_a_sum_of_many_kinds_falls_as_it_grows() -> None:
    kinds = [10, 10, 100, 1000, 10**6]
    tails = [sum_tail(bits, kinds) for bits in np.linspace(-1, 46, 20)]
    assert tails[0] == 1.0
    assert tails == sorted(tails, reverse=True)
    assert tails[-1] < 1e-9


def test_few_candidates_are_not_taken_for_many() -> None:
    """Fisher's combination alone would miss what two candidates a secret show."""
    exact = sum(math.comb(30, wins) for wins in range(25, 31)) / 2**30
    assert sum_tail(25.0, [2] * 30) == pytest.approx(exact, abs=1e-8)


def test_whole_bits_stay_whole_on_a_coarser_grid() -> None:
    exact = float(stats.binom.sf(3099, 6000, 0.5))
    assert sum_tail(3100.0, [2] * 6000) == pytest.approx(exact, abs=1e-8)


def test_no_secrets_can_be_exposed_beyond_all_bits() -> None:
    assert sum_tail(7.0, [2] * 6) < 1e-8


def test_repetitions_are_tested_one_by_one_and_planted_secrets_are_seen() -> None:
    rng = np.random.default_rng(4)
    found = []
    for repetitions, learned in ((16, 6.0), (1, 0.0), (4, 1.5)):
        for _ in range(25):
            secret, others = rng.normal(learned), rng.normal(size=999)
            found.append(exposure(secret, others, repetitions))
    once, four, sixteen = exposure_tests(found)
    assert [test.repetitions for test in (once, four, sixteen)] == [1, 4, 16]
    assert once.secrets == 25
    assert once.p_value > 0.01
    assert once.expected == pytest.approx(1 / math.log(2), abs=0.01)
    assert four.p_value < 1e-4
    assert once.mean < four.mean < sixteen.mean
    assert sixteen.mean == pytest.approx(math.log2(1000), abs=0.2)
    assert sixteen.p_value < 1e-30


@pytest.mark.parametrize(
    ("secrets", "ends"), [(5, None), (6, (0, 5)), (10, (1, 8)), (20, (5, 14)), (100, (39, 60))]
)
def test_the_median_lies_between_the_published_ranks(
    secrets: int, ends: tuple[int, int] | None
) -> None:
    """Ranks at 95 % of the usual tables (Conover 1999, from 0 here)."""
    found = [Exposure(rank, 1000) for rank in range(1, secrets + 1)]
    ordered = sorted(each.bits for each in found)
    (test,) = exposure_tests(found)
    expected = (0.0, math.log2(1000)) if ends is None else (ordered[ends[0]], ordered[ends[1]])
    assert test.median_interval == pytest.approx(expected)


@pytest.mark.parametrize(("rank", "candidates", "repetitions"), [(0, 5, 1), (6, 5, 1), (1, 5, 0)])
def test_a_rank_that_is_none_is_refused(rank: int, candidates: int, repetitions: int) -> None:
    with pytest.raises(ConfigError, match="no observation"):
        Exposure(rank, candidates, repetitions)


def test_a_secret_without_others_or_without_a_score_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one other"):
        exposure(1.0, np.zeros(0))
    for secret, others in ((math.nan, [1.0]), (1.0, [math.nan])):
        with pytest.raises(ConfigError, match="not a number"):
            exposure(secret, np.array(others))
    with pytest.raises(ConfigError, match="No secret was ranked"):
        exposure_tests([])
