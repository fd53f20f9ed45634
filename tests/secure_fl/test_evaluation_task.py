"""A data set as a task of lm-evaluation-harness: what is written and refused, and its score."""

from __future__ import annotations

import json
import os
import shutil
import string
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import tiny_model
import yaml
from cli_workplace import few_records
from tiny_run import NONE, Setting, Watcher, small_dataset, tiny_config, write_config
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Prepend, Replace, Sequence
from transformers import PreTrainedTokenizerFast

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES
from domains.prompts import ModelPrompt, TaskPrompt
from domains.records import Dataset, Record
from secure_fl import evaluation_export
from secure_fl.cli import main
from secure_fl.config import RunConfig
from secure_fl.embedded import start_run
from secure_fl.evaluation_export import export_task
from secure_fl.evaluation_task import task_lines, task_rows, task_yaml

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

NAME = "finance.generated"
ASKED: dict[str, Any] = {
    "template": "what of this:\n{text}\nanswer:",
    "answers": ["down", "no change", "up"],
    "model_form": "[ {prompt} ]",
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> TinyModel:
    return tiny_model.build_tiny_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, *, data: Path | None, seed: int, **_: object) -> Dataset:
        return few_records(name, data=data, seed=seed)

    monkeypatch.setattr(evaluation_export, "load_dataset", load)


def asking(llama: TinyModel, prompt: dict[str, Any] | None = ASKED, length: int = 64) -> RunConfig:
    config = tiny_config(
        llama,
        NONE,
        adapter={"target_modules": ["q_proj", "v_proj"]},
        training={"local_steps": 4, "learning_rate": 0.05},
    )
    table = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    table["mechanism"]["model"]["max_length"] = length
    if prompt is not None:
        table["mechanism"]["prompt"] = prompt
    return RunConfig.model_validate(table)


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    task = yaml.safe_load((folder / f"{NAME}.yaml").read_text(encoding="utf-8"))
    lines = (folder / f"{NAME}.jsonl").read_text(encoding="utf-8").splitlines()
    return task, [json.loads(line) for line in lines]


def test_every_record_is_asked_about_in_the_data_sets_words(tmp_path: Path) -> None:
    done = export_task(NAME, data=None, out=tmp_path, run=None, seed=4)
    task, rows = read(tmp_path)
    records = few_records(NAME, data=None, seed=4).evaluation
    prompt = ENTRIES[NAME].prompt
    assert (done.records, done.shortened, done.alike) == (len(records), None, None)
    assert [row["prompt"] for row in rows] == [prompt.ask(record) for record in records]
    assert [row["label"] for row in rows] == [record.label for record in records]
    assert all(row["choices"] == list(prompt.answers) for row in rows)
    assert task["task"] == NAME
    assert task["output_type"] == "multiple_choice"
    assert task["dataset_kwargs"]["data_files"]["test"] == str(done.lines)
    assert (task["doc_to_text"], task["doc_to_choice"]) == ("prompt", "choices")
    assert (task["doc_to_target"], task["target_delimiter"]) == ("label", " ")
    assert [metric["metric"] for metric in task["metric_list"]] == ["acc"]


def test_text_is_text_and_a_name_or_a_delimiter_is_a_string(tmp_path: Path) -> None:
    text = 'braces {text} {{ 7 * 7 }} {% raw %} "quoted" \\ \U0001f600\u2028end: [1, 2]'
    record = Record("r-0", text, 1, options=("{{ id }}", "- no"))
    (row,) = task_rows([record], TaskPrompt("Q: {text}\n{options}\nA:"), ModelPrompt("<{prompt}>"))
    assert row.prompt == f"<Q: {text}\nA. {{{{ id }}}}\nB. - no\nA:>"
    assert text not in repr(row)
    assert json.loads(task_lines([row])) == {
        "id": "r-0",
        "prompt": row.prompt,
        "choices": ["{{ id }}", "- no"],
        "label": 1,
    }
    dataset = replace(small_dataset(), licence='"a": \U0001f600\u2028\\ {b}')
    folder = tmp_path / "höhe: # 'x'.jsonl"
    task = yaml.safe_load(task_yaml(dataset, folder, "\n\t: "))
    assert task["metadata"]["licence"] == dataset.licence
    assert task["metadata"]["records_sha256"] == dataset.version.hex()
    assert task["dataset_kwargs"]["data_files"]["test"] == str(folder)
    assert task["target_delimiter"] == "\n\t: "


