"""How often an attack is right: true positives at a false-positive rate, and the ROC's area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import optimize, stats

from audits.statistics import binomial
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from audits.statistics.scores import CanaryScores

_EDGE: Final = 1e-12


@dataclass(frozen=True)
class RateAt:
    """The share of members found, at a false-positive rate that was asked for.

    Attributes:
        target: the rate that was asked for.
        threshold: the least score that is called a member's; ties with it are called so too.
        true_positive_rate: of the members, with its exact interval.
        true_positive_interval: low and high end.
        false_positive_rate: what was realised; never above the target.
        false_positive_interval: low and high end; the high end can lie above the target.
        members: how many there are.
        controls: likewise.
    """

    target: float
    threshold: float
    true_positive_rate: float
    true_positive_interval: tuple[float, float]
    false_positive_rate: float
    false_positive_interval: tuple[float, float]
    members: int
    controls: int


@dataclass(frozen=True)
class Area:
    """The area under the ROC curve: the chance that a member scores above a control.

    Attributes:
        area: a tie counts a half.
        interval: Newcombe's score interval.
        members: how many there are.
        controls: likewise.
    """

    area: float
    interval: tuple[float, float]
    members: int
    controls: int


def rate_at(scores: CanaryScores, target: float, confidence: float = 0.95) -> RateAt:
    """Return the true-positive rate at the lowest threshold that keeps to the `target`.

    Nothing is interpolated: the threshold is one that the attack can use, and the false-positive
    rate is the one that it had.

    Raises:
        ConfigError: `target` is not in [0, 1].
    """
    if not 0 <= target <= 1:
        raise ConfigError(
            f"A false-positive rate of {target} does not exist: nothing was computed. Choose one "
            "between 0 and 1."
        )
    controls = int(scores.controls.size)
    allowed = int(np.floor(target * controls + _EDGE))
    threshold = _lowest_threshold(scores, allowed)
    counts = scores.at(threshold)
    members = int(scores.members.size)
    return RateAt(
        target=target,
        threshold=threshold,
        true_positive_rate=counts.true_positives / members,
        true_positive_interval=binomial.interval(counts.true_positives, members, confidence),
        false_positive_rate=counts.false_positives / controls,
        false_positive_interval=binomial.interval(counts.false_positives, controls, confidence),
        members=members,
        controls=controls,
    )


def _lowest_threshold(scores: CanaryScores, allowed: int) -> float:
    """Return the lowest score with no more than `allowed` controls at or above; inf for none."""
    controls = scores.controls
    if allowed >= controls.size:
        return float(min(controls[0], scores.members[0]))
    refused = controls[controls.size - allowed - 1]
    both = np.union1d(controls, scores.members)
    above = both[both > refused]
    return float(above[0]) if above.size else float("inf")


def area_under_curve(scores: CanaryScores, confidence: float = 0.95) -> Area:
    """Return the Mann-Whitney share with the interval of Newcombe 2006, method 5.

    Its ends A solve (area - A)^2 = z^2 V(A) with V(A) = A (1 - A) / (mn) (1 + (N - 1) ((1 - A) /
    (2 - A) + A / (1 + A))), N = (m + n) / 2: it stays within [0, 1], and is no point where the
    scores part completely.
    """
    members, controls = int(scores.members.size), int(scores.controls.size)
    below = np.searchsorted(scores.controls, scores.members, side="left")
    level = np.searchsorted(scores.controls, scores.members, side="right") - below
    area = float((below + level / 2).sum() / (members * controls))
    z = float(stats.norm.isf((1 - confidence) / 2))

    def excess(end: float) -> float:
        shape = (1 - end) / (2 - end) + end / (1 + end)
        variance = end * (1 - end) / (members * controls)
        variance *= 1 + ((members + controls) / 2 - 1) * shape
        return (area - end) ** 2 - z**2 * variance

    # At 0 and 1 the variance is 0, so that the root looked for is beside the one that is there.
    low = optimize.brentq(excess, 0.0, min(area, 1 - _EDGE)) if area > 0 else 0.0
    high = optimize.brentq(excess, max(area, _EDGE), 1.0) if area < 1 else 1.0
    return Area(area, (float(low), float(high)), members, controls)
