"""Privacy loss distributions of DP-SGD steps: dp-accounting's, composed and read pessimistically.

The convolution of all steps' privacy losses (Koskela et al. 2020; Doroshenko et al. 2022, "Connect
the dots"), rounded so that epsilon can only come out too large.

Limits:
    - The convolution uses floating-point transforms. Their rounding (a few 1e-15 in delta where
      measured) is covered by reading at delta minus `ROUNDING_SLACK`.
    - The loss is discretised to multiples of `FINEST_INTERVAL` wherever its scale stays below
      200. Beyond, where no one speaks of privacy any more, the interval is 10 or 100 times that,
      and a scale above 20,000 is read as infinity: all pessimistic, and a hostile proposal cannot
      exhaust a site's memory.

dp-accounting takes over a second to import, so it is imported where it is used: the ledger, the
policy check and `--help` start without it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, cast

from privacy.events import Relation
from privacy.renyi import renyi_epsilon

if TYPE_CHECKING:
    from privacy.events import SubsampledGaussian

FINEST_INTERVAL = 1e-4
"""The privacy loss is discretised to multiples of this wherever its scale stays below 200."""

ROUNDING_SLACK = 1e-12
"""Subtracted from delta before a claim, for the rounding of the floating-point transforms."""

_COARSER_ABOVE = 200.0
_INFINITE_ABOVE = 20_000.0
_COARSENING = 10.0


class _LossDistribution(Protocol):
    """What is used of dp-accounting's `PrivacyLossDistribution`, which ships no types."""

    def self_compose(self, num_times: int) -> _LossDistribution: ...

    def compose(self, other: _LossDistribution) -> _LossDistribution: ...

    def get_epsilon_for_delta(self, delta: float) -> float: ...


@lru_cache(maxsize=1024)
def pld_epsilon(merged: tuple[SubsampledGaussian, ...], delta: float, relation: Relation) -> float:
    """Return the epsilon of at least one event, the events' mechanisms all different."""
    return _composed_epsilon(merged, delta, relation, interval(merged, delta, relation))


def coarse_epsilon(event: SubsampledGaussian, delta: float, relation: Relation) -> float:
    """Return a larger epsilon than `pld_epsilon`, from losses ten times as coarse: it is quick."""
    width = _COARSENING * interval((event,), delta, relation)
    return _composed_epsilon((event,), delta, relation, width)


def interval(merged: tuple[SubsampledGaussian, ...], delta: float, relation: Relation) -> float:
    """Return the discretisation interval, `FINEST_INTERVAL` times 1, 10 or 100, or infinity.

    The scale of the loss is the larger of the Renyi bound of all steps and the largest loss of
    one step without sampling, 1/(2 s^2) + 10/s with s the noise over the relation's sensitivity.
    """
    sensitivity = 2.0 if relation is Relation.REPLACE_ONE else 1.0
    ratio = sensitivity / min(event.noise_multiplier for event in merged)
    scale = max(sensitivity * renyi_epsilon(merged, delta), ratio * ratio / 2.0 + 10.0 * ratio)
    if scale > _INFINITE_ABOVE:
        return math.inf
    power = max(0, math.ceil(math.log10(scale / _COARSER_ABOVE)))
    return FINEST_INTERVAL * 10.0**power


def _composed_epsilon(
    merged: tuple[SubsampledGaussian, ...], delta: float, relation: Relation, width: float
) -> float:
    """Return the epsilon of at least one event, with losses discretised to `width`."""
    if math.isinf(width):
        return math.inf
    total = _composed(merged[0], width, relation)
    for event in merged[1:]:
        total = total.compose(_composed(event, width, relation))
    return float(total.get_epsilon_for_delta(delta - ROUNDING_SLACK))


@lru_cache(maxsize=8)
def _composed(event: SubsampledGaussian, width: float, relation: Relation) -> _LossDistribution:
    """Return the privacy loss distribution of all steps of `event` (some ten megabytes)."""
    # Heavy: dp-accounting takes over a second to import.
    from dp_accounting.pld import privacy_loss_distribution  # noqa: PLC0415 - heavy
    from dp_accounting.privacy_accountant import NeighboringRelation  # noqa: PLC0415 - heavy

    single = privacy_loss_distribution.from_gaussian_mechanism(
        standard_deviation=event.noise_multiplier,
        pessimistic_estimate=True,
        value_discretization_interval=width,
        sampling_prob=event.sampling_rate,
        neighboring_relation={
            Relation.ADD_REMOVE: NeighboringRelation.ADD_OR_REMOVE_ONE,
            # A clipped contribution that becomes zero is one that is removed from the sum.
            Relation.ZERO_OUT: NeighboringRelation.ADD_OR_REMOVE_ONE,
            Relation.REPLACE_ONE: NeighboringRelation.REPLACE_ONE,
        }[relation],
    )
    return cast("_LossDistribution", single.self_compose(event.steps))
