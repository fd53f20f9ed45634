"""Members' mean score against what was configured: verdicts, power, and how often it alarms."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats
from synthetic_sums import RUNS, Mechanism

from audits.findings import Point, Series, SeriesKind, Verdict, Window
from audits.server import distinguish as gate
from audits.server.distinguish import (
    Accounted,
    Claimed,
    canaries_for,
    distinguish,
    roc_of,
)
from audits.statistics.gaussian_dp import epsilon_of_mu
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from audits.findings import Finding

DELTA = 1e-5
UNLUCKY = 1e-4
TOO_SMALL = math.sqrt(0.5)


def gaussian(canaries: int, mu: float, noise: float = 1.0) -> Mechanism:
    """Return the Gaussian mechanism at `mu`, whose noise is `noise` times what it should be."""
    return Mechanism(
        sums=1, canaries=canaries, alone=2, rate=1.0, deviation=1 / mu, noise=noise, part=1.0
    )


def sampled(canaries: int = 1000, noise: float = 1.0, multiplier: float = 1.4) -> Mechanism:
    """Return a mechanism that samples a tenth, a hundred times."""
    return Mechanism(
        sums=100, canaries=canaries, alone=2, rate=0.1, deviation=multiplier, noise=noise
    )


def accounted(mechanism: Mechanism) -> Accounted:
    """Return what is said of `mechanism`, sampling apart by the mu of its scores' shift.

    That is no accountant of sampled mechanisms; none is needed to test what is done with one.
    """

    def epsilon_at(multiplier: float) -> float:
        return epsilon_of_mu(mechanism.rate * mechanism.sums**0.5 / multiplier, DELTA)

    claimed = Claimed(epsilon_at(mechanism.deviation), DELTA)
    return Accounted(claimed, mechanism.deviation, epsilon_at)


def judged(mechanism: Mechanism, seed: int = 0) -> Finding:
    return distinguish(mechanism.draw(seed), accounted(mechanism))


def violations(mechanism: Mechanism, runs: int = RUNS) -> int:
    said = accounted(mechanism)
    found = [distinguish(sums, said).verdict for sums in mechanism.drawn_often(runs)]
    return found.count(Verdict.VIOLATED)


@pytest.fixture
def without_plots_and_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """They decide nothing, and take most of the time."""
    series = Series(kind=SeriesKind.ROC, name="none", points=(Point(x=1.0, y=1.0),))
    monkeypatch.setattr(gate, "_one_run", lambda *_: ((), 1.0))
    monkeypatch.setattr(gate, "roc_of", lambda _: series)
    monkeypatch.setattr(gate, "_power", lambda *_: [])


@pytest.mark.parametrize("mechanism", [gaussian(1000, 1.0), sampled()])
def test_a_mechanism_as_configured_is_not_refuted_and_says_what_would_be(
    mechanism: Mechanism,
) -> None:
    said = accounted(mechanism)
    found = distinguish(mechanism.draw(), said, Window.SITE)
    assert found.verdict is Verdict.NOT_REFUTED
    assert (found.window, found.samples) == (Window.SITE, 1000)
    assert "would have been noticed with a probability of" in found.reason
    # What was measured is the claim, but for chance.
    assert found.statistic is not None
    assert found.statistic.limit == said.claimed.epsilon
    assert found.statistic.interval is not None
    low, high = found.statistic.interval
    assert low < said.claimed.epsilon < high
    distance = found.details[0]
    shift = mechanism.rate * mechanism.sums**0.5 / mechanism.deviation
    assert distance.value == pytest.approx(shift, abs=0.25)
    assert distance.limit is not None
    assert shift < distance.limit < shift * 1.5
    ceilings = [each.ceiling for each in found.details if "at least" in each.name]
    assert max(ceiling or 0 for ceiling in ceilings) == found.ceiling
    assert not [each for each in found.series if each.kind is SeriesKind.EPSILON_MEASURED]


@pytest.mark.parametrize("mechanism", [gaussian(1000, 1.0), sampled()])
def test_noise_too_small_by_sqrt_2_is_violated_and_measured(mechanism: Mechanism) -> None:
    found = judged(replace(mechanism, noise=TOO_SMALL))
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert found.statistic.interval is not None
    low, high = found.statistic.interval
    assert low < accounted(mechanism).epsilon_at(mechanism.deviation * TOO_SMALL) < high


@pytest.mark.parametrize("part", [1.5, 2.0])
def test_parts_that_are_longer_than_the_clip_are_violated(part: float) -> None:
    assert judged(replace(gaussian(2000, 1.0), part=part)).verdict is Verdict.VIOLATED


def test_sampling_more_often_than_was_accounted_for_is_violated() -> None:
    often = sampled()
    sums = replace(replace(often, rate=0.15).draw(), rate=often.rate)
    assert distinguish(sums, accounted(often)).verdict is Verdict.VIOLATED


def test_what_was_measured_is_drawn_where_as_much_is_spent() -> None:
    right = gaussian(1000, 1.0)
    found = distinguish(right.draw(), accounted(right), until=12.5)
    [measured] = [each for each in found.series if each.kind is SeriesKind.EPSILON_MEASURED]
    [point] = measured.points
    assert found.statistic is not None
    assert (point.x, point.y) == (12.5, found.statistic.value)
    assert (point.low, point.high) == found.statistic.interval
    silent = replace(right, noise=0.0)
    found = distinguish(silent.draw(), accounted(silent), until=12.5)
    assert not [each for each in found.series if each.kind is SeriesKind.EPSILON_MEASURED]


def test_large_claims_are_violated_in_spite_of_the_ceiling_of_one_run_bounds() -> None:
    found = judged(gaussian(1000, 2.5, noise=0.5))
    assert found.statistic is not None
    assert (found.statistic.limit or 0) > 10
    assert found.verdict is Verdict.VIOLATED
    bounds = [each.value for each in found.details if "at least" in each.name]
    assert len(bounds) == 3
    assert found.ceiling is not None
    assert max(value or 0 for value in bounds) <= found.ceiling < 8


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_without_noise_the_claim_is_violated_and_no_number_is_made_up(rate: float) -> None:
    """Also where most members are in no sum, so that their scores are those of controls."""
    silent = replace(gaussian(1000, 1.0, noise=0.0), rate=rate)
    sums, said = silent.draw(), accounted(silent)
    found = distinguish(sums, said)
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert (found.statistic.value, found.statistic.interval) == (None, None)
    assert found.details[0].value is None
    nothing = distinguish(replace(sums, sums=np.zeros_like(sums.sums)), said)
    assert nothing.verdict is not Verdict.VIOLATED


def test_next_to_no_noise_is_violated_where_the_accountant_says_no_epsilon() -> None:
    nearly = gaussian(1000, 1.0, noise=1e-7)
    said = replace(accounted(nearly), epsilon_at=lambda s: math.inf if s < 0.5 else 1 / s)
    found = distinguish(nearly.draw(), said, until=3.0)
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert (found.statistic.value, found.statistic.interval) == (None, None)
    [power] = [each for each in found.series if each.kind is SeriesKind.POWER]
    assert power.points[-1].x <= 2


def test_members_that_are_nowhere_leak_nothing() -> None:
    absent = replace(gaussian(1000, 1.0), part=-2.0)
    found = judged(absent)
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.statistic is not None
    assert (found.statistic.value, found.statistic.interval) == (0.0, (0.0, 0.0))


@pytest.mark.usefixtures("without_plots_and_bounds")
@pytest.mark.parametrize("canaries", [4, 10, 40])
def test_few_canaries_are_inconclusive(canaries: int) -> None:
    for seed in range(20):
        found = judged(gaussian(canaries, 1.0), seed)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert "on so few canaries" in found.reason


def test_two_canaries_are_refused_and_canaries_of_different_numbers_of_sums() -> None:
    with pytest.raises(ConfigError, match="take more canaries"):
        judged(gaussian(2, 1.0))
    sums = sampled(canaries=10).draw()
    observed = sums.observed.copy()
    observed[:40, 3] = False
    with pytest.raises(ConfigError, match=r"in 60, 100 sums"):
        distinguish(replace(sums, observed=observed), accounted(sampled()))


@pytest.mark.usefixtures("without_plots_and_bounds")
@pytest.mark.parametrize("mu", [0.3, 1.0, 2.0])
def test_so_many_canaries_are_enough(mu: float) -> None:
    canaries = canaries_for(1.0, 1, 1 / mu)
    right = gaussian(canaries, mu)
    assert {judged(right, seed).verdict for seed in range(40)} == {Verdict.NOT_REFUTED}
    noticed = violations(replace(right, noise=TOO_SMALL))
    assert noticed >= stats.binom.ppf(UNLUCKY, RUNS, 0.5)
    assert judged(gaussian(canaries // 2, mu)).verdict is Verdict.INCONCLUSIVE


def test_a_smaller_shift_takes_more_canaries_and_so_does_sampling() -> None:
    for shift in (0.1, 0.3, 1.0):
        assert canaries_for(1.0, 1, 2 / shift) > canaries_for(1.0, 1, 1 / shift) > 100
    # The same shift, by fewer sums that hold less noise: members vary by more.
    assert canaries_for(0.1, 100, 0.5) > canaries_for(1.0, 1, 0.5) == canaries_for(1.0, 4, 1.0)


@pytest.mark.usefixtures("without_plots_and_bounds")
@pytest.mark.parametrize(
    "mechanism",
    [
        gaussian(400, 0.3),
        gaussian(400, 3.0),
        Mechanism(sums=8, canaries=300, alone=2, rate=0.1, deviation=0.3),
    ],
)
def test_a_mechanism_as_configured_alarms_as_often_as_said(
    monkeypatch: pytest.MonkeyPatch, mechanism: Mechanism
) -> None:
    assert violations(mechanism, 60) == 0
    monkeypatch.setattr(gate, "GATE_SIGNIFICANCE", 0.05)
    low, high = stats.binom.ppf([UNLUCKY, 1 - UNLUCKY], RUNS, 0.05)
    assert low <= violations(mechanism) <= high
    # One with more noise than was configured alarms less often.
    assert violations(replace(mechanism, noise=1.3), 60) <= 60 * 0.05


@pytest.mark.usefixtures("without_plots_and_bounds")
def test_members_vary_by_their_sampling_and_the_gate_would_alarm_if_it_forgot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The defence removed: held against members that are in every sum as much as in a tenth."""
    loud = Mechanism(sums=8, canaries=300, alone=2, rate=0.1, deviation=0.1)
    monkeypatch.setattr(gate, "GATE_SIGNIFICANCE", 0.05)
    high = stats.binom.ppf(1 - UNLUCKY, RUNS, 0.05)
    assert violations(loud) <= high
    original = gate._mechanism

    def certain(*arguments: object) -> object:
        configured = original(*arguments)  # type: ignore[arg-type] # passed on as they are
        return replace(configured, rate=1.0, multiplier=configured.multiplier / configured.rate)

    monkeypatch.setattr(gate, "_mechanism", certain)
    assert violations(loud) > high


