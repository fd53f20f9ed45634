"""Whole runs whose records bring options of their own: an encoder chooses, or ranks."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tiny_run import NONE, RECORD, Setting, Watcher, tiny_config

from domains.records import Dataset, Record
from secure_fl.embedded import start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

    from secure_fl.config import RunConfig

WORDS = ("profit", "loss", "sales", "month", "week", "order", "share", "euro")
DISTRIBUTED: dict[str, Any] = RECORD | {"mode": "record-distributed"}


def options_dataset(name: str, labels: tuple[str, ...], count: int) -> Dataset:
    """Return records whose right option repeats a word of the text."""

    def record(n: int) -> Record:
        options = tuple(WORDS[(n + k) % len(WORDS)] for k in range(count))
        right = (n * 7) % count
        text = f"{WORDS[(n + 3) % 8]} fell\n{options[right]}"
        return Record(f"r{n}", text, right, {"user": f"u{n}"}, options)

    return Dataset.of(
        name=name,
        labels=labels,
        train=tuple(record(n) for n in range(48)),
        evaluation=tuple(record(n) for n in range(100, 120)),
        licence="invented for the tests",
        notes=(),
    )


CHOICE = options_dataset("biomedical.medmcqa", ("A", "B", "C", "D"), 4)
RANKING = options_dataset("recommendation.amazon-games", (), 5)


def run_of(tiny: TinyModel, dataset: Dataset, privacy: dict[str, Any], method: str) -> RunConfig:
    return tiny_config(
        tiny, privacy, method=method, dataset=dataset.name, training={"local_steps": 2}
    )


@pytest.mark.parametrize("dataset", [CHOICE, RANKING], ids=["choice", "ranking"])
@pytest.mark.parametrize("privacy", [NONE, RECORD], ids=["none", "record"])
@pytest.mark.parametrize("method", ["fedit", "linear-head"])
def test_an_encoder_is_tuned_on_records_with_options(
    tiny: TinyModel, tmp_path: Path, dataset: Dataset, privacy: dict[str, Any], method: str
) -> None:
    setting = Setting(tmp_path, tiny, dataset)
    folder = start_run(
        run_of(tiny, dataset, privacy, method), setting.out, setting.places(), Watcher()
    )
    verify_run(folder.path, setting.root)
    last = folder.metrics()[-1]
    assert last.accuracy is not None
    facts = json.loads((folder.path / "facts.json").read_text())
    card = (folder.path / "adapter" / "README.md").read_text()
    report = (folder.path / "report.html").read_text()
    # A class would be a place among a record's options.
    assert (last.macro_f1, last.weighted_f1) == (None, None)
    assert facts["rounds"][-1]["scores"]["macro_f1"] is None
    assert "F1" not in report + card
    if dataset is CHOICE:
        assert last.ranking is None
        assert "HR@10" not in report + card
        assert "num_labels=1)" in card
    else:
        assert last.ranking is not None
        assert last.ranking.hit_rate_10 == 1.0  # of five options all are among the first ten
        assert 0 < last.ranking.auc <= 1
        assert facts["rounds"][-1]["scores"]["ranking"]["auc"] == last.ranking.auc
        assert "HR@10" in report
        assert "HR@10" in card
        assert facts["data"]["labels"] == []


def test_an_altered_ranking_does_not_verify(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny, RANKING)
    folder = start_run(
        run_of(tiny, RANKING, NONE, "linear-head"), setting.out, setting.places(), Watcher()
    )
    path = folder.path / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["ranking"]["auc"] = 0.999
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(Exception, match="metrics"):
        verify_run(folder.path, setting.root)
