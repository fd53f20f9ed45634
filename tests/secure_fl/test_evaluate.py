"""One adapter on several data sets: the classes are matched by name, and others are refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tiny_run import Setting, Watcher, small_dataset, tiny_config

from crypto.errors import ConfigError, IntegrityError
from domains.catalogue import ENTRIES
from domains.records import Dataset
from secure_fl import evaluation
from secure_fl.cli import main
from secure_fl.embedded import start_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel


@pytest.fixture
def finished(tiny: TinyModel, tmp_path: Path) -> tuple[Path, float]:
    setting = Setting(tmp_path, tiny)
    training = {"local_steps": 15, "learning_rate": 0.1}
    folder = start_run(
        tiny_config(tiny, training=training), setting.out, setting.places(), Watcher()
    )
    accuracy = folder.metrics()[-1].accuracy
    assert accuracy is not None
    return folder.path, accuracy


def turned(name: str, **_: object) -> Dataset:
    """Return the run's own evaluation set; for TFNS with its numbers of the same classes."""
    whole = small_dataset()
    if name != "finance.tfns":
        return whole
    turn = {0: 0, 1: 2, 2: 1}
    parts = [
        tuple(type(r)(r.id, r.text, turn[r.label]) for r in part)
        for part in (whole.train, whole.evaluation)
    ]
    labels = ENTRIES[name].labels
    return Dataset.of(
        name=name, labels=labels, train=parts[0], evaluation=parts[1], licence="-", notes=()
    )


def test_the_adapter_scores_as_in_its_run_whatever_the_order_of_the_classes(
    finished: tuple[Path, float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, accuracy = finished
    monkeypatch.setattr(evaluation, "load_dataset", turned)
    words = ["evaluate", str(run), "--on", "finance.generated", "--on", "finance.tfns"]
    assert main([*words, "--data", str(tmp_path), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert [line["dataset"] for line in content["table"]] == ["finance.generated", "finance.tfns"]
    assert [line["accuracy"] for line in content["table"]] == [accuracy, accuracy]
    assert "not part of the signed run" in content["note"]
    assert main([*words, "--data", str(tmp_path)]) == 0
    assert "not part of the signed run" in capsys.readouterr().out


def test_other_classes_missing_folders_and_damage_are_refused(
    finished: tuple[Path, float], tmp_path: Path
) -> None:
    run, _ = finished
    with pytest.raises(ConfigError, match="yes, no, maybe"):
        evaluation.evaluate(run, evaluation.asked_of(["biomedical.pubmedqa"], [tmp_path]))
    with pytest.raises(ConfigError, match="one --data for each"):
        evaluation.asked_of(["finance.fiqa"], [])
    with pytest.raises(ConfigError, match="No data set is called"):
        evaluation.asked_of(["finance.none"], [])
    asked = evaluation.asked_of(["finance.generated"], [])
    path = run / "adapter" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(IntegrityError, match="does not hold what"):
        evaluation.evaluate(run, asked)
    path.unlink()
    with pytest.raises(ConfigError, match="nothing to score"):
        evaluation.evaluate(run, asked)
