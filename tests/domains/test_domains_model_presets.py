"""Every preset names layers that its architecture has, and prints tables that a run accepts."""

from __future__ import annotations

import re
import tomllib

import pytest
import torch
from transformers import (
    AutoModel,
    BertConfig,
    DistilBertConfig,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    Qwen2Config,
    RobertaConfig,
)

from crypto.errors import ConfigError
from domains.base_models import PRESETS
from domains.catalogue import ENTRIES
from domains.model_presets import MODEL_PRESETS, ModelKind, WeightsForm, model_preset, seen_before
from secure_fl.config import ModelSection
from secure_fl.config_prompt import PromptSection
from secure_fl.config_training import AdapterSection

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 32,
}
DECODER = {**SMALL, "num_key_value_heads": 1, "head_dim": 8}
ARCHITECTURES: dict[str, PretrainedConfig] = {
    "distilbert": DistilBertConfig(vocab_size=32, dim=16, n_layers=1, n_heads=2, hidden_dim=16),
    "roberta": RobertaConfig(**SMALL),
    "qwen2.5-0.5b": Qwen2Config(**DECODER),
    "gemma2-2b": Gemma2Config(**DECODER),
    "mistral-7b": MistralConfig(**DECODER),
}


@pytest.mark.parametrize("name", MODEL_PRESETS)
def test_the_adapted_layers_are_the_attentions_linear_ones(name: str) -> None:
    preset = model_preset(name)
    usual = BertConfig(**SMALL) if preset.kind is ModelKind.ENCODER else LlamaConfig(**DECODER)
    model = AutoModel.from_config(ARCHITECTURES.get(name, usual))
    linear = [path for path, module in model.named_modules() if isinstance(module, torch.nn.Linear)]
    for suffix in preset.target_modules:
        assert [path for path in linear if path.endswith(f".{suffix}")], suffix


@pytest.mark.parametrize("name", MODEL_PRESETS)
def test_the_tables_are_those_of_a_run(name: str) -> None:
    preset = model_preset(name)
    written = preset.tables().replace('weights_sha256 = ""', f'weights_sha256 = "{"0" * 64}"')
    tables = tomllib.loads(written)["mechanism"]
    model = ModelSection.model_validate(tables["model"])
    assert (model.name, model.revision) == (preset.repository, preset.revision)
    adapter = AdapterSection.model_validate(
        tables["adapter"] | {"target_modules": tuple(tables["adapter"]["target_modules"])}
    )
    assert adapter.target_modules == preset.target_modules
    if preset.form is None:
        assert "prompt" not in tables
        return
    asked = tables["prompt"] | {"answers": tuple(tables["prompt"]["answers"])}
    assert PromptSection.model_validate(asked).form() == preset.form


def test_revisions_are_commits_and_names_are_unique() -> None:
    revisions = [preset.revision for preset in MODEL_PRESETS.values()]
    assert all(re.fullmatch(r"[0-9a-f]{40}", revision) for revision in revisions)
    assert len(set(revisions)) == len(revisions)


def test_the_pinned_preset_is_the_suggested_one() -> None:
    pinned = {entry.ref.name: entry.ref.revision for entry in PRESETS.values()}
    suggested = {entry.repository: entry.revision for entry in MODEL_PRESETS.values()}
    assert pinned.items() <= suggested.items()


def test_what_a_model_was_tuned_on_is_in_the_catalogue_and_said() -> None:
    for preset in MODEL_PRESETS.values():
        assert set(preset.tuned_on) <= set(ENTRIES)
        assert ("# tuned on" in preset.tables()) == bool(preset.tuned_on)
    said = seen_before("ProsusAI/finbert", "finance.phrasebank")
    assert said is not None
    assert "tuned on labelled records of finance.phrasebank" in said


def test_a_preset_that_has_to_be_converted_first_says_so() -> None:
    for preset in MODEL_PRESETS.values():
        pickled = preset.weights is WeightsForm.PICKLE
        assert preset.tables().startswith("# published as a pickle") == pickled


@pytest.mark.parametrize(
    ("model", "dataset"),
    [
        ("ProsusAI/finbert", "finance.tfns"),
        ("sentence-transformers/all-MiniLM-L6-v2", "finance.phrasebank"),
        ("another/finbert", "finance.phrasebank"),
    ],
)
def test_of_another_pair_nothing_is_known(model: str, dataset: str) -> None:
    assert seen_before(model, dataset) is None


def test_an_unknown_preset_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigError, match="mistral-7b"):
        model_preset("gpt-5")
