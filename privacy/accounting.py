"""How much privacy the events of one data set have cost: epsilon at a given delta.

The claimed number is the privacy loss distribution (PLD) of dp-accounting, which convolves the
privacy losses of all steps (Koskela et al. 2020; Doroshenko et al. 2022, "Connect the dots"). It
is a pessimistic estimate: losses are rounded so that epsilon can only come out too large. The
Renyi bound (`rdp_epsilon`) and Opacus' PRV accountant (`privacy.opacus_prv`) are cross-checks,
computed by other methods, and are never claimed.

Formal guarantees and limits:
    - Composition is joint: it holds for events whose parameters do not depend on what earlier
      events released. Where a person picks the next run's parameters after reading the last run's
      results, the composition is adaptive and this number is only an approximation.
    - Poisson sampling is assumed: each unit enters each step by its own coin. Batches of fixed
      size or shuffled epochs have another privacy loss.
    - The convolution uses floating-point transforms. Their rounding (a few 1e-15 in delta where
      measured) is covered by claiming at delta minus `ROUNDING_SLACK`.
    - The loss is discretised to multiples of `FINEST_INTERVAL` wherever its scale stays below
      200. Beyond, where no one speaks of privacy any more, the interval is 10 or 100 times that,
      and a scale above 20,000 is claimed as infinity: all pessimistic, and a hostile proposal
      cannot exhaust a site's memory.

dp-accounting takes over a second to import, so it is imported where it is used: the ledger, the
policy check and `--help` start without it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast

from crypto.errors import ConfigError
from privacy.events import (
    Event,
    Relation,
    SubsampledGaussian,
    require_delta,
    require_sampling_rate,
    require_steps,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FINEST_INTERVAL = 1e-4
"""The privacy loss is discretised to multiples of this wherever its scale stays below 200."""

ROUNDING_SLACK = 1e-12
"""Subtracted from delta before a claim, for the rounding of the floating-point transforms."""

SIGMA_TOLERANCE = 1e-4
"""A calibrated sigma is at most this much (relative) above the smallest that meets the target."""

LARGEST_TARGET = 10_000.0
"""The largest epsilon that a sigma is calibrated to."""

_COARSER_ABOVE = 200.0
_INFINITE_ABOVE = 20_000.0
_SMALLEST_SIGMA = 1e-3
_LARGEST_SIGMA = 1e9
_RENYI_ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 384, 512, 1024)
_COARSENING = 10.0
_EPSILON_FLOOR, _EPSILON_CEILING = 1e-12, 1e9
_BISECT_EVERY = 3


class _LossDistribution(Protocol):
    """What is used of dp-accounting's `PrivacyLossDistribution`, which ships no types."""

    def self_compose(self, num_times: int) -> _LossDistribution: ...

    def compose(self, other: _LossDistribution) -> _LossDistribution: ...

    def get_epsilon_for_delta(self, delta: float) -> float: ...


def epsilon(
    events: Iterable[Event], delta: float, *, relation: Relation = Relation.ADD_REMOVE
) -> float:
    """Return the epsilon that is claimed for all of `events` together, at `delta`.

    Args:
        events: what happened to the records. None at all costs 0. Mode none costs infinity, and
            so do events whose epsilon would stand in the tens of thousands.
        delta: the probability with which the bound may fail, in [1e-10, 1).
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: `delta` is out of range.
    """
    require_delta(delta)
    merged = _merged(events)
    if merged is None:
        return math.inf
    return _claimed(merged, delta, relation) if merged else 0.0


def rdp_epsilon(events: Iterable[Event], delta: float) -> float:
    """Return the Renyi-DP bound on epsilon under add/remove (Mironov, Talwar and Zhang 2019).

    A cross-check: a valid bound, usually some per cent above the claimed number.

    Raises:
        ConfigError: `delta` is out of range.
    """
    require_delta(delta)
    merged = _merged(events)
    if merged is None:
        return math.inf
    return _renyi(merged, delta) if merged else 0.0


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
    require_delta(delta)
    require_sampling_rate(sampling_rate)
    require_steps(steps)
    if not 0.0 < epsilon <= LARGEST_TARGET:
        raise ConfigError(
            f"No noise can be calibrated to an epsilon of {epsilon}: give a number above 0 and "
            f"at most {LARGEST_TARGET:g}, or ask for mode none by name."
        )

    def renyi(event: SubsampledGaussian) -> float:
        return _renyi((event,), delta)

    def coarse(event: SubsampledGaussian) -> float:
        interval = _COARSENING * _interval((event,), delta, relation)
        return _composed_epsilon((event,), delta, relation, interval)

    def claimed(event: SubsampledGaussian) -> float:
        return _claimed((event,), delta, relation)

    # Each search starts where the cheaper one before it ended: the last takes two or three claims.
    log_sigma = 0.0
    for bound, step, tolerance in (
        (renyi, 1.0, 1e-2),
        (coarse, 0.05, SIGMA_TOLERANCE / 10.0),
        (claimed, 0.9 * SIGMA_TOLERANCE, 0.9 * SIGMA_TOLERANCE),
    ):
        search = _Search(bound, epsilon, sampling_rate, steps)
        log_sigma = search.narrowed(search.bracket(log_sigma, step), tolerance)
    return math.exp(log_sigma)


