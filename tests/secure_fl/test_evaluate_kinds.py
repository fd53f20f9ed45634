"""`secure-fl evaluate` on every kind of run: labels, own records, questions and rankings."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_model
from peft import PeftModel
from published_files import publish
from tiny_run import NONE, Setting, Watcher, small_dataset, tiny_config, write_policy

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, load_dataset
from domains.records import Dataset
from secure_fl import evaluation
from secure_fl.cli import main
from secure_fl.config import RunConfig
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.evaluation import asked_of, evaluate
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tiny_model import TinyModel

    from secure_fl.runfolder import RunFolder

FPB, TFNS, FIQA, NWGI = (f"finance.{name}" for name in ("phrasebank", "tfns", "fiqa", "nwgi"))
MEDQA, MEDQA5, MEDMCQA, PUBMEDQA = (
    f"biomedical.{name}" for name in ("medqa", "medqa5", "medmcqa", "pubmedqa")
)
FILMS, GAMES = "recommendation.movielens-100k", "recommendation.amazon-games"
TALLREC = "recommendation.tallrec"
STRONG: dict[str, Any] = {"local_steps": 8, "learning_rate": 0.1, "batch_size": 3}
SAID = {"bearish": "negative", "bullish": "positive"}
"""What FinGPT calls TFNS's classes."""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model.build_tiny_llama(tmp_path_factory.mktemp("llama"))


def folders(
    names: tuple[str, ...], at: Path, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, Path]:
    return {name: publish(name, at / name, monkeypatch) for name in names}


def run_of(config: RunConfig, folder: Path, model: TinyModel, data: Path | None) -> RunFolder:
    setting = Setting(folder, model)
    policy = write_policy(folder / "policy.toml", model, dataset=config.mechanism.data.dataset)
    places = EmbeddedPlaces(state=setting.state, policy=policy, data=data, budget_carried=True)
    return start_run(config, setting.out, places, Watcher())


def asking(name: str, llama: TinyModel, answers: tuple[str, ...]) -> RunConfig:
    config = tiny_config(
        llama,
        NONE,
        dataset=name,
        sites=2,
        adapter={"target_modules": ["q_proj", "v_proj"]},
        training=STRONG,
    )
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["mechanism"]["prompt"] = {"template": "{text}\n{options}\nIs:", "answers": answers}
    return RunConfig.model_validate(table)


