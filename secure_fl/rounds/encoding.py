"""From an update to ring elements: what a site masks, and the noise that goes under the masks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crypto.keystream import KeyStream
from crypto.secrets import SecretBytes
from privacy.discrete_gaussian import require_system_discrete_noise
from privacy.fixed_point import NEAREST, Rounding, Stochastic
from secure_fl.config import NoPrivacy, SharedNoisePrivacy
from secure_fl.rounds.grids import grid_of, noised_grid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.ring import IntegerNoise
    from crypto.secrets import Entropy
    from secure_fl.config import Mechanism


@dataclass(frozen=True, eq=False)
class Encoded:
    """A site's update in the ring; raw, and not shown, until noise and masks are on it.

    Attributes:
        vector: ring elements, uint32 of shape (d,).
        noise: this site's share of the noise, where it is shared; added in the ring.
        clamped: how many coordinates lay beyond the grid's range.
    """

    vector: NDArray[np.uint32] = field(repr=False)
    noise: IntegerNoise | None
    clamped: int


@dataclass(frozen=True, eq=False)
class Noised:
    """What a site protects: its update in the ring, with its share of the noise where it has one.

    Attributes:
        vector: ring elements, uint32 of shape (d,).
        share: whether the noise in it is this site's share alone, which hides it under masks only.
    """

    vector: NDArray[np.uint32] = field(repr=False)
    share: bool


_BLOCK = 1 << 18  # noise drawn at a time


def noised_update(encoded: Encoded) -> Noised:
    """Return the update with its share of the noise; its plaintext is overwritten."""
    if encoded.noise is None:
        return Noised(encoded.vector, share=False)
    for start in range(0, encoded.vector.size, _BLOCK):
        part = encoded.vector[start : start + _BLOCK]
        # A cast to fewer bits reduces modulo 2^32, of negative integers too.
        np.add(part, encoded.noise.draw(part.size).astype(np.uint32), out=part)
    return Noised(encoded.vector, share=True)


def encoded_update(
    mechanism: Mechanism, flat: NDArray[np.float32], cohort: int, entropy: Entropy
) -> Encoded:
    """Return the update `flat`, shape (d,), on the grid of a round of `cohort` sites.

    Raises:
        ConfigError: the cohort is too small to share noise, the noised sum could wrap, or the noise
            would not come from the operating system's generator.
    """
    # To nearest in mode none, so that a resumed run repeats itself to the bit.
    rounding: Rounding = NEAREST
    if not isinstance(mechanism.privacy, NoPrivacy):
        rounding = Stochastic(KeyStream(SecretBytes(entropy(32))))
    if isinstance(mechanism.privacy, SharedNoisePrivacy):
        grid = noised_grid_of(mechanism, cohort, flat.size)
        noise = grid.noise(entropy)
        require_system_discrete_noise(noise)
        vector, clamped = grid.encode_clamped(flat, rounding)
        return Encoded(vector, noise, clamped)
    vector, clamped = grid_of(mechanism).encode_clamped(flat, rounding)
    return Encoded(vector, None, clamped)
