from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from flwr.common.secure_aggregation.secaggplus_constants import Stage

from benchmarks import secagg
from benchmarks.secagg import (
    SecaggCell,
    Size,
    compare,
    floor_ns,
    flower_memory,
    flower_rounds,
    many_sites,
    our_memory,
    run_flower,
    run_ours,
)
from benchmarks.secagg_flower import FlowerClient, FlowerRounds
from crypto.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = Size(n=5, d=200, drops=0)
WITH_DROPS = Size(n=10, d=200, drops=2)


def silent(line: str) -> None:
    del line


@pytest.mark.parametrize("size", [SMALL, WITH_DROPS])
def test_both_sides_sum_the_same_vectors(size: Size) -> None:
    expected = size.expected()
    theirs = run_flower(size, expected)
    ours = run_ours(size, 32, expected)
    assert theirs.client > 0 < theirs.server
    assert ours.client > 0 < ours.server
    assert theirs.seconds == theirs.client + theirs.server


def test_the_expected_sum_leaves_out_those_who_drop_out() -> None:
    survivors = [WITH_DROPS.vector(place) for place in range(8)]
    np.testing.assert_allclose(WITH_DROPS.expected(), np.sum(survivors, axis=0), atol=1e-5)


def test_a_wrong_sum_is_found_on_either_side() -> None:
    wrong = SMALL.expected()
    wrong[7] += 0.01
    with pytest.raises(PeerError, match="Flower's average is wrong"):
        run_flower(SMALL, wrong)
    with pytest.raises(PeerError, match="the masked sum is wrong"):
        run_ours(SMALL, 24, wrong)


def test_a_round_that_was_given_up_is_no_sum() -> None:
    with pytest.raises(PeerError, match="Flower's average did not come"):
        run_flower(Size(n=10, d=200, drops=4), SMALL.expected())


def test_a_cell_holds_ratios_and_bytes() -> None:
    cells = compare(WITH_DROPS, 2, silent)
    assert [cell.bits for cell in cells] == [32, 24]
    for cell, megabytes in zip(cells, (4.0, 3.0), strict=True):
        assert cell.error is None
        assert cell.repetitions == 2
        assert cell.ours_mb == megabytes
        assert cell.flower_mb is not None
        assert cell.flower_mb >= 8
        assert cell.to_floor is not None
        assert cell.masks_to_floor is not None
        assert 0 < cell.masks_to_floor < cell.to_floor
        for number in (cell.ratio, cell.to_floor, cell.to_reference, cell.floor_ns):
            assert number is not None
            assert number > 0


def test_a_cell_without_a_right_sum_holds_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(self: Size) -> object:
        return np.zeros(self.d)

    monkeypatch.setattr(Size, "expected", zeros)
    for cell in compare(SMALL, 1, silent):
        assert cell.error is not None
        assert "wrong by" in cell.error
        assert cell.ratio is None
        assert cell.ours is None


def test_masks_are_counted_by_hand() -> None:
    assert Size(10, 1, 0).masks == 10 + 10
    assert Size(10, 1, 2).masks == 10 + 8 + 2 * 8


def test_the_floor_is_below_what_masking_takes() -> None:
    assert 0.01 < floor_ns() < 100


def test_our_server_holds_its_sum_and_one_upload_and_flowers_all() -> None:
    size = Size(n=8, d=200_000, drops=0)
    vector_mb = 4 * size.d / 1e6
    ours, theirs = our_memory(size).peak_mb, flower_memory(size).flower_peak_mb
    assert ours is not None
    assert theirs is not None
    assert 2 * vector_mb <= ours < 2 * vector_mb + 1.5
    assert theirs > size.n * 2 * vector_mb


def test_a_cohort_above_the_complete_graph_is_summed() -> None:
    cell = many_sites(110, 50)
    assert cell.error is None
    assert cell.drops == 2
    assert "of 110" in cell.name


def test_flower_is_not_charged_for_training() -> None:
    def slowly(parameters: np.ndarray[tuple[int], np.dtype[np.float32]]) -> object:
        values = np.random.default_rng(0).normal(size=2_000_000)
        return parameters + np.float32(values.mean())

    clients = tuple(FlowerClient(node_id, slowly) for node_id in (1, 2, 3))  # type: ignore[arg-type]
    rounds = FlowerRounds(clients, 10, 2)
    assert rounds.run() is not None
    assert clients[0].fitting.seconds > clients[0].seconds >= 0
    assert rounds.server_seconds < rounds.server.seconds


def test_dropouts_upload_nothing() -> None:
    rounds = flower_rounds(WITH_DROPS)
    rounds.grid.keep_uploads = True
    assert rounds.run() is not None
    assert sorted(rounds.grid.received[Stage.COLLECT_MASKED_VECTORS]) == list(range(1, 9))
    assert sorted(rounds.grid.received[Stage.SHARE_KEYS]) == list(range(1, 11))
    assert not rounds.grid.failures


@pytest.mark.parametrize("full", [False, True])
def test_the_command_prints_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, full: bool
) -> None:
    def measured(*, full: bool, note: Callable[[str], None]) -> tuple[SecaggCell, ...]:
        note("measuring")
        return (SecaggCell("all" if full else "some", 3, 4, 0, 32, ratio=2.0),)

    monkeypatch.setattr(secagg, "measure", measured)
    assert secagg.main(["--json", *(["--full"] if full else [])]) == 0
    out, err = capsys.readouterr()
    (cell,) = json.loads(out)["cells"]
    assert (cell["name"], cell["ratio"]) == ("all" if full else "some", 2.0)
    assert err == "measuring\n"


def test_a_failure_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*, full: bool, note: Callable[[str], None]) -> tuple[SecaggCell, ...]:
        del full, note
        raise PeerError("nobody came")

    monkeypatch.setattr(secagg, "measure", failing)
    assert secagg.main([]) == 5
    assert "nobody came" in capsys.readouterr().err


def test_every_cell_of_a_run_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Size] = []

    def small(size: Size, repetitions: int, note: Callable[[str], None]) -> tuple[SecaggCell, ...]:
        del repetitions, note
        seen.append(size)
        return ()

    monkeypatch.setattr(secagg, "compare", small)
    monkeypatch.setattr(secagg, "our_memory", lambda size: SecaggCell("m", size.n, size.d, 0, 32))
    secagg.measure(full=False, note=silent)
    million = 1_000_000
    assert seen == [Size(n, million, drops) for n, drops in ((10, 0), (10, 2), (30, 0), (30, 6))]
