"""Runs on a site's own file: from the example, from a folder of files, and in a deployment."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError
from tiny_run import RECORD, Setting, Watcher, tiny_config, write_policy

from audits.data_facts import OWN_FILES_NOTE
from crypto.errors import ConfigError
from domains.own_files import BadRows
from secure_fl import deployment
from secure_fl.config import RunConfig, load_config, parse_mechanism
from secure_fl.deployment import SiteData
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.own_records import OwnWorkbench, evaluation_set, simulated
from secure_fl.shown_warnings import shown_warnings
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from tiny_model import TinyModel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LABELS = ["bad", "good"]
SITE: dict[str, Any] = {"dataset": "own", "path": "a.csv", "labels": LABELS}


def rows(path: Path, count: int, *more: str) -> Path:
    lines = [f"{path.stem} wrote number {n},{LABELS[n % 2]}" for n in range(count)]
    path.write_text("\n".join(("text,label", *lines, *more, "")))
    return path


def own(
    tiny: TinyModel,
    path: Path,
    privacy: dict[str, Any] | None = None,
    table: dict[str, Any] | None = None,
    **data: object,
) -> RunConfig:
    config = tiny_config(tiny, privacy or {"mode": "none"}).model_dump(mode="json", by_alias=True)
    config["mechanism"]["data"] |= {"dataset": "own", "labels": LABELS, **data}
    return RunConfig.model_validate(config | {"data": {"path": str(path), **(table or {})}})


def places(setting: Setting, data: Path | None = None) -> EmbeddedPlaces:
    policy = write_policy(setting.folder / "policy.toml", setting.model, dataset="own")
    return EmbeddedPlaces(state=setting.state, policy=policy, data=data, budget_carried=True)


def test_one_file_is_shared_out_and_what_was_dropped_is_said(
    tiny: TinyModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = rows(tmp_path / "Annegret.csv", 60, "Annegret,better", " ,good")
    setting = Setting(tmp_path, tiny)
    config = own(tiny, path, RECORD, {"bad_rows": "drop"})
    folder = start_run(config, setting.out, places(setting), Watcher())
    verify_run(folder.path, setting.root)
    assert "2 of 62 rows of Annegret.csv were dropped" in caplog.text
    assert "Annegret wrote" not in caplog.text
    again = folder.config()
    assert again.data is not None
    assert again.data.bad_rows is BadRows.DROP
    assert again.mechanism.digest() == config.mechanism.digest()
    facts = json.loads((folder.path / "facts.json").read_text("utf-8"))
    assert facts["data"]["source"] == "sites-own"
    for name in ("report.html", "facts.json"):
        text = (folder.path / name).read_text("utf-8")
        assert "Annegret wrote" not in text


def test_a_run_on_own_files_says_what_was_dropped_and_releases_no_count_of_it(
    tiny: TinyModel, tmp_path: Path
) -> None:
    path = rows(tmp_path / "Annegret.csv", 60, "a,better", " ,good", "twice,good", "twice,bad")
    setting, said = Setting(tmp_path, tiny), list[str]()
    config = own(tiny, path, table={"bad_rows": "drop"})
    with shown_warnings(said.append):
        folder = start_run(config, setting.out, places(setting), Watcher())
    verify_run(folder.path, setting.root)
    assert said[0].startswith("2 of 64 rows of Annegret.csv were dropped")
    assert any("repeat the text of another" in note for note in said)
    names = ("facts.json", "report.html", "adapter/README.md")
    texts = {name: (folder.path / name).read_text("utf-8") for name in names}
    assert json.loads(texts["facts.json"])["data"]["notes"] == [OWN_FILES_NOTE]
    assert OWN_FILES_NOTE.replace("'", "&#39;") in texts["report.html"]
    standing = "Evaluation set: a seeded fifth of the records."
    assert said.count(standing) == 1
    assert standing in texts["adapter/README.md"]
    for text in texts.values():
        for counted in set(said) - {standing}:
            assert counted not in text
        assert "Annegret" not in text
        assert "were dropped" not in text


def test_labels_of_another_data_set_change_nothing_that_is_signed(tiny: TinyModel) -> None:
    assert b"labels" not in tiny_config(tiny).mechanism.to_json()
    assert b'"labels":["bad","good"]' in own(tiny, Path("a.csv")).mechanism.to_json()


def test_a_folder_gives_each_site_its_own_file(tiny: TinyModel, tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    for number in (1, 2, 3):
        rows(held / f"site-{number}.csv", 20 * number)
    setting = Setting(tmp_path, tiny)
    found = simulated(own(tiny, held), None)
    assert found.shares is not None
    assert [len(share) for share in found.shares] == [16, 32, 48]
    start_run(own(tiny, held), setting.out, places(setting), Watcher())
    with pytest.raises(ConfigError, match="has a file for every site"):
        simulated(own(tiny, held, partition="label", alpha=1.0), None)


def test_a_folder_of_published_files_beside_own_records_is_refused(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    config = own(tiny, rows(tmp_path / "a.csv", 20))
    with pytest.raises(ConfigError, match="Leave --data out"):
        start_run(config, setting.out, places(setting, tmp_path), Watcher())
    assert not setting.out.exists()


def test_labels_are_signed_in_their_order(tiny: TinyModel) -> None:
    one, other = (own(tiny, Path("a.csv"), labels=each) for each in (LABELS, LABELS[::-1]))
    assert one.mechanism.digest() != other.mechanism.digest()
    assert parse_mechanism(one.mechanism.to_json()) == one.mechanism


@pytest.mark.parametrize(
    ("data", "table", "said"),
    [
        ({"labels": None}, {}, "two names or more"),
        ({"labels": ["one"]}, {}, "two names or more"),
        ({"dataset": "finance.generated"}, {}, "has labels of its own"),
        ({"dataset": "finance.generated", "labels": None}, {}, "the table \\[data\\]"),
        ({}, {"label": "text"}, "one column for two purposes"),
        ({}, {"delimiter": ""}, "one character"),
        ({}, {"words": "x"}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant(
    tiny: TinyModel, data: dict[str, Any], table: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        own(tiny, Path("a.csv"), None, table, **data)


@pytest.mark.parametrize("start", ["", "examples", "examples/../tests"])
def test_the_example_is_a_run_on_the_file_beside_it(
    monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    """From wherever it is started, and by whichever name the file is called."""
    monkeypatch.chdir(EXAMPLES.parent / start)
    named = Path(os.path.relpath(EXAMPLES / "own-data.toml", Path.cwd()))
    for path in (named, EXAMPLES / "own-data.toml"):
        dataset = simulated(load_config(path), None).dataset
        assert (len(dataset.train), len(dataset.evaluation)) == (48, 12)


def test_an_absolute_path_is_not_moved(tmp_path: Path) -> None:
    file = rows(tmp_path / "elsewhere.csv", 10)
    text = (EXAMPLES / "own-data.toml").read_text("utf-8")
    (tmp_path / "runs").mkdir()
    path = tmp_path / "runs" / "run.toml"
    path.write_text(text.replace('"own-data.csv"', f'"{file}"'), "utf-8")
    found = load_config(path).data
    assert found is not None
    assert found.path == str(file)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (SITE | {"folder": "x"}, "`folder` has no meaning"),
        (SITE | {"part": 1}, "`part` has no meaning"),
        ({"dataset": "finance.generated", "unit": "who"}, "`unit` has no meaning"),
        ({"dataset": "own", "labels": LABELS}, "needs `path` and `labels`"),
        ({"dataset": "own", "path": "a.csv"}, "needs `path` and `labels`"),
    ],
)
def test_a_site_has_its_own_file_or_rehearses(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SiteData.model_validate(data)


def test_a_deployed_site_trains_on_its_file_under_the_labels_it_was_given(
    tiny: TinyModel, tmp_path: Path
) -> None:
    path = rows(tmp_path / "ward.csv", 12)
    data = SiteData.model_validate(SITE | {"path": str(path)})
    records = deployment._site_records(
        data, tmp_path / "elsewhere", deployment_facts(), allow_hub=False
    )
    assert len(records.records) == 12
    config = own(tiny, path)
    bench = OwnWorkbench("site-1", records, config.runtime, deployment.SystemNoise())
    assert bench.prepare(config.mechanism) == records.version()
    with pytest.raises(ConfigError, match="sums of different classes"):
        bench.prepare(own(tiny, path, labels=LABELS[::-1]).mechanism)


def deployment_facts() -> Any:  # noqa: ANN401 - the workbench's default
    from secure_fl.sites.scrubbing import RecordFacts  # noqa: PLC0415 - imports torch

    return RecordFacts()


def test_a_deployed_coordinators_file_is_the_evaluation_set(
    tiny: TinyModel, tmp_path: Path
) -> None:
    config = own(tiny, rows(tmp_path / "common.csv", 10))
    assert len(evaluation_set(config).evaluation) == 10
    file = deployment.CoordinatorFile.model_validate(
        {"schema": "secure-fl.coordinator.v1", "folder": "elsewhere"}
    )
    with pytest.raises(ConfigError, match="Remove `folder`"):
        deployment._evaluation_set(config, file, tmp_path)
