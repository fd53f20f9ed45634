"""The ledger's file against tampering, a failing disk and other files in its place."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import stat
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from crypto.digests import canonical_json
from crypto.errors import ConfigError, IntegrityError
from privacy import ledger_file, ledger_schema
from privacy.events import Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Entry, Ledger
from privacy.ledger_fields import GENESIS, chained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPEN = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
STEP = SubsampledGaussian(2.0, 0.1, 1)
TRIGGERS = ("no_gap", "no_update", "no_delete")


def clock() -> datetime:
    return datetime.now(UTC)


def reopened(path: Path) -> tuple[Entry, ...]:
    with Ledger.open(path, clock=clock) as ledger:
        return ledger.entries()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a closed ledger of a declaration, a reservation and four draws."""
    path = tmp_path / "state" / "ledger.sqlite"
    with Ledger.open(path, clock=clock) as ledger:
        ledger.reserve("fpb", bytes(32), "run-1", SubsampledGaussian(2.0, 0.1, 4), OPEN)
        for round_ in range(4):
            ledger.draw("fpb", "run-1", round_, 0, STEP, OPEN)
    return path


def tamper(path: Path, change: Callable[[sqlite3.Connection], object]) -> None:
    """Change the file as its owner can: without its triggers, which stand again afterwards."""
    connection = sqlite3.connect(path)
    for trigger in TRIGGERS:
        connection.execute(f"DROP TRIGGER {trigger}")
    change(connection)
    for trigger in TRIGGERS:
        connection.execute(ledger_schema.VERSIONS[2][trigger])
    connection.commit()
    connection.close()


def rewrite(path: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change one entry's JSON, and chain it and all that follow anew, as a forger would."""

    def forge(connection: sqlite3.Connection) -> None:
        head = GENESIS
        for sequence, body in connection.execute("SELECT sequence, body FROM entries").fetchall():
            forged = body
            if sequence == number:
                value = json.loads(body)
                change(value)
                forged = canonical_json(value)
            head = chained(head, forged)
            connection.execute(
                "UPDATE entries SET body = ?, head = ? WHERE sequence = ?", (forged, head, sequence)
            )

    tamper(path, forge)


@pytest.mark.parametrize("number", [1, 2, 4, 6])
@pytest.mark.parametrize("column", ["body", "head"])
def test_a_changed_byte_is_found_and_its_entry_named(path: Path, number: int, column: str) -> None:
    def flip(connection: sqlite3.Connection) -> None:
        row = connection.execute(f"SELECT {column} FROM entries WHERE sequence = {number}")  # noqa: S608 - our own words
        content = bytearray(row.fetchone()[0])
        content[7] ^= 1
        connection.execute(
            f"UPDATE entries SET {column} = ? WHERE sequence = ?",  # noqa: S608 - our own words
            (bytes(content), number),
        )

    tamper(path, flip)
    with pytest.raises(IntegrityError, match=f"Entry {number} of the ledger"):
        reopened(path)


def test_an_entry_of_another_type_is_found(path: Path) -> None:
    tamper(path, lambda file: file.execute("UPDATE entries SET body = 'x' WHERE sequence = 2"))
    with pytest.raises(IntegrityError, match="Entry 2 of the ledger"):
        reopened(path)


def test_a_missing_entry_is_found(path: Path) -> None:
    tamper(path, lambda file: file.execute("DELETE FROM entries WHERE sequence = 3"))
    with pytest.raises(IntegrityError, match=r"Entry 4 .* missing"):
        reopened(path)


def test_swapped_entries_are_found(path: Path) -> None:
    def swap(file: sqlite3.Connection) -> None:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            file.execute("UPDATE entries SET sequence = ? WHERE sequence = ?", (new, old))

    tamper(path, swap)
    with pytest.raises(IntegrityError, match="Entry 2 of the ledger"):
        reopened(path)


def test_a_cut_ledger_is_found_by_a_head_seen_before(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        seen = ledger.head()
        ledger.verify(known_head=seen)
        ledger.verify(known_head=GENESIS)
    tamper(path, lambda file: file.execute("DELETE FROM entries WHERE sequence = 6"))
    with (
        Ledger.open(path, clock=clock) as ledger,
        pytest.raises(IntegrityError, match="old backup"),
    ):
        ledger.verify(known_head=seen)


def test_an_open_ledger_notices_that_it_was_cut(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        tamper(path, lambda file: file.execute("DELETE FROM entries WHERE sequence = 6"))
        with pytest.raises(IntegrityError, match="while it was open"):
            ledger.draw("fpb", "run-1", 3, 1, STEP, OPEN)


def forged_kind(value: dict[str, Any]) -> None:
    value["kind"] = "refund"


def forged_field(value: dict[str, Any]) -> None:
    value["comment"] = "no"


def forged_event(value: dict[str, Any]) -> None:
    value["event"]["kind"] = "laplace"


def forged_schema(value: dict[str, Any]) -> None:
    value["schema"] = "secure-fl.ledger-entry.v3"


def forged_number(value: dict[str, Any]) -> None:
    value["sequence"] = 5


def forged_run(value: dict[str, Any]) -> None:
    value["run"] = "run-2"


def forged_attempt(value: dict[str, Any]) -> None:
    value["round"] = 0


def forged_steps(value: dict[str, Any]) -> None:
    value["event"]["steps"] = 2


def forged_delta(value: dict[str, Any]) -> None:
    value["delta"] = 1e-6


@pytest.mark.parametrize(
    "forgery",
    [
        forged_kind,
        forged_field,
        forged_event,
        forged_schema,
        forged_number,
        forged_run,
        forged_attempt,
        forged_steps,
        forged_delta,
    ],
)
def test_a_well_chained_entry_that_this_version_would_not_write_is_refused(
    path: Path, forgery: Callable[[dict[str, Any]], None]
) -> None:
    rewrite(path, 4, forgery)
    with pytest.raises(IntegrityError, match=r"Entry [46] of the ledger"):
        reopened(path)


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"a":1,"a":2}', b"1e999", b"9" * 5000]
)
def test_bytes_that_are_no_entry_are_refused(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        Entry.parse(body)


def test_an_entry_in_another_spelling_is_refused(path: Path) -> None:
    body = reopened(path)[0].body()
    for spelling in (b" " + body, body.replace(b":2,", b":2.0,", 1), body.replace(b"{", b"{ ", 1)):
        assert json.loads(spelling) == json.loads(body)
        with pytest.raises(IntegrityError, match="canonical"):
            Entry.parse(spelling)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entries SET head = x'00'",
        "DELETE FROM entries",
        "INSERT OR REPLACE INTO entries VALUES (6, x'00', x'00')",
        "INSERT INTO entries VALUES (8, x'00', x'00')",
    ],
)
def test_triggers_refuse_to_change_what_is_written(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert len(reopened(path)) == 5


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_dropped_trigger_is_found(path: Path, trigger: str) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        connection = sqlite3.connect(path)
        connection.execute(f"DROP TRIGGER {trigger}")
        connection.commit()
        connection.close()
        with pytest.raises(IntegrityError, match="triggers"):
            ledger.head()
    with pytest.raises(IntegrityError, match="triggers"):
        reopened(path)


def test_no_flipped_byte_of_the_file_changes_the_story(path: Path) -> None:
    story, content = reopened(path), path.read_bytes()
    found = 0
    for at in (*range(0, 100, 3), *range(100, len(content), 61)):
        flipped = bytearray(content)
        flipped[at] ^= 0x41
        path.write_bytes(flipped)
        try:
            assert reopened(path) == story
        except (IntegrityError, ConfigError):
            found += 1
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert found > 20


def test_a_damaged_write_ahead_log_loses_no_entry(path: Path, tmp_path: Path) -> None:
    wal = path.with_name(path.name + "-wal")
    copy = tmp_path / "copy" / path.name
    copy.parent.mkdir()
    with Ledger.open(path, clock=clock) as ledger:
        ledger.draw("fpb", "run-1", 0, 1, STEP, OPEN)
        story = ledger.entries()
        assert wal.stat().st_size > 0
        for at in range(0, wal.stat().st_size, 1009):
            shutil.copy(path, copy)
            flipped = bytearray(wal.read_bytes())
            flipped[at] ^= 0x41
            copy.with_name(wal.name).write_bytes(flipped)
            assert reopened(copy) == story


def test_durability_settings_took_effect(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        settings = {
            name: ledger._file._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "wal_autocheckpoint", "fullfsync")
        }
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": 1,
        "fullfsync": 1,
    }


