from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import (
    RECORD,
    Setting,
    Watcher,
    small_dataset,
    tiny_config,
    write_config,
    write_policy,
)

from benchmarks import fpb
from benchmarks.fpb import Study, UtilityCell, held_out
from domains.finance import phrasebank
from secure_fl.config import load_config
from secure_fl.embedded import start_run
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

    from domains.records import Dataset
    from secure_fl.config import RunConfig
    from secure_fl.embedded import EmbeddedPlaces

ROWS_OF_THE_FILE = phrasebank.Agreement.HALF.rows
STOPPED = "stopped by the test"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the published size and form, of sentences that nobody has to license."""
    folder = tmp_path_factory.mktemp("fpb")
    lines = (
        f"Sentence {number % 4800} of many.@{phrasebank.LABELS[number % 5 % 3]}\n"
        for number in range(ROWS_OF_THE_FILE)
    )
    (folder / "Sentences_50Agree.txt").write_text("".join(lines), encoding="latin-1")
    return folder


def generated() -> Dataset:
    """A few sentences under the name that the benchmark's runs ask for."""
    return replace(small_dataset(60, 20), name=phrasebank.NAME)


@pytest.fixture
def study(tiny: TinyModel, tmp_path: Path) -> Study:
    """All rows but one have settings of the tiny model."""
    examples = tmp_path / "examples"
    examples.mkdir()
    write_policy(examples / "policy.toml", tiny, dataset=phrasebank.NAME)
    short = tiny_config(tiny, dataset=phrasebank.NAME, rounds=1, sites=2)
    write_config(examples / fpb.TUNED["fedit"], short)
    private = tiny_config(tiny, RECORD, dataset=phrasebank.NAME, rounds=1, sites=2)
    write_config(examples / fpb.TUNED["fedit-dp"], private)
    dataset = generated()
    return Study(
        dataset=lambda _: dataset,
        examples=examples,
        data=tmp_path,
        split="test",
        seeded=False,
        note=lambda _: None,
    )


def test_every_row_is_measured_or_says_why_not(study: Study) -> None:
    notes: list[str] = []
    rows = fpb.measure(replace(study, note=notes.append), fpb.ROWS, (0, 1))
    cells = {cell.name: cell for cell in rows}
    assert tuple(cells) == fpb.ROWS
    for name in (fpb.MAJORITY, fpb.FROZEN, "fedit", "fedit-dp"):
        cell = cells[name]
        assert cell.error is None, name
        assert cell.n == 20
        assert 0 <= cell.macro_f1 <= cell.accuracy <= 1
        assert 0 <= cell.weighted_f1 <= 1
    for name in (fpb.MAJORITY, fpb.FROZEN):
        assert (cells[name].runs, cells[name].seeds, cells[name].accuracy_sd) == (1, (), None)
    for name in ("fedit", "fedit-dp"):
        assert (cells[name].runs, cells[name].seeds) == (2, (0, 1))
        assert cells[name].accuracy_sd >= 0
    assert (cells["fedit"].epsilon, cells["fedit"].delta) == (None, None)
    assert 0 < cells["fedit-dp"].epsilon < 2
    assert cells["fedit-dp"].delta == 1e-5
    assert cells["fedit"].without_adapter is not None
    missing = cells["head-dp"]
    assert "finance-fpb-dp-head.toml" in missing.error
    assert (missing.n, missing.accuracy, missing.runs) == (None, None, 0)
    assert "fedit, seed 1: round 1 of 1" in "\n".join(notes)


def test_scores_are_read_from_a_run_with_a_state_of_its_own(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[RunConfig, Path, EmbeddedPlaces]] = []
    real = fpb.start_run
    finals = []

    def spy(config: RunConfig, out: Path, places: EmbeddedPlaces, observer: object) -> object:
        seen.append((config, out, places))
        run = real(config, out, places, observer)
        finals.append(run.metrics()[-1])
        return run

    monkeypatch.setattr(fpb, "start_run", spy)
    (cell,) = fpb.measure(study, ["fedit"], (4, 5))
    assert [config.mechanism.seed for config, _, _ in seen] == [4, 5]
    assert len({out for _, out, _ in seen}) == len({places.state for _, _, places in seen}) == 2
    assert all(not places.budget_carried for _, _, places in seen)
    assert not any(out.parent.exists() for _, out, _ in seen)
    assert cell.accuracy == pytest.approx(sum(final.accuracy for final in finals) / 2)
    assert cell.weighted_f1 == pytest.approx(sum(final.weighted_f1 for final in finals) / 2)


