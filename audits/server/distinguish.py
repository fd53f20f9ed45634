"""How well are members told from controls, against the epsilon that is claimed?

Members and controls were parted by a fair coin. From the scores' distance in the controls'
deviations (mu) follows an epsilon, if scores are Gaussian, as means of noised parts are. That
estimate has no ceiling, so it is what the gate decides by. Beside it stand the one-run bounds,
which assume less and top out: at a thousand canaries near 4.7, so that they pass a run at epsilon 8
without any noise.

Formal guarantee: where the claimed epsilon is true, the gate says `violated` with probability at
most its significance, as far as scores of independent noise are Gaussian. A claim of a sampled
mechanism is compared with the mu of a Gaussian mechanism of that (epsilon, delta): the mean shift
q sqrt(T) / s of a score is below it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

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
from audits.statistics.gaussian_dp import epsilon_of_mu, mu_of_epsilon
from audits.statistics.rates import area_under_curve, rate_at

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums
    from audits.statistics.scores import CanaryScores

GATE: Final = "gradient-canaries"
_CLAIM: Final = (
    "Members cannot be told from controls better than epsilon {:.3g} at delta {:.1g} says."
)
_THREAT: Final = (
    "Whoever reads the sums and knows a record well enough to compute its gradient asks whether "
    "that record was trained on."
)
_NOTICED: Final = math.sqrt(2)
"""Noise too small by this factor has to be noticed, or the gate says nothing."""
_SPARE: Final = 1.1
"""A coin that falls unevenly leaves fewer members or controls."""
_SHOWN: Final = 0.05
_ROC_POINTS: Final = 60
_POWER_POINTS: Final = 26
_FURTHEST: Final = 3.0
"""The power curve goes to three times the mu that is allowed."""


@dataclass(frozen=True)
class Claimed:
    """The (epsilon, delta) of what was rehearsed, which can be less than of a whole run."""

    epsilon: float
    delta: float


def canaries_for(epsilon: float, delta: float) -> int:
    """Return how many canaries notice noise too small by sqrt(2), at least half of the time.

    Of N canaries, half of them members, mu has the standard error sqrt(4 / N + mu^2 / N), to first
    order. Such noise makes sqrt(2) of the mu that this claim allows, and there the gate needs its
    quantile of that error below (sqrt(2) - 1) of what is allowed.
    """
    allowed = mu_of_epsilon(epsilon, delta)
    margin = (_NOTICED - 1) * allowed / float(stats.norm.isf(GATE_SIGNIFICANCE))
    return math.ceil(_SPARE * (4 + (_NOTICED * allowed) ** 2) / margin**2)


def distinguish(
    sums: NoisedSums,
    claimed: Claimed,
    window: Window = Window.SERVER,
    until: float | None = None,
) -> Finding:
    """Return whether the canaries' scores refute `claimed`.

    Args:
        sums: of the rehearsal, with their canaries.
        claimed: of one canary over these sums.
        window: who sees them.
        until: up to which round of the run as much is spent; None where that is not to be drawn.

    Raises:
        ConfigError: there are too few canaries.
    """
    scores = sums.scores()
    members, controls = int(scores.members.size), int(scores.controls.size)
    spread = float(np.std(scores.controls, ddof=1))
    apart = bool(scores.members.mean() > scores.controls.mean())
    allowed = mu_of_epsilon(claimed.epsilon, claimed.delta)
    mu = bounds.estimated_mu(scores) if spread > 0 else math.inf if apart else 0.0
    error = power.error_of_mu(mu, members, controls)
    z = float(stats.norm.isf(GATE_SIGNIFICANCE))
    low, high = (_epsilon(mu + side * 1.96 * error, claimed.delta) for side in (-1, 1))
    statistic = Measure(
        name="epsilon by the Gaussian-DP estimate",
        value=_epsilon(mu, claimed.delta),
        interval=None if low is None or high is None else (low, high),
        limit=claimed.epsilon,
    )
    details, ceiling = _one_run(scores, claimed)
    refuted = mu - z * error > allowed
    # As much more leakage as such noise makes, in a mechanism that is just as private as claimed.
    noticed = z * error < (_NOTICED - 1) * allowed
    if refuted:
        verdict, reason = (
            Verdict.VIOLATED,
            (
                f"Members are {mu:.3g} deviations from controls, and epsilon {claimed.epsilon:.3g} "
                f"allows {allowed:.3g}: the claim is false for the code that was rehearsed."
            ),
        )
    elif not noticed:
        verdict, reason = (
            Verdict.INCONCLUSIVE,
            (
                f"Members are {mu:.3g} \u00b1 {z * error:.2g} deviations from controls, and "
                f"epsilon {claimed.epsilon:.3g} allows {allowed:.3g}: so few canaries would not "
                "notice noise that is too small by a factor of sqrt(2)."
            ),
        )
    else:
        verdict, reason = (
            Verdict.NOT_REFUTED,
            (
                f"Members are {mu:.3g} \u00b1 {z * error:.2g} deviations from controls, and "
                f"epsilon {claimed.epsilon:.3g} allows {allowed:.3g}."
            ),
        )
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=_CLAIM.format(claimed.epsilon, claimed.delta),
        verdict=verdict,
        reason=reason,
        samples=scores.total,
        statistic=statistic,
        details=details,
        ceiling=ceiling,
        series=(
            roc_of(scores),
            _power(members, controls, claimed),
            *([] if until is None else _measured(statistic, until)),
        ),
    )


def _power(members: int, controls: int, claimed: Claimed) -> Series:
    """Return how likely the gate is to notice that a larger epsilon is true."""
    allowed = mu_of_epsilon(claimed.epsilon, claimed.delta)
    points = []
    for factor in np.linspace(0.5, _FURTHEST, _POWER_POINTS):
        mu = float(factor) * allowed
        noticed = power.chance_to_refute(
            mu, allowed, members=members, controls=controls, significance=GATE_SIGNIFICANCE
        )
        points.append(Point(x=epsilon_of_mu(mu, claimed.delta), y=noticed))
    return Series(
        kind=SeriesKind.POWER, name=f"{members + controls} canaries", points=tuple(points)
    )


def _measured(statistic: Measure, until: float) -> list[Series]:
    if statistic.value is None or statistic.interval is None:
        return []
    low, high = statistic.interval
    point = Point(x=until, y=statistic.value, low=low, high=high)
    return [Series(kind=SeriesKind.EPSILON_MEASURED, name="Gaussian-DP estimate", points=(point,))]


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


def _epsilon(mu: float, delta: float) -> float | None:
    """Return the epsilon of `mu`; None where it is not finite."""
    return epsilon_of_mu(max(0.0, mu), delta) if math.isfinite(mu) else None
