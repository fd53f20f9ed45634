"""Lower bounds on epsilon from scores, with the threshold chosen honestly.

A bound holds for guesses whose number was fixed before the scores were seen. Who tries thresholds
and keeps the best has seen them. Three choices are honest: `Beforehand` fixes the number, `Split`
chooses it on one half of the canaries and tests on the other, `OfSeveral` pays for every number
that is tried (Bonferroni). `OfHull` is what jax_privacy does: it pays for the vertices of the ROC
hull alone, whose number the scores decide; it is here to compare with published values, and is no
bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import special

from audits.statistics import binomial, one_run
from audits.statistics.gaussian_dp import epsilon_of_mu
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from audits.statistics.scores import CanaryScores, Counts

    Bound = Callable[[CanaryScores, Counts, float, float, float], float]
    """Of scores and what a threshold makes of them, at a significance and a delta; one that can
    tell early that it is not above the last argument may return 0 then."""


@dataclass(frozen=True)
class Beforehand:
    """So many canaries are called members, and it was said before.

    Attributes:
        guesses: exactly; a tie that is cut is broken as badly as can be.
    """

    guesses: int


@dataclass(frozen=True)
class OfSeveral:
    """The best of several numbers of guesses, each at its part of the significance."""

    guesses: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """The share of guesses that is best on a random half, tested on the other half.

    It is the share that is carried over, and not the threshold: a bound holds for a number of
    guesses that the tested scores do not decide.
    """

    rng: np.random.Generator


@dataclass(frozen=True)
class OfHull:
    """The best vertex of the ROC hull; NOT a bound: how many there are depends on the scores."""


Choice = Beforehand | OfSeveral | Split | OfHull


@dataclass(frozen=True)
class EpsilonBound:
    """A lower bound on epsilon.

    Attributes:
        epsilon: everything below it is refuted; 0 refutes nothing.
        counts: what was guessed where it was found.
        significance: at which the one threshold was tested.
        honest: whether the threshold was chosen without the scores that test it.
    """

    epsilon: float
    counts: Counts
    significance: float
    honest: bool


def one_run_bound(
    scores: CanaryScores, counts: Counts, significance: float, delta: float, at_least: float = 0.0
) -> float:
    """Return the bound of Steinke et al. 2023; see `one_run`."""
    return one_run.steinke(
        scores.total,
        counts.guesses,
        counts.true_positives,
        significance=significance,
        delta=delta,
        at_least=at_least,
    )


def f_dp_bound(
    scores: CanaryScores, counts: Counts, significance: float, delta: float, at_least: float = 0.0
) -> float:
    """Return the bound of Mahloujifar et al. 2024 for Gaussian mechanisms; see `one_run`."""
    return one_run.gaussian_f_dp(
        scores.total,
        counts.guesses,
        counts.true_positives,
        significance=significance,
        delta=delta,
        at_least=at_least,
    )


def clopper_pearson_bound(
    scores: CanaryScores, counts: Counts, significance: float, delta: float, at_least: float = 0.0
) -> float:
    """Return ln((TPR - delta) / FPR) at the ends of exact intervals, 0 if negative.

    Each rate gets half of the significance (Jagielski, Ullman and Oprea 2020, arXiv:2006.07709).
    It takes the canaries for independent runs: of many canaries in one run it is a bound only as
    far as they do not influence each other.
    """
    del at_least
    members, controls = int(scores.members.size), int(scores.controls.size)
    hit = binomial.lower(counts.true_positives, members, significance / 2)
    false = binomial.upper(counts.false_positives, controls, significance / 2)
    return max(0.0, float(np.log((hit - delta) / false))) if hit > delta else 0.0


def gaussian_bound(
    scores: CanaryScores, counts: Counts, significance: float, delta: float, at_least: float = 0.0
) -> float:
    """Return the epsilon of the least mu that fits both error rates at the ends of their intervals.

    mu = Phi^-1(1 - FPR) - Phi^-1(FNR) (Dong, Roth and Su 2022, eq. 6). It speaks of mechanisms
    whose trade-off curve is Gaussian, and is an estimate for others (Nasr et al. 2023).
    """
    del at_least
    members, controls = int(scores.members.size), int(scores.controls.size)
    missed = members - counts.true_positives
    false_negative = binomial.upper(missed, members, significance / 2)
    false_positive = binomial.upper(counts.false_positives, controls, significance / 2)
    if not max(false_negative, false_positive) < 1:
        return 0.0
    mu = float(special.ndtri(1 - false_positive) - special.ndtri(false_negative))
    return epsilon_of_mu(mu, delta)


def estimated_mu(scores: CanaryScores) -> float:
    """Return the mean distance of members from controls in standard deviations of the controls.

    A point estimate of mu where scores are Gaussian with the noise's own deviation, as inner
    products of noised sums with gradient canaries are (Andrew et al. 2023, arXiv:2302.03098).

    Raises:
        ConfigError: there are fewer than two controls, or they are all alike.
    """
    spread = float(np.std(scores.controls, ddof=1)) if scores.controls.size > 1 else 0.0
    if spread == 0:
        raise ConfigError(
            "The controls' scores do not vary: no distance can be measured in their deviations. "
            "Score more controls."
        )
    return float(np.mean(scores.members) - np.mean(scores.controls)) / spread


def lower_bound(
    scores: CanaryScores,
    bound: Bound,
    choice: Choice,
    *,
    delta: float,
    significance: float = 0.05,
) -> EpsilonBound:
    """Return what `bound` says of `scores` at the threshold that `choice` takes.

    Args:
        scores: of members and controls.
        bound: one of this module's.
        choice: of the threshold.
        delta: of the claim.
        significance: the chance that the bound is above the true epsilon, at most, where the
            choice is honest.

    Raises:
        ConfigError: `significance` or `delta` is out of range, or the choice cannot be made.
    """
    if not 0 < significance < 1 or not 0 <= delta < 1:
        raise ConfigError(
            f"A significance of {significance} and a delta of {delta} bound nothing: choose the "
            "one in (0, 1), the other in [0, 1)."
        )
    match choice:
        case Beforehand(guesses):
            return _best(scores, [scores.with_guesses(guesses)], bound, delta, significance)
        case OfSeveral(numbers):
            if not numbers:
                raise ConfigError("No number of guesses was named: nothing was computed. Name one.")
            tried = [scores.with_guesses(number) for number in numbers]
            return _best(scores, tried, bound, delta, significance / len(numbers))
        case Split(rng):
            chosen_on, tested_on = scores.split(rng)
            vertices = hull(chosen_on)
            best = _best(chosen_on, vertices, bound, delta, significance)
            share = best.counts.guesses / chosen_on.total
            at = tested_on.with_guesses(round(share * tested_on.total))
            return _best(tested_on, [at], bound, delta, significance)
        case OfHull():
            vertices = hull(scores)
            found = _best(scores, vertices, bound, delta, significance / len(vertices))
            return EpsilonBound(found.epsilon, found.counts, found.significance, honest=False)


def _best(
    scores: CanaryScores,
    tried: Sequence[Counts],
    bound: Bound,
    delta: float,
    significance: float,
) -> EpsilonBound:
    """Return the best of what was `tried`, looking at the most precise first."""
    best = EpsilonBound(0.0, tried[0], significance, honest=True)
    for counts in sorted(tried, key=lambda made: made.true_positives / max(1, made.guesses))[::-1]:
        found = bound(scores, counts, significance, delta, best.epsilon)
        if found > best.epsilon:
            best = EpsilonBound(found, counts, significance, honest=True)
    return best


def hull(scores: CanaryScores) -> list[Counts]:
    """Return the counts at the vertices of the scores' ROC hull, thresholds upwards.

    A threshold between two vertices is never better than both for any cost of the two errors.
    """
    thresholds = scores.thresholds()
    points = np.stack(
        [
            np.searchsorted(scores.members, thresholds, side="left"),
            np.searchsorted(scores.controls, thresholds, side="left"),
        ],
        axis=1,
    ).astype(np.int64)
    kept = _convex(points)
    return [scores.at(float(thresholds[index])) for index in kept]


def _convex(points: NDArray[np.int64]) -> list[int]:
    """Return the indices of the upper hull of points (n, 2) that rise in both coordinates."""
    kept: list[int] = []
    for index, (x, y) in enumerate(points.tolist()):
        while len(kept) > 1:
            (x0, y0), (x1, y1) = points[kept[-2]].tolist(), points[kept[-1]].tolist()
            if (y1 - y0) * (x - x1) > (y - y1) * (x1 - x0):
                break
            kept.pop()
        kept.append(index)
    return kept
