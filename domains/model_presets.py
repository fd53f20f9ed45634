"""Base models that a consortium may start from, as data: where, what is adapted, how it is asked.

A preset is a suggestion, no pin: a run names the SHA-256 of the weights that the consortium means,
which nobody but its members can vouch for. The revisions are commits of the Hugging Face hub as
other published projects pin them; none of these models but MiniLM was loaded by this project.
Imports nothing heavy.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.prompts import ModelPrompt

if TYPE_CHECKING:
    from collections.abc import Mapping


class ModelKind(enum.StrEnum):
    """What a base model is made for."""

    ENCODER = "encoder"
    """A classifier is put on it."""

    CAUSAL = "causal"
    """It is asked in words, and its answers are scored."""


class WeightsForm(enum.StrEnum):
    """How the repository publishes its weights."""

    ONE_FILE = "model.safetensors"
    SHARDS = "several safetensors"
    """An index and its shards; see `domains.weight_files` for their one digest."""
    PICKLE = "pytorch_model.bin"
    """Runs code when it is loaded, so it is never read here: to be converted elsewhere first."""


@dataclass(frozen=True, slots=True)
class ModelPreset:
    """One base model.

    Attributes:
        name: short, for a person.
        repository: on the Hugging Face hub.
        revision: a commit of it.
        kind: what it is made for.
        target_modules: name suffixes of the linear layers of its attention, for an adapter.
        max_length: tokens of a record that it reads well and a site can afford.
        weights: how they are published.
        form: the form in which it was taught to be asked; None for an encoder.
        tuned_on: data sets of the catalogue whose labelled records its publishers tuned it on, as
            far as they say; others may have been among its training texts.
    """

    name: str
    repository: str
    revision: str
    kind: ModelKind
    target_modules: tuple[str, ...]
    max_length: int
    weights: WeightsForm = WeightsForm.ONE_FILE
    form: ModelPrompt | None = None
    tuned_on: tuple[str, ...] = ()

    def tables(self) -> str:
        """Return the TOML tables of a run with this model; the digest is left to fill in."""
        named = ", ".join(f'"{module}"' for module in self.target_modules)
        seen = ", ".join(self.tuned_on)
        pickled = self.weights is WeightsForm.PICKLE
        lines = [
            *(
                ["# published as a pickle, which is never read here: docs/domains.md"]
                if pickled
                else []
            ),
            *([f"# tuned on {seen} when published: a score there does not count"] if seen else []),
            "[mechanism.model]",
            f'name = "{self.repository}"',
            'weights_sha256 = ""  # secure-fl domains digest FOLDER, as all members agreed',
            f'revision = "{self.revision}"',
            f"max_length = {self.max_length}",
            "",
            "[mechanism.adapter]",
            "rank = 8",
            "alpha = 16",
            f"target_modules = [{named}]",
        ]
        if self.form is not None:
            form = self.form.template.replace("\\", "\\\\").replace("\n", "\\n")
            lines += ["", "[mechanism.prompt]", f'model_form = "{form}"']
            lines += ['template = "{text}"  # what is asked of each record', "answers = []"]
            if self.form.before_answer != ModelPrompt().before_answer:
                lines.append(f'before_answer = "{self.form.before_answer}"')
        return "\n".join(lines) + "\n"


_BERT: Final = ("query", "key", "value", "attention.output.dense")
_DISTILBERT: Final = ("q_lin", "k_lin", "v_lin", "out_lin")
_LLAMA: Final = ("q_proj", "k_proj", "v_proj", "o_proj")
_CHATML: Final = ModelPrompt(
    "<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n", before_answer=""
)
_ZEPHYR: Final = ModelPrompt("<|user|>\n{prompt}</s>\n<|assistant|>\n", before_answer="")
_PLAIN: Final = ModelPrompt()


def _encoder(
    name: str,
    repository: str,
    revision: str,
    modules: tuple[str, ...] = _BERT,
    weights: WeightsForm = WeightsForm.ONE_FILE,
) -> ModelPreset:
    length = 128 if name == "minilm" else 256
    return ModelPreset(name, repository, revision, ModelKind.ENCODER, modules, length, weights)


def _causal(
    name: str,
    repository: str,
    revision: str,
    form: ModelPrompt,
    weights: WeightsForm = WeightsForm.ONE_FILE,
) -> ModelPreset:
    return ModelPreset(name, repository, revision, ModelKind.CAUSAL, _LLAMA, 512, weights, form)


MODEL_PRESETS: Final[Mapping[str, ModelPreset]] = MappingProxyType(
    {
        preset.name: preset
        for preset in (
            _encoder(
                "minilm",
                "sentence-transformers/all-MiniLM-L6-v2",
                "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
            ),
            _encoder(
                "distilbert",
                "distilbert/distilbert-base-uncased",
                "12040accade4e8a0f71eabdb258fecc2e7e948be",
                _DISTILBERT,
            ),
            _encoder(
                "bert",
                "google-bert/bert-base-uncased",
                "86b5e0934494bd15c9632b12f734a8a67f723594",
            ),
            _encoder(
                "roberta",
                "FacebookAI/roberta-base",
                "e2da8e2f811d1448a5b465c236feacd80ffbac7b",
            ),
            replace(
                _encoder(
                    "finbert",
                    "ProsusAI/finbert",
                    "4556d13015211d73dccd3fdd39d39232506f3e43",
                    weights=WeightsForm.PICKLE,
                ),
                tuned_on=("finance.phrasebank",),
            ),
            _encoder(
                "biobert",
                "dmis-lab/biobert-v1.1",
                "551ca18efd7f052c8dfa0b01c94c2a8e68bc5488",
                weights=WeightsForm.PICKLE,
            ),
            _encoder(
                "pubmedbert",
                "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract-fulltext",
                "e1354b7a3a09615f6aba48dfad4b7a613eef7062",
                weights=WeightsForm.PICKLE,
            ),
            _causal(
                "smollm2-135m",
                "HuggingFaceTB/SmolLM2-135M-Instruct",
                "12fd25f77366fa6b3b4b768ec3050bf629380bac",
                _CHATML,
            ),
            _causal(
                "qwen2.5-0.5b",
                "Qwen/Qwen2.5-0.5B-Instruct",
                "7ae557604adf67be50417f59c2c2f167def9a775",
                _CHATML,
            ),
            _causal(
                "tinyllama",
                "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
                "fe8a4ea1ffedaf415f4da2f062534de366a451e6",
                _ZEPHYR,
            ),
            _causal(
                "llama3.2-1b",
                "meta-llama/Llama-3.2-1B",
                "4e20de362430cd3b72f300e6b0f18e50e7166e08",
                _PLAIN,
            ),
            _causal(
                "gemma2-2b",
                "google/gemma-2-2b",
                "c5ebcd40d208330abc697524c919956e692655cf",
                _PLAIN,
                WeightsForm.SHARDS,
            ),
            _causal(
                "llama2-7b",
                "meta-llama/Llama-2-7b-hf",
                "01c7f73d771dfac7d292323805ebc428287df4f9",
                _PLAIN,
                WeightsForm.SHARDS,
            ),
            _causal(
                "mistral-7b",
                "mistralai/Mistral-7B-v0.1",
                "7231864981174d9bee8c7687c24c8344414eae6b",
                _PLAIN,
                WeightsForm.SHARDS,
            ),
        )
    }
)


def seen_before(model: str, dataset: str) -> str | None:
    """Return why a score on `dataset` says little of `model`, or None where nothing is known.

    Args:
        model: its repository on the hub, which is the name that a run gives it.
        dataset: as the catalogue lists it.
    """
    for preset in MODEL_PRESETS.values():
        if preset.repository == model and dataset in preset.tuned_on:
            return (
                f"{model} was tuned on labelled records of {dataset} when it was published: it may "
                "have seen those it is scored on, and a score is no measure of unseen ones. Start "
                "from another model, or score on another data set."
            )
    return None


def model_preset(name: str) -> ModelPreset:
    """Return the preset called `name`.

    Raises:
        ConfigError: there is none; the message lists those that exist.
    """
    if name not in MODEL_PRESETS:
        raise ConfigError(
            f"No model preset is called {name!r}: nothing can be shown. Known presets: "
            f"{', '.join(MODEL_PRESETS)}. Any other model can be named in a run's own tables."
        )
    return MODEL_PRESETS[name]
