"""Random tiny PEFT models in float64, their batches, and the slow way to clip."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import (
    BertConfig,
    BertForTokenClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForTokenClassification,
)

LABELS = 3
WORDS = 50
BERT_TARGETS = ["query", "key", "value", "attention.output.dense", "intermediate.dense"]
LLAMA_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@dataclass(frozen=True)
class Batch:
    """Token numbers, attention mask (both (B, T)) and labels (B,)."""

    ids: Tensor
    mask: Tensor
    labels: Tensor

    def rows(self, start: int, stop: int) -> Batch:
        part = slice(start, stop)
        return Batch(self.ids[part], self.mask[part], self.labels[part])


def batch(size: int = 6, length: int = 7, seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    mask = torch.ones(size, length, dtype=torch.long)
    for row in range(size):
        mask[row, length - row % 4 :] = 0
    ids = torch.randint(1, WORDS, (size, length), generator=draw)
    labels = torch.randint(0, LABELS, (size,), generator=draw)
    return Batch(ids * mask, mask, labels)


def bert(dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(1)
    return BertForTokenClassification(
        BertConfig(
            vocab_size=WORDS,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=16,
            num_labels=LABELS,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )
    )


def llama(kind: type[LlamaForTokenClassification | LlamaForCausalLM]) -> nn.Module:
    torch.manual_seed(2)
    config = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        num_labels=LABELS,
        pad_token_id=0,
        classifier_dropout=0.0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return kind(config)


def gpt2() -> nn.Module:
    torch.manual_seed(3)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=WORDS,
            n_embd=16,
            n_layer=2,
            n_head=2,
            n_positions=16,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def lora(  # noqa: PLR0913 - the options of LoRA that change what is trained
    targets: list[str],
    *,
    task: TaskType = TaskType.TOKEN_CLS,
    bias: str = "none",
    lora_bias: bool = False,
    use_rslora: bool = False,
    use_dora: bool = False,
    dropout: float = 0.0,
) -> LoraConfig:
    return LoraConfig(
        task_type=task,
        r=3,
        lora_alpha=6,
        target_modules=targets,
        bias=bias,
        lora_bias=lora_bias,
        use_rslora=use_rslora,
        use_dora=use_dora,
        lora_dropout=dropout,
        fan_in_fan_out="c_attn" in targets,
    )


def adapt(model: nn.Module, config: LoraConfig) -> PeftModel:
    """Return the float64 PEFT model with every trainable parameter away from zero."""
    adapted = get_peft_model(model, config).double()
    torch.manual_seed(4)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    return adapted.train()


def bert_lora(dropout: float = 0.0) -> PeftModel:
    return adapt(bert(dropout), lora(BERT_TARGETS, dropout=dropout))


def class_losses(model: nn.Module, b: Batch) -> Tensor:
    """One loss per example: the masked mean of the tokens' logits against the label."""
    logits = model(input_ids=b.ids, attention_mask=b.mask).logits
    weights = b.mask.unsqueeze(-1).to(logits.dtype)
    mean = (logits * weights).sum(1) / weights.sum(1)
    return cross_entropy(mean, b.labels, reduction="none")


def language_losses(model: nn.Module, b: Batch) -> Tensor:
    """One loss per example: the mean of the next tokens' negative log likelihoods."""
    logits = model(input_ids=b.ids, attention_mask=b.mask).logits[:, :-1]
    each = cross_entropy(logits.transpose(1, 2), b.ids[:, 1:], reduction="none")
    weights = b.mask[:, 1:].to(each.dtype)
    return (each * weights).sum(1) / weights.sum(1)


def one_at_a_time(
    model: nn.Module, losses: list[Tensor], clip: float
) -> tuple[dict[str, Tensor], list[float]]:
    """The slow twin: one autograd call per loss (scalar), then clip as one flat row."""
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    total = {n: torch.zeros_like(p) for n, p in named.items()}
    norms = []
    for loss in losses:
        grads = torch.autograd.grad(
            loss, list(named.values()), retain_graph=True, materialize_grads=True
        )
        norm = sum(float((g.double() ** 2).sum()) for g in grads) ** 0.5
        norms.append(norm)
        for name, g in zip(named, grads, strict=True):
            total[name] += min(1.0, clip / norm) * g
    return total, norms


def relative_error(found: dict[str, Tensor], right: dict[str, Tensor]) -> float:
    """Return the largest error of any array, relative to that array's own norm.

    Arrays whose gradient is zero but for rounding (the key's bias, since softmax ignores shifts)
    are held against a thousandth of the whole gradient.
    """
    assert list(found) == list(right)
    floor = 1e-3 * float(torch.cat([g.flatten() for g in right.values()]).norm())
    return max(
        float((found[n] - right[n]).norm()) / max(float(right[n].norm()), floor) for n in right
    )
