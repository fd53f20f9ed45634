"""Exposure: how far up a planted secret ranks among the secrets that it might have been.

Carlini et al. 2019, "The Secret Sharer", arXiv:1802.08232: exposure = log2 |R| - log2 rank, in
bits, for a secret that was drawn uniformly from the candidates R before training. If the model
learned nothing of it, the rank is uniform on 1 .. |R|, whatever the model finds likely.

Formal guarantee: under that null every p-value here is at most alpha with probability at most
alpha, ties and sampled candidates included, if the secrets were drawn independently. Edge cases: a
secret that ties with all others has rank |R| and exposure 0; with one sampled candidate no exposure
is above 1 bit.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import fft, special, stats

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_CELLS: Final = 2**20
"""Of the grid of bits on which the null is convolved, at most."""

_FINEST: Final = 2.0**-12
"""Bits to a cell: ten secrets are then rounded by less than a part in a thousand of their p."""

_ROUNDING: Final = 1e-9
"""Far above what logarithms and transforms round by, far below what any gate tests at."""

_EQUAL: Final = 1e-12
"""By how much two ways to compute one rank may differ, as a share of it."""


@dataclass(frozen=True)
class Exposure:
    """One planted secret.

    Attributes:
        rank: its place from the top, 1 the most likely; ties stand above it.
        candidates: how many were ranked, with it.
        repetitions: how often it was planted.

    Raises:
        ConfigError: the rank is none, or there was nothing to rank it among.
    """

    rank: int
    candidates: int
    repetitions: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= self.candidates or self.candidates == 1 or self.repetitions < 1:
            raise ConfigError(
                f"A rank of {self.rank} among {self.candidates} after {self.repetitions} "
                "repetitions is no observation: nothing was exposed. Rank each planted secret "
                "among at least one other candidate."
            )

    @property
    def bits(self) -> float:
        """How much the model narrows the secret down, beyond guessing at random; bits."""
        return float(np.log2(self.candidates / self.rank))


def exposure(secret: float, others: NDArray[np.float64], repetitions: int = 1) -> Exposure:
    """Return the rank of one secret's score among other candidates'.

    Ties count against the attack: what scores the same stands above the secret. `others` may be
    all other candidates, or a sample drawn uniformly and independently of the secret: the rank is
    uniform on 1 .. m + 1 under the null either way, but a sample of m shows no more than
    log2(m + 1) bits. Secrets that are tested together need a sample each: with a shared one their
    ranks hang together. The paper's extrapolation by a fitted distribution has no exact null.

    Args:
        secret: the score of the planted secret; higher says more likely.
        others: (m,) scores of candidates without the secret.
        repetitions: how often it was planted.

    Raises:
        ConfigError: there are no others, or a score is not a number.
    """
    scores = np.asarray(others, np.float64).ravel()
    if np.isnan(secret) or np.isnan(scores).any():
        raise ConfigError(
            "A candidate's score is not a number: its rank would be anything. Mend the attack."
        )
    return Exposure(1 + int((scores >= secret).sum()), scores.size + 1, repetitions)


@dataclass(frozen=True)
class ExposureTest:
    """Secrets that were planted equally often.

    Attributes:
        repetitions: how often.
        secrets: how many.
        mean: of their exposures; bits.
        expected: the mean under the null; bits (close to 1 / ln 2 among many candidates).
        median: of their exposures; bits.
        median_interval: exact, of order statistics (Thompson 1936), whatever the distribution.
        p_value: the chance of so high a sum of exposures if nothing was learned; see `sum_tail`.
    """

    repetitions: int
    secrets: int
    mean: float
    expected: float
    median: float
    median_interval: tuple[float, float]
    p_value: float


def exposure_tests(
    exposures: Sequence[Exposure], confidence: float = 0.95
) -> tuple[ExposureTest, ...]:
    """Return one test for each number of repetitions, upwards, so that they can be compared.

    A secret that is repeated k times is protected by k times the epsilon: only the test at
    repetition 1 speaks of the claimed one.

    Raises:
        ConfigError: there is nothing to test.
    """
    if not exposures:
        raise ConfigError(
            "No secret was ranked: exposure says nothing of this model. Plant canaries and score "
            "them with their candidates."
        )
    return tuple(
        _test([each for each in exposures if each.repetitions == repetitions], confidence)
        for repetitions in sorted({each.repetitions for each in exposures})
    )


def _test(group: Sequence[Exposure], confidence: float) -> ExposureTest:
    bits = np.sort([each.bits for each in group])
    candidates = [each.candidates for each in group]
    return ExposureTest(
        repetitions=group[0].repetitions,
        secrets=len(group),
        mean=float(bits.mean()),
        expected=float(np.mean([null_mean(number) for number in candidates])),
        median=float(np.median(bits)),
        median_interval=_median_interval(bits, float(np.log2(max(candidates))), confidence),
        p_value=sum_tail(float(bits.sum()), candidates),
    )


def null_tail(bits: float, candidates: int) -> float:
    """Return P(exposure >= bits) if nothing was learned: floor(|R| 2^-bits) / |R| <= 2^-bits."""
    if bits <= 0:
        return 1.0
    ranks = candidates * 2.0**-bits
    # A rank's own exposure, put in, may come back a hair below the rank.
    return float(np.floor(ranks * (1 + _EQUAL)) / candidates)


def null_mean(candidates: int) -> float:
    """Return the mean exposure if nothing was learned: log2 |R| - log2(|R|!) / |R|; bits."""
    factorial = float(special.gammaln(candidates + 1))
    return float((np.log(candidates) - factorial / candidates) / np.log(2))


def sum_tail(bits: float, candidates: Sequence[int]) -> float:
    """Return P(sum of exposures >= bits) for independent secrets, if nothing was learned.

    The smaller of two figures, neither of which is ever below the probability:

    - the exact null, convolved on a grid of bits; each exposure is rounded up to its cell, the
      observed sum down (one secret needs no grid);
    - Fisher's combination of the p-values rank / |R|: each exposure is stochastically below an
      exponential of mean 1 / ln 2, so their sum is below a Gamma; it keeps its precision where the
      grid's transform has none left.

    Args:
        bits: the sum that was observed.
        candidates: (n,) how many each secret was ranked among.
    """
    if len(candidates) == 1:
        return null_tail(bits, candidates[0])
    fisher = float(special.gammaincc(len(candidates), max(0.0, bits) * np.log(2)))
    return min(1.0, fisher, _grid_tail(bits, candidates))


def _grid_tail(bits: float, candidates: Sequence[int]) -> float:
    most = float(np.log2(np.asarray(candidates, np.float64)).sum())
    # A power of two, so that whole bits, which powers of two among the ranks have, are edges.
    width = max(_FINEST, 2.0 ** np.ceil(np.log2(most / _CELLS)))
    kinds = Counter(candidates)
    nulls = {number: _cells(number, width) for number in kinds}
    length = sum((nulls[number].size - 1) * count for number, count in kinds.items()) + 1
    first = int(np.floor((bits - _ROUNDING) / width))
    if first <= 0:
        return 1.0
    size = fft.next_fast_len(length, real=True)
    product = np.ones(size // 2 + 1, np.complex128)
    for number, count in kinds.items():
        product *= fft.rfft(nulls[number], size) ** count
    return float(fft.irfft(product, size)[first:length].sum()) + _ROUNDING


def _cells(candidates: int, width: float) -> NDArray[np.float64]:
    """Return the chances of the cells 0, width, 2 width, ..., each exposure rounded up to one."""
    last = int(np.ceil(np.log2(candidates) / width))
    above = np.ceil(candidates * np.exp2(-width * np.arange(last + 1))) - 1
    above = np.maximum(above, 0.0) / candidates
    above[last] = 0.0
    return np.asarray(-np.diff(above, prepend=1.0))


def _median_interval(
    ordered: NDArray[np.float64], most: float, confidence: float
) -> tuple[float, float]:
    """Return the order statistics that enclose the median; all there is where there are too few."""
    count = ordered.size
    tails = stats.binom.cdf(np.arange(count), count, 0.5)
    below = int(np.searchsorted(tails, (1 - confidence) / 2, side="right"))
    if below == 0:
        return 0.0, most
    return float(ordered[below - 1]), float(ordered[count - below])