@pytest.mark.parametrize("method", ["linear-head", "fedit"])
def test_without_the_adapter_the_classifier_stands_alone(
    tiny: TinyModel, tmp_path: Path, method: str
) -> None:
    """The twin loads all that was saved with stock PEFT's names, and takes the update out again."""
    dataset = small_dataset(60, 40)
    training = {"local_steps": 20, "learning_rate": 0.1}
    config = tiny_config(tiny, method=method, rounds=1, sites=2, training=training)
    setting = Setting(tmp_path, tiny, dataset)
    run = start_run(config, setting.out, setting.places(), Watcher())

    task, adapted = build_task(config.mechanism, dataset.labels, config.runtime)
    saved = load_file(run.path / "adapter" / "adapter_model.safetensors")
    with torch.no_grad():
        for name, parameter in adapted.parameters.items():
            parameter.copy_(saved[name.replace(".default", "").replace(".modules_to_save", "")])
            if ".lora_B." in name:
                assert parameter.any()
                parameter.zero_()
    encoded = task.encode(dataset.evaluation)
    expected = (task.predict(adapted.model, encoded) == encoded.labels).mean()

    assert fpb.without_adapter(config, run, dataset) == pytest.approx(expected)
    if method == "linear-head":
        assert fpb.final_scores(run.metrics()[-1]).accuracy == pytest.approx(expected)


def test_means_and_spread() -> None:
    scores = [fpb.Score(10, a, a / 2, a / 4, epsilon=e) for a, e in ((0.5, 7.0), (0.7, 8.0))]
    cell = fpb._cell("fedit", "test", scores, (0, 1), 3.0)
    assert cell.accuracy == pytest.approx(0.6)
    assert cell.accuracy_sd == pytest.approx(0.02**0.5)
    assert cell.macro_f1 == pytest.approx(0.3)
    assert cell.weighted_f1 == pytest.approx(0.15)
    assert cell.epsilon == 8.0


def test_the_held_out_fifth_comes_from_the_training_split_alone(published: Path) -> None:
    whole = phrasebank.load(published)
    part = held_out(whole, 0)
    train, evaluation = (
        {record.text for record in records} for records in (part.train, part.evaluation)
    )
    tested = {record.text for record in whole.evaluation}
    assert len(part.evaluation) == len(whole.train) // 5
    # Repeated sentences go where the held-out one went.
    assert 0 < len(whole.train) - len(part.evaluation) - len(part.train) < 46
    assert not train & evaluation
    assert not (train | evaluation) & tested
    assert train | evaluation == {record.text for record in whole.train}
    assert part == held_out(whole, 0)
    assert part.version != held_out(whole, 1).version
    assert part.name == whole.name
    assert "not comparable" in part.notes[0]


@pytest.mark.parametrize(("flags", "held"), [([], False), (["--tune"], True)])
def test_tuning_never_shows_a_run_the_test_split(
    published: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], *, held: bool
) -> None:
    given: list[Dataset] = []

    def stop(config: RunConfig, out: Path, places: EmbeddedPlaces, observer: object) -> None:
        del config, out, observer
        given.append(places.dataset)
        raise fpb.ConfigError(STOPPED)

    monkeypatch.setattr(fpb, "start_run", stop)
    arguments = ["--data", str(published), "--rows", "fedit", "--seeds", "1", *flags]
    monkeypatch.setattr(fpb, "load_config", lambda _: load_config(fpb.EXAMPLES / "finance.toml"))
    assert fpb.main(arguments) == 1
    (dataset,) = given
    tested = {record.id for record in phrasebank.load(published).evaluation}
    shown = {record.id for record in (*dataset.train, *dataset.evaluation)}
    assert bool(shown & tested) is not held


def test_json_is_one_object_on_either_split(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["--data", str(published), "--json", "--rows", "majority"]
    assert fpb.main(base) == 0
    (test,) = json.loads(capsys.readouterr().out)["cells"]
    assert set(test) == set(UtilityCell.__dataclass_fields__)
    assert (test["split"], test["n"], test["runs"], test["seeds"]) == ("test", 1212, 1, [])
    assert fpb.main([*base, "--tune", "--seeds", "3", "4"]) == 0
    (tuned,) = json.loads(capsys.readouterr().out)["cells"]
    assert (tuned["split"], tuned["runs"], tuned["seeds"]) == ("validation", 2, [3, 4])
    assert tuned["n"] < 800


def test_without_the_published_files_every_row_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`make bench` runs every benchmark, also where the files are not."""
    assert fpb.main(["--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell["name"] for cell in cells] == list(fpb.ROWS)
    assert all("--data DIR" in cell["error"] and cell["accuracy"] is None for cell in cells)


def test_a_folder_or_seeds_that_cannot_be_used_are_told(
    published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fpb.main(["--data", str(tmp_path), "--rows", "majority"]) == 2
    assert fpb.main(["--data", str(published), "--seeds", "1", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Sentences_50Agree.txt" in captured.err
    assert "Seeds are different numbers" in captured.err


@pytest.mark.realdata
def test_the_majority_of_the_published_split(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fpb.main(["--data", str(shared_data / "fpb"), "--json", "--rows", "majority"]) == 0
    (cell,) = json.loads(capsys.readouterr().out)["cells"]
    assert cell["n"] == 1212
    assert cell["accuracy"] == pytest.approx(0.6015, abs=5e-5)
