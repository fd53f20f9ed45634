"""What epsilon means for a named data set, how its runs compose, and what it may spend."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from crypto.errors import ConfigError
from privacy.events import Relation, Unit, require_delta
from privacy.ledger_fields import number, require_name, text
from privacy.renyi import ORDERS

if TYPE_CHECKING:
    from crypto.digests import JsonValue


@dataclass(frozen=True)
class Terms:
    """What epsilon means for one named data set, fixed when the name is first used."""

    unit: Unit
    relation: Relation
    delta: float

    def __post_init__(self) -> None:
        require_delta(self.delta)


@dataclass(frozen=True)
class Planned:
    """All runs were planned before the first result was seen: their losses compose jointly."""


@dataclass(frozen=True)
class Adaptive:
    """Runs are chosen after seeing earlier results: a Renyi filter at a fixed order bounds them.

    See `privacy.renyi_filter`.

    Attributes:
        order: the Renyi order, one of `privacy.renyi.ORDERS`, chosen without looking at results.

    Raises:
        ConfigError: the order is none of them.
    """

    order: float

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise ConfigError(
                f"Divergences of a Renyi order of {self.order!r} are not computed: give a whole "
                f"number from 2 to 64 in the policy (or another of {len(ORDERS)} orders up to "
                f"{ORDERS[-1]:g})."
            )


Composition: TypeAlias = Planned | Adaptive


@dataclass(frozen=True)
class Budget:
    """What the policy says of one named data set, over all runs.

    Attributes:
        epsilon: the ceiling, 0 or more; infinite where the policy allows mode none.
        delta: the delta at which epsilon is computed.
        unit: whose presence is hidden.
        relation: which data sets are compared.
        composition: whether the runs were planned together, or each after the one before.
        shares_people_with: other names under which some of the same people are.
        yearly_epsilon: the ceiling over what is charged in one calendar year (UTC).
        returning_share: the largest share of a run's records that may have been seen under
            another name that shares no people; 0 allows none.

    Raises:
        ConfigError: a number is out of range, or a name has a wrong form.
    """

    epsilon: float
    delta: float
    unit: Unit
    relation: Relation
    composition: Composition = field(default_factory=Planned)
    shares_people_with: tuple[str, ...] = ()
    yearly_epsilon: float = math.inf
    returning_share: float = 0.0

    def __post_init__(self) -> None:
        require_delta(self.delta)
        for limit in (self.epsilon, self.yearly_epsilon):
            if math.isnan(limit) or limit < 0.0:
                raise ConfigError(
                    f"A ceiling of epsilon {limit} bounds nothing: give 0 or more in the policy."
                )
        if not 0.0 <= self.returning_share <= 1.0:
            raise ConfigError(
                f"A share of {self.returning_share} returning records is none: give 0 to 1."
            )
        for name in self.shares_people_with:
            require_name("data set", name)

    @property
    def terms(self) -> Terms:
        """What is fixed for the data set; the ceiling itself may change."""
        return Terms(self.unit, self.relation, self.delta)


def terms_json(terms: Terms) -> dict[str, JsonValue]:
    """Return the fields of `terms`; `read_terms` is the inverse."""
    return {
        "unit": terms.unit.value,
        "relation": terms.relation.value,
        "delta": terms.delta,
    }


def read_terms(fields: dict[str, object]) -> Terms:
    """Return the terms that stand among `fields`.

    Raises:
        ConfigError: a field has another type or range.
        ValueError: the unit or relation is unknown.
    """
    unit, relation = Unit(text(fields["unit"])), Relation(text(fields["relation"]))
    return Terms(unit, relation, number(fields["delta"]))


def composition_json(composition: Composition) -> dict[str, JsonValue]:
    """Return the JSON form of `composition`; `read_composition` is its inverse."""
    if isinstance(composition, Planned):
        return {"kind": "planned"}
    return {"kind": "adaptive", "order": composition.order}


def read_composition(value: object) -> Composition:
    """Return the composition whose JSON form is `value`.

    Raises:
        ConfigError: it is none that this version knows.
    """
    if value == {"kind": "planned"}:
        return Planned()
    if isinstance(value, dict) and set(value) == {"kind", "order"} and value["kind"] == "adaptive":
        return Adaptive(number(value["order"]))
    raise ConfigError("its composition is unknown, so another version of this program wrote it")
