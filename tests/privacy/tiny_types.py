"""Every PEFT type on every tiny architecture, in float64, with what is trained away from zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from peft import (
    IA3Config,
    LNTuningConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    TaskType,
    get_peft_model,
)
from tiny_peft import BERT_TARGETS, LABELS, LLAMA_TARGETS, WORDS, Batch, lora
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForTokenClassification,
    GPT2Config,
    GPT2ForTokenClassification,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2ForTokenClassification,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DROPOUT = 0.2


@dataclass(frozen=True)
class Architecture:
    """A tiny model family, and where the PEFT types take hold of it.

    Attributes:
        config: what is built.
        language: the class with a language head; None if there is none that reads one way.
        tokens: the class that labels tokens.
        lora: the layers that LoRA and DoRA adapt.
        ia3: those that IA3 adapts; `feedforward` is the last.
        norms: the endings of the norms' names.
        mlp: what a bottleneck adapter comes after, in each block.
    """

    config: PreTrainedConfig
    language: type[PreTrainedModel] | None
    tokens: type[PreTrainedModel]
    lora: tuple[str, ...]
    ia3: tuple[str, ...]
    norms: tuple[str, ...]
    mlp: str


_SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "num_labels": LABELS,
    "pad_token_id": 0,
}
_MARKS = {"bos_token_id": 1, "eos_token_id": 2}
ARCHITECTURES = {
    "bert": Architecture(
        BertConfig(**_SIZES, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        None,
        BertForTokenClassification,
        tuple(BERT_TARGETS),
        ("key", "value", "output.dense"),
        ("LayerNorm",),
        "output.dense",
    ),
    "llama": Architecture(
        LlamaConfig(**_SIZES, **_MARKS, num_key_value_heads=2, classifier_dropout=0.0),
        LlamaForCausalLM,
        LlamaForTokenClassification,
        tuple(LLAMA_TARGETS),
        ("k_proj", "v_proj", "down_proj"),
        ("input_layernorm", "post_attention_layernorm", "norm"),
        "mlp",
    ),
    "gpt2": Architecture(
        GPT2Config(
            vocab_size=WORDS,
            n_embd=16,
            n_layer=2,
            n_head=4,
            n_positions=24,
            num_labels=LABELS,
            pad_token_id=0,
            **_MARKS,
            **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "classifier_dropout"), 0.0),
        ),
        GPT2LMHeadModel,
        GPT2ForTokenClassification,
        ("c_attn", "c_fc", "c_proj"),
        ("c_attn", "mlp.c_proj"),
        ("ln_1", "ln_2", "ln_f"),
        "mlp",
    ),
    "qwen": Architecture(
        Qwen2Config(
            **_SIZES,
            **_MARKS,
            num_key_value_heads=2,
            classifier_dropout=0.0,
            tie_word_embeddings=True,
        ),
        Qwen2ForCausalLM,
        Qwen2ForTokenClassification,
        tuple(LLAMA_TARGETS),
        ("k_proj", "v_proj", "down_proj"),
        ("input_layernorm", "post_attention_layernorm", "norm"),
        "mlp",
    ),
}


def base(which: str, *, head: bool = False) -> nn.Module:
    """The float64 model, with its language head if it has one and `head` is false."""
    architecture = ARCHITECTURES[which]
    torch.manual_seed(1)
    kind = architecture.tokens if head or architecture.language is None else architecture.language
    return kind(architecture.config).double()


def _task(which: str) -> TaskType:
    return TaskType.TOKEN_CLS if which == "bert" else TaskType.CAUSAL_LM


def _peft(which: str, config: PeftConfig, *, head: bool = False) -> nn.Module:
    return get_peft_model(base(which, head=head), config).double()


def _lora(**options: float) -> Callable[[str], nn.Module]:
    def build(which: str) -> nn.Module:
        return _peft(which, lora(list(ARCHITECTURES[which].lora), task=_task(which), **options))

    return build


def _head(which: str) -> nn.Module:
    config = lora(list(ARCHITECTURES[which].lora), task=TaskType.TOKEN_CLS)
    return _peft(which, config, head=True)


def _ia3(which: str) -> nn.Module:
    targets = list(ARCHITECTURES[which].ia3)
    return _peft(
        which,
        IA3Config(
            task_type=_task(which),
            target_modules=targets,
            feedforward_modules=targets[-1:],
            fan_in_fan_out=which == "gpt2",
        ),
    )


def _prompt(which: str) -> nn.Module:
    return _peft(which, PromptTuningConfig(task_type=_task(which), num_virtual_tokens=3))


def _prefix(*, projection: bool) -> Callable[[str], nn.Module]:
    def build(which: str) -> nn.Module:
        return _peft(
            which,
            PrefixTuningConfig(
                task_type=_task(which),
                num_virtual_tokens=3,
                prefix_projection=projection,
                encoder_hidden_size=5,
            ),
        )

    return build


def _p_tuning(which: str) -> nn.Module:
    return _peft(
        which,
        PromptEncoderConfig(task_type=_task(which), num_virtual_tokens=3, encoder_hidden_size=5),
    )


def _norm_tuning(which: str) -> nn.Module:
    names = list(ARCHITECTURES[which].norms)
    return _peft(which, LNTuningConfig(task_type=_task(which), target_modules=names))


class Bottleneck(nn.Module):
    """x + up(act(down(x))), after Houlsby et al. 2019 and Pfeiffer et al. 2021."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.adapter = nn.Sequential(nn.Linear(width, 3), nn.GELU(), nn.Linear(3, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.adapter(x)


