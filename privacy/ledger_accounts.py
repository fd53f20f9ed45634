"""What a ledger's entries add up to, replayed in memory one entry at a time.

The same checks admit a new entry and replay an old one, so that a file cannot hold what the
ledger would not have written. Pure: no disk, no clock, no epsilon.

Names that an officer declared to share people make one account: a person who is under two names
spends at both, so whatever is charged to one of them counts against each.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from crypto.errors import BudgetError, ConfigError, IntegrityError
from privacy.events import NoGuarantee
from privacy.ledger_acts import Declaration, Line, Restoration, parse_line
from privacy.ledger_entries import Entry, EntrySchema
from privacy.ledger_fields import GENESIS, chained
from privacy.ledger_terms import Adaptive, Planned

if TYPE_CHECKING:
    from privacy.events import Event
    from privacy.ledger_entries import Draw
    from privacy.ledger_terms import Composition, Terms


@dataclass(frozen=True)
class Charge:
    """One event that counts against a data set.

    Attributes:
        time: of the entry that charged it, RFC 3339 in UTC with seconds.
        dataset: the name that it was charged to.
        run: the run's name; None where a backup was restored.
        event: what is charged.
    """

    time: str
    dataset: str
    run: str | None
    event: Event

    @property
    def year(self) -> int:
        """The calendar year in UTC."""
        return int(self.time[:4])


@dataclass
class _RunAccount:
    """One run's use of one data set."""

    reservation: Entry
    first_steps: int = 0
    attempts: dict[int, set[int]] = field(default_factory=dict)


@dataclass
class _DataSetAccount:
    """One named data set over all runs."""

    terms: Terms | None = None
    declaration: Declaration | None = None
    charges: list[Charge] = field(default_factory=list)
    runs: dict[str, _RunAccount] = field(default_factory=dict)
    keys: set[bytes] = field(default_factory=set)
    """Under which secrets its records' fingerprints were made."""


