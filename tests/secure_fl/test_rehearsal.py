"""A rehearsal alarms on every seeded fault, by the gate named for it, and never on correct code.

Rounds are few; clip, noise, masks and a thousand canaries (a site each, where the unit is a site)
are those of an example at epsilon 8.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from audits.findings import Verdict, Window
from audits.server.clip_probe import clip_probe
from audits.server.distinguish import GATE as HEADLINE
from benchmarks.audit_bugs import BUGS, SCRUBBING_OFF, bugs_of
from benchmarks.audit_gates import mechanism_of
from crypto.errors import ConfigError
from crypto.secrets import system_entropy
from domains.encoding import MicroBatch
from privacy.clipping import PerExampleClipper
from privacy.clipping_rules import AutomaticClip, FlatClip, PerLayerClip
from secure_fl.auditing.scrubbing_probe import probe_scrubbing
from secure_fl.config import NoPrivacy, RecordPrivacy
from secure_fl.guarantee import claimed_epsilon, resolve_sigma
from secure_fl.rehearsal import Plan, judge, plan_of, rehearse_all
from secure_fl.rehearsal.canary_layers import (
    NOISE_ALONE,
    CanaryLayers,
    Expected,
    expected_of,
    gradient_of,
    layers_of_size,
)
from secure_fl.rehearsal.canary_model import CanaryModel, CanaryTask, canary_record, flat_of
from secure_fl.rehearsal.masked_round import masked_sum
from secure_fl.rehearsal.noised_sums import CANARIES, probe_of, rehearse
from secure_fl.rounds.encoding import Encoded, encoded_update

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.findings import Finding
    from privacy.clipping_rules import ClipRule
    from secure_fl.config import Mechanism

MODES = ("record", "record-distributed", "site")
GATES = {"gradient-canaries", "noise-scale", "noise-reuse", "clip-probe", "sampling"}
FEW = {"record": 10, "record-distributed": 10, "site": 1}


def few_rounds(mode: str) -> Mechanism:
    """Return an example of few rounds, which cost the epsilon of all where sums sample records."""
    mechanism = mechanism_of(mode, 8.0)
    shorter = {"rounds": FEW[mode], "local_steps": 1}
    training = mechanism.training.model_copy(update=shorter)
    short = mechanism.model_copy(update={"training": training})
    if mode == "site":
        return short
    again = short.privacy.model_copy(update={"sigma": None})
    return resolve_sigma(short.model_copy(update={"privacy": again}))


def small_plan(mode: str) -> Plan:
    return plan_of(few_rounds(mode), canaries=80 if mode == "site" else None)


PLANS = {mode: small_plan(mode) for mode in MODES}


@pytest.fixture(autouse=True)
def _small_arrays() -> None:
    """Are done sooner by one thread; the room's own fixture sets their number back."""
    torch.set_num_threads(1)


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
    # Nor is a site sampled.
    sampled = Verdict.NOT_RUN if mode == "site" else Verdict.NOT_REFUTED
    assert verdicts.pop("sampling") is sampled
    assert set(verdicts.values()) == {Verdict.NOT_REFUTED}
    window = Window.SITE if mode == "record" else Window.SERVER
    assert {finding.window for finding in found.values()} == {window}


@pytest.mark.parametrize(
    ("mode", "name"), [(mode, bug.name) for mode in MODES for bug in bugs_of(PLANS[mode])]
)
def test_every_fault_turns_the_gate_that_is_named_for_it(mode: str, name: str) -> None:
    (bug,) = (each for each in BUGS if each.name == name)
    plan = bug.plan(PLANS[mode])
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


def at_rate(mode: str, rate: float, sites: int = 4) -> Plan:
    """Return a plan at a sampling rate that nobody has accounted for."""
    plan = PLANS[mode]
    privacy = plan.mechanism.privacy.model_copy(update={"sampling_rate": rate})
    update = {"privacy": privacy, "sites": sites}
    return replace(plan, mechanism=plan.mechanism.model_copy(update=update), cohort=sites)


@pytest.mark.parametrize("mode", ["record", "record-distributed"])
def test_a_probe_has_more_sums_where_fewer_members_are_sampled(mode: str) -> None:
    probes = [probe_of(at_rate(mode, rate)) for rate in (0.1, 0.02, 0.01, 0.005, 0.001)]
    rounds = [probe.rounds for probe in probes]
    assert rounds == sorted(rounds)
    assert rounds[0] == rounds[1] == (20 if mode == "record" else 30)
    assert rounds[3] > 2 * rounds[2]
    # Up to so many of all sites, which is too few for the lowest rate.
    assert rounds[-1] == 1000
    assert probe_of(at_rate(mode, 0.001, sites=100)).rounds == 40
    canaries = [probe.canaries for probe in probes]
    assert (canaries[0], canaries[-1]) == (400, 1000)
    assert canaries == sorted(canaries)


def test_at_a_low_rate_a_clip_that_is_off_is_noticed_and_one_that_is_not_is_cleared() -> None:
    probe = probe_of(at_rate("record", 0.01))
    found = clip_probe(rehearse(probe, lambda *_: None))
    assert found.verdict is Verdict.NOT_REFUTED
    (off,) = (each for each in BUGS if each.name == "clipping off")
    with off.seeded(probe):
        assert clip_probe(rehearse(probe, lambda *_: None)).verdict is Verdict.VIOLATED


