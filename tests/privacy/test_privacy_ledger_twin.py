"""The ledger beside a naive twin: plain lists, recounted from the start at every question."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import BudgetError, ConfigError
from privacy.events import Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Ledger, charged_events

if TYPE_CHECKING:
    import pytest

OPEN = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


@dataclass(frozen=True)
class Reserving:
    dataset: str
    run: str
    steps: int

    def ask(self, ledger: Ledger) -> None:
        ledger.reserve(self.dataset, bytes(32), self.run, steps(self.steps), OPEN)


@dataclass(frozen=True)
class Drawing:
    dataset: str
    run: str
    round: int
    attempt: int
    steps: int

    def ask(self, ledger: Ledger) -> None:
        ledger.draw(self.dataset, self.run, self.round, self.attempt, steps(self.steps), OPEN)


@dataclass
class Twin:
    """What the ledger should allow and charge."""

    reserved: list[Reserving] = field(default_factory=list)
    drawn: list[Drawing] = field(default_factory=list)

    def takes(self, wish: Reserving | Drawing) -> bool:
        """Return whether `wish` is allowed, and remember it if so."""
        own = [r for r in self.reserved if (r.dataset, r.run) == (wish.dataset, wish.run)]
        if isinstance(wish, Reserving):
            if not own:
                self.reserved.append(wish)
            return not own or own[0].steps == wish.steps
        allowed = bool(own) and self._may_draw(wish, own[0].steps)
        if allowed:
            self.drawn.append(wish)
        return allowed

    def _may_draw(self, wish: Drawing, reserved: int) -> bool:
        own = [d for d in self.drawn if (d.dataset, d.run) == (wish.dataset, wish.run)]
        if any((d.round, d.attempt) == (wish.round, wish.attempt) for d in own):
            return False
        first = {d.round: d.steps for d in reversed(own)}
        return wish.round in first or sum(first.values()) + wish.steps <= reserved

    def charged(self, dataset: str) -> int:
        """Return the steps charged to `dataset`."""
        total = sum(wish.steps for wish in self.reserved if wish.dataset == dataset)
        for at, wish in enumerate(self.drawn):
            key = (wish.dataset, wish.run, wish.round)
            repeated = key in {(d.dataset, d.run, d.round) for d in self.drawn[:at]}
            total += wish.steps if repeated and wish.dataset == dataset else 0
        return total


names = st.sampled_from("ab")
wishes = st.lists(
    st.one_of(
        st.builds(Reserving, names, names, st.integers(1, 4)),
        st.builds(Drawing, names, names, st.integers(0, 2), st.integers(0, 2), st.integers(1, 3)),
    ),
    max_size=25,
)


def accepted(ledger: Ledger, wish: Reserving | Drawing) -> bool:
    try:
        wish.ask(ledger)
    except (BudgetError, ConfigError):
        return False
    return True


@settings(max_examples=30, deadline=None)
@given(wishes)
def test_the_ledger_allows_and_charges_what_its_naive_twin_does(
    tmp_path_factory: pytest.TempPathFactory, todo: list[Reserving | Drawing]
) -> None:
    twin, path = Twin(), tmp_path_factory.mktemp("twin") / "ledger.sqlite"
    with Ledger.open(path, clock=lambda: datetime.now(UTC)) as ledger:
        for wish in todo:
            assert accepted(ledger, wish) == twin.takes(wish)
        ledger.verify()
        for dataset in "ab":
            events = charged_events(ledger.entries(dataset=dataset))
            gaussians = [event for event in events if isinstance(event, SubsampledGaussian)]
            assert sum(event.steps for event in gaussians) == twin.charged(dataset)
            assert events == ledger._accounts.charged(dataset)
