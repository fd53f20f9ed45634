"""The ledger's file on its own: what it accepts, how it is made, and what it leaves open."""

from __future__ import annotations

import math
import os
import sqlite3
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crypto.errors import ConfigError, IntegrityError, SecureFLError
from privacy import ledger_file, ledger_schema
from privacy.ledger_file import LedgerFile, Row

if TYPE_CHECKING:
    from collections.abc import Callable

ENTRY = Row(1, b"body", b"head")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a closed file with one entry, whose bytes mean nothing."""
    path = tmp_path / "ledger.sqlite"
    file = LedgerFile.open(path)
    with file.exclusive():
        file.append(ENTRY)
    file.close()
    return path


def change(path: Path, *statements: str) -> None:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def test_it_can_be_told_from_every_other_database(path: Path) -> None:
    header = path.read_bytes()[:100]
    assert header[68:72] == b"_LDG"  # the application's own number in SQLite's header
    assert int.from_bytes(header[60:64]) == 2  # the version of the schema


def lost_freelist(path: Path) -> None:
    """The header tells of unused pages that are not there: no row is touched."""
    content = bytearray(path.read_bytes())
    content[36:40] = (5).to_bytes(4)
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "another program's": lambda path: change(path, "PRAGMA application_id = 7"),
    "another version's": lambda path: change(path, "PRAGMA user_version = 3"),
    "without a trigger": lambda path: change(path, "DROP TRIGGER no_delete"),
    "a page is wrong": lost_freelist,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_whole_is_refused_and_closed(
    path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    DAMAGE[damage](path)
    opened: list[sqlite3.Connection] = []
    connect = ledger_file._connect

    def kept(place: Path) -> sqlite3.Connection:
        opened.append(connect(place))
        return opened[-1]

    monkeypatch.setattr(ledger_file, "_connect", kept)
    with pytest.raises(IntegrityError, match=r"no ledger of this version|altered|is damaged"):
        LedgerFile.open(path)
    (connection,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")


@pytest.mark.parametrize("damage", ["another program's", "another version's"])
def test_damage_to_an_open_file_is_found_when_it_is_verified(path: Path, damage: str) -> None:
    file = LedgerFile.open(path)
    DAMAGE[damage](path)
    assert file.rows_from(1) == [ENTRY]
    with pytest.raises(IntegrityError, match="no ledger of this version"):
        file.verify()
    file.close()


@pytest.mark.parametrize("column", ["body", "head"])
def test_an_entry_that_is_no_bytes_is_named(path: Path, column: str) -> None:
    change(
        path,
        "DROP TRIGGER no_update",
        f"UPDATE entries SET {column} = 'x'",  # noqa: S608 - our own words
        ledger_schema.VERSIONS[2]["no_update"],
    )
    file = LedgerFile.open(path)
    with pytest.raises(IntegrityError, match=r"Entry 1 .* holds no bytes"):
        file.rows_from(1)
    file.close()


def test_it_tells_which_heads_it_had(path: Path) -> None:
    file = LedgerFile.open(path)
    assert file.has_head(b"head")
    assert not file.has_head(b"other")
    file.close()


def test_a_failure_stays_what_it_was_where_sqlite_rolled_back_already(path: Path) -> None:
    file = LedgerFile.open(path)

    def fail(first: Callable[[], object]) -> None:
        with file.exclusive():
            first()
            raise KeyError

    def read(first: Callable[[], object]) -> None:
        with file.at_one_instant():
            first()
            raise KeyError

    with pytest.raises(KeyError):
        fail(lambda: file._connection.execute("ROLLBACK"))
    with pytest.raises(KeyError):
        fail(lambda: file.append(Row(2, b"body", b"other")))
    with pytest.raises(KeyError):
        read(lambda: file._connection.execute("ROLLBACK"))
    assert file.rows_from(1) == [ENTRY]
    file.close()


def test_the_use_of_a_closed_file_is_a_bug_and_nothing_else(path: Path) -> None:
    file = LedgerFile.open(path)
    file.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        file.rows_from(1)


# -- making it ------------------------------------------------------------------------------------


def test_missing_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "ledger.sqlite"
    LedgerFile.open(path).close()
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in path.parents[:1]] == [0o700]


def test_what_is_there_is_not_made_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_file, "_create", lambda _: pytest.fail("made again"))
    LedgerFile.open(path).close()


def refuse(*_: object, **__: object) -> None:
    raise OSError(1, "Operation not permitted")


@pytest.mark.parametrize("step", ["hardlink_to", "sync"])
def test_a_disk_that_refuses_is_said_to(
    tmp_path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    if step == "sync":
        monkeypatch.setattr(ledger_file, "sync_folder", refuse)
    else:
        monkeypatch.setattr(Path, step, refuse)
    with pytest.raises(ConfigError, match="No ledger can be kept"):
        LedgerFile.open(path)


def test_what_could_not_be_made_whole_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    monkeypatch.setattr(ledger_file, "statements_to", lambda _: ("CREATE NONSENSE",))
    with pytest.raises(SecureFLError):
        LedgerFile.open(path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_made_where_it_could_not_be_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_log(_: sqlite3.Connection) -> None:
        raise ConfigError("no write-ahead log here")

    monkeypatch.setattr(ledger_file, "_prepare", no_log)
    with pytest.raises(ConfigError, match="no write-ahead log"):
        LedgerFile.open(tmp_path / "ledger.sqlite")
    assert list(tmp_path.iterdir()) == []


class _Settings:
    """A connection whose settings took effect, or did not."""

    def __init__(self, journal: str, synchronous: int) -> None:
        self._answers = {"PRAGMA journal_mode = WAL": journal, "PRAGMA synchronous": synchronous}
        self._last: Any = None

    def execute(self, statement: str) -> _Settings:
        self._last = self._answers.get(statement)
        return self

    def fetchone(self) -> tuple[Any]:
        return (self._last,)


def test_both_settings_are_needed() -> None:
    ledger_file._prepare(_Settings("wal", 2))  # type: ignore[arg-type] # all that is asked of it
    for journal, synchronous in (("wal", 1), ("delete", 2), ("memory", 0)):
        with pytest.raises(ConfigError, match="durably"):
            ledger_file._prepare(_Settings(journal, synchronous))  # type: ignore[arg-type]


def test_the_folder_is_made_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    fsync = os.fsync

    def seen(handle: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", seen)
    LedgerFile.open(tmp_path / "ledger.sqlite").close()
    assert synced == [True]


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="this system does not show open files")
def test_no_file_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - counts, and opens no more than this
    LedgerFile.open(tmp_path / "ledger.sqlite").close()
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 - as above


def test_a_folder_in_its_place_is_no_file(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    place.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="is no file"):
        LedgerFile.open(place)


@pytest.mark.parametrize("bit", range(6))
def test_any_right_of_others_is_too_much(path: Path, bit: int) -> None:
    path.chmod(0o600 | 1 << bit)
    with pytest.raises(ConfigError, match="chmod 600"):
        LedgerFile.open(path)


def test_it_waits_for_another_process_long_enough() -> None:
    assert 10 <= ledger_file.BUSY_SECONDS < math.inf
