"""Sums that cannot be evidence are refused, and those that can are read as they were seen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from synthetic_sums import Mechanism

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.server.evidence import NoisedSums

SUMS = Mechanism(sums=3, canaries=6, alone=4).draw()

REFUSED: dict[str, tuple[Callable[[NoisedSums], dict[str, Any]], str]] = {
    "a sum that was not observed": (lambda s: {"observed": s.observed[:2]}, "do not fit"),
    "a canary that was not observed": (lambda s: {"observed": s.observed[:, :5]}, "do not fit"),
    "a canary without a coordinate": (lambda s: {"coordinates": s.coordinates[:5]}, "do not fit"),
    "two canaries in one place": (lambda s: {"coordinates": s.coordinates // 2}, "share"),
    "a canary outside": (lambda s: {"coordinates": s.coordinates + 5}, "coordinate"),
    "no place without one": (lambda s: {"sums": s.sums[:, :6]}, "Every coordinate has a canary"),
    "nothing sampled": (lambda _: {"rate": 0.0}, "no mechanism"),
    "more than everything sampled": (lambda _: {"rate": 1.1}, "no mechanism"),
    "no noise said": (lambda _: {"deviation": 0.0}, "no mechanism"),
    "a number that is none": (lambda s: {"sums": s.sums * np.nan}, "not finite"),
    "an infinite one": (lambda s: {"sums": s.sums + np.inf}, "not finite"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_evidence_is_refused(what: str) -> None:
    change, said = REFUSED[what]
    with pytest.raises(ConfigError, match=said):
        replace(SUMS, **change(SUMS))


def test_a_part_is_what_its_own_sums_hold_on_its_own_coordinate() -> None:
    rng = np.random.default_rng(3)
    order = rng.permutation(10)[:6]
    sums = replace(SUMS, coordinates=order, observed=rng.random((3, 6)) < 0.5)
    members, controls = [], []
    for canary, place in enumerate(order):
        seen = [sums.sums[j, place] for j in range(3) if sums.observed[j, canary]]
        (members if sums.members[canary] else controls).extend(seen)
    assert sorted(sums.parts_of(members=True)) == sorted(members)
    assert sorted(sums.parts_of(members=False)) == sorted(controls)
    alone = [sums.sums[j, place] for j in range(3) for place in range(10) if place not in order]
    assert sorted(sums.noise.ravel()) == sorted(alone)


def test_a_score_is_the_mean_over_the_sums_that_observe_it() -> None:
    observed = SUMS.observed.copy()
    observed[1:, 0] = False
    observed[:, 3] = False
    scores = replace(SUMS, observed=observed).scores()
    assert SUMS.sums[0, 0] in scores.members
    assert scores.members.size == 3
    assert scores.controls.size == 2
    assert scores.controls.tolist() == sorted(SUMS.sums[:, place].mean() for place in (1, 5))


@pytest.mark.parametrize("members", [0, 1, 5, 6])
def test_one_member_or_control_tells_nothing_apart(members: int) -> None:
    with pytest.raises(ConfigError, match="take more canaries"):
        replace(SUMS, members=np.arange(6) < members).scores()


def test_sums_are_not_shown() -> None:
    assert "sums" not in repr(SUMS)