def _merged(events: Iterable[Event]) -> tuple[SubsampledGaussian, ...] | None:
    """Return one event per (sigma, q), sorted, with steps added; None where no bound holds."""
    steps: dict[tuple[float, float], int] = {}
    for event in events:
        if not isinstance(event, SubsampledGaussian) or event.noise_multiplier < _SMALLEST_SIGMA:
            return None
        key = (event.noise_multiplier, event.sampling_rate)
        steps[key] = steps.get(key, 0) + event.steps
    return tuple(SubsampledGaussian(*key, count) for key, count in sorted(steps.items()))


@lru_cache(maxsize=1024)
def _claimed(merged: tuple[SubsampledGaussian, ...], delta: float, relation: Relation) -> float:
    """Return the claimed epsilon of at least one event."""
    interval = _interval(merged, delta, relation)
    return _composed_epsilon(merged, delta, relation, interval)


def _composed_epsilon(
    merged: tuple[SubsampledGaussian, ...], delta: float, relation: Relation, interval: float
) -> float:
    """Return the epsilon of at least one event, with losses discretised to `interval`."""
    if math.isinf(interval):
        return math.inf
    total = _composed(merged[0], interval, relation)
    for event in merged[1:]:
        total = total.compose(_composed(event, interval, relation))
    return float(total.get_epsilon_for_delta(delta - ROUNDING_SLACK))


@lru_cache(maxsize=8)
def _composed(event: SubsampledGaussian, interval: float, relation: Relation) -> _LossDistribution:
    """Return the privacy loss distribution of all steps of `event` (some ten megabytes)."""
    # Heavy: dp-accounting takes over a second to import.
    from dp_accounting.pld import privacy_loss_distribution  # noqa: PLC0415 - heavy
    from dp_accounting.privacy_accountant import NeighboringRelation  # noqa: PLC0415 - heavy

    single = privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=event.noise_multiplier,
        pessimistic_estimate=True,
        value_discretization_interval=interval,
        sampling_prob=event.sampling_rate,
        neighboring_relation={
            Relation.ADD_REMOVE: NeighboringRelation.ADD_OR_REMOVE_ONE,
            Relation.REPLACE_ONE: NeighboringRelation.REPLACE_ONE,
        }[relation],
    )
    return cast("_LossDistribution", single.self_compose(event.steps))


def _interval(merged: tuple[SubsampledGaussian, ...], delta: float, relation: Relation) -> float:
    """Return the discretisation interval, `FINEST_INTERVAL` times 1, 10 or 100, or infinity.

    The scale of the loss is the larger of the Renyi bound of all steps and the largest loss of
    one step without sampling, 1/(2 s^2) + 10/s with s the noise over the relation's sensitivity.
    """
    sensitivity = 2.0 if relation is Relation.REPLACE_ONE else 1.0
    ratio = sensitivity / min(event.noise_multiplier for event in merged)
    scale = max(sensitivity * _renyi(merged, delta), ratio * ratio / 2.0 + 10.0 * ratio)
    if scale > _INFINITE_ABOVE:
        return math.inf
    power = max(0, math.ceil(math.log10(scale / _COARSER_ABOVE)))
    return FINEST_INTERVAL * 10.0**power


@lru_cache(maxsize=1024)
def _renyi(merged: tuple[SubsampledGaussian, ...], delta: float) -> float:
    """Return the Renyi bound on the epsilon of at least one event, under add/remove."""
    # Heavy: dp-accounting takes over a second to import.
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent  # noqa: PLC0415 - heavy
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415 - heavy

    # Whole orders only: they have a closed form, and the fractional series can fail to converge.
    accountant = RdpAccountant(orders=_RENYI_ORDERS)
    for event in merged:
        step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
        accountant.compose(step, event.steps)
    return float(accountant.get_epsilon(delta))


@dataclass(frozen=True)
class _Bracket:
    """Two log sigmas around a target: `low` misses it (excess > 0), `high` meets it."""

    low: float
    low_excess: float
    high: float
    high_excess: float


@dataclass(frozen=True)
class _Search:
    """The search for the log of the sigma at which a falling bound on epsilon meets a target."""

    bound: Callable[[SubsampledGaussian], float]
    target: float
    sampling_rate: float
    steps: int

    def excess(self, log_sigma: float) -> float:
        """Return log epsilon minus log target, bounded so that 0 and infinity compare."""
        event = SubsampledGaussian(math.exp(log_sigma), self.sampling_rate, self.steps)
        epsilon = min(max(self.bound(event), _EPSILON_FLOOR), _EPSILON_CEILING)
        return math.log(epsilon) - math.log(self.target)

    def bracket(self, start: float, step: float) -> _Bracket:
        """Walk from `start`, in steps that double, until the target lies between two points.

        Raises:
            ConfigError: it lies nowhere in [1e-3, 1e9], the range of noise multipliers.
        """
        lowest, highest = math.log(_SMALLEST_SIGMA), math.log(_LARGEST_SIGMA)
        here, value = start, self.excess(start)
        while True:
            last, last_value = here, value
            here = min(max(lowest, here + (step if last_value > 0.0 else -step)), highest)
            step *= 2.0
            if here == last:
                raise ConfigError(
                    f"No noise multiplier from {_SMALLEST_SIGMA} to {_LARGEST_SIGMA:g} gives an "
                    f"epsilon of {self.target}: the target is out of all proportion. Change "
                    "epsilon, the steps or the sampling rate."
                )
            value = self.excess(here)
            if last_value > 0.0 >= value:
                return _Bracket(last, last_value, here, value)
            if value > 0.0 >= last_value:
                return _Bracket(here, value, last, last_value)

    def narrowed(self, bracket: _Bracket, tolerance: float) -> float:
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