class Accounts:
    """The replayed state: the head of the chain, and what each data set was charged."""

    def __init__(self) -> None:
        self.head = GENESIS
        self.sequence = 0
        self._datasets: dict[str, _DataSetAccount] = {}

    def names(self) -> tuple[str, ...]:
        """Return every name that was declared, used or charged, ascending."""
        return tuple(sorted(self._datasets))

    def people(self, dataset: str) -> frozenset[str]:
        """Return `dataset` and every name that it shares people with, directly or through others.

        Who shares with whom is said once and holds both ways, also of a name not used yet.
        """
        edges = [
            (name, other)
            for name, account in self._datasets.items()
            if account.declaration is not None
            for other in account.declaration.shares_people_with
        ]
        found = frozenset({dataset})
        while (
            grown := found.union(*(edge for edge in edges if not found.isdisjoint(edge)))
        ) != found:
            found = grown
        return found

    def charges(self, dataset: str) -> tuple[Charge, ...]:
        """Return every charge that counts against `dataset`, over all runs and versions.

        Those of the names that share people with it are among them.
        """
        return tuple(
            charge
            for name in sorted(self.people(dataset))
            if name in self._datasets
            for charge in self._datasets[name].charges
        )

    def charged(self, dataset: str) -> tuple[Event, ...]:
        """Return the events of `charges`."""
        return tuple(charge.event for charge in self.charges(dataset))

    def terms(self, dataset: str) -> Terms | None:
        """Return what was fixed at the first use of `dataset`; None before it."""
        account = self._datasets.get(dataset)
        return None if account is None else account.terms

    def composition(self, dataset: str) -> Composition:
        """Return how the charges of `dataset` compose: adaptively, if any name in it does."""
        declared = [
            account.declaration.composition
            for name in self.people(dataset)
            if (account := self._datasets.get(name)) is not None and account.declaration is not None
        ]
        return next((each for each in declared if isinstance(each, Adaptive)), Planned())

    def declaration(self, dataset: str) -> Declaration | None:
        """Return what an officer declared of `dataset` last; None before that."""
        account = self._datasets.get(dataset)
        return None if account is None else account.declaration

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

    def other_keys(self, dataset: str, key: bytes) -> tuple[str, ...]:
        """Return the names, of other people than `dataset`, with fingerprints of another secret."""
        own = self.people(dataset)
        return tuple(
            name
            for name, account in sorted(self._datasets.items())
            if name not in own and not account.keys <= {key}
        )

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

    def declared(self, declaration: Declaration) -> Accounts:
        """Return these accounts as they would be after `declaration`; these do not change.

        Raises:
            ConfigError: it may not come next.
        """
        self.admit(declaration)
        after = Accounts()
        after.head, after.sequence = self.head, declaration.sequence
        own = self._datasets.get(declaration.dataset, _DataSetAccount())
        changed = replace(own, terms=declaration.terms, declaration=declaration)
        after._datasets = {**self._datasets, declaration.dataset: changed}
        return after

    def admit(self, line: Line) -> None:
        """Return if `line` may come next; nothing changes.

        Raises:
            ConfigError: other terms or another composition than before, people that are shared no
                more, or a second reservation of the run.
            BudgetError: a draw that was not reserved, or that was made already.
        """
        if isinstance(line, Declaration):
            self._admit_declaration(line)
        elif isinstance(line, Entry):
            self._admit_use(line)

    def _admit_declaration(self, new: Declaration) -> None:
        self.require_terms(new.dataset, new.terms)
        old = self.declaration(new.dataset)
        if old is not None:
            _require_same_order(new.dataset, old.composition, new.composition)
            forgotten = sorted(set(old.shares_people_with) - set(new.shares_people_with))
            if forgotten:
                raise ConfigError(
                    f"Data set `{new.dataset}` was declared to share people with "
                    f"`{forgotten[0]}`, and the policy does not say so any more: what these people "
                    "spent would be forgotten, so nothing was charged. Put the name back into "
                    "`shares_people_with`."
                )
        together = {new.dataset, *new.shares_people_with}
        for name in sorted(frozenset().union(*map(self.people, together)) - {new.dataset}):
            self._require_comparable(new, name)

    def _require_comparable(self, new: Declaration, name: str) -> None:
        """Refuse to join what cannot be composed: other terms, or filters of two orders."""
        terms, other = self.terms(name), self.declaration(name)
        if terms is not None and terms != new.terms:
            raise ConfigError(
                f"Data sets `{new.dataset}` and `{name}` share people, and one is charged per "
                f"{new.terms.unit.value} under {new.terms.relation.value} at delta "
                f"{new.terms.delta:g}, the other per {terms.unit.value} under "
                f"{terms.relation.value} at delta {terms.delta:g}: what they spend cannot be "
                "composed, so nothing was charged. Give both one unit, relation and delta."
            )
        if other is not None and isinstance(other.composition, Adaptive):
            _require_same_order(name, other.composition, new.composition, joined=True)

    def _admit_use(self, entry: Entry) -> None:
        if entry.schema is not EntrySchema.V1 and self.declaration(entry.dataset) is None:
            raise ConfigError(
                f"Data set `{entry.dataset}` was never declared, so nothing can be charged to it."
            )
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

    def replay(self, sequence: int, body: bytes, head: bytes) -> Line:
        """Take in the next stored entry, and return it.

        Raises:
            IntegrityError: it does not follow; the message ends a sentence that names the entry.
        """
        if sequence != self.sequence + 1:
            raise IntegrityError(f"it follows entry {self.sequence}, so entries are missing")
        if chained(self.head, body) != head:
            raise IntegrityError("its bytes are not those that were chained, so it was altered")
        line = parse_line(body)
        if line.sequence != sequence:
            raise IntegrityError(f"it says that it is entry {line.sequence}, so it was moved")
        try:
            self.admit(line)
        except (ConfigError, BudgetError) as error:
            raise IntegrityError(f"it contradicts the entries before it: {error}") from error
        self._take(line)
        self.sequence, self.head = sequence, head
        return line

    def _take(self, line: Line) -> None:
        if isinstance(line, Restoration):
            for lost in line.charges:
                self._account(lost.dataset).charges.extend(
                    Charge(line.time, lost.dataset, None, event) for event in lost.events
                )
            return
        account = self._account(line.dataset)
        account.terms = line.terms
        if isinstance(line, Declaration):
            account.declaration = line
        else:
            _take_use(account, line)

    def _account(self, dataset: str) -> _DataSetAccount:
        return self._datasets.setdefault(dataset, _DataSetAccount())


def _take_use(account: _DataSetAccount, entry: Entry) -> None:
    charge = Charge(entry.time, entry.dataset, entry.run, entry.event)
    if entry.draw is None:
        account.runs[entry.run] = _RunAccount(entry)
        account.charges.append(charge)
        if entry.printed is not None:
            account.keys.add(entry.printed.key)
        return
    of_run = account.runs[entry.run]
    attempts = of_run.attempts.setdefault(entry.draw.round, set())
    if attempts:
        account.charges.append(charge)
    else:
        of_run.first_steps += _steps(entry.event)
    attempts.add(entry.draw.attempt)


def _require_same_order(
    dataset: str, old: Composition, new: Composition, *, joined: bool = False
) -> None:
    """Refuse to leave a filter, or to move its order: both would be chosen after the results."""
    if isinstance(old, Planned) or old == new or (joined and isinstance(new, Planned)):
        return
    raise ConfigError(
        f"The runs of data set `{dataset}` are bounded by a Renyi filter at order {old.order:g}, "
        "which holds only as long as that is kept: nothing was charged. Put `composition` and "
        "`renyi_order` back into the policy, the same for all names that share people."
    )


def _same_mechanism(one: Event, other: Event) -> bool:
    """Return whether both are the same mechanism, whatever their steps."""
    if isinstance(one, NoGuarantee) or isinstance(other, NoGuarantee):
        return one == other
    return type(one) is type(other) and replace(one, steps=1) == replace(other, steps=1)


def _steps(event: Event) -> int:
    """Return how many steps count against a reservation; without a guarantee none do."""
    return 0 if isinstance(event, NoGuarantee) else event.steps
