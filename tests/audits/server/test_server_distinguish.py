"""Telling members from controls: every verdict, its power, and how often a true claim alarms."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from synthetic_sums import RUNS, Mechanism

from audits.findings import Point, Series, SeriesKind, Verdict, Window
from audits.server import distinguish as gate
from audits.server.distinguish import Claimed, canaries_for, distinguish, roc_of
from audits.statistics.gaussian_dp import epsilon_of_mu, mu_of_epsilon
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

DELTA = 1e-5
UNLUCKY = 1e-4


def gaussian(canaries: int, mu: float, noise: float = 1.0) -> Mechanism:
    """Return the Gaussian mechanism at `mu`, whose noise is `noise` times what it should be."""
    return Mechanism(
        sums=1, canaries=canaries, alone=2, rate=1.0, deviation=1 / mu, noise=noise, part=1.0
    )


@pytest.fixture
def without_plots_and_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """They decide nothing, and take most of the time."""
    series = Series(kind=SeriesKind.ROC, name="none", points=(Point(x=1.0, y=1.0),))
    monkeypatch.setattr(gate, "_one_run", lambda *_: ((), 1.0))
    monkeypatch.setattr(gate, "roc_of", lambda _: series)
    monkeypatch.setattr(gate, "_power", lambda *_: series)


def test_a_claim_that_holds_is_not_refuted_and_says_what_it_could_have_refuted() -> None:
    found = distinguish(gaussian(1000, 1.0).draw(), Claimed(8.0, DELTA), Window.SITE)
    assert found.verdict is Verdict.NOT_REFUTED
    assert (found.window, found.samples) == (Window.SITE, 1000)
    assert found.statistic is not None
    assert found.statistic.limit == 8.0
    assert found.statistic.interval is not None
    low, high = found.statistic.interval
    assert low < epsilon_of_mu(1.0, DELTA) < high
    assert found.ceiling is not None
    assert 3 < found.ceiling < 8
    ceilings = [each.ceiling for each in found.details if "at least" in each.name]
    assert max(ceiling or 0 for ceiling in ceilings) == found.ceiling
    [power] = [each for each in found.series if each.kind is SeriesKind.POWER]
    noticed = [point.y for point in power.points]
    assert noticed == sorted(noticed)
    assert noticed[0] < 1e-4
    assert noticed[-1] > 0.99
    assert not [each for each in found.series if each.kind is SeriesKind.EPSILON_MEASURED]


def test_what_was_measured_is_drawn_where_as_much_is_spent() -> None:
    found = distinguish(gaussian(1000, 1.0).draw(), Claimed(8.0, DELTA), until=12.5)
    [measured] = [each for each in found.series if each.kind is SeriesKind.EPSILON_MEASURED]
    [point] = measured.points
    assert found.statistic is not None
    assert (point.x, point.y) == (12.5, found.statistic.value)
    assert (point.low, point.high) == found.statistic.interval
    silent = replace(gaussian(1000, 1.0, noise=0.0)).draw()
    found = distinguish(silent, Claimed(8.0, DELTA), until=12.5)
    assert not [each for each in found.series if each.kind is SeriesKind.EPSILON_MEASURED]


def test_a_claim_below_what_leaks_is_violated_in_spite_of_the_ceiling_of_one_run_bounds() -> None:
    found = distinguish(gaussian(1000, 4.0).draw(), Claimed(8.0, DELTA))
    assert found.verdict is Verdict.VIOLATED
    bounds = [each.value for each in found.details if "at least" in each.name]
    assert len(bounds) == 3
    assert found.ceiling is not None
    assert max(value or 0 for value in bounds) <= found.ceiling < 8


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_without_noise_the_claim_is_violated_and_no_number_is_made_up(rate: float) -> None:
    """Also where most members are in no sum, so that their scores are those of controls."""
    sums = replace(gaussian(1000, 1.0, noise=0.0), rate=rate).draw()
    found = distinguish(sums, Claimed(8.0, DELTA))
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert found.statistic.value is None
    nothing = distinguish(replace(sums, sums=np.zeros_like(sums.sums)), Claimed(8.0, DELTA))
    assert nothing.verdict is Verdict.NOT_REFUTED


@pytest.mark.parametrize("canaries", [4, 10, 40])
def test_few_canaries_are_inconclusive(canaries: int) -> None:
    for seed in range(20):
        found = distinguish(gaussian(canaries, 1.0).draw(seed), Claimed(8.0, DELTA))
        assert found.verdict is Verdict.INCONCLUSIVE


def test_two_canaries_are_refused() -> None:
    with pytest.raises(ConfigError, match="take more canaries"):
        distinguish(gaussian(2, 1.0).draw(), Claimed(8.0, DELTA))


@pytest.mark.usefixtures("without_plots_and_bounds")
@pytest.mark.parametrize("epsilon", [1.0, 4.0, 8.0])
def test_so_many_canaries_are_enough(epsilon: float) -> None:
    claimed, allowed = Claimed(epsilon, DELTA), mu_of_epsilon(epsilon, DELTA)
    canaries = canaries_for(epsilon, DELTA)
    right = [distinguish(s, claimed).verdict for s in gaussian(canaries, allowed).drawn_often(60)]
    assert set(right) == {Verdict.NOT_REFUTED}
    weak = gaussian(canaries, allowed, noise=1 / math.sqrt(2)).drawn_often()
    noticed = sum(distinguish(sums, claimed).verdict is Verdict.VIOLATED for sums in weak)
    assert noticed >= stats.binom.ppf(UNLUCKY, RUNS, 0.5)
    fewer = gaussian(canaries // 3, allowed).drawn_often(60)
    assert {distinguish(sums, claimed).verdict for sums in fewer} == {Verdict.INCONCLUSIVE}


@pytest.mark.parametrize("epsilon", [0.2, 1.0, 8.0])
def test_a_smaller_epsilon_takes_more_canaries(epsilon: float) -> None:
    assert canaries_for(epsilon / 2, DELTA) > canaries_for(epsilon, DELTA) > 100


@pytest.mark.usefixtures("without_plots_and_bounds")
@pytest.mark.parametrize("mu", [0.3, 1.0, 3.0])
def test_a_claim_that_is_just_true_alarms_as_often_as_said(
    monkeypatch: pytest.MonkeyPatch, mu: float
) -> None:
    claimed = Claimed(epsilon_of_mu(mu, DELTA), DELTA)
    tight = gaussian(400, mu)
    strict = [distinguish(sums, claimed).verdict for sums in tight.drawn_often()]
    assert Verdict.VIOLATED not in strict
    monkeypatch.setattr(gate, "GATE_SIGNIFICANCE", 0.05)
    loose = [distinguish(sums, claimed).verdict for sums in tight.drawn_often()]
    low, high = stats.binom.ppf([UNLUCKY, 1 - UNLUCKY], RUNS, 0.05)
    assert low <= loose.count(Verdict.VIOLATED) <= high


def test_sampled_members_stay_below_what_their_epsilon_allows() -> None:
    """The mean shift of a score is q sqrt(T) / s: below the mu that the accountant's epsilon is of.

    q 0.1, T 100, s 0.8 cost epsilon 8 or so at delta 1e-5.
    """
    sampled = Mechanism(sums=100, canaries=1000, alone=2, rate=0.1, deviation=0.8)
    found = distinguish(sampled.draw(), Claimed(8.0, DELTA))
    assert found.verdict is Verdict.NOT_REFUTED


def test_a_roc_rises_within_its_band() -> None:
    rng = np.random.default_rng(0)
    series = roc_of(CanaryScores.of(rng.normal(1, 1, 300), rng.normal(0, 1, 300)))
    assert series.kind is SeriesKind.ROC
    x = [point.x for point in series.points]
    y = [point.y for point in series.points]
    assert x == sorted(set(x))
    assert y == sorted(y)
    assert 0 < x[0] <= 1 / 100
    assert x[-1] == 1.0
    for point in series.points:
        assert point.low is not None
        assert point.high is not None
        assert point.low <= point.y <= point.high


def test_scores_that_are_all_alike_have_a_roc_of_one_point() -> None:
    series = roc_of(CanaryScores.of(np.zeros(5), np.zeros(5)))
    assert [(point.x, point.y) for point in series.points] == [(1.0, 1.0)]
