"""The models, batches and losses that `benchmarks.dp_step` measures: random weights, fixed seeds.

Weights are random, since their values change no operation. Dropout is off and the vocabulary of
the small Llama is small: both cost the same with privacy and without, so they would only hide
what privacy costs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, TaskType, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from peft import PeftConfig

_LABELS: Final = 3
_SEED: Final = 4
_ADAPTER_STD: Final = 0.02
"""A new LoRA has B = 0, so A's gradients are zero: adapters start where one step has taken them."""
_RANK: Final = 8
_VIRTUAL_TOKENS: Final = 8


@dataclass(frozen=True)
class Architecture:
    """A base model of random weights.

    Attributes:
        name: as the table shows it.
        task: what PEFT is told.
        vocabulary: token numbers are below this.
        build: gives the model.
        targets: the layers that get adapters: the query's and the value's.
        feedforward: the layer whose input IA3 scales.
    """

    name: str
    task: TaskType
    vocabulary: int
    build: Callable[[], nn.Module]
    targets: tuple[str, ...]
    feedforward: str


def bert(hidden: int, layers: int, *, heads: int, vocabulary: int) -> Architecture:
    """Return a BERT with a head for three classes, shaped like MiniLM where it is 384 / 6."""

    def build() -> nn.Module:
        return BertForSequenceClassification(
            BertConfig(
                vocab_size=vocabulary,
                hidden_size=hidden,
                num_hidden_layers=layers,
                num_attention_heads=heads,
                intermediate_size=4 * hidden,
                num_labels=_LABELS,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            )
        )

    name = f"BERT {hidden}/{layers}"
    return Architecture(
        name, TaskType.SEQ_CLS, vocabulary, build, ("query", "value"), "output.dense"
    )


@dataclass(frozen=True)
class LlamaShape:
    """The sizes of a Llama with grouped-query attention: `key_value_heads` < `heads`."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    feedforward: int
    vocabulary: int


def llama(shape: LlamaShape) -> Architecture:
    """Return a Llama-style causal language model."""

    def build() -> nn.Module:
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=shape.vocabulary,
                hidden_size=shape.hidden,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                num_key_value_heads=shape.key_value_heads,
                intermediate_size=shape.feedforward,
                bos_token_id=1,
                eos_token_id=2,
            )
        )

    name = f"Llama {shape.hidden}/{shape.layers}"
    targets = ("q_proj", "v_proj")
    return Architecture(name, TaskType.CAUSAL_LM, shape.vocabulary, build, targets, "down_proj")


BERT_384_6: Final = bert(384, 6, heads=12, vocabulary=30_522)
LLAMA_512_8: Final = llama(LlamaShape(512, 8, 8, 2, 1408, 4096))
LLAMA_1B: Final = llama(LlamaShape(2048, 22, 32, 4, 5632, 32_000))
"""1.1 billion parameters."""
TINY: Final = (
    bert(16, 1, heads=2, vocabulary=50),
    llama(LlamaShape(16, 1, 4, 2, 24, 50)),
)


def _lora(architecture: Architecture) -> PeftConfig:
    return _lora_config(architecture, list(architecture.targets))


def _dora(architecture: Architecture) -> PeftConfig:
    return _lora_config(architecture, list(architecture.targets), use_dora=True)


def _lora_everywhere(architecture: Architecture) -> PeftConfig:
    return _lora_config(architecture, "all-linear")


def _lora_config(
    architecture: Architecture, targets: list[str] | str, *, use_dora: bool = False
) -> PeftConfig:
    return LoraConfig(
        task_type=architecture.task,
        r=_RANK,
        lora_alpha=2 * _RANK,
        target_modules=targets,
        use_dora=use_dora,
    )


def _ia3(architecture: Architecture) -> PeftConfig:
    return IA3Config(
        task_type=architecture.task,
        target_modules=[*architecture.targets, architecture.feedforward],
        feedforward_modules=[architecture.feedforward],
    )


def _prompt(architecture: Architecture) -> PeftConfig:
    return PromptTuningConfig(task_type=architecture.task, num_virtual_tokens=_VIRTUAL_TOKENS)


LORA: Final = "LoRA r=8"
PEFT_TYPES: Final[dict[str, Callable[[Architecture], PeftConfig]]] = {
    LORA: _lora,
    "LoRA r=8, all linear": _lora_everywhere,
    "DoRA r=8": _dora,
    "IA3": _ia3,
    "prompt, 8 tokens": _prompt,
}
"""PEFT configurations by the name in the table; BERT's head is trained with each."""


@dataclass(frozen=True)
class Batch:
    """Token numbers and attention mask (both (B, T)), and labels (B,), on one device."""

    ids: Tensor
    mask: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Workload:
    """What one cell measures.

    Attributes:
        architecture: the base model.
        peft: a name in `PEFT_TYPES`.
        batch: examples in a step, all of `length` tokens.
        length: tokens of an example.
        device: of weights and batch.
        dtype: of all weights.
    """

    architecture: Architecture
    peft: str
    batch: int
    length: int = 128
    device: str = "cpu"
    dtype: torch.dtype = torch.float32

    @property
    def name(self) -> str:
        """The cell's name."""
        return f"{self.architecture.name}, {self.peft}, {self.batch} x {self.length}"

    def model(self) -> nn.Module:
        """Return a new PEFT model in training mode; always the same weights."""
        torch.manual_seed(_SEED)
        with torch.device(self.device), warnings.catch_warnings():
            # PEFT 0.21 asks transformers 5 for a property under its old name.
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            config = PEFT_TYPES[self.peft](self.architecture)
            adapted = get_peft_model(self.architecture.build(), config)
        for name, parameter in adapted.named_parameters():
            if parameter.requires_grad and "lora_" in name and "magnitude" not in name:
                nn.init.normal_(parameter, std=_ADAPTER_STD)
        return adapted.to(device=self.device, dtype=self.dtype).train()

    def examples(self) -> Batch:
        """Return the batch; always the same one."""
        draw = torch.Generator().manual_seed(_SEED)
        ids = torch.randint(
            1, self.architecture.vocabulary, (self.batch, self.length), generator=draw
        )
        labels = torch.randint(0, _LABELS, (self.batch,), generator=draw)
        return Batch(
            ids.to(self.device), torch.ones_like(ids).to(self.device), labels.to(self.device)
        )

    def losses(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return one loss per example, shape (B,).

        A causal model's is the mean over the example's own next tokens, so that no example's loss
        depends on another's length. The ids are given by position: Opacus' `ew` needs it.
        """
        logits: Tensor = model(batch.ids, attention_mask=batch.mask).logits.float()
        if self.architecture.task == TaskType.SEQ_CLS:
            return cross_entropy(logits, batch.labels, reduction="none")
        own = logits[:, -self.length : -1]  # a prompt's virtual tokens stand before them
        each = cross_entropy(own.flatten(0, 1), batch.ids[:, 1:].flatten(), reduction="none")
        return each.view(self.batch, -1).mean(1)


__all__ = [
    "BERT_384_6",
    "LLAMA_1B",
    "LLAMA_512_8",
    "LORA",
    "PEFT_TYPES",
    "TINY",
    "Architecture",
    "Batch",
    "Workload",
]
