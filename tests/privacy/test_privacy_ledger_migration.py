"""A ledger of the first version, opened by this one: nothing of it is lost, and nothing changes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import sqlite3
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto.digests import canonical_json
from crypto.errors import ConfigError, IntegrityError
from privacy import ledger_file
from privacy.accounting import epsilon
from privacy.events import Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Ledger, charged_events
from privacy.ledger_file import LedgerFile

OPEN = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)

# Everything that the first version wrote, word for word. It never changes.
FIRST_SQL = (
    "CREATE TABLE entries (sequence INTEGER PRIMARY KEY, body BLOB NOT NULL, head BLOB NOT NULL)",
    (
        "CREATE TRIGGER no_gap BEFORE INSERT ON entries WHEN NEW.sequence IS NOT"
        " (SELECT COALESCE(MAX(sequence), 0) + 1 FROM entries)"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    (
        "CREATE TRIGGER no_update BEFORE UPDATE ON entries"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    (
        "CREATE TRIGGER no_delete BEFORE DELETE ON entries"
        " BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
    ),
    "PRAGMA application_id = 1598833735",
    "PRAGMA user_version = 1",
)
COMMON = {
    "schema": "secure-fl.ledger-entry.v1",
    "time": "2026-03-01T00:00:00Z",
    "dataset": "ward",
    "version": "00" * 32,
    "run": "run-1",
    "unit": "record",
    "relation": "add-remove",
    "delta": 1e-5,
}


def event(steps: int) -> dict[str, object]:
    return {
        "kind": "subsampled-gaussian",
        "noise_multiplier": 20,
        "sampling_rate": 1,
        "steps": steps,
    }


BODIES = tuple(
    canonical_json({**COMMON, "sequence": number, **own})  # type: ignore[dict-item] # JSON
    for number, own in enumerate(
        [
            {"kind": "reserve", "event": event(4)},
            {"kind": "draw", "event": event(1), "round": 0, "attempt": 0},
            {"kind": "draw", "event": event(1), "round": 0, "attempt": 1},
        ],
        start=1,
    )
)


def clock() -> datetime:
    return datetime(2026, 11, 1, tzinfo=UTC)


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file as the first version left it: a reservation and two draws of one round."""
    path = tmp_path / "ledger.sqlite"
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    for statement in FIRST_SQL:
        connection.execute(statement)
    head = hashlib.sha256(b"secure-fl/v1/ledger").digest()
    for number, body in enumerate(BODIES, start=1):
        head = hashlib.sha256(head + body).digest()
        connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (number, body, head))
    connection.close()
    return path


def stored(path: Path) -> list[tuple[int, bytes, bytes]]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT sequence, body, head FROM entries").fetchall()
    connection.close()
    return rows


