"""Shared discrete noise as what a randomised rounding makes of continuous noise.

Let Y be N(v, sigma^2 - s^2), and X an integer drawn around it with probability proportional to
exp(-(x - Y)^2 / (2 s^2)). Integrating over Y (Peikert 2010, Theorem 3.1):

    P(X = x) = E[exp(-(x - Y)^2 / (2 s^2)) / sum over j of exp(-(j - Y)^2 / (2 s^2))].

By Poisson's summation formula the sum in it is sqrt(2 pi) s (1 +- e) with
e = 2 sum over k >= 1 of exp(-2 pi^2 s^2 k^2), so that P(X = x) is, up to these factors, the density
of N(v, sigma^2) at x. Up to one more of them, that is the probability of x under
v + N_Z(0, sigma^2) for an integer v. Together log P differs by less than
5 exp(-2 pi^2 s^2) for s >= 1/2.

So shared noise gives away no more than continuous noise of variance sigma^2 - s^2 does, of which
it is post-processing, in all coordinates at once, whatever is sampled and composed: but for a
factor exp(+-t) of every probability, which turns delta(epsilon) into at most
exp(t) delta(epsilon - 2 t). With s = 2 and sigma >= 16 the noise multiplier shrinks by less than
0.8 per cent, and t is below 10^-23 per step for any number of coordinates. What is proved for
continuous noise, by its privacy loss distribution too, then holds for shared noise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from privacy.events import DistributedGaussian, NoGuarantee, SubsampledGaussian
from privacy.renyi import closeness

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.events import Event

ROUNDING_DEVIATION = 2.0
"""s, the standard deviation of the randomised rounding, in grid steps."""


def rounding_closeness(deviation: float) -> float:
    """Return how far log P of one rounded coordinate is from a discrete Gaussian's, s >= 1/2."""
    return 5.0 * math.exp(-2.0 * math.pi**2 * deviation**2)


def smoothed(event: DistributedGaussian) -> tuple[SubsampledGaussian, float]:
    """Return continuous steps that give away as much as `event`, up to a factor exp(+-t), and t.

    The noise of all honest survivors is at least one site's, so that the variance that the
    rounding takes is at most s^2 / local_sigma^2 of it.
    """
    kept = 1.0 - (ROUNDING_DEVIATION / event.local_sigma) ** 2
    apart = closeness(event.local_sigma, event.contributors)
    apart += rounding_closeness(ROUNDING_DEVIATION)
    continuous = SubsampledGaussian(
        event.noise_multiplier * math.sqrt(kept), event.sampling_rate, event.steps
    )
    return continuous, event.steps * event.size * apart


def smoothed_events(
    events: Iterable[Event],
) -> tuple[tuple[SubsampledGaussian | NoGuarantee, ...], float]:
    """Return `events` with continuous steps in place of shared noise, and the sum of their t."""
    replaced: list[SubsampledGaussian | NoGuarantee] = []
    apart = 0.0
    for event in events:
        if isinstance(event, DistributedGaussian):
            continuous, its_own = smoothed(event)
            replaced.append(continuous)
            apart += its_own
        else:
            replaced.append(event)
    return tuple(replaced), apart
