"""What a site's policy and ledger would say of a run, and what the run would cost, beforehand."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from audits.numerals import bound
from crypto.errors import BudgetError, ConfigError
from privacy.ledger_spending import composed, is_within, said
from secure_fl.guarantee import planned_event, resolve_sigma

if TYPE_CHECKING:
    from typing import TextIO

    from privacy.events import Event
    from privacy.ledger import Budget, Ledger
    from secure_fl.config import RunConfig
    from secure_fl.policy import SitePolicy


@dataclass(frozen=True)
class Cost:
    """What a run would spend of a named data set.

    Attributes:
        dataset: the policy's name.
        budget: what the policy says of it.
        run: the epsilon of the whole run alone, at the data set's delta; infinite in mode none.
        before: what was spent so far; None where no ledger was asked.
        after: what would be spent with the run; None likewise.
    """

    dataset: str
    budget: Budget
    run: float
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Answer:
    """What the policy says of a run.

    Attributes:
        refused: every point on which it is refused, each in words; empty if it is allowed.
        cost: what it would spend; None where the policy has no data set for it.
    """

    refused: tuple[str, ...]
    cost: Cost | None

    @property
    def allowed(self) -> bool:
        """Whether nothing speaks against the run."""
        return not self.refused


def examine(config: RunConfig, policy: SitePolicy, ledger: Ledger | None) -> Answer:
    """Return what `policy`, and the ledger if one is given, say of a run. Nothing is spent.

    Raises:
        ConfigError: the configuration contradicts itself (sigma and epsilon).
        IntegrityError: the ledger does not verify.
    """
    mechanism = resolve_sigma(config.mechanism)
    refused = list(policy.problems(mechanism))
    try:
        dataset, budget = policy.budget_for(mechanism)
    except BudgetError as error:
        return Answer((*refused, _point(error)), None)
    event = planned_event(mechanism)
    if ledger is None:
        if not is_within((event,), budget.terms, budget.composition, budget.epsilon):
            refused.append(
                f"the run alone exceeds the ceiling of {budget.epsilon:g} of data set `{dataset}`"
            )
    else:
        try:
            ledger.afford(dataset, event, budget)
        except (BudgetError, ConfigError) as error:
            refused.append(_point(error))
    return Answer(tuple(refused), _cost(dataset, budget, event, ledger))


def _point(error: BudgetError | ConfigError) -> str:
    """Return an error's words as one point among others."""
    words = str(error).rstrip(".")
    return words[0].lower() + words[1:]


def _cost(dataset: str, budget: Budget, event: Event, ledger: Ledger | None) -> Cost:
    def epsilon(*events: Event) -> float:
        return composed(events, budget.terms, budget.composition)

    if ledger is None:
        return Cost(dataset, budget, epsilon(event), None, None)
    # Also of the names that the policy newly says share people with this one.
    names = {dataset, *budget.shares_people_with}
    together = sorted(frozenset().union(*map(ledger.people, names)))
    charged = [
        charge.event
        for name in together
        for charge in ledger.charges(name)
        if charge.dataset == name
    ]
    return Cost(dataset, budget, epsilon(event), epsilon(*charged), epsilon(*charged, event))


def write_answer(answer: Answer, stream: TextIO, *, as_json: bool) -> None:
    """Write an answer to `stream`, for a person or for a machine."""
    if as_json:
        stream.write(json.dumps(_as_json(answer), ensure_ascii=False) + "\n")
        return
    stream.writelines(f"refused: {point}\n" for point in answer.refused)
    if answer.cost is not None:
        stream.writelines(f"{line}\n" for line in _cost_lines(answer.cost))
    stream.write(
        "The policy allows this run.\n"
        if answer.allowed
        else "The policy refuses this run. Change it, or ask the compliance officer.\n"
    )


def _cost_lines(cost: Cost) -> list[str]:
    budget = cost.budget
    meaning = f"delta {budget.delta:g}, per {budget.unit.value}, {budget.relation.value}"
    lines = [f"The run would spend epsilon {_shown(cost.run)} of `{cost.dataset}` ({meaning})."]
    if cost.before is not None and cost.after is not None:
        lines.append(
            f"Spent so far: {_shown(cost.before)}; with this run: {_shown(cost.after)} "
            f"({said(budget.composition)}); ceiling: {_shown(budget.epsilon)}."
        )
    else:
        lines.append(f"Ceiling over all runs: {_shown(budget.epsilon)}. No ledger was asked.")
    return lines


def _shown(epsilon: float) -> str:
    return "infinity (no guarantee)" if math.isinf(epsilon) else bound(epsilon, places=4)


def _as_json(answer: Answer) -> dict[str, object]:
    cost = answer.cost
    return {
        "schema": "secure-fl.policy-check.v1",
        "allowed": answer.allowed,
        "refused": list(answer.refused),
        "cost": None
        if cost is None
        else {
            "dataset": cost.dataset,
            "unit": cost.budget.unit.value,
            "relation": cost.budget.relation.value,
            "delta": cost.budget.delta,
            "no_guarantee": math.isinf(cost.run),
            "run": _finite(cost.run),
            "spent_before": _finite(cost.before),
            "spent_after": _finite(cost.after),
            "ceiling": _finite(cost.budget.epsilon),
        },
    }


def _finite(epsilon: float | None) -> float | None:
    """Return an epsilon; JSON has no infinity, which stands for no guarantee and no ceiling."""
    return None if epsilon is None or math.isinf(epsilon) else epsilon
