"""The claimed epsilon against the closed form, other accountants and itself."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm

from crypto.errors import ConfigError
from privacy import accounting_pld
from privacy.accounting import (
    FINEST_INTERVAL,
    ROUNDING_SLACK,
    SIGMA_TOLERANCE,
    calibrate_sigma,
    epsilon,
    rdp_epsilon,
)
from privacy.events import NoGuarantee, Relation, SubsampledGaussian
from privacy.opacus_prv import EPSILON_ERROR, prv_epsilon

DELTA = 1e-5


def analytic_gaussian(sigma: float, delta: float) -> float:
    """Return the exact epsilon of one Gaussian step (Balle and Wang 2018, theorem 8)."""

    def excess(eps: float) -> float:
        right = norm.logcdf(-1.0 / (2.0 * sigma) - eps * sigma)
        return float(norm.cdf(1.0 / (2.0 * sigma) - eps * sigma) - math.exp(eps + right) - delta)

    return float(brentq(excess, 0.0, 1.0 / (2.0 * sigma**2) + 20.0 / sigma, xtol=1e-13))


@pytest.mark.parametrize("sigma", [1.0, 3.0, 10.0])
@pytest.mark.parametrize("steps", [1, 25])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8])
def test_full_batches_match_the_analytic_gaussian(sigma: float, steps: int, delta: float) -> None:
    exact = analytic_gaussian(sigma / math.sqrt(steps), delta)
    claimed = epsilon([SubsampledGaussian(sigma, 1.0, steps)], delta)
    assert exact <= claimed <= exact + 5e-4


def test_one_sampled_step_matches_its_closed_form() -> None:
    # One Poisson-sampled step is the mixture (1-q) N(0, s^2) + q N(1, s^2) against N(0, s^2):
    # delta(eps) = q * delta_gaussian(log(1 + (exp(eps) - 1) / q)) (Balle et al. 2018, theorem 9).
    sigma, rate = 1.0, 0.1
    inner = analytic_gaussian(sigma, DELTA / rate)
    exact = math.log1p(rate * math.expm1(inner))
    claimed = epsilon([SubsampledGaussian(sigma, rate, 1)], DELTA)
    assert exact <= claimed <= exact + 2e-4


def test_replace_one_doubles_the_sensitivity() -> None:
    exact = analytic_gaussian(3.0 / 2.0, DELTA)
    event = SubsampledGaussian(3.0, 1.0, 1)
    claimed = epsilon([event], DELTA, relation=Relation.REPLACE_ONE)
    assert exact <= claimed <= exact + 2e-4
    sampled = SubsampledGaussian(3.0, 0.1, 20)
    assert epsilon([sampled], DELTA, relation=Relation.REPLACE_ONE) > epsilon([sampled], DELTA)


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.1, 0.1, 200), (2.0, 0.02, 1000)])
def test_the_accountants_agree_within_their_known_gaps(
    sigma: float, rate: float, steps: int
) -> None:
    events = [SubsampledGaussian(sigma, rate, steps)]
    claimed = epsilon(events, DELTA)
    assert claimed <= rdp_epsilon(events, DELTA) <= 1.2 * claimed
    assert abs(prv_epsilon(events, DELTA) - claimed) <= 2.0 * EPSILON_ERROR


def test_the_accountants_agree_on_two_different_events() -> None:
    events = [SubsampledGaussian(1.5, 0.1, 50), SubsampledGaussian(2.0, 0.05, 100)]
    claimed = epsilon(events, DELTA)
    assert claimed <= rdp_epsilon(events, DELTA) <= 1.2 * claimed
    assert abs(prv_epsilon(events, DELTA) - claimed) <= 2.0 * EPSILON_ERROR


def test_without_the_slack_a_tiny_delta_would_be_claimed_too_low(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Which of them the transforms round down depends on the processor.
    exact = {n: analytic_gaussian(3.0 / math.sqrt(n), 1e-10) for n in (190, 200, 210, 300)}
    events = {n: [SubsampledGaussian(3.0, 1.0, n)] for n in exact}
    assert all(epsilon(events[n], 1e-10) >= exact[n] for n in exact)
    accounting_pld.pld_epsilon.cache_clear()
    monkeypatch.setattr(accounting_pld, "ROUNDING_SLACK", 0.0)
    assert any(epsilon(events[n], 1e-10) < exact[n] for n in exact)
    accounting_pld.pld_epsilon.cache_clear()
    assert ROUNDING_SLACK > 0.0


def test_the_interval_grows_with_the_loss_and_ends_in_infinity() -> None:
    def interval(sigma: float, steps: int) -> float:
        event = SubsampledGaussian(sigma, 0.5, steps)
        return accounting_pld.interval((event,), DELTA, Relation.ADD_REMOVE)

    assert interval(3.0, 100) == FINEST_INTERVAL
    assert interval(0.5, 100) == pytest.approx(10 * FINEST_INTERVAL)
    assert interval(0.5, 1000) == pytest.approx(100 * FINEST_INTERVAL)
    assert interval(0.01, 10**6) == math.inf


@pytest.mark.parametrize(("sigma", "steps"), [(0.01, 10**6), (0.02, 1), (0.5, 2**31), (1e-200, 1)])
def test_a_hostile_proposal_cannot_exhaust_the_site(sigma: float, steps: int) -> None:
    started = time.process_time()
    assert epsilon([SubsampledGaussian(sigma, 0.5, steps)], DELTA) > 1000.0
    assert time.process_time() - started < 10.0


def test_a_coarser_interval_is_still_an_upper_bound() -> None:
    exact = analytic_gaussian(0.05, DELTA)
    assert exact > 200.0
    assert exact <= epsilon([SubsampledGaussian(0.05, 1.0, 1)], DELTA) <= 1.001 * exact


def test_nothing_costs_nothing_and_no_guarantee_costs_everything() -> None:
    good = SubsampledGaussian(5.0, 0.1, 10)
    for bound in (epsilon, rdp_epsilon, prv_epsilon):
        assert bound([], DELTA) == 0.0
        assert bound([NoGuarantee()], DELTA) == math.inf
        assert bound([good, NoGuarantee(), good], DELTA) == math.inf
    assert epsilon([SubsampledGaussian(1e-4, 0.1, 1)], DELTA) == math.inf


def test_steps_in_parts_cost_what_they_cost_together() -> None:
    parts = [SubsampledGaussian(2.0, 0.1, steps) for steps in (3, 4, 13)]
    assert epsilon(parts, DELTA) == epsilon([SubsampledGaussian(2.0, 0.1, 20)], DELTA)


def test_the_order_of_events_does_not_matter() -> None:
    one, other = SubsampledGaussian(2.0, 0.1, 5), SubsampledGaussian(3.0, 0.2, 5)
    assert epsilon([one, other], DELTA) == epsilon([other, one], DELTA)


@settings(max_examples=6, deadline=None)
@given(
    st.floats(min_value=2.0, max_value=20.0),
    st.floats(min_value=0.01, max_value=1.0),
    st.integers(min_value=1, max_value=20),
)
def test_less_noise_more_steps_and_a_smaller_delta_cost_more(
    sigma: float, rate: float, steps: int
) -> None:
    base = epsilon([SubsampledGaussian(sigma, rate, steps)], DELTA)
    assert epsilon([SubsampledGaussian(sigma / 1.1, rate, steps)], DELTA) > base
    assert epsilon([SubsampledGaussian(sigma, rate, 2 * steps)], DELTA) > base
    assert epsilon([SubsampledGaussian(sigma, rate, steps)], DELTA / 10.0) > base


@pytest.mark.parametrize(
    ("target", "rate", "steps"),
    [(8.0, 0.1, 300), (1.0, 0.1, 200), (0.1, 1.0, 1), (0.05, 0.01, 5)],
)
def test_a_calibrated_sigma_meets_its_target_and_hardly_less_would(
    target: float, rate: float, steps: int
) -> None:
    started = time.process_time()
    sigma = calibrate_sigma(target, DELTA, rate, steps)
    assert time.process_time() - started < 10.0
    assert epsilon([SubsampledGaussian(sigma, rate, steps)], DELTA) <= target
    less = sigma * (1.0 - SIGMA_TOLERANCE)
    assert epsilon([SubsampledGaussian(less, rate, steps)], DELTA) > target


def test_calibration_under_replace_one_needs_more_noise() -> None:
    sigma = calibrate_sigma(2.0, DELTA, 0.1, 10, relation=Relation.REPLACE_ONE)
    event = SubsampledGaussian(sigma, 0.1, 10)
    assert epsilon([event], DELTA, relation=Relation.REPLACE_ONE) <= 2.0
    assert sigma > calibrate_sigma(2.0, DELTA, 0.1, 10)


@pytest.mark.parametrize("target", [0.0, -1.0, 1e5, math.inf, math.nan])
def test_a_target_that_no_noise_meets_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match="epsilon"):
        calibrate_sigma(target, DELTA, 0.1, 10)


def test_a_target_out_of_proportion_is_refused() -> None:
    with pytest.raises(ConfigError, match="out of all proportion"):
        calibrate_sigma(1e-13, DELTA, 1.0, 1)


@pytest.mark.parametrize(
    ("delta", "rate", "steps"),
    [(0.0, 0.1, 1), (1.0, 0.1, 1), (1e-11, 0.1, 1), (DELTA, 0.0, 1), (DELTA, 0.1, 0)],
)
def test_calibration_refuses_what_cannot_be_accounted(
    delta: float, rate: float, steps: int
) -> None:
    with pytest.raises(ConfigError):
        calibrate_sigma(1.0, delta, rate, steps)


def test_a_meaningless_delta_is_refused_by_every_accountant() -> None:
    for bound in (epsilon, rdp_epsilon, prv_epsilon):
        with pytest.raises(ConfigError, match="delta"):
            bound([], 0.0)


def test_importing_the_accountant_imports_nothing_heavy() -> None:
    code = (
        "import sys, privacy.accounting, privacy.events\n"
        "heavy = {'dp_accounting', 'opacus', 'torch', 'scipy', 'numpy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
