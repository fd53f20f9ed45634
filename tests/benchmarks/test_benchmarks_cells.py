from __future__ import annotations

import io
import json
from dataclasses import dataclass

import pytest

from benchmarks import stopwatch
from benchmarks.cells import Cell, write_cells
from benchmarks.stopwatch import Stopwatch


@dataclass(frozen=True)
class Speed(Cell):
    ratio: float | None = None
    seeds: tuple[int, ...] = ()
    error: str | None = None


ROWS = (Speed("quick", 1.02345678, (0, 1)), Speed("lost", error="its file is missing"))


def written(cells: tuple[Cell, ...], *, as_json: bool) -> str:
    stream = io.StringIO()
    write_cells("Speeds", cells, as_json=as_json, stream=stream)
    return stream.getvalue()


def test_json_is_one_object_with_the_numbers_as_they_are() -> None:
    assert json.loads(written(ROWS, as_json=True)) == {
        "cells": [
            {"name": "quick", "ratio": 1.02345678, "seeds": [0, 1], "error": None},
            {"name": "lost", "ratio": None, "seeds": [], "error": "its file is missing"},
        ]
    }
    assert json.loads(written((), as_json=True)) == {"cells": []}


def test_a_number_that_json_cannot_say_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written((Speed("odd", float("nan")),), as_json=True)


def test_a_table_rounds_and_says_below_it_why_a_row_is_empty() -> None:
    text = written(ROWS, as_json=False)
    assert "1.0235" in text
    assert "0 1" in text
    assert text.splitlines()[-1] == "lost: its file is missing"


def test_a_table_leaves_out_a_column_without_values() -> None:
    text = written((Speed("quick", 1.0),), as_json=False)
    assert "ratio" in text
    assert "seeds" not in text
    assert "error" not in text
    written((), as_json=False)


class Machine:
    def outer(self, clock: list[float]) -> str:
        clock[0] += 1.0
        return self.inner(clock)

    def inner(self, clock: list[float]) -> str:
        clock[0] += 2.0
        return "done"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [10.0]
    monkeypatch.setattr(stopwatch.time, "process_time", lambda: now[0])
    return now


def test_a_stopwatch_counts_a_nested_call_once(clock: list[float]) -> None:
    watch, machine = Stopwatch(), Machine()
    with watch.watching(machine, "outer", "inner"):
        assert machine.outer(clock) == "done"
    clock[0] += 5.0
    with watch.running():
        machine.inner(clock)
    assert watch.seconds == 5.0


def test_a_stopwatch_counts_a_call_that_fails(clock: list[float]) -> None:
    watch, machine = Stopwatch(), Machine()
    with watch.watching(machine, "inner"), pytest.raises(TypeError):
        machine.inner()  # type: ignore[call-arg] # on purpose
    with watch.watching(machine, "inner"):
        machine.inner(clock)
    assert watch.seconds == 2.0


def test_a_stopwatch_leaves_the_thing_as_it_was(clock: list[float]) -> None:
    watch, machine = Stopwatch(), Machine()
    with watch.watching(machine, "inner"):
        pass
    machine.inner(clock)
    assert watch.seconds == 0.0
    assert vars(machine) == {}


def test_a_stopwatch_on_nothing_is_an_error() -> None:
    with pytest.raises(AttributeError), Stopwatch().watching(Machine(), "inner", "gone"):
        pass


def test_a_module_gets_its_function_back() -> None:
    before = stopwatch.contextmanager
    with Stopwatch().watching(stopwatch, "contextmanager"):
        assert stopwatch.contextmanager is not before
    assert stopwatch.contextmanager is before
