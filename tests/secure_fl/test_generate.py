"""A finished run's language model writes after its prompt, and only such a run's does."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import tiny_model
from tiny_run import NONE, Setting, Watcher, small_dataset, tiny_config

from crypto.errors import ConfigError
from domains.causal import CausalAnswers
from domains.records import Record
from secure_fl.cli import main
from secure_fl.config import RunConfig
from secure_fl.embedded import start_run
from secure_fl.evaluation import load_adapter
from secure_fl.failures import ExitCode
from secure_fl.generation import generate
from secure_fl.runfolder import RunFolder
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

TEXTS = ("sales rose", "profit fell at anna's")
PROMPT: dict[str, Any] = {
    "template": "what of this:\n{text}\nanswer:",
    "answers": ["down", "no change", "up"],
}


def run_of(config: RunConfig, folder: Path, model: TinyModel) -> Path:
    setting = Setting(folder, model)
    return start_run(config, setting.out, setting.places(), Watcher()).path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a language model."""
    llama = tiny_model.build_tiny_llama(tmp_path_factory.mktemp("llama"))
    config = tiny_config(
        llama,
        NONE,
        adapter={"target_modules": ["q_proj", "v_proj"]},
        training={"local_steps": 8, "learning_rate": 0.05},
    )
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["mechanism"]["prompt"] = PROMPT
    return run_of(RunConfig.model_validate(table), tmp_path_factory.mktemp("run"), llama)


def test_the_adapter_writes_what_the_task_would(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = RunFolder(written).config()
    task, adapted = build_task(config.mechanism, small_dataset().labels, config.runtime)
    assert isinstance(task, CausalAnswers)
    before = task.generate(adapted.model, [Record("a", text, 0) for text in TEXTS], 6)
    load_adapter(adapted, written)
    expected = task.generate(adapted.model, [Record("a", text, 0) for text in TEXTS], 6)
    assert expected != before  # or the adapter is not seen
    assert tuple(each.answer for each in generate(written, TEXTS, 6)) == expected
    words = ["generate", str(written), *TEXTS, "--most-tokens", "6"]
    assert main([*words, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["schema"] == "secure-fl.generation.v1"
    assert [(row["text"], row["answer"]) for row in content["written"]] == list(
        zip(TEXTS, expected, strict=True)
    )


def test_lines_of_standard_input_are_asked_about(
    written: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("sales\x1b rose\n\nprofit fell\n"))
    assert main(["generate", str(written), "--most-tokens", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == ["sales  rose", "profit fell"]
    assert all(line.startswith("  ") for line in lines[1::2])


def test_what_is_written_is_not_shown_by_accident(written: Path) -> None:
    (found,) = generate(written, TEXTS[1:], 3)
    assert "anna" not in repr(found)


def test_what_cannot_write_is_refused(
    written: Path, tiny: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match="text is blank"):
        generate(written, ["one", " "], 3)
    encoder = run_of(tiny_config(tiny, NONE), tmp_path, tiny)
    assert main(["generate", str(encoder), "sales rose"]) == ExitCode.CONFIG
    assert "tuned an encoder" in capsys.readouterr().err
    assert main(["generate", str(tmp_path / "none"), "sales rose"]) != 0
