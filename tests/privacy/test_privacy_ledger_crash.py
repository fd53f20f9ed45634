"""The ledger under kill -9 and under several processes: never less charged than released."""

from __future__ import annotations

import contextlib
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
ROUNDS, KILLS = 4, 60

HELD = """
sys.stdin.readline()
"""

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
os.write(1, b"started\\n")
life = int(sys.argv[3])
ledger = Ledger.open(Path(sys.argv[1]), clock=clock)
run = 0
while True:
    name = f"run-{life}-{run}"
    ledger.reserve("fpb", bytes(32), name, steps(4), budget)
    os.write(log, f"{name} reserved\\n".encode())
    for attempt in range(2):
        for round_ in range(4):
            ledger.draw("fpb", name, round_, attempt, steps(1), budget)
            os.write(log, f"{name} {round_} {attempt}\\n".encode())  # what leaves the site
    run += 1
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
        stdin=subprocess.PIPE,
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
    """A process reserves, draws and releases, and is killed for good at 60 random moments.

    What it released is what it wrote to a file of its own, without buffering, after the draw had
    returned. The moments lie anywhere from before the ledger is opened to some hundred draws on.
    """
    path, log = tmp_path / "state" / "ledger.sqlite", tmp_path / "released"
    log.touch()
    delays = random.Random(20260304)  # noqa: S311 - moments to kill at, nothing secret
    with contextlib.ExitStack() as stack:
        # The next process starts, and imports, while the one before it is at work.
        waiting = stack.enter_context(child(HELD + SITE, path, log, "0"))
        for kill in range(KILLS):
            site = waiting
            if kill + 1 < KILLS:
                waiting = stack.enter_context(child(HELD + SITE, path, log, str(kill + 1)))
            before = log.read_bytes().count(b"\n")
            begin(site)
            # A third dies wherever it is, the others after their first release, or in a later run.
            wait_for_lines(log, before + (0, 1, 12)[kill % 3])
            time.sleep(delays.uniform(0.0, 0.02))
            site.kill()
            site.wait()
            assert site.returncode == -signal.SIGKILL
            released = [line.split() for line in log.read_text().splitlines()]
            require_charged(path, released, kills=kill + 1)
    assert len(released) >= KILLS // 3 * 13


def wait_for_lines(log: Path, count: int) -> None:
    for _ in itertools.repeat(None, 6000):
        if log.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    pytest.fail("the site never released anything")


def begin(site: subprocess.Popen[bytes]) -> None:
    """Let a child that has imported everything go."""
    assert site.stdin is not None
    assert site.stdout is not None
    site.stdin.write(b"go\n")
    site.stdin.flush()
    assert site.stdout.readline() == b"started\n"


def require_charged(path: Path, released: list[list[str]], kills: int) -> None:
    """Check the ledger, which verifies when it is opened, against what left the site."""
    story = entries(path)
    reserved = {entry.run for entry in story if entry.draw is None}
    drawn = {(e.run, str(e.draw.round), str(e.draw.attempt)) for e in story if e.draw is not None}
    out = {(run, *of) for run, *of in released if of != ["reserved"]}
    assert {run for run, *_ in released} <= reserved
    assert out <= drawn
    lost = len(drawn) + len(reserved) - len(released)
    assert 0 <= lost <= kills, "each kill cuts off one release at the most"
    first = {(run, round_) for run, round_, _ in drawn}
    assert charged_steps(story) == ROUNDS * len(reserved) + len(drawn) - len(first)
    assert charged_steps(story) >= len(out)


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


SPENDING = """
from crypto.errors import BudgetError
import dp_accounting.pld.privacy_loss_distribution
ledger = Ledger.open(Path(sys.argv[1]), clock=clock)
limit = Budget(float(sys.argv[3]), 1e-5, Unit.RECORD, Relation.ADD_REMOVE)
print("ready", flush=True)
sys.stdin.readline()
run = 0
while True:
    name = f"{sys.argv[2]}-{run}"
    try:
        ledger.reserve("fpb", bytes(32), name, steps(3), limit)
        ledger.draw("fpb", name, 0, 0, steps(1), limit)
        ledger.draw("fpb", name, 0, 1, steps(1), limit)  # charged on top
    except BudgetError:
        break
    run += 1
print(run, flush=True)
"""


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


def spenders(path: Path, limit: float, count: int) -> list[subprocess.Popen[bytes]]:
    """Start processes that each spend until the ledger refuses, and let them go at once."""
    sites = [child(SPENDING, path, f"site-{number}", str(limit)) for number in range(count)]
    for site in sites:
        assert site.stdout is not None
        assert site.stdout.readline() == b"ready\n"
    for site in sites:
        assert site.stdin is not None
        site.stdin.write(b"go\n")
        site.stdin.flush()
    return sites


def test_two_processes_cannot_overspend_together(tmp_path: Path) -> None:
    path, limit = tmp_path / "ledger.sqlite", 1.0001 * epsilon([steps(40)], 1e-5)
    runs = []
    for site in spenders(path, limit, 2):
        said, errors = site.communicate(timeout=60)
        assert site.returncode == 0, errors
        runs.append(int(said))
    with Ledger.open(path, clock=clock) as ledger:
        assert ledger.spent("fpb", 1e-5) <= limit
        assert 38 <= charged_steps(ledger.entries()) <= 40
        assert len({entry.run for entry in ledger.entries()}) >= sum(runs)


def test_two_processes_of_which_one_is_killed_do_not_either(tmp_path: Path) -> None:
    limit = 1.0001 * epsilon([steps(40)], 1e-5)
    delays = random.Random(7)  # noqa: S311 - moments to kill at, nothing secret
    for number in range(2):
        path = tmp_path / str(number) / "ledger.sqlite"
        dying, other = spenders(path, limit, 2)
        time.sleep(delays.uniform(0.0, 0.02))
        dying.kill()
        dying.communicate()
        _, errors = other.communicate(timeout=60)
        assert other.returncode == 0, errors
        with Ledger.open(path, clock=clock) as ledger:
            assert ledger.spent("fpb", 1e-5) <= limit
            assert 38 <= charged_steps(ledger.entries()) <= 40


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
