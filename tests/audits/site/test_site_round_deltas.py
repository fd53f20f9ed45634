"""What the parameters of every round tell of canaries: the score, the verdicts and their checks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from audits.findings import Basis, Finding, Measure, SeriesKind, Verdict, Window
from audits.release import canary_gates
from audits.server.distinguish import Claimed
from audits.site.round_delta_gates import GATE, RoundDeltas, round_delta_finding, steps_of
from audits.statistics.gaussian_dp import mu_of_epsilon
from crypto.errors import ConfigError

Floats = NDArray[np.float64]

DELTA = 1e-5
ROUNDS = 6
EPSILON = 1.0
CANARIES = 300
"""So many can refute an epsilon of 1."""
WORDS = ("bako", "dilu", "fesa", "gomi", "kune", "lavo", "mira", "noti", "pelu", "rasi")


@pytest.fixture(autouse=True)
def _few_dealings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The blind baseline has tests of its own."""
    monkeypatch.setattr(canary_gates, "_DEALINGS", 19)


def drawn(  # noqa: PLR0913 - what the tests vary, each by its name
    *,
    canaries: int = CANARIES,
    signal: float = 1.0,
    noise: float = 1.0,
    loudness: tuple[float, ...] = (1.0,) * ROUNDS,
    repetitions: tuple[int, ...] = (1,),
    lit: bool = True,
    seed: int = 0,
) -> RoundDeltas:
    """Return rounds that make members' answers likelier by `signal`, under noise, at a loudness."""
    rng = np.random.default_rng(seed)
    members = rng.random(canaries) < 0.5
    counts = np.resize(np.array(repetitions, np.int64), canaries)
    labels = rng.integers(0, 3, canaries)
    steps = signal * members * counts + noise * rng.normal(size=(len(loudness), canaries))
    steps = steps * np.array(loudness)[:, None] + labels  # all of one label move alike
    confidences = np.vstack([np.zeros(canaries), np.cumsum(steps, axis=0)])
    known = rng.normal(size=canaries) + 5.0 * members * lit
    return RoundDeltas(
        confidences=confidences,
        control=np.vstack([np.zeros(canaries), known]),
        released=confidences[-1],
        labels=labels,
        members=members,
        repetitions=counts,
        texts=tuple(" ".join(rng.choice(WORDS, 6)) for _ in range(canaries)),
    )


def judged(deltas: RoundDeltas, epsilon: float | None = EPSILON) -> Finding:
    claimed = None if epsilon is None else Claimed(epsilon, DELTA)
    return round_delta_finding(deltas, claimed, np.random.default_rng(0))


def named(measures: tuple[Measure, ...], *words: str) -> Measure:
    """Return the one measure whose name holds all of the words."""
    (found,) = [each for each in measures if all(word in each.name for word in words)]
    return found


# -- the score -------------------------------------------------------------------------------------


def naive_steps(confidences: Floats, labels: NDArray[np.int64]) -> list[list[float]]:
    """What `steps_of` does, one canary after the other."""
    found = []
    for before, after in zip(confidences[:-1].tolist(), confidences[1:].tolist(), strict=True):
        moved = [b - a for a, b in zip(before, after, strict=True)]
        centred = []
        for label, step in zip(labels.tolist(), moved, strict=True):
            same = [m for m, other in zip(moved, labels.tolist(), strict=True) if other == label]
            centred.append(step - sum(same) / len(same))
        spread = (sum(step**2 for step in centred) / len(centred)) ** 0.5
        found.append([step / spread if spread else 0.0 for step in centred])
    return found


@settings(max_examples=40, deadline=None)
@given(
    confidences=arrays(np.float64, (4, 9), elements=st.integers(-50, 50).map(float)),
    labels=arrays(np.int64, 9, elements=st.integers(0, 2)),
)
def test_steps_are_those_of_a_loop_over_canaries(
    confidences: Floats, labels: NDArray[np.int64]
) -> None:
    expected = np.array(naive_steps(confidences, labels))
    # A round in which all of a label move alike has a spread of rounding alone.
    moved = np.diff(confidences, axis=0)
    for label in np.unique(labels):
        moved[:, labels == label] -= moved[:, labels == label].mean(axis=1, keepdims=True)
    told = np.abs(moved).max(axis=1) > 1e-9
    assert steps_of(confidences, labels)[told] == pytest.approx(expected[told])