def version_of(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def test_entries_of_the_first_version_keep_their_bytes_and_their_chain(path: Path) -> None:
    before = stored(path)
    with Ledger.open(path, clock=clock) as ledger:
        assert [entry.body() for entry in ledger.entries()] == list(BODIES)
        assert ledger.head() == before[-1][2]
        ledger.verify(known_head=before[1][2])
        assert ledger.spent("ward", 1e-5) == epsilon([steps(5)], 1e-5)
    assert stored(path) == before
    assert version_of(path) == 2


def test_what_it_spent_counts_and_its_run_goes_on(path: Path) -> None:
    with Ledger.open(path, clock=clock) as ledger:
        ledger.draw("ward", "run-1", 1, 1, steps(1), OPEN)
        ledger.draw("ward", "run-1", 1, 2, steps(1), OPEN)
        ledger.reserve("ward", bytes(32), "run-2", steps(3), OPEN)
        kinds = [line.kind.value for line in ledger.history()]
        schemas = [json.loads(line.body())["schema"][-2:] for line in ledger.history()]
        assert kinds == ["reserve", "draw", "draw", "declare", "draw", "draw", "reserve"]
        assert schemas == ["v1"] * 3 + ["v2"] * 4
        assert charged_events(ledger.entries()) == (steps(4), steps(1), steps(1), steps(3))
        assert ledger.spent("ward", 1e-5) == epsilon([steps(9)], 1e-5)
    Ledger.open(path, clock=clock).close()


def test_its_terms_stay_fixed(path: Path) -> None:
    other = Budget(math.inf, 1e-6, Unit.RECORD, Relation.ADD_REMOVE)
    with (
        Ledger.open(path, clock=clock) as ledger,
        pytest.raises(ConfigError, match="first charged per record"),
    ):
        ledger.reserve("ward", bytes(32), "run-2", steps(1), other)


def copies(path: Path) -> list[Path]:
    return [other for other in path.parent.iterdir() if other.name.startswith(f"{path.name}.v")]


def test_a_copy_as_it_was_is_left_beside_it(path: Path) -> None:
    before = stored(path)
    Ledger.open(path, clock=clock).close()
    (copy,) = copies(path)
    assert copy.name == f"ledger.sqlite.v1-{before[-1][2][:8].hex()}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert (version_of(copy), stored(copy)) == (1, before)
    Ledger.open(path, clock=clock).close()
    assert copies(path) == [copy]


def test_an_empty_one_is_brought_along_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.touch(mode=0o600)
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in FIRST_SQL:
        connection.execute(statement)
    connection.close()
    with Ledger.open(path, clock=clock) as ledger:
        assert ledger.history() == ()
    assert [copy.name for copy in copies(path)] == ["ledger.sqlite.v1-"]


def test_without_room_for_the_copy_nothing_changes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(path)

    def full(_: object, target: Path) -> None:
        raise ConfigError(f"The disk of {target} is full.")

    monkeypatch.setattr(ledger_file, "_copy", full)
    with pytest.raises(ConfigError, match="is full"):
        Ledger.open(path, clock=clock)
    assert (version_of(path), stored(path)) == (1, before)


def test_a_crash_between_the_copy_and_the_change_is_made_good(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crash:
        crash.setattr(ledger_file, "statements_to", lambda *_: ("CREATE NONSENSE",))
        with pytest.raises(IntegrityError):
            Ledger.open(path, clock=clock)
    assert version_of(path) == 1
    assert len(copies(path)) == 1
    Ledger.open(path, clock=clock).close()
    assert version_of(path) == 2
    assert len(copies(path)) == 1


def test_two_that_open_it_at_once_change_it_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    barrier, exclusive = threading.Barrier(2, timeout=20.0), LedgerFile.exclusive
    heads: list[bytes] = []

    def together(file: LedgerFile) -> object:
        barrier.wait()
        return exclusive(file)

    def opens() -> None:
        with Ledger.open(path, clock=clock) as ledger:
            heads.append(ledger.head())

    monkeypatch.setattr(LedgerFile, "exclusive", together)
    threads = [threading.Thread(target=opens) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(heads)) == 1
    assert len(heads) == 2
    assert (version_of(path), len(copies(path))) == (2, 1)


def test_one_of_this_version_is_opened_while_another_process_writes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a file that has to change is held."""
    Ledger.open(path, clock=clock).close()
    monkeypatch.setattr(ledger_file, "BUSY_SECONDS", 0.05)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    Ledger.open(path, clock=clock).close()
    holder.close()


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="this system does not show open files")
def test_no_file_stays_open(path: Path) -> None:
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208 - counts, and opens no more than this
    Ledger.open(path, clock=clock).close()
    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208 - as above


@pytest.mark.parametrize("statement", ["DROP TRIGGER no_delete", "CREATE TABLE more (x)"])
def test_one_that_was_altered_is_refused_as_it_is(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
    with pytest.raises(IntegrityError, match="were altered"):
        Ledger.open(path, clock=clock)
    assert version_of(path) == 1
    assert copies(path) == []


@pytest.mark.parametrize("version", [0, 3, 99])
def test_a_version_that_is_not_known_is_refused(path: Path, version: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(IntegrityError, match="no ledger of this version"):
        Ledger.open(path, clock=clock)
    assert version_of(path) == version
    assert copies(path) == []


def test_the_first_version_has_no_acts_and_no_fingerprints(path: Path) -> None:
    fields = json.loads(BODIES[0])
    forged = canonical_json({**fields, "records": None})
    with Ledger.open(path, clock=clock):
        pass
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER no_update")
    head = hashlib.sha256(hashlib.sha256(b"secure-fl/v1/ledger").digest() + forged).digest()
    connection.execute("UPDATE entries SET body = ?, head = ? WHERE sequence = 1", (forged, head))
    connection.execute(FIRST_SQL[2])
    connection.commit()
    connection.close()
    with pytest.raises(IntegrityError, match="Entry 1 of the ledger"):
        Ledger.open(path, clock=clock)
