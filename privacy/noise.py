"""Gaussian noise from a cryptographic generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, final

import numpy as np
import torch

from crypto.errors import ConfigError
from crypto.secrets import Entropy, system_entropy
from privacy.streams import UNIFORM_BITS, fresh_stream, uniform_integers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.keystream import KeyStream

_CHUNK = 1 << 15  # pairs per pass: the temporary arrays stay in the cache


class NoiseSource(Protocol):
    """Where a step's noise comes from."""

    def gaussian(self, count: int, standard_deviation: float) -> NDArray[np.float64]:
        """Return `count` independent draws of N(0, standard_deviation^2), shape (count,)."""


@final
class SystemNoise:
    """Noise from an AES-256-CTR stream whose key is drawn anew at every call.

    The key comes from the operating system's generator at the call, so after any fork, and is
    used for nothing else: no two calls share a key, and nothing here depends on a run's seed.

    The float64 arithmetic of Box and Muller's transform leaves a known, reduced, not excluded
    attack on the lowest bits (Mironov 2012). Draws lie within +-8.58 standard deviations, since
    a uniform number has 53 bits; a Gaussian leaves that range with probability 1e-17.

    Args:
        entropy: tests may pass another source; `require_system_noise` then refuses the object.
    """

    def __init__(self, entropy: Entropy = system_entropy) -> None:
        self._entropy = entropy

    def gaussian(self, count: int, standard_deviation: float) -> NDArray[np.float64]:
        """Return `count` independent draws of N(0, standard_deviation^2), shape (count,).

        Raises:
            ConfigError: the standard deviation is not positive and finite.
        """
        _check(standard_deviation)
        drawn = _standard_normal(fresh_stream(self._entropy), count)
        drawn *= standard_deviation
        return drawn

    @property
    def is_the_systems(self) -> bool:
        """Whether the keys come from the operating system's generator."""
        return self._entropy is system_entropy


@final
class InjectedNoise:
    """Repeatable noise from a numpy generator, for tests; a deployed site refuses it."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator

    def gaussian(self, count: int, standard_deviation: float) -> NDArray[np.float64]:
        """Return `count` draws of N(0, standard_deviation^2), shape (count,).

        Raises:
            ConfigError: the standard deviation is not positive and finite.
        """
        _check(standard_deviation)
        return self._generator.standard_normal(count) * standard_deviation


def require_system_noise(source: NoiseSource) -> None:
    """Return if `source` draws from the operating system's generator, which no one can repeat.

    Raises:
        ConfigError: it is any other source, a `SystemNoise` with injected entropy included.
    """
    if type(source) is not SystemNoise or not source.is_the_systems:
        raise ConfigError(
            f"The noise of this run would come from a {type(source).__name__} whose draws can be "
            "repeated, and so subtracted: there would be no privacy. Use SystemNoise()."
        )


def _check(standard_deviation: float) -> None:
    if not (math.isfinite(standard_deviation) and standard_deviation > 0):
        raise ConfigError(
            f"Noise of standard deviation {standard_deviation} hides nothing: choose a positive, "
            "finite number, or ask for mode none by its name."
        )


def _standard_normal(stream: KeyStream, count: int) -> NDArray[np.float64]:
    """Return `count` draws of N(0, 1), shape (count,), after Box and Muller (1958).

    With u in (0, 1] and v in [0, 1): sqrt(-2 ln u) cos(2 pi v) and the same with the sine.
    """
    pairs = (count + 1) // 2
    drawn = np.empty(2 * pairs)
    flat = torch.from_numpy(drawn)  # torch's sine and cosine take a fifth of the time of numpy's
    for start in range(0, pairs, _CHUNK):
        size = min(_CHUNK, pairs - start)
        integers = uniform_integers(stream, 2 * size)
        # One is added before scaling, so that u never is 0, whose logarithm is infinite.
        u = _as_floats(integers[:size] + np.uint64(1)).mul_(2.0**-UNIFORM_BITS)
        angle = _as_floats(integers[size:]).mul_(2 * math.pi * 2.0**-UNIFORM_BITS)
        radius = u.log_().mul_(-2).sqrt_()
        out = flat[2 * start : 2 * (start + size)]
        torch.mul(radius, angle.cos(), out=out[:size])
        torch.mul(radius, angle.sin_(), out=out[size:])
    return drawn[:count]


def _as_floats(integers: NDArray[np.uint64]) -> torch.Tensor:
    """Return `integers`, at most 2^53 and so exact, as float64 (n,)."""
    return torch.from_numpy(integers.astype(np.float64))
