"""What a ledger's entries add up to, replayed in memory one entry at a time.

The same checks admit a new entry and replay an old one, so that a file cannot hold what the
ledger would not have written. Pure: no disk, no clock, no epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from crypto.errors import BudgetError, ConfigError, IntegrityError
from privacy.events import NoGuarantee
from privacy.ledger_entries import GENESIS, Entry, chained

if TYPE_CHECKING:
    from privacy.events import Event
    from privacy.ledger_entries import Draw, Terms


@dataclass
class _RunAccount:
    """One run's use of one data set."""

    reservation: Entry
    first_steps: int = 0
    attempts: dict[int, set[int]] = field(default_factory=dict)


@dataclass
class _DataSetAccount:
    """One named data set over all runs."""

    terms: Terms
    charged: list[Event] = field(default_factory=list)
    runs: dict[str, _RunAccount] = field(default_factory=dict)


class Accounts:
    """The replayed state: the head of the chain, and what each data set was charged."""

    def __init__(self) -> None:
        self.head = GENESIS
        self.sequence = 0
        self._datasets: dict[str, _DataSetAccount] = {}

    def charged(self, dataset: str) -> tuple[Event, ...]:
        """Return every event charged to `dataset`, over all runs and versions."""
        account = self._datasets.get(dataset)
        return () if account is None else tuple(account.charged)

    def terms(self, dataset: str) -> Terms | None:
        """Return what was fixed at the first use of `dataset`; None before it."""
        account = self._datasets.get(dataset)
        return None if account is None else account.terms

    def reservation(self, dataset: str, run: str) -> Entry | None:
        """Return what `run` reserved of `dataset`; None if nothing."""
        account = self._datasets.get(dataset)
        of_run = None if account is None else account.runs.get(run)
        return None if of_run is None else of_run.reservation

    def is_repeat(self, dataset: str, run: str, round_: int) -> bool:
        """Return whether noise was drawn before for this round."""
        account = self._datasets.get(dataset)
        of_run = None if account is None else account.runs.get(run)
        return of_run is not None and round_ in of_run.attempts

    def require_terms(self, dataset: str, terms: Terms) -> None:
        """Refuse other terms than those fixed at the first use of `dataset`.

        Raises:
            ConfigError: unit, relation or delta differ.
        """
        fixed = self.terms(dataset)
        if fixed is None or fixed == terms:
            return
        raise ConfigError(
            f"Data set `{dataset}` was first charged per {fixed.unit.value} under "
            f"{fixed.relation.value} at delta {fixed.delta:g}; the policy now says "
            f"{terms.unit.value}, {terms.relation.value}, {terms.delta:g}. What was spent cannot "
            "be compared, so nothing was charged: put the first terms back into the policy."
        )

    def admit(self, entry: Entry) -> None:
        """Return if `entry` may come next; nothing changes.

        Raises:
            ConfigError: other terms, or a second reservation of the run.
            BudgetError: a draw that was not reserved, or that was made already.
        """
        self.require_terms(entry.dataset, entry.terms)
        reserved = self.reservation(entry.dataset, entry.run)
        if entry.draw is None:
            if reserved is not None:
                raise ConfigError(
                    f"Run `{entry.run}` has reserved `{entry.dataset}` already, with another event "
                    "or other records. What a run may do is fixed when it reserves: nothing was "
                    "charged. Start a new run."
                )
            return
        if reserved is None:
            raise BudgetError(
                f"Run `{entry.run}` has reserved nothing of `{entry.dataset}`, so no noise may be "
                "drawn for it: nothing was released. Reserve the whole planned event first."
            )
        self._admit_draw(entry, entry.draw, reserved)

    def _admit_draw(self, entry: Entry, draw: Draw, reserved: Entry) -> None:
        if not _same_mechanism(entry.event, reserved.event) or entry.version != reserved.version:
            raise ConfigError(
                f"Round {draw.round} of run `{entry.run}` would draw with another noise "
                "multiplier, sampling rate or data version than the run reserved: nothing was "
                "released. Start a new run for other settings."
            )
        account = self._datasets[entry.dataset].runs[entry.run]
        attempts = account.attempts.get(draw.round)
        if attempts is not None:
            if draw.attempt in attempts:
                raise BudgetError(
                    f"Noise for round {draw.round}, attempt {draw.attempt} of run `{entry.run}` "
                    "was drawn already, and a second draw under one charge would release more "
                    "than is charged: nothing was released. Resume with a new attempt."
                )
            return
        planned, asked = _steps(reserved.event), account.first_steps + _steps(entry.event)
        if asked > planned:
            raise BudgetError(
                f"With round {draw.round}, run `{entry.run}` would make {asked} steps on "
                f"`{entry.dataset}`, but it reserved {planned}: nothing was released. Start a new "
                "run with as many rounds as it needs."
            )

    def replay(self, sequence: int, body: bytes, head: bytes) -> Entry:
        """Take in the next stored entry, and return it.

        Raises:
            IntegrityError: it does not follow; the message ends a sentence that names the entry.
        """
        if sequence != self.sequence + 1:
            raise IntegrityError(f"it follows entry {self.sequence}, so entries are missing")
        if chained(self.head, body) != head:
            raise IntegrityError("its bytes are not those that were chained, so it was altered")
        entry = Entry.parse(body)
        if entry.sequence != sequence:
            raise IntegrityError(f"it says that it is entry {entry.sequence}, so it was moved")
        try:
            self.admit(entry)
        except (ConfigError, BudgetError) as error:
            raise IntegrityError(f"it contradicts the entries before it: {error}") from error
        self._take(entry)
        self.sequence, self.head = sequence, head
        return entry

    def _take(self, entry: Entry) -> None:
        account = self._datasets.setdefault(entry.dataset, _DataSetAccount(entry.terms))
        if entry.draw is None:
            account.runs[entry.run] = _RunAccount(entry)
            account.charged.append(entry.event)
            return
        of_run = account.runs[entry.run]
        attempts = of_run.attempts.setdefault(entry.draw.round, set())
        if attempts:
            account.charged.append(entry.event)
        else:
            of_run.first_steps += _steps(entry.event)
        attempts.add(entry.draw.attempt)


def _same_mechanism(one: Event, other: Event) -> bool:
    """Return whether both are the same mechanism, whatever their steps."""
    if isinstance(one, NoGuarantee) or isinstance(other, NoGuarantee):
        return one == other
    return type(one) is type(other) and replace(one, steps=1) == replace(other, steps=1)


def _steps(event: Event) -> int:
    """Return how many steps count against a reservation; without a guarantee none do."""
    return 0 if isinstance(event, NoGuarantee) else event.steps
