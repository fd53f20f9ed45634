"""How likely the headline gate is to notice more leakage than is claimed, beside simulated runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from audits.statistics.power import chance_to_refute, error_of_mu

MEMBERS, CONTROLS, ALPHA = 400, 600, 1e-2


def refuted(mu: float, allowed: float, rng: np.random.Generator) -> bool:
    """Run the test once, on scores that are drawn."""
    members, controls = rng.normal(mu, 1, MEMBERS), rng.normal(0, 1, CONTROLS)
    found = (members.mean() - controls.mean()) / controls.std(ddof=1)
    error = error_of_mu(found, MEMBERS, CONTROLS)
    return bool(found - stats.norm.isf(ALPHA) * error > allowed)


@pytest.mark.parametrize("mu", [1.0, 1.15, 1.25, 1.4])
def test_the_curve_is_how_often_simulated_runs_are_refuted(mu: float) -> None:
    rng = np.random.default_rng(11)
    often = np.mean([refuted(mu, 1.0, rng) for _ in range(2000)])
    told = chance_to_refute(mu, 1.0, members=MEMBERS, controls=CONTROLS, significance=ALPHA)
    assert often == pytest.approx(told, abs=0.03)


def test_a_true_claim_is_refuted_as_rarely_as_the_significance_says() -> None:
    for significance in (1e-2, 1e-4):
        told = chance_to_refute(
            1.0, 1.0, members=50_000, controls=50_000, significance=significance
        )
        assert told == pytest.approx(significance, rel=0.1)


def test_more_leakage_and_more_canaries_are_noticed_more_often() -> None:
    def told(mu: float, each: int) -> float:
        return chance_to_refute(mu, 1.0, members=each, controls=each, significance=1e-4)

    assert told(1.2, 200) < told(1.4, 200) < told(1.6, 200)
    assert told(1.4, 100) < told(1.4, 400) < told(1.4, 1600)


def test_so_few_canaries_that_nothing_would_be_enough() -> None:
    # The error grows with the estimate, and faster than it.
    assert chance_to_refute(1e3, 1.0, members=3, controls=3, significance=1e-4) == 0.0
    assert math.isfinite(error_of_mu(math.inf, 10, 10))
