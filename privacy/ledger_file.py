"""The ledger's SQLite file: durable, append-only, and readable by its owner alone.

Formal guarantees:
    - `append` returns only after the entry is on the disk (WAL with synchronous=FULL, which
      SQLite's documentation calls durable across a power loss), and a checkpoint follows each
      commit, so that no entry rests on the write-ahead log alone.
    - The file appears under its name only when it is complete.
    - Triggers refuse to change or delete an entry or a fingerprint. They stop a mistake, not an
      owner of the file: that one is found by the hash chain, which the ledger replays.
    - A file of an earlier version is brought to this one in one transaction, after a copy of it was
      put beside it; its entries keep their bytes. One of a later version is refused.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from crypto.errors import ConfigError, IntegrityError, SecureFLError
from privacy.ledger_schema import APPLICATION_ID, NEWEST, VERSIONS, statements_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BUSY_SECONDS: Final = 60.0
"""How long to wait for another process that holds the ledger."""

_SYNCHRONOUS_FULL: Final = 2
_PRIMARY_CODE: Final = 0xFF
_HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_MOST_PARAMETERS: Final = 500
"""Below the fewest that a build of SQLite takes in one statement."""


class Row(NamedTuple):
    """One stored entry: its number, its bytes, and the head of the chain after it."""

    sequence: int
    body: bytes
    head: bytes


class Print(NamedTuple):
    """One stored fingerprint: its bytes, its data set's name, and the entry it came with."""

    fingerprint: bytes
    dataset: str
    sequence: int


