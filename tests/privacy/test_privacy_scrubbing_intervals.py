"""Clopper-Pearson intervals against scipy and against sums of binomial probabilities."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crypto.errors import ConfigError
from privacy.scrubbing.intervals import beta_cdf, beta_quantile, clopper_pearson


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int]:
    trials = draw(st.one_of(st.integers(1, 60), st.integers(1, 200_000)))
    return draw(st.integers(0, trials)), trials


@given(counts(), st.sampled_from([0.5, 0.9, 0.95, 0.9999]))
def test_intervals_are_scipys(case: tuple[int, int], confidence: float) -> None:
    successes, trials = case
    wanted = stats.binomtest(successes, trials).proportion_ci(confidence, method="exact")
    low, high = clopper_pearson(successes, trials, confidence=confidence)
    assert low == pytest.approx(wanted.low, rel=1e-6, abs=1e-11)
    assert 1 - high == pytest.approx(1 - wanted.high, rel=1e-6, abs=1e-11)


@given(st.integers(1, 40), st.integers(0, 40))
def test_each_end_is_where_its_tail_has_the_wanted_probability(trials: int, part: int) -> None:
    successes = min(part, trials)
    low, high = clopper_pearson(successes, trials)

    def chance(share: float, wanted: range) -> float:
        return sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in wanted)

    if successes:
        assert chance(low, range(successes, trials + 1)) == pytest.approx(0.025, rel=1e-9)
    if successes < trials:
        assert chance(high, range(successes + 1)) == pytest.approx(0.025, rel=1e-9)


@given(st.floats(0, 1), st.floats(0.5, 3000), st.floats(0.5, 3000))
def test_the_incomplete_beta_function_is_scipys(x: float, a: float, b: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), rel=1e-8, abs=1e-13)


@given(st.floats(1e-6, 1 - 1e-6), st.integers(1, 500), st.integers(1, 500))
def test_the_quantile_undoes_the_distribution(probability: float, a: int, b: int) -> None:
    assert beta_cdf(beta_quantile(probability, a, b), a, b) == pytest.approx(probability, rel=1e-7)


def test_what_nothing_and_everything_say() -> None:
    assert clopper_pearson(0, 0) == (0.0, 1.0)
    assert clopper_pearson(0, 20)[0] == 0.0
    assert clopper_pearson(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1.0)


@pytest.mark.parametrize(
    ("successes", "trials", "confidence"), [(2, 1, 0.9), (-1, 3, 0.9), (1, 2, 1.0), (1, 2, 0.0)]
)
def test_what_is_no_share_is_refused(successes: int, trials: int, confidence: float) -> None:
    with pytest.raises(ConfigError, match="no interval"):
        clopper_pearson(successes, trials, confidence=confidence)
