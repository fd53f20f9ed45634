"""Backups: consistent while somebody writes, and never a way to forget what was spent."""

from __future__ import annotations

import json
import math
import os
import shutil
import sqlite3
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto.errors import BudgetError, ConfigError, IntegrityError
from privacy import ledger_backup, ledger_file
from privacy.accounting import epsilon
from privacy.events import NoGuarantee, Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Ledger
from privacy.ledger_acts import LostCharge, Restoration
from privacy.ledger_backup import AcceptedLoss, Restored, restore
from privacy.ledger_fields import GENESIS

OPEN = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
CEILING = Budget(1e9, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
NOTHING_SAID = AcceptedLoss((), {})


def clock() -> datetime:
    return datetime(2026, 11, 1, tzinfo=UTC)


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


class Place:
    """A site's ledger, and a backup that was made before its last run."""

    def __init__(self, folder: Path) -> None:
        self.path, self.backup = folder / "site" / "ledger.sqlite", folder / "backup.sqlite"
        with Ledger.open(self.path, clock=clock) as ledger:
            ledger.reserve("ward", bytes(32), "run-1", steps(10), CEILING)
            self.written_down = ledger.copy_to(self.backup)
            ledger.reserve("ward", bytes(32), "run-2", steps(20), CEILING)
            self.last = ledger.reserve("clinic", bytes(32), "run-3", steps(5), CEILING)

    def restore(
        self, known_head: bytes | None = None, loss: AcceptedLoss | None = None
    ) -> Restored:
        return restore(self.path, self.backup, clock=clock, known_head=known_head, loss=loss)

    def damage(self) -> None:
        self.path.write_bytes(self.path.read_bytes()[:5000])

    def spent(self, name: str) -> float:
        with Ledger.open(self.path, clock=clock) as ledger:
            return ledger.spent(name, 1e-5)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


# -- making one -----------------------------------------------------------------------------------


def test_a_backup_is_a_whole_ledger_of_its_own(place: Place) -> None:
    assert stat.S_IMODE(place.backup.stat().st_mode) == 0o600
    with (
        Ledger.open(place.backup, clock=clock) as copy,
        Ledger.open(place.path, clock=clock) as own,
    ):
        assert copy.head() == place.written_down
        assert own.knows(copy.head())
        assert not copy.knows(own.head())
        assert copy.history() == own.history()[:2]
    assert sorted(path.name for path in place.backup.parent.iterdir()) == ["backup.sqlite", "site"]


def test_a_backup_takes_no_files_place(place: Place) -> None:
    before = place.backup.read_bytes()
    with Ledger.open(place.path, clock=clock) as ledger:
        for target in (place.backup, place.path):
            with pytest.raises(ConfigError, match=r"is at .* already"):
                ledger.copy_to(target)
        with pytest.raises(ConfigError, match="No ledger can be kept"):
            ledger.copy_to(place.path.parent / "missing" / "x")
    assert place.backup.read_bytes() == before
    assert sorted(path.name for path in place.path.parent.iterdir()) == ["ledger.sqlite"]


def test_a_backup_of_a_ledger_that_is_written_to_is_one_instant_of_it(tmp_path: Path) -> None:
    path, stop = tmp_path / "ledger.sqlite", threading.Event()

    def write() -> None:
        with Ledger.open(path, clock=clock) as ledger:
            ledger.reserve("ward", bytes(32), "run-1", steps(1), OPEN)
            attempt = 0
            while not stop.is_set():
                ledger.draw("ward", "run-1", 0, attempt, steps(1), OPEN)
                attempt += 1

    Ledger.open(path, clock=clock).close()
    writer = threading.Thread(target=write)
    writer.start()
    heads = []
    try:
        with Ledger.open(path, clock=clock) as ledger:
            for number in range(8):
                heads.append(ledger.copy_to(tmp_path / f"backup-{number}"))
                assert ledger.knows(heads[-1])
    finally:
        stop.set()
        writer.join()
    assert len(set(heads)) > 1


# -- putting one back -----------------------------------------------------------------------------


def test_an_older_backup_is_refused_and_nothing_changes(place: Place) -> None:
    before = place.path.read_bytes()
    for known_head in (None, place.written_down, place.last):
        with pytest.raises(IntegrityError, match="is older than the ledger"):
            place.restore(known_head)
    assert place.path.read_bytes() == before
    assert [path.name for path in place.path.parent.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize("state", ["damaged", "missing", "empty", "begun anew"])
def test_without_a_readable_ledger_a_head_has_to_show_that_it_is_the_newest(
    place: Place, state: str
) -> None:
    if state == "damaged":
        place.damage()
    else:
        place.path.unlink()
    if state in {"empty", "begun anew"}:
        with Ledger.open(place.path, clock=clock) as ledger:
            if state == "begun anew":
                ledger.reserve("ward", bytes(32), "run-9", steps(1), OPEN)
    said = "is older than" if state == "begun anew" else "Nothing says whether"
    with pytest.raises(IntegrityError, match=said):
        place.restore()
    with pytest.raises(IntegrityError, match="is older than"):
        place.restore(place.last)
    if state == "begun anew":
        return
    restored = place.restore(place.written_down)
    assert restored == Restored(place.written_down, restored.aside, ())
    assert (restored.aside is None) is (state == "missing")
    assert place.spent("ward") == epsilon([steps(10)], 1e-5)


def test_the_newest_backup_is_put_back_as_it_is(place: Place) -> None:
    newest = place.backup.with_name("newest.sqlite")
    with Ledger.open(place.path, clock=clock) as ledger:
        ledger.copy_to(newest)
    content = newest.read_bytes()
    restored = restore(place.path, newest, clock=clock)
    assert (restored.head, restored.charges) == (place.last, ())
    assert newest.read_bytes() == content
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert restored.aside is not None
    assert restored.aside.name == f"ledger.sqlite.replaced-{place.last[:8].hex()}-1"
    with Ledger.open(restored.aside, clock=clock) as aside:
        assert aside.head() == place.last
    again = restore(place.path, newest, clock=clock)
    assert again.aside is not None
    assert again.aside.name.endswith("-2")


def test_an_accepted_loss_is_charged_infinity_and_says_what_was_lost(place: Place) -> None:
    restored = place.restore(loss=AcceptedLoss(("ward", "never-used"), {}))
    assert [charge.dataset for charge in restored.charges] == ["clinic", "never-used", "ward"]
    with Ledger.open(place.path, clock=clock) as ledger:
        *_, entry = ledger.history()
        assert isinstance(entry, Restoration)
        assert json.loads(entry.body()) == {
            "schema": "secure-fl.ledger-entry.v2",
            "kind": "restored",
            "sequence": 3,
            "time": "2026-11-01T00:00:00Z",
            "lost_head": place.last.hex(),
            "charges": [
                {"dataset": name, "events": [{"kind": "no-guarantee"}]}
                for name in ("clinic", "never-used", "ward")
            ],
        }
        assert ledger.head() == restored.head
        assert ledger.knows(place.written_down)
        assert not ledger.knows(place.last)
        for name in ("ward", "clinic", "never-used"):
            with pytest.raises(BudgetError, match="infinity"):
                ledger.reserve(name, bytes(32), "run-9", steps(1), CEILING)
        assert ledger.spent("ward", 1e-5) == math.inf
        assert ledger.spent("clinic", 1e-5) == math.inf
        ledger.reserve("new", bytes(32), "run-9", steps(1), CEILING)
        with pytest.raises(IntegrityError, match=r"until a backup took its place: entry 3"):
            ledger.verify(known_head=place.last)
        ledger.verify(known_head=restored.head)


def test_what_the_officer_states_is_charged_instead(place: Place) -> None:
    stated = {"ward": (steps(20), steps(1)), "clinic": ()}
    restored = place.restore(loss=AcceptedLoss((), stated))
    assert restored.charges == (
        LostCharge("clinic", ()),
        LostCharge("ward", (steps(20), steps(1))),
    )
    assert place.spent("ward") == epsilon([steps(31)], 1e-5)
    with Ledger.open(place.path, clock=clock) as ledger:
        assert ledger.spent("clinic", 1e-5) == 0.0
        assert [charge.run for charge in ledger.charges("ward")] == ["run-1", None, None]
        ledger.reserve("ward", bytes(32), "run-9", steps(1), CEILING)
        assert ledger.total("ward", run="run-9").epsilon == epsilon([steps(1)], 1e-5)


def test_a_loss_that_nobody_can_name_is_charged_too(place: Place) -> None:
    place.path.unlink()
    restored = place.restore(loss=AcceptedLoss(("ward",), {}))
    assert restored.charges == (LostCharge("ward", (NoGuarantee(),)),)
    with Ledger.open(place.path, clock=clock) as ledger:
        *_, entry = ledger.history()
        assert isinstance(entry, Restoration)
        assert entry.lost_head is None


def test_where_nothing_is_lost_nothing_is_charged(place: Place) -> None:
    place.damage()
    assert place.restore(place.written_down, AcceptedLoss(("ward",), {})).charges == ()
    assert place.spent("ward") == epsilon([steps(10)], 1e-5)


def test_people_who_share_pay_for_the_loss_too(place: Place) -> None:
    place.restore(loss=AcceptedLoss((), {"ward": ()}))
    shared = Budget(1e9, 1e-5, Unit.RECORD, Relation.ADD_REMOVE, shares_people_with=("clinic",))
    with (
        Ledger.open(place.path, clock=clock) as ledger,
        pytest.raises(BudgetError, match="infinity"),
    ):
        ledger.reserve("ward", bytes(32), "run-9", steps(1), shared)


def test_an_officer_cannot_speak_of_what_nobody_knows(place: Place) -> None:
    before = place.path.read_bytes()
    with pytest.raises(ConfigError, match="knows a data set `wrad`"):
        place.restore(loss=AcceptedLoss(("ward",), {"wrad": ()}))
    assert place.path.read_bytes() == before
    assert [path.name for path in place.path.parent.iterdir()] == ["ledger.sqlite"]


def test_a_backup_that_does_not_verify_is_refused(place: Place) -> None:
    before = place.path.read_bytes()
    connection = sqlite3.connect(place.backup)
    connection.execute("DROP TRIGGER no_delete")
    connection.close()
    with pytest.raises(IntegrityError, match="altered"):
        place.restore(loss=NOTHING_SAID)
    place.backup.unlink()
    with pytest.raises(ConfigError, match="could not be copied"):
        place.restore(loss=NOTHING_SAID)
    assert place.path.read_bytes() == before
    assert [path.name for path in place.path.parent.iterdir()] == ["ledger.sqlite"]


def test_a_copy_of_a_file_in_use_is_no_backup(place: Place, tmp_path: Path) -> None:
    with Ledger.open(place.path, clock=clock) as ledger:
        ledger.reserve("ward", bytes(32), "run-4", steps(1), OPEN)
        for suffix in ("", "-wal"):
            shutil.copy(f"{place.path}{suffix}", tmp_path / f"copy.sqlite{suffix}")
    with pytest.raises(ConfigError, match="is in use"):
        restore(place.path, tmp_path / "copy.sqlite", clock=clock, loss=NOTHING_SAID)


def test_an_old_write_ahead_log_is_not_replayed_into_the_new_file(place: Place) -> None:
    """A damaged ledger may leave one behind: its pages belong to the old file alone."""
    with Ledger.open(place.path, clock=clock) as ledger:
        ledger.reserve("ward", bytes(32), "run-4", steps(1), OPEN)
        log = Path(f"{place.path}-wal").read_bytes()
    place.damage()
    Path(f"{place.path}-wal").write_bytes(log)
    restored = place.restore(place.written_down)
    assert not Path(f"{place.path}-wal").exists()
    assert place.spent("ward") == epsilon([steps(10)], 1e-5)
    assert restored.head == place.written_down


@pytest.mark.parametrize("at", ["hardlink_to", "replace", "sync_folder"])
def test_at_every_instant_there_is_a_ledger(
    place: Place, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were there none, the site would begin an empty one, and spend everything again."""

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    if at == "sync_folder":
        monkeypatch.setattr(ledger_backup, at, fails)
    else:
        monkeypatch.setattr(Path, at, fails)
    with pytest.raises(ConfigError, match="Input/output error"):
        place.restore(loss=NOTHING_SAID)
    monkeypatch.undo()
    with Ledger.open(place.path, clock=clock) as ledger:
        assert ledger.head() != GENESIS
        assert ledger.names() == ("clinic", "ward")


def test_a_folder_that_cannot_be_written_to_is_said_to(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> str:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(ledger_backup.tempfile, "mkdtemp", fails)
    with pytest.raises(ConfigError, match="No ledger can be put at"):
        place.restore(loss=NOTHING_SAID)


def test_a_ledger_that_is_open_is_not_replaced(place: Place) -> None:
    """Its holder would go on charging to a file that nobody reads any more."""
    with Ledger.open(place.path, clock=clock) as ledger:
        with pytest.raises(ConfigError, match="is open in another process"):
            place.restore(loss=NOTHING_SAID)
        assert ledger.head() == place.last
    place.restore(loss=NOTHING_SAID)


@pytest.mark.parametrize("removed", [True, False])
def test_whoever_has_a_replaced_ledger_open_charges_nothing_more(
    place: Place, *, removed: bool
) -> None:
    with Ledger.open(place.path, clock=clock) as ledger:
        if removed:
            place.path.unlink()
        else:
            place.backup.replace(place.path)
        for refused in (
            ledger.head,
            lambda: ledger.reserve("ward", bytes(32), "run-9", steps(1), OPEN),
        ):
            with pytest.raises(IntegrityError, match="replaced or removed"):
                refused()


def test_one_that_is_replaced_before_it_is_written_to_is_found_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    exclusive = ledger_file.LedgerFile.exclusive

    def replaced(file: ledger_file.LedgerFile) -> object:
        place.backup.replace(place.path)
        return exclusive(file)

    with Ledger.open(place.path, clock=clock) as ledger:
        monkeypatch.setattr(ledger_file.LedgerFile, "exclusive", replaced)
        with pytest.raises(IntegrityError, match="replaced or removed"):
            ledger.reserve("ward", bytes(32), "run-9", steps(1), OPEN)


def synced(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that grows with every file (False) and folder (True) that is made durable."""
    seen: list[bool] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        seen.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    return seen


def test_a_copy_and_its_name_are_made_durable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(place.path, clock=clock) as ledger:
        seen = synced(monkeypatch)
        ledger.copy_to(place.backup.with_name("newest.sqlite"))
    assert seen == [False, True]


def test_what_is_restored_and_its_name_are_made_durable(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = synced(monkeypatch)
    place.restore(loss=NOTHING_SAID)
    assert seen == [False, True]
    assert sorted(path.suffix[:10] for path in place.path.parent.iterdir()) == [
        ".replaced-",
        ".sqlite",
    ]


def test_of_two_lost_heads_the_ledgers_own_is_named(place: Place) -> None:
    place.restore(known_head=bytes(32), loss=NOTHING_SAID)
    with Ledger.open(place.path, clock=clock) as ledger:
        *_, entry = ledger.history()
        assert isinstance(entry, Restoration)
        assert entry.lost_head == place.last


def test_a_folder_that_is_missing_is_made_for_its_owner_alone(place: Place) -> None:
    elsewhere = place.backup.parent / "new" / "site" / "ledger.sqlite"
    restored = restore(elsewhere, place.backup, clock=clock, known_head=place.written_down)
    assert (restored.head, restored.aside) == (place.written_down, None)
    assert stat.S_IMODE(elsewhere.parent.stat().st_mode) == 0o700
