"""What colluding sites are left with: both gates' verdicts, their edges and their false alarms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats

from audits.findings import Basis, SeriesKind, Verdict, Window
from audits.server.distinguish import Accounted, Claimed
from audits.server.evidence import NoisedSums
from audits.site import collusion as gates
from audits.site.collusion import Collusion, colluding_noise, colluding_sites
from audits.statistics.gaussian_dp import epsilon_of_mu
from crypto.errors import ConfigError

FOUR = Collusion(cohort=4, drop_outs=0, colluders=1)
EIGHT = Collusion(cohort=8, drop_outs=1, colluders=2)
DELTA = 1e-5
RUNS = 300
LEVEL = 0.05
UNLUCKY = 1e-4


@dataclass(frozen=True)
class Left:
    """What is left: noise of `noise` times the promised deviation, and members' parts."""

    noise: float = 1.0
    sums: int = 20
    alone: int = 100
    canaries: int = 200
    part: float = 1.0
    deviation: float = 0.7

    def draw(self, seed: int = 0) -> NoisedSums:
        rng = np.random.default_rng(seed)
        members = np.arange(self.canaries) % 2 == 0
        shape = (self.sums, self.canaries + self.alone)
        drawn = rng.normal(0.0, self.deviation, shape) * self.noise
        drawn[:, : self.canaries] += self.part * members
        return NoisedSums(
            sums=drawn,
            observed=np.ones((self.sums, self.canaries), bool),
            members=members,
            coordinates=np.arange(self.canaries),
            rate=1.0,
            deviation=self.deviation,
        )


def test_the_promised_noise_is_not_refuted_and_canaries_do_not_count_as_noise() -> None:
    found = colluding_noise(Left(part=50.0).draw(seed=1), EIGHT)
    assert (found.gate, found.window, found.basis) == (gates.NOISE, Window.SITE, Basis.REHEARSAL)
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.samples == 20 * 100
    assert found.statistic is not None
    assert found.statistic.interval is not None
    low, high = found.statistic.interval
    assert low < 1 < high
    assert "With 2 colluding and 1 missing of 8 sites" in found.reason
    assert "0.8452 times" in found.reason


@pytest.mark.parametrize("who", [FOUR, EIGHT])
def test_shares_that_do_not_count_the_colluders_are_a_violation(who: Collusion) -> None:
    found = colluding_noise(Left(noise=who.unpaid).draw(), who)
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(who.unpaid, rel=0.05)
    assert f"{found.statistic.value:.4g} times" in found.reason


def test_the_unpaid_share_is_that_of_the_honest_sites_among_the_survivors() -> None:
    assert EIGHT.honest == 5
    assert EIGHT.unpaid == pytest.approx((5 / 7) ** 0.5)
    assert FOUR.unpaid == pytest.approx((3 / 4) ** 0.5)


def test_more_noise_than_promised_is_no_violation() -> None:
    """The test is one-sided: what is too much here is for noise-scale to say."""
    assert colluding_noise(Left(noise=2.0).draw(), FOUR).verdict is Verdict.NOT_REFUTED


def test_values_too_few_to_miss_the_colluders_shares_are_inconclusive() -> None:
    few = Left(sums=1, alone=40, canaries=4)
    found = colluding_noise(few.draw(), FOUR)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "take more rounds" in found.reason
    # What it cannot notice in general it still says where it sees it.
    silent = Left(noise=0.1, sums=1, alone=40, canaries=4)
    assert colluding_noise(silent.draw(), FOUR).verdict is Verdict.VIOLATED


def test_where_it_is_not_refuted_unpaid_shares_are_noticed_half_of_the_time() -> None:
    def fewest(alone: int) -> bool:
        left = Left(noise=5.0, sums=1, alone=alone, canaries=2)
        return colluding_noise(left.draw(), FOUR).verdict is Verdict.NOT_REFUTED

    alone = next(count for count in range(50, 2000, 10) if fewest(count))
    unpaid = Left(noise=FOUR.unpaid, sums=1, alone=alone, canaries=2)
    verdicts = [colluding_noise(unpaid.draw(seed), FOUR).verdict for seed in range(RUNS)]
    assert verdicts.count(Verdict.VIOLATED) >= stats.binom.ppf(UNLUCKY, RUNS, 0.5)


def test_the_promised_noise_alarms_as_often_as_the_gate_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Left(sums=5, canaries=4)

    def alarms() -> int:
        found = [colluding_noise(right.draw(seed), FOUR) for seed in range(RUNS)]
        return sum(each.verdict is Verdict.VIOLATED for each in found)

    assert alarms() == 0
    monkeypatch.setattr(gates, "GATE_SIGNIFICANCE", LEVEL)
    low, high = stats.binom.ppf([UNLUCKY, 1 - UNLUCKY], RUNS, LEVEL)
    assert low <= alarms() <= high


def accounted(multiplier: float) -> Accounted:
    """Return the Gaussian mechanism of noise `multiplier`."""

    def epsilon_at(other: float) -> float:
        return epsilon_of_mu(1 / other, DELTA)

    return Accounted(Claimed(epsilon_at(multiplier), DELTA), multiplier, epsilon_at)


@pytest.mark.parametrize(
    ("true_mu", "verdict"), [(1.0, Verdict.NOT_REFUTED), (3.0, Verdict.VIOLATED)]
)
def test_honest_sites_canaries_refute_a_claim_below_what_leaks(
    true_mu: float, verdict: Verdict
) -> None:
    left = Left(sums=1, canaries=1000, alone=2, deviation=1 / true_mu)
    found = colluding_sites(left.draw(), accounted(1 / 1.3), EIGHT)
    assert (found.gate, found.window, found.verdict) == (gates.SITES, Window.SITE, verdict)
    assert found.reason.startswith("With 2 colluding and 1 missing of 8 sites: Members' mean")
    assert found.samples == 1000
    assert [each.kind for each in found.series] == [SeriesKind.ROC]


def test_too_few_canaries_tell_nothing() -> None:
    with pytest.raises(ConfigError, match="tell nothing apart"):
        colluding_sites(Left(canaries=2).draw(), accounted(1.0), FOUR)
    few = colluding_sites(Left(canaries=20, deviation=5.0).draw(), accounted(5.0), FOUR)
    assert few.verdict is Verdict.INCONCLUSIVE
