"""Per-example clipping in bf16, under autocast, and over a frozen quantised base."""

from __future__ import annotations

import importlib
import importlib.util

import pytest
import torch
from peft import TaskType, get_peft_model
from test_privacy_clipping import Toy, toy_input
from tiny_peft import (
    LLAMA_TARGETS,
    Batch,
    batch,
    bert,
    llama,
    lora,
    one_at_a_time,
    relative_error,
)
from tiny_types import ARCHITECTURES, adapted, losses
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.dp_step import check_examples_do_not_mix

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type .*Norm:UserWarning"),  # PEFT's
]
COARSE = 2.0**-5  # bf16 rounds to 2^-9 of a number; some hundred roundings follow on each other
TYPES = ["LoRA", "DoRA", "IA3", "prompt tuning", "prefix tuning, projected", "norms", "everything"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def autograd_rows(model: nn.Module, each: Tensor) -> dict[str, Tensor]:
    """Each example's gradient (B, *shape) as autograd gives it in the same pass."""
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    rows = [
        torch.autograd.grad(loss, list(named.values()), retain_graph=True, materialize_grads=True)
        for loss in each
    ]
    return dict(zip(named, map(torch.stack, zip(*rows, strict=True)), strict=True))


def flat_rows(rows: dict[str, Tensor]) -> Tensor:
    return torch.cat([row.flatten(1).double() for row in rows.values()], dim=1)


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "inside"])
@pytest.mark.parametrize("which", ARCHITECTURES)
@pytest.mark.parametrize("peft", TYPES)
def test_under_autocast_rows_are_autograds_own_to_its_rounding(
    peft: str, which: str, *, inside: bool
) -> None:
    model, b = adapted(which, peft).float(), batch(4)
    clipper = PerExampleClipper(model, clip=1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        each = losses(model, b)
        right = flat_rows(autograd_rows(model, each))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
        rows = clipper.example_gradients(each)
    assert all(row.dtype == torch.float32 for row in rows.values())
    found = flat_rows(rows)
    assert ((found - right).norm(dim=1) <= COARSE * right.norm(dim=1)).all()


def test_inside_of_autocast_nothing_is_summed_or_measured_in_bf16() -> None:
    """A product of factors and rows would be, as would that of factored rows."""
    for peft in ("LoRA", "everything"):
        model, b = adapted("bert", peft).float(), batch(4)
        clipper = PerExampleClipper(model, clip=0.1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = flat_rows(clipper.example_gradients(losses(model, b)))
        for inside in (False, True):
            for owners in (None, torch.tensor([0, 0, 1, 1])):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    each = losses(model, b)
                with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
                    clipper.accumulate(each, owners=owners)
                    found = torch.cat([part.flatten() for part in clipper.take().values()])
                units = rows if owners is None else rows.unflatten(0, (2, 2)).sum(1)
                right = (units * (0.1 / units.norm(dim=1, keepdim=True)).clamp_max(1)).sum(0)
                assert float((found - right).norm()) <= 1e-5 * float(right.norm())
        assert clipper.rounding == 2.0**-7


@pytest.mark.parametrize("which", ARCHITECTURES)
@pytest.mark.parametrize("peft", TYPES)
def test_with_bf16_weights_no_contribution_exceeds_the_clip(peft: str, which: str) -> None:
    model, b = adapted(which, peft).to(torch.bfloat16), batch(4)
    right = autograd_rows(model, losses(model, b))
    clip = 0.5 * float(flat_rows(right).norm(dim=1).min())
    clipper = PerExampleClipper(model, clip=clip)
    rows = clipper.example_gradients(losses(model, b))
    assert list(rows) == list(right)
    apart = (flat_rows(rows) - flat_rows(right)).norm(dim=1)
    assert (apart <= COARSE * flat_rows(right).norm(dim=1)).all()
    for i in range(4):
        clipper.accumulate(losses(model, b.rows(i, i + 1)))
        found = clipper.take()
        assert all(part.dtype == torch.float32 for part in found.values())
        norm = float(torch.cat([part.double().flatten() for part in found.values()]).norm())
        assert clip * (1 - 1e-2) < norm <= clip


def test_the_startup_check_holds_under_autocast() -> None:
    model, one, other = adapted("llama", "LoRA with dropout").float(), batch(4), batch(4, seed=1)
    clipper = PerExampleClipper(model, clip=1.0)
    ids = one.ids.clone()
    ids[2] = other.ids[2]

    def cast_losses(b: Batch) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return losses(model, b)

    check_examples_do_not_mix(clipper, cast_losses, one, Batch(ids, one.mask, one.labels), row=2)


class WeightTwice(Toy):
    """Reads its first weight a second time: under autocast, the one cast of it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + nn.functional.linear(x, self.first.weight).square().mean((1, 2))


class LayerTwice(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.tanh(self.first(x)))


def test_uses_are_counted_where_autocast_shares_one_cast() -> None:
    x = toy_input().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        twice, layer_twice = WeightTwice().float(), LayerTwice().float()
        clippers = [PerExampleClipper(model, clip=1.0) for model in (twice, layer_twice)]
        with pytest.raises(ConfigError, match=r"first\.weight is used outside"):
            clippers[0].accumulate(twice(x).float())
        clippers[1].accumulate(layer_twice(x).float())


class Int8Linear(nn.Linear):
    """A frozen layer that holds 8-bit weights and dequantises them when it runs."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__(source.in_features, source.out_features, bias=source.bias is not None)
        self.bias = source.bias
        scale = source.weight.detach().abs().amax(1, keepdim=True) / 127
        self.register_buffer("scale", scale)
        self.register_buffer("whole", (source.weight.detach() / scale).round().to(torch.int8))
        self.weight = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        weight = self.whole.to(input.dtype) * self.scale.to(input.dtype)
        return nn.functional.linear(input, weight, self.bias)


def test_a_frozen_quantised_base_is_left_alone_and_the_adapter_is_exact() -> None:
    """Only trainable layers are looked at; what a frozen one computes is its own affair."""
    model = bert()
    for layer in model.bert.encoder.layer:
        attention = layer.attention.self
        attention.query, attention.value = Int8Linear(attention.query), Int8Linear(attention.value)
    model = get_peft_model(model, lora(["query", "value"])).double().train()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
        assert "whole" not in name
    b = batch(4)
    singles = [losses(model, b.rows(i, i + 1))[0] for i in range(4)]
    _, norms = one_at_a_time(model, singles, 1.0)
    clip = sorted(norms)[2] * 0.999
    right, _ = one_at_a_time(model, singles, clip)
    clipper = PerExampleClipper(model, clip=clip)
    before = model.base_model.model.bert.encoder.layer[0].attention.self.query.base_layer
    assert not before._forward_hooks
    assert not before._forward_pre_hooks
    clipper.accumulate(losses(model, b))
    assert relative_error(clipper.take(), right) <= 1e-12
    assert before.whole.dtype == torch.int8


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
@pytest.mark.parametrize("bits", [4, 8])
def test_a_real_quantised_base(bits: int) -> None:
    model = get_peft_model(quantised_llama(bits), lora(LLAMA_TARGETS, task=TaskType.CAUSAL_LM))
    model.train()
    clipper = PerExampleClipper(model, clip=1.0)
    each = losses(model, batch(4))
    rows, right = clipper.example_gradients(each), autograd_rows(model, losses(model, batch(4)))
    apart = (flat_rows(rows) - flat_rows(right)).norm(dim=1)
    assert (apart <= COARSE * flat_rows(right).norm(dim=1)).all()


def quantised_llama(bits: int) -> nn.Module:
    """A tiny Llama whose linear layers are those of bitsandbytes."""
    library = importlib.import_module("bitsandbytes")
    kind = library.nn.Linear4bit if bits == 4 else library.nn.Linear8bitLt
    model = llama(LlamaForCausalLM)
    for path, layer in list(model.named_modules()):
        if isinstance(layer, nn.Linear) and path.rpartition(".")[2] in LLAMA_TARGETS:
            parent = model.get_submodule(path.rpartition(".")[0])
            quantised = kind(layer.in_features, layer.out_features, bias=False)
            quantised.load_state_dict(layer.state_dict())
            setattr(parent, path.rpartition(".")[2], quantised)
    return model
