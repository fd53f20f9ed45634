"""Where a monotone bound on epsilon meets a target: over the log of a sigma, or over steps."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.events import LARGEST_STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

SMALLEST_SIGMA = 1e-3
"""The smallest noise multiplier that is searched."""

LARGEST_SIGMA = 1e9
"""The largest noise multiplier that is searched."""

_EPSILON_FLOOR, _EPSILON_CEILING = 1e-12, 1e9
_BISECT_EVERY = 3
_FINE = 256


@dataclass(frozen=True)
class Bracket:
    """Two log sigmas around a target: `low` misses it (excess > 0), `high` meets it."""

    low: float
    low_excess: float
    high: float
    high_excess: float


@dataclass(frozen=True)
class SigmaSearch:
    """The search for the log of the sigma at which a falling bound on epsilon meets a target.

    Attributes:
        bound: the epsilon of a noise multiplier.
        target: the epsilon that is searched for.
    """

    bound: Callable[[float], float]
    target: float

    def excess(self, log_sigma: float) -> float:
        """Return log epsilon minus log target, bounded so that 0 and infinity compare."""
        return _excess(self.bound(math.exp(log_sigma)), self.target)

    def bracket(self, start: float, step: float) -> Bracket:
        """Walk from `start`, in steps that double, until the target lies between two points.

        Raises:
            ConfigError: it lies nowhere in [1e-3, 1e9], the range of noise multipliers.
        """
        lowest, highest = math.log(SMALLEST_SIGMA), math.log(LARGEST_SIGMA)
        here, value = start, self.excess(start)
        while True:
            last, last_value = here, value
            here = min(max(lowest, here + (step if last_value > 0.0 else -step)), highest)
            step *= 2.0
            if here == last:
                raise ConfigError(
                    f"No noise multiplier from {SMALLEST_SIGMA} to {LARGEST_SIGMA:g} gives an "
                    f"epsilon of {self.target}: the target is out of all proportion. Change "
                    "epsilon, the steps or the sampling rate."
                )
            value = self.excess(here)
            if last_value > 0.0 >= value:
                return Bracket(last, last_value, here, value)
            if value > 0.0 >= last_value:
                return Bracket(here, value, last, last_value)

    def narrowed(self, bracket: Bracket, tolerance: float) -> float:
        """Return a point that meets the target, within `tolerance` of one that misses it.

        Interpolates, kept half a tolerance away from either end so that both ends close in, and
        bisects at every third step so that it ends whatever the bound's shape.
        """
        for count in itertools.count():
            width = bracket.high - bracket.low
            if width <= tolerance:
                break
            fall = bracket.low_excess - bracket.high_excess
            share = 0.5 if count % _BISECT_EVERY == 0 and count else bracket.low_excess / fall
            point = bracket.low + width * share
            point = min(max(point, bracket.low + tolerance / 2.0), bracket.high - tolerance / 2.0)
            value = self.excess(point)
            if value > 0.0:
                bracket = replace(bracket, low=point, low_excess=value)
            else:
                bracket = replace(bracket, high=point, high_excess=value)
        return bracket.high


def most_steps(bound: Callable[[int], float], target: float, start: int) -> int:
    """Return a number of steps that meets `target`, while one step more misses it.

    Args:
        bound: the epsilon of so many steps; it rises.
        target: the epsilon that may be reached.
        start: where the search begins, from 1 to `LARGEST_STEPS`: near the answer it is short.

    Raises:
        ConfigError: one step misses the target.
    """

    def excess(steps: int) -> float:
        return _excess(bound(steps), target)

    meets, misses = 0, LARGEST_STEPS + 1
    met = missed = 0.0
    here, stride = start, max(1, start // _FINE)
    while meets < here < misses:
        value = excess(here)
        if value > 0.0:
            misses, missed = here, value
            here -= stride
        else:
            meets, met = here, value
            here += stride
        stride *= 2
        here = min(max(here, 1), LARGEST_STEPS)
    for count in itertools.count():
        if misses - meets <= 1:
            break
        share = 0.5 if count % _BISECT_EVERY == 0 and count else met / (met - missed)
        middle = meets + round((misses - meets) * share)
        middle = min(max(middle, meets + 1), misses - 1)
        value = excess(middle)
        if value > 0.0:
            misses, missed = middle, value
        else:
            meets, met = middle, value
    if meets == 0:
        raise ConfigError(
            f"One step alone costs more than an epsilon of {target}: nothing can be trained with "
            "this noise. Raise sigma, epsilon or delta, or lower the sampling rate."
        )
    return meets


def _excess(epsilon: float, target: float) -> float:
    """Return log epsilon minus log target, bounded so that 0 and infinity compare."""
    return math.log(min(max(epsilon, _EPSILON_FLOOR), _EPSILON_CEILING)) - math.log(target)
