"""Sigma, steps and epsilon, each from the other two, by the very computation that claims epsilon.

Noise of one site is calibrated to dp-accounting's privacy loss distribution, shared noise to the
Renyi bound, which is cheap.
"""

from __future__ import annotations

import math
from dataclasses import replace

from crypto.errors import ConfigError
from privacy.accounting_pld import coarse_epsilon, pld_epsilon
from privacy.accounting_search import SigmaSearch, most_steps
from privacy.events import (
    SMALLEST_LOCAL_SIGMA,
    DistributedGaussian,
    Relation,
    SubsampledGaussian,
    require_delta,
    require_sampling_rate,
    require_steps,
)
from privacy.renyi import renyi_epsilon

SIGMA_TOLERANCE = 1e-4
"""A calibrated sigma is at most this much (relative) above the smallest that meets the target."""

LARGEST_TARGET = 10_000.0
"""The largest epsilon that noise or steps are calibrated to."""


def calibrate_sigma(
    epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    *,
    relation: Relation = Relation.ADD_REMOVE,
) -> float:
    """Return the smallest noise multiplier whose claimed epsilon is at most `epsilon`.

    The result meets the target by the very same computation that claims it, and a sigma that is
    smaller by the factor 1 - `SIGMA_TOLERANCE` misses it. The search starts at the sigma of the
    Renyi bound, which is cheap and close.

    Args:
        epsilon: the target, above 0 and at most `LARGEST_TARGET`.
        delta: the probability with which the bound may fail, in [1e-10, 1).
        sampling_rate: q in (0, 1], the Poisson sampling rate of every step.
        steps: how many steps the whole run makes.
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: a parameter is out of range, or no sigma in [1e-3, 1e9] meets the target.
    """
    _require_target(epsilon, delta, sampling_rate, steps)

    def of(sigma: float) -> SubsampledGaussian:
        return SubsampledGaussian(sigma, sampling_rate, steps)

    def renyi(sigma: float) -> float:
        return renyi_epsilon((of(sigma),), delta)

    def coarse(sigma: float) -> float:
        return coarse_epsilon(of(sigma), delta, relation)

    def claimed(sigma: float) -> float:
        return pld_epsilon((of(sigma),), delta, relation)

    # Each search starts where the cheaper one before it ended: the last takes two or three claims.
    log_sigma = 0.0
    for bound, step, tolerance in (
        (renyi, 1.0, 1e-2),
        (coarse, 0.05, SIGMA_TOLERANCE / 10.0),
        (claimed, 0.9 * SIGMA_TOLERANCE, 0.9 * SIGMA_TOLERANCE),
    ):
        search = SigmaSearch(bound, epsilon)
        log_sigma = search.narrowed(search.bracket(log_sigma, step), tolerance)
    return math.exp(log_sigma)


def calibrate_steps(
    epsilon: float,
    delta: float,
    sigma: float,
    sampling_rate: float,
    *,
    relation: Relation = Relation.ADD_REMOVE,
) -> int:
    """Return how many steps of DP-SGD may be made: one more would be claimed above `epsilon`.

    Args:
        epsilon: the target, above 0 and at most `LARGEST_TARGET`.
        delta: the probability with which the bound may fail, in [1e-10, 1).
        sigma: the noise multiplier of every step.
        sampling_rate: q in (0, 1], the Poisson sampling rate of every step.
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: a parameter is out of range, or one step misses the target.
    """
    _require_target(epsilon, delta, sampling_rate, 1)
    single = SubsampledGaussian(sigma, sampling_rate, 1)

    def of(count: int) -> SubsampledGaussian:
        return replace(single, steps=count)

    def renyi(count: int) -> float:
        return renyi_epsilon((of(count),), delta, relation)

    def coarse(count: int) -> float:
        return coarse_epsilon(of(count), delta, relation)

    def claimed(count: int) -> float:
        return pld_epsilon((of(count),), delta, relation)

    steps = 1
    for bound in (renyi, coarse):
        # The cheaper bounds are mostly higher: where they allow no step, the claim still may.
        if bound(1) <= epsilon:
            steps = most_steps(bound, epsilon, steps)
    return most_steps(claimed, epsilon, steps)


def calibrate_distributed(  # noqa: PLR0913 - the parameters of the mechanism
    epsilon: float,
    delta: float,
    sampling_rate: float,
    steps: int,
    *,
    size: int,
    contributors: int,
    relation: Relation = Relation.ADD_REMOVE,
) -> float:
    """Return the smallest z of shared noise whose claimed epsilon is at most `epsilon`.

    z is the noise multiplier of `DistributedGaussian`: all honest survivors' noise over the
    sensitivity with its rounding. The result holds for every local sigma that an event may have.
    One that is smaller by the factor 1 - `SIGMA_TOLERANCE` misses the target.

    Args:
        epsilon: the target, above 0 and at most `LARGEST_TARGET`.
        delta: the probability with which the bound may fail, in [1e-10, 1).
        sampling_rate: q in (0, 1], the Poisson sampling rate of every step.
        steps: how many steps the whole run makes.
        size: how many integers are summed.
        contributors: of at most this many sites the noise is summed.
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: a parameter is out of range, or no z in [1e-3, 1e9] meets the target.
    """
    _require_target(epsilon, delta, sampling_rate, steps)
    any_event = DistributedGaussian(
        1.0, sampling_rate, steps, size, SMALLEST_LOCAL_SIGMA, contributors
    )

    def bound(z: float) -> float:
        return renyi_epsilon((replace(any_event, noise_multiplier=z),), delta, relation)

    search = SigmaSearch(bound, epsilon)
    return math.exp(search.narrowed(search.bracket(0.0, 1.0), 0.9 * SIGMA_TOLERANCE))


def calibrate_distributed_steps(
    epsilon: float,
    delta: float,
    event: DistributedGaussian,
    *,
    relation: Relation = Relation.ADD_REMOVE,
) -> int:
    """Return how many steps like those of `event` may be made: one more would cost too much.

    Args:
        epsilon: the target, above 0 and at most `LARGEST_TARGET`.
        delta: the probability with which the bound may fail, in [1e-10, 1).
        event: the mechanism; its own number of steps does not matter.
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: a parameter is out of range, or one step misses the target.
    """
    _require_target(epsilon, delta, event.sampling_rate, 1)
    return most_steps(
        lambda count: renyi_epsilon((replace(event, steps=count),), delta, relation), epsilon, 1
    )


def _require_target(epsilon: float, delta: float, sampling_rate: float, steps: int) -> None:
    require_delta(delta)
    require_sampling_rate(sampling_rate)
    require_steps(steps)
    if not 0.0 < epsilon <= LARGEST_TARGET:
        raise ConfigError(
            f"Nothing can be calibrated to an epsilon of {epsilon}: give a number above 0 and at "
            f"most {LARGEST_TARGET:g}, or ask for mode none by name."
        )
