"""Fresh streams of uniform numbers from the operating system's generator.

Batch membership, noise and stochastic rounding each draw a key of their own at every use. So no
state outlives a use, a forked process repeats nothing, and a run's seed never reaches them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto.keystream import KEY_BYTES, KeyStream
from crypto.secrets import Entropy, SecretBytes, system_entropy

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNIFORM_BITS = 53
"""The resolution of a uniform number: the width of a float64's significand."""


def fresh_stream(entropy: Entropy = system_entropy) -> KeyStream:
    """Return an AES-256-CTR stream under a new 256-bit key from `entropy`."""
    return KeyStream(SecretBytes(entropy(KEY_BYTES)))


def uniform_integers(stream: KeyStream, count: int) -> NDArray[np.uint64]:
    """Return `count` integers, shape (count,), uniform in [0, 2^53): exact as float64."""
    return stream.uint64(count) >> np.uint64(64 - UNIFORM_BITS)