class LedgerFile:
    """An open ledger file. One writer at a time, over all processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        _require_usable(path)
        self._place = _place_of(path)
        with self._errors():
            self._connection = _connect(path)
            try:
                _prepare(self._connection)
                self._migrate()
                self._require_whole()
            except BaseException:  # also a stop: no open file stays behind, and it is raised again
                self._connection.close()
                raise

    @classmethod
    def open(cls, path: Path) -> LedgerFile:
        """Open the ledger at `path`, and create an empty one where nothing is.

        Raises:
            ConfigError: the place or its permissions cannot hold a ledger.
            IntegrityError: what lies there is no ledger, or a damaged one.
        """
        if not path.exists():
            _create(path)
        return cls(path)

    def rows_from(self, sequence: int) -> list[Row]:
        """Return the stored entries from number `sequence` on, in order.

        Raises:
            IntegrityError: the file is damaged, or lost the triggers that protect it.
        """
        query = "SELECT sequence, body, head FROM entries WHERE sequence >= ? ORDER BY sequence"
        self._require_in_place()
        with self._errors():
            self._require_schema()
            rows = self._connection.execute(query, (sequence,)).fetchall()
        for number, body, head in rows:
            if not (isinstance(body, bytes) and isinstance(head, bytes)):
                raise IntegrityError(
                    f"Entry {number} of the ledger {self.path} was altered: it holds no bytes. "
                    f"{AFTER_DAMAGE}"
                )
        return [Row(*row) for row in rows]

    def has_head(self, head: bytes) -> bool:
        """Return whether the chain ever ended in `head`."""
        with self._errors():
            found = self._connection.execute("SELECT 1 FROM entries WHERE head = ?", (head,))
            return found.fetchone() is not None

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the one right to write; commit durably at the end, or change nothing.

        Raises:
            ConfigError: another process holds it for too long, or the disk refuses.
            IntegrityError: the file is damaged.
        """
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._require_in_place()
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # also a stop: nothing half is kept, and it is raised again
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def at_one_instant(self) -> Iterator[None]:
        """Let everything that is read within be of one instant, whoever writes meanwhile.

        Raises:
            IntegrityError: the file is damaged.
        """
        with self._errors():
            self._connection.execute("BEGIN DEFERRED")
            try:
                yield
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def append(self, row: Row, prints: Iterable[Print] = ()) -> None:
        """Add one entry with its fingerprints, within `exclusive`; durable when that ends."""
        with self._errors():
            self._connection.execute("INSERT INTO entries VALUES (?, ?, ?)", row)
            self._connection.executemany("INSERT INTO fingerprints VALUES (?, ?, ?)", prints)

    def prints(self) -> Iterator[Print]:
        """Yield every stored fingerprint, by entry and then ascending.

        Raises:
            IntegrityError: the file is damaged.
        """
        query = (
            "SELECT fingerprint, dataset, sequence FROM fingerprints"
            " ORDER BY sequence, fingerprint, dataset"
        )
        with self._errors():
            for row in self._connection.execute(query):
                yield Print(*row)

    def names_of(self, fingerprints: Iterable[bytes]) -> dict[str, set[bytes]]:
        """Return which of `fingerprints` are stored under which data set's name."""
        found: dict[str, set[bytes]] = {}
        asked = list(fingerprints)
        for start in range(0, len(asked), _MOST_PARAMETERS):
            some = asked[start : start + _MOST_PARAMETERS]
            marks = ", ".join("?" * len(some))
            query = f"SELECT dataset, fingerprint FROM fingerprints WHERE fingerprint IN ({marks})"  # noqa: S608 - question marks
            with self._errors():
                for name, fingerprint in self._connection.execute(query, some):
                    found.setdefault(name, set()).add(fingerprint)
        return found

    def copy_to(self, target: Path) -> None:
        """Write a copy of the file as it is at one instant, whoever writes to it meanwhile.

        Raises:
            ConfigError: something is at `target` already, or the disk refuses.
            IntegrityError: this file is damaged.
        """
        with self._errors():
            _copy(self._connection, target)

    def verify(self) -> None:
        """Check the file's own structure, page by page.

        Raises:
            IntegrityError: it is damaged.
        """
        with self._errors():
            self._require_whole()

    def close(self) -> None:
        """Close the file; the write-ahead log is folded into it."""
        self._connection.close()

    def _require_in_place(self) -> None:
        """Refuse to go on with a file that is no longer the one under its name."""
        if _place_of(self.path) != self._place:
            raise IntegrityError(
                f"The ledger {self.path} was replaced or removed while it was open, so what is "
                "charged here would be forgotten: nothing was charged. Start the site again."
            )

    def _version(self) -> int:
        """Return the version of the file's tables.

        Raises:
            IntegrityError: it is no ledger, or one of a later version of this program.
        """
        application = self._connection.execute("PRAGMA application_id").fetchone()
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if application != (APPLICATION_ID,) or version not in VERSIONS:
            raise IntegrityError(
                f"{self.path} is no ledger of this version, so nothing was charged: name the "
                "ledger's path, or use the version of this program that wrote it."
            )
        return int(version)

    def _migrate(self) -> None:
        """Bring a file of an earlier version to this one, after putting a copy of it beside it."""
        if self._version() == NEWEST:
            return
        with self.exclusive():
            version = self._version()  # another process may have been faster
            if version == NEWEST:
                return
            self._require_schema(version)
            head = self._connection.execute("SELECT head FROM entries ORDER BY sequence DESC")
            (last,) = head.fetchone() or (b"",)
            copy = self.path.with_name(f"{self.path.name}.v{version}-{bytes(last[:8]).hex()}")
            self._copy_once(copy)
            for statement in statements_to(NEWEST, version):
                self._connection.execute(statement)

    def _copy_once(self, copy: Path) -> None:
        """Put a copy of the file beside it; one with the same last entry is there after a crash."""
        if copy.exists():
            return
        # A connection that holds the right to write cannot be copied from; a second one can.
        with contextlib.closing(_connect(self.path)) as source:
            _copy(source, copy)

    def _require_whole(self) -> None:
        self._require_schema(self._version())
        findings = self._connection.execute("PRAGMA integrity_check(1)").fetchall()
        if findings != [("ok",)]:
            raise IntegrityError(f"The ledger {self.path} is damaged. {AFTER_DAMAGE}")

    def _require_schema(self, version: int = NEWEST) -> None:
        stored = dict(self._connection.execute("SELECT name, sql FROM sqlite_master").fetchall())
        if stored != VERSIONS[version]:
            raise IntegrityError(
                f"The tables or triggers of the ledger {self.path} were altered, so its entries "
                f"are not protected. {AFTER_DAMAGE}"
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn SQLite's errors into ours; a closed ledger's stays what it is, a bug."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise
        except sqlite3.DatabaseError as error:
            raise _translated(self.path, error) from error


AFTER_DAMAGE: Final = (
    "Nothing was charged: use these records for no run, restore the ledger from a backup whose "
    "head is known, and tell the compliance officer."
)


def _create(path: Path) -> None:
    """Make an empty ledger in full under another name, then give it its own.

    Where two processes do this at once, the first one's file stays.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".ledger-", suffix=".new", dir=path.parent)
    except OSError as error:
        raise _cannot_hold(path, error.strerror) from error
    os.close(handle)
    try:
        _write_empty(Path(name), path)
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(name)
        sync_folder(path.parent)
    except OSError as error:
        raise _cannot_hold(path, error.strerror) from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)


def _write_empty(new: Path, path: Path) -> None:
    try:
        connection = _connect(new)
        try:
            _prepare(connection)
            connection.execute("BEGIN IMMEDIATE")
            for statement in statements_to(NEWEST):
                connection.execute(statement)
            connection.execute("COMMIT")
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise _translated(path, error) from error


def _copy(source: sqlite3.Connection, target: Path) -> None:
    """Copy a database at one instant, in full under another name first."""
    try:
        handle, name = tempfile.mkstemp(prefix=".ledger-", suffix=".copy", dir=target.parent)
    except OSError as error:
        raise _cannot_hold(target, error.strerror) from error
    os.close(handle)
    try:
        with contextlib.closing(sqlite3.connect(name)) as destination:
            source.backup(destination)
        _sync(Path(name))
        target.hardlink_to(name)
        sync_folder(target.parent)
    except FileExistsError:
        raise ConfigError(
            f"Something is at {target} already, and a copy never takes another's place: nothing "
            "was written. Name another file."
        ) from None
    except OSError as error:
        raise _cannot_hold(target, error.strerror) from error
    finally:
        for suffix in ("", "-wal", "-shm"):
            Path(name + suffix).unlink(missing_ok=True)


def _connect(path: Path, timeout_seconds: float | None = None) -> sqlite3.Connection:
    # mode=rw: SQLite never makes a file of its own accord, with whatever permissions.
    # One connection serves several threads; the ledger holds a lock around each use.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS if timeout_seconds is None else timeout_seconds,
        isolation_level=None,
        check_same_thread=False,
    )


def _prepare(connection: sqlite3.Connection) -> None:
    """Set what durability rests on, and check that it took effect.

    Raises:
        ConfigError: the file system cannot do it.
    """
    journal = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    for setting in (
        "synchronous = FULL",
        "fullfsync = ON",
        "checkpoint_fullfsync = ON",
        "wal_autocheckpoint = 1",
        "trusted_schema = OFF",
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {setting}")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()
    if journal != ("wal",) or synchronous != (_SYNCHRONOUS_FULL,):
        raise ConfigError(
            "This file system cannot keep a ledger durably (SQLite's write-ahead log with full "
            "synchronisation was refused), so nothing was charged: put the ledger on a local disk."
        )


def _require_usable(path: Path) -> None:
    """Refuse what is not a private regular file with content.

    Raises:
        ConfigError: it is no file, or others may read it.
        IntegrityError: it is empty, which no ledger ever is.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise _cannot_hold(path, error.strerror) from error
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is no file, so it cannot be a ledger: name another path.")
    if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
        raise ConfigError(
            f"Others than its owner can open the ledger {path}, which says what was done with "
            f"private records: it was not used. Run: chmod 600 {path}"
        )
    if status.st_size == 0:
        raise IntegrityError(f"The ledger {path} is empty, so its entries are lost. {AFTER_DAMAGE}")


def _place_of(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from every other; None where none is."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def require_alone(path: Path) -> None:
    """Refuse a ledger that another process, or another part of this one, has open.

    A file that cannot be read at all passes: nobody can use it.

    Raises:
        ConfigError: it is open elsewhere.
    """
    with contextlib.closing(_connect(path, timeout_seconds=0.0)) as connection:
        try:
            # Without shared memory the whole file has to be locked, and nobody else may have it.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY_CODE
            if code in _HELD:
                raise ConfigError(
                    f"The ledger {path} is open in another process, which would go on charging to "
                    "the file that was replaced: nothing was changed. Stop the site, then try "
                    "again."
                ) from error


def sync_folder(folder: Path) -> None:
    """Make a new name in `folder` durable."""
    if os.name != "posix":
        return
    _sync(folder)


def _sync(path: Path) -> None:
    """Make what was written to `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot_hold(path: Path, why: str | None) -> ConfigError:
    return ConfigError(
        f"No ledger can be kept at {path} ({why or 'refused'}), so nothing was charged: name a "
        "path on a local disk that this user can write to."
    )


def _translated(path: Path, error: sqlite3.DatabaseError) -> SecureFLError:
    """Return our error for SQLite's, by who must act."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & _PRIMARY_CODE
    if code == sqlite3.SQLITE_FULL:
        return ConfigError(
            f"The disk of the ledger {path} is full, so nothing was charged and nothing may be "
            "released: free some space and resume."
        )
    if code in _HELD:
        return ConfigError(
            f"Another process held the ledger {path} for more than {BUSY_SECONDS:g} seconds, so "
            "nothing was charged: let it finish, or stop it, and resume."
        )
    unwritable = {
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_IOERR,
    }
    if code in unwritable:
        return _cannot_hold(path, str(error))
    return IntegrityError(f"The ledger {path} does not read as one ({error}). {AFTER_DAMAGE}")
