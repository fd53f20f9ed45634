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
      Unit, relation and delta are fixed when a name is first used, and recorded as an entry. Names
      that are declared to share people spend together, for ever.
    - Nothing is handed back: stopping early keeps the reservation charged.
    - A record whose text was used under another name that shares no people is found, and the
      reservation refused.
    - An altered, missing or moved entry or fingerprint is found and named when the ledger is
      opened or verified.

What it cannot find by itself: a file cut off after some entry, or one rewritten from some entry
on by its owner. Both change the head, which is why each signed message carries it, and why
`verify` takes a head that was seen before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from privacy.ledger_accounts import Accounts, Charge
from privacy.ledger_acts import Restoration
from privacy.ledger_entries import Draw, Entry, ExtractEntry, charged_events
from privacy.ledger_fields import GENESIS, chained, written_at
from privacy.ledger_file import LedgerFile, Print, Row
from privacy.ledger_fingerprints import Printed
from privacy.ledger_proposals import Proposal, declaration_needed, require_new_people
from privacy.ledger_reading import LedgerReading
from privacy.ledger_spending import Total, require_affordable
from privacy.ledger_terms import Adaptive, Budget, Planned

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

    from privacy.events import Event
    from privacy.ledger_acts import Line, LostCharge
    from privacy.ledger_fingerprints import Fingerprints

__all__ = [
    "Adaptive",
    "Budget",
    "Entry",
    "ExtractEntry",
    "Ledger",
    "Planned",
    "Total",
    "charged_events",
]