def _bottleneck(which: str) -> nn.Module:
    model = base(which).requires_grad_(requires_grad=False)
    ending = f".{ARCHITECTURES[which].mlp}"
    for path in [path for path, _ in model.named_modules() if path.endswith(ending)]:
        parent, _, own = path.rpartition(".")
        adapted = nn.Sequential(model.get_submodule(path), Bottleneck(16)).double()
        setattr(model.get_submodule(parent), own, adapted)
    return model


def _only(choose: Callable[[str], bool]) -> Callable[[str], nn.Module]:
    """Train the base model's parameters whose names are chosen."""

    def build(which: str) -> nn.Module:
        model = base(which)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(requires_grad=choose(name))
        return model

    return build


def _is_embedding(name: str) -> bool:
    return any(part in name for part in ("embed", "wte", "wpe")) and "Norm" not in name


TYPES: dict[str, Callable[[str], nn.Module]] = {
    "LoRA": _lora(),
    "LoRA with dropout": _lora(dropout=DROPOUT),
    "rank-stabilised LoRA": _lora(use_rslora=True),
    "DoRA": _lora(use_dora=True),
    "DoRA with dropout": _lora(use_dora=True, dropout=DROPOUT),
    "IA3": _ia3,
    "prompt tuning": _prompt,
    "prefix tuning": _prefix(projection=False),
    "prefix tuning, projected": _prefix(projection=True),
    "p-tuning": _p_tuning,
    "bottleneck adapters": _bottleneck,
    "biases": _only(lambda name: name.endswith("bias")),
    "norms": _norm_tuning,
    "classifier head": _head,
    "embeddings": _only(_is_embedding),
    "everything": _only(lambda _: True),
}


def adapted(which: str, peft: str) -> nn.Module:
    """The float64 model in training mode with every trainable parameter away from zero."""
    model = TYPES[peft](which)
    torch.manual_seed(4)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_factor = any(part in name for part in ("norm", "Norm", "ln_", "ia3", "magnitude"))
            nn.init.normal_(parameter, mean=float(is_factor), std=0.3)
    return model.train()


def losses(model: nn.Module, b: Batch) -> Tensor:
    """One loss per example (B,), of the labels or of the next tokens, past any virtual tokens."""
    logits = model(input_ids=b.ids, attention_mask=b.mask).logits[:, -b.ids.shape[1] :]
    if logits.shape[2] == LABELS:
        weights = b.mask.unsqueeze(-1).to(logits.dtype)
        mean = (logits * weights).sum(1) / weights.sum(1)
        return cross_entropy(mean, b.labels, reduction="none")
    each = cross_entropy(logits[:, :-1].transpose(1, 2), b.ids[:, 1:], reduction="none")
    read = b.mask[:, 1:].to(each.dtype)
    return (each * read).sum(1) / read.sum(1)
