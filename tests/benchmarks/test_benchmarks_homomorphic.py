"""The homomorphic benchmark: its rows, its ratios, and that neighbours lead in turn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks import homomorphic
from benchmarks.homomorphic import BuiltSum, Contender, Group, Measured, TensealSum
from crypto.errors import ConfigError
from crypto.homomorphic import Scheme, SumPlan

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def test_bfv_is_exact_and_short_where_ckks_is_neither(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert homomorphic.main(["--json", "--values", "8192", "--pairs", "3"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    rows = {(cell["calls"], cell["key"], cell["name"]): cell for cell in cells}
    assert len(rows) == len(cells) == 13
    measured = [cell for cell in cells if cell["mebibytes"] is None]
    for cell in measured:
        if cell["name"] == "CKKS, FLARE's":
            assert cell["bytes_ratio"] == cell["time_ratio"] == 1
        else:
            assert cell["max_error"] == 0
            assert cell["bytes_ratio"] < (0.6 if "2 x" in cell["name"] else 0.4)
            assert 0 < cell["min"] <= cell["time_ratio"] <= cell["max"]
    for key in ("secret", "public"):
        assert 0 < rows["TenSEAL", key, "CKKS, FLARE's"]["max_error"] < 1e-3
    assert rows["as built", "secret", "CKKS, FLARE's"]["max_error"] == 0
    assert sum(cell["mebibytes"] is not None for cell in cells) == 3


@pytest.mark.parametrize("options", [["--pairs", "0"], ["--values", "0"]])
def test_nothing_to_measure_is_a_mistake_of_the_caller(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert homomorphic.main(options) == 2
    assert "give 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", list(Scheme))
def test_all_ways_to_sum_come_to_the_same(scheme: Scheme) -> None:
    plan = SumPlan(5000, 1000, 3, scheme)
    sums: list[Callable[[NDArray[np.int64], NDArray[np.int64]], Measured]] = [
        BuiltSum(plan).sum_once,
        TensealSum(plan, public=False).sum_once,
        TensealSum(plan, public=True).sum_once,
    ]
    for sum_once in sums:
        got = Contender("x", 1000, sum_once).run(5000, seed=1)
        assert got.max_error < 1e-6
        assert got.seconds > 0
        assert got.upload_bytes > 50_000


def test_two_moduli_have_no_single_context() -> None:
    with pytest.raises(ValueError, match="too many values"):
        TensealSum(SumPlan(5, 2**60, 3), public=False)


def test_neighbours_lead_in_turn_and_ratios_are_theirs() -> None:
    order: list[str] = []

    def fake(name: str, seconds: list[float], size: int) -> Contender:
        times = iter(seconds)

        def sum_once(first: NDArray[np.int64], second: NDArray[np.int64]) -> Measured:
            assert first.shape == second.shape == (7,)
            assert np.abs(first).max() <= 3
            order.append(name)
            return Measured(next(times), size, 0.0)

        return Contender(name, 3, sum_once)

    group = Group("fake", "secret", values=7, pairs=3)
    ours, theirs = group.rows([fake("A", [1.0, 3.0, 2.0], 70)], fake("B", [2.0, 4.0, 10.0], 140))
    assert order == ["A", "B", "B", "A", "A", "B"]
    assert (ours.min, ours.time_ratio, ours.max) == (0.2, 0.5, 0.75)
    assert (ours.bytes_ratio, ours.bytes_per_value, ours.seconds) == (0.5, 10, 2.0)
    assert (theirs.name, theirs.time_ratio, theirs.seconds, theirs.pairs) == ("B", 1.0, 4.0, 3)


def test_a_measurement_of_nothing_raises() -> None:
    with pytest.raises(ConfigError, match="measure nothing"):
        homomorphic.measure(5, 0)
