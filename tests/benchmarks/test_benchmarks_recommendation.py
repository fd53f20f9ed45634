"""The floors of ranking are printed, or why they are not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import recommendation
from domains.recommendation.floors import popularity
from domains.records import Dataset, Record

if TYPE_CHECKING:
    import pytest

TITLES = ("chess", "go", "cards", "dice")


def dataset() -> Dataset:
    def record(part: str, number: int) -> Record:
        return Record(f"{part}-{number}", f"go\n{TITLES[number % 4]}", number % 2, options=TITLES)

    return Dataset.of(
        name="t",
        labels=(),
        train=tuple(record("train", n) for n in range(12)),
        evaluation=tuple(record("evaluation", n) for n in range(4)),
        licence="none",
        notes=(),
    )


def test_each_floor_has_a_row_between_zero_and_one() -> None:
    cells = recommendation.measure(dataset(), likeness=False)
    assert [cell.name for cell in cells] == ["popularity", "last-item"]
    assert all(cell.n == 4 and 0 <= (cell.auc or -1) <= 1 for cell in cells)


def test_the_encoder_gives_every_title_a_vector() -> None:
    states = recommendation.title_states(dataset().evaluation)
    assert set(states) == set(TITLES)
    assert all(np.isfinite(state).all() for state in states.values())


def test_without_data_it_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert recommendation.main(["--json"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert "not measured" in cell["error"]


def test_popularity_is_what_the_first_row_ranks_by() -> None:
    records = dataset()
    assert popularity(records.train, records.evaluation)[0].tolist()[1] == 12 + 3 + 6
