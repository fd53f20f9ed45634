"""What a run has to beat, from the command line, on a tiny model and few records."""

from __future__ import annotations

import io
import json
import re
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cli_workplace import Outcome, Workplace, few_records

from crypto.errors import ConfigError
from domains.baselines import majority
from domains.partition import share_out
from domains.task_kinds import TaskKind
from privacy.noise import SystemNoise
from secure_fl.baselines import study
from secure_fl.baselines.held import Held, held_out
from secure_fl.baselines.local_runs import scrubbed_shares, site_alone
from secure_fl.baselines.names import OF_RANKINGS, PRIVATE, Row
from secure_fl.baselines.rows import at_one_place, private, rows_of, without_privacy
from secure_fl.baselines.study import Study
from secure_fl.baselines.table import Baselines, Line, Result, write_table
from secure_fl.config import NoPrivacy, load_config
from secure_fl.evaluation import load_adapter
from secure_fl.failures import ExitCode
from secure_fl.own_records import simulated
from secure_fl.runner import Evaluator
from secure_fl.sites.trainer import LocalTrainer
from secure_fl.sites.workbench import SiteRecords, SiteWorkbench, build_task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from domains.records import Dataset, Record
    from secure_fl.config import Mechanism, RunConfig
    from secure_fl.embedded import EmbeddedPlaces
    from secure_fl.observing import RunObserver


