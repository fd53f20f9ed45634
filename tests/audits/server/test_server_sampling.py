"""Sampling: every verdict, which fault has which sign, and how often correct sampling alarms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats
from synthetic_sums import RUNS, Mechanism

from audits.findings import Verdict, Window
from audits.server import sampling as gate
from audits.server.sampling import sampling

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums

LEVEL = 0.05
RATE = 0.1
PROBE = Mechanism(sums=40, canaries=200, rate=RATE, deviation=0.1)


def taking_part(parts: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> NoisedSums:
    """Return sums of PROBE in which members take part as said, (sums, members)."""
    sums = replace(PROBE, part=0.0).draw()
    whole = sums.sums.copy()
    whole[:, np.flatnonzero(sums.members)] += parts
    return replace(sums, sums=whole)


def test_independent_members_are_not_refuted_and_it_is_said_what_would_be_noticed() -> None:
    found = sampling(PROBE.draw(), Window.SITE)
    assert found.verdict is Verdict.NOT_REFUTED
    assert (found.window, found.samples) == (Window.SITE, 40 * 100)
    assert "would have been noticed" in found.reason
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(1, abs=0.3)
    by_sum, share = found.details
    assert by_sum.value == pytest.approx(1, abs=0.7)
    assert share.value == pytest.approx(RATE, abs=0.02)
    assert share.limit == RATE


@pytest.mark.parametrize(
    ("fault", "said", "by_member", "by_sum"),
    [
        ("shuffled", "take turns", 0.0, 0.0),
        ("same", "come back again", 40.0, 0.0),
        ("fixed size", "nearly of one size", 1.0, 0.0),
        ("all or none", "sampled together", 0.0, 100.0),
    ],
)
def test_sampling_that_is_not_independent_is_a_violation(
    fault: str, said: str, by_member: float, by_sum: float
) -> None:
    rng = np.random.default_rng(3)
    ranks = rng.random((40, 100)).argsort(axis=1)
    drawn = {
        "shuffled": (np.arange(100) + 10 * np.arange(40)[:, None]) % 100 < 10,
        "same": np.repeat(np.arange(100)[None] % 10 == 0, 40, axis=0),
        "fixed size": ranks < 10,
        "all or none": np.repeat(np.arange(40)[:, None] % 10 == 0, 100, axis=1),
    }
    found = sampling(taking_part(drawn[fault]))
    assert found.verdict is Verdict.VIOLATED
    assert said in found.reason
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(by_member, rel=0.3, abs=0.01)
    assert found.details[0].value == pytest.approx(by_sum, rel=0.3, abs=0.01)


@pytest.mark.parametrize("stated", [RATE / 2, RATE * 2])
def test_another_rate_than_the_stated_one_is_a_violation(stated: float) -> None:
    found = sampling(replace(PROBE.draw(), rate=stated))
    assert found.verdict is Verdict.VIOLATED
    assert "at another one" in found.reason


def test_a_member_counts_in_the_sums_that_observe_it_alone() -> None:
    """As under `record`, where a site's sums hold its own members: the others' zeros are none."""
    sums = PROBE.draw()
    observed = np.arange(40)[:, None] // 20 == np.arange(200) // 100
    whole = np.where(np.c_[observed, np.ones((40, 100), bool)], sums.sums, 0.0)
    halves = replace(sums, sums=whole, observed=observed)
    found = sampling(halves)
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.samples == 40 * 50
    everywhere = sampling(replace(halves, observed=np.ones_like(observed)))
    assert everywhere.verdict is Verdict.VIOLATED


def test_where_nothing_is_sampled_the_gate_is_not_run() -> None:
    found = sampling(replace(PROBE, rate=1.0).draw())
    assert (found.verdict, found.samples, found.statistic) == (Verdict.NOT_RUN, 0, None)
    assert "nothing is sampled" in found.reason


def test_little_evidence_or_much_noise_is_inconclusive() -> None:
    few = sampling(replace(PROBE, sums=4).draw())
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "take more" in few.reason
    noisy = sampling(replace(PROBE, deviation=0.5).draw())
    assert noisy.verdict is Verdict.INCONCLUSIVE
    assert "with less noise" in noisy.reason
    sums = PROBE.draw()
    nobody = sampling(replace(sums, members=np.zeros(200, bool)))
    assert (nobody.verdict, nobody.samples) == (Verdict.INCONCLUSIVE, 0)
    unseen = sampling(replace(sums, observed=np.zeros_like(sums.observed)))
    assert (unseen.verdict, unseen.samples) == (Verdict.INCONCLUSIVE, 0)


@pytest.mark.parametrize(("rate", "deviation"), [(0.5, 0.1), (0.1, 0.25), (0.02, 0.1)])
def test_correct_sampling_alarms_no_more_often_than_said(
    monkeypatch: pytest.MonkeyPatch, rate: float, deviation: float
) -> None:
    """Also where noise turns a reading in forty."""
    right = Mechanism(sums=12, canaries=60, alone=2, rate=rate, deviation=deviation)
    drawn = list(right.drawn_often())
    assert all(sampling(sums).verdict is not Verdict.VIOLATED for sums in drawn)
    monkeypatch.setattr(gate, "_TAIL", LEVEL / 6)
    alarms = sum(sampling(sums).verdict is Verdict.VIOLATED for sums in drawn)
    assert 1 <= alarms <= stats.binom.isf(1e-4, RUNS, LEVEL)
