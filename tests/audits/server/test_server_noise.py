"""The noise's scale and freshness: every verdict, edge cases, and its false alarms."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats
from synthetic_sums import RUNS, Mechanism

from audits.findings import Basis, Verdict, Window
from audits.server import noise_reuse as reuse
from audits.server import noise_scale as scale
from audits.server.noise_reuse import noise_reuse
from audits.server.noise_scale import noise_scale

if TYPE_CHECKING:
    from audits.findings import Finding

LEVEL = 0.05
UNLUCKY = 1e-4
"""The tests of false alarms fail on correct gates this seldom; their seeds are fixed."""


def alarms(findings: list[Finding]) -> int:
    return sum(finding.verdict is Verdict.VIOLATED for finding in findings)


def within(count: int, level: float = LEVEL) -> bool:
    """Return whether so many alarms of RUNS are what a probability of `level` explains."""
    low, high = stats.binom.ppf([UNLUCKY, 1 - UNLUCKY], RUNS, level)
    return bool(low <= count <= high)


# -- scale -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.5**0.5, 1.3, 2.0])
def test_noise_of_another_size_is_a_violation_that_names_its_size(factor: float) -> None:
    found = noise_scale(Mechanism(noise=factor).draw())
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(factor, rel=0.06)
    assert f"{found.statistic.value:.4g} times" in found.reason


def test_noise_of_the_right_size_is_not_refuted_and_canaries_do_not_count_as_noise() -> None:
    found = noise_scale(Mechanism(part=100.0).draw(seed=1), Window.SITE)
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.samples == 20 * 100
    assert (found.window, found.basis) == (Window.SITE, Basis.REHEARSAL)
    assert found.statistic is not None
    assert found.statistic.interval is not None
    low, high = found.statistic.interval
    assert low < 1 < high


def test_so_few_values_that_half_of_the_noise_would_pass_are_inconclusive() -> None:
    few = noise_scale(Mechanism(sums=1, alone=10).draw())
    assert few.verdict is Verdict.INCONCLUSIVE
    assert "take more" in few.reason
    # What it cannot notice in general it still says where it sees it.
    assert noise_scale(Mechanism(sums=1, alone=10, noise=0.01).draw()).verdict is Verdict.VIOLATED


def test_where_the_scale_says_not_refuted_noise_too_small_by_sqrt_2_is_noticed() -> None:
    """At the fewest values for which it says so, that is half of the time at least."""
    count = next(n for n in range(2, 1000) if scale._smallest_noticed(n) <= 2**0.5)
    assert noise_scale(Mechanism(sums=1, alone=count - 1).draw()).verdict is Verdict.INCONCLUSIVE
    weak = Mechanism(sums=1, alone=count, canaries=2, noise=0.5**0.5)
    found = alarms([noise_scale(sums) for sums in weak.drawn_often()])
    assert found >= stats.binom.ppf(UNLUCKY, RUNS, 0.5)


def test_the_scale_alarms_on_correct_noise_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right = Mechanism(sums=5, canaries=4)
    assert alarms([noise_scale(sums) for sums in right.drawn_often()]) == 0
    monkeypatch.setattr(scale, "_TAIL", LEVEL / 2)
    found = [noise_scale(sums) for sums in right.drawn_often()]
    assert within(alarms(found))
    small = sum(f.statistic is not None and (f.statistic.value or 0) < 1 for f in found)
    assert within(small, 0.5)


# -- reuse -----------------------------------------------------------------------------------------


def with_noise(mechanism: Mechanism, share: float, *, sign: float = 1.0) -> Finding:
    """Return what is said where the last sum has a share of the first one's noise."""
    sums = mechanism.draw()
    mixed = sums.sums.copy()
    mixed[-1] = sign * share * mixed[0] + (1 - share**2) ** 0.5 * mixed[-1]
    return noise_reuse(replace(sums, sums=mixed))


def test_fresh_noise_is_not_refuted_although_the_same_canaries_are_in_every_sum() -> None:
    found = noise_reuse(Mechanism(rate=1.0, part=100.0).draw())
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.samples == 20 * 19 // 2


@pytest.mark.parametrize("share", [1.0, 0.8])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_noise_that_two_sums_share_or_that_cancels_is_a_violation(
    share: float, sign: float
) -> None:
    found = with_noise(Mechanism(), share, sign=sign)
    assert found.verdict is Verdict.VIOLATED
    assert found.statistic is not None
    assert found.statistic.value == pytest.approx(share, abs=0.15)


def test_the_same_noise_at_another_scale_is_the_same_noise() -> None:
    sums = Mechanism(sums=2, canaries=4).draw()
    scaled = replace(sums, sums=np.stack([sums.sums[0], sums.sums[0] * 7]))
    assert noise_reuse(scaled).verdict is Verdict.VIOLATED


def test_one_sum_or_none_with_noise_or_few_coordinates_are_inconclusive() -> None:
    one = noise_reuse(Mechanism(sums=1).draw())
    assert (one.verdict, one.samples, one.statistic) == (Verdict.INCONCLUSIVE, 0, None)
    silent = noise_reuse(Mechanism(noise=0.0).draw())
    assert silent.verdict is Verdict.INCONCLUSIVE
    assert "no noise at all" in silent.reason
    sums = Mechanism(sums=4, alone=5).draw()
    same = noise_reuse(replace(sums, sums=np.repeat(sums.sums[:1], 4, axis=0)))
    assert same.verdict is Verdict.INCONCLUSIVE
    assert "even equal noise would pass" in same.reason


def test_one_silent_sum_does_not_hide_in_the_others() -> None:
    sums = Mechanism(sums=5).draw()
    silenced = sums.sums.copy()
    silenced[2] = 0
    assert noise_reuse(replace(sums, sums=silenced)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("count", [2, 8])
def test_the_pairs_alarm_on_fresh_noise_as_often_as_they_say(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    right = Mechanism(sums=count, canaries=4, alone=400)
    assert alarms([noise_reuse(sums) for sums in right.drawn_often()]) == 0
    monkeypatch.setattr(reuse, "GATE_SIGNIFICANCE", LEVEL)
    assert within(alarms([noise_reuse(sums) for sums in right.drawn_often()]))
