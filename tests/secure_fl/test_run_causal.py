"""Whole runs of a causal language model: asked, tuned, scored by likelihood, and released."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tiny_model
import torch
from peft import PeftModel
from tiny_run import NONE, RECORD, Setting, Watcher, small_dataset, tiny_config
from transformers import AutoModelForCausalLM

from crypto.errors import ConfigError
from domains.records import Dataset, Record
from secure_fl.config import RunConfig
from secure_fl.embedded import start_run
from secure_fl.sites.workbench import build_task
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

ASKED: dict[str, Any] = {
    "template": "what of this:\n{text}\nanswer:",
    "answers": ["down", "no change", "up"],
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model.build_tiny_llama(tmp_path_factory.mktemp("llama"))


def asking(  # noqa: PLR0913 - what the tests vary, each by its name
    llama: TinyModel,
    privacy: dict[str, Any] = NONE,
    *,
    prompt: dict[str, Any] = ASKED,
    method: str = "fedit",
    runtime: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> RunConfig:
    """Return the tiny run with a language model in the place of the classifier."""
    config = tiny_config(
        llama,
        privacy,
        method=method,
        adapter={"target_modules": ["q_proj", "v_proj"]},
        training=training,
    )
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["mechanism"]["prompt"] = prompt
    table["runtime"] |= runtime or {}
    return RunConfig.model_validate(table)


@pytest.mark.parametrize("privacy", [NONE, RECORD], ids=["none", "record"])
def test_a_language_model_is_tuned_and_stock_libraries_load_it(
    llama: TinyModel, tmp_path: Path, privacy: dict[str, Any]
) -> None:
    setting = Setting(tmp_path, llama)
    config = asking(llama, privacy, training={"local_steps": 4, "learning_rate": 0.05})
    folder = start_run(config, setting.out, setting.places(), Watcher())
    verify_run(folder.path, setting.root)
    base = AutoModelForCausalLM.from_pretrained(llama.folder, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        released = PeftModel.from_pretrained(base, str(folder.path / "adapter")).eval()
    dataset = small_dataset()
    task, adapted = build_task(config.mechanism, dataset.labels, config.runtime)
    encoded = task.encode(dataset.evaluation)
    predicted = task.predict(released, encoded)
    accuracy = float(np.mean(predicted == encoded.labels))
    assert folder.metrics()[-1].accuracy == pytest.approx(accuracy)
    card = (folder.path / "adapter" / "README.md").read_text(encoding="utf-8")
    assert "secure-fl domains export-task finance.generated --config config.toml" in card
    moved = [p for name, p in released.named_parameters() if ".lora_B." in name]
    assert all(bool(torch.any(p)) for p in moved)
    assert len(moved) == len([name for name in adapted.parameters if ".lora_B." in name])


def test_what_is_learned_is_the_answer(llama: TinyModel, tmp_path: Path) -> None:
    """After many steps on one answer the model prefers it, which it did not before."""
    few = replace(small_dataset(), train=tuple(replace(r, label=0) for r in small_dataset().train))
    setting = Setting(tmp_path, llama, dataset=few)
    training = {"local_steps": 15, "learning_rate": 0.05}
    config = asking(llama, training=training)
    watcher = Watcher()
    start_run(config, setting.out, setting.places(), watcher)
    task, adapted = build_task(config.mechanism, few.labels, config.runtime)
    encoded = task.encode(few.evaluation)
    assert 0 not in task.predict(adapted.model, encoded)
    downward = float(np.mean(encoded.labels == 0))
    assert watcher.results[-1].scores is not None
    assert watcher.results[-1].scores.accuracy == pytest.approx(downward)


def test_records_with_options_are_asked_about_and_their_options_scrubbed(
    llama: TinyModel, tmp_path: Path
) -> None:
    def record(number: int, part: str) -> Record:
        options = ("up", "anna@example.org", "bo@example.org")
        return Record(f"{part}-{number}", f"which of them, quarter {number}", 1, options=options)

    dataset = Dataset.of(
        name="finance.generated",
        labels=("A", "B", "C"),
        train=tuple(record(n, "train") for n in range(30)),
        evaluation=tuple(record(n, "evaluation") for n in range(6)),
        licence="none",
        notes=(),
    )
    setting = Setting(tmp_path, llama, dataset=dataset)
    config = asking(llama, prompt={"template": "{options} {text}:"})
    data = config.mechanism.data.model_copy(update={"scrub": ("EMAIL_ADDRESS",)})
    config = config.model_copy(
        update={"mechanism": config.mechanism.model_copy(update={"data": data})}
    )
    folder = start_run(config, setting.out, setting.places(), Watcher())
    verify_run(folder.path, setting.root)
    report = (setting.state / "sites" / "site-1" / "report.html").read_text(encoding="utf-8")
    assert "EMAIL_ADDRESS" in report
    facts = json.loads((setting.state / "sites" / "site-1" / "facts.json").read_text("utf-8"))
    assert facts["records_changed"] == facts["training_records"] == 10  # of two texts each
    assert facts["pii"] == [{"entity": "EMAIL_ADDRESS", "spans": 20}]


def test_layers_are_not_kept_for_a_language_model(llama: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, llama)
    config = asking(llama, runtime={"cache_layers": True})
    with pytest.raises(ConfigError, match="cache_layers"):
        start_run(config, setting.out, setting.places(), Watcher())


def test_a_language_model_has_no_head_to_train_alone(llama: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, llama)
    with pytest.raises(ConfigError, match="trains no parameter"):
        start_run(asking(llama, method="linear-head"), setting.out, setting.places(), Watcher())
    with pytest.raises(ValueError, match="has no classifier"):
        asking(llama, training={"head_rounds": 1})


@pytest.mark.parametrize(
    "prompt", [{"template": "no place"}, {"template": "{text}", "model_form": "nothing"}]
)
def test_a_prompt_that_asks_nothing_is_refused(llama: TinyModel, prompt: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Correct the template"):
        asking(llama, prompt=prompt)