@pytest.mark.parametrize("mechanism", [gaussian(600, 1.0), sampled(canaries=600)])
def test_the_power_curve_is_how_often_smaller_noise_is_violated(
    monkeypatch: pytest.MonkeyPatch, mechanism: Mechanism
) -> None:
    monkeypatch.setattr(gate, "_POWER_FACTORS", (0.5, 1.0, 1.25, 1.4, 1.6, 3.0, 6.0))
    said = accounted(mechanism)
    [power] = [
        each for each in distinguish(mechanism.draw(), said).series if each.kind is SeriesKind.POWER
    ]
    by_epsilon = {point.x: point.y for point in power.points}
    noticed = list(by_epsilon.values())
    assert noticed == sorted(noticed)
    assert by_epsilon[said.claimed.epsilon] == pytest.approx(1e-4, rel=0.01)
    # Where it is certain it ends: at three times the claimed multiplier, not at six.
    assert max(by_epsilon) == said.epsilon_at(mechanism.deviation / 3)
    monkeypatch.setattr(gate, "_one_run", lambda *_: ((), 1.0))
    monkeypatch.setattr(gate, "_power", lambda *_: [])
    monkeypatch.setattr(gate, "roc_of", lambda _: power)
    runs = 60 if mechanism.sums > 1 else RUNS
    for factor in (1.25, 1.4):
        told = by_epsilon[said.epsilon_at(mechanism.deviation / factor)]
        low, high = stats.binom.ppf([UNLUCKY, 1 - UNLUCKY], runs, told)
        assert low <= violations(replace(mechanism, noise=1 / factor), runs) <= high


@pytest.mark.usefixtures("without_plots_and_bounds")
def test_leakage_of_a_few_members_is_averaged_away() -> None:
    """What the gate does not show: a tenth of the members in every sum, the others in none."""
    right = sampled(multiplier=0.9)
    sums = right.draw()
    members = np.flatnonzero(sums.members)
    same = replace(right, rate=1.0, part=0.0).draw().sums.copy()
    same[:, members[: members.size // 10]] += 1.0
    found = distinguish(replace(sums, sums=same), accounted(right))
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
