"""The site's memory of what its records have given away, across runs, crashes and restarts.

Every use of a named data set is an entry in a hash-chained, append-only file on the site's own
disk. A run reserves its whole planned event before it starts; noise is drawn only after a draw is
recorded; epsilon is computed from the events on every read and never stored. So a crash at any
instant can leave more charged than was released, and never less.

Formal guarantees:
    - A reservation or a repeated draw that would take the data set over its ceiling writes
      nothing. Two processes cannot overspend together: the check and the write are one
      transaction.
    - Versions of the records (their digests) under one name inherit what was spent under it.
      Unit, relation and delta are fixed when a name is first used.
    - Nothing is handed back: stopping early keeps the reservation charged.
    - An altered, missing or moved entry is found and named when the ledger is opened or verified.

What it cannot find by itself: a file cut off after some entry, or one rewritten from some entry
on by its owner. Both change the head, which is why each signed message carries it, and why
`verify` takes a head that was seen before.
"""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING, Self

from crypto.errors import BudgetError, ConfigError, IntegrityError
from privacy import accounting
from privacy.events import Event, Relation
from privacy.ledger_accounts import Accounts
from privacy.ledger_entries import (
    GENESIS,
    Budget,
    Draw,
    Entry,
    ExtractEntry,
    chained,
    charged_events,
    extracted,
    written_at,
)
from privacy.ledger_file import AFTER_DAMAGE, LedgerFile, Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    from crypto.secrets import SecretBytes

__all__ = ["Budget", "Entry", "ExtractEntry", "Ledger", "charged_events"]


