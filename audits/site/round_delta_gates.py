"""What the change of the parameters in every round tells a site of who was trained on.

A site sees the parameters before every round, and so by how much each round made each canary's
answer likelier. Added up as they are, these steps are the difference between first and last model,
which the release shows anyway. Each round's steps are brought to one scale first: less what all
canaries of the same label gained, over the round's own spread, so that what a round's noise hides
counts little, and a small step of a quiet late round counts as much as a large one of a loud round.

Formal guarantee: all broadcast parameters together are what the claimed epsilon is of, so the gate
decides as `audits.release.canary_gates` does, by the same claim, checks and bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.findings import Basis, Finding, Measure, Verdict, Window
from audits.release.canary_gates import CanaryEvidence, Exploratory, canary_findings, counted
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audits.server.distinguish import Claimed

GATE: Final = "round-deltas"
CLAIM: Final = (
    "Whoever sees the parameters of every round tells a text that was trained on once from one "
    "that was not no better than the claimed epsilon allows."
)
_THREAT: Final = (
    "A site that takes part keeps the parameters that it is sent before every round, and asks of a "
    "text of another site in which rounds it surprised the model less than before."
)
_ADDED: Final = "what each round made of its answer, at one scale and added up"
_LARGEST: Final = "the largest of the rounds' steps at one scale"
_RELEASED: Final = "the released adapter alone, against the model before the first round"
_AREA: Final = "area under the ROC curve"


@dataclass(frozen=True, eq=False)
class RoundDeltas:
    """How likely a run's canaries' answers were from round to round; not shown.

    Attributes:
        confidences: log-likelihood under each of the parameters that a site knows, in nats and in
            the order of the rounds, float64 (t + 1, k).
        control: likewise before and after one change to a model that knows the members, (2, k).
        released: by how much the released adapter raised it, float64 (k,).
        labels: the answer of each, int64 (k,).
        members: whom the coin chose, bool (k,).
        repetitions: how often a member was among the records, int64 (k,).
        texts: of each.

    Raises:
        ConfigError: the sizes differ, or there is no change to look at.
    """

    confidences: NDArray[np.float64] = field(repr=False)
    control: NDArray[np.float64] = field(repr=False)
    released: NDArray[np.float64] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    members: NDArray[np.bool_] = field(repr=False)
    repetitions: NDArray[np.int64] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)

    def __post_init__(self) -> None:
        sizes = {
            self.confidences.shape[1:],
            self.control.shape[1:],
            self.released.shape,
            self.labels.shape,
        }
        if sizes != {self.members.shape}:
            raise ConfigError("Likelihoods, labels and coins of canaries differ in number.")
        if min(len(self.confidences), len(self.control)) < 2:  # noqa: PLR2004 - before and after
            raise ConfigError("The parameters never changed: there is nothing that a site saw.")


def steps_of(confidences: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what each change did to each canary beside others of its label, at one scale, (t, k).

    Neither members nor controls are known to it: a coin that fell otherwise gives the same.

    Args:
        confidences: log-likelihoods under the parameters in their order, (t + 1, k).
        labels: the answer of each canary, (k,); all canaries of one answer move with it.
    """
    steps = np.diff(confidences, axis=0)
    for label in np.unique(labels):
        own = labels == label
        steps[:, own] -= steps[:, own].mean(axis=1, keepdims=True)
    spread = np.sqrt((steps**2).mean(axis=1, keepdims=True))
    found: NDArray[np.float64] = np.divide(
        steps, spread, out=np.zeros_like(steps), where=spread > 0
    )
    return found


def round_delta_finding(
    deltas: RoundDeltas, claimed: Claimed | None, rng: np.random.Generator
) -> Finding:
    """Return what the rounds say of the canaries of one repetition.

    Those of the most repetitions stand beside it and decide nothing.

    Args:
        deltas: of all canaries of the run.
        claimed: of one record, over all rounds; None where the run claims nothing.
        rng: deals members anew for the blind baseline's p-value.

    Raises:
        ConfigError: there are too few canaries.
    """
    steps = steps_of(deltas.confidences, deltas.labels)
    evidence = CanaryEvidence(
        scores=_added(steps),
        control=_added(steps_of(deltas.control, deltas.labels)),
        members=deltas.members,
        repetitions=deltas.repetitions,
        texts=deltas.texts,
        attack=_ADDED,
        exploratory=(
            Exploratory(_LARGEST, steps.max(axis=0)),
            Exploratory(_RELEASED, deltas.released),
        ),
    )
    once, repeated = canary_findings(evidence, claimed, rng)
    ran = once.verdict is not Verdict.NOT_RUN
    seen = "1 change" if len(steps) == 1 else f"{len(steps)} changes"
    return Finding(
        gate=GATE,
        window=Window.SITE,
        basis=Basis.RUN,
        threat=_THREAT,
        claim=CLAIM,
        verdict=once.verdict,
        reason=f"By {seen} of the parameters: {once.reason}" if ran else once.reason,
        samples=once.samples,
        statistic=once.statistic,
        details=(*once.details, *_beside(repeated, int(deltas.repetitions.max()))) if ran else (),
        ceiling=once.ceiling,
        series=(*once.series, *repeated.series) if ran else (),
    )


def _added(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum over all rounds, (k,), over its deviation where rounds are independent."""
    added: NDArray[np.float64] = steps.sum(axis=0) / math.sqrt(len(steps))
    return added


def _beside(repeated: Finding, repetitions: int) -> tuple[Measure, ...]:
    """Return area and rate of the canaries of the most repetitions, as what decides nothing."""
    if repeated.verdict is Verdict.NOT_RUN or repeated.statistic is None:
        return ()
    shown = [repeated.statistic, *(each for each in repeated.details if each.name == _AREA)]
    return tuple(
        each.model_copy(
            update={"name": f"{each.name}, {counted(repetitions)}: decides nothing", "limit": None}
        )
        for each in shown
    )