def accuracy_by_name(folder: RunFolder, labels: tuple[str, ...], dataset: Dataset) -> float:
    """Score as stock libraries load the adapter, comparing classes by their names."""
    config = folder.config()
    task, _ = build_task(config.mechanism, labels, config.runtime)
    base = task.build_model(config.mechanism.seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        released = PeftModel.from_pretrained(base, str(folder.path / "adapter")).eval()
    predicted = task.predict(released, task.encode(dataset.evaluation))
    said = [labels[number] for number in predicted]
    right = [dataset.labels[record.label] for record in dataset.evaluation]
    pairs = zip(said, right, strict=True)
    return float(np.mean([SAID.get(one, one) == SAID.get(two, two) for one, two in pairs]))


@pytest.mark.parametrize("trained_on", [TFNS, NWGI])
def test_one_adapter_is_scored_on_the_four_sets_of_fingpt(
    trained_on: str,
    tiny: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = folders((FPB, FIQA, TFNS, NWGI), tmp_path, monkeypatch)
    config = tiny_config(tiny, dataset=trained_on, sites=2, training=STRONG)
    folder = run_of(config, tmp_path, tiny, data[trained_on])
    words = ["evaluate", str(folder.path)]
    for name, place in data.items():
        words += ["--on", name, "--data", str(place)]
    assert main([*words, "--json"]) == 0
    table = {line["dataset"]: line for line in json.loads(capsys.readouterr().out)["table"]}
    assert list(table) == [FPB, FIQA, TFNS, NWGI]
    assert table[trained_on]["accuracy"] == folder.metrics()[-1].accuracy
    for name, place in data.items():
        dataset = load_dataset(name, data=place, seed=0)
        twin = accuracy_by_name(folder, ENTRIES[trained_on].labels, dataset)
        assert table[name]["accuracy"] == pytest.approx(twin)
        assert (table[name]["n"], table[name]["kind"]) == (
            len(dataset.evaluation),
            "classification",
        )
    assert main(words) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["data", "set", "accuracy", "weighted", "F1", "macro", "F1", "n"]
    assert f"{table[FIQA]['macro_f1']:.4f}" in lines[1]
    assert {line["auc"] for line in table.values()} == {None}


@pytest.mark.parametrize("method", ["fedit", "ffa-lora", "bitfit", "norm-tuning", "linear-head"])
def test_whatever_the_method_trained_is_loaded(
    method: str, tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, method=method, training={"local_steps": 8, "learning_rate": 0.3})
    folder = start_run(config, setting.out, setting.places(), Watcher())
    monkeypatch.setattr(evaluation, "load_dataset", lambda *_, **__: small_dataset())
    (found,) = evaluate(folder.path, asked_of(["finance.generated"], []))
    last = folder.metrics()[-1]
    assert (found.scores.accuracy, found.scores.macro_f1) == (last.accuracy, last.macro_f1)


def test_a_language_models_answers_are_matched_by_class(
    llama: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folders((TFNS, FIQA), tmp_path, monkeypatch)
    config = asking(TFNS, llama, ("down", "up", "no change"))
    folder = run_of(config, tmp_path, llama, data[TFNS])
    own, other = evaluate(folder.path, asked_of([TFNS, FIQA], list(data.values())))
    assert own.scores.accuracy == folder.metrics()[-1].accuracy
    fiqa = load_dataset(FIQA, data=data[FIQA], seed=0)
    # Asked of a record with the class's number of the run, not of the file.
    task, adapted = build_task(config.mechanism, ENTRIES[TFNS].labels, config.runtime)
    evaluation.load_adapter(adapted, folder.path)
    said = [
        ENTRIES[TFNS].prompt.answers[number]
        for number in task.predict(adapted.model, task.encode(fiqa.evaluation))
    ]
    right = [fiqa.labels[record.label] for record in fiqa.evaluation]
    assert other.scores.accuracy == pytest.approx(
        np.mean([one == two for one, two in zip(said, right, strict=True)])
    )


@pytest.mark.parametrize(
    ("labels", "accepted", "refused"),
    [
        (("positive", "negative", "neutral"), (FPB, TFNS, NWGI), PUBMEDQA),
        (("neutral", "bearish", "bullish"), (TFNS,), NWGI),
    ],
)
def test_a_run_on_own_records_is_scored_where_its_labels_are(  # noqa: PLR0913, PLR0917 - fixtures
    labels: tuple[str, ...],
    accepted: tuple[str, ...],
    refused: str,
    tiny: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = folders((*accepted, refused), tmp_path, monkeypatch)
    file = tmp_path / "own.csv"
    rows = (f"sentence {number},{labels[number % 3]}\n" for number in range(40))
    file.write_text("text,label\n" + "".join(rows), "utf-8")
    table = tiny_config(tiny, sites=2, training=STRONG).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    table["mechanism"]["data"] |= {"dataset": "own", "labels": labels}
    config = RunConfig.model_validate(table | {"data": {"path": str(file)}})
    folder = run_of(config, tmp_path, tiny, None)
    scored = evaluate(folder.path, asked_of(accepted, [data[name] for name in accepted]))
    for each in scored:
        dataset = load_dataset(each.dataset, data=data[each.dataset], seed=0)
        twin = accuracy_by_name(folder, labels, dataset)
        assert each.scores.accuracy == pytest.approx(twin)
    with pytest.raises(ConfigError, match="a score would compare different things"):
        evaluate(folder.path, asked_of([refused], [data[refused]]))


def counted_auc(folder: RunFolder, labels: tuple[str, ...], dataset: Dataset) -> float:
    """Count the pairs that the adapter, loaded anew, puts in order; a tie is a half."""
    config = folder.config()
    task, adapted = build_task(config.mechanism, labels, config.runtime)
    evaluation.load_adapter(adapted, folder.path)
    yes, no = labels.index("Yes"), labels.index("No")
    margins: dict[str, list[float]] = {"Yes": [], "No": []}
    scores = task.scores(adapted.model, task.encode(dataset.evaluation))
    for record, row in zip(dataset.evaluation, scores, strict=True):
        margins[dataset.labels[record.label]].append(float(row[yes] - row[no]))
    won = [(a > b) + (a == b) / 2 for a in margins["Yes"] for b in margins["No"]]
    return float(np.mean(won))


@pytest.mark.parametrize("asks", [False, True])
def test_yes_or_no_is_scored_by_the_area_under_the_curve_too(  # noqa: PLR0913, PLR0917 - fixtures
    asks: bool,  # noqa: FBT001 - a parameter of the test
    tiny: TinyModel,
    llama: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = publish(TALLREC, tmp_path / "data", monkeypatch)
    config = tiny_config(tiny, dataset=TALLREC, sites=2, training={**STRONG, "batch_size": 2})
    if asks:
        config = asking(TALLREC, llama, ENTRIES[TALLREC].prompt.answers)
    folder = run_of(config, tmp_path, llama if asks else tiny, data)
    words = ["evaluate", str(folder.path), "--on", TALLREC, "--data", str(data)]
    assert main([*words, "--json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["table"]
    dataset = load_dataset(TALLREC, data=data, seed=0)
    assert line["auc"] == pytest.approx(counted_auc(folder, dataset.labels, dataset))
    assert main(words) == 0
    heading, shown, *_ = capsys.readouterr().out.splitlines()
    assert heading.endswith("macro F1       AUC       n")
    assert shown.split()[-2:] == [f"{line['auc']:.4f}", str(line["n"])]
    assert "auc" not in json.dumps([m.model_dump(mode="json") for m in folder.metrics()])


def test_the_area_does_not_depend_on_the_order_of_the_runs_labels(
    tiny: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = publish(TALLREC, tmp_path / "data", monkeypatch)
    dataset = load_dataset(TALLREC, data=data, seed=0)
    file, labels = tmp_path / "own.csv", ("Yes", "No")
    file.write_text("text,label\n" + "".join(f"film {n},{labels[n % 2]}\n" for n in range(40)))
    table = tiny_config(tiny, sites=2, training=STRONG).model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    table["mechanism"]["data"] |= {"dataset": "own", "labels": labels}
    config = RunConfig.model_validate(table | {"data": {"path": str(file)}})
    folder = run_of(config, tmp_path, tiny, None)
    (found,) = evaluate(folder.path, asked_of([TALLREC], [data]))
    assert found.scores.auc == pytest.approx(counted_auc(folder, labels, dataset))

    one_sided = tuple(record for record in dataset.evaluation if record.label == 1)
    half = Dataset.of(
        name=TALLREC,
        labels=dataset.labels,
        train=dataset.train,
        evaluation=one_sided,
        licence="-",
        notes=(),
    )
    loaded = iter((dataset, half))
    monkeypatch.setattr(evaluation, "load_dataset", lambda *_, **__: next(loaded))
    words = ["evaluate", str(folder.path), *("--on", TALLREC, "--data", str(data)) * 2]
    assert main(words) == 0
    both, one = (line.split() for line in capsys.readouterr().out.splitlines()[1:3])
    assert both[-2] == f"{found.scores.auc:.4f}"
    assert one[-2] == "-"


def test_questions_are_scored_on_other_questions_however_many_their_options(
    tiny: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = folders((MEDQA, MEDQA5, MEDMCQA), tmp_path, monkeypatch)
    config = tiny_config(tiny, dataset=MEDQA, sites=2, training=STRONG)
    folder = run_of(config, tmp_path, tiny, data[MEDQA])
    scored = evaluate(folder.path, asked_of(list(data), list(data.values())))
    assert scored[0].scores.accuracy == folder.metrics()[-1].accuracy
    assert [each.scores.n for each in scored] == [10, 10, 8]
    words = ["evaluate", str(folder.path), "--on", MEDQA5, "--data", str(data[MEDQA5])]
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["data", "set", "accuracy", "n"]
    for name in (PUBMEDQA, FILMS):
        words = ["evaluate", str(folder.path), "--on", name, "--data", str(tmp_path)]
        assert main(words) == 2
        said = capsys.readouterr().err
        assert f"{name} is a {ENTRIES[name].kind} data set" in said
        assert "a multiple-choice one: the adapter never learned" in said
        assert said.strip().endswith(f"of the run's kind: {MEDQA}, {MEDQA5}, {MEDMCQA}.")


def test_rankings_are_scored_as_recommenders_report_them(
    tiny: TinyModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = folders((FILMS, GAMES), tmp_path, monkeypatch)
    config = tiny_config(tiny, dataset=FILMS, sites=2, training=STRONG)
    folder = run_of(config, tmp_path, tiny, data[FILMS])
    words = ["evaluate", str(folder.path)]
    for name, place in data.items():
        words += ["--on", name, "--data", str(place)]
    assert main([*words, "--json"]) == 0
    own, other = json.loads(capsys.readouterr().out)["table"]
    last = folder.metrics()[-1].ranking
    assert last is not None
    assert own["ranking"] == {
        "n": 12,
        "hit_rate": last.hit_rate_10,
        "ndcg": last.ndcg_10,
        "auc": last.auc,
    }
    assert other["ranking"]["n"] == 12
    assert main(words) == 0
    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert heading.split() == ["data", "set", "HR@10", "NDCG@10", "AUC", "n"]
    assert first.split() == [
        FILMS,
        *(f"{one:.4f}" for one in (last.hit_rate_10, last.ndcg_10, last.auc)),
        "12",
    ]
    with pytest.raises(ConfigError, match="is a multiple-choice data set and the run's"):
        evaluate(folder.path, asked_of([MEDQA], [tmp_path]))


def test_a_language_model_is_not_scored_on_answers_that_it_cannot_give(
    llama: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folders((MEDQA, MEDQA5, MEDMCQA), tmp_path, monkeypatch)
    folder = run_of(
        asking(MEDQA, llama, ENTRIES[MEDQA].prompt.answers), tmp_path, llama, data[MEDQA]
    )
    own, other = evaluate(folder.path, asked_of([MEDQA, MEDMCQA], [data[MEDQA], data[MEDMCQA]]))
    assert own.scores.accuracy == folder.metrics()[-1].accuracy
    assert other.scores.n == 8
    with pytest.raises(ConfigError, match=r"answers A, B, C, D, and biomedical\.medqa5 is"):
        evaluate(folder.path, asked_of([MEDQA5], [data[MEDQA5]]))
