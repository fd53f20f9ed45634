"""Fixed-point numbers in the ring Z_(2^bits), chosen so that a sum can never wrap.

A site's value x becomes the integer k with x ~ k * step, and a negative k its residue modulo
2^bits. Sums of residues are then sums of integers as long as no honest sum leaves
[-(2^(bits-1) - 1), 2^(bits-1) - 1]; `Grid` picks the step so that this cannot happen.

The step is a power of two. So x / step, k * step and sums of them are exact in float64: what is
decoded equals the sum of the sites' fixed-point plaintexts to the last bit, on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from crypto.errors import ConfigError, PeerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.keystream import KeyStream

_SMALLEST_BITS = 8
_LARGEST_BITS = 32
_RANGE = (2.0**-64, 2.0**64)
_CHUNK = 1 << 15  # values per pass: the temporary float64 arrays stay in the cache


@final
class Nearest:
    """Round to the nearest grid point, ties to even: deterministic, error at most step / 2."""


@final
@dataclass(frozen=True, repr=False)
class Stochastic:
    """Round up with the probability of the fraction, from a cryptographic stream.

    For x between two grid points, with f = frac(x / step), the higher is taken with probability
    ceil(2^32 f) / 2^32, so per value: the error is below one step, the bias at most
    2^-32 * step (upwards), and the variance at most step^2 / 4 (a Bernoulli variable's).
    """

    stream: KeyStream


Rounding = Nearest | Stochastic
NEAREST = Nearest()


@final
@dataclass(frozen=True)
class Grid:
    """The grid on which `parties` sites may each send values in [-clip_range, clip_range].

    With M = floor((2^(bits-1) - 1) / parties), the largest integer that every site may send, the
    step is the smallest power of two >= clip_range / (M - 1). The one that is taken off lets any
    rounding go outwards by one step. So |sum| <= parties * M <= 2^(bits-1) - 1: it never wraps.

    Attributes:
        clip_range: the largest absolute value that may be encoded, in the values' own unit. With
            noise, `range_with_noise` gives one that is left with probability 2^-40 at most.
        parties: how many encoded vectors may be summed.
        bits: the ring is Z_(2^bits), 8 to 32. Since 2^bits divides 2^32, sums may be carried
            out in uint32.

    Raises:
        ConfigError: the combination leaves no grid point per site, or a number is out of range.
    """

    clip_range: float
    parties: int
    bits: int = 32

    def __post_init__(self) -> None:
        if not _SMALLEST_BITS <= self.bits <= _LARGEST_BITS:
            raise ConfigError(
                f"A ring of {self.bits} bits is not on offer: "
                f"choose {_SMALLEST_BITS} to {_LARGEST_BITS} bits."
            )
        if self.parties < 1:
            raise ConfigError(f"A sum over {self.parties} sites is empty: name at least one site.")
        if not _RANGE[0] <= self.clip_range <= _RANGE[1]:
            raise ConfigError(
                f"A clip range of {self.clip_range} cannot be put on a grid: choose a finite "
                f"number between {_RANGE[0]:.3g} and {_RANGE[1]:.3g}."
            )
        if self.largest < 2:  # noqa: PLR2004 - one for the range, one for rounding outwards
            half = 2 ** (self.bits - 1) - 1
            raise ConfigError(
                f"The sum would wrap: {self.parties} sites x 2 grid steps each = "
                f"{2 * self.parties} > 2^{self.bits - 1} - 1 = {half}, the largest integer of "
                f"{self.bits} bits. Use more bits or at most {half // 2} sites."
            )

    @property
    def largest(self) -> int:
        """M, the largest absolute integer that one site may send."""
        return int((2 ** (self.bits - 1) - 1) // self.parties)

    @property
    def step(self) -> float:
        """Gamma, the distance of two grid points: a power of two, in the values' own unit."""
        # Exact although the quotient is rounded: a float64 above 2^k (M - 1) exceeds it by a part
        # of more than 2^-53, so that its quotient does not round down to 2^k.
        mantissa, exponent = math.frexp(self.clip_range / (self.largest - 1))
        return math.ldexp(1.0, exponent if mantissa > 0.5 else exponent - 1)  # noqa: PLR2004 - the least mantissa

    @property
    def outermost(self) -> int:
        """The largest absolute integer that any rounding gives an honest site; at most M."""
        # Exact: the step is a power of two.
        return math.ceil(self.clip_range / self.step)

    def rounding_l2(self, size: int) -> float:
        """Return step * sqrt(size): no rounding moves a vector of `size` values further in L2."""
        return self.step * math.sqrt(size)

    def encode(self, flat: NDArray[np.floating[Any]], rounding: Rounding) -> NDArray[np.uint32]:
        """Return the residues modulo 2^bits, shape (d,), of the values `flat`, shape (d,).

        Raises:
            ConfigError: a value is not finite, or beyond `clip_range` (its index and the
                arithmetic are named, not the value).
        """
        encoded, outside = self.encode_clamped(flat, rounding)
        if outside:
            raise ConfigError(
                f"{outside} of {flat.size} values lie beyond the clip range {self.clip_range:g}: "
                f"encoded, {self.parties} sites x M > {self.largest} steps of {self.step:g} could "
                f"exceed 2^{self.bits - 1} - 1 and wrap, which turns the sum into noise. Raise "
                "the clip range, or clip the values."
            )
        return encoded

    def encode_clamped(
        self, flat: NDArray[np.floating[Any]], rounding: Rounding
    ) -> tuple[NDArray[np.uint32], int]:
        """Return what `encode` does after moving values beyond the range to its ends.

        Only for values whose noise is already in them, where clamping is post-processing; where
        noise is shared among sites, it would be truncated, and the guarantee would be false.

        Returns:
            The residues, shape (d,), and how many values were moved.

        Raises:
            ConfigError: a value is not finite.
        """
        # Exact: the step is a power of two.
        return to_ring(flat, self.step, self.clip_range / self.step, self.bits, rounding)

    def decode_sum(self, total: NDArray[np.uint32], parties: int) -> NDArray[np.float64]:
        """Return the real sum, shape (d,), of the residues `total`, shape (d,).

        Args:
            total: the sum of encoded vectors modulo 2^bits (or modulo 2^32).
            parties: over how many sites it was taken (the survivors).

        Raises:
            ConfigError: `parties` is not between 1 and the grid's own.
            PeerError: a value lies outside what that many honest sites can reach.
        """
        if not 1 <= parties <= self.parties:
            raise ConfigError(
                f"A sum over {parties} sites was not encoded for this grid, which holds 1 to "
                f"{self.parties}: decode with the grid of the run's configuration."
            )
        # Not parties x M: with all parties that is nearly the whole ring, and finds nothing.
        decoded, beyond = from_ring(total, self.step, parties * self.outermost, self.bits)
        if beyond:
            raise PeerError(
                f"{beyond} of {total.size} summed values lie beyond {parties} sites x "
                f"{self.outermost} steps, which honest sites cannot reach: a site sent garbage or "
                "did not unmask what it masked. The round is discarded."
            )
        return decoded


def to_ring(
    flat: NDArray[np.floating[Any]], step: float, limit: float, bits: int, rounding: Rounding
) -> tuple[NDArray[np.uint32], int]:
    """Return `flat`, shape (d,), as residues of multiples of `step` modulo 2^bits.

    Args:
        flat: finite values.
        step: the grid's, a power of two, so that values / step is exact in float64.
        limit: values beyond it, in steps, are moved to it; rounding stays within its ceiling.
        bits: the ring's.
        rounding: how values between two grid points become one of them.

    Returns:
        The residues, uint32 of shape (d,), and how many values were moved.

    Raises:
        ConfigError: `flat` is not flat, or a value is not finite.
    """
    if flat.ndim != 1:
        raise ConfigError(f"A vector of shape {flat.shape} is not flat: encode `flat()`.")
    encoded = np.empty(flat.size, np.uint32)
    signed = encoded.view(np.int32)
    block, outside = np.empty(min(_CHUNK, flat.size)), 0
    for start in range(0, flat.size, _CHUNK):
        part = flat[start : start + _CHUNK]
        scaled = block[: part.size]
        # In float64 first: the inverse of a small step does not fit into float32.
        scaled[:] = part
        np.multiply(scaled, 1 / step, out=scaled)
        outside += _clamp(scaled, limit)
        _round(scaled, rounding)
        signed[start : start + part.size] = scaled
    if bits < _LARGEST_BITS:
        np.bitwise_and(encoded, np.uint32(2**bits - 1), out=encoded)
    return encoded, outside


def from_ring(
    total: NDArray[np.uint32], step: float, limit: int, bits: int
) -> tuple[NDArray[np.float64], int]:
    """Return the residues `total`, shape (d,), as real numbers, and how many lie beyond `limit`.

    Args:
        total: a sum modulo 2^bits (or modulo 2^32).
        step: the grid's.
        limit: the largest absolute integer that is counted as reachable, in steps.
        bits: the ring's.
    """
    decoded, beyond = np.empty(total.size), 0
    block = np.empty(min(_CHUNK, total.size), np.uint32)
    for start in range(0, total.size, _CHUNK):
        part = total[start : start + _CHUNK]
        integers = _integers(part, bits, block[: part.size])
        if int(integers.max()) > limit or int(integers.min()) < -limit:
            beyond += int(np.count_nonzero((integers > limit) | (integers < -limit)))
        np.multiply(integers, step, out=decoded[start : start + part.size])
    return decoded, beyond


def _integers(part: NDArray[np.uint32], bits: int, out: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Return the signed integers of the residues `part`, both shape (n,), in `out`'s memory."""
    unused = _LARGEST_BITS - bits
    # Shifting left drops what lies above the ring, shifting right restores value and sign.
    np.left_shift(part, np.uint32(unused), out=out)
    integers = out.view(np.int32)
    return np.right_shift(integers, np.int32(unused), out=integers)


def _clamp(scaled: NDArray[np.float64], limit: float) -> int:
    """Move values, at least one, beyond `limit` steps to it, in place; return how many there were.

    Raises:
        ConfigError: a value is not finite.
    """
    if -limit <= scaled.min() and scaled.max() <= limit:
        return 0
    if not np.isfinite(scaled).all():
        raise ConfigError(
            "A value to encode is not finite: it has no grid point, and would spoil the sum "
            "of all sites. Training diverged: lower the learning rate."
        )
    outside = int(np.count_nonzero(np.abs(scaled) > limit))
    np.clip(scaled, -limit, limit, out=scaled)
    return outside


def _round(scaled: NDArray[np.float64], rounding: Rounding) -> None:
    """Round `scaled`, shape (n,), to integers in place."""
    if isinstance(rounding, Nearest):
        np.rint(scaled, out=scaled)
        return
    below = np.floor(scaled)
    np.subtract(scaled, below, out=scaled)
    np.multiply(scaled, 2.0**32, out=scaled)
    # Compared exactly in float64: u < 2^32 f holds for ceil(2^32 f) of the 2^32 values of u.
    up = rounding.stream.uint32(scaled.size) < scaled
    np.add(below, up, out=scaled)


def range_with_noise(bound: float, standard_deviation: float, size: int) -> float:
    """Return a clip range that `size` noised values leave with probability 2^-40 at most.

    Each value is at most `bound` before Gaussian noise of `standard_deviation` (both in the
    values' own unit). From P(|N| > z sigma) <= exp(-z^2 / 2) and a union bound over the values:
    bound + standard_deviation * sqrt(2 ln(2^40 size)).

    Raises:
        ConfigError: an argument is negative or not finite, or `size` is below one.
    """
    valid = all(math.isfinite(x) and x >= 0 for x in (bound, standard_deviation))
    if not valid or size < 1:
        raise ConfigError(
            f"No range covers {size} values of at most {bound} with noise of standard deviation "
            f"{standard_deviation}: give finite, non-negative numbers and at least one value."
        )
    return bound + standard_deviation * math.sqrt(2 * math.log(2.0**40 * size))
