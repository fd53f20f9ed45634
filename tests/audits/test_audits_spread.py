"""The spread of counts: exact tails against every outcome, and what is noticed."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audits.statistics.spread import Spread
from crypto.errors import ConfigError

TRIALS = st.lists(st.integers(1, 4), min_size=1, max_size=4)


def term(count: int, trials: int, probability: float) -> int:
    """Return the rounded term of one count, by the words of its definition."""
    mean = trials * probability
    exact = (count - mean) ** 2 / (mean * (1 - probability))
    return round(8 * min(4096.0, exact))


def chances_by_all_outcomes(trials: list[int], probability: float) -> dict[int, float]:
    chances: dict[int, float] = {}
    for counts in product(*(range(t + 1) for t in trials)):
        chance = 1.0
        for count, t in zip(counts, trials, strict=True):
            chance *= comb(t, count) * probability**count * (1 - probability) ** (t - count)
        total = sum(term(n, t, probability) for n, t in zip(counts, trials, strict=True))
        chances[total] = chances.get(total, 0.0) + chance
    return chances


@settings(max_examples=60)
@given(trials=TRIALS, data=st.data(), probability=st.floats(0.01, 0.99))
def test_tails_are_those_of_all_outcomes(
    trials: list[int], data: st.DataObject, probability: float
) -> None:
    counts = [data.draw(st.integers(0, t)) for t in trials]
    found = Spread(np.array(counts), np.array(trials), probability)
    total = sum(term(n, t, probability) for n, t in zip(counts, trials, strict=True))
    chances = chances_by_all_outcomes(trials, probability)
    below = sum(chance for each, chance in chances.items() if each <= total)
    above = sum(chance for each, chance in chances.items() if each >= total)
    assert found.below() == pytest.approx(below, abs=3e-10)
    assert found.above() == pytest.approx(above, abs=3e-10)


def test_few_counts_that_are_very_large_are_not_lost_among_many() -> None:
    """As of one sample that comes back: the total, and all but these counts, are as they should."""
    counts = np.where(np.arange(500) < 5, 33, 0)
    spread = Spread(counts, np.full(500, 33), 0.01)
    assert spread.above() < 1e-9
    assert spread.below() == pytest.approx(1)


def test_sums_beyond_what_is_computed_are_as_unlikely_as_said() -> None:
    """Of counts that are seldom above zero, where squares have the longest tails."""
    rng = np.random.default_rng(0)
    trials, probability = np.full(40, 20), 0.005
    spread = Spread(np.zeros(40, np.int64), trials, probability)
    squares = (rng.binomial(20, probability, (4000, 40)) - 0.1) ** 2 / 0.0995
    sums = np.rint(8 * squares).sum(axis=1)
    length = spread._chances.size
    assert sums.max() < length < 8 * 40 * 50
    assert spread._chances.sum() == pytest.approx(1, abs=1e-9)
    found = [float(spread._chances[:n].sum()) for n in (200, 400, 800)]
    drawn = [float((sums < n).mean()) for n in (200, 400, 800)]
    assert found == pytest.approx(drawn, abs=0.04)


@given(trials=TRIALS, data=st.data())
def test_the_ratio_is_the_mean_squared_distance_over_the_variance(
    trials: list[int], data: st.DataObject
) -> None:
    counts = [data.draw(st.integers(0, t)) for t in trials]
    third = Fraction(1, 3)
    squares = [
        (n - t * third) ** 2 / (t * third * (1 - third))
        for n, t in zip(counts, trials, strict=True)
    ]
    found = Spread(np.array(counts), np.array(trials), 1 / 3).ratio
    assert found == pytest.approx(float(sum(squares, Fraction()) / len(squares)))


@pytest.mark.parametrize("tail", [1e-2, 1e-5])
def test_a_spread_is_noticed_beyond_the_ratios_that_are_said(tail: float) -> None:
    trials = np.full(60, 20)
    nothing = Spread(np.full(60, 4), trials, 0.2)
    low, high = nothing.noticed(tail)
    assert 0 < low < 1 < high < 4
    # So many counts at two deviations' distance or so, and the others at the mean.
    away = (7 - 4) ** 2 / (20 * 0.2 * 0.8)
    for few in range(61):
        counts = np.where(np.arange(60) < few, 7, 4)
        spread = Spread(counts, trials, 0.2)
        rounded = few * round(8 * away) / (8 * 60)
        assert (spread.below() < tail) == (rounded < low)
        assert (spread.above() < tail) == (rounded >= high)


def test_so_few_counts_that_all_may_lie_at_the_mean_notice_no_small_spread() -> None:
    low, high = Spread(np.full(3, 4), np.full(3, 20), 0.2).noticed(1e-3)
    assert low == 0
    assert high > 4


@pytest.mark.parametrize(
    ("counts", "trials", "probability", "said"),
    [
        ([], [], 0.5, "cannot give"),
        ([1], [1, 2], 0.5, "cannot give"),
        ([3], [2], 0.5, "cannot give"),
        ([-1], [2], 0.5, "cannot give"),
        ([0], [0], 0.5, "do not spread"),
        ([1], [2], 0.0, "do not spread"),
        ([1], [2], 1.0, "do not spread"),
    ],
)
def test_what_cannot_be_is_refused(
    counts: list[int], trials: list[int], probability: float, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        Spread(np.array(counts, np.int64), np.array(trials, np.int64), probability)
