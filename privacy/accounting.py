"""How much privacy the events of one data set have cost: epsilon at a given delta.

For DP-SGD at one site the claimed number is the privacy loss distribution (PLD) of dp-accounting
(`privacy.accounting_pld`), a pessimistic estimate. As soon as noise that sites share under a
secure sum is among the events, the claim is the Renyi bound of all events together
(`privacy.renyi`), which holds for sums of discrete Gaussians. `smoothed_epsilon` is a second
proved bound, mostly lower, that is not claimed. `approximate_epsilon`, the Renyi bound of
dp-accounting (`rdp_epsilon`) and Opacus' PRV accountant (`privacy.opacus_prv`) are cross-checks:
they take shared noise for one continuous Gaussian, and are never claimed.

Formal guarantees and limits:
    - Composition is joint: it holds for events whose parameters do not depend on what earlier
      events released. Where a person picks the next run's parameters after reading the last run's
      results, the composition is adaptive: that is what `privacy.renyi_filter` bounds.
    - Poisson sampling is assumed: each unit enters each step by its own coin. Batches of fixed
      size or shuffled epochs have another privacy loss.
    - Under zero-out a unit's clipped contribution becomes zero, which moves a sum as far as
      removing it: it costs what add/remove costs. Replace-one moves it twice as far.

dp-accounting takes over a second to import, so it is imported where it is used: the ledger, the
policy check and `--help` start without it.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from privacy.accounting_calibration import (
    LARGEST_TARGET,
    SIGMA_TOLERANCE,
    calibrate_distributed,
    calibrate_distributed_steps,
    calibrate_sigma,
    calibrate_steps,
)
from privacy.accounting_pld import FINEST_INTERVAL, ROUNDING_SLACK, pld_epsilon
from privacy.events import (
    DistributedGaussian,
    Event,
    NoGuarantee,
    Relation,
    SubsampledGaussian,
    require_delta,
)
from privacy.renyi import SMALLEST_MULTIPLIER, renyi_epsilon
from privacy.smoothing import smoothed_events

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "FINEST_INTERVAL",
    "LARGEST_TARGET",
    "ROUNDING_SLACK",
    "SIGMA_TOLERANCE",
    "Claim",
    "Method",
    "approximate_epsilon",
    "calibrate_distributed",
    "calibrate_distributed_steps",
    "calibrate_sigma",
    "calibrate_steps",
    "claim",
    "continuous",
    "epsilon",
    "rdp_epsilon",
    "smoothed_epsilon",
]

_RENYI_ORDERS = (*range(2, 65), 80, 96, 128, 192, 256, 384, 512, 1024)


class Method(enum.Enum):
    """By which computation an epsilon is claimed."""

    PLD = "dp-accounting PLD, pessimistic"
    RENYI = "Renyi bound of sums of discrete Gaussians"
    NONE = "no bound holds"


@dataclass(frozen=True)
class Claim:
    """An epsilon that is claimed, with what it means.

    Attributes:
        epsilon: the bound; infinite where none holds.
        delta: the probability with which it may fail.
        relation: which neighbouring data sets are compared.
        method: how it was computed.
    """

    epsilon: float
    delta: float
    relation: Relation
    method: Method


def claim(
    events: Iterable[Event], delta: float, *, relation: Relation = Relation.ADD_REMOVE
) -> Claim:
    """Return what is claimed for all of `events` together, at `delta`.

    Args:
        events: what happened to the records. None at all costs 0. Mode none costs infinity, and
            so do events whose epsilon would stand in the tens of thousands.
        delta: the probability with which the bound may fail, in [1e-10, 1).
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: `delta` is out of range.
    """
    require_delta(delta)
    return _claimed(events, delta, relation)


def epsilon(
    events: Iterable[Event], delta: float, *, relation: Relation = Relation.ADD_REMOVE
) -> float:
    """Return the epsilon of `claim`, which says more about it.

    Raises:
        ConfigError: `delta` is out of range.
    """
    return claim(events, delta, relation=relation).epsilon


def approximate_epsilon(
    events: Iterable[Event], delta: float, *, relation: Relation = Relation.ADD_REMOVE
) -> float:
    """Return the PLD epsilon of `events` with shared noise taken for one continuous Gaussian.

    An approximation to show beside a claim, usually some per cent below it; it is proved for
    continuous noise only.

    Raises:
        ConfigError: `delta` is out of range.
    """
    return epsilon(continuous(events), delta, relation=relation)


def smoothed_epsilon(
    events: Iterable[Event], delta: float, *, relation: Relation = Relation.ADD_REMOVE
) -> float:
    """Return a second proved epsilon of `events`, by PLD: mostly below the Renyi bound.

    Shared noise is taken for what a randomised rounding makes of slightly smaller continuous noise
    (`privacy.smoothing`), so this is what `approximate_epsilon` becomes with a proof. It is not
    what is claimed.

    Raises:
        ConfigError: `delta` is out of range.
    """
    require_delta(delta)
    replaced, apart = smoothed_events(events)
    return _claimed(replaced, delta * math.exp(-apart), relation).epsilon + 2.0 * apart


def rdp_epsilon(events: Iterable[Event], delta: float) -> float:
    """Return dp-accounting's Renyi bound under add/remove (Mironov, Talwar and Zhang 2019).

    A cross-check: usually some per cent above a claim by PLD. Shared noise is taken for one
    continuous Gaussian.

    Raises:
        ConfigError: `delta` is out of range.
    """
    require_delta(delta)
    merged = _merged(continuous(events))
    if merged is None:
        return math.inf
    if not merged:
        return 0.0
    # Heavy: dp-accounting takes over a second to import.
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent  # noqa: PLC0415 - heavy
    from dp_accounting.rdp import RdpAccountant  # noqa: PLC0415 - heavy

    # Whole orders only: they have a closed form, and the fractional series can fail to converge.
    accountant = RdpAccountant(orders=_RENYI_ORDERS)
    for event in merged:
        step = PoissonSampledDpEvent(event.sampling_rate, GaussianDpEvent(event.noise_multiplier))
        accountant.compose(step, event.steps)
    return float(accountant.get_epsilon(delta))


def continuous(events: Iterable[Event]) -> tuple[SubsampledGaussian | NoGuarantee, ...]:
    """Return `events` with one continuous Gaussian in place of noise that sites share."""
    return tuple(
        SubsampledGaussian(event.noise_multiplier, event.sampling_rate, event.steps)
        if isinstance(event, DistributedGaussian)
        else event
        for event in events
    )


def _claimed(events: Iterable[Event], delta: float, relation: Relation) -> Claim:
    merged = _merged(events)
    if merged is None:
        return Claim(math.inf, delta, relation, Method.NONE)
    plain = tuple(event for event in merged if isinstance(event, SubsampledGaussian))
    if len(plain) < len(merged):
        return Claim(renyi_epsilon(merged, delta, relation), delta, relation, Method.RENYI)
    value = pld_epsilon(plain, delta, relation) if plain else 0.0
    return Claim(value, delta, relation, Method.PLD)


def _merged(
    events: Iterable[Event],
) -> tuple[SubsampledGaussian | DistributedGaussian, ...] | None:
    """Return one event per mechanism, sorted, with steps added; None where no bound holds."""
    steps: dict[SubsampledGaussian | DistributedGaussian, int] = {}
    for event in events:
        if isinstance(event, NoGuarantee) or event.noise_multiplier < SMALLEST_MULTIPLIER:
            return None
        mechanism = replace(event, steps=1)
        steps[mechanism] = steps.get(mechanism, 0) + event.steps
    return tuple(
        replace(mechanism, steps=count)
        for mechanism, count in sorted(steps.items(), key=lambda item: repr(item[0]))
    )
