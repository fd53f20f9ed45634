"""The grid on which a run's updates are summed, as its configuration and the round give it.

Where noise is shared, grid and noise follow from the cohort of the round's header: a cohort that
shrinks makes every site's share larger before it masks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from crypto.errors import ConfigError
from privacy.fixed_point import Grid
from privacy.noise_shares import NoiseShares
from privacy.noised_grid import NoisedGrid
from secure_fl.config import SharedNoisePrivacy

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from secure_fl.config import Mechanism

_CLIP_RANGE = 4.0


class SumGrid(Protocol):
    """Turns an opened sum of ring elements into numbers."""

    def decode_sum(self, total: NDArray[np.uint32], parties: int) -> NDArray[np.float64]:
        """Return the real sum, shape (d,), of `parties` encoded vectors, shape (d,).

        Raises:
            PeerError: a value lies outside of what that many honest sites can reach.
        """


def clip_range_of(mechanism: Mechanism) -> float:
    """Return the largest absolute value of one coordinate of an update, where noise is a site's."""
    given = mechanism.encoding.clip_range
    return _CLIP_RANGE if given is None else given


def grid_of(mechanism: Mechanism) -> Grid:
    """Return the grid where noise is a site's own, or there is none."""
    return Grid(clip_range_of(mechanism), mechanism.sites, mechanism.encoding.bits)


def noise_shares_of(mechanism: Mechanism, cohort: int) -> NoiseShares:
    """Return how the noise is shared among a round's `cohort` sites.

    Raises:
        ConfigError: so few of them are left that nobody's noise would count.
    """
    privacy = mechanism.privacy
    if not isinstance(privacy, SharedNoisePrivacy):
        raise ConfigError(f"Mode {privacy.mode} shares no noise: nothing was drawn.")
    return NoiseShares(
        cohort=cohort, drop_outs=mechanism.paid_drop_outs(cohort), colluders=privacy.colluders
    )


def noised_grid_of(mechanism: Mechanism, cohort: int, size: int) -> NoisedGrid:
    """Return the grid of a sum of `size` values whose noise `cohort` sites share.

    Raises:
        ConfigError: mode or cohort share no noise, or the noised sum could leave the ring.
    """
    shares = noise_shares_of(mechanism, cohort)
    privacy = mechanism.privacy
    if not isinstance(privacy, SharedNoisePrivacy) or privacy.sigma is None:
        raise ConfigError("The mechanism has no sigma yet: nothing was drawn.")
    return NoisedGrid(
        clip=privacy.clip,
        size=size,
        noise_multiplier=privacy.sigma,
        shares=shares,
        bits=mechanism.encoding.bits,
    )


def sum_grid_of(mechanism: Mechanism, cohort: int, size: int) -> SumGrid:
    """Return the grid with which the sum over a round's `cohort` is decoded."""
    if isinstance(mechanism.privacy, SharedNoisePrivacy):
        return noised_grid_of(mechanism, cohort, size)
    return grid_of(mechanism)
