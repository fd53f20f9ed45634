"""The shift of members' mean score: its distribution beside simulated runs, and its limits."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.statistics import mean_shift
from audits.statistics.mean_shift import MeanShift, critical_distance
from crypto.errors import ConfigError

RUNS = 4000
UNLUCKY = 1e-4
MECHANISMS = (
    MeanShift(members=60, controls=40, rate=1.0, sums=1, multiplier=0.8),
    MeanShift(members=50, controls=50, rate=0.1, sums=100, multiplier=1.0),
    # So little is sampled, and so loudly, that the binomial's skewness is in the tails.
    MeanShift(members=20, controls=30, rate=0.02, sums=5, multiplier=0.1),
    MeanShift(members=3, controls=3, rate=0.5, sums=4, multiplier=1.0),
)


def measured(mechanism: MeanShift, rng: np.random.Generator) -> float:
    """Return the distance of one run: sums drawn one by one, scores as their means."""

    def scores(count: int, rate: float) -> np.ndarray:
        shape = (mechanism.sums, count)
        sampled = rng.random(shape) < rate
        return np.mean(sampled + rng.normal(0, mechanism.multiplier, shape), axis=0)

    members, controls = scores(mechanism.members, mechanism.rate), scores(mechanism.controls, 0.0)
    return float((members.mean() - controls.mean()) / controls.std(ddof=1))


@pytest.mark.parametrize("mechanism", MECHANISMS)
def test_the_distribution_is_that_of_simulated_runs(mechanism: MeanShift) -> None:
    rng = np.random.default_rng(mechanism.members)
    runs = RUNS // 4 if mechanism.sums > 50 else RUNS
    found = np.array([measured(mechanism, rng) for _ in range(runs)])
    for told in (0.5, 0.2, 0.05, 0.01):
        critical = critical_distance(mechanism, told)
        assert mechanism.beyond(critical) == pytest.approx(told, rel=1e-3)
        low, high = stats.binom.ppf([UNLUCKY, 1 - UNLUCKY], runs, told)
        assert low <= int((found >= critical).sum()) <= high


def test_a_binomial_of_many_values_is_bounded_from_above(monkeypatch: pytest.MonkeyPatch) -> None:
    """Summed over every value it is a little smaller; a few bins are much too large."""
    mechanism = MeanShift(members=100, controls=100, rate=0.3, sums=40, multiplier=0.6)
    distances = [mechanism.shift + z * mechanism.error for z in (-2, 0, 2, 4)]
    told = [mechanism.beyond(distance) for distance in distances]
    monkeypatch.setattr(mean_shift, "_BINS", 5000)
    exact = [mechanism.beyond(distance) for distance in distances]
    monkeypatch.setattr(mean_shift, "_BINS", 8)
    coarse = [mechanism.beyond(distance) for distance in distances]
    for fine, some, few in zip(exact, told, coarse, strict=True):
        assert fine <= some <= fine * 1.1
        assert some < few


@given(
    members=st.integers(2, 300),
    controls=st.integers(2, 300),
    rate=st.floats(0.01, 1.0),
    sums=st.integers(1, 200),
    multiplier=st.floats(0.3, 20.0),
)
@settings(max_examples=25, deadline=None)
def test_more_noise_is_never_further_apart(
    members: int, controls: int, rate: float, sums: int, multiplier: float
) -> None:
    """So whoever is noisier than configured alarms no more often than the configured mechanism."""
    mechanism = MeanShift(members, controls, rate, sums, multiplier)
    for distance in (0.0, mechanism.shift, mechanism.shift + 3 * mechanism.error):
        noisier = mechanism.with_noise(1.5).beyond(distance)
        assert noisier <= mechanism.beyond(distance) + 1e-9
        assert mechanism.beyond(distance + 0.1) <= mechanism.beyond(distance) + 1e-9


def test_the_shift_and_its_error_are_those_of_their_formulas() -> None:
    mechanism = MeanShift(members=400, controls=500, rate=0.1, sums=100, multiplier=0.5)
    assert mechanism.shift == pytest.approx(0.1 * 10 / 0.5)
    assert mechanism.error**2 == pytest.approx((1 + 0.09 / 0.25) / 400 + 1 / 500 + 4 / 998)
    assert mechanism.with_noise(2).shift == pytest.approx(mechanism.shift / 2)
    # The critical distance is as many errors away as a Gaussian's, for so many.
    away = (critical_distance(mechanism, 1e-4) - mechanism.shift) / mechanism.error
    assert away == pytest.approx(float(stats.norm.isf(1e-4)), rel=0.1)


def test_so_few_controls_that_no_distance_is_unlikely_enough() -> None:
    few = MeanShift(members=2, controls=2, rate=1.0, sums=1, multiplier=1.0)
    assert critical_distance(few, 1e-4) > 1000
    assert critical_distance(few, 1e-11) == math.inf


def test_what_is_no_mechanism_is_refused() -> None:
    right = MECHANISMS[0]
    for counts in ((1, 40, 1), (60, 1, 1), (60, 40, 0)):
        with pytest.raises(ConfigError, match="take more canaries"):
            MeanShift(counts[0], counts[1], 1.0, counts[2], 0.8)
    for rate, multiplier in ((0.0, 1.0), (1.1, 1.0), (0.5, 0.0)):
        with pytest.raises(ConfigError, match="are no mechanism"):
            replace(right, rate=rate, multiplier=multiplier)
    with pytest.raises(ConfigError, match="hides nobody"):
        replace(right, multiplier=1e-6).beyond(1.0)
