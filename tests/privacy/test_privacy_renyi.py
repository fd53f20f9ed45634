"""Renyi bounds against direct sums over the lattice, other accountants and each other."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
from dp_accounting.rdp import RdpAccountant
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.accounting import epsilon, rdp_epsilon
from privacy.events import DistributedGaussian, NoGuarantee, Relation, SubsampledGaussian
from privacy.opacus_prv import prv_epsilon
from privacy.renyi import (
    ORDERS,
    SMALLEST_MULTIPLIER,
    _log_moment,
    closeness,
    converted,
    divergence,
    divergences,
    renyi_epsilon,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

DELTA = 1e-5
REACH = 600
POINTS = np.arange(-REACH, REACH + 1)
EXACT = 1e-6
ROUNDING = 1e-11


def discrete_gaussian(sigma: float) -> NDArray[np.float64]:
    """Return the probabilities of N_Z(0, sigma^2) at `POINTS`."""
    weights = np.exp(-(POINTS**2) / (2.0 * sigma**2))
    return weights / math.fsum(weights)


def summed(sigma: float, contributors: int) -> NDArray[np.float64]:
    """Return the probabilities of a sum of discrete Gaussians at `POINTS`, by convolution."""
    total = one = discrete_gaussian(sigma)
    for _ in range(contributors - 1):
        total = np.convolve(total, one, mode="same")
    return total


def shifted(probabilities: NDArray[np.float64], shift: int) -> NDArray[np.float64]:
    return np.roll(probabilities, shift)


def exact_divergence(one: NDArray[np.float64], other: NDArray[np.float64], order: float) -> float:
    """Return D_order(one || other), summed directly where neither is lost to underflow."""
    kept = (one > 1e-290) & (other > 1e-290)
    logs = order * np.log(one[kept]) + (1.0 - order) * np.log(other[kept])
    largest = float(logs.max())
    return (largest + math.log(math.fsum(np.exp(logs - largest)))) / (order - 1.0)


def bound(
    noise: tuple[float, int],
    shift: int,
    rate: float,
    order: float,
    relation: Relation = Relation.ADD_REMOVE,
) -> float:
    """Return what the module says of a sum of one integer, also of too little local noise."""
    sigma, contributors = noise
    event = SubsampledGaussian(math.sqrt(contributors) * sigma / shift, rate, 1)
    apart = (2.0 * order - 1.0) / (order - 1.0) * closeness(sigma, contributors)
    return divergence(event, order, relation) + apart


@pytest.mark.parametrize("contributors", [1, 3])
@pytest.mark.parametrize("sigma", [1.5, 3.0, 8.0])
@pytest.mark.parametrize("rate", [1.0, 0.5, 0.1, 0.003])
@pytest.mark.parametrize("order", [2, 3, 5, 8])
def test_at_whole_orders_the_bound_is_the_divergence_itself(
    sigma: float, rate: float, order: int, contributors: int
) -> None:
    shift = max(1, round(sigma))
    base = summed(sigma, contributors)
    sampled = (1.0 - rate) * base + rate * shifted(base, shift)
    claimed = bound((sigma, contributors), shift, rate, order)
    forward = exact_divergence(sampled, base, order)
    assert forward <= claimed + ROUNDING
    assert claimed <= forward + EXACT
    assert exact_divergence(base, sampled, order) <= claimed + ROUNDING


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.floats(min_value=0.5, max_value=8.0),
    st.integers(min_value=1, max_value=12),
    st.floats(min_value=1e-3, max_value=1.0),
    st.sampled_from([order for order in ORDERS if order <= 9.0]),
    st.integers(min_value=1, max_value=4),
)
def test_the_bound_holds_in_both_directions_at_every_order(
    sigma: float, shift: int, rate: float, order: float, contributors: int
) -> None:
    base = summed(sigma, contributors)
    sampled = (1.0 - rate) * base + rate * shifted(base, shift)
    claimed = bound((sigma, contributors), shift, rate, order)
    slack = ROUNDING * max(1.0, claimed)
    assert exact_divergence(sampled, base, order) <= claimed + slack
    assert exact_divergence(base, sampled, order) <= claimed + slack


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.floats(min_value=0.5, max_value=8.0),
    st.tuples(st.integers(-8, 8), st.integers(1, 8)),
    st.floats(min_value=1e-3, max_value=1.0),
    st.sampled_from([order for order in ORDERS if order <= 9.0]),
    st.integers(min_value=1, max_value=4),
)
def test_the_bound_holds_when_one_is_replaced(
    sigma: float, shifts: tuple[int, int], rate: float, order: float, contributors: int
) -> None:
    base = summed(sigma, contributors)
    one, other = ((1.0 - rate) * base + rate * shifted(base, shift) for shift in shifts)
    furthest = max(abs(shift) for shift in shifts)
    claimed = bound((sigma, contributors), furthest, rate, order, Relation.REPLACE_ONE)
    assert exact_divergence(one, other, order) <= claimed + ROUNDING * max(1.0, claimed)
    assert exact_divergence(other, one, order) <= claimed + ROUNDING * max(1.0, claimed)


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_the_bound_of_replacing_is_near_the_worst_case(rate: float) -> None:
    # Opposite contributions are the worst. At small rates, the way over the common part of the
    # two mixtures loses little at large orders; unsampled, nothing is lost.
    base = summed(8.0, 3)
    one, other = ((1.0 - rate) * base + rate * shifted(base, shift) for shift in (2, -2))
    exact = exact_divergence(one, other, 8)
    claimed = bound((8.0, 3), 2, rate, 8, Relation.REPLACE_ONE)
    assert exact <= claimed <= 1.3 * exact
    assert rate < 1.0 or claimed <= exact + EXACT


@pytest.mark.parametrize("sigma", [0.5, 0.6, 0.8, 1.0])
@pytest.mark.parametrize("contributors", [2, 3, 5, 80])
def test_a_sum_is_as_close_to_a_discrete_gaussian_as_said(sigma: float, contributors: int) -> None:
    total = summed(sigma, contributors)
    alike = discrete_gaussian(sigma * math.sqrt(contributors))
    near = np.abs(POINTS) <= 10.0 * sigma * math.sqrt(contributors)
    apart = float(np.max(np.abs(np.log(total[near] / alike[near]))))
    assert apart <= closeness(sigma, contributors) + ROUNDING
    # Further noise smooths what two leave, which the bound does not use.
    assert contributors > 2 or apart > 0.3 * closeness(sigma, contributors)


def test_closeness_is_the_sum_that_is_written_down() -> None:
    def written(sigma: float, contributors: int) -> float:
        terms = (-2.0 * math.pi**2 * sigma**2 * k / (k + 1.0) for k in range(1, contributors))
        return 5.0 * math.fsum(math.exp(x) for x in terms)

    assert closeness(0.5, 1) == 0.0
    for contributors in (2, 3, 64, 65):
        assert closeness(0.7, contributors) == pytest.approx(written(0.7, contributors), rel=1e-12)
    for contributors in (66, 70, 1000):
        exact = written(0.7, contributors)
        assert exact <= closeness(0.7, contributors) <= 1.2 * exact
    assert closeness(16.0, 2**31) == 0.0


def test_a_sum_that_is_not_close_costs_more(monkeypatch: pytest.MonkeyPatch) -> None:
    event = DistributedGaussian(1.0, 0.5, 7, size=100, local_sigma=16.0, contributors=3)
    alike = SubsampledGaussian(1.0, 0.5, 7)
    assert divergence(event, 3.0) == divergence(alike, 3.0)
    monkeypatch.setattr("privacy.renyi.closeness", lambda sigma, n: sigma * n * 1e-6)
    per_step = 100 * 48e-6 * 5.0 / 2.0
    assert divergence(event, 3.0) == pytest.approx(divergence(alike, 3.0) + 7 * per_step)


@pytest.mark.parametrize(("sigma", "rate"), [(1.1, 0.1), (0.6, 0.01), (5.0, 1.0), (40.0, 1e-4)])
def test_dp_accounting_agrees_at_every_whole_order(sigma: float, rate: float) -> None:
    orders = [int(order) for order in ORDERS if order == int(order)]
    accountant = RdpAccountant(orders=orders)
    accountant.compose(PoissonSampledDpEvent(rate, GaussianDpEvent(sigma)), 10)
    for order, theirs in zip(orders, accountant._rdp, strict=True):
        ours = divergence(SubsampledGaussian(sigma, rate, 10), order)
        # Theirs adds 1 to the small terms, and loses digits.
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


def test_the_smallest_rates_lose_no_digits() -> None:
    # log(1 + C(2, 2) q^2 (exp(1/z^2) - 1)), far below the rounding of 1.
    rate, z = 1e-8, 1e4
    ours = divergence(SubsampledGaussian(z, rate, 1), 2.0)
    assert ours == pytest.approx(rate**2 * math.expm1(z**-2), rel=1e-12)


def test_the_largest_divergences_are_still_numbers() -> None:
    event = SubsampledGaussian(0.01, 0.5, 1)
    assert divergence(event, 4096.0) == pytest.approx(4096.0 / 2e-4, rel=1e-3)
    assert divergence(event, 4096.0, Relation.REPLACE_ONE) > 4096.0 * 4.0 / 2e-4 * 0.99


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.floats(min_value=0.3, max_value=20.0),
    st.floats(min_value=1e-3, max_value=1.0),
    st.sampled_from(Relation),
)
def test_log_moments_are_convex_and_divergences_rise(
    sigma: float, rate: float, relation: Relation
) -> None:
    event = SubsampledGaussian(sigma, rate, 1)
    moments = [(1.0, 0.0)] + [(a, _log_moment(event, a, relation)) for a in ORDERS if a <= 40.0]
    for (a, low), (b, middle), (c, high) in zip(moments, moments[1:], moments[2:], strict=False):
        line = low + (high - low) * (b - a) / (c - a)
        # Under replace-one, the smaller of two convex bounds is taken at each whole order.
        assert middle <= line * (1.0 + 1e-9) + 1e-15 or relation is Relation.REPLACE_ONE
    values = [moment / (order - 1.0) for order, moment in moments[1:]]
    assert all(b >= a * (1.0 - 1e-9) for a, b in itertools.pairwise(values)) or (
        relation is Relation.REPLACE_ONE
    )


def test_between_whole_orders_the_straight_line_is_taken() -> None:
    event = SubsampledGaussian(1.3, 0.2, 1)

    def moment(order: float) -> float:
        return _log_moment(event, order, Relation.ADD_REMOVE)

    assert moment(2.25) == pytest.approx(0.75 * moment(2.0) + 0.25 * moment(3.0), rel=1e-12)
    assert moment(1.25) == pytest.approx(0.25 * moment(2.0), rel=1e-12)
    assert moment(15.5) == pytest.approx(0.5 * (moment(15.0) + moment(16.0)), rel=1e-12)
    unsampled = replace(event, sampling_rate=1.0)
    assert divergence(unsampled, 2.25) == pytest.approx(2.25 / (2.0 * 1.3**2), rel=1e-12)


def test_fractional_orders_pay_at_a_large_epsilon() -> None:
    event = SubsampledGaussian(1.0, 1.0, 3)
    bounds = divergences((event,))
    whole = [(a, r) for a, r in zip(ORDERS, bounds, strict=True) if a == int(a)]
    only_whole = converted([r for _, r in whole], [a for a, _ in whole], DELTA)
    assert renyi_epsilon((event,), DELTA) < only_whole - 0.05


def test_zero_out_costs_what_removing_costs() -> None:
    events = (
        DistributedGaussian(1.5, 1.0, 5, size=100, local_sigma=20.0, contributors=4),
        SubsampledGaussian(2.0, 0.1, 30),
    )
    for event in events:
        removed = epsilon([event], DELTA, relation=Relation.ADD_REMOVE)
        assert epsilon([event], DELTA, relation=Relation.ZERO_OUT) == removed
        assert epsilon([event], DELTA, relation=Relation.REPLACE_ONE) > removed


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.1, 0.1, 200), (3.0, 0.05, 500)])
def test_the_bound_lies_between_the_claim_and_dp_accountings(
    sigma: float, rate: float, steps: int
) -> None:
    events = [SubsampledGaussian(sigma, rate, steps)]
    ours = renyi_epsilon(events, DELTA)
    assert epsilon(events, DELTA) <= ours <= rdp_epsilon(events, DELTA) * (1.0 + 1e-9)
    assert abs(prv_epsilon(events, DELTA) - ours) <= 0.15 * ours


def test_bounds_of_different_events_add_up() -> None:
    one = SubsampledGaussian(1.5, 0.1, 3)
    other = DistributedGaussian(2.0, 0.3, 4, size=10, local_sigma=16.0, contributors=3)
    for order, both in zip(ORDERS, divergences([one, other]), strict=True):
        assert both == pytest.approx(divergence(one, order) + divergence(other, order))
    assert divergence(replace(one, steps=30), 3.0) == pytest.approx(10 * divergence(one, 3.0))


def test_what_has_no_bound_is_infinite() -> None:
    assert divergence(NoGuarantee(), 2.0) == math.inf
    least = SubsampledGaussian(SMALLEST_MULTIPLIER, 0.5, 1)
    assert divergence(least, 2.0) < math.inf
    assert divergence(replace(least, noise_multiplier=1e-200), 2.0) == math.inf
    assert renyi_epsilon([least, NoGuarantee()], DELTA) == math.inf


def test_orders_rise_from_just_above_one() -> None:
    assert list(ORDERS) == sorted(set(ORDERS))
    assert ORDERS[0] == 1.0625
    assert ORDERS[-1] == 4096.0
    assert {3.9375, 4.25, 15.75, 17.0, 64.0, 80.0} <= set(ORDERS)