@pytest.fixture
def work(
    tmp_path: Path,
    tiny: TinyModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    monkeypatch.setattr("secure_fl.baselines.study.load_dataset", few_records)
    made = Workplace(tmp_path, tiny, capsys)
    made.edit("allow_no_privacy = false", "allow_no_privacy = true", "policy.toml")
    return made


def measured(work: Workplace, *options: str | Path) -> Outcome:
    return work.call("baselines", work.config, "--out", work.root / "table.json", *options)


def saved(work: Workplace) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((work.root / "table.json").read_text())
    return content


def test_every_row_is_measured_and_saved_with_mean_and_spread(work: Workplace) -> None:
    outcome = measured(work, "--seeds", "0", "1", "--json")
    assert outcome.code == 0, outcome.err
    printed = json.loads(outcome.out)
    lines = {line["row"]: line for line in printed["table"]}
    assert list(lines) == [row.value for row in Row if row not in OF_RANKINGS]
    content = saved(work)
    assert content["schema"] == "secure-fl.baselines.v1"
    assert content["table"] == printed["table"]
    for name, line in lines.items():
        own = [result for result in content["results"] if result["row"] == name]
        assert line["seeds"] == [0, 1]
        assert line["n"] == 40
        assert line["error"] is None
        for score in ("accuracy", "macro_f1", "weighted_f1"):
            values = [result[score] for result in own]
            assert line[score] == pytest.approx(mean(values))
            assert line[f"{score}_sd"] == pytest.approx(stdev(values))
        private_row = name in {row.value for row in PRIVATE}
        assert (line["epsilon"] is not None) == private_row
        assert (line["delta"] == 1e-5) == private_row
    assert 0 < lines["federated-dp"]["epsilon"] <= 8
    assert {result["batch_size"] for result in content["results"] if result["row"] == "federated"}
    said = outcome.err
    assert "federated, seed 1: round 2 of 2, accuracy" in said
    assert "site-alone, seed 0: site-3: round 2 of 2" in said
    assert "NO PRIVACY GUARANTEE" in " ".join(printed["notes"])
    assert not any("auc" in line for line in (*content["results"], *content["table"]))


@pytest.mark.parametrize(
    ("kind", "heads"),
    [
        (TaskKind.CLASSIFICATION, ["accuracy", "macro F1", "weighted F1"]),
        (TaskKind.MULTIPLE_CHOICE, ["accuracy"]),
        (TaskKind.RANKING, ["HR@10", "NDCG@10", "AUC"]),
    ],
)
@pytest.mark.parametrize("f1", [None, 0.25])
def test_a_table_shows_the_scores_of_its_records(
    kind: TaskKind, heads: list[str], f1: float | None
) -> None:
    """Also of an older file, which holds F1 over the places of options."""
    result = Result(
        row=Row.FEDERATED,
        seed=0,
        dataset="0" * 64,
        n=40,
        accuracy=0.5,
        macro_f1=f1,
        weighted_f1=f1,
        epsilon=None,
        delta=None,
        batch_size=None,
        seconds=1.0,
    )
    line = Line.of(Row.FEDERATED, [result, result.model_copy(update={"seed": 1})])
    assert (line.macro_f1, line.macro_f1_sd) == (f1, None if f1 is None else 0.0)
    mixed = [result, result.model_copy(update={"seed": 1, "macro_f1": None})]
    assert Line.of(Row.FEDERATED, mixed).macro_f1 is None
    begun = Baselines(
        schema="secure-fl.baselines.v1",
        name="demo",
        configuration="0" * 64,
        split="evaluation",
        notes=(),
        results=(),
        table=(line,),
    )
    stream = io.StringIO()
    write_table(begun, begun.table, kind, stream, as_json=False)
    _, heading, row = stream.getvalue().splitlines()
    expected = ["row", *heads, "epsilon", "n", "seeds", "seconds"]
    assert re.split(r" {2,}", heading.strip()) == expected
    assert len(re.split(r" {2,}", row.strip())) == len(expected)


def test_the_majority_is_that_of_the_training_labels(work: Workplace) -> None:
    measured(work, "--seeds", "3", "--rows", "majority")
    dataset = few_records("finance.generated", data=None, seed=3)
    train, evaluation = (
        np.array([record.label for record in part], np.int64)
        for part in (dataset.train, dataset.evaluation)
    )
    (result,) = saved(work)["results"]
    assert result["accuracy"] == majority(train, evaluation, 3).accuracy
    assert result["dataset"] == dataset.version.hex()


def test_what_is_known_is_not_measured_again(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(work, "--seeds", "0", "--rows", "majority", "federated").code == 0
    before = saved(work)["results"]

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(study, "start_run", never)
    outcome = measured(work, "--seeds", "0", "1", "--rows", "majority")
    assert outcome.code == 0
    outcome = measured(work, "--seeds", "0", "--rows", "federated")
    assert outcome.code == 0
    results = saved(work)["results"]
    assert results[:2] == before
    assert [(result["row"], result["seed"]) for result in results[2:]] == [("majority", 1)]


def test_a_file_of_something_else_is_refused_and_kept(work: Workplace) -> None:
    path = work.root / "table.json"
    assert measured(work, "--seeds", "0", "--rows", "majority").code == 0
    before = path.read_bytes()
    said = measured(work, "--rows", "majority", "--validation").refused(ExitCode.CONFIG)
    assert "another --out" in said
    work.edit(r"^learning_rate = [^ \n]*", "learning_rate = 0.003")
    said = measured(work, "--rows", "majority").refused(ExitCode.CONFIG)
    assert "another configuration" in said
    assert path.read_bytes() == before
    path.write_bytes(before[:100])
    measured(work, "--rows", "majority").refused(ExitCode.CONFIG)


def test_results_on_other_records_are_refused(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert measured(work, "--seeds", "0", "--rows", "majority").code == 0

    def others(name: str, *, data: Path | None, seed: int, **_: object) -> Dataset:
        return few_records(name, data=data, seed=seed + 7)

    monkeypatch.setattr(study, "load_dataset", others)
    said = measured(work, "--seeds", "0", "--rows", "majority").refused(ExitCode.CONFIG)
    assert "other records" in said


def test_a_row_that_cannot_be_measured_says_why_and_the_others_stand(work: Workplace) -> None:
    work.edit("allow_no_privacy = true", "allow_no_privacy = false", "policy.toml")
    rows = ("majority", "site-alone", "centralised", "federated", "federated-dp")
    outcome = measured(work, "--seeds", "0", "--rows", *rows, "--json")
    assert outcome.code == ExitCode.BUDGET
    lines = {line["row"]: line for line in json.loads(outcome.out)["table"]}
    for name in ("site-alone", "centralised", "federated"):
        assert "policy" in lines[name]["error"]
        assert lines[name]["accuracy"] is None
    assert lines["majority"]["error"] is lines["federated-dp"]["error"] is None
    assert {result["row"] for result in saved(work)["results"]} == {"majority", "federated-dp"}
    outcome = measured(work, "--seeds", "0", "--rows", "federated")
    assert "federated: The site's policy refuses" in outcome.out


def test_a_run_without_privacy_has_no_private_row(work: Workplace) -> None:
    work.edit("allow_no_privacy = true", "allow_no_privacy = false", "policy.toml")
    work.without_privacy()
    config = load_config(work.config)
    assert rows_of(config) == tuple(row for row in Row if row not in PRIVATE | OF_RANKINGS)
    assert without_privacy(config, 120) is config
    outcome = measured(work, "--seeds", "0", "--rows", "dp-head", "federated-dp")
    assert outcome.code == ExitCode.CONFIG
    assert "federated-dp: The run is in mode none" in outcome.out
    assert not (work.root / "table.json").exists()


def test_variants_differ_from_the_run_in_one_thing(work: Workplace) -> None:
    config = load_config(work.config)
    plain = without_privacy(config, 120)
    assert plain.mechanism.privacy == NoPrivacy(mode="none")
    assert plain.mechanism.training.batch_size == 4  # 0.1 of the 40 records of each of 3 sites
    back = {"privacy": config.mechanism.privacy, "training": config.mechanism.training}
    assert plain.mechanism.model_copy(update=back) == config.mechanism
    together = at_one_place(plain)
    assert together.mechanism.training.local_steps == 6  # 2 steps at each of 3 sites
    steps = {"local_steps": plain.mechanism.training.local_steps}
    assert together.mechanism.training.model_copy(update=steps) == plain.mechanism.training
    head = private(config, Row.DP_HEAD).mechanism
    assert head.method == "linear-head"
    assert head.model_copy(update={"method": "fedit"}) == config.mechanism
    assert private(config, Row.FEDERATED_DP) == config


def test_a_site_alone_is_its_own_workbench_round_after_round(work: Workplace) -> None:
    """The twin trains with what a site of a run trains with."""
    work.edit("allow_no_privacy = true", "allow_no_privacy = false", "policy.toml")
    work.without_privacy()
    work.edit(r'^schedule = "linear"', 'schedule = "linear"\naveraged_rounds = 2')
    learning = {"local_steps": 10, "learning_rate": 0.02, "head_learning_rate": 0.1}
    for name, value in learning.items():
        work.edit(rf"^{name} = [^ \n]*", f"{name} = {value}")
    config = load_config(work.config)
    dataset = few_records("finance.generated", data=None, seed=0)
    policy = work.root / "policy.toml"
    shares = scrubbed_shares(config, Held(dataset), policy)
    got = site_alone(config, dataset, shares, lambda _: None)

    raw = share_out(dataset.train, 3, 0, config.mechanism.data.rule())
    assert [share.records for share in shares] != list(raw)  # scrubbed
    scores = [
        alone(config.mechanism, dataset, raw[number], f"site-{number + 1}", config)
        for number in range(3)
    ]
    assert len(set(scores)) > 1
    assert got.accuracy == pytest.approx(mean(scores))
    assert got.batch_size == 8


def alone(
    mechanism: Mechanism,
    dataset: Dataset,
    records: tuple[Record, ...],
    site: str,
    config: RunConfig,
) -> float:
    own = SiteRecords(dataset.name, dataset.labels, records)
    bench = SiteWorkbench(site, own, config.runtime, SystemNoise())
    bench.prepare(mechanism)
    task, adapted = build_task(mechanism, dataset.labels, config.runtime)
    parameters, after = adapted.flat(), []
    for round_ in range(mechanism.training.rounds):
        update = bench.train(mechanism, parameters, round_)
        parameters = parameters + update.flat()
        after.append(parameters)
    released = np.mean(np.stack(after[-2:]).astype(np.float64), axis=0).astype(np.float32)
    evaluator = Evaluator(task, adapted, task.encode(dataset.evaluation))
    return evaluator.score(released).accuracy


def test_one_place_sees_as_many_records_as_all_sites(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = LocalTrainer._batches

    def counted(trainer: LocalTrainer, round_: int) -> Iterator[NDArray[np.int64]]:
        for batch in real(trainer, round_):
            seen.append(batch.size)
            yield batch

    monkeypatch.setattr(LocalTrainer, "_batches", counted)
    totals = []
    for row in ("federated", "site-alone", "centralised"):
        seen.clear()
        assert measured(work, "--seeds", "0", "--rows", row).code == 0
        totals.append((len(seen), sum(seen)))
    assert totals == [(12, 48)] * 3  # 2 rounds of 2 steps of 4 records at 3 sites


def test_validation_leaves_the_evaluation_set_alone(work: Workplace) -> None:
    whole = few_records("finance.generated", data=None, seed=0)
    first, again, other = (held_out(whole, seed) for seed in (0, 0, 1))
    assert first == again
    assert first.evaluation != other.evaluation
    assert len(first.evaluation) == 24
    ids = {record.id for record in whole.train}
    assert {record.id for record in first.evaluation} < ids
    assert {record.id for record in first.train} < ids
    texts = {record.text for record in first.evaluation}
    assert not texts & {record.text for record in first.train}
    outcome = measured(work, "--seeds", "0", "--rows", "majority", "federated", "--validation")
    assert outcome.code == 0, outcome.err
    content = saved(work)
    assert content["split"] == "validation"
    assert {result["n"] for result in content["results"]} == {24}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--seeds", "0", "0"), "different numbers"),
        (("--seeds", "-1"), "--seeds"),
        (("--rows", "none"), "--rows"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    work: Workplace, options: tuple[str, ...], said: str
) -> None:
    assert said in measured(work, *options).refused(ExitCode.CONFIG)


# Records of the sites' own.


def write_rows(path: Path, count: int, *, customers: int = 0) -> None:
    """Write records of two classes; with customers, of that many people in turn."""
    words = ("routine: rates rose", "urgent: loss of orders")
    lines = [
        f"{words[n % 2]} {path.stem} {n},{('calm', 'alarm')[n % 2]},c{n % (customers or count)}"
        for n in range(count)
    ]
    path.write_text("\n".join(("text,label,customer", *lines, "")))


def on_own_records(work: Workplace, path: Path, unit: str = "") -> None:
    work.edit(r'dataset = "finance\.generated"', 'dataset = "own"\nlabels = ["calm", "alarm"]')
    work.edit(r'dataset = "finance\.generated"', 'dataset = "own"', "policy.toml")
    work.edit(r"^\[mechanism\]", f'[data]\npath = "{path}"\n{unit}\n[mechanism]')


@pytest.fixture
def site_files(work: Workplace) -> Workplace:
    """Three sites with a file each, of different sizes."""
    held = work.root / "held"
    held.mkdir()
    for number, count in ((1, 20), (2, 40), (3, 60)):
        write_rows(held / f"site-{number}.csv", count)
    on_own_records(work, held)
    return work


def test_every_row_is_measured_on_own_files(
    site_files: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Dataset, tuple[int, ...]]] = []
    real = study.start_run

    def spy(config: RunConfig, out: Path, places: EmbeddedPlaces, observer: RunObserver) -> object:
        assert places.dataset is not None
        seen.append((places.dataset, tuple(len(share) for share in places.shares or ())))
        return real(config, out, places, observer)

    monkeypatch.setattr(study, "start_run", spy)
    outcome = measured(site_files, "--seeds", "0", "--json")
    assert outcome.code == 0, outcome.err
    lines = {line["row"]: line for line in json.loads(outcome.out)["table"]}
    assert list(lines) == [row.value for row in Row if row not in OF_RANKINGS]
    assert {line["n"] for line in lines.values()} == {4 + 8 + 12}
    assert [shares for _, shares in seen] == [(16, 32, 48)] * 3
    run = simulated(study_of(site_files).seeded(0), None).dataset
    assert {dataset for dataset, _ in seen} == {run}
    assert {result["dataset"] for result in saved(site_files)["results"]} == {run.version.hex()}


def test_two_classes_have_an_area_under_the_curve(
    site_files: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a run is what its released adapter comes to, scored anew."""
    again = []
    real = study.start_run

    def scored(
        config: RunConfig, out: Path, places: EmbeddedPlaces, observer: RunObserver
    ) -> object:
        folder = real(config, out, places, observer)
        assert places.dataset is not None
        task, adapted = build_task(config.mechanism, places.dataset.labels, config.runtime)
        load_adapter(adapted, folder.path)
        encoded = task.encode(places.dataset.evaluation)
        again.append(Evaluator(task, adapted, encoded).score(adapted.flat()).auc)
        return folder

    monkeypatch.setattr(study, "start_run", scored)
    rows = ("majority", "frozen-head", "site-alone", "federated")
    outcome = measured(site_files, "--seeds", "0", "1", "--rows", *rows, "--json")
    assert outcome.code == 0, outcome.err
    lines = {line["row"]: line for line in json.loads(outcome.out)["table"]}
    assert saved(site_files)["table"] == list(lines.values())
    assert (lines["majority"]["auc"], lines["majority"]["auc_sd"]) == (0.5, 0.0)
    for name in rows:
        own = [one["auc"] for one in saved(site_files)["results"] if one["row"] == name]
        assert lines[name]["auc"] == pytest.approx(mean(own))
        assert lines[name]["auc_sd"] == pytest.approx(stdev(own))
        if name == "federated":
            assert own == again
    shown = measured(site_files, "--seeds", "0", "1", "--rows", *rows).out
    assert re.search(r"^row +accuracy +macro F1 +weighted F1 +AUC +epsilon ", shown, re.MULTILINE)
    assert re.search(r"^majority( +[\d.]+ ± [\d.]+){3} +0\.5000 ± 0\.0000 ", shown, re.MULTILINE)


def test_results_that_were_kept_without_an_area_still_stand(site_files: Workplace) -> None:
    assert measured(site_files, "--seeds", "0", "--rows", "majority").code == 0
    content, path = saved(site_files), site_files.root / "table.json"
    del content["results"][0]["auc"], content["table"][0]["auc"]
    path.write_text(json.dumps(content))
    before = content["results"]
    outcome = measured(site_files, "--seeds", "0", "--rows", "majority", "--json")
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.out)["table"] == content["table"]
    assert "AUC" not in measured(site_files, "--seeds", "0", "--rows", "majority").out
    outcome = measured(site_files, "--seeds", "0", "1", "--rows", "majority", "--json")
    (line,) = json.loads(outcome.out)["table"]
    assert "auc" not in line  # a mean over some of the seeds would not be theirs
    assert saved(site_files)["results"][:1] == before
    assert saved(site_files)["results"][1]["auc"] == 0.5


def test_what_was_dropped_of_own_files_is_said_in_the_commands_own_lines(
    site_files: Workplace, caplog: pytest.LogCaptureFixture
) -> None:
    outcome = measured(site_files, "--seeds", "0", "--rows", "majority")
    said = [line for line in outcome.err.splitlines() if "stand on both sides" in line]
    assert [line.partition(" texts")[0] for line in said] == ["0"]
    assert caplog.records == []  # a root logger, which libraries set up, would print it again


def test_each_site_alone_trains_on_its_own_file(site_files: Workplace) -> None:
    config = load_config(site_files.config)
    held = study_of(site_files).held(0)
    shares = scrubbed_shares(config, held, site_files.root / "policy.toml")
    for number, share in enumerate(shares, 1):
        assert {record.id.rpartition(":")[0] for record in share.records} == {f"site-{number}.csv"}


def test_one_own_file_is_shared_out_by_the_runs_rule(work: Workplace) -> None:
    write_rows(work.root / "all.csv", 60)
    on_own_records(work, work.root / "all.csv")
    assert study_of(work).held(0).shares is None
    assert measured(work, "--seeds", "0", "--rows", "majority", "site-alone").code == 0
    assert {result["n"] for result in saved(work)["results"]} == {12}


def test_validation_on_own_files_divides_what_each_site_trains_on(site_files: Workplace) -> None:
    run, part = study_of(site_files).held(0), study_of(site_files, validation=True).held(0)
    assert len(part.dataset.evaluation) == 96 // 5
    trained = {record.id for record in run.dataset.train}
    assert {record.id for record in part.dataset.evaluation} < trained
    assert run.shares is not None
    assert part.shares is not None
    kept = [record for share in part.shares for record in share]
    assert kept == [record for share in run.shares for record in share if record in set(kept)]
    assert {record.id for record in kept} == {record.id for record in part.dataset.train}
    rows = ("majority", "site-alone", "federated")
    outcome = measured(site_files, "--seeds", "0", "--rows", *rows, "--validation")
    assert outcome.code == 0, outcome.err
    assert {result["n"] for result in saved(site_files)["results"]} == {19}


def test_nobody_stands_on_both_sides_of_a_validation(work: Workplace) -> None:
    write_rows(work.root / "all.csv", 60, customers=15)
    on_own_records(work, work.root / "all.csv", 'unit = "customer"')
    part = study_of(work, validation=True).held(0).dataset
    sides = [{r.columns["customer"] for r in side} for side in (part.train, part.evaluation)]
    assert not sides[0] & sides[1]
    assert len(sides[1]) == 12 // 5
    assert "training units" in part.notes[0]


def test_a_validation_that_leaves_a_site_nothing_is_refused(site_files: Workplace) -> None:
    whole = study_of(site_files).held(0).dataset
    drawn = held_out(whole, 0).evaluation
    rest = tuple(record for record in whole.train if record not in set(drawn))
    with pytest.raises(ConfigError, match="site-2 would have no record"):
        Held(whole, (rest, drawn)).validation(0, None)


def test_own_records_that_changed_do_not_join_an_old_table(site_files: Workplace) -> None:
    assert measured(site_files, "--seeds", "0", "--rows", "majority").code == 0
    assert measured(site_files, "--seeds", "0", "1", "--rows", "majority").code == 0
    assert [result["seed"] for result in saved(site_files)["results"]] == [0, 1]
    write_rows(site_files.root / "held" / "site-2.csv", 41)
    outcome = measured(site_files, "--seeds", "0", "--rows", "majority")
    assert outcome.code == ExitCode.CONFIG
    assert "other records" in outcome.err.splitlines()[-1]


def study_of(work: Workplace, *, validation: bool = False) -> Study:
    config = load_config(work.config)
    policy = work.root / "policy.toml"
    return Study(config, work.config, policy, None, validation, lambda _: None)
