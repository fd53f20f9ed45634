"""Noised sums with canaries in them: what the gates of the server's window look at.

A gradient canary is a record whose clipped gradient is known: of length C on a coordinate of its
own, zero elsewhere. So what a noised sum holds on that coordinate is the canary's part and noise,
and what it holds on coordinates without a canary is noise alone. Where a canary's gradient lies on
several of a model's coordinates, its own one is the direction of what clipping leaves of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_MEMBERS = 2


@dataclass(frozen=True, eq=False)
class NoisedSums:
    """What an attacker saw, in units of the clip C; not shown.

    Where clipping leaves less than C of a canary, C stands for what it leaves.

    Attributes:
        sums: m noised sums before any division, in units of the clip C, float64 (m, d).
        observed: whether canary i can be in sum j, bool (m, k).
        members: which canaries are trained on, by a fair coin drawn before, bool (k,).
        coordinates: the coordinate of each canary, int64 (k,), all different.
        rate: q, the probability with which a member is in a sum that observes it.
        deviation: the standard deviation that the mechanism says the noise has, in units of C.
    """

    sums: NDArray[np.float64] = field(repr=False)
    observed: NDArray[np.bool_] = field(repr=False)
    members: NDArray[np.bool_] = field(repr=False)
    coordinates: NDArray[np.int64] = field(repr=False)
    rate: float
    deviation: float

    def __post_init__(self) -> None:
        (m, d), k = self.sums.shape, self.members.size
        if self.observed.shape != (m, k) or self.coordinates.shape != (k,):
            raise ConfigError(
                f"{m} sums and {k} canaries do not fit what was observed, {self.observed.shape}: "
                "nothing was tested. Give one row per sum and one column per canary."
            )
        if np.unique(self.coordinates).size != k or (k and self.coordinates.max() >= d):
            raise ConfigError(
                "Two canaries share a coordinate, or one has none: their parts in a sum could not "
                "be told apart. Give each a coordinate of its own."
            )
        if k >= d:
            raise ConfigError(
                "Every coordinate has a canary: nowhere is noise alone, and its scale could not "
                "be tested. Give the sums more coordinates."
            )
        if not (0 < self.rate <= 1 and self.deviation > 0):
            raise ConfigError(
                f"A rate of {self.rate} and noise of deviation {self.deviation} are no mechanism: "
                "nothing can be tested. Rehearse a private mode."
            )
        if not np.isfinite(self.sums).all():
            raise ConfigError("A sum is not finite: what was noised is not what was summed.")

    @property
    def noise(self) -> NDArray[np.float64]:
        """What the sums hold where there is no canary, (m, d - k)."""
        alone = np.ones(self.sums.shape[1], bool)
        alone[self.coordinates] = False
        return self.sums[:, alone]

    @property
    def parts(self) -> NDArray[np.float64]:
        """What each sum holds on each canary's coordinate, (m, k), whether observed or not."""
        return self.sums[:, self.coordinates]

    def parts_of(self, *, members: bool) -> NDArray[np.float64]:
        """Return what the sums that observe them hold of members, or of controls, (n,)."""
        chosen = self.observed & (self.members == members)
        parts: NDArray[np.float64] = self.parts[chosen]
        return parts

    def scores(self) -> CanaryScores:
        """Return each canary's mean over the sums that observe it: a higher one says "member".

        Raises:
            ConfigError: there are not two members and two controls.
        """
        times = self.observed.sum(axis=0)
        seen = times > 0
        means = _mean(self.parts, self.observed)
        members, controls = means[seen & self.members], means[seen & ~self.members]
        if min(members.size, controls.size) < FEWEST_MEMBERS:
            raise ConfigError(
                f"{members.size} members and {controls.size} controls tell nothing apart: take "
                "more canaries."
            )
        return CanaryScores.of(members, controls)


def _mean(parts: NDArray[np.float64], observed: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of each column of `parts` (m, k) over where it is `observed`, (k,)."""
    mean: NDArray[np.float64] = np.where(observed, parts, 0.0).sum(axis=0)
    mean /= np.maximum(1, observed.sum(axis=0))
    return mean
