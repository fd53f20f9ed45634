"""Do members score further from controls than the mechanism that was accounted for lets them?

Members and controls were parted by a fair coin. What is tested is the mechanism as it was
configured: sampling with probability q over T sums with noise of s times a member's part shifts
members' mean score by q sqrt(T) / s, in the controls' deviations. A larger distance means less
noise, more sampling or longer parts than the claimed epsilon was computed from. Distances have no
ceiling, unlike bounds of one run: a thousand canaries and a hundred guesses show an epsilon of 5.6
at most, and what assumes nothing of the mechanism 3.5, so that they pass a run at epsilon 8 without
any noise. They stand beside it and decide nothing.

Formal guarantee: where the noise is at least as large as configured, and members are sampled
independently at the configured rate with parts of at most their clipped gradient, the gate says
`violated` with probability at most its significance, as far as means of independent noise are
Gaussian. Limits: it is a difference of means, and leakage of a few members is averaged away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from audits import numerals
from audits.findings import (
    GATE_SIGNIFICANCE,
    Basis,
    Finding,
    Measure,
    Point,
    Series,
    SeriesKind,
    Verdict,
    Window,
)
from audits.statistics import bounds, power
from audits.statistics.mean_shift import MeanShift, critical_distance
from audits.statistics.rates import area_under_curve, rate_at
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.server.evidence import NoisedSums
    from audits.statistics.scores import CanaryScores

GATE: Final = "gradient-canaries"
CLAIM: Final = (
    "Members' mean score lies no further from controls' than the mechanism shifts it from which "
    "epsilon was computed."
)
_THREAT: Final = (
    "Whoever reads the sums and knows a record well enough to compute its gradient asks whether "
    "that record was trained on."
)
_NOTICED: Final = math.sqrt(2)
"""Noise too small by this factor has to be noticed, or the gate says nothing."""
_POWER: Final = 0.5
"""With at least this probability."""
_SPARE: Final = 1.1
"""A coin that falls unevenly leaves fewer members or controls."""
_STEP: Final = 1.05
_SHOWN: Final = 0.05
_ROC_POINTS: Final = 60
_POWER_FACTORS: Final = tuple(0.1 * step for step in range(5, 31))
"""By how much noise is too small where the power curve has its points."""
_CERTAIN: Final = 0.999
_LEAST_SHIFT: Final = 1e-3
"""Of the configured one: what is measured below it is no epsilon that could be told from 0."""


@dataclass(frozen=True)
class Claimed:
    """The (epsilon, delta) of what was rehearsed, which can be less than of a whole run."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class Accounted:
    """A mechanism as it was configured, and what was accounted of it.

    Attributes:
        claimed: of one canary over the sums that it can be in.
        multiplier: s, the noise's deviation over one record's clipped gradient.
        epsilon_at: the accountant's epsilon of the same with another multiplier, at the same delta;
            infinite where it says none.
    """

    claimed: Claimed
    multiplier: float
    epsilon_at: Callable[[float], float]


