"""The clip probe: every verdict, exact tails, and how often correct clipping alarms."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from synthetic_sums import RUNS, Mechanism

from audits.findings import Verdict, Window
from audits.server import clip_probe as probe
from audits.server.clip_probe import clip_probe

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums

LEVEL = 0.05


@pytest.mark.parametrize("rate", [1.0, 0.5, 0.2])
def test_clipped_parts_are_not_refuted(rate: float) -> None:
    found = clip_probe(Mechanism(rate=rate).draw(), Window.SITE)
    assert found.verdict is Verdict.NOT_REFUTED
    assert (found.window, found.samples) == (Window.SITE, 20 * 100)
    assert found.statistic is not None
    assert found.statistic.interval is not None
    assert found.statistic.interval[0] < 1 < found.statistic.interval[1]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Mechanism(part=2.0), "what is summed is not clipped"),
        (Mechanism(part=-2.0), "what is summed is not clipped"),
        (Mechanism(part=1.15), "times its clipped gradient"),
        (Mechanism(part=0.5), "times its clipped gradient"),
        (Mechanism(part=0.0), "times its clipped gradient"),
        (Mechanism(control_part=0.1), "Records that are in no sum"),
        (Mechanism(control_part=-0.1), "Records that are in no sum"),
    ],
)
def test_what_is_not_clipped_not_sampled_or_mixed_is_a_violation(
    fault: Mechanism, said: str
) -> None:
    found = clip_probe(fault.draw())
    assert found.verdict is Verdict.VIOLATED
    assert said in found.reason


def test_a_single_long_part_among_many_is_found() -> None:
    sums = Mechanism(sums=20).draw()
    one = sums.sums.copy()
    one[3, 0] += 2.0
    assert clip_probe(replace(sums, sums=one)).verdict is Verdict.VIOLATED


def test_another_rate_than_the_stated_one_is_a_violation() -> None:
    sampled_often = Mechanism(rate=0.2).draw()
    assert clip_probe(replace(sampled_often, rate=0.1)).verdict is Verdict.VIOLATED


def test_little_evidence_is_inconclusive() -> None:
    few = clip_probe(Mechanism(sums=2, canaries=8, rate=0.1).draw())
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "take more" in few.reason
    sums = Mechanism().draw()
    for members in (np.ones(200, bool), np.zeros(200, bool)):
        one_sided = clip_probe(replace(sums, members=members))
        assert one_sided.verdict is Verdict.INCONCLUSIVE
        assert one_sided.samples == 0
    unseen = clip_probe(replace(sums, observed=np.zeros_like(sums.observed)))
    assert unseen.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.02])
def test_so_many_parts_as_are_asked_for_are_enough_and_fewer_are_not(rate: float) -> None:
    parts = probe.parts_for(rate, 0.2)
    enough = Mechanism(sums=1, canaries=2 * parts, alone=2, rate=rate)
    found = clip_probe(enough.draw())
    assert (found.verdict, found.samples) == (Verdict.NOT_REFUTED, parts)
    assert "would have been noticed" in found.reason
    fewer = clip_probe(replace(enough, canaries=2 * parts - 2).draw())
    assert fewer.verdict is Verdict.INCONCLUSIVE
    assert f"At a sampling rate of {rate:.3g} " in fewer.reason


def test_a_lower_rate_asks_for_more_parts_about_as_its_inverse() -> None:
    parts = [probe.parts_for(rate, 0.01) for rate in (0.04, 0.02, 0.01)]
    assert [more / few for few, more in pairwise(parts)] == pytest.approx([2, 2], rel=0.05)


@pytest.mark.parametrize("fault", [Mechanism(part=0.5), Mechanism(part=2.0)])
def test_what_decided_does_not_speak_of_sampling_as_tested(fault: Mechanism) -> None:
    """The mean alone cannot tell a shorter part from a lower rate."""
    assert "`sampling`" in clip_probe(Mechanism().draw()).reason
    reason = clip_probe(fault.draw()).reason
    assert "rate" not in reason or "is for `sampling` to say" in reason


@given(
    total=st.floats(-3, 25),
    count=st.integers(1, 20),
    rate=st.floats(0.01, 1.0),
    scale=st.floats(0.01, 2.0),
)
def test_tails_are_those_of_the_definition(
    total: float, count: int, rate: float, scale: float
) -> None:
    spread = scale * math.sqrt(count)
    below = above = 0.0
    for sampled in range(count + 1):
        chance = math.comb(count, sampled) * rate**sampled * (1 - rate) ** (count - sampled)
        away = (total - sampled) / (spread * math.sqrt(2))
        below += chance * math.erfc(-away) / 2
        above += chance * math.erfc(away) / 2
    found = probe._tails_of_sum(total, count, rate, scale)
    assert found == pytest.approx((below, above), rel=1e-6, abs=1e-12)
    assert sum(found) == pytest.approx(1)


def sampled_exactly(times: int) -> NoisedSums:
    """Return one sum of 1000 members at rate 0.01, of whom so many were sampled."""
    sums = Mechanism(sums=1, canaries=2000, rate=0.01, part=0.0, deviation=0.01).draw()
    whole = sums.sums.copy()
    whole[0, np.flatnonzero(sums.members)[:times]] += 1.0
    return replace(sums, sums=whole)


def test_few_sampled_members_have_no_gaussian_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 10 expected ones, 21 are more than a Gaussian explains at 0.001, and a binomial does."""
    monkeypatch.setattr(probe, "_TAIL", 1e-3)
    gaussian = stats.norm.sf((21 - 10) / math.sqrt(1000 * 0.01 * 0.99))
    assert gaussian < 1e-3 < stats.binom.sf(20, 1000, 0.01)
    assert clip_probe(sampled_exactly(21)).verdict is not Verdict.VIOLATED
    assert clip_probe(sampled_exactly(25)).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("rate", [1.0, 0.3, 0.02])
def test_correct_clipping_alarms_no_more_often_than_said(
    monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    right = Mechanism(sums=5, canaries=80, alone=2, rate=rate)
    assert all(clip_probe(sums).verdict is not Verdict.VIOLATED for sums in right.drawn_often())
    monkeypatch.setattr(probe, "_TAIL", LEVEL / 5)
    count = sum(clip_probe(sums).verdict is Verdict.VIOLATED for sums in right.drawn_often())
    assert 1 <= count <= stats.binom.isf(1e-4, RUNS, LEVEL)
