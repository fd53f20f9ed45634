"""What was noted as a published data set was loaded is said, reported, and on the model card."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING

import pytest
from cli_workplace import Workplace
from published_files import publish, write_csv
from run_forgery import coordinator_key, sign_again, state_facts
from tiny_run import Setting, Watcher, small_dataset, tiny_config, write_policy

from domains.finance import tfns
from secure_fl import deployment
from secure_fl.dataset_notes import say_if_published
from secure_fl.embedded import EmbeddedPlaces, start_run
from secure_fl.runfolder import RunFolder
from secure_fl.shown_warnings import shown_warnings
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

OVERLAP = (
    "2 texts stand on both sides of the split; 2 training rows with them were dropped from "
    "training."
)
REPEATS = (
    "1 training rows and 0 evaluation rows repeat the text of another on their side and were kept."
)
STANDING = "Evaluation set: the published validation file, as in FinGPT and OpenFedLLM."
HEADING = "What was noted of the data"


@pytest.fixture
def tweets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files with two texts on both sides of the split, and one that trains twice."""
    folder = publish(tfns.NAME, tmp_path / "data", monkeypatch)
    with (folder / tfns.TRAIN_FILE).open(encoding="utf-8", newline="") as file:
        train = list(csv.reader(file))
    with (folder / tfns.EVALUATION_FILE).open(encoding="utf-8", newline="") as file:
        evaluation = list(csv.reader(file))
    for row in (1, 2):
        evaluation[row][0] = train[row][0]
    train[4][0] = train[3][0]
    write_csv(folder / tfns.TRAIN_FILE, train)
    write_csv(folder / tfns.EVALUATION_FILE, evaluation)
    return folder


def released(run: Path) -> dict[str, str]:
    """Return what of a run folder people read, by name."""
    names = ("facts.json", "report.html", "adapter/README.md")
    return {name: (run / name).read_text("utf-8") for name in names}


def test_a_run_on_published_data_says_reports_and_cards_what_was_dropped(
    tiny: TinyModel, tmp_path: Path, tweets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = Workplace(tmp_path, tiny, capsys)
    work.without_privacy()
    work.edit('dataset = "finance.generated"', f'dataset = "{tfns.NAME}"')
    work.edit('dataset = "finance.generated"', f'dataset = "{tfns.NAME}"', "policy.toml")
    done = work.run("--data", tweets)
    assert done.code == 0, done.err
    assert not done.err
    lines = done.out.splitlines()
    assert [lines.count(note) for note in (OVERLAP, REPEATS, STANDING)] == [1, 1, 1]
    verified = work.call("verify", work.root / "out", "--trust", work.trust)
    assert (verified.code, verified.out, verified.err) == (0, "", "")
    texts = released(work.root / "out")
    for name, text in texts.items():
        for note in (OVERLAP, REPEATS, STANDING):
            assert note in text, name
    assert HEADING in texts["report.html"]


def test_a_run_on_generated_data_reports_its_notes_and_says_nothing(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting, said = Setting(tmp_path, tiny), list[str]()
    with shown_warnings(said.append):
        say_if_published(small_dataset())
    assert said == []
    folder = start_run(tiny_config(tiny, rounds=1), setting.out, setting.places(), Watcher())
    for text in released(folder.path).values():
        assert "nothing about real text" in text


def test_a_run_of_before_there_were_notes_verifies(
    tiny: TinyModel, tmp_path: Path, tweets: Path
) -> None:
    setting = Setting(tmp_path, tiny, dataset=None)
    policy = write_policy(tmp_path / "policy.toml", tiny, dataset=tfns.NAME)
    there = EmbeddedPlaces(state=setting.state, policy=policy, data=tweets, budget_carried=True)
    config = tiny_config(tiny, dataset=tfns.NAME, sites=2, rounds=1, training={"batch_size": 2})
    run = RunFolder(start_run(config, setting.out, there, Watcher()).path)
    facts = json.loads(run.read("facts.json"))
    assert facts["data"].pop("notes")[:2] == [OVERLAP, REPEATS]
    state_facts(run, facts)
    sign_again(run, coordinator_key(setting.state))
    verify_run(run.path, setting.root)
    texts = released(run.path)
    assert '"notes"' not in texts["facts.json"]
    assert HEADING not in texts["report.html"]


def test_a_deployed_coordinator_is_told_too(
    tiny: TinyModel, tmp_path: Path, tweets: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = tiny_config(tiny, dataset=tfns.NAME)
    file = deployment.CoordinatorFile(schema="secure-fl.coordinator.v1", folder=str(tweets))
    dataset = deployment._evaluation_set(config, file, tmp_path)
    assert len(dataset.evaluation) == 12
    assert OVERLAP in caplog.text
