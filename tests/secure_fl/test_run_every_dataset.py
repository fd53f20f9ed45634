"""A run on the files of every published data set: loaded, trained on, reported and verified."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import tiny_model
from published_files import WRITERS, publish
from tiny_run import NONE, RECORD, Setting, Watcher, tiny_config, write_policy

from audits.facts import ReportFacts
from audits.report import render_report
from domains.catalogue import ENTRIES
from domains.task_kinds import TaskKind
from secure_fl.config import RunConfig
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

    from secure_fl.runfolder import RunFolder

PUBLISHED = sorted(name for name, entry in ENTRIES.items() if entry.files)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model.build_tiny_llama(tmp_path_factory.mktemp("llama"))


def test_every_published_data_set_has_files_written_here() -> None:
    assert sorted(WRITERS) == PUBLISHED


def run_on(name: str, config: RunConfig, setting: Setting, data: Path) -> RunFolder:
    """Return the run, after what holds of each was checked."""
    policy = write_policy(setting.folder / "policy.toml", setting.model, dataset=name)
    places = EmbeddedPlaces(state=setting.state, policy=policy, data=data, budget_carried=True)
    watcher = Watcher()
    folder = start_run(config, setting.out, places, watcher)
    verify_run(folder.path, setting.root)
    facts = json.loads((folder.path / "facts.json").read_bytes())
    entry = ENTRIES[name]
    assert facts["data"]["name"] == name
    assert facts["data"]["source"] == "published"
    assert facts["data"]["labels"] == list(entry.labels)
    report = (folder.path / "report.html").read_text("utf-8")
    assert report == render_report(ReportFacts.from_json((folder.path / "facts.json").read_bytes()))
    assert name in report
    result = watcher.results[-1].scores
    assert result is not None
    assert result.n == facts["data"]["evaluation_records"] > 1
    ranked = entry.kind is TaskKind.RANKING
    assert (result.ranking is not None) is ranked
    assert (folder.metrics()[-1].ranking is not None) is ranked
    return folder


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_run_on_a_published_data_set_is_reported_and_verifies(
    name: str, tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = publish(name, tmp_path / "data", monkeypatch)
    config = tiny_config(tiny, dataset=name, sites=2, rounds=2, training={"batch_size": 2})
    run_on(name, config, Setting(tmp_path, tiny), data)


@pytest.mark.parametrize(
    "name", ["finance.fiqa", "finance.nwgi", "biomedical.medqa5", "recommendation.movielens-100k"]
)
def test_a_private_run_on_it_states_its_epsilon(
    name: str, tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = publish(name, tmp_path / "data", monkeypatch)
    config = tiny_config(tiny, RECORD, dataset=name, sites=2, rounds=1)
    folder = run_on(name, config, Setting(tmp_path, tiny), data)
    assert folder.metrics()[-1].epsilon is not None


def asking(name: str, llama: TinyModel) -> RunConfig:
    """Return a run that asks a language model what the pack asks, in fewer words."""
    entry = ENTRIES[name]
    config = tiny_config(
        llama,
        NONE,
        dataset=name,
        sites=2,
        rounds=1,
        adapter={"target_modules": ["q_proj", "v_proj"]},
        training={"batch_size": 2},
    )
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    prompt: dict[str, Any] = {"template": "{text}\n{options}\nAnswer:"}
    if not entry.prompt.answers:
        prompt = {"template": "{text}\nNext:"}
    table["mechanism"]["prompt"] = prompt | {"answers": list(entry.prompt.answers)}
    return RunConfig.model_validate(table)


@pytest.mark.parametrize(
    "name",
    ["biomedical.medqa", "biomedical.medmcqa", "recommendation.movielens-100k", "finance.nwgi"],
)
def test_a_language_model_is_asked_about_it(
    name: str, llama: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = publish(name, tmp_path / "data", monkeypatch)
    run_on(name, asking(name, llama), Setting(tmp_path, llama), data)