def test_a_file_system_without_a_write_ahead_log_is_refused() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with pytest.raises(ConfigError, match="local disk"):
        ledger_file._prepare(connection)
    connection.close()


def test_only_the_owner_can_read_it(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        ledger.draw("fpb", "run-1", 0, 1, STEP, OPEN)
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == [path.name + end for end in ("", "-shm", "-wal")]
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        reopened(path)


def test_a_full_disk_charges_nothing_and_says_so(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        head = ledger.head()
        pages = ledger._file._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._file._connection.execute(f"PRAGMA max_page_count = {pages}")
        refusals: list[ConfigError] = []
        while not refusals:
            try:
                head = ledger.reserve("fpb", bytes(32), f"run-{len(ledger.entries())}", STEP, OPEN)
            except ConfigError as error:
                refusals.append(error)
        assert "is full" in str(refusals[0])
        assert ledger.head() == head
        ledger._file._connection.execute("PRAGMA max_page_count = 1000")
        ledger.reserve("fpb", bytes(32), "run-b", STEP, OPEN)
    assert reopened(path)[-1].run == "run-b"


def test_a_read_only_ledger_charges_nothing_and_says_so(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        ledger._file._connection.execute("PRAGMA query_only = ON")
        with pytest.raises(ConfigError, match="can write to"):
            ledger.draw("fpb", "run-1", 0, 1, STEP, OPEN)
    assert len(reopened(path)) == 5


def test_a_ledger_that_another_process_holds_is_not_waited_for_for_ever(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_file, "BUSY_SECONDS", 0.05)
    with Ledger.open(path, clock=clock) as ledger:
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(ConfigError, match="Another process"):
            ledger.draw("fpb", "run-1", 0, 1, STEP, OPEN)
        holder.execute("ROLLBACK")
        holder.close()
        ledger.draw("fpb", "run-1", 0, 1, STEP, OPEN)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", IntegrityError), (b"not a database" * 100, IntegrityError)],
)
def test_another_file_in_its_place_is_refused_and_left_alone(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(error):
        reopened(path)
    assert path.read_bytes() == content


def test_another_database_in_its_place_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE entries (sequence INTEGER PRIMARY KEY)")
    connection.close()
    path.chmod(0o600)
    with pytest.raises(IntegrityError, match="no ledger of this version"):
        reopened(path)


def test_a_place_that_cannot_hold_a_ledger_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "file" / "ledger.sqlite", tmp_path / "dangling"):
        with pytest.raises(ConfigError):
            reopened(path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_making_a_ledger_leaves_nothing_else_behind(tmp_path: Path) -> None:
    reopened(tmp_path / "ledger.sqlite")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.sqlite"]