class Ledger(LedgerReading):
    """An open ledger. Its methods may be called from several threads."""

    @classmethod
    def open(cls, path: Path, *, clock: Callable[[], datetime]) -> Ledger:
        """Open the ledger at `path` and verify it; create an empty one where nothing is.

        A ledger of an earlier version is brought to this one, and a copy as it was left beside it.

        Args:
            path: the ledger's file, with mode 0600, on a local disk.
            clock: gives the time of new entries, with a time zone.

        Raises:
            ConfigError: the place, its permissions or its file system cannot hold a ledger.
            IntegrityError: what lies there is no ledger, one of a later version, or one that was
                altered or damaged.
        """
        ledger = cls(LedgerFile.open(path), clock)
        try:
            ledger.verify()
        except BaseException:  # also a stop: no open file stays behind, and it is raised again
            ledger.close()
            raise
        return ledger

    def declare(self, dataset: str, budget: Budget) -> bytes:
        """Record what the policy says of `dataset`, durably, and return the head (32 bytes).

        `reserve` and `draw` do this by themselves. Where nothing changed nothing is written.

        Raises:
            ConfigError: unit, relation or delta are not those of the data set, its filter is left
                out, it shares people no more, or a name that shares people has other terms.
            IntegrityError: the ledger does not verify.
        """
        return self._record(lambda: self._proposal(dataset, budget)[0])

    def reserve(  # noqa: PLR0913 - one argument for each thing that the entry says
        self,
        dataset: str,
        version: bytes,
        run: str,
        event: Event,
        budget: Budget,
        *,
        records: Fingerprints | None = None,
    ) -> bytes:
        """Charge the whole planned event of a run, durably, and return the new head (32 bytes).

        Asking again for the same run, event and version charges nothing more.

        Args:
            dataset: the policy's name of the data set.
            version: the SHA-256 digest of its records (32 bytes).
            run: the run's name.
            event: everything that the run will do to the records, first draws included.
            budget: what the policy says of this data set.
            records: the records' fingerprints; without them no record is known again.

        Raises:
            BudgetError: a ceiling of the data set does not allow it, or records come back that
                were used under another name; nothing was charged.
            ConfigError: the run reserved something else before, the policy contradicts what was
                declared of the data set, a name has a wrong form, or the disk refuses.
            IntegrityError: the ledger does not verify.
        """

        def propose() -> Proposal:
            proposal, accounts = self._proposal(dataset, budget)
            added: frozenset[bytes] = frozenset()
            if records is not None:
                seen = self._file.names_of(records.values)
                added = records.values - seen.get(dataset, set())
            entry = Entry(
                sequence=accounts.sequence + 1,
                time=self._now(),
                dataset=dataset,
                version=version,
                run=run,
                event=event,
                terms=budget.terms,
                draw=None,
                printed=None if records is None else Printed.of(records, added),
            )
            reserved = accounts.reservation(dataset, run)
            if reserved is not None and _same_reservation(reserved, entry):
                return proposal
            accounts.admit(entry)
            if records is not None:
                require_new_people(accounts, dataset, records, seen, budget.returning_share)
            charge = Charge(entry.time, dataset, run, event)
            self._require_affordable(accounts, dataset, charge, budget)
            return proposal.and_then(entry, added)

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
            budget: what the policy says of this data set.

        Raises:
            BudgetError: nothing was reserved, the reserved steps are used up, this attempt was
                drawn already, or a ceiling does not allow it; no noise may be drawn.
            ConfigError: the event is of another mechanism than the reservation, the policy
                contradicts what was declared of the data set, or the disk refuses.
            IntegrityError: the ledger does not verify.
        """
        number = Draw(round, attempt)

        def propose() -> Proposal:
            proposal, accounts = self._proposal(dataset, budget)
            reserved = accounts.reservation(dataset, run)
            # Without a reservation `admit` refuses the entry, whatever stands in for its version.
            entry = Entry(
                sequence=accounts.sequence + 1,
                time=self._now(),
                dataset=dataset,
                version=GENESIS if reserved is None else reserved.version,
                run=run,
                event=event,
                terms=budget.terms,
                draw=number,
            )
            accounts.admit(entry)
            repeated = accounts.is_repeat(dataset, run, round)
            charge = Charge(entry.time, dataset, run, event) if repeated else None
            self._require_affordable(accounts, dataset, charge, budget)
            return proposal.and_then(entry)

        return self._record(propose)

    def afford(self, dataset: str, event: Event, budget: Budget, *, run: str | None = None) -> None:
        """Return if the ceilings allow to charge `event` now; nothing is written.

        Args:
            dataset: the policy's name of the data set.
            event: what would be charged.
            budget: what the policy says of this data set.
            run: the run that asks, if it may have reserved this event already: then the event is
                charged already, and only a ceiling lowered since then refuses it.

        Raises:
            BudgetError: they do not.
            ConfigError: the policy contradicts what was declared of the data set.
            IntegrityError: the ledger does not verify.
        """
        with self._current():
            _, accounts = self._proposal(dataset, budget)
            reserved = None if run is None else accounts.reservation(dataset, run)
            charged = reserved is not None and reserved.event == event
            charge = None if charged else Charge(self._now(), dataset, run, event)
            self._require_affordable(accounts, dataset, charge, budget)

    def restored(self, lost_head: bytes | None, charges: tuple[LostCharge, ...]) -> bytes:
        """Record that this file took the place of a ledger that went further; return the head.

        Args:
            lost_head: the head that was lost (32 bytes); None where nobody knows it.
            charges: what is charged for the lost entries, one for each data set that may have been
                used in them.

        Raises:
            ConfigError: a name or the head has a wrong form, or the disk refuses.
            IntegrityError: the ledger does not verify.
        """
        ordered = tuple(sorted(charges, key=lambda charge: charge.dataset))
        return self._record(
            lambda: Proposal(
                (Restoration(self._accounts.sequence + 1, self._now(), lost_head, ordered),)
            )
        )

    def copy_to(self, target: Path) -> bytes:
        """Write a copy of the ledger, as it is at one instant, and return the copy's head.

        Other processes may go on writing to the ledger meanwhile. The copy is verified.

        Raises:
            ConfigError: something is at `target` already, or the disk refuses.
            IntegrityError: the ledger, or its copy, does not verify.
        """
        with self._lock:
            self._file.copy_to(target)
        with Ledger.open(target, clock=self._clock) as copy:
            return copy.head()

    def _record(self, propose: Callable[[], Proposal]) -> bytes:
        """Append what `propose` gives, in one transaction, and return the head.

        `propose` runs once before the transaction, so that the accounting (seconds) is done and
        cached when other processes are kept waiting, and once inside it, which is what counts.
        """
        with self._current():
            propose()
            with self._file.exclusive():
                self._catch_up()
                proposal, head = propose(), self._accounts.head
                for line in proposal.lines:
                    head = chained(head, line.body())
                    row = Row(line.sequence, line.body(), head)
                    self._file.append(row, self._prints(proposal, line))
            # What was written is read back, verified and only then believed.
            self._catch_up()
            return self._accounts.head

    @staticmethod
    def _prints(proposal: Proposal, line: Line) -> list[Print]:
        if not isinstance(line, Entry):
            return []
        return [Print(each, line.dataset, line.sequence) for each in sorted(proposal.prints)]

    def _proposal(self, dataset: str, budget: Budget) -> tuple[Proposal, Accounts]:
        """Return what has to be declared first, and the accounts as they are after that."""
        needed = declaration_needed(self._accounts, dataset, budget, self._now())
        if needed is None:
            return Proposal(), self._accounts
        return Proposal((needed,)), self._accounts.declared(needed)

    def _require_affordable(
        self, accounts: Accounts, dataset: str, asked: Charge | None, budget: Budget
    ) -> None:
        """Refuse `asked` on top of all that was charged, where that exceeds a ceiling."""
        require_affordable(
            dataset, accounts.charges(dataset), asked, budget, accounts.composition(dataset)
        )

    def _now(self) -> str:
        return written_at(self._clock())


def _same_reservation(one: Entry, other: Entry) -> bool:
    return (one.version, one.event, one.terms) == (other.version, other.event, other.terms)
