"""What charges add up to: epsilon, computed from events at every question and never stored.

Epsilons are never added. Runs that were planned together compose jointly (the claim of
`accounting`); runs that are chosen after seeing results are bounded by a Renyi filter, whose
divergences at one fixed order add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import BudgetError
from privacy import accounting, renyi
from privacy.ledger_terms import Planned
from privacy.renyi_filter import RenyiFilter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.events import Event
    from privacy.ledger_accounts import Charge
    from privacy.ledger_terms import Budget, Composition, Terms


@dataclass(frozen=True)
class Total:
    """What charges add up to, and how that was computed.

    Attributes:
        epsilon: 0 where nothing was charged, infinite after a run without a guarantee. Under a
            filter it says how much of the ceiling is used; what holds for runs that go on to be
            chosen is the ceiling itself.
        terms: what epsilon means here.
        composition: how the charges were composed.
        is_declared: whether that is how the data set's own runs are declared to compose. If not,
            the number is for comparison, and nobody claims it.
    """

    epsilon: float
    terms: Terms
    composition: Composition
    is_declared: bool


def composed(events: Iterable[Event], terms: Terms, composition: Composition) -> float:
    """Return the epsilon of all of `events` together.

    Planned: the claim of `accounting.epsilon`. Adaptive: the sum of the Renyi divergences at the
    fixed order, converted at the terms' delta (`renyi_filter`).
    """
    if isinstance(composition, Planned):
        return accounting.epsilon(tuple(events), terms.delta, relation=terms.relation)
    spent = math.fsum(
        renyi.divergence(event, composition.order, terms.relation) for event in events
    )
    return renyi.converted((spent,), (composition.order,), terms.delta) if spent else 0.0


def is_within(
    events: Iterable[Event], terms: Terms, composition: Composition, ceiling: float
) -> bool:
    """Return whether all of `events` together stay below a ceiling on epsilon.

    Raises:
        ConfigError: under a filter, the ceiling leaves no room at the order, or is out of range.
    """
    if math.isinf(ceiling):
        return True
    if isinstance(composition, Planned):
        return composed(events, terms, composition) <= ceiling
    kept = RenyiFilter(composition.order, ceiling, terms.delta, terms.relation)
    return kept.spent(events) <= kept.budget


def require_affordable(
    dataset: str,
    charges: tuple[Charge, ...],
    asked: Charge | None,
    budget: Budget,
    composition: Composition,
) -> None:
    """Refuse `asked` on top of `charges`, where that exceeds a ceiling.

    Args:
        dataset: the policy's name, for the message.
        charges: everything that counts against the data set.
        asked: what would be charged; None asks whether the ceilings hold as it is.
        budget: the ceilings, over all runs and over one calendar year.
        composition: how the charges compose.

    Raises:
        BudgetError: a ceiling does not allow it; the message says what was spent and is asked for.
    """
    added = () if asked is None else (asked,)
    _require_below(dataset, charges, added, budget, composition, budget.epsilon, "")
    if asked is not None:
        this_year = tuple(charge for charge in charges if charge.year == asked.year)
        when = f" in {asked.year}"
        _require_below(dataset, this_year, added, budget, composition, budget.yearly_epsilon, when)


def _require_below(  # noqa: PLR0913, PLR0917 - what the message says
    dataset: str,
    charges: tuple[Charge, ...],
    added: tuple[Charge, ...],
    budget: Budget,
    composition: Composition,
    ceiling: float,
    when: str,
) -> None:
    def epsilon(of: tuple[Charge, ...]) -> float:
        return composed((charge.event for charge in of), budget.terms, composition)

    together = (*charges, *added)
    if is_within((charge.event for charge in together), budget.terms, composition, ceiling):
        return
    raise BudgetError(
        f"Data set `{dataset}` has spent epsilon {shown(epsilon(charges))}{when} and is asked for "
        f"{shown(epsilon(added))} more, {shown(epsilon(together))} together, but its "
        f"ceiling{when} is {shown(ceiling)} (delta {budget.delta:g}, per {budget.unit.value}, "
        f"{budget.relation.value}, {said(composition)}): nothing was charged. Ask the compliance "
        "officer to raise the ceiling, lower the rounds or the epsilon of the run, or use other "
        "data."
    )


def said(composition: Composition) -> str:
    """Return in words how runs compose."""
    if isinstance(composition, Planned):
        return "runs planned together"
    return f"runs chosen one after the other, Renyi order {composition.order:g}"


def shown(epsilon: float) -> str:
    """Return an epsilon as people read it."""
    return "infinity (no guarantee)" if math.isinf(epsilon) else f"{epsilon:.4g}"
