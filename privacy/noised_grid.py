"""The grid of a sum that gets its noise in the ring, shared among the sites.

A site's vector is clamped to the grid's range and rounded first; the noise comes after, as integers
that are never truncated. So the noise is exact, and what rounding does to the sensitivity is
accounted: with step gamma, C becomes C + gamma sqrt(d). A step that does not shrink with sqrt(d)
would make that many times C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, final

from crypto.errors import ConfigError, PeerError
from crypto.ring import SumRange, WidthBits
from crypto.secrets import system_entropy
from privacy.discrete_gaussian import SystemDiscreteNoise
from privacy.events import DistributedGaussian, require_local_sigma
from privacy.fixed_point import Rounding, from_ring, to_ring

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crypto.secrets import Entropy
    from privacy.noise_shares import NoiseShares

FINENESS: Final = 64
"""The step is at most C / (64 sqrt(d)), so that rounding adds at most C / 64 to the sensitivity."""

ARITHMETIC: Final = 2.0**-12
"""How much of C the sensitivity allows for the floating-point numbers of clipping and summing."""


@final
@dataclass(frozen=True)
class NoisedGrid:
    """The grid on which a cohort sums vectors of l2 sensitivity `clip`, noise included.

    Formal guarantee: with every site's noise drawn at `local_variance`, the opened sum of at least
    `shares.smallest_survivors` sites is `noise_multiplier` times as noisy as its accounted
    sensitivity `sensitivity` says, for every outcome of the rounding. It rounds up where a uniform
    number is below the fraction, so given these numbers, which both have in common, two
    neighbouring sums that differ by x_j in coordinate j are at most |x_j| / gamma + 1 steps apart
    in it, and C / gamma + sqrt(d) in l2. Clamping before it brings them no further apart.

    Attributes:
        clip: C, the l2 sensitivity of a site's vector, in the values' own unit.
        size: d, how many values a vector has.
        noise_multiplier: z, of the sum over the accounted sensitivity.
        shares: how the noise is shared.
        bits: the ring is Z_(2^bits), 24 or 32.

    Raises:
        ConfigError: a number is out of range; a site's noise would be narrower than 16 steps; or
            the sum could leave the ring with a probability above 2^-40 per round.
    """

    clip: float
    size: int
    noise_multiplier: float
    shares: NoiseShares
    bits: WidthBits = 32

    def __post_init__(self) -> None:
        for name, value in (("clip", self.clip), ("noise multiplier", self.noise_multiplier)):
            if not (math.isfinite(value) and value > 0):
                raise ConfigError(
                    f"A {name} of {value} gives no noised sum: it must be positive and finite."
                )
        if self.size < 1:
            raise ConfigError(f"A vector of {self.size} values has no sum: check the adapter.")
        require_local_sigma(self.local_deviation)
        self._range_of_rows()

    @cached_property
    def step(self) -> float:
        """Gamma, the distance of two grid points: the largest power of two that is fine enough."""
        _, exponent = math.frexp(self.clip / (FINENESS * math.sqrt(self.size)))
        return math.ldexp(1.0, exponent - 1)

    @property
    def sensitivity(self) -> float:
        """(1 + 2^-12) C / gamma + sqrt(d), the accounted l2 sensitivity in steps: <= 1.016 C."""
        return (1.0 + ARITHMETIC) * self.clip / self.step + math.sqrt(self.size)

    @property
    def local_variance(self) -> int:
        """The variance of each site's own noise, in squared steps: a whole number, rounded up."""
        return self.shares.share_of((self.noise_multiplier * self.sensitivity) ** 2)

    @property
    def local_deviation(self) -> float:
        """The standard deviation of each site's own noise, in steps; at least 16."""
        return math.sqrt(self.local_variance)

    @property
    def sum_deviation(self) -> float:
        """The standard deviation of the noise of the whole cohort, in steps."""
        return self.shares.largest_deviation(self.local_deviation)

    @cached_property
    def largest(self) -> int:
        """The largest absolute integer of one site's vector before noise: as much as the ring has.

        A site's sum is as long as its sample is large, so it has no bound of its own.
        """
        half = int(2 ** (self.bits - 1)) - 1
        return (half - math.ceil(self._range_of_rows().noise_reach)) // self.shares.cohort

    def noise(self, entropy: Entropy = system_entropy) -> SystemDiscreteNoise:
        """Return one site's share of the noise, for `MaskingSite.mask`."""
        return SystemDiscreteNoise(self.local_variance, entropy)

    def event(self, sampling_rate: float, steps: int) -> DistributedGaussian:
        """Return what `steps` sums on this grid do to the units that are sampled into them."""
        return DistributedGaussian(
            self.noise_multiplier,
            sampling_rate,
            steps,
            size=self.size,
            local_sigma=self.local_deviation,
            contributors=self.shares.cohort,
        )

    def encode_clamped(
        self, flat: NDArray[np.floating[Any]], rounding: Rounding
    ) -> tuple[NDArray[np.uint32], int]:
        """Return the residues of `flat`, shape (d,), BEFORE noise, and how many were clamped.

        Raises:
            ConfigError: `flat` has another size, or a value is not finite.
        """
        if flat.shape != (self.size,):
            raise ConfigError(
                f"A vector of shape {flat.shape} was to be put on the grid of {self.size} values: "
                "its noise would be of another scale. Use the grid of the run's configuration."
            )
        return to_ring(flat, self.step, float(self.largest), self.bits, rounding)

    def decode_sum(self, total: NDArray[np.uint32], parties: int) -> NDArray[np.float64]:
        """Return the noised sum, shape (d,), of the residues `total`, shape (d,).

        Raises:
            ConfigError: `parties` is not a number of survivors that the noise was shared for.
            PeerError: a value lies outside of what so many honest sites and their noise reach, but
                with probability 2^-40.
        """
        if not self.shares.smallest_survivors <= parties <= self.shares.cohort:
            raise ConfigError(
                f"A sum over {parties} of {self.shares.cohort} sites was not noised for: "
                f"{self.shares.smallest_survivors} at least have to be in it."
            )
        deviation = self.local_deviation * math.sqrt(parties)
        reach = SumRange(self.bits, parties, self.largest, deviation, self.size).noise_reach
        limit = parties * self.largest + math.ceil(reach)
        decoded, beyond = from_ring(total, self.step, limit, self.bits)
        if beyond:
            raise PeerError(
                f"{beyond} of {total.size} summed values lie beyond {parties} sites x "
                f"{self.largest} steps and their noise, which honest sites cannot reach: a site "
                "sent garbage or did not unmask what it masked. The round is discarded."
            )
        return decoded

    def _range_of_rows(self) -> SumRange:
        """Return the range in which every site has room for one clipped row, rounded outwards."""
        largest = math.ceil(self.clip / self.step) + 1
        return SumRange(self.bits, self.shares.cohort, largest, self.sum_deviation, self.size)
