"""Colluding sites are left with the honest sites' records and noise: all of it, nothing else.

Rounds are few; clip, shares and masks are those of an example at epsilon 8 among eight sites, of
which one is missing and two collude.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from audits.findings import Verdict
from audits.site.collusion import NOISE, SITES, Collusion
from benchmarks.audit_bugs import COLLUDERS_UNPAID
from benchmarks.audit_gates import colluding_mechanism
from crypto.errors import ConfigError
from crypto.masked_sum import LARGEST_COMPLETE
from crypto.secrets import system_entropy
from privacy.discrete_gaussian import SystemDiscreteNoise
from secure_fl.config import NoPrivacy, RecordPrivacy, SharedNoisePrivacy
from secure_fl.rehearsal import colluding
from secure_fl.rehearsal.colluding import colluding_plan, judge_colluding, rehearse_colluding
from secure_fl.rehearsal.masked_round import masked_sum
from secure_fl.rounds.encoding import Encoded, encoded_update

if TYPE_CHECKING:
    from audits.findings import Finding
    from audits.server.evidence import NoisedSums
    from secure_fl.config import Mechanism
    from secure_fl.rehearsal import Plan

MODES = ("record-distributed", "site")


@cache
def few_rounds(mode: str) -> Mechanism:
    mechanism = colluding_mechanism(mode, 8.0)
    training = mechanism.training.model_copy(update={"rounds": 8})
    return mechanism.model_copy(update={"training": training})


@pytest.fixture(scope="module")
def plans() -> dict[str, tuple[Plan, Collusion]]:
    planned = {mode: colluding_plan(few_rounds(mode)) for mode in MODES}
    plan, collusion = planned["site"]
    assert plan.rounds == 40
    return planned | {"site": (replace(plan, rounds=10), collusion)}


def left_in(plan: tuple[Plan, Collusion]) -> NoisedSums:
    return rehearse_colluding(*plan, lambda *_: None)


def found_in(plan: tuple[Plan, Collusion]) -> dict[str, Finding]:
    return {finding.gate: finding for finding in judge_colluding(*plan, left_in(plan))}


@pytest.mark.parametrize("mode", MODES)
def test_no_gate_alarms_on_shares_that_count_the_colluders(
    mode: str, plans: dict[str, tuple[Plan, Collusion]]
) -> None:
    found = found_in(plans[mode])
    if Verdict.VIOLATED in {finding.verdict for finding in found.values()}:
        # Their significance is one in ten thousand each: twice in a row is a defect.
        found = found_in(plans[mode])
    assert list(found) == [NOISE, SITES]
    assert found[NOISE].verdict is Verdict.NOT_REFUTED
    weak = Verdict.INCONCLUSIVE if mode == "site" else Verdict.NOT_REFUTED
    assert found[SITES].verdict is weak


@pytest.mark.parametrize("mode", MODES)
def test_shares_that_do_not_count_the_colluders_turn_the_gate_that_is_named(
    mode: str, plans: dict[str, tuple[Plan, Collusion]]
) -> None:
    with COLLUDERS_UNPAID.seeded(plans[mode][0]):
        found = found_in(plans[mode])
    noise = found[COLLUDERS_UNPAID.gate]
    assert noise.verdict is Verdict.VIOLATED
    assert noise.statistic is not None
    assert noise.statistic.value == pytest.approx((5 / 7) ** 0.5, rel=0.05)


@pytest.mark.parametrize("mode", MODES)
def test_without_noise_the_honest_sites_members_are_all_that_is_left(
    mode: str, plans: dict[str, tuple[Plan, Collusion]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The colluders' own records lie where no canary is, and are gone to the last step."""
    monkeypatch.setattr(
        SystemDiscreteNoise, "draw", lambda _, count: np.zeros(count, dtype=np.int64)
    )
    left = left_in(plans[mode])
    assert not left.noise.any()
    assert not left.parts_of(members=False).any()
    parts = left.parts_of(members=True)
    sampled = np.abs(parts) > 0.5
    assert parts[sampled] == pytest.approx(1.0, abs=0.01)
    assert not parts[~sampled].any()
    assert sampled.mean() == pytest.approx(left.rate, abs=0.05)
    # Sites that subtract nothing still find their own records in it.
    monkeypatch.setattr(colluding._Own, "total", lambda own: np.zeros_like(own._vector))
    assert left_in(plans[mode]).noise.any()


def test_all_of_the_colluders_noise_is_taken_away(
    plans: dict[str, tuple[Plan, Collusion]],
) -> None:
    """A sum of seven sites has sqrt(7 / 5) of the noise that is left of five."""
    plan = plans["record-distributed"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(colluding._Own, "total", lambda own: own._vector)
        records_alone = left_in(plan)
    ratio = records_alone.noise.std() / left_in(plan).noise.std()
    assert ratio == pytest.approx((7 / 5) ** 0.5, rel=0.05)


def test_masks_against_sites_that_drop_out_cancel_too() -> None:
    mechanism = few_rounds("record-distributed")
    rng = np.random.default_rng(0)
    vectors = [rng.normal(0, 0.1, 50).astype(np.float32) for _ in range(5)]
    encoded = [encoded_update(mechanism, each, 8, system_entropy).vector for each in vectors]
    plain = np.sum(encoded, axis=0, dtype=np.uint32)
    uploads = [Encoded(each.copy(), None, 0) for each in encoded]
    assert masked_sum(mechanism, 2, uploads, missing=3).tolist() == plain.tolist()


def test_the_plan_bears_what_the_run_says_it_bears(
    plans: dict[str, tuple[Plan, Collusion]],
) -> None:
    for mode in MODES:
        assert plans[mode][1] == Collusion(cohort=8, drop_outs=1, colluders=2)


def test_where_no_noise_is_shared_it_is_said_what_looks_at_it_instead() -> None:
    mechanism = few_rounds("record-distributed")
    table = mechanism.privacy.model_dump(exclude={"mode", "colluders", "drop_outs"})
    own = mechanism.model_copy(update={"privacy": RecordPrivacy(mode="record", **table)})
    with pytest.raises(ConfigError, match=r"Mode record.*gradient-canaries"):
        colluding_plan(own)
    none = mechanism.model_copy(update={"privacy": NoPrivacy(mode="none")})
    with pytest.raises(ConfigError, match="no privacy guarantee"):
        colluding_plan(none)


def test_more_colluders_than_a_rehearsal_has_sites_are_not_tried() -> None:
    mechanism = few_rounds("record-distributed")
    assert isinstance(mechanism.privacy, SharedNoisePrivacy)
    many = mechanism.privacy.model_copy(update={"colluders": LARGEST_COMPLETE})
    large = mechanism.model_copy(update={"sites": 1000, "privacy": many})
    with pytest.raises(ConfigError, match="100 of the run's 1000 sites"):
        colluding_plan(large)
