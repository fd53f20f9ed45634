"""Discrete Gaussian noise N_Z(0, sigma^2), sampled exactly from a cryptographic stream.

P(X = x) is proportional to exp(-x^2 / (2 sigma^2)) over all integers x, with a rational sigma^2
(Canonne, Kamath and Steinke 2020). The sampler is a rejection in the manner of Karney (2016): with
t the largest power of two <= max(1, sigma / 8),

1. a block v >= 0 with probability proportional to exp(-(t v)^2 / (2 sigma^2)), by inversion,
2. an offset u uniform in [0, t), and a sign; the negative zero is rejected,
3. x = t v + u, accepted with probability exp(-(x^2 - (t v)^2) / (2 sigma^2)).

Step 2 leaves every integer one way to come about, and steps 1 and 3 multiply to its weight.

**Why it is exact.** Each of the decisions 1 and 3 compares a uniform real number R in [0, 1) with a
real number p. Of R, 64 bits are drawn first: R lies in [w, w + 1) / 2^64. They decide unless p lies
in the same interval or, in step 3, within `MARGIN` of it. Otherwise p is enclosed between integers
(`privacy.exact_exponential`), and more bits of R and of p are made until they differ. So every
decision is the one for real numbers; only its running time is random.

Where p comes from, in the common case:
    - Step 1 compares w with floor(2^64 p), which is found with certified integer bounds.
    - Step 3 computes p with additions, multiplications and conversions in float64, which IEEE 754
      rounds correctly, and with no library function. The exponent g <= 2 has a relative error
      below 2^-51; a Taylor polynomial of degree 12 at g / 8 one below 2^-47, truncation (1/4)^13 /
      13! included; three squarings make it 2^-44. That is below `MARGIN` = 2^-40, so a decision
      made further away from p than `MARGIN` is right.

Limits: the running time depends on the draws, as that of every rejection sampler, so whoever can
time a site to the nanosecond learns something about them (Jin et al. 2022). The stream is as good
as AES-256.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, final

import numpy as np

from crypto.errors import ConfigError
from crypto.secrets import Entropy, system_entropy
from privacy.exact_exponential import exp_bounds
from privacy.streams import fresh_stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.ring import IntegerNoise

SMALLEST_VARIANCE = Fraction(1, 16)
"""The smallest sigma^2 on offer."""

LARGEST_VARIANCE = Fraction(2**58)
"""The largest sigma^2 on offer: every product of step 3 fits into 63 bits."""

MARGIN = 2.0**-40
"""Nearer to its threshold than this, the decision of step 3 is made with integers."""

_WORD_BITS = 64
_ALL_ONES = 2**_WORD_BITS - 1
_TABLE_BITS = 192
_BLOCKS_PER_SIGMA = 8
_LARGEST_EXPONENT = 2.0
_CHUNK = 1 << 15  # proposals per pass: the temporary arrays stay in the cache
_DEGREE = 12
_SQUARINGS = 3
_COEFFICIENTS = tuple((-1.0) ** k / math.factorial(k) for k in range(_DEGREE, -1, -1))


class Words(Protocol):
    """Where uniform words come from: a `KeyStream`, or a generator in tests."""

    def uint32(self, count: int) -> NDArray[np.uint32]:
        """Return `count` words, uniform in [0, 2^32), shape (count,)."""

    def uint64(self, count: int) -> NDArray[np.uint64]:
        """Return `count` words, uniform in [0, 2^64), shape (count,)."""


@final
class DiscreteGaussian:
    """The distribution N_Z(0, variance), with the tables that its sampler needs.

    Args:
        variance: sigma^2, the distribution's parameter; a float is taken for the rational number
            that it is. The variance of the draws is at most that, and from sigma = 1 on less than
            a millionth below it (Canonne, Kamath and Steinke 2020, section 2.2).

    Raises:
        ConfigError: `variance` is not in [1/16, 2^58].
    """

    def __init__(self, variance: Fraction | float) -> None:
        if not math.isfinite(variance) or not SMALLEST_VARIANCE <= variance <= LARGEST_VARIANCE:
            raise ConfigError(
                f"Discrete noise of variance {float(variance):g} is not on offer: give sigma^2 "
                f"between {float(SMALLEST_VARIANCE):g} and 2^58, in squared grid steps."
            )
        self.variance = Fraction(variance)
        reach = math.isqrt(math.floor(self.variance)) // _BLOCKS_PER_SIGMA
        self._block = 1 << max(0, reach.bit_length() - 1)
        self._rate = 1 / (2 * self.variance)
        self._thresholds = self._table()

    def sample(self, words: Words, count: int) -> NDArray[np.int64]:
        """Return `count` independent draws, shape (count,), from uniform `words`."""
        parts: list[NDArray[np.int64]] = []
        missing = count
        while missing > 0:
            drawn = self._propose(words, min(missing + missing // 8 + 16, _CHUNK))[:missing]
            parts.append(drawn)
            missing -= drawn.size
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def _propose(self, words: Words, count: int) -> NDArray[np.int64]:
        """Return those of `count` proposals that were accepted, in their order."""
        blocks = self._blocks(words, count)
        bits = words.uint32(count)
        offsets = np.bitwise_and(bits, np.uint32(self._block - 1)).astype(np.int64)
        negative = bits >> np.uint32(31) == 1
        values = blocks * self._block + offsets
        # x^2 - (t v)^2 = u (u + 2 t v)
        products = offsets * (offsets + 2 * self._block * blocks)
        kept = self._accepted(words, products) & ~(negative & (values == 0))
        np.negative(values, out=values, where=negative)
        accepted: NDArray[np.int64] = values[kept]
        return accepted

    def _blocks(self, words: Words, count: int) -> NDArray[np.int64]:
        """Return `count` draws of v, shape (count,)."""
        uniform = words.uint64(count)
        blocks = np.searchsorted(self._thresholds, uniform, side="right")
        # A word equal to floor(2^64 p) says that p lies within its interval, and decides nothing.
        below = self._thresholds[np.maximum(blocks - 1, 0)]
        for index in np.flatnonzero((blocks > 0) & (below == uniform)):
            blocks[index] = self._resolved_block(int(uniform[index]), words)
        return blocks.astype(np.int64, copy=False)

    def _accepted(self, words: Words, products: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each product n whether a uniform number lies below exp(-n / (2 sigma^2))."""
        if self._block == 1:
            return np.ones(products.size, np.bool_)
        uniform = words.uint64(products.size)
        exponents = products.astype(np.float64) * float(self._rate)
        gap = _exp(exponents) - uniform.astype(np.float64) * 2.0**-_WORD_BITS
        accepted = gap > 0.0
        unsure = (np.abs(gap) <= MARGIN) | (exponents > _LARGEST_EXPONENT)
        for index in np.flatnonzero(unsure):
            exponent = int(products[index]) * self._rate
            accepted[index] = _is_below_exp(int(uniform[index]), exponent, words)
        return accepted

    def _table(self) -> NDArray[np.uint64]:
        """Return floor(2^64 P(V <= v)) for v = 0, 1, ... up to the first that is 2^64 - 1."""
        bits = _TABLE_BITS
        while True:
            thresholds = []
            for low, high in self._cumulative(bits):
                least = low >> (bits - _WORD_BITS)
                most = min(high >> (bits - _WORD_BITS), _ALL_ONES)
                if least != most:
                    break
                thresholds.append(least)
                if least == _ALL_ONES:
                    return np.array(thresholds, np.uint64)
            bits *= 2

    def _cumulative(self, bits: int) -> list[tuple[int, int]]:
        """Return bounds on 2^bits P(V <= v) for v = 0, 1, ... until they reach 2^bits.

        Once a weight is below one unit, all that follow sum to less than four: they fall by a
        factor of exp(-(2 v + 1) t^2 / (2 sigma^2)) < 0.56, since t >= sigma / 16 and at least 64
        bits are asked for, so that v^2 t^2 / (2 sigma^2) > 44.
        """
        width = bits + _WORD_BITS
        low = high = 0
        sums: list[tuple[int, int, int]] = []
        while not sums or sums[-1][2] > 1:
            exponent = (len(sums) * self._block) ** 2 * self._rate
            least, most = exp_bounds(exponent, width)
            low, high = low + least, high + most
            sums.append((low, high, most))
        total = high + 4
        return [((below << bits) // total, -(-(above << bits) // low)) for below, above, _ in sums]

    def _resolved_block(self, word: int, words: Words) -> int:
        """Return v for the uniform number that begins with the 64 bits of `word`."""
        bits = _WORD_BITS
        while True:
            # Twice the bits: P(V <= v) is then known better than the uniform number.
            bounds = self._cumulative(2 * bits)
            low, high = word << bits, word + 1 << bits
            before = 0
            for block, (least, most) in enumerate(bounds):
                if before <= low and high <= least:
                    return block
                before = most
            word = word << _WORD_BITS | int(words.uint64(1)[0])
            bits += _WORD_BITS


@final
class SystemDiscreteNoise:
    """Discrete Gaussian noise from an AES-256-CTR stream whose key is drawn anew at every call.

    The key comes from the operating system's generator at the call, so after any fork, and is
    used for nothing else: no two calls share a key, and nothing here depends on a run's seed.

    Args:
        variance: sigma^2, in squared grid steps, in [1/16, 2^58].
        entropy: tests may pass another source; `require_system_discrete_noise` then refuses the
            object.

    Raises:
        ConfigError: `variance` is out of range.
    """

    def __init__(self, variance: Fraction | float, entropy: Entropy = system_entropy) -> None:
        self._distribution = _distribution(variance)
        self._entropy = entropy

    def draw(self, count: int) -> NDArray[np.int64]:
        """Return `count` independent draws, int64 of shape (count,)."""
        return self._distribution.sample(fresh_stream(self._entropy), count)

    @property
    def variance(self) -> Fraction:
        """sigma^2, exactly."""
        return self._distribution.variance

    @property
    def is_the_systems(self) -> bool:
        """Whether the keys come from the operating system's generator."""
        return self._entropy is system_entropy


@final
class InjectedDiscreteNoise:
    """Repeatable noise from a numpy generator, for tests; a deployed site refuses it."""

    def __init__(self, variance: Fraction | float, generator: np.random.Generator) -> None:
        self._distribution = _distribution(variance)
        self._words = _GeneratorWords(generator)

    def draw(self, count: int) -> NDArray[np.int64]:
        """Return `count` draws, int64 of shape (count,)."""
        return self._distribution.sample(self._words, count)


def require_system_discrete_noise(source: IntegerNoise) -> None:
    """Return if `source` draws from the operating system's generator, which no one can repeat.

    Raises:
        ConfigError: it is any other source, a `SystemDiscreteNoise` with injected entropy included.
    """
    if type(source) is not SystemDiscreteNoise or not source.is_the_systems:
        raise ConfigError(
            f"This site's share of the noise would come from a {type(source).__name__} whose draws "
            "can be repeated, and so subtracted: there would be no privacy. Use "
            "SystemDiscreteNoise()."
        )


class _GeneratorWords:
    """The words of a numpy generator."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def uint32(self, count: int) -> NDArray[np.uint32]:
        return self._generator.integers(0, 2**32, count, dtype=np.uint32)

    def uint64(self, count: int) -> NDArray[np.uint64]:
        return self._generator.integers(0, 2**64, count, dtype=np.uint64)


@lru_cache(maxsize=32)
def _distribution(variance: Fraction | float) -> DiscreteGaussian:
    """Return the distribution; its tables take some milliseconds, and do not change."""
    return DiscreteGaussian(variance)


def _exp(exponents: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(-x) for 0 <= x <= 2, shape (n,), with a relative error below 2^-44.

    Only additions and multiplications, which IEEE 754 rounds correctly on every machine.
    """
    x = exponents * 2.0**-_SQUARINGS
    result = np.full(x.size, _COEFFICIENTS[0])
    for coefficient in _COEFFICIENTS[1:]:
        np.multiply(result, x, out=result)
        np.add(result, coefficient, out=result)
    for _ in range(_SQUARINGS):
        np.multiply(result, result, out=result)
    return result


def _is_below_exp(word: int, exponent: Fraction, words: Words) -> bool:
    """Return whether the uniform number that begins with 64 bits `word` is below exp(-exponent)."""
    bits = _WORD_BITS
    while True:
        low, high = exp_bounds(exponent, 2 * bits)
        if word + 1 << bits <= low:
            return True
        if high <= word << bits:
            return False
        word = word << _WORD_BITS | int(words.uint64(1)[0])
        bits += _WORD_BITS