def test_a_run_is_asked_in_its_own_words_cut_to_its_length(
    llama: TinyModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path / "run.toml", asking(llama, length=30))
    out = tmp_path / "task"
    words = ["domains", "export-task", NAME, "--out", str(out), "--config", str(config)]
    assert main(words) == 0
    told = capsys.readouterr().out
    task, rows = read(out)
    records = few_records(NAME, data=None, seed=3).evaluation
    assert f"Asked in the run's very tokens: {len(rows)} of {len(rows)}" in told
    texts = [row["prompt"].split("\n")[1] for row in rows]
    assert all(r.text.startswith(text) for text, r in zip(texts, records, strict=True))
    cut = sum(text != r.text for text, r in zip(texts, records, strict=True))
    assert cut > 0
    assert f"cut to the run's max_length: {cut} of" in told
    assert all(row["prompt"].startswith("[ what of this:\n") for row in rows)
    assert all(row["prompt"].endswith("\nanswer: ]") for row in rows)
    assert rows[0]["choices"] == ASKED["answers"]
    assert task["target_delimiter"] == " "
    assert main(words) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_tokenizer_that_begins_with_a_blank_is_asked_alike(
    llama: TinyModel, tmp_path: Path
) -> None:
    """Encoded alone, an answer would be blank, blank, word; behind its question it is not."""
    folder = shutil.copytree(llama.folder, tmp_path / "blank")
    letters = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "\u2581", "\n", *string.ascii_lowercase]
    tokenizer = Tokenizer(
        BPE({letter: number for number, letter in enumerate(letters)}, [], unk_token="[UNK]")  # noqa: S106 - no secret
    )
    tokenizer.normalizer = Sequence([Prepend("\u2581"), Replace(" ", "\u2581")])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=tiny_model.LONGEST,
        unk_token="[UNK]",  # noqa: S106 - no secret
    ).save_pretrained(folder)
    model = tiny_model.TinyModel(folder, llama.weights_sha256)
    config = write_config(tmp_path / "run.toml", asking(model, ASKED | {"model_form": "{prompt}"}))
    done = export_task(NAME, data=None, out=tmp_path, run=config)
    task, _ = read(tmp_path)
    assert task["target_delimiter"] == " "
    assert done.alike == done.records


def test_a_token_over_the_border_is_counted(llama: TinyModel, tmp_path: Path) -> None:
    """The harness would leave the answer less than it is, and the command says so."""
    folder = shutil.copytree(llama.folder, tmp_path / "merging")
    letters = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", " ", "\n", *string.ascii_lowercase, "ed"]
    tokenizer = Tokenizer(
        BPE(
            {letter: number for number, letter in enumerate(letters)},
            [("e", "d")],
            unk_token="[UNK]",  # noqa: S106 - no secret
        )
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=tiny_model.LONGEST,
        unk_token="[UNK]",  # noqa: S106 - no secret
    ).save_pretrained(folder)
    model = tiny_model.TinyModel(folder, llama.weights_sha256)
    asked = {"template": "{text}\nthe", "answers": ["down", "same", "up"], "before_answer": ""}
    config = write_config(tmp_path / "run.toml", asking(model, asked))
    assert export_task(NAME, data=None, out=tmp_path, run=config).alike == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["own"], "in plain words"),
        (["finance.none"], "No data set is called"),
        (["finance.phrasebank"], "needs its published files"),
        ([NAME, "--seed", "1", "--config", "run.toml"], "seed of its own"),
        ([NAME, "--config", "absent.toml"], "no configuration at"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    out = tmp_path / "task"
    assert main(["domains", "export-task", *words, "--out", str(out)]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not out.exists()


def test_a_run_on_other_records_or_with_a_classifier_is_refused(
    llama: TinyModel, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "run.toml", asking(llama))
    with pytest.raises(ConfigError, match=r"The run is on finance\.generated"):
        export_task("finance.phrasebank", data=tmp_path, out=tmp_path, run=config)
    plain = write_config(tmp_path / "plain.toml", asking(llama, None))
    with pytest.raises(ConfigError, match="classifier on an encoder"):
        export_task(NAME, data=None, out=tmp_path, run=plain)
    record = Record("r-9", "secret words", 2)
    with pytest.raises(ConfigError, match="'r-9' has label 2 of 2") as caught:
        task_rows([record], TaskPrompt("{text}", ("no", "yes")), ModelPrompt())
    assert "secret" not in str(caught.value)


@pytest.mark.skipif(
    find_spec("lm_eval") is None,
    reason="lm-evaluation-harness is not here: the dependency group `evaluation` has it",
)
def test_lm_evaluation_harness_comes_to_the_runs_accuracy(llama: TinyModel, tmp_path: Path) -> None:
    dataset = few_records(NAME, data=None, seed=3)
    setting = Setting(tmp_path, llama, dataset=dataset)
    config = asking(llama)
    folder = start_run(config, setting.out, setting.places(), Watcher())
    export_task(NAME, data=None, out=tmp_path / "task", run=folder.path / "config.toml")
    model = f"pretrained={llama.folder},peft={folder.path / 'adapter'},dtype=float32"
    words = ["run", "--model", "hf", "--model_args", model, "--tasks", NAME, "--device", "cpu"]
    places = ["--include_path", tmp_path / "task", "--output_path", tmp_path / "scores"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    subprocess.run(
        [sys.executable, "-m", "lm_eval", *words, *places],
        env=os.environ | offline,
        check=True,
        capture_output=True,
    )
    (found,) = (tmp_path / "scores").rglob("results_*.json")
    scored = json.loads(found.read_text(encoding="utf-8"))["results"][NAME]["acc,none"]
    assert scored == pytest.approx(folder.metrics()[-1].accuracy)
