"""Shared noise as rounded continuous noise: the factor, what noise is left, exact deltas."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.optimize import brentq

from crypto.errors import ConfigError
from privacy.accounting import approximate_epsilon, epsilon, smoothed_epsilon
from privacy.events import DistributedGaussian, NoGuarantee, Relation, SubsampledGaussian
from privacy.smoothing import (
    ROUNDING_DEVIATION,
    rounding_closeness,
    smoothed,
    smoothed_events,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

DELTA = 1e-5
SHARED = DistributedGaussian(3.0, 0.3, 50, size=1000, local_sigma=500.0, contributors=4)


@pytest.mark.parametrize(("sigma", "deviation"), [(1.0, 0.5), (1.5, 0.6), (2.0, 0.7), (3.0, 1.0)])
@pytest.mark.parametrize("shift", [0, 3])
def test_rounded_continuous_noise_is_discrete_noise_but_for_the_factor(
    sigma: float, deviation: float, shift: int
) -> None:
    kept = math.sqrt(sigma**2 - deviation**2)
    # The trapezoidal rule is exact to rounding for such integrands.
    y = np.arange(-40.0, 40.0, 1.0 / 64.0)
    points = np.arange(-20, 21)
    densities = np.exp(-((y - shift) ** 2) / (2.0 * kept**2)) / (math.sqrt(2.0 * math.pi) * kept)
    channel = np.exp(-((points[:, None] - y) ** 2) / (2.0 * deviation**2))
    around = np.arange(-50, 51)[:, None]
    channel /= np.exp(-((around - y) ** 2) / (2.0 * deviation**2)).sum(axis=0)
    rounded = (channel * densities).sum(axis=1) / 64.0
    weights = np.exp(-((points - shift) ** 2) / (2.0 * sigma**2))
    discrete = weights / np.exp(-((around - shift) ** 2) / (2.0 * sigma**2)).sum()
    near = np.abs(points - shift) <= 4.0 * sigma
    apart = float(np.max(np.abs(np.log(rounded[near] / discrete[near]))))
    assert apart <= rounding_closeness(deviation) + 1e-12
    # The average over Y smooths what the bound allows; of a narrow rounding something is left.
    assert deviation > 0.6 or apart > 1e-7


def test_what_the_rounding_takes_is_little() -> None:
    continuous, apart = smoothed(SHARED)
    assert continuous.noise_multiplier == pytest.approx(
        3.0 * math.sqrt(1.0 - 4.0 / 500.0**2), rel=1e-12
    )
    assert continuous == SubsampledGaussian(continuous.noise_multiplier, 0.3, 50)
    assert apart == pytest.approx(50 * 1000 * 5.0 * math.exp(-8.0 * math.pi**2))
    worst = DistributedGaussian(1.0, 0.5, 2**31, 2**31, 16.0, 2**31)
    continuous, apart = smoothed(worst)
    assert 0.992 < continuous.noise_multiplier < 0.9922
    assert apart < 1e-14
    assert ROUNDING_DEVIATION == 2.0


def summed(sigma: float, contributors: int, reach: int) -> NDArray[np.float64]:
    points = np.arange(-reach, reach + 1)
    one = np.exp(-(points**2) / (2.0 * sigma**2))
    one /= one.sum()
    total = one
    for _ in range(contributors - 1):
        total = np.convolve(total, one, mode="same")
    return total


def exact_epsilon(one: NDArray[np.float64], other: NDArray[np.float64], delta: float) -> float:
    """Return the exact epsilon of two distributions on the same points, in both directions."""

    def excess(eps: float, p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
        return float(np.maximum(p - math.exp(eps) * q, 0.0).sum()) - delta

    return max(float(brentq(excess, 0.0, 60.0, args=pair)) for pair in ((one, other), (other, one)))


@pytest.mark.parametrize(("rate", "shift"), [(1.0, 20), (0.3, 40), (0.05, 60)])
def test_the_exact_epsilon_of_one_step_lies_below_and_near(rate: float, shift: int) -> None:
    base = summed(16.0, 3, 700)
    sampled = (1.0 - rate) * base + rate * np.roll(base, shift)
    exact = exact_epsilon(sampled, base, DELTA)
    z = math.sqrt(3.0) * 16.0 / shift
    event = DistributedGaussian(z, rate, 1, size=1, local_sigma=16.0, contributors=3)
    proved = smoothed_epsilon([event], DELTA)
    assert exact <= proved <= 1.02 * exact + 5e-4
    assert proved < epsilon([event], DELTA)


def test_the_exact_epsilon_of_two_steps_lies_below_and_near() -> None:
    base = summed(16.0, 2, 400)
    sampled = 0.6 * base + 0.4 * np.roll(base, 20)
    exact = exact_epsilon(
        np.multiply.outer(sampled, sampled).ravel(), np.multiply.outer(base, base).ravel(), DELTA
    )
    z = math.sqrt(2.0) * 16.0 / 20.0
    event = DistributedGaussian(z, 0.4, 2, size=1, local_sigma=16.0, contributors=2)
    assert exact <= smoothed_epsilon([event], DELTA) <= 1.012 * exact + 5e-4


@pytest.mark.parametrize("relation", list(Relation))
def test_it_lies_between_the_approximation_and_the_claim(relation: Relation) -> None:
    plain = SubsampledGaussian(4.0, 0.2, 10)
    for local_sigma in (16.0, 500.0):
        events = [replace(SHARED, local_sigma=local_sigma), plain]
        approximate = approximate_epsilon(events, DELTA, relation=relation)
        proved = smoothed_epsilon(events, DELTA, relation=relation)
        assert approximate <= proved <= 1.012 * approximate
        assert proved < epsilon(events, DELTA, relation=relation)


def test_what_has_no_bound_or_no_shared_noise_is_as_ever() -> None:
    plain = SubsampledGaussian(4.0, 0.2, 10)
    assert smoothed_events([plain, NoGuarantee()]) == ((plain, NoGuarantee()), 0.0)
    assert smoothed_epsilon([plain], DELTA) == epsilon([plain], DELTA)
    assert smoothed_epsilon([SHARED, NoGuarantee()], DELTA) == math.inf
    assert smoothed_epsilon([], DELTA) == 0.0
    with pytest.raises(ConfigError, match="delta"):
        smoothed_epsilon([], 0.0)
    assert smoothed_epsilon([SHARED], 1e-10) < math.inf


def test_slack_adds_up_over_events_and_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    twice, apart = smoothed_events([SHARED, SHARED])
    assert twice == (smoothed(SHARED)[0],) * 2
    assert apart == 2.0 * smoothed(SHARED)[1]
    before = smoothed_epsilon([SHARED], DELTA)
    monkeypatch.setattr("privacy.smoothing.rounding_closeness", lambda _: 1e-6)
    # delta (1 - t) and 2 t, with t = 50 steps x 1,000 coordinates x 10^-6.
    continuous = smoothed(SHARED)[0]
    expected = epsilon([continuous], DELTA * math.exp(-0.05)) + 0.1
    assert smoothed_epsilon([SHARED], DELTA) == pytest.approx(expected, rel=1e-12)
    assert expected > before + 0.1
    monkeypatch.setattr("privacy.smoothing.closeness", lambda *_: 1e-6)
    assert smoothed(SHARED)[1] == pytest.approx(0.1)
