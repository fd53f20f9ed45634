"""How far sampling and noise shift members' mean score from controls', and what chance adds to it.

A canary's score is its mean part in T sums. A member is in each with probability q and moves it by
1, and every sum has noise of deviation s. So a control's score is N(0, s^2 / T), and members' lie q
higher on average: the shift is q sqrt(T) / s in the controls' deviations. A member's score varies
by more than a control's, by q (1 - q) / T, since it is sampled.

The measured distance is the difference of both means over the controls' own deviation. Given how
often all members together were sampled, K of n T times, it is, but for a factor, a noncentral t of
m - 1 degrees of freedom: its numerator is K sqrt(T) / (n T s) and N(0, 1 / n + 1 / m) in the
controls' deviations, and their estimate is independent of that. K is binomial and is summed over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import optimize, stats

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS: Final = 256
"""A binomial of more values is summed over so many of them, each standing for those below it."""
_LEFT_OUT: Final = 1e-12
"""Probability of the binomial's upper end that is counted as if it were always beyond."""
_FEWEST: Final = 2
_LARGEST: Final = 1e4
"""A shift of more deviations hides nobody, and the noncentral t is not computed there."""
_FURTHEST: Final = 1e9


@dataclass(frozen=True)
class MeanShift:
    """Members and controls of one mechanism.

    Attributes:
        members: n, how many scores of members there are.
        controls: m, how many of controls.
        rate: q, the probability with which a member is in a sum.
        sums: T, how many sums a score is the mean of.
        multiplier: s, the deviation of a sum's noise over what one sampled member adds to it.

    Raises:
        ConfigError: there are too few scores, or a number is out of range.
    """

    members: int
    controls: int
    rate: float
    sums: int
    multiplier: float

    def __post_init__(self) -> None:
        if min(self.members, self.controls) < _FEWEST or self.sums < 1:
            raise ConfigError(
                f"{self.members} members and {self.controls} controls in {self.sums} sums tell "
                "nothing apart: take more canaries."
            )
        if not (0 < self.rate <= 1 and self.multiplier > 0):
            raise ConfigError(
                f"A sampling rate of {self.rate} and noise of {self.multiplier} are no mechanism: "
                "nothing can be tested. Rehearse a private mode."
            )

    @property
    def shift(self) -> float:
        """Q sqrt(T) / s, how far members' mean score is from controls', in their deviations."""
        return self.rate * math.sqrt(self.sums) / self.multiplier

    @property
    def error(self) -> float:
        """The standard error of the measured distance, to first order.

        sqrt((1 + v) / n + 1 / m + shift^2 / (2 (m - 1))), where v = q (1 - q) / s^2 is what
        sampling adds to a member's variance, over a control's.
        """
        sampled = self.rate * (1 - self.rate) / self.multiplier**2
        estimated = self.shift**2 / (2 * (self.controls - 1))
        return math.sqrt((1 + sampled) / self.members + 1 / self.controls + estimated)

    def with_noise(self, factor: float) -> MeanShift:
        """Return the same with `factor` times the noise."""
        return replace(self, multiplier=self.multiplier * factor)

    def beyond(self, distance: float) -> float:
        """Return the probability that the measured distance is `distance` or more, or a bit more.

        Exact for Gaussian noise where K has few values, and else too large by some per cent: every
        K counts as one that is a little larger.

        Raises:
            ConfigError: there is no noise to speak of.
        """
        if self.shift > _LARGEST:
            raise ConfigError(
                f"Noise that lets members be told at {self.shift:.3g} deviations hides nobody: "
                "there is no claim that scores could refute. Rehearse a private mode."
            )
        error = math.sqrt(1 / self.members + 1 / self.controls)
        counts, chances = self._sampled()
        shifts = counts / (self.members * self.sums) * math.sqrt(self.sums) / self.multiplier
        tails = stats.nct.sf(distance / error, self.controls - 1, shifts / error)
        return min(1.0, float(chances @ tails) + _LEFT_OUT)

    def _sampled(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return how often members were sampled, upper ends of bins, and the bins' chances."""
        trials = self.members * self.sums
        binomial = stats.binom(trials, self.rate)
        low, high = float(binomial.ppf(_LEFT_OUT)), float(binomial.isf(_LEFT_OUT))
        ends = np.unique(np.ceil(np.linspace(low, high, _BINS)))
        return ends, np.diff(binomial.cdf(ends), prepend=0.0)


@lru_cache(maxsize=64)
def critical_distance(mechanism: MeanShift, significance: float) -> float:
    """Return the distance that is measured or exceeded with probability `significance`, at most.

    `significance` is at most one half, so that the distance is not negative. Infinity where the
    controls are so few that no distance is.

    Raises:
        ConfigError: there is no noise to speak of.
    """

    def excess(distance: float) -> float:
        return mechanism.beyond(distance) - significance

    high = mechanism.shift + 8 * mechanism.error
    while excess(high) > 0:
        high *= 2
        if high > _FURTHEST:
            return math.inf
    # What is returned is on the side where the probability is not above.
    found = float(optimize.brentq(excess, 0.0, high, xtol=1e-10))
    return found if excess(found) <= 0 else found + 1e-9
