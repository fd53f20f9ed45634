"""Exact p-values of counts: what chance alone would have reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Paired:
    """One attack against another on the same records.

    Attributes:
        wins: records that the first has right and the second has wrong.
        losses: the other way round.
        p_value: the chance of as many wins, or more, if either were as good; one-sided.
    """

    wins: int
    losses: int
    p_value: float


def paired(attack: NDArray[np.bool_], baseline: NDArray[np.bool_]) -> Paired:
    """Return the exact sign test of who is right where the two differ (McNemar 1947).

    P(X >= wins) with X ~ Binomial(wins + losses, 1/2); 1 where they never differ.

    Args:
        attack: (n,) whether each guess of the attack is right.
        baseline: (n,) likewise.

    Raises:
        ConfigError: they are not of the same records.
    """
    if attack.shape != baseline.shape or attack.ndim != 1:
        raise ConfigError(
            f"Guesses of shapes {attack.shape} and {baseline.shape} are not about the same "
            "records: nothing was compared. Let both guess all of them."
        )
    wins, losses = int((attack & ~baseline).sum()), int((baseline & ~attack).sum())
    return Paired(wins, losses, float(stats.binom.sf(wins - 1, wins + losses, 0.5)))


def at_least(right: int, chances: Sequence[float] | NDArray[np.float64]) -> float:
    """Return P(X >= right) for X the number of successes with these (n,) independent chances.

    Binomial where all are equal, else Poisson-binomial by convolving one trial after another.

    Raises:
        ConfigError: a chance is none, or `right` is not between 0 and n.
    """
    each = np.asarray(chances, np.float64)
    if not 0 <= right <= each.size or not ((each >= 0) & (each <= 1)).all():
        raise ConfigError(
            f"{right} right of {each.size} guesses is no observation, or a chance is not between 0 "
            "and 1: a p-value would mean nothing. Count again."
        )
    if np.unique(each).size <= 1:
        return float(stats.binom.sf(right - 1, each.size, each[0])) if each.size else 1.0
    reached = np.ones(1)
    for chance in each.tolist():
        reached = np.convolve(reached, (1 - chance, chance))
    return min(1.0, float(reached[right:].sum()))


def larger_share(right: int, of: int, other_right: int, other_of: int) -> float:
    """Return the chance of `right` or more in the first group if both had one share.

    Fisher's exact test, one-sided: hypergeometric given how many are right in all.

    Raises:
        ConfigError: the counts are none.
    """
    if not 0 <= right <= of or not 0 <= other_right <= other_of:
        raise ConfigError(
            f"{right} of {of} and {other_right} of {other_of} are no shares: nothing was compared. "
            "Count again."
        )
    total = right + other_right
    return float(stats.hypergeom.sf(right - 1, of + other_of, total, of))
