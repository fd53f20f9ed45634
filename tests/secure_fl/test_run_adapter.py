"""A run finishes, verifies, and leaves an adapter that other programs load."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard, ModelCardData
from safetensors.numpy import load_file as numpy_file
from safetensors.torch import load_file as torch_file
from tiny_run import Setting, Watcher, adapter_bytes, small_dataset, tiny_config

from domains.sentence_head import sentence_logits
from secure_fl.embedded import start_run
from secure_fl.methods import find_method
from secure_fl.sites.workbench import build_task
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tiny_model import TinyModel
    from torch.nn import Parameter

    from domains.classification import SentenceClassification
    from domains.encoding import EncodedRecords
    from secure_fl.config import RunConfig
    from secure_fl.runfolder import RunFolder
    from secure_fl.sites.adapted_model import AdaptedModel

LABELS = ("negative", "neutral", "positive")

# What a stranger would write: nothing of this project is imported.
STRANGER = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch
from peft import PeftModel
from transformers import AutoModelForTokenClassification, AutoTokenizer
base, adapter, records = sys.argv[1:]
texts = json.load(open(records))
tokenizer = AutoTokenizer.from_pretrained(base)
model = AutoModelForTokenClassification.from_pretrained(base, num_labels=3)
model = PeftModel.from_pretrained(model, adapter).eval()
chosen, shown = [], []
for text in texts:
    batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=64)
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        logits = model(**batch).logits
    mask = batch["attention_mask"].unsqueeze(-1)
    sentence = (logits * mask).sum(1) / mask.sum(1)
    chosen.append(int(sentence.argmax(-1)))
    shown.append(sentence[0].tolist())
assert "secure_fl" not in sys.modules
print(json.dumps({"chosen": chosen, "logits": shown}))
"""


@pytest.fixture(scope="module", params=["fedit", "bitfit", "norm-tuning"])
def finished(
    request: pytest.FixtureRequest, tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Setting, RunConfig, RunFolder, Watcher]:
    setting = Setting(tmp_path_factory.mktemp("finished"), tiny)
    # Enough training that the answers differ from one sentence to the next.
    training = {"local_steps": 15, "learning_rate": 0.1}
    adapter = {"layers": [1]}
    if request.param != "fedit":
        adapter["target_modules"] = ["query", "value", "dense", "LayerNorm"]
    config = tiny_config(tiny, method=request.param, training=training, adapter=adapter)
    watcher = Watcher()
    folder = start_run(config, setting.out, setting.places(), watcher)
    return setting, config, folder, watcher


def test_a_run_finishes_and_verifies(
    finished: tuple[Setting, RunConfig, RunFolder, Watcher],
) -> None:
    setting, _, folder, watcher = finished
    assert verify_run(folder.path, setting.root) is None  # type: ignore[func-returns-value] # the point
    assert [result.round for result in watcher.results] == [1, 2]
    assert watcher.end is not None
    assert watcher.end.trust == setting.state / "consortium" / "root.pub"
    assert not (folder.path / "progress").exists()


def test_another_program_gets_the_evaluators_predictions_from_stock_peft(
    finished: tuple[Setting, RunConfig, RunFolder, Watcher], tmp_path: Path
) -> None:
    _, config, folder, watcher = finished
    records = small_dataset().evaluation
    texts = tmp_path / "texts.json"
    texts.write_text(json.dumps([record.text for record in records]), encoding="utf-8")
    script = tmp_path / "stranger.py"
    script.write_text(STRANGER, encoding="utf-8")
    base = str(config.runtime.base_model)
    command = [sys.executable, "-I", script, base, folder.path / "adapter", texts]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])

    task, adapted = build_task(config.mechanism, LABELS, config.runtime)
    encoded = task.encode(list(records))
    chosen, logits = np.array(answer["chosen"]), np.array(answer["logits"])
    assert watcher.results[-1].scores.accuracy == float((chosen == encoded.labels).mean())
    # And not only the score: every single answer of the coordinator's own evaluator.
    untrained = own_logits(task, adapted, encoded)
    load_saved(adapted.parameters, folder.path / "adapter")
    assert chosen.tolist() == task.predict(adapted.model, encoded).tolist()
    np.testing.assert_allclose(logits, own_logits(task, adapted, encoded), atol=1e-5)
    assert np.ptp(logits, axis=0).max() > 1e-2, "sentences have answers of their own"
    assert np.abs(logits - untrained).max() > 1e-2, "the adapter has to change something"


def own_logits(
    task: SentenceClassification, adapted: AdaptedModel, encoded: EncodedRecords
) -> NDArray[np.float64]:
    logits = np.empty((len(encoded), len(LABELS)))
    with torch.inference_mode():
        for batch in task.micro_batches(encoded, np.arange(len(encoded)), 64):
            logits[batch.indices] = sentence_logits(adapted.model, batch).numpy()
    return logits


