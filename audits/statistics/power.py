"""What a bound or an estimate can show at best, and how much leakage it would notice.

A test that passes says nothing if it could not have failed. `ceiling` is the bound of a perfect
attack: a claim above it cannot be refuted by so many canaries. `detectable` is the least epsilon of
a Gaussian mechanism whose leakage the best attack would show, or show to be above a claim.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import optimize, special, stats

from audits.statistics.gaussian_dp import epsilon_of_mu
from audits.statistics.scores import CanaryScores, Counts
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from audits.statistics.bounds import Bound

_LARGEST_MU: Final = 20.0
_OVERFLOWS: Final = 1e6


def error_of_mu(mu: float, members: int, controls: int) -> float:
    """Return the standard error of `bounds.estimated_mu`, to first order, where `mu` is true.

    Of a difference of two means in estimated deviations: sqrt(1/n + 1/m + mu^2 / (2 (m - 1))).
    """
    capped = min(mu, _OVERFLOWS)
    return math.sqrt(1 / members + 1 / controls + capped**2 / (2 * (controls - 1)))


def chance_to_refute(
    mu: float, allowed: float, *, members: int, controls: int, significance: float
) -> float:
    """Return how likely an estimate of a true `mu` refutes that `allowed` is the largest.

    It is refuted where the estimate less its one-sided error is above `allowed`; the estimate is
    taken as normal with the error of the true mu.
    """
    z = float(stats.norm.isf(significance))

    def beyond(estimate: float) -> float:
        return estimate - z * error_of_mu(estimate, members, controls) - allowed

    highest = 2 * allowed + 1
    while beyond(highest) <= 0:
        highest *= 2
        if highest > _OVERFLOWS:
            return 0.0
    threshold = float(optimize.brentq(beyond, 0.0, highest))
    return float(stats.norm.sf((threshold - mu) / error_of_mu(mu, members, controls)))


def ceiling(  # noqa: PLR0913 - what a test is made of, each by its name
    bound: Bound, *, members: int, controls: int, guesses: int, significance: float, delta: float
) -> float:
    """Return what `bound` says where every guess is right.

    Raises:
        ConfigError: more guesses than members: not all can be right.
    """
    if not 0 < guesses <= members:
        raise ConfigError(
            f"{guesses} guesses of {members} members cannot all be right: there is no ceiling. "
            "Guess at least one and no more than there are members."
        )
    scores = CanaryScores.of(np.ones(members), np.zeros(controls))
    return bound(scores, Counts(1.0, guesses, 0), significance, delta, 0.0)


def detectable(  # noqa: PLR0913 - what a test is made of, each by its name
    bound: Bound,
    *,
    members: int,
    controls: int,
    guesses: int,
    significance: float,
    delta: float,
    power: float = 0.8,
    above: float = 0.0,
) -> float:
    """Return the least epsilon that the best attack would show to be `above`; inf if none is.

    Scores are N(0, 1) of controls and N(mu, 1) of members, the threshold is where `guesses` are
    expected, and "would show" means with probability `power`, the guesses' precision being what it
    is expected to be.

    Args:
        bound: one of `bounds`.
        members: canaries that were trained on.
        controls: canaries that were not.
        guesses: how many are called members.
        significance: of the test.
        delta: of the claim.
        power: with which it has to be seen.
        above: what has to be refuted.

    Raises:
        ConfigError: `guesses` is not between one and all.
    """
    total = members + controls
    if not 0 < guesses < total:
        raise ConfigError(
            f"{guesses} guesses over {total} canaries show nothing: guess one or more, not all."
        )
    scores = CanaryScores.of(np.ones(members), np.zeros(controls))

    def shown(mu: float) -> bool:
        right = _right(mu, members, controls, guesses, 1 - power)
        counts = Counts(1.0, right, guesses - right)
        return bound(scores, counts, significance, delta, above) > above

    if not shown(_LARGEST_MU):
        return float("inf")
    low, high = 0.0, _LARGEST_MU
    while high - low > 1e-6:  # noqa: PLR2004 - far below what two runs would agree in
        middle = (low + high) / 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return epsilon_of_mu(high, delta)


def _right(mu: float, members: int, controls: int, guesses: int, quantile: float) -> int:
    """Return the `quantile` of how many of the guesses are right under mu."""

    def expected(threshold: float) -> float:
        found = members * special.ndtr(mu - threshold) + controls * special.ndtr(-threshold)
        return float(found) - guesses

    threshold = optimize.brentq(expected, -10.0, mu + 10.0)
    hit = float(members * special.ndtr(mu - threshold))
    right = int(stats.binom.ppf(quantile, guesses, min(1.0, hit / guesses)))
    return min(right, members)
