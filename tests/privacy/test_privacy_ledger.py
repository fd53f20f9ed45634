"""The ledger's rules: what it charges, what it refuses, what it tells."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from crypto.errors import BudgetError, ConfigError, IntegrityError
from crypto.secrets import SecretBytes
from privacy import accounting, ledger_file, ledger_schema
from privacy.accounting import epsilon
from privacy.events import Event, NoGuarantee, Relation, SubsampledGaussian, Unit
from privacy.ledger import Budget, ExtractEntry, Ledger, charged_events
from privacy.ledger_entries import Entry, Kind
from privacy.ledger_fields import GENESIS, chained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
DELTA = 1e-5
OLD, NEW = bytes(32), bytes(range(32))
OPEN = Budget(math.inf, DELTA, Unit.RECORD, Relation.ADD_REMOVE)
KEY = SecretBytes(bytes(range(32)))


def clock() -> datetime:
    return NOW


def steps(count: int, sigma: float = 20.0) -> SubsampledGaussian:
    """Return full-batch steps, whose epsilon takes milliseconds to compute."""
    return SubsampledGaussian(sigma, 1.0, count)


def ceiling(limit: float) -> Budget:
    return replace(OPEN, epsilon=limit)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, clock=clock) as opened:
        yield opened


def test_a_run_is_charged_whole_when_it_reserves(ledger: Ledger) -> None:
    assert ledger.head() == GENESIS
    head = ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    assert ledger.head() == head != GENESIS
    assert ledger.spent("fpb", DELTA) == epsilon([steps(30)], DELTA)
    for round_ in range(3):
        assert ledger.draw("fpb", "run-1", round_, 0, steps(10), OPEN) == ledger.head()
    assert ledger.spent("fpb", DELTA) == epsilon([steps(30)], DELTA)


def test_it_remembers_over_a_restart(ledger: Ledger, path: Path) -> None:
    head = ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    ledger.close()
    with Ledger.open(path, clock=clock) as again:
        assert again.head() == head
        assert again.spent("fpb", DELTA) == epsilon([steps(30)], DELTA)


def test_reserving_again_charges_nothing_more(ledger: Ledger) -> None:
    budget = ceiling(1.1 * epsilon([steps(30)], DELTA))
    head = ledger.reserve("fpb", OLD, "run-1", steps(30), budget)
    assert ledger.reserve("fpb", OLD, "run-1", steps(30), budget) == head
    assert len(ledger.entries()) == 1


@pytest.mark.parametrize(("version", "event"), [(NEW, steps(30)), (OLD, steps(31))])
def test_what_a_run_reserved_stays_fixed(ledger: Ledger, version: bytes, event: Event) -> None:
    head = ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    with pytest.raises(ConfigError, match="reserved `fpb` already"):
        ledger.reserve("fpb", version, "run-1", event, OPEN)
    assert ledger.head() == head


def test_a_new_version_inherits_what_its_name_has_spent(ledger: Ledger) -> None:
    budget = ceiling(1.1 * epsilon([steps(30)], DELTA))
    ledger.reserve("fpb", OLD, "run-1", steps(30), budget)
    with pytest.raises(BudgetError):
        ledger.reserve("fpb", NEW, "run-2", steps(30), budget)
    ledger.reserve("other", NEW, "run-2", steps(30), budget)


def test_over_the_ceiling_nothing_is_written(ledger: Ledger) -> None:
    one, two = epsilon([steps(30)], DELTA), epsilon([steps(60)], DELTA)
    budget = ceiling((one + two) / 2.0)
    head = ledger.reserve("fpb", OLD, "run-1", steps(30), budget)
    with pytest.raises(BudgetError) as refusal:
        ledger.reserve("fpb", OLD, "run-2", steps(30), budget)
    message = str(refusal.value)
    for number in (one, two, budget.epsilon):
        assert f"{number:.4g}" in message
    assert "compliance officer" in message
    assert ledger.head() == head
    assert len(ledger.entries()) == 1


def test_a_target_equal_to_the_ceiling_is_within_it(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(30), ceiling(epsilon([steps(30)], DELTA)))


def test_afford_says_what_reserve_would_and_writes_nothing(ledger: Ledger) -> None:
    budget = ceiling(1.1 * epsilon([steps(30)], DELTA))
    ledger.afford("fpb", steps(30), budget)
    assert ledger.head() == GENESIS
    ledger.reserve("fpb", OLD, "run-1", steps(30), budget)
    with pytest.raises(BudgetError):
        ledger.afford("fpb", steps(30), budget)
    ledger.afford("never-used", steps(30), budget)


def test_a_run_that_goes_on_can_afford_what_it_has_reserved(ledger: Ledger) -> None:
    budget = ceiling(1.1 * epsilon([steps(30)], DELTA))
    ledger.reserve("fpb", OLD, "run-1", steps(30), budget)
    ledger.afford("fpb", steps(30), budget, run="run-1")
    for event, run, limit in (
        (steps(30), "run-2", budget),
        (steps(31), "run-1", budget),
        (steps(30), "run-1", ceiling(budget.epsilon / 2.0)),
    ):
        with pytest.raises(BudgetError):
            ledger.afford("fpb", event, limit, run=run)


def test_mode_none_charges_infinity_for_ever(ledger: Ledger) -> None:
    with pytest.raises(BudgetError, match="infinity"):
        ledger.reserve("fpb", OLD, "run-1", NoGuarantee(), ceiling(1e9))
    ledger.reserve("fpb", OLD, "run-1", NoGuarantee(), OPEN)
    ledger.draw("fpb", "run-1", 0, 0, NoGuarantee(), OPEN)
    ledger.draw("fpb", "run-1", 1, 0, NoGuarantee(), OPEN)
    assert ledger.spent("fpb", DELTA) == math.inf
    with pytest.raises(BudgetError, match="has spent epsilon infinity"):
        ledger.reserve("fpb", OLD, "run-2", steps(1), ceiling(1e9))


@pytest.mark.parametrize(
    "other",
    [
        replace(OPEN, unit=Unit.PATIENT),
        replace(OPEN, relation=Relation.REPLACE_ONE),
        replace(OPEN, delta=1e-6),
    ],
)
def test_unit_relation_and_delta_are_fixed_at_first_use(ledger: Ledger, other: Budget) -> None:
    head = ledger.reserve("fpb", OLD, "run-1", steps(1), OPEN)
    for refused in (
        lambda: ledger.reserve("fpb", OLD, "run-2", steps(1), other),
        lambda: ledger.draw("fpb", "run-1", 0, 0, steps(1), other),
        lambda: ledger.afford("fpb", steps(1), other),
    ):
        with pytest.raises(ConfigError, match="first charged per record"):
            refused()
    assert ledger.head() == head
    ledger.reserve("other", OLD, "run-2", steps(1), other)


def test_a_replace_one_data_set_is_accounted_as_such(ledger: Ledger) -> None:
    budget = replace(OPEN, relation=Relation.REPLACE_ONE)
    ledger.reserve("fpb", OLD, "run-1", steps(5), budget)
    exact = epsilon([steps(5)], DELTA, relation=Relation.REPLACE_ONE)
    assert ledger.spent("fpb", DELTA) == exact
    with pytest.raises(BudgetError):
        ledger.draw("fpb", "run-1", 0, 0, steps(1), replace(budget, epsilon=exact / 1.5))


def test_a_draw_without_a_reservation_is_refused(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(10), OPEN)
    for dataset, run in (("fpb", "run-2"), ("other", "run-1")):
        with pytest.raises(BudgetError, match="reserved nothing"):
            ledger.draw(dataset, run, 0, 0, steps(1), OPEN)


def test_a_repeated_draw_is_charged_on_top(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    ledger.draw("fpb", "run-1", 0, 0, steps(10), OPEN)
    ledger.draw("fpb", "run-1", 0, 1, steps(10), OPEN)
    assert ledger.spent("fpb", DELTA) == epsilon([steps(40)], DELTA)
    ledger.draw("fpb", "run-1", 0, 7, steps(10), OPEN)
    assert ledger.spent("fpb", DELTA) == epsilon([steps(50)], DELTA)


def test_a_repeated_draw_over_the_ceiling_is_refused(ledger: Ledger) -> None:
    budget = ceiling(epsilon([steps(30)], DELTA))
    ledger.reserve("fpb", OLD, "run-1", steps(30), budget)
    head = ledger.draw("fpb", "run-1", 0, 0, steps(10), budget)
    with pytest.raises(BudgetError, match="ceiling"):
        ledger.draw("fpb", "run-1", 0, 1, steps(10), budget)
    assert ledger.head() == head
    ledger.draw("fpb", "run-1", 1, 1, steps(10), budget)


def test_the_same_attempt_cannot_draw_twice(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    ledger.draw("fpb", "run-1", 0, 0, steps(10), OPEN)
    with pytest.raises(BudgetError, match="drawn already"):
        ledger.draw("fpb", "run-1", 0, 0, steps(10), OPEN)


def test_first_draws_cannot_exceed_the_reservation(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(25), OPEN)
    ledger.draw("fpb", "run-1", 0, 0, steps(10), OPEN)
    ledger.draw("fpb", "run-1", 0, 1, steps(10), OPEN)
    ledger.draw("fpb", "run-1", 1, 1, steps(10), OPEN)
    with pytest.raises(BudgetError, match=r"30 steps.*reserved 25"):
        ledger.draw("fpb", "run-1", 2, 1, steps(10), OPEN)
    ledger.draw("fpb", "run-1", 2, 1, steps(5), OPEN)


@pytest.mark.parametrize(
    "event", [steps(10, sigma=19.0), SubsampledGaussian(20.0, 0.5, 10), NoGuarantee()]
)
def test_a_draw_of_another_mechanism_is_refused(ledger: Ledger, event: Event) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    with pytest.raises(ConfigError, match="another noise multiplier"):
        ledger.draw("fpb", "run-1", 0, 0, event, OPEN)


def test_a_ceiling_lowered_below_what_is_spent_stops_the_run(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    with pytest.raises(BudgetError):
        ledger.draw("fpb", "run-1", 0, 0, steps(10), ceiling(0.9 * epsilon([steps(30)], DELTA)))
    assert [entry.kind for entry in ledger.entries()] == [Kind.RESERVE]


def test_entries_say_all_that_was_recorded(ledger: Ledger) -> None:
    ledger.reserve("fpb", NEW, "run-1", steps(30), OPEN)
    head = ledger.draw("fpb", "run-1", 4, 2, steps(10), OPEN)
    ledger.reserve("other", OLD, "run-2", steps(1), OPEN)
    drawn = ledger.entries(dataset="fpb")[1]
    assert json.loads(drawn.body()) == {
        "schema": "secure-fl.ledger-entry.v2",
        "sequence": 3,
        "time": "2026-03-04T05:06:07Z",
        "kind": "draw",
        "dataset": "fpb",
        "version": NEW.hex(),
        "run": "run-1",
        "event": {
            "kind": "subsampled-gaussian",
            "noise_multiplier": 20,
            "sampling_rate": 1,
            "steps": 10,
        },
        "unit": "record",
        "relation": "add-remove",
        "delta": DELTA,
        "round": 4,
        "attempt": 2,
    }
    expected = GENESIS
    for line in ledger.history()[:3]:
        expected = chained(expected, line.body())
    assert head == expected
    assert [len(ledger.entries(run=run)) for run in ("run-1", "run-2", "run-3")] == [2, 1, 0]


def test_the_time_is_written_in_utc(path: Path) -> None:
    east = datetime(2026, 3, 4, 1, 30, tzinfo=timezone(timedelta(hours=5)))
    with Ledger.open(path, clock=lambda: east) as ledger:
        ledger.reserve("fpb", OLD, "run-1", steps(1), OPEN)
        assert ledger.entries()[0].time == "2026-03-03T20:30:00Z"


def test_a_clock_without_a_zone_is_refused(path: Path) -> None:
    with (
        Ledger.open(path, clock=lambda: NOW.replace(tzinfo=None)) as ledger,
        pytest.raises(ConfigError, match="zone"),
    ):
        ledger.reserve("fpb", OLD, "run-1", steps(1), OPEN)


@pytest.mark.parametrize("name", ["", "Fpb", "a b", "../x", "a" * 65, "fpb\n", "-a"])
def test_a_malformed_name_is_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(ConfigError, match="name"):
        ledger.reserve(name, OLD, "run-1", steps(1), OPEN)
    with pytest.raises(ConfigError, match="name"):
        ledger.reserve("fpb", OLD, name, steps(1), OPEN)


def test_malformed_numbers_are_refused(ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        ledger.reserve("fpb", b"short", "run-1", steps(1), OPEN)
    ledger.reserve("fpb", OLD, "run-1", steps(1), OPEN)
    for round_, attempt in ((-1, 0), (0, -1), (True, 0), (0, 2**40)):
        with pytest.raises(ConfigError, match="number of a draw"):
            ledger.draw("fpb", "run-1", round_, attempt, steps(1), OPEN)
    for limit in (-1.0, math.nan):
        with pytest.raises(ConfigError, match="ceiling"):
            ceiling(limit)
    with pytest.raises(ConfigError, match="delta"):
        replace(OPEN, delta=0.0)
    with pytest.raises(ConfigError, match="delta"):
        ledger.spent("fpb", 1.5)


def test_the_extract_hides_the_data_and_tells_the_epsilon(ledger: Ledger) -> None:
    ledger.reserve("secret-ward", NEW, "run-1", steps(30), OPEN)
    ledger.reserve("secret-ward", NEW, "run-2", steps(3), OPEN)
    for round_, attempt in ((0, 0), (0, 1), (1, 1)):
        ledger.draw("secret-ward", "run-1", round_, attempt, steps(10), OPEN)
    extract = ledger.extract("run-1", KEY)
    text = json.dumps([entry.to_json() for entry in extract])
    assert "secret-ward" not in text
    assert NEW.hex() not in text
    assert "run-2" not in text
    back = tuple(ExtractEntry.from_json(value) for value in json.loads(text))
    assert back == extract
    assert charged_events(back) == (steps(30), steps(10))
    assert epsilon(charged_events(back), DELTA) == epsilon([steps(40)], DELTA)


def test_commitments_tell_one_data_set_from_another_only_under_one_secret(ledger: Ledger) -> None:
    ledger.reserve("one", OLD, "run-1", steps(1), OPEN)
    ledger.reserve("two", OLD, "run-1", steps(1), OPEN)
    ledger.reserve("one", OLD, "run-2", steps(1), OPEN)
    one, two = ledger.extract("run-1", KEY)
    again = ledger.extract("run-2", KEY)[0]
    elsewhere = ledger.extract("run-2", SecretBytes(bytes(32)))[0]
    assert one.dataset == again.dataset != two.dataset
    assert one.version == two.version != one.dataset
    assert elsewhere.dataset != again.dataset
    assert elsewhere.version != again.version


def test_an_extract_that_cannot_be_made_is_refused(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(1), OPEN)
    with pytest.raises(ConfigError, match="no entry of run"):
        ledger.extract("run-9", KEY)
    with pytest.raises(ConfigError, match="guessed"):
        ledger.extract("run-1", SecretBytes(b"short"))


def test_a_malformed_extract_is_refused(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(1), OPEN)
    good = ledger.extract("run-1", KEY)[0].to_json()
    bad: list[object] = [
        None,
        {},
        {**good, "kind": "refund"},
        {**good, "kind": "declare"},
        {**good, "kind": "restored"},
        {**good, "schema": "secure-fl.ledger-extract-entry.v2"},
        {**good, "comment": ""},
        {**good, "round": 0, "attempt": 0},
        {**good, "event": {"kind": "laplace"}},
        {**good, "delta": 1},
        {**good, "unit": "person"},
        {**good, "time": "2026-03-04 05:06:07"},
        {**good, "time": "2026-13-04T05:06:07Z"},
        {**good, "dataset_commitment": "00"},
        {**good, "run": 7},
    ]
    for value in bad:
        with pytest.raises(IntegrityError):
            ExtractEntry.from_json(value)


def test_two_open_ledgers_on_one_file_see_each_other(ledger: Ledger, path: Path) -> None:
    with Ledger.open(path, clock=clock) as other:
        ledger.reserve("fpb", OLD, "run-1", steps(20), OPEN)
        assert other.head() == ledger.head()
        other.draw("fpb", "run-1", 0, 0, steps(10), OPEN)
        with pytest.raises(BudgetError, match="drawn already"):
            ledger.draw("fpb", "run-1", 0, 0, steps(10), OPEN)
        assert other.spent("fpb", DELTA) == ledger.spent("fpb", DELTA)


def test_threads_may_share_a_ledger(ledger: Ledger) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(40), OPEN)
    threads = [
        threading.Thread(target=ledger.draw, args=("fpb", "run-1", number, 0, steps(1), OPEN))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.verify()
    assert sorted(e.draw.round for e in ledger.entries() if e.draw is not None) == list(range(8))


def test_an_entry_comes_back_from_its_bytes(ledger: Ledger) -> None:
    ledger.reserve("fpb", NEW, "run-1", SubsampledGaussian(1.1234567890123, 0.1, 3), OPEN)
    ledger.draw("fpb", "run-1", 0, 0, SubsampledGaussian(1.1234567890123, 0.1, 3), OPEN)
    for entry in ledger.entries():
        assert Entry.parse(entry.body()) == entry


def test_importing_the_ledger_imports_nothing_heavy() -> None:
    code = (
        "import sys, privacy.ledger\n"
        "heavy = {'dp_accounting', 'opacus', 'torch', 'scipy'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_that_was_never_used_has_spent_nothing(ledger: Ledger) -> None:
    assert ledger.spent("unused", DELTA) == 0.0
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    assert ledger.spent("unused", DELTA) == 0.0


def test_it_knows_the_heads_it_had_and_no_others(ledger: Ledger) -> None:
    first = ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    last = ledger.draw("fpb", "run-1", 0, 0, steps(10), OPEN)
    assert [ledger.knows(head) for head in (GENESIS, first, last)] == [True] * 3
    assert not ledger.knows(bytes(32))


def test_a_changed_head_of_an_open_ledger_is_found(ledger: Ledger, path: Path) -> None:
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
    connection = sqlite3.connect(path)
    trigger = "no_update"
    connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("UPDATE entries SET head = ?", (bytes(32),))
    connection.execute(ledger_schema.VERSIONS[2][trigger])
    connection.commit()
    connection.close()
    with pytest.raises(IntegrityError, match="while it was open"):
        ledger.head()


def test_a_ledger_that_does_not_verify_is_closed_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Ledger.open(path, clock=clock).close()
    closed: list[Path] = []
    close = ledger_file.LedgerFile.close

    def seen(file: ledger_file.LedgerFile) -> None:
        closed.append(file.path)
        close(file)

    def damaged(_: ledger_file.LedgerFile) -> None:
        raise IntegrityError("damaged")

    monkeypatch.setattr(ledger_file.LedgerFile, "close", seen)
    monkeypatch.setattr(ledger_file.LedgerFile, "verify", damaged)
    with pytest.raises(IntegrityError):
        Ledger.open(path, clock=clock)
    assert closed == [path]


def test_verifying_looks_at_the_file_itself(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(_: ledger_file.LedgerFile) -> None:
        raise IntegrityError("a page is damaged")

    monkeypatch.setattr(ledger_file.LedgerFile, "verify", damaged)
    with pytest.raises(IntegrityError, match="a page"):
        ledger.verify()


def test_others_wait_for_the_write_alone_and_not_for_the_accounting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[bool] = []

    def watched(events: tuple[Event, ...], delta: float, *, relation: Relation) -> float:
        locked.append(ledger._file._connection.in_transaction)
        return epsilon(events, delta, relation=relation)

    monkeypatch.setattr(accounting, "epsilon", watched)
    ledger.reserve("fpb", OLD, "run-1", steps(30), ceiling(100.0))
    assert locked == [False, True]  # the second time from the cache, and that one counts


def test_a_ceiling_of_infinity_asks_for_no_accounting(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "epsilon", lambda *_, **__: pytest.fail("accounted"))
    ledger.reserve("fpb", OLD, "run-1", steps(30), OPEN)