def load_saved(parameters: dict[str, Parameter], adapter: Path) -> None:
    """Fill the trained parameters from the saved file, by PEFT's published naming."""
    saved = torch_file(adapter / "adapter_model.safetensors")
    for name, parameter in parameters.items():
        stored = name.replace(".default", "").replace(".modules_to_save", "")
        parameter.data.copy_(saved.pop(stored))
    # PEFT writes untrained factors too, and every bias where one is tuned.
    biases = any(name.endswith(".base_layer.bias") for name in parameters)
    factors = any(".lora_" in name for name in parameters)
    rest = {
        name
        for name in saved
        if not (biases and ".bias" in name) and not (not factors and ".lora_" in name)
    }
    assert not rest, "the file holds nothing that the run did not share"


def test_the_adapters_card_says_how_to_load_it(
    finished: tuple[Setting, RunConfig, RunFolder, Watcher],
) -> None:
    _, config, folder, _ = finished
    card = (folder.path / "adapter" / "README.md").read_text(encoding="utf-8")
    assert config.mechanism.model.weights_sha256 in card
    assert "PeftModel.from_pretrained" in card
    saved = json.loads((folder.path / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert saved["base_model_name_or_path"] == config.mechanism.model.name
    assert str(config.runtime.base_model) not in card, "a path of one machine helps nobody else"


def test_the_adapters_card_has_the_head_that_the_hub_reads(
    finished: tuple[Setting, RunConfig, RunFolder, Watcher],
) -> None:
    _, config, folder, _ = finished
    data = ModelCard.load(folder.path / "adapter" / "README.md").data
    assert isinstance(data, ModelCardData)
    assert (data.library_name, data.pipeline_tag) == ("peft", "text-classification")
    assert data.base_model == config.mechanism.model.name
    last = folder.metrics()[-1]
    assert data.eval_results is not None
    assert last.accuracy is not None
    found = {result.metric_type: result.metric_value for result in data.eval_results}
    assert found["accuracy"] == pytest.approx(last.accuracy, abs=1e-4)
    assert found["f1_macro"] == pytest.approx(last.macro_f1, abs=1e-4)
    assert {result.dataset_name for result in data.eval_results} == {"finance.generated"}


def test_the_saved_configuration_does_not_depend_on_the_order_of_a_set(
    tiny: TinyModel, tmp_path: Path
) -> None:
    config = tiny_config(tiny)
    _, adapted = build_task(config.mechanism, LABELS, config.runtime)
    # PEFT's own is a set of strings, whose order is another one in the next process.
    adapted.model.peft_config["default"].target_modules = ["value", "query"]

    adapted.save(tmp_path / "adapter", "tests/tiny-bert")

    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert saved["target_modules"] == ["query", "value"]


def test_ffa_lora_leaves_a_as_every_site_drew_it(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, method="ffa-lora", training={"local_steps": 3})
    start_run(config, setting.out, setting.places(), Watcher())
    saved = numpy_file(setting.out / "adapter" / "adapter_model.safetensors")
    factors = {name for name in saved if ".lora_A." in name}
    assert factors
    built = [build_task(config.mechanism, LABELS, config.runtime)[1] for _ in range(2)]
    assert not any(".lora_A." in name for name in built[0].parameters), "A is not shared"
    states = [one.model.state_dict() for one in built]
    for name in factors:
        common = [state[name.replace(".weight", ".default.weight")].numpy() for state in states]
        assert np.array_equal(common[0], common[1]), "every site draws the same A"
        assert np.array_equal(saved[name], common[0]), "and no round moved it"
    moved = [name for name in saved if ".lora_B." in name and saved[name].any()]
    assert moved, "B did move"
    fedit = find_method("fedit", config.mechanism.protection)
    assert fedit.trains("x.lora_A.default.weight")


def test_the_masked_sum_is_the_plain_sum_to_the_bit(tiny: TinyModel, tmp_path: Path) -> None:
    adapters = {}
    for protection in ("masked", "plain"):
        (tmp_path / protection).mkdir()
        setting = Setting(tmp_path / protection, tiny)
        config = tiny_config(tiny, protection=protection)
        start_run(config, setting.out, setting.places(), Watcher())
        verify_run(setting.out, setting.root)
        adapters[protection] = adapter_bytes(setting.out)
    assert adapters["masked"] == adapters["plain"]


def test_another_seed_gives_another_adapter(tiny: TinyModel, tmp_path: Path) -> None:
    """Or the tests of equal bytes would hold for an adapter that nothing moves."""
    adapters = []
    for seed in (3, 4):
        (tmp_path / str(seed)).mkdir()
        setting = Setting(tmp_path / str(seed), tiny)
        config = tiny_config(tiny, rounds=1)
        mechanism = config.mechanism.model_copy(update={"seed": seed})
        changed = config.model_copy(update={"mechanism": mechanism})
        start_run(changed, setting.out, setting.places(), Watcher())
        adapters.append(adapter_bytes(setting.out)["adapter_model.safetensors"])
    assert adapters[0] != adapters[1]
