"""Reading a ledger: verified, replayed, and added up anew at every question.

`privacy.ledger` writes; nothing here changes the file.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from crypto.errors import ConfigError, IntegrityError
from privacy.events import Relation, Unit
from privacy.ledger_accounts import Accounts
from privacy.ledger_acts import Restoration
from privacy.ledger_entries import Entry, ExtractEntry, extracted
from privacy.ledger_fields import GENESIS
from privacy.ledger_file import AFTER_DAMAGE
from privacy.ledger_prints import require_prints
from privacy.ledger_spending import Total, composed
from privacy.ledger_terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime
    from types import TracebackType

    from crypto.secrets import SecretBytes
    from privacy.ledger_accounts import Charge
    from privacy.ledger_acts import Line
    from privacy.ledger_file import LedgerFile, Row
    from privacy.ledger_terms import Composition


class LedgerReading:
    """What an open ledger can be asked. Its methods may be called from several threads."""

    def __init__(self, file: LedgerFile, clock: Callable[[], datetime]) -> None:
        self._file = file
        self._clock = clock
        self._lock = threading.RLock()
        self._accounts = Accounts()

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

    def spent(self, dataset: str, delta: float) -> float:
        """Return the epsilon of everything that counts against `dataset`, as it is declared.

        It is 0 for a name that was never used, and infinite after a run without a guarantee.

        Raises:
            ConfigError: `delta` is out of range.
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            fixed = self._accounts.terms(dataset) or Terms(Unit.RECORD, Relation.ADD_REMOVE, delta)
            return composed(
                self._accounts.charged(dataset),
                replace(fixed, delta=delta),
                self._accounts.composition(dataset),
            )

    def total(
        self,
        dataset: str,
        composition: Composition | None = None,
        *,
        run: str | None = None,
        year: int | None = None,
    ) -> Total:
        """Return what counts against `dataset`, at its own delta, and how that was computed.

        Args:
            dataset: the policy's name of the data set.
            composition: how to compose; as it is declared where absent.
            run: what this run was charged alone.
            year: what was charged in this calendar year (UTC) alone.

        Raises:
            ConfigError: nothing was ever declared of `dataset`.
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            terms = self._accounts.terms(dataset)
            declared = self._accounts.composition(dataset)
            charges = self._accounts.charges(dataset)
        if terms is None:
            raise ConfigError(
                f"The ledger {self._file.path} holds nothing of a data set `{dataset}`: give a "
                "name of the site's policy that was used."
            )
        events = tuple(
            charge.event
            for charge in charges
            if run in {None, charge.run} and year in {None, charge.year}
        )
        how = declared if composition is None else composition
        return Total(composed(events, terms, how), terms, how, is_declared=how == declared)

    def names(self) -> tuple[str, ...]:
        """Return the names of all data sets that were declared, used or charged, ascending.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            return self._accounts.names()

    def people(self, dataset: str) -> frozenset[str]:
        """Return `dataset` and the names that share people with it, directly or through others.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            return self._accounts.people(dataset)

    def charges(self, dataset: str) -> tuple[Charge, ...]:
        """Return what counts against `dataset`, over all runs, versions and names of its people.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            return self._accounts.charges(dataset)

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
        """Return the verified uses of records in order: all, or those of one data set or run.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        return tuple(
            line
            for line in self.history()
            if isinstance(line, Entry)
            and dataset in {None, line.dataset}
            and run in {None, line.run}
        )

    def history(self) -> tuple[Line, ...]:
        """Return every verified line in order, officers' acts too.

        Raises:
            IntegrityError: the ledger does not verify.
        """
        with self._lock:
            return tuple(self._replayed(Accounts(), self._file.rows_from(1)))

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
        """Check the file, every entry, the chain, what the entries add up to, and the fingerprints.

        Args:
            known_head: a head that was seen before, if any; the chain must have passed through it.

        Raises:
            IntegrityError: something does not check out, and the message names the entry; or the
                known head is none of this ledger's, so that it was cut, rewritten or restored
                from an old backup.
        """
        with self._lock:
            self._file.verify()
            with self._file.at_one_instant():
                rows, prints = self._file.rows_from(1), list(self._file.prints())
            accounts = Accounts()
            lines = list(self._replayed(accounts, rows))
            require_prints(self._file.path, lines, prints)
            if known_head not in {None, GENESIS, *(row.head for row in rows)}:
                raise IntegrityError(self._unknown_head(known_head or GENESIS, lines))
            self._accounts = accounts

    def _unknown_head(self, head: bytes, lines: list[Line]) -> str:
        for line in lines:
            if isinstance(line, Restoration) and line.lost_head == head:
                return (
                    f"The ledger {self._file.path} had the head that was seen before until a "
                    f"backup took its place: entry {line.sequence} says so, and what is charged "
                    "for the entries that were lost."
                )
        return (
            f"The ledger {self._file.path} never had the head that was seen before: it was cut, "
            f"rewritten, or restored from an old backup. {AFTER_DAMAGE}"
        )

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

    def _replayed(self, accounts: Accounts, rows: list[Row]) -> Iterator[Line]:
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