@dataclass(frozen=True)
class _Distance:
    """What was measured, and what the mechanism lets it be.

    Attributes:
        mechanism: as configured.
        found: the distance of the mean scores in the controls' deviations.
        critical: what the mechanism reaches with the gate's significance.
        noticed: the probability with which too little noise would be noticed.
    """

    mechanism: MeanShift
    found: float
    critical: float
    noticed: float

    @classmethod
    def of(cls, scores: CanaryScores, mechanism: MeanShift) -> _Distance:
        """Return that of `scores`, if they are of `mechanism`."""
        critical = critical_distance(mechanism, float(GATE_SIGNIFICANCE))
        return cls(mechanism, _distance(scores), critical, _noticed(mechanism))

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of an interval of 95 %, to first order."""
        if not math.isfinite(self.found):
            return self.found, self.found
        likely = self.mechanism.with_noise(self.mechanism.shift / max(self.found, self._least))
        half = float(stats.norm.isf(0.025)) * likely.error
        return self.found - half, self.found + half

    @property
    def _least(self) -> float:
        return _LEAST_SHIFT * self.mechanism.shift

    def epsilon_of(self, distance: float, accounted: Accounted) -> float | None:
        """Return the accountant's epsilon of a mechanism that shifts by `distance`; None if none.

        The shift is q sqrt(T) / s, so that s over the shift is the same for every multiplier.
        """
        if distance <= self._least:
            return 0.0
        if not math.isfinite(distance):
            return None
        found = accounted.epsilon_at(accounted.multiplier * self.mechanism.shift / distance)
        return found if math.isfinite(found) else None


def canaries_for(rate: float, sums: int, multiplier: float) -> int:
    """Return how many canaries notice noise too small by sqrt(2), at least half of the time.

    Of N canaries, half of them members, the distance has the standard error
    sqrt((4 + 2 v + mu^2) / N), to first order, with mu the shift and v = q (1 - q) / s^2. Such
    noise makes sqrt(2) of mu, and there the gate needs its quantile of that error below
    (sqrt(2) - 1) mu. From that number on it is looked for.

    Args:
        rate: q, the probability with which a member is in a sum.
        sums: T, how many sums a canary can be in.
        multiplier: s, the noise's deviation over one member's part.

    Raises:
        ConfigError: that is no mechanism.
    """
    mechanism = MeanShift(2, 2, rate, sums, multiplier)
    sampled = rate * (1 - rate) / multiplier**2
    margin = (_NOTICED - 1) * mechanism.shift / float(stats.norm.isf(float(GATE_SIGNIFICANCE)))
    half = math.ceil((2 + sampled + mechanism.shift**2 / 2) / margin**2)
    while _noticed(replace(mechanism, members=half, controls=half)) < _POWER:
        half = math.ceil(half * _STEP)
    return math.ceil(2 * _SPARE * half)


def _noticed(mechanism: MeanShift) -> float:
    """Return the probability with which noise too small by sqrt(2) is violated."""
    critical = critical_distance(mechanism, float(GATE_SIGNIFICANCE))
    return mechanism.with_noise(1 / _NOTICED).beyond(critical)


def distinguish(
    sums: NoisedSums,
    accounted: Accounted,
    window: Window = Window.SERVER,
    until: float | None = None,
) -> Finding:
    """Return whether the canaries' scores refute that `sums` are of the mechanism `accounted` for.

    Args:
        sums: of the rehearsal, with their canaries.
        accounted: what was claimed of them.
        window: who sees them.
        until: up to which round of the run as much is spent; None where that is not to be drawn.

    Raises:
        ConfigError: there are too few canaries, or they can be in different numbers of sums.
    """
    scores, claimed = sums.scores(), accounted.claimed
    distance = _Distance.of(scores, _mechanism(sums, scores, accounted.multiplier))
    low, high = (distance.epsilon_of(end, accounted) for end in distance.ends)
    statistic = Measure(
        name="epsilon of a mechanism with the noise that was measured",
        value=distance.epsilon_of(distance.found, accounted),
        interval=None if low is None or high is None else (low, high),
        limit=claimed.epsilon,
    )
    details, ceiling = _one_run(scores, claimed)
    verdict, reason = _judge(distance, claimed)
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=f"{CLAIM[:-1]}: {claimed.epsilon:.3g} at delta {numerals.plain(claimed.delta)}.",
        verdict=verdict,
        reason=reason,
        samples=scores.total,
        statistic=statistic,
        details=(_measured_distance(distance), *details),
        ceiling=ceiling,
        series=(
            roc_of(scores),
            *_power(distance, accounted),
            *([] if until is None else _measured(statistic, until)),
        ),
    )


def _mechanism(sums: NoisedSums, scores: CanaryScores, multiplier: float) -> MeanShift:
    times = np.unique(sums.observed.sum(axis=0))
    times = times[times > 0]
    if times.size != 1:
        raise ConfigError(
            f"Canaries can be in {', '.join(str(each) for each in times)} sums: their scores have "
            "no deviation in common, and nothing was tested. Let each be in as many."
        )
    members, controls = int(scores.members.size), int(scores.controls.size)
    return MeanShift(members, controls, sums.rate, int(times[0]), multiplier)


def _distance(scores: CanaryScores) -> float:
    """Return the distance of the mean scores; infinite where members alone differ."""
    if float(np.std(scores.controls, ddof=1)) > 0:
        return bounds.estimated_mu(scores)
    return math.inf if scores.members.mean() > scores.controls.mean() else 0.0


def _judge(distance: _Distance, claimed: Claimed) -> tuple[Verdict, str]:
    seen = (
        f"Members' mean score lies {distance.found:.3g} of the controls' deviations from theirs, "
        f"where the mechanism of epsilon {claimed.epsilon:.3g} shifts it by "
        f"{distance.mechanism.shift:.3g} and chance explains {distance.critical:.3g}"
    )
    noticed = "noise that is too small by a factor of sqrt(2) would have been noticed with a"
    if distance.found > distance.critical:
        return Verdict.VIOLATED, f"{seen}: that epsilon is false for the code that was rehearsed."
    if distance.noticed < _POWER:
        return Verdict.INCONCLUSIVE, (
            f"{seen}: {noticed} probability of {distance.noticed:.2g} alone, on so few canaries."
        )
    return Verdict.NOT_REFUTED, f"{seen}; {noticed} probability of {distance.noticed:.3g}."


def _measured_distance(distance: _Distance) -> Measure:
    finite = math.isfinite(distance.found)
    return Measure(
        name="distance of members' mean score from controls', in the controls' deviations",
        value=distance.found if finite else None,
        interval=distance.ends if finite else None,
        limit=distance.critical if math.isfinite(distance.critical) else None,
    )


def _power(distance: _Distance, accounted: Accounted) -> list[Series]:
    """Return how likely the gate is to notice that noise is smaller, by the epsilon of that noise.

    It ends where it is certain to, or where the accountant says no epsilon.
    """
    points: list[Point] = []
    for factor in _POWER_FACTORS:
        epsilon = accounted.epsilon_at(accounted.multiplier / factor)
        if not math.isfinite(epsilon) or (points and points[-1].y > _CERTAIN):
            break
        noticed = distance.mechanism.with_noise(1 / factor).beyond(distance.critical)
        points.append(Point(x=epsilon, y=noticed))
    name = f"{distance.mechanism.members + distance.mechanism.controls} canaries"
    return [Series(kind=SeriesKind.POWER, name=name, points=tuple(points))] if points else []


def _measured(statistic: Measure, until: float) -> list[Series]:
    if statistic.value is None or statistic.interval is None:
        return []
    low, high = statistic.interval
    point = Point(x=until, y=statistic.value, low=low, high=high)
    return [Series(kind=SeriesKind.EPSILON_MEASURED, name="by the noise measured", points=(point,))]


def roc_of(scores: CanaryScores, name: str = "gradient canaries") -> Series:
    """Return the ROC of `scores` at rates that a logarithmic axis shows, with its 95 % band."""
    lowest = 1 / scores.controls.size
    points = []
    for target in np.geomspace(lowest, 1.0, _ROC_POINTS):
        rate = rate_at(scores, min(1.0, float(target)))
        low, high = rate.true_positive_interval
        points.append(
            Point(x=rate.false_positive_rate, y=rate.true_positive_rate, low=low, high=high)
        )
    distinct = {point.x: point for point in points if point.x > 0}
    kept = tuple(distinct[x] for x in sorted(distinct))
    return Series(kind=SeriesKind.ROC, name=name, points=kept or (points[-1],))


def _one_run(scores: CanaryScores, claimed: Claimed) -> tuple[tuple[Measure, ...], float]:
    """Return the bounds that assume less, and the largest ceiling among them."""
    members, controls = int(scores.members.size), int(scores.controls.size)
    guesses = max(1, min(members, scores.total // 10))
    rate, area = rate_at(scores, 0.01), area_under_curve(scores)
    details = [
        Measure(
            name=f"true-positive rate at {rate.false_positive_rate:.3g} false positives",
            value=rate.true_positive_rate,
            interval=rate.true_positive_interval,
        ),
        Measure(name="area under the ROC curve", value=area.area, interval=area.interval),
    ]
    ceilings = []
    for name, bound in (
        ("epsilon at least, one run (Steinke et al. 2023)", bounds.one_run_bound),
        ("epsilon at least, one run under f-DP (Mahloujifar et al. 2024)", bounds.f_dp_bound),
        ("epsilon at least, Clopper-Pearson", bounds.clopper_pearson_bound),
    ):
        choice = bounds.Beforehand(guesses)
        found = bounds.lower_bound(scores, bound, choice, delta=claimed.delta, significance=_SHOWN)
        top = power.ceiling(
            bound,
            members=members,
            controls=controls,
            guesses=guesses,
            significance=_SHOWN,
            delta=claimed.delta,
        )
        ceilings.append(top)
        details.append(
            Measure(
                name=f"{name}, {guesses} guesses",
                value=found.epsilon,
                limit=claimed.epsilon,
                ceiling=top,
            )
        )
    return tuple(details), max(ceilings)
