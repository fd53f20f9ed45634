"""A run, its baselines and later scores, on a data set that the Hugging Face cache has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

import pytest
from cli_workplace import Workplace
from huggingface_hub import constants
from published_files import publish_as_on_the_hub

from crypto.errors import ConfigError
from domains import catalogue
from domains.finance import tfns
from secure_fl.failures import ExitCode

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

    from domains.hub_files import HubFiles


@pytest.fixture
def work(
    tiny: TinyModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    """A run on TFNS, which a cache of the test's own has."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    name = f"datasets--{tfns.HUB.repository.replace('/', '--')}"
    snapshot = tmp_path / "cache" / name / "snapshots" / tfns.HUB.revision
    publish_as_on_the_hub(tfns.NAME, snapshot, monkeypatch)
    made = Workplace(tmp_path, tiny, capsys)
    made.without_privacy()
    for file in ("run.toml", "policy.toml"):
        made.edit('dataset = "finance.generated"', f'dataset = "{tfns.NAME}"', file)
    return made


def test_a_run_needs_no_folder_and_is_reported_as_one_on_published_files(work: Workplace) -> None:
    done = work.run()
    assert done.code == 0, done.err
    facts = json.loads((work.root / "out" / "facts.json").read_text("utf-8"))
    assert facts["data"]["source"] == "published"
    assert work.call("verify", work.root / "out", "--trust", work.trust).code == 0
    scored = work.call("evaluate", work.root / "out", "--on", tfns.NAME, "--json")
    (row,) = json.loads(scored.out)["table"]
    last = (work.root / "out" / "metrics.jsonl").read_text("utf-8").splitlines()[-1]
    assert row["accuracy"] == json.loads(last)["accuracy"]


def test_baselines_need_no_folder(work: Workplace) -> None:
    out = work.root / "table.json"
    words = ("baselines", work.config, "--rows", "majority", "--seeds", "0", "--out", out)
    outcome = work.call(*words)
    assert outcome.code == 0, outcome.err
    said = [line for line in outcome.err.splitlines() if "stand on both sides" in line]
    assert [line.partition(" texts")[0] for line in said] == ["0"]


@pytest.mark.parametrize("allowed", [False, True])
def test_the_hub_is_asked_where_the_run_allows_it(
    work: Workplace, monkeypatch: pytest.MonkeyPatch, *, allowed: bool
) -> None:
    asked: list[bool] = []

    def asking(_: HubFiles, *, allow_hub: bool) -> NoReturn:
        asked.append(allow_hub)
        raise ConfigError("Asked.")

    monkeypatch.setattr(catalogue, "hub_folder", asking)
    if allowed:
        work.edit("allow_hub = false", "allow_hub = true")
    said = work.run().refused(ExitCode.CONFIG)
    assert ("--data FOLDER" in said, "allow_hub = true" in said) == (True, not allowed)
    out = work.root / "table.json"
    work.call("baselines", work.config, "--rows", "majority", "--out", out).refused(ExitCode.CONFIG)
    assert asked == [allowed, allowed]
