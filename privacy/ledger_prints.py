"""That a ledger's stored fingerprints are those that its entries say, none less and none more."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from crypto.errors import IntegrityError
from privacy.ledger_entries import Entry
from privacy.ledger_file import AFTER_DAMAGE
from privacy.ledger_fingerprints import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from privacy.ledger_acts import Line
    from privacy.ledger_file import Print


def require_prints(path: Path, lines: Iterable[Line], prints: Iterable[Print]) -> None:
    """Refuse fingerprints that are not those that the entries in `lines` came with.

    Args:
        path: the ledger's, for the message.
        lines: all of the ledger, in order.
        prints: all that are stored, by entry.

    Raises:
        IntegrityError: one is missing, was changed or was added; the message names the entry.
    """
    stored = {
        sequence: list(some) for sequence, some in itertools.groupby(prints, lambda p: p.sequence)
    }
    for line in lines:
        if not _are_those_of(line, stored.pop(line.sequence, [])):
            raise _altered(path, line.sequence)
    for sequence in stored:
        raise _altered(path, sequence)


def _are_those_of(line: Line, stored: list[Print]) -> bool:
    if not isinstance(line, Entry) or line.printed is None:
        return not stored
    # Under another name than the entry's, a record would come back unseen.
    if any(each.dataset != line.dataset for each in stored):
        return False
    # SQLite holds any type in any column.
    if not all(isinstance(each.fingerprint, bytes) for each in stored):
        return False
    found = len(stored), digest_of(each.fingerprint for each in stored)
    return found == (line.printed.added, line.printed.digest)


def _altered(path: Path, sequence: int) -> IntegrityError:
    return IntegrityError(
        f"The fingerprints of entry {sequence} of the ledger {path} are not those that it was "
        f"written with, so records could come back unseen. {AFTER_DAMAGE}"
    )
