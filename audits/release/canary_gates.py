"""What the canaries of a run say of its release: rates, bounds on epsilon, and two checks of both.

Members and controls of one number of repetitions were parted by a fair coin that was committed to
before the first round, and score by the attack that was named in the configuration. A figure counts
only beside two others: a blind baseline, which reads the texts alone, must tell nothing; a positive
control, a model trained on the members alone until it knows them, must light up, and so much that
its own scores would refute the claim: a run is cleared only where one without privacy is not.

Formal guarantee: where the run is (epsilon, delta)-DP and its mechanism's trade-off curve is above
that of a Gaussian of that epsilon, a gate says `violated` with probability at most its significance
(Mahloujifar et al. 2024). k repetitions are k records: what is claimed of them is (k epsilon,
k e^((k-1) epsilon) delta), by group privacy. Edge case: a gate whose ceiling lies below the claim
could not refute it, and is inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from audits.findings import Basis, Finding, Measure, Verdict, Window
from audits.release.blind import blind_test
from audits.release.canary_bounds import OneRunTest
from audits.server.distinguish import roc_of
from audits.statistics.rates import area_under_curve, rate_at
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from audits.server.distinguish import Claimed
    from audits.statistics.rates import Area

ONCE: Final = "canaries"
REPEATED: Final = "canaries-repeated"
CLAIM_ONCE: Final = (
    "A text that was trained on once is told from one that was not no better than the claimed "
    "epsilon allows."
)
CLAIM_REPEATED: Final = (
    "A text that was trained on k times is told from one that was not no better than k times the "
    "claimed epsilon allows."
)
_THREAT: Final = (
    "Whoever has the adapter asks of a text whether it was trained on: by how much less it "
    "surprises the model than before."
)
_TARGET: Final = 0.01
_LIT: Final = 0.6
"""The area that a positive control has to be above, with 95 % confidence."""
_FEWEST: Final = 8
_BLIND: Final = 1e-3
"""A blind baseline as good as one in a thousand dealings of the coin is too good."""
_DEALINGS: Final = 1999


@dataclass(frozen=True, eq=False)
class Exploratory:
    """Scores of another attack than the one that was named: they are shown and decide nothing.

    Attributes:
        attack: what a score is, as a phrase.
        scores: under the released adapter, float64 (k,).
    """

    attack: str
    scores: NDArray[np.float64] = field(repr=False)

    def measures(self, evidence: CanaryEvidence, repetitions: int) -> tuple[Measure, Measure]:
        """Return its area and its rate, of members of so many repetitions."""
        scores = evidence.scored(self.scores, repetitions)
        area, rate = area_under_curve(scores), rate_at(scores, _TARGET)
        by = f"by {self.attack}: exploratory, decides nothing"
        return (
            Measure(name=f"area under the ROC curve {by}", value=area.area, interval=area.interval),
            Measure(
                name=f"true-positive rate at 1 % false positives {by}",
                value=rate.true_positive_rate,
                interval=rate.true_positive_interval,
            ),
        )


@dataclass(frozen=True, eq=False)
class CanaryEvidence:
    """Scores of a run's canaries; a higher one says "member". Texts and scores are not shown.

    Attributes:
        scores: under the released adapter, float64 (k,).
        control: under a model that was trained on the members alone, float64 (k,).
        members: whom the coin chose, bool (k,).
        repetitions: how often a member was among the records, int64 (k,).
        texts: of each.
        attack: what a score is, as a phrase.
        exploratory: what other attacks make of the same.
    """

    scores: NDArray[np.float64] = field(repr=False)
    control: NDArray[np.float64] = field(repr=False)
    members: NDArray[np.bool_] = field(repr=False)
    repetitions: NDArray[np.int64] = field(repr=False)
    texts: tuple[str, ...] = field(repr=False)
    attack: str
    exploratory: tuple[Exploratory, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        sizes = {
            *(other.scores.shape for other in self.exploratory),
            self.scores.shape,
            self.control.shape,
            self.members.shape,
            self.repetitions.shape,
            (len(self.texts),),
        }
        if len(sizes) != 1:
            raise ConfigError("Scores, coins and texts of canaries differ in number: none counts.")
        if min(int(self.members.sum()), int((~self.members).sum())) < _FEWEST:
            raise ConfigError(
                f"{int(self.members.sum())} members and {int((~self.members).sum())} controls show "
                f"nothing: {_FEWEST} of each are needed at least. Raise `mechanism.canaries.each`."
            )

    def scored(self, scores: NDArray[np.float64], repetitions: int) -> CanaryScores:
        """Return members of so many repetitions against all controls, who are all alike."""
        mine = self.members & (self.repetitions == repetitions)
        return CanaryScores.of(scores[mine], scores[~self.members])

    def coined(self, scores: NDArray[np.float64], repetitions: int) -> CanaryScores:
        """Return members against controls of the same coin: what a one-run bound speaks of."""
        mine = self.repetitions == repetitions
        return CanaryScores.of(scores[mine & self.members], scores[mine & ~self.members])


@dataclass(frozen=True)
class _Checks:
    blind_area: float
    blind_p: float
    control: Area

    @property
    def unfair(self) -> str | None:
        """Why no figure counts, not even one that refutes; None where the coin looks fair."""
        if self.blind_p > _BLIND:
            return None
        return (
            f"The texts alone give members away (area {self.blind_area:.3g}): the model's "
            "scores show nothing beyond that."
        )

    @property
    def broken(self) -> str | None:
        """Why no figure counts for the run; None where both checks are as they must be."""
        if self.unfair is not None:
            return self.unfair
        if self.control.interval[0] < _LIT:
            return (
                f"A model that knows the members shows them with an area of {self.control.area:.3g}"
                " only: the attack does not see what is there."
            )
        return None


def counted(repetitions: int) -> str:
    """Return so many repetitions as a phrase."""
    return "1 repetition" if repetitions == 1 else f"{repetitions} repetitions"


def canary_findings(
    evidence: CanaryEvidence, claimed: Claimed | None, rng: np.random.Generator
) -> tuple[Finding, Finding]:
    """Return what the canaries of one repetition, and of the most where that is more, say.

    Args:
        evidence: of all canaries of the run.
        claimed: of one record; None where the run claims nothing.
        rng: deals members anew for the blind baseline's p-value.

    Raises:
        ConfigError: there are too few canaries.
    """
    counts = sorted({int(count) for count in evidence.repetitions})
    checks = _checks(evidence, rng)
    once = _none(ONCE, CLAIM_ONCE, "has no canaries of one repetition")
    repeated = _none(REPEATED, CLAIM_REPEATED, "repeats none of its canaries")
    if counts[0] == 1:
        once = _finding(ONCE, CLAIM_ONCE, evidence, 1, claimed, checks)
    if counts[-1] > 1:
        repeated = _finding(REPEATED, CLAIM_REPEATED, evidence, counts[-1], claimed, checks)
    return once, repeated


def _checks(evidence: CanaryEvidence, rng: np.random.Generator) -> _Checks:
    inside = [text for text, m in zip(evidence.texts, evidence.members, strict=True) if m]
    outside = [text for text, m in zip(evidence.texts, evidence.members, strict=True) if not m]
    blind = blind_test(inside, outside, rng, permutations=_DEALINGS)
    known = CanaryScores.of(evidence.control[evidence.members], evidence.control[~evidence.members])
    return _Checks(blind.area, blind.p_value, area_under_curve(known))


def _finding(  # noqa: PLR0913, PLR0917 - what a finding is made of
    gate: str,
    claim: str,
    evidence: CanaryEvidence,
    repetitions: int,
    claimed: Claimed | None,
    checks: _Checks,
) -> Finding:
    scores = evidence.scored(evidence.scores, repetitions)
    rate, area = rate_at(scores, _TARGET), area_under_curve(scores)
    found = (
        f"of {rate.members} canaries of {counted(repetitions)}, {rate.true_positive_rate:.3g} "
        f"were found at a false-positive rate of {rate.false_positive_rate:.3g}"
    )
    judged = _judged(evidence, repetitions, claimed, checks, found)
    low, high = rate.true_positive_interval
    details = [
        Measure(name="false-positive rate that was realised", value=rate.false_positive_rate,
                interval=rate.false_positive_interval, limit=_TARGET),
        Measure(name="area under the ROC curve", value=area.area, interval=area.interval),
        Measure(name="area of the blind baseline", value=checks.blind_area, limit=0.5),
        Measure(name="area of the positive control", value=checks.control.area,
                interval=checks.control.interval, limit=_LIT),
        *judged.bounds,
    ]  # fmt: skip
    for other in evidence.exploratory:
        details += other.measures(evidence, repetitions)
    return Finding(
        gate=gate,
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat=_THREAT,
        claim=claim,
        verdict=judged.verdict,
        reason=judged.reason,
        samples=scores.total,
        statistic=Measure(
            name=f"true-positive rate at 1 % false positives by {evidence.attack}",
            value=rate.true_positive_rate,
            interval=(low, high),
        ),
        details=tuple(details),
        ceiling=judged.ceiling,
        series=(roc_of(scores, f"canaries of {counted(repetitions)}"),),
    )


@dataclass(frozen=True)
class _Judgement:
    verdict: Verdict
    reason: str
    bounds: tuple[Measure, ...] = ()
    ceiling: float | None = None


def _judged(
    evidence: CanaryEvidence,
    repetitions: int,
    claimed: Claimed | None,
    checks: _Checks,
    found: str,
) -> _Judgement:
    if claimed is None:
        reason = f"The run claims nothing that could be refuted; {found}."
        return _Judgement(Verdict.INCONCLUSIVE, checks.broken or reason)
    epsilon = repetitions * claimed.epsilon
    exponent = math.log(repetitions) + (repetitions - 1) * claimed.epsilon
    log_delta = exponent + math.log(claimed.delta)
    if log_delta >= 0:
        reason = (
            f"At {counted(repetitions)} epsilon {claimed.epsilon:.3g} claims nothing any more; "
            f"{found}."
        )
        return _Judgement(Verdict.INCONCLUSIVE, checks.broken or reason)
    test = OneRunTest(evidence.coined(evidence.scores, repetitions), epsilon, math.exp(log_delta))
    bound, ceiling = test.bound, test.ceiling
    seen = replace(test, scores=evidence.coined(evidence.control, repetitions)).bound
    bounds = test.measures(bound, seen, ceiling)
    claim = f"and {epsilon:.3g} is claimed; {found}."
    verdict, reason = Verdict.INCONCLUSIVE, f"Epsilon is at least {bound:.3g}, {claim}"
    if bound > epsilon and checks.unfair is None:
        verdict = Verdict.VIOLATED
    elif checks.broken is not None:
        reason = checks.broken
    elif ceiling < epsilon:
        reason = f"So few canaries cannot refute an epsilon above {ceiling:.3g}, {claim}"
    elif seen <= epsilon:
        reason = (
            f"Of a model that knows the members this attack refutes no epsilon above {seen:.3g}, "
            f"{claim}"
        )
    else:
        verdict = Verdict.NOT_REFUTED
    return _Judgement(verdict, reason, bounds, ceiling)


def _none(gate: str, claim: str, reason: str) -> Finding:
    return Finding(
        gate=gate,
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat=_THREAT,
        claim=claim,
        verdict=Verdict.NOT_RUN,
        reason=f"The run {reason} (`mechanism.canaries.repetitions`).",
        samples=0,
        statistic=None,
    )