def test_canaries_are_as_many_as_the_headline_needs_up_to_a_limit() -> None:
    assert plan_of(mechanism_of("record-distributed", 8.0)).canaries == CANARIES
    assert plan_of(mechanism_of("record-distributed", 1.0)).canaries > CANARIES
    assert plan_of(mechanism_of("record-distributed", 0.2)).canaries == 8000


# -- the layers of the stand-in --------------------------------------------------------------------

LAYERS = CanaryLayers(3)


def test_a_canarys_gradient_lies_on_its_row_of_every_layer_and_nowhere_else() -> None:
    task, model = CanaryTask(LAYERS.everywhere, np.array([1.0, 2.0, 3.0])), CanaryModel(LAYERS)
    records = [canary_record(2), canary_record(1)]
    encoded = task.encode(records)
    (batch,) = task.micro_batches(encoded, np.arange(2), 8)
    assert isinstance(batch, MicroBatch)
    first, _ = task.losses(model.model, batch)
    first.backward()  # type: ignore[no-untyped-call]
    assert [p.shape[0] for p in model.parameters.values()] == [3 + n for n in NOISE_ALONE]
    for length, parameter in zip((1.0, 2.0, 3.0), model.parameters.values(), strict=True):
        assert parameter.grad is not None
        assert parameter.grad.ravel()[:4].tolist() == [0, 0, length, 0]
        assert np.count_nonzero(parameter.grad.numpy()) == 1
    numbers = np.arange(LAYERS.size, dtype=np.float32)
    model.load(numbers)
    assert model.flat().tolist() == numbers.tolist()
    second, third = (sum(w * (row + start) for w, start in STARTS) for row in (2, 1))
    assert [score.tolist() for score in task.scores(model.model, encoded)] == [[second], [third]]


STARTS = ((1.0, 0), (2.0, 3 + NOISE_ALONE[0]), (3.0, 6 + NOISE_ALONE[0] + NOISE_ALONE[1]))
"""The weight of each layer, and where it begins among all numbers."""


def test_a_sum_is_read_along_what_clipping_leaves() -> None:
    expected = Expected(np.array([1.0, 2.0, 2.0]))
    flat = np.zeros(LAYERS.size)
    # A part and a half of canary 1, something across of canary 2, and one number without a canary.
    for part, (_, start) in zip((1.5, 3.0, 3.0), STARTS, strict=True):
        flat[start + 1] = part
    flat[[STARTS[1][1] + 2, STARTS[2][1] + 2]] = 1.0, -1.0
    flat[STARTS[1][1] + 3] = 6.0
    found = LAYERS.read(flat, expected)
    assert found.size == 3 + sum(NOISE_ALONE)
    assert found[:3] == pytest.approx([0, 1.5, 0])
    assert np.flatnonzero(found[3:]).tolist() == [NOISE_ALONE[0]]
    assert found[3 + NOISE_ALONE[0]] == pytest.approx(2.0)
    assert layers_of_size(LAYERS.size) == LAYERS


@pytest.mark.parametrize("clip", [0.01, 2.0])
@pytest.mark.parametrize(
    ("clipping", "rule"),
    [("flat", FlatClip), ("per-layer", PerLayerClip), ("automatic", AutomaticClip)],
)
def test_what_clipping_leaves_is_what_the_sites_clipper_leaves(
    clipping: str, rule: Callable[[float], ClipRule], clip: float
) -> None:
    privacy = mechanism_of("record", 8.0).privacy
    assert isinstance(privacy, RecordPrivacy)
    expected = expected_of(privacy.model_copy(update={"clipping": clipping, "clip": clip}))
    task, model = CanaryTask(LAYERS.everywhere, gradient_of(clip)), CanaryModel(LAYERS)
    clipper = PerExampleClipper(model.model, clip=rule(clip))
    encoded = task.encode([canary_record(row) for row in range(3)])
    (batch,) = task.micro_batches(encoded, np.arange(3), 8)
    clipper.accumulate(task.losses(model.model, batch))
    found = flat_of(model.spec, clipper.take())
    layers = np.split(found, np.cumsum(LAYERS.rows)[:-1])
    for layer, part in zip(layers, expected.parts, strict=True):
        assert layer[:3] == pytest.approx([part] * 3, rel=1e-4)
    assert LAYERS.read(found, expected)[:3] == pytest.approx([1.0] * 3, rel=1e-4)
    # No rule leaves more than the clip, and none leaves any layer as it is.
    assert expected.length <= clip * (1 + 1e-9)
    assert (expected.parts < gradient_of(clip) * 0.9).all()


@pytest.mark.parametrize("clipping", ["per-layer", "automatic"])
def test_no_gate_alarms_where_gradients_are_clipped_in_another_way(clipping: str) -> None:
    plan = PLANS["record"]
    privacy = plan.mechanism.privacy.model_copy(update={"clipping": clipping})
    mechanism = plan.mechanism.model_copy(update={"privacy": privacy})
    found = found_in(replace(plan, mechanism=mechanism))
    if Verdict.VIOLATED in {finding.verdict for finding in found.values()}:
        found = found_in(replace(plan, mechanism=mechanism))
    assert {finding.verdict for finding in found.values()} == {Verdict.NOT_REFUTED}


def test_clipping_of_an_unknown_kind_is_not_rehearsed() -> None:
    privacy = mechanism_of("record", 8.0).privacy
    assert isinstance(privacy, RecordPrivacy)
    other = privacy.model_copy(update={"clipping": "by-hand"})
    with pytest.raises(ConfigError, match="by-hand clipping leaves"):
        expected_of(other)


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
