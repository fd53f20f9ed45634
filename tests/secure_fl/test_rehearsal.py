"""A rehearsal alarms on every seeded fault, by the gate named for it, and never on correct code.

Rounds are few; clip, noise, masks and a thousand canaries (a site each, where the unit is a site)
are those of an example at epsilon 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from audits.findings import Verdict, Window
from audits.server.distinguish import GATE as HEADLINE
from benchmarks.audit_bugs import BUGS, SCRUBBING_OFF, bugs_of
from benchmarks.audit_gates import mechanism_of
from crypto.errors import ConfigError
from crypto.secrets import system_entropy
from domains.encoding import MicroBatch
from secure_fl.auditing.scrubbing_probe import probe_scrubbing
from secure_fl.config import NoPrivacy
from secure_fl.guarantee import claimed_epsilon
from secure_fl.rehearsal import Plan, judge, plan_of, rehearse_all
from secure_fl.rehearsal.canary_model import CanaryModel, CanaryTask, canary_record
from secure_fl.rehearsal.masked_round import masked_sum
from secure_fl.rehearsal.noised_sums import CANARIES, probe_of
from secure_fl.rounds.encoding import Encoded, encoded_update

if TYPE_CHECKING:
    from audits.findings import Finding
    from secure_fl.config import Mechanism

MODES = ("record", "record-distributed", "site")
GATES = {"gradient-canaries", "noise-scale", "noise-reuse", "clip-probe"}
FEW = {"record": 10, "record-distributed": 10, "site": 1}


def few_rounds(mode: str) -> Mechanism:
    mechanism = mechanism_of(mode, 8.0)
    shorter = {"rounds": FEW[mode], "local_steps": 1}
    training = mechanism.training.model_copy(update=shorter)
    return mechanism.model_copy(update={"training": training})


def small_plan(mode: str) -> Plan:
    return plan_of(few_rounds(mode), canaries=80 if mode == "site" else CANARIES)


PLANS = {mode: small_plan(mode) for mode in MODES}


def found_in(plan: Plan) -> dict[str, Finding]:
    """Return what every gate says of a rehearsal of `plan`."""
    return {finding.gate: finding for finding in judge(plan, rehearse_all(plan, lambda *_: None))}


@pytest.mark.parametrize("mode", MODES)
def test_no_gate_alarms_on_correct_code(mode: str) -> None:
    found = found_in(PLANS[mode])
    if Verdict.VIOLATED in {finding.verdict for finding in found.values()}:
        # Their significance is one in ten thousand each: twice in a row is a defect.
        found = found_in(PLANS[mode])
    assert set(found) == GATES
    verdicts = {gate: finding.verdict for gate, finding in found.items()}
    # A site is one canary in one round: so few do not refute the claim of a round.
    weak = Verdict.INCONCLUSIVE if mode == "site" else Verdict.NOT_REFUTED
    assert verdicts.pop(HEADLINE) is weak
    assert set(verdicts.values()) == {Verdict.NOT_REFUTED}
    window = Window.SITE if mode == "record" else Window.SERVER
    assert {finding.window for finding in found.values()} == {window}


@pytest.mark.parametrize(
    ("mode", "name"), [(mode, bug.name) for mode in MODES for bug in bugs_of(PLANS[mode])]
)
def test_every_fault_turns_the_gate_that_is_named_for_it(mode: str, name: str) -> None:
    plan = PLANS[mode]
    (bug,) = (each for each in BUGS if each.name == name)
    with bug.seeded(plan):
        found = found_in(plan)
    assert found[bug.gate].verdict is Verdict.VIOLATED


@pytest.mark.parametrize("mode", MODES)
def test_without_noise_the_headline_turns_too(mode: str) -> None:
    plan = PLANS[mode]
    with BUGS[0].seeded(plan):
        assert found_in(plan)[HEADLINE].verdict is Verdict.VIOLATED


def test_a_fault_is_gone_after_its_context() -> None:
    plan = PLANS["record"]
    for bug in BUGS:
        with bug.seeded(plan):
            pass
    assert found_in(plan)["clip-probe"].verdict is Verdict.NOT_REFUTED


# -- scrubbing -------------------------------------------------------------------------------------


def test_scrubbing_that_is_off_turns_its_gate_and_scrubbing_that_is_on_does_not() -> None:
    mechanism = mechanism_of("record", 8.0)
    data = mechanism.data.model_copy(update={"scrub": ("EMAIL_ADDRESS", "IBAN_CODE")})
    scrubs = mechanism.model_copy(update={"data": data})
    right = probe_scrubbing(scrubs, notes_per_kind=60)
    assert right.verdict is Verdict.NOT_REFUTED
    with SCRUBBING_OFF.seeded(PLANS["record"]):
        off = probe_scrubbing(scrubs, notes_per_kind=60)
    assert (off.gate, off.verdict) == (SCRUBBING_OFF.gate, Verdict.VIOLATED)
    assert "EMAIL_ADDRESS" in off.reason
    assert off.samples == right.samples > 0
    assert off.statistic is not None
    assert off.statistic.value == 1.0


def test_types_that_stand_in_too_few_notes_are_not_called_scrubbed() -> None:
    mechanism = mechanism_of("record", 8.0)
    data = mechanism.data.model_copy(update={"scrub": ("EMAIL_ADDRESS",)})
    few = probe_scrubbing(mechanism.model_copy(update={"data": data}), notes_per_kind=1)
    assert few.verdict is Verdict.INCONCLUSIVE
    nothing = data.model_copy(update={"scrub": ()})
    with pytest.raises(ConfigError, match="names no personal data"):
        probe_scrubbing(mechanism.model_copy(update={"data": nothing}))


# -- what is rehearsed -----------------------------------------------------------------------------


def test_a_run_that_claims_nothing_is_not_rehearsed() -> None:
    mechanism = mechanism_of("record", 8.0)
    none = mechanism.model_copy(update={"privacy": NoPrivacy(mode="none")})
    with pytest.raises(ConfigError, match="no claim that a rehearsal could refute"):
        plan_of(none)


@pytest.mark.parametrize("mode", MODES)
def test_the_claim_is_that_of_what_is_rehearsed(mode: str) -> None:
    mechanism = few_rounds(mode)
    plan = PLANS[mode]
    one_round = mechanism.model_copy(
        update={"training": mechanism.training.model_copy(update={"rounds": 1})}
    )
    whole = claimed_epsilon(mechanism, FEW[mode])
    assert plan.epsilon == pytest.approx(claimed_epsilon(one_round, 1) if mode == "site" else whole)
    assert plan.whole == (mode != "site")
    assert plan.rounds == (20 if mode == "site" else FEW[mode])
    # The probe is quieter, and clips as the plan does.
    quiet = probe_of(plan).mechanism.privacy
    assert not isinstance(quiet, NoPrivacy)
    assert not isinstance(mechanism.privacy, NoPrivacy)
    assert quiet.sigma is not None
    assert mechanism.privacy.sigma is not None
    assert quiet.sigma < mechanism.privacy.sigma
    assert quiet.clip == mechanism.privacy.clip


def test_canaries_are_as_many_as_the_headline_needs_up_to_a_limit() -> None:
    assert plan_of(mechanism_of("record-distributed", 8.0)).canaries == CANARIES
    assert plan_of(mechanism_of("record-distributed", 1.0)).canaries > CANARIES
    assert plan_of(mechanism_of("record-distributed", 0.2)).canaries == 8000


def test_a_canarys_gradient_is_its_length_on_its_coordinate_alone() -> None:
    task, model = CanaryTask(5, 3.0), CanaryModel(5)
    records = [canary_record(4), canary_record(1)]
    encoded = task.encode(records)
    (batch,) = task.micro_batches(encoded, np.arange(2), 8)
    assert isinstance(batch, MicroBatch)
    first, _ = task.losses(model.model, batch)
    first.backward()  # type: ignore[no-untyped-call]
    (parameter,) = model.parameters.values()
    assert parameter.grad is not None
    assert parameter.grad.ravel().tolist() == [0, 0, 0, 0, 3.0]
    model.load(np.arange(5, dtype=np.float32))
    assert model.flat().tolist() == [0, 1, 2, 3, 4]
    assert [score.tolist() for score in task.scores(model.model, encoded)] == [[4.0], [1.0]]


# -- the masked sum --------------------------------------------------------------------------------


@pytest.mark.parametrize("sites", [2, 3, 5])
def test_masks_cancel_to_the_last_bit(sites: int) -> None:
    """Without noise the opened sum is the plain ring sum of what the sites encoded."""
    mechanism = mechanism_of("record-distributed", 8.0)
    rng = np.random.default_rng(sites)
    encoded = [
        encoded_update(mechanism, rng.normal(0, 0.1, 300).astype(np.float32), sites, system_entropy)
        for _ in range(sites)
    ]
    uploads = [Encoded(each.vector, None, each.clamped) for each in encoded]
    columns = zip(*(upload.vector.tolist() for upload in uploads), strict=True)
    plain = [sum(column) % 2**mechanism.encoding.bits for column in columns]
    assert masked_sum(mechanism, 3, uploads).tolist() == plain
    # With the noise it is another one: the noise goes under the masks.
    assert masked_sum(mechanism, 3, encoded).tolist() != plain
