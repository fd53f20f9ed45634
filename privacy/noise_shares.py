"""How the noise of one sum is shared among a round's sites.

Every site of the cohort adds discrete Gaussian noise of its own under the masks. What protects a
record is the noise of the honest sites whose updates are in the sum, so each site pays in advance
for those that may drop out and for those that may tell others what they drew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from crypto.errors import ConfigError


@dataclass(frozen=True)
class NoiseShares:
    """Shares of noise for n sites, of which T may drop out and c may collude.

    Formal guarantee: with `share_of(v)` as each site's variance, the independent noises of any
    n - T sites, without those of any c of them, have a variance of at least v together.

    Attributes:
        cohort: n, the sites of the round's header; a cohort that shrinks has larger shares.
        drop_outs: T, how many of them may be missing from the sum that is opened.
        colluders: c, how many of the survivors may know one another's noise; at least one, since
            every site knows its own.

    Raises:
        ConfigError: nobody's noise would count.
    """

    cohort: int
    drop_outs: int
    colluders: int

    def __post_init__(self) -> None:
        if min(self.cohort, self.colluders) < 1 or self.drop_outs < 0:
            raise ConfigError(
                f"Noise of {self.cohort} sites, of which {self.drop_outs} drop out and "
                f"{self.colluders} collude, cannot be shared: there is at least one site, and one "
                "that knows its own noise."
            )
        if self.counted < 1:
            raise ConfigError(
                f"Of {self.cohort} sites {self.drop_outs} may drop out and {self.colluders} "
                "collude, which leaves nobody whose noise counts: nothing was drawn. Wait for "
                "more sites, or start a run that bears fewer drop-outs or colluders."
            )

    @property
    def counted(self) -> int:
        """N - T - c, the sites whose noise the guarantee counts."""
        return self.cohort - self.drop_outs - self.colluders

    @property
    def smallest_survivors(self) -> int:
        """N - T, the fewest sites whose sum may be opened."""
        return self.cohort - self.drop_outs

    def share_of(self, variance: float) -> int:
        """Return each site's own variance, v / (n - T - c) rounded up, in the unit of `variance`.

        A whole number: every site and every machine draws from the same distribution.
        """
        return math.ceil(Fraction(variance) / self.counted)

    def largest_deviation(self, local_deviation: float) -> float:
        """Return the standard deviation of the noise of all n sites together."""
        return local_deviation * math.sqrt(self.cohort)
