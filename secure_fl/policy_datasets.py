"""The named data sets of a site's policy: what each may spend, and who is in more than one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from privacy.events import Relation, Unit
from privacy.ledger import Adaptive, Budget, Planned
from privacy.renyi import ORDERS
from privacy.scrubbing.modes.modes import DateOrder
from secure_fl.config_sections import Positive, Probability, Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.ledger_terms import Composition

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]


class DatasetBudget(Section):
    """The ceilings over all runs for one named data set of this site."""

    name: Name
    """The officer's name for these records; every version of the file spends from it."""
    dataset: str
    """The catalogue's name that a run asks for."""
    epsilon: Positive
    """What all runs together may spend."""
    epsilon_per_year: Positive | None = None
    """What the runs of one calendar year (UTC) together may spend; no limit when absent."""
    delta: Probability
    unit: Unit
    unit_column: str | None = None
    """Which column of a record says whose it is; needed where the unit is not a record."""
    date_order: DateOrder | None = None
    """How these records mean 03/04/2019. Where dates are shifted and this is absent, a date with
    two readings becomes a placeholder."""
    relation: Relation = Relation.ADD_REMOVE
    """Zero-out where the unit is a site, add-remove everywhere else, and so when absent."""
    composition: Literal["planned", "adaptive"] = "planned"
    """Whether all runs were planned before the first result was seen (they compose jointly), or
    each after seeing the results before it (a Renyi filter bounds them)."""
    renyi_order: Positive | None = None
    """The filter's order: needed for `adaptive`, fixed before the first run."""
    shares_people_with: tuple[Name, ...] = ()
    """Other names of this policy under which some of the same people are: all spend together."""
    largest_returning_share: Share = 0.0
    """How large a part of a run's records may have been used under another name that shares no
    people, such as a form's standard sentences."""

    @model_validator(mode="before")
    @classmethod
    def _of_sites(cls, given: object) -> object:
        """A site's presence is public, so what is hidden of it is what it contributed."""
        # Compared one by one: a file may hold a list here, which no set could be asked for.
        if isinstance(given, dict) and given.get("unit") in (Unit.SITE, Unit.SITE.value):
            return {"relation": Relation.ZERO_OUT.value, **given}
        return given

    @model_validator(mode="after")
    def _is_accounted(self) -> Self:
        accounted = Relation.ZERO_OUT if self.unit is Unit.SITE else Relation.ADD_REMOVE
        if self.relation is not accounted:
            raise ValueError(
                f"`{self.name}` hides a {self.unit.value} under {self.relation.value}, which would "
                f"be a stronger claim than is computed, or another one: ask for {accounted.value}"
            )
        if (self.composition == "adaptive") is (self.renyi_order is None):
            raise ValueError(
                f"`{self.name}`: `renyi_order` is needed for `adaptive` composition, and has no "
                "meaning for `planned`"
            )
        if self.renyi_order is not None and self.renyi_order not in ORDERS:
            raise ValueError(
                f"`{self.name}`: divergences of order {self.renyi_order:g} are not computed; give "
                "a whole number from 2 to 64 as `renyi_order`"
            )
        return self

    def how(self) -> Composition:
        """Return how the runs compose."""
        return Planned() if self.renyi_order is None else Adaptive(self.renyi_order)


def budget_of(entry: DatasetBudget, datasets: Iterable[DatasetBudget]) -> Budget:
    """Return what the ledger has to know of `entry`, one of a policy's `datasets`.

    Names that share people spend together, so that the lowest of their ceilings is that of all.
    """
    listed = tuple(datasets)
    people = _people(entry, listed)
    together = [other for other in listed if other.name in people]
    yearly = [other.epsilon_per_year for other in together if other.epsilon_per_year is not None]
    shares = {*entry.shares_people_with} | {
        other.name for other in together if entry.name in other.shares_people_with
    }
    return Budget(
        epsilon=min(other.epsilon for other in together),
        yearly_epsilon=min(yearly, default=math.inf),
        delta=entry.delta,
        unit=entry.unit,
        relation=entry.relation,
        composition=entry.how(),
        shares_people_with=tuple(sorted(shares)),
        returning_share=entry.largest_returning_share,
    )


def require_one_account(datasets: tuple[DatasetBudget, ...]) -> None:
    """Refuse a policy in which names share people whose spending could not be composed.

    Raises:
        ValueError: a name is none of the policy's, is the entry's own, or has another unit,
            relation, delta or composition.
    """
    names = {entry.name for entry in datasets}
    for entry in datasets:
        strange = sorted(set(entry.shares_people_with) - (names - {entry.name}))
        if strange:
            raise ValueError(
                f"`{entry.name}` shares people with `{strange[0]}`, which is no other data set of "
                "this policy: correct the name, or add its [[datasets]] entry"
            )
        for other in datasets:
            if other.name in _people(entry, datasets) and _terms(other) != _terms(entry):
                raise ValueError(
                    f"`{entry.name}` and `{other.name}` share people, directly or through others, "
                    "and what they spend cannot be composed: give both one unit, relation, delta, "
                    "composition and order"
                )


def _terms(entry: DatasetBudget) -> tuple[object, ...]:
    return entry.unit, entry.relation, entry.delta, entry.how()


def _people(entry: DatasetBudget, datasets: tuple[DatasetBudget, ...]) -> frozenset[str]:
    """Return the entry's name and those that share people with it, directly or through others."""
    groups = [{other.name, *other.shares_people_with} for other in datasets]
    found = frozenset({entry.name})
    while (
        grown := found.union(*(group for group in groups if not found.isdisjoint(group)))
    ) != found:
        found = grown
    return found