class Ledger:
    """An open ledger. Its methods may be called from several threads."""

    def __init__(self, file: LedgerFile, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.RLock()
        self._accounts = Accounts()

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], datetime]) -> Ledger:
        """Open the ledger at `path` and verify it; create an empty one where nothing is.

        Args:
            path: the ledger's file, with mode 0600, on a local disk.
            clock: gives the time of new entries, with a time zone.

        Raises:
            ConfigError: the place, its permissions or its file system cannot hold a ledger.
            IntegrityError: what lies there is no ledger, or one that was altered or damaged.
        """
        ledger = cls(LedgerFile.open(path), clock)
        try:
            ledger.verify()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. The ledger cannot be used any more."""
        with self._lock:
            self._file.close()

    def reserve(
        self, dataset: str, version: bytes, run: str, event: Event, budget: Budget
    ) -> bytes:
        """Charge the whole planned event of a run, durably, and return the new head (32 bytes).

        Asking again for the same run, event and version charges nothing more.

        Args:
            dataset: the policy's name of the data set.
            version: the SHA-256 digest of its records (32 bytes).
            run: the run's name.
            event: everything that the run will do to the records, first draws included.
            budget: the policy's ceiling for this data set.

        Raises:
            BudgetError: the data set's ceiling does not allow it; nothing was charged.
            ConfigError: the run reserved something else before, unit, relation or delta are not
                those of the data set, a name has a wrong form, or the disk refuses.
            IntegrityError: the ledger does not verify.
        """

        def propose() -> Entry | None:
            entry = self._entry(dataset, version, run, event, budget, draw=None)
            reserved = self._accounts.reservation(dataset, run)
            if reserved is not None and _same_reservation(reserved, entry):
                return None
            self._accounts.admit(entry)
            self._require_affordable(dataset, event, budget)
            return entry

        return self._record(propose)

    def draw(  # noqa: PLR0913, PLR0917 - one argument for each thing that the entry says
        self,
        dataset: str,
        run: str,
        round: int,  # noqa: A002 - the field's term
        attempt: int,
        event: Event,
        budget: Budget,
    ) -> bytes:
        """Record, durably, that noise is about to be drawn, and return the new head (32 bytes).

        The first draw of a round uses the run's reservation. A repeated one, with another attempt,
        is charged on top, since what the first one gave may have been released.

        Args:
            dataset: the policy's name of the data set.
            run: the run's name, as it reserved.
            round: the run's round.
            attempt: which attempt at the round; each number draws once.
            event: what this draw does to the records.
            budget: the policy's ceiling for this data set.

        Raises:
            BudgetError: nothing was reserved, the reserved steps are used up, this attempt was
                drawn already, or the ceiling does not allow it; no noise may be drawn.
            ConfigError: the event is of another mechanism than the reservation, unit, relation or
                delta are not those of the data set, or the disk refuses.
            IntegrityError: the ledger does not verify.
        """
        number = Draw(round, attempt)

        def propose() -> Entry:
            reserved = self._accounts.reservation(dataset, run)
            # Without a reservation `admit` refuses the entry, whatever stands in for its version.
            version = GENESIS if reserved is None else reserved.version
            entry = self._entry(dataset, version, run, event, budget, draw=number)
            self._accounts.admit(entry)
            repeated = self._accounts.is_repeat(dataset, run, round)
            self._require_affordable(dataset, event if repeated else None, budget)
            return entry

        return self._record(propose)

    def afford(self, dataset: str, event: Event, budget: Budget, *, run: str | None = None) -> None:
        """Return if the ceiling allows to charge `event` now; nothing is written.

        Args:
            dataset: the policy's name of the data set.
            event: what would be charged.
            budget: the policy's ceiling for this data set.
            run: the run that asks, if it may have reserved this event already: then the event is
                charged already, and only a ceiling lowered since then refuses it.

        Raises:
            BudgetError: it does not.
            ConfigError: unit, relation or delta are not those of the data set.
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            self._accounts.require_terms(dataset, budget.terms)
            reserved = None if run is None else self._accounts.reservation(dataset, run)
            charged = reserved is not None and reserved.event == event
            self._require_affordable(dataset, None if charged else event, budget)

    def spent(self, dataset: str, delta: float) -> float:
        """Return the epsilon of everything charged to `dataset`, over all runs and versions.

        It is 0 for a name that was never used, and infinite after a run without a guarantee.

        Raises:
            ConfigError: `delta` is out of range.
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            return self._epsilon(self._accounts.charged(dataset), dataset, delta)

    def head(self) -> bytes:
        """Return the digest of the whole chain (32 bytes), for signed messages.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            return self._accounts.head

    def knows(self, head: bytes) -> bool:
        """Return whether `head` was the chain's head at some time: if not, entries were lost.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            return head == GENESIS or self._file.has_head(head)

    def entries(self, *, dataset: str | None = None, run: str | None = None) -> tuple[Entry, ...]:
        """Return the verified entries in order: all, or those of one data set or run.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._lock:
            return tuple(
                entry
                for entry in self._replayed(Accounts(), self._file.rows_from(1))
                if dataset in {None, entry.dataset} and run in {None, entry.run}
            )

    def extract(self, run: str, commitment_key: SecretBytes) -> tuple[ExtractEntry, ...]:
        """Return the entries of one run as they may leave the site.

        Data set and version become HMAC commitments under `commitment_key`; a reader computes the
        run's epsilon again from `charged_events` of the extract.

        Raises:
            ConfigError: the ledger has no entry of this run, or the key is too short.
            IntegrityError: the ledger does not verify.
        """
        entries = self.entries(run=run)
        if not entries:
            raise ConfigError(
                f"The ledger {self._file.path} holds no entry of run `{run}`: name a run that "
                "this site took part in."
            )
        return extracted(entries, commitment_key)

    def verify(self, *, known_head: bytes | None = None) -> None:
        """Check the file, every entry, the chain and what the entries add up to.

        Args:
            known_head: a head that was seen before, if any; the chain must have passed through it.

        Raises:
            IntegrityError: something does not check out, and the message names the entry; or the
                known head is none of this ledger's, so that it was cut, rewritten or restored
                from an old backup.
        """
        with self._lock:
            self._file.verify()
            rows, accounts = self._file.rows_from(1), Accounts()
            for _ in self._replayed(accounts, rows):
                pass
            if known_head not in {None, GENESIS, *(row.head for row in rows)}:
                raise IntegrityError(
                    f"The ledger {self._file.path} never had the head that was seen before: it "
                    f"was cut, rewritten, or restored from an old backup. {AFTER_DAMAGE}"
                )
            self._accounts = accounts

    def _record(self, propose: Callable[[], Entry | None]) -> bytes:
        """Append what `propose` gives, in one transaction, and return the head.

        `propose` runs once before the transaction, so that the accounting (seconds) is done and
        cached when other processes are kept waiting, and once inside it, which is what counts.
        """
        with self._current():
            propose()
            with self._file.exclusive():
                self._catch_up()
                entry = propose()
                if entry is not None:
                    body = entry.body()
                    head = chained(self._accounts.head, body)
                    self._file.append(Row(entry.sequence, body, head))
            # What was written is read back, verified and only then believed.
            self._catch_up()
            return self._accounts.head

    def _entry(  # noqa: PLR0913 - one argument for each thing that the entry says
        self,
        dataset: str,
        version: bytes,
        run: str,
        event: Event,
        budget: Budget,
        *,
        draw: Draw | None,
    ) -> Entry:
        return Entry(
            sequence=self._accounts.sequence + 1,
            time=written_at(self._clock()),
            dataset=dataset,
            version=version,
            run=run,
            event=event,
            terms=budget.terms,
            draw=draw,
        )

    def _require_affordable(self, dataset: str, event: Event | None, budget: Budget) -> None:
        """Refuse `event` on top of all that was charged, where that exceeds the ceiling."""
        if math.isinf(budget.epsilon):
            return
        charged = self._accounts.charged(dataset)
        added = () if event is None else (event,)
        total = _epsilon((*charged, *added), budget.delta, budget.relation)
        if total <= budget.epsilon:
            return
        spent = _epsilon(charged, budget.delta, budget.relation)
        alone = _epsilon(added, budget.delta, budget.relation)
        raise BudgetError(
            f"Data set `{dataset}` has spent epsilon {_shown(spent)} and is asked for "
            f"{_shown(alone)} more, {_shown(total)} together, but its ceiling is "
            f"{_shown(budget.epsilon)} (delta {budget.delta:g}, per {budget.unit.value}, "
            f"{budget.relation.value}): nothing was charged. Ask the compliance officer to raise "
            "the ceiling, lower the rounds or the epsilon of the run, or use other data."
        )

    def _epsilon(self, events: tuple[Event, ...], dataset: str, delta: float) -> float:
        terms = self._accounts.terms(dataset)
        relation = Relation.ADD_REMOVE if terms is None else terms.relation
        return _epsilon(events, delta, relation)

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        """Hold the lock, with the accounts at the file's last entry."""
        with self._lock:
            self._catch_up()
            yield

    def _catch_up(self) -> None:
        """Take in what other processes appended, after checking that our last entry still stands.

        Raises:
            IntegrityError: the entries do not follow those that were verified before.
        """
        known = self._accounts.sequence
        rows = self._file.rows_from(max(known, 1))
        if known:
            # The head says which entry it is.
            if not rows or rows[0].head != self._accounts.head:
                raise IntegrityError(
                    f"Entry {known} of the ledger {self._file.path} was altered or removed while "
                    f"it was open. {AFTER_DAMAGE}"
                )
            rows = rows[1:]
        for _ in self._replayed(self._accounts, rows):
            pass

    def _replayed(self, accounts: Accounts, rows: list[Row]) -> Iterator[Entry]:
        """Take `rows` into `accounts` and yield their entries.

        Raises:
            IntegrityError: one does not follow; the message names it.
        """
        for row in rows:
            try:
                yield accounts.replay(*row)
            except IntegrityError as error:
                raise IntegrityError(
                    f"Entry {row.sequence} of the ledger {self._file.path} does not verify: "
                    f"{error}. {AFTER_DAMAGE}"
                ) from error


def _epsilon(events: tuple[Event, ...], delta: float, relation: Relation) -> float:
    return accounting.epsilon(events, delta, relation=relation)


def _same_reservation(one: Entry, other: Entry) -> bool:
    return (one.version, one.event, one.terms) == (other.version, other.event, other.terms)


def _shown(epsilon: float) -> str:
    return "infinity (no guarantee)" if math.isinf(epsilon) else f"{epsilon:.4g}"