def test_what_a_label_gains_and_how_loud_a_round_is_change_nothing() -> None:
    deltas = drawn(canaries=60)
    steps = np.diff(deltas.confidences, axis=0)
    louder = steps * np.arange(1, ROUNDS + 1)[:, None] + 7.0 * deltas.labels
    changed = np.vstack([deltas.confidences[:1], np.cumsum(louder, axis=0) + 3.0])
    changed[0] += 3.0
    expected = steps_of(deltas.confidences, deltas.labels)
    assert steps_of(changed, deltas.labels) == pytest.approx(expected)


def test_a_round_that_moves_nothing_says_nothing() -> None:
    still = np.ones((3, 8))
    assert not steps_of(still, np.zeros(8, np.int64)).any()


def test_quiet_rounds_tell_what_a_loud_one_hides_from_the_release() -> None:
    """The release shows the sum of all steps, in which one loud round drowns the others."""
    deltas = drawn(canaries=400, signal=1.0, loudness=(1.0, 1.0, 1.0, 1.0, 200.0))
    deltas = replace(deltas, confidences=without_members(deltas))
    found = judged(replace(deltas, released=deltas.confidences[-1]), None)
    area = next(each for each in found.details if each.name == "area under the ROC curve")
    alone = named(found.details, "area", "released adapter alone")
    assert area.interval is not None
    assert alone.interval is not None
    assert area.interval[0] > alone.interval[1]


def without_members(deltas: RoundDeltas) -> Floats:
    """Return the confidences with a last round that shows nothing but its noise."""
    last = np.random.default_rng(1).normal(size=deltas.members.size) * 200
    return np.vstack([deltas.confidences[:-1], deltas.confidences[-2] + last])


# -- the verdicts ----------------------------------------------------------------------------------


def private(seed: int = 0, noise: float = 1.0) -> RoundDeltas:
    """Return rounds that are together Gaussian-DP with the mu that the claim allows."""
    signal = mu_of_epsilon(EPSILON, DELTA) / ROUNDS**0.5
    return drawn(signal=signal, noise=noise, seed=seed)


def test_noise_as_claimed_is_not_refuted_and_without_it_the_claim_is() -> None:
    found = judged(private())
    assert (found.gate, found.window, found.basis) == (GATE, Window.SITE, Basis.RUN)
    assert found.verdict is Verdict.NOT_REFUTED
    assert found.samples == CANARIES
    assert found.ceiling is not None
    assert found.ceiling >= EPSILON
    assert found.reason.startswith("By 6 changes of the parameters: Epsilon is at least")
    assert [each.kind for each in found.series] == [SeriesKind.ROC]
    without = judged(private(noise=0.0))
    assert without.verdict is Verdict.VIOLATED
    bound = named(without.details, "epsilon at least")
    assert bound.value is not None
    assert bound.value > EPSILON


def test_a_model_that_knows_the_members_has_to_light_up() -> None:
    dark = drawn(signal=0.0, lit=False)
    found = judged(dark)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "does not see what is there" in found.reason


def test_so_few_canaries_or_no_claim_are_inconclusive() -> None:
    assert "cannot refute" in judged(drawn(canaries=60, signal=0.1)).reason
    nothing = judged(drawn(canaries=60), None)
    assert nothing.verdict is Verdict.INCONCLUSIVE
    assert "claims nothing" in nothing.reason


def test_repeated_canaries_stand_beside_and_decide_nothing() -> None:
    """Those of 9 repetitions shine, and the verdict is of those that are there once."""
    deltas = drawn(canaries=2 * CANARIES, signal=0.2, repetitions=(1, 9))
    found = judged(deltas)
    assert found.verdict is Verdict.NOT_REFUTED
    area = named(found.details, "area under the ROC curve, 9 repetitions: decides nothing")
    once = next(each for each in found.details if each.name == "area under the ROC curve")
    assert area.value is not None
    assert once.value is not None
    assert area.value > 0.95 > once.value
    assert len(found.series) == 2


def test_a_run_without_canaries_of_one_repetition_is_not_run() -> None:
    found = judged(drawn(canaries=60, repetitions=(2, 4)))
    assert (found.verdict, found.gate, found.samples) == (Verdict.NOT_RUN, GATE, 0)
    assert (found.details, found.series) == ((), ())
    assert "no canaries of one repetition" in found.reason


def test_evidence_that_does_not_fit_together_is_refused() -> None:
    deltas = drawn(canaries=40)
    with pytest.raises(ConfigError, match="differ in number"):
        replace(deltas, labels=deltas.labels[1:])
    with pytest.raises(ConfigError, match="nothing that a site saw"):
        replace(deltas, confidences=deltas.confidences[:1])
