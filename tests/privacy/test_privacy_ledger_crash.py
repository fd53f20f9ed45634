"""The ledger under kill -9 and under several processes: never less charged than released."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from crypto.errors import BudgetError
from privacy.accounting import epsilon
from privacy.events import Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Entry, Ledger, charged_events
from privacy.ledger_file import LedgerFile

ROOT = Path(__file__).resolve().parents[2]
ROUNDS, KILLS = 4, 10

PREAMBLE = """
import math, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from privacy.events import Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, Ledger
from privacy.ledger_file import LedgerFile
budget = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
def steps(count):
    return SubsampledGaussian(20.0, 1.0, count)
def clock():
    return datetime.now(UTC)
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
"""

SITE = """
log = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
print("started", flush=True)
ledger = Ledger.open(Path(sys.argv[1]), clock=clock)
ledger.reserve("fpb", bytes(32), "run-1", steps(4), budget)
attempt = int(sys.argv[3])
while True:
    for round_ in range(4):
        ledger.draw("fpb", "run-1", round_, attempt, steps(1), budget)
        os.write(log, f"{round_} {attempt}\\n".encode())  # what leaves the site
    attempt += 1
"""

DYING = """
ledger = Ledger.open(Path(sys.argv[1]), clock=clock)
ledger.reserve("fpb", bytes(32), "run-1", steps(4), budget)
"""


def clock() -> datetime:
    return datetime.now(UTC)


def child(code: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def entries(path: Path) -> tuple[Entry, ...]:
    with Ledger.open(path, clock=clock) as ledger:
        return ledger.entries()


def charged_steps(story: tuple[Entry, ...]) -> int:
    events = charged_events(story)
    return sum(event.steps for event in events if isinstance(event, SubsampledGaussian))


def test_a_kill_at_any_instant_never_leaves_less_charged_than_released(tmp_path: Path) -> None:
    path, log = tmp_path / "state" / "ledger.sqlite", tmp_path / "released"
    delays = random.Random(20260304)  # noqa: S311 - moments to kill at, nothing secret
    released: set[tuple[int, int]] = set()
    for kill in range(KILLS):
        before = len(released)
        with child(SITE, path, log, str(1_000_000 * kill)) as site:
            assert site.stdout is not None
            assert site.stdout.readline() == b"started\n"
            if kill % 2:
                wait_for_lines(log, before + 1)
            time.sleep(delays.uniform(0.0, 0.1))
            site.kill()
        assert site.returncode == -signal.SIGKILL
        pairs = (line.split() for line in log.read_text().splitlines())
        released = {(int(round_), int(attempt)) for round_, attempt in pairs}
        story = entries(path)
        drawn = {(e.draw.round, e.draw.attempt) for e in story if e.draw is not None}
        assert released <= drawn
        assert len(drawn - released) <= kill + 1, "each kill cuts off one release at the most"
        assert len(released) <= charged_steps(story) <= len(drawn) + ROUNDS
    assert len(released) > ROUNDS


def wait_for_lines(log: Path, count: int) -> None:
    for _ in itertools.repeat(None, 3000):
        if len(log.read_text().splitlines()) >= count:
            return
        time.sleep(0.01)
    pytest.fail("the site never released anything")


def dies_in_draw(path: Path, hook: str) -> tuple[Entry, ...]:
    """Let a child die inside of a draw, where `hook` says, and return what was written."""
    draw = 'ledger.draw("fpb", "run-1", 0, 0, steps(1), budget)'
    with child(f"{DYING}\n{hook}\n{draw}\n", path) as site:
        site.communicate(timeout=60)
    assert site.returncode == -signal.SIGKILL
    return entries(path)


def test_a_kill_before_the_commit_leaves_nothing(tmp_path: Path) -> None:
    hook = (
        "a = LedgerFile.append\nLedgerFile.append = lambda self, *given: (a(self, *given), die())"
    )
    story = dies_in_draw(tmp_path / "ledger.sqlite", hook)
    assert [entry.draw for entry in story] == [None]


def test_a_kill_after_the_commit_leaves_it_charged(tmp_path: Path) -> None:
    hook = (
        "c = Ledger._catch_up\nn = []\n"
        "Ledger._catch_up = lambda self: (n.append(1), die() if len(n) == 3 else c(self))"
    )
    story = dies_in_draw(tmp_path / "ledger.sqlite", hook)
    assert [entry.draw is None for entry in story] == [True, False]


def test_a_kill_while_the_file_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    for hook in (
        "import privacy.ledger_file as f\nf._write_empty = die",
        "Path.hardlink_to = die",
        "import privacy.ledger_file as f\nf.sync_folder = die",
    ):
        with child(f"{hook}\nLedger.open(Path(sys.argv[1]), clock=clock)\n", path) as site:
            site.communicate(timeout=60)
        assert site.returncode == -signal.SIGKILL
    assert entries(path) == ()


RESERVE = """
ledger = Ledger.open(Path(sys.argv[1]), clock=clock)
limit = Budget(float(sys.argv[3]), 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
from crypto.errors import BudgetError
import dp_accounting.pld.privacy_loss_distribution
print("ready", flush=True)
sys.stdin.readline()
try:
    ledger.reserve("fpb", bytes(32), sys.argv[2], steps(30), limit)
except BudgetError:
    sys.exit(4)
"""


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


def test_two_processes_cannot_overspend_together(tmp_path: Path) -> None:
    path, limit = tmp_path / "ledger.sqlite", 1.1 * epsilon([steps(30)], 1e-5)
    sites = [
        subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + RESERVE, path, f"run-{number}", str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for number in range(2)
    ]
    for site in sites:
        assert site.stdout is not None
        assert site.stdout.readline() == b"ready\n"
    for site in sites:
        site.communicate(b"go\n", timeout=60)
    assert sorted(site.returncode for site in sites) == [0, 4]
    with Ledger.open(path, clock=clock) as ledger:
        assert ledger.spent("fpb", 1e-5) <= limit


def race(path: Path, monkeypatch: pytest.MonkeyPatch, limit: float) -> list[BudgetError | bytes]:
    """Let two ledgers reserve at once: both pass their first check before either may write."""
    Ledger.open(path, clock=clock).close()
    barrier, exclusive = threading.Barrier(2, timeout=20.0), LedgerFile.exclusive
    results: list[BudgetError | bytes] = []

    def together(file: LedgerFile) -> object:
        barrier.wait()
        return exclusive(file)

    def reserve(run: str) -> None:
        budget = Budget(limit, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
        with Ledger.open(path, clock=clock) as ledger:
            try:
                results.append(ledger.reserve("fpb", bytes(32), run, steps(30), budget))
            except BudgetError as error:
                results.append(error)

    monkeypatch.setattr(LedgerFile, "exclusive", together)
    threads = [threading.Thread(target=reserve, args=(f"run-{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_that_fit_alone_cannot_both_reserve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = race(tmp_path / "l.sqlite", monkeypatch, 1.1 * epsilon([steps(30)], 1e-5))
    assert {type(result) for result in results} == {bytes, BudgetError}


def test_without_the_check_in_the_transaction_they_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = Ledger._require_affordable

    def only_before(ledger: Ledger, *arguments: object) -> None:
        if not ledger._file._connection.in_transaction:
            check(ledger, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "_require_affordable", only_before)
    results = race(tmp_path / "l.sqlite", monkeypatch, 1.1 * epsilon([steps(30)], 1e-5))
    assert {type(result) for result in results} == {bytes}
