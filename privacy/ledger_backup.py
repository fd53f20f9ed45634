"""Putting a backup in a ledger's place, without forgetting what was spent since it was made.

A backup that is older than the ledger does not hold everything that was charged. So it takes the
ledger's place only if it can be shown to be the newest, by a head that it must have passed through,
or if an officer accepts the loss. Then the restored ledger says in its chain which head was lost,
and every data set that may have been used since is charged what the officer states, and infinity
where nothing was stated: no private run can use it any more.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError, IntegrityError
from privacy.events import NoGuarantee
from privacy.ledger import Ledger
from privacy.ledger_acts import LostCharge
from privacy.ledger_fields import GENESIS
from privacy.ledger_file import require_alone, sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from privacy.events import Event

_BESIDE: Final = ("-wal", "-shm")


@dataclass(frozen=True)
class AcceptedLoss:
    """An officer's word on what a backup does not hold.

    Attributes:
        names: the data sets that may have been used since, beside those that the backup, or the
            ledger that it replaces, knows of: all names of the policy.
        stated: by name, all that may have been charged since; an empty tuple says that nothing
            was. A name that is not here is charged infinity.
    """

    names: tuple[str, ...]
    stated: Mapping[str, tuple[Event, ...]]


@dataclass(frozen=True)
class Restored:
    """What became of a ledger.

    Attributes:
        head: the head after it (32 bytes).
        aside: where the file that was replaced is now; None where there was none.
        charges: what was charged for lost entries; empty where none were lost.
    """

    head: bytes
    aside: Path | None
    charges: tuple[LostCharge, ...]


def restore(
    place: Path,
    backup: Path,
    *,
    clock: Callable[[], datetime],
    known_head: bytes | None = None,
    loss: AcceptedLoss | None = None,
) -> Restored:
    """Put a copy of `backup` in the place of the ledger at `place`.

    No process may have the ledger open, nor open it meanwhile: the caller holds the site's lock. At
    every instant, also
    of a crash, either the old or the new ledger is at `place`. The old one is kept beside it.

    Args:
        place: the ledger's file, which may be damaged or missing.
        backup: a closed ledger of this or an earlier version; it is only read.
        clock: gives the time of the entry that says what was lost, with a time zone.
        known_head: a head of the ledger that was seen after the backup, if any.
        loss: what to charge if entries were lost; without it a loss is refused.

    Raises:
        ConfigError: a file cannot be read or written, a process has the ledger open, or the officer
            speaks of a data set that nobody knows.
        IntegrityError: the backup does not verify, or it is older than the ledger, and no loss was
            accepted; nothing was changed.
    """
    _require_closed(backup)
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".restoring-", dir=place.parent)
    except OSError as error:
        raise _refused(place, error) from error
    with folder as name:
        copy = Path(name) / "ledger.sqlite"
        _copy(backup, copy)
        if place.exists():
            require_alone(place)
        with Ledger.open(copy, clock=clock) as ledger:
            head, names = _present(place, clock)
            lost = [each for each in (head, known_head) if each and not ledger.knows(each)]
            charges: tuple[LostCharge, ...] = ()
            if lost or (head is None and known_head is None):
                known = {*names, *ledger.names()}
                charges = _charges(backup, known, loss, is_known=bool(lost))
                ledger.restored(lost[0] if lost else None, charges)
            restored = ledger.head()
        return Restored(restored, _exchange(copy, place, head), charges)


def _charges(
    backup: Path, known: set[str], loss: AcceptedLoss | None, *, is_known: bool
) -> tuple[LostCharge, ...]:
    if loss is None and is_known:
        raise IntegrityError(
            f"{backup} is older than the ledger that it would replace, and lacks what was charged "
            "since: nothing was changed. Restore the newest backup. If there is none, accept the "
            "loss: every data set is then charged infinity, or what the compliance officer states."
        )
    if loss is None:
        raise IntegrityError(
            f"Nothing says whether {backup} is the newest: there is no readable ledger in its "
            "place, and no known head was given. Nothing was changed. Give the head that was "
            "written down last, or that stands in the site's last report, or accept the loss."
        )
    names = known | set(loss.names)
    strange = sorted(set(loss.stated) - names)
    if strange:
        raise ConfigError(
            f"Neither the backup, nor the ledger, nor the policy knows a data set `{strange[0]}`: "
            "nothing was changed. Correct the name."
        )
    return tuple(
        LostCharge(name, loss.stated.get(name, (NoGuarantee(),))) for name in sorted(names)
    )


def _present(place: Path, clock: Callable[[], datetime]) -> tuple[bytes | None, Iterable[str]]:
    """Return head and names of the ledger at `place`; None where none is readable.

    An empty one says nothing either: a site that lost its ledger begins with such a one.
    """
    if not place.exists():
        return None, ()
    try:
        with Ledger.open(place, clock=clock) as ledger:
            head = ledger.head()
            return None if head == GENESIS else head, ledger.names()
    except IntegrityError:
        return None, ()


def _exchange(copy: Path, place: Path, head: bytes | None) -> Path | None:
    """Put `copy` at `place`, and what was there beside it, under a name that says which it was."""
    try:
        aside = None
        if place.exists():
            aside = _aside(place, head)
            # A write-ahead log that stayed would be replayed into the new file.
            for suffix in _BESIDE:
                if Path(f"{place}{suffix}").exists():
                    Path(f"{place}{suffix}").replace(f"{aside}{suffix}")
            aside.hardlink_to(place)
        copy.replace(place)
        sync_folder(place.parent)
    except OSError as error:
        raise _refused(place, error) from error
    return aside


def _aside(place: Path, head: bytes | None) -> Path:
    """Return a name that is free."""
    which = "unread" if head is None else head[:8].hex()
    number = 1
    while (path := place.with_name(f"{place.name}.replaced-{which}-{number}")).exists():
        number += 1
    return path


def _require_closed(backup: Path) -> None:
    log = Path(f"{backup}-wal")
    if log.exists() and log.stat().st_size:
        raise ConfigError(
            f"{backup} is in use, or was copied while it was (there is a write-ahead log beside "
            "it), so the copy may lack entries: nothing was changed. Name a file that `secure-fl "
            "ledger backup` wrote."
        )


def _copy(backup: Path, copy: Path) -> None:
    try:
        copy.touch(mode=0o600)
        shutil.copyfile(backup, copy)
        handle = os.open(copy, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        raise ConfigError(
            f"The backup {backup} could not be copied ({error.strerror}): nothing was changed. "
            "Name a file that this user can read, and see that there is room for a copy."
        ) from error


def _refused(place: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"No ledger can be put at {place} ({error.strerror}): mend the disk or its permissions, "
        "and restore again."
    )
