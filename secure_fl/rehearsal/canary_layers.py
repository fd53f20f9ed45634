"""Where a canary's gradient lies among layers, and what clipping leaves of it there.

Canary i is row i of every layer, and its gradient lies in all of them, unevenly, so that a rule
that clips layer by layer is as much in force as one that clips the whole. What it leaves is known
from the rules' formulas. A sum is read along that direction: a canary's own row of each layer
becomes one number, in which a clipped part counts as 1 and noise is as large as on any coordinate.
The layers' further rows hold noise alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.errors import ConfigError
from secure_fl.config import SampledPrivacy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from secure_fl.config import Guaranteed

NOISE_ALONE: Final = (560, 304, 160)
"""Rows without a canary in each layer."""
_SHARES: Final = np.array([1.0, 2.0, 2.0]) / 3
"""Of a gradient's length in each layer; their squares add up to one."""
_LENGTH: Final = 2.0
"""A canary's gradient over the clip: enough to see a clip that is missing, in each layer too, and
little enough to see a loss that was divided by the size of its batch."""
_GAMMA: Final = 0.01
"""Of automatic clipping, in the gradient's unit (Bu et al. 2022, section 3.2)."""


@dataclass(frozen=True)
class CanaryLayers:
    """The layers of a stand-in model for so many canaries.

    Attributes:
        canaries: how many.
    """

    canaries: int

    @property
    def rows(self) -> tuple[int, ...]:
        """How many numbers each layer has."""
        return tuple(self.canaries + alone for alone in NOISE_ALONE)

    @property
    def size(self) -> int:
        """How many numbers all layers have."""
        return sum(self.rows)

    @property
    def everywhere(self) -> int:
        """How many rows every layer has: a record's gradient can lie on one of these."""
        return min(self.rows)

    def names(self) -> tuple[str, ...]:
        """Return the layers' names in the model, in order."""
        return tuple(f"layers.{place}.weight" for place in range(len(self.rows)))

    def read(self, flat: NDArray[np.float64], expected: Expected) -> NDArray[np.float64]:
        """Return what a sum holds of each canary, and then the noise, shape (canaries + alone,).

        Args:
            flat: the sum, shape (size,), in the unit of the gradient.
            expected: what clipping leaves of a canary.
        """
        layers = np.split(flat, np.cumsum(self.rows)[:-1])
        own = np.stack([layer[: self.canaries] for layer in layers])
        noise = np.concatenate([layer[self.canaries :] for layer in layers])
        return np.concatenate([expected.direction @ own, noise]) / expected.length


def layers_of_size(size: int) -> CanaryLayers:
    """Return the layers that have `size` numbers together."""
    return CanaryLayers((size - sum(NOISE_ALONE)) // len(NOISE_ALONE))


@dataclass(frozen=True, eq=False)
class Expected:
    """What clipping leaves of a canary's gradient.

    Attributes:
        parts: of each layer, shape (layers,), in the unit of the gradient.
    """

    parts: NDArray[np.float64]

    @cached_property
    def length(self) -> float:
        """The L2 norm of the whole: the clip, or a little less under automatic clipping."""
        return float(np.linalg.norm(self.parts))

    @cached_property
    def direction(self) -> NDArray[np.float64]:
        """Its direction, of length one, shape (layers,)."""
        return self.parts / self.length


def gradient_of(clip: float) -> NDArray[np.float64]:
    """Return a canary's gradient in each layer, shape (layers,), where the clip is `clip`."""
    return _LENGTH * clip * _SHARES


def expected_of(privacy: Guaranteed) -> Expected:
    """Return what the clipping of `privacy` leaves of a canary.

    Flat, and of a whole site's update: min(1, C / |g|) g (Abadi et al. 2016). Per layer, of k:
    min(1, C / (sqrt(k) |g_l|)) g_l (McMahan et al. 2018, all layers alike). Automatic:
    C / (|g| + gamma) g (Bu et al. 2022). Written here once more, and not asked of the code that is
    tested.

    Raises:
        ConfigError: it clips in a way that is not known here.
    """
    clip = privacy.clip
    gradient = gradient_of(clip)
    norm = float(np.linalg.norm(gradient))
    rule = privacy.clipping if isinstance(privacy, SampledPrivacy) else "flat"
    factors: Mapping[str, float | NDArray[np.float64]] = {
        "flat": min(1.0, clip / norm),
        "per-layer": np.minimum(1.0, clip / math.sqrt(gradient.size) / gradient),
        "automatic": clip / (norm + _GAMMA),
    }
    if rule not in factors:
        raise ConfigError(
            f"What {rule} clipping leaves of a canary is not known: nothing was rehearsed."
        )
    return Expected(factors[rule] * gradient)
