"""Lower bounds on epsilon from one run with many canaries.

`steinke`: the tail bound of Steinke, Nasr and Jagielski, "Privacy Auditing with One (1) Training
Run" (NeurIPS 2023, arXiv:2305.08846), Theorem 5.2 with guesses of "member" alone. `gaussian_f_dp`:
the recursion of Mahloujifar, Melis and Chaudhuri, "Auditing f-Differential Privacy in One Run"
(arXiv:2410.22235), Algorithm 3, for the trade-off curve of a Gaussian mechanism that is exactly
(epsilon, delta)-DP; it says something only of mechanisms whose curve lies above that one.

Formal guarantee: if a run is (epsilon, delta)-DP for each canary, membership is a fair coin each,
and the number of guesses was fixed before the scores were seen, then the p-value at that epsilon is
at most `significance` with at most that probability. Edge cases: no guess, or none right, bounds
nothing (0).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import optimize, special, stats

from audits.statistics.gaussian_dp import mu_of_epsilon
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST: Final = 200.0
"""No epsilon beyond this is told apart from infinity."""
_TOLERANCE: Final = 1e-7
_MU: Final = cache(mu_of_epsilon)


def p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Return the largest chance that an (epsilon, delta)-DP run gives so many right guesses.

    With p = e^eps / (1 + e^eps) and X ~ Bin(guesses, p): P(X >= correct) + 2 m delta alpha, where
    alpha = max over i of P(correct - i <= X < correct) / i, for i = 1 to `correct`.

    Args:
        canaries: m, all that tossed a coin, guessed or not.
        guesses: how many were called members.
        correct: how many of these are.
        epsilon: of the claim, 0 or more.
        delta: likewise, in [0, 1].

    Raises:
        ConfigError: the counts are no counts.
    """
    _check(canaries, guesses, correct)
    right = special.expit(epsilon)
    tail = float(stats.binom.sf(correct - 1, guesses, right))
    if delta == 0 or correct == 0:
        return tail
    steps = np.arange(1, correct + 1)
    within = stats.binom.sf(correct - steps - 1, guesses, right) - tail
    alpha = float(np.max(within / steps))
    return min(1.0, tail + 2 * canaries * delta * max(alpha, 0.0))


def steinke(  # noqa: PLR0913 - what was counted, and at what it is tested
    canaries: int,
    guesses: int,
    correct: int,
    *,
    significance: float,
    delta: float,
    at_least: float = 0.0,
) -> float:
    """Return the largest epsilon that is refuted at `significance`; 0 if none above `at_least` is.

    Raises:
        ConfigError: the counts are no counts.
    """
    _check(canaries, guesses, correct)
    return _largest_refuted(
        lambda epsilon: significance - p_value(canaries, guesses, correct, epsilon, delta), at_least
    )


def gaussian_f_dp(  # noqa: PLR0913 - as above
    canaries: int,
    guesses: int,
    correct: int,
    *,
    significance: float,
    delta: float,
    at_least: float = 0.0,
) -> float:
    """Return the largest epsilon above `at_least` whose Gaussian trade-off curve is refuted, or 0.

    Raises:
        ConfigError: the counts are no counts, or `delta` is not in (0, 1).
    """
    _check(canaries, guesses, correct)
    return _largest_refuted(
        lambda epsilon: _excess(canaries, guesses, correct, significance, _inverse(epsilon, delta)),
        at_least,
    )


def _excess(
    canaries: int,
    guesses: int,
    correct: int,
    significance: float,
    inverse: Callable[[float], float],
) -> float:
    """Return by how much the curve's most likely counts miss those that were seen.

    r and h are shares of the canaries that are guessed right and wrong when `correct` or more are
    right with probability `significance`; they are followed down to none right.
    """
    right = significance * correct / canaries
    wrong = significance * (guesses - correct) / canaries
    for remaining in range(correct - 1, -1, -1):
        grown = max(wrong, inverse(right))
        if grown == wrong:
            break
        right = min(1.0, right + remaining / (guesses - remaining) * (grown - wrong))
        wrong = grown
    return right + wrong - guesses / canaries


def _inverse(epsilon: float, delta: float) -> Callable[[float], float]:
    """Return x -> Phi(Phi^-1(x) - mu)."""
    mu = _MU(epsilon, delta)
    return lambda share: float(special.ndtr(special.ndtri(share) - mu))


def _largest_refuted(refuted_by: Callable[[float], float], at_least: float) -> float:
    """Return where `refuted_by`, positive where epsilon is refuted, crosses zero above `at_least`.

    0 if nowhere.
    """
    if refuted_by(at_least) <= 0:
        return 0.0
    low, high = at_least, max(1.0, 2 * at_least)
    while refuted_by(high) > 0:
        low, high = high, 2 * high
        if high > _LARGEST:
            return low
    return float(optimize.brentq(refuted_by, low, high, xtol=_TOLERANCE))


def _check(canaries: int, guesses: int, correct: int) -> None:
    if not 0 <= correct <= guesses <= canaries or canaries == 0:
        raise ConfigError(
            f"{correct} right of {guesses} guesses over {canaries} canaries is no observation: a "
            "bound would mean nothing. Count again."
        )
