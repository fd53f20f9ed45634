from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from safetensors.numpy import load_file
from tiny_run import RECORD, Setting, Watcher, small_dataset, tiny_config, write_config

from benchmarks import overhead
from benchmarks.overhead import OverheadCell, Pair, plain_twin, planned
from benchmarks.stepped_run import Bench, CountingTask, SteppedRun, Stretch
from crypto.errors import ConfigError, PeerError
from secure_fl.config import NoPrivacy, RunConfig, load_config
from secure_fl.embedded import start_run
from secure_fl.views import Protection

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel
    from torch import Tensor, nn

    from domains.encoding import MicroBatch
    from domains.records import Dataset

TRAIN, EVALUATION = 120, 20
EVERY_RECORD = {**RECORD, "sampling_rate": 1.0}


@pytest.fixture(autouse=True)
def _few_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, *, data: Path | None, seed: int) -> Dataset:
        del name, data, seed
        return small_dataset(TRAIN, EVALUATION)

    monkeypatch.setattr(overhead, "load_dataset", load)


def bench_of(config: RunConfig) -> Bench:
    return Bench.of(config.mechanism, config.runtime, small_dataset(TRAIN, EVALUATION))


def test_json_is_one_object_with_every_ratio(
    tiny: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path / "run.toml", tiny_config(tiny, RECORD))
    assert overhead.main(["--json", "--pairs", "2", "--config", str(path)]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    cells = json.loads(line)["cells"]
    assert [(cell["name"], cell["clock"]) for cell in cells] == [
        ("total", "process"),
        ("total", "wall"),
        ("total, bare", "process"),
        ("clip and noise", "process"),
        ("masks", "process"),
        ("ledger and log", "process"),
        ("opening exchanges", "process"),
    ]
    for cell in cells:
        assert set(cell) == {
            *{"name", "clock", "n", "d", "steps", "ratio", "min", "max", "pairs", "seconds"}
        }
        assert cell["n"] == 3
        assert cell["d"] == cells[0]["d"] > 100
        assert cell["steps"] == 2
        assert cell["min"] <= cell["ratio"] <= cell["max"]
    assert [cell["pairs"] for cell in cells] == [2, 2, 2, 2, 2, 2, 1]
    assert "pair 2 of 2" in captured.err


def test_a_run_without_protection_has_none_to_measure(
    tiny: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_config(tmp_path / "run.toml", tiny_config(tiny))
    assert overhead.main(["--config", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "no protection to measure" in captured.err
    assert overhead.main(["--json", "--pairs", "0", "--config", str(path)]) == 2
    assert json.loads(capsys.readouterr().err)["kind"] == "ConfigError"


def test_the_default_is_the_demonstration() -> None:
    config = load_config(overhead._CONFIG)
    twin = plain_twin(config.mechanism, 600)
    assert twin.training.batch_size == round(600 * config.mechanism.privacy.sampling_rate)


def test_the_twin_differs_in_protection_alone(tiny: TinyModel) -> None:
    mechanism = tiny_config(tiny, RECORD).mechanism
    twin = plain_twin(mechanism, 40)
    assert isinstance(twin.privacy, NoPrivacy)
    assert twin.protection is Protection.PLAIN
    assert twin.training.batch_size == 4
    ours, theirs = mechanism.model_dump(), twin.model_dump()
    for table in (ours, theirs):
        del table["privacy"], table["protection"], table["training"]["batch_size"]
    assert ours == theirs


class SpyTask(CountingTask):
    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        seen = self.__dict__.setdefault("seen", [])
        seen.append((tuple(batch.input_ids.shape), sorted(map(int, batch.indices))))
        return super().losses(model, batch)


def test_both_runs_do_the_same_training_work(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When every sample holds every record, the micro-batches are the same ones."""
    monkeypatch.setattr("benchmarks.stepped_run.CountingTask", SpyTask)
    config = tiny_config(tiny, EVERY_RECORD)
    mechanism = planned(config.mechanism, 2)
    bench = bench_of(config)
    seen = []
    for name, each in (("ours", mechanism), ("theirs", plain_twin(mechanism, 40))):
        with SteppedRun(bench, each, tmp_path / name) as run:
            run.open_session()
            bench.task.__dict__["seen"] = []
            stretch = run.rounds(1)
            seen.append(bench.task.__dict__["seen"])
        assert stretch.records == 3 * 2 * 40
    shapes = [sorted(shape for shape, _ in batches) for batches in seen]
    assert shapes[0] == shapes[1]
    read = [sorted(index for _, indices in batches for index in indices) for batches in seen]
    assert read[0] == read[1] == sorted(3 * 2 * list(range(40)))


def test_a_stretch_splits_into_training_log_and_the_rest(tiny: TinyModel, tmp_path: Path) -> None:
    config = tiny_config(tiny, RECORD)
    with SteppedRun(bench_of(config), planned(config.mechanism, 3), tmp_path / "run") as run:
        session = run.open_session()
        stretch = run.rounds(2)
    assert session.records == 0
    assert session.training == 0.0
    assert session.log > 0
    assert 0 < stretch.log < stretch.rest < stretch.cpu
    assert 0 < stretch.training < stretch.cpu
    assert stretch.wall > 0
    assert 0 < stretch.records < 2 * 3 * 2 * 40


def test_a_round_that_was_not_planned_is_refused(tiny: TinyModel, tmp_path: Path) -> None:
    config = tiny_config(tiny, rounds=1)
    with SteppedRun(bench_of(config), config.mechanism, tmp_path / "run") as run:
        with pytest.raises(ConfigError, match="had not planned"):
            run.rounds(1)
        run.open_session()
        run.rounds(1)
        with pytest.raises(ConfigError, match="had not planned"):
            run.rounds(1)


def test_a_refusal_comes_with_the_words_of_the_sites(tiny: TinyModel, tmp_path: Path) -> None:
    config = tiny_config(tiny, RECORD, rounds=3)
    with SteppedRun(bench_of(config), config.mechanism, tmp_path / "run") as run:
        run.open_session()
        for home in (tmp_path / "run" / "state" / "sites").iterdir():
            for state in (home / "runs").glob("*.state"):
                state.write_bytes(b"damaged")
        with pytest.raises(PeerError, match=r"site-1: refused: .*\.state"):
            run.rounds(1)


@pytest.mark.parametrize("protection", ["plain", "masked"])
def test_rounds_one_at_a_time_come_to_what_a_whole_run_does(
    tiny: TinyModel, tmp_path: Path, protection: str
) -> None:
    config = tiny_config(tiny, protection=protection)
    setting = Setting(tmp_path, tiny, dataset=small_dataset(TRAIN, EVALUATION))
    whole = start_run(config, setting.out, setting.places(), Watcher())
    bench = bench_of(config)
    with SteppedRun(bench, config.mechanism, tmp_path / "stepped") as run:
        run.open_session()
        run.rounds(1)
        run.rounds(1)
        bench.adapted.load(run.parameters)
    theirs = load_file(whole.path / "adapter" / "adapter_model.safetensors")
    ours = {
        name.replace(".default", "").replace(".modules_to_save", ""): parameter
        for name, parameter in bench.adapted.parameters.items()
    }
    assert ours.keys() == theirs.keys()
    for name, parameter in ours.items():
        assert (parameter.detach().numpy() == theirs[name]).all(), name


def pair(cpu: float, training: float, log: float, records: int = 50) -> Pair:
    """A protected stretch beside a plain one of 100 records, 10 s, 8 s of them in training."""
    return Pair(
        protected=Stretch(records=records, cpu=cpu, wall=2 * cpu, training=training, log=log),
        plain=Stretch(records=100, cpu=10.0, wall=20.0, training=8.0, log=1.0),
    )


def test_the_ratios_are_those_of_the_description() -> None:
    size = overhead._Size(n=4, d=7, steps=12)
    pairs = [
        pair(6.0, 4.4, 1.0),
        pair(5.0, 4.0, 1.0),
        pair(12.0, 9.0, 2.0, records=100),
    ]
    cells = {(c.name, c.clock): c for c in overhead._cells(size, pairs)}
    assert cells["total", "process"] == OverheadCell(
        "total", "process", n=4, d=7, steps=12, ratio=1.2, min=1.0, max=1.2, pairs=3, seconds=6.0
    )
    assert cells["total", "wall"].ratio == pytest.approx(1.2)
    assert cells["total, bare", "process"].ratio == pytest.approx(1.5)
    assert cells["clip and noise", "process"].ratio == pytest.approx(1.1)
    # Outside training: 1.6, 1.0 and 3.0 seconds, beside 2.0.
    masks = cells["masks", "process"]
    assert (masks.min, masks.ratio, masks.max) == pytest.approx((0.9, 0.96, 1.1))
    log = cells["ledger and log", "process"]
    assert (log.min, log.ratio, log.max) == pytest.approx((1.2, 1.2, 1.25))
    opening = overhead._opening_cell(size, pair(11.0, 0.0, 0.0), pairs, stretches=5)
    assert opening.ratio == pytest.approx(51 / 50)
    assert opening.pairs == 1


def test_runs_lead_in_turn() -> None:
    order: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def rounds(self, count: int) -> Stretch:
            order.append(f"{self.name}{count}")
            return Stretch(records=1, cpu=float(len(order)), wall=1.0, training=1.0, log=0.0)

    ours, theirs = Fake("A"), Fake("B")
    first = overhead._neighbours(ours, theirs, 2, protected_first=True)  # type: ignore[arg-type] # fakes
    second = overhead._neighbours(ours, theirs, 2, protected_first=False)  # type: ignore[arg-type] # fakes
    assert order == ["A2", "B2", "B2", "A2"]
    assert (first.protected.cpu, first.plain.cpu) == (1.0, 2.0)
    assert (second.protected.cpu, second.plain.cpu) == (4.0, 3.0)
