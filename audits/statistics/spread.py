"""Do counts spread as independent trials make them spread?

With counts N_i ~ Binomial(t_i, p), mean m_i and variance v_i, what is looked at is the sum of
(N_i - m_i)^2 / v_i: the index of dispersion around a known mean. Counts are small, so that its
distribution is not near a chi-square's. Each term is rounded to eighths and cut off at 4096, and
the distribution of the sum of what that gives is computed: by a discrete Fourier transform that is
so long that sums beyond it have a probability below 1e-10 (Chernoff's bound). That, and rounding
errors, are far below any significance in use.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft, special, stats

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS: Final = 8
"""Of a term's rounding, in one."""
_MOST: Final = 4096
"""Above which a term counts as this."""
_BEYOND: Final = 1e-10
_TILTS: Final = np.geomspace(1e-6, 1.0, 60)
"""At which Chernoff's bound is tried."""


@dataclass(frozen=True, eq=False)
class Spread:
    """How counts of independent trials spread, or do not.

    Attributes:
        counts: int64 (n,), each from 0 to its number of trials.
        trials: int64 (n,), positive.
        probability: of each trial, above 0 and below 1.

    Raises:
        ConfigError: there is no count, or one that its trials cannot give.
    """

    counts: NDArray[np.int64]
    trials: NDArray[np.int64]
    probability: float

    def __post_init__(self) -> None:
        fits = self.counts.shape == self.trials.shape and self.counts.size > 0
        if not (fits and (self.counts >= 0).all() and (self.counts <= self.trials).all()):
            raise ConfigError(
                "Counts that their trials cannot give were to be tested: nothing was. Give each "
                "count its number of trials."
            )
        if not (0 < self.probability < 1 and (self.trials > 0).all()):
            raise ConfigError(
                "Trials that always end the same way do not spread: nothing was tested. Give a "
                "probability between 0 and 1, and at least one trial for each count."
            )

    @cached_property
    def ratio(self) -> float:
        """The mean of (count - mean)^2 / variance: about 1 of independent trials."""
        means = self.trials * self.probability
        squares = (self.counts - means) ** 2
        return float((squares / (means * (1 - self.probability))).mean())

    def below(self) -> float:
        """Return the probability that independent trials spread as little as these, or less."""
        return min(1.0, float(self._chances[: self._total + 1].sum()) + _BEYOND)

    def above(self) -> float:
        """Return the probability that independent trials spread as much as these, or more."""
        return min(1.0, float(self._chances[self._total :].sum()) + _BEYOND)

    def noticed(self, tail: float) -> tuple[float, float]:
        """Return below and above which ratio each tail is less than `tail`; 0 where none is."""
        up, down = np.cumsum(self._chances), np.cumsum(self._chances[::-1])[::-1]
        low = int(np.count_nonzero(up < tail))
        high = down.size - int(np.count_nonzero(down < tail))
        # Sums from 0 to low - 1 have so small a tail, and from high on.
        scale = _STEPS * self.counts.size
        return low / scale, high / scale

    def _terms(self, trials: int) -> NDArray[np.int64]:
        """Return the rounded term of every count that `trials` can give, (trials + 1,)."""
        mean = trials * self.probability
        exact = (np.arange(trials + 1) - mean) ** 2 / (mean * (1 - self.probability))
        terms: NDArray[np.int64] = np.rint(_STEPS * np.minimum(_MOST, exact)).astype(np.int64)
        return terms

    @cached_property
    def _total(self) -> int:
        """The sum of the rounded terms."""
        return sum(
            int(self._terms(int(trials))[self.counts[self.trials == trials]].sum())
            for trials in np.unique(self.trials)
        )

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        """The probability of each sum of rounded terms, of none beyond the last that matters."""
        groups = []
        for trials, times in zip(*np.unique(self.trials, return_counts=True), strict=True):
            terms = self._terms(int(trials))
            chance = stats.binom.pmf(np.arange(trials + 1), trials, self.probability)
            groups.append((np.bincount(terms, weights=chance).astype(np.float64), int(times)))
        length = fft.next_fast_len(_length(groups), real=True)
        transform = np.ones(length // 2 + 1, np.complex128)
        for chance, times in groups:
            transform *= fft.rfft(chance, length) ** times
        chances: NDArray[np.float64] = np.maximum(0.0, fft.irfft(transform, length))
        return chances


def _length(groups: list[tuple[NDArray[np.float64], int]]) -> int:
    """Return from where on sums of terms are too unlikely to matter.

    Args:
        groups: the probability of each rounded term, and how many such terms are added.
    """
    whole = 1 + sum((chance.size - 1) * times for chance, times in groups)
    grown = sum(times * _log_moments(chance) for chance, times in groups)
    # P(S >= n) <= E[exp(t S)] exp(-t n) for every t > 0.
    enough = ((grown - math.log(_BEYOND)) / _TILTS).min()
    return whole if enough > whole else math.ceil(enough)


def _log_moments(chance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log E[exp(t X)] at each of the tilts t, where X = n has the n-th `chance`."""
    terms = np.flatnonzero(chance)
    found: NDArray[np.float64] = special.logsumexp(np.outer(_TILTS, terms), b=chance[terms], axis=1)
    return found
