"""A ceiling for runs that are chosen after the results of earlier ones were seen.

Joint accounting (`privacy.accounting`) holds for runs whose parameters were fixed together. Where
the next run's noise, rate or steps depend on what the last one released, the epsilons that each
would be claimed alone do not add up to a guarantee either. What holds is a Renyi filter (Feldman
and Zrnic 2021; Lecuyer 2021): at one order alpha that is fixed in advance, each
event's divergence is a bound whatever was seen before it. If events are admitted only while the
sum of these bounds stays within a budget R, all of them together have a divergence of at most R,
however they were chosen.

The price of adaptivity is the fixed order: planned accounting takes the best order, or the whole
loss distribution, of the events it ends up with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import BudgetError, ConfigError
from privacy.accounting_calibration import LARGEST_TARGET
from privacy.events import Relation, require_delta
from privacy.renyi import ORDERS, converted, divergence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.events import Event


@dataclass(frozen=True)
class RenyiFilter:
    """The filter of one data set. Its order and budget come from the policy, before any run.

    Attributes:
        order: alpha, one of `privacy.renyi.ORDERS`; see `best_order`.
        epsilon: the ceiling over all runs, above 0 and at most `LARGEST_TARGET`.
        delta: the probability with which it may fail, in [1e-10, 1).
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: a parameter is out of range, or the order is so small that its conversion to
            (epsilon, delta) alone takes up the whole ceiling.
    """

    order: float
    epsilon: float
    delta: float
    relation: Relation = Relation.ADD_REMOVE

    def __post_init__(self) -> None:
        require_delta(self.delta)
        _require_ceiling(self.epsilon)
        if self.order not in ORDERS:
            near = min(ORDERS, key=lambda order: abs(order - self.order))
            raise ConfigError(
                f"A Renyi filter of order {self.order} is not on offer, as divergences are "
                f"computed at fixed orders: take {near:g}, the nearest."
            )
        if self.budget <= 0.0:
            raise ConfigError(
                f"At order {self.order:g}, the conversion to delta {self.delta:g} alone takes up "
                f"an epsilon of {self.epsilon:g}: no run could be admitted. Take a larger order, "
                "a larger ceiling or a larger delta."
            )

    @property
    def budget(self) -> float:
        """R, the largest divergence that converts to `epsilon` at `delta`; 0 if there is none.

        From epsilon = R + log(1 - 1/alpha) - log(alpha delta) / (alpha - 1) (Canonne, Kamath and
        Steinke 2020, Proposition 12).
        """
        return max(0.0, self.epsilon + _room(self.order, self.delta))

    def spent(self, events: Iterable[Event]) -> float:
        """Return the sum of the events' divergences at the filter's order; compare to `budget`."""
        return math.fsum(divergence(event, self.order, self.relation) for event in events)

    def remaining(self, events: Iterable[Event]) -> float:
        """Return how much divergence may still be spent after `events`, not below 0."""
        return max(0.0, self.budget - self.spent(events))

    def reported(self, events: Iterable[Event]) -> float:
        """Return the epsilon at `delta` that holds for `events`, however they were chosen.

        It is never above the ceiling while every event was admitted by `require`.
        """
        spent = self.spent(events)
        if spent == 0.0:
            return 0.0
        return converted((spent,), (self.order,), self.delta)

    def require(self, events: Iterable[Event], next_event: Event) -> None:
        """Return if `next_event` may follow the `events` that were charged so far.

        Raises:
            BudgetError: it would take the data set over the ceiling. Smaller events may still be
                admitted.
        """
        before = tuple(events)
        after = self.spent((*before, next_event))
        if after <= self.budget:
            return
        raise BudgetError(
            f"The next run would raise the Renyi divergence of order {self.order:g} from "
            f"{self.spent(before):.4g} to {after:.4g}, above the {self.budget:.4g} that an epsilon "
            f"of {self.epsilon:g} at delta {self.delta:g} allows: nothing was charged. Use more "
            "noise, fewer steps or a smaller sampling rate."
        )


def best_order(
    epsilon: float,
    delta: float,
    like: Iterable[Event] = (),
    *,
    relation: Relation = Relation.ADD_REMOVE,
) -> float:
    """Return a good order for a filter: an officer's help, to be fixed before any run.

    Args:
        epsilon: the ceiling over all runs.
        delta: the probability with which it may fail.
        like: events of the kind that is expected. The order at which most repetitions of them fit
            under the ceiling is returned. Without any, unsampled Gaussian noise is assumed.
        relation: which neighbouring data sets are compared.

    Raises:
        ConfigError: a parameter is out of range, or at no order anything fits.
    """
    require_delta(delta)
    _require_ceiling(epsilon)
    expected = tuple(like)

    def repetitions(order: float) -> float:
        room = max(0.0, epsilon + _room(order, delta))
        # Without sampling, the divergence is proportional to the order.
        one = math.fsum(divergence(event, order, relation) for event in expected)
        return room / (one if expected else order)

    best = max(ORDERS, key=repetitions)
    if repetitions(best) == 0.0:
        raise ConfigError(
            f"At no order an epsilon of {epsilon:g} at delta {delta:g} leaves room for any run "
            "like those expected: raise one of them."
        )
    return best


def _room(order: float, delta: float) -> float:
    """Return the budget of `order` minus the epsilon that it converts to."""
    return math.log(order * delta) / (order - 1.0) - math.log1p(-1.0 / order)


def _require_ceiling(epsilon: float) -> None:
    if not 0.0 < epsilon <= LARGEST_TARGET:
        raise ConfigError(
            f"A ceiling of epsilon {epsilon} cannot be kept by a Renyi filter: give a number above "
            f"0 and at most {LARGEST_TARGET:g}."
        )
