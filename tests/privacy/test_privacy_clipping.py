from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import (
    IA3Config,
    PeftModel,
    PromptEncoderConfig,
    TaskType,
    get_peft_model,
    get_peft_model_state_dict,
)
from tiny_peft import (
    BERT_TARGETS,
    LLAMA_TARGETS,
    Batch,
    adapt,
    batch,
    bert,
    bert_lora,
    class_losses,
    gpt2,
    language_losses,
    llama,
    lora,
    one_at_a_time,
    relative_error,
)
from torch import Tensor, nn
from transformers import LlamaForCausalLM, LlamaForTokenClassification

from crypto.errors import ConfigError
from privacy import example_gradients
from privacy.clipping import PerExampleClipper
from privacy.example_pass import ExamplePass

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from privacy.example_rows import Rows

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
EXACT = 1e-11  # in float64; how the last digits round depends on the machine


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


CAUSAL = TaskType.CAUSAL_LM
CASES: dict[str, tuple[Callable[[], PeftModel], Callable[[nn.Module, Batch], Tensor]]] = {
    "bert": (bert_lora, class_losses),
    "bert, LoRA bias, rsLoRA": (
        lambda: adapt(bert(), lora(BERT_TARGETS, lora_bias=True, use_rslora=True)),
        class_losses,
    ),
    "bert, base biases": (
        lambda: adapt(bert(), lora(["query"], bias="lora_only")),
        class_losses,
    ),
    "bert, every bias and LayerNorm": (
        lambda: adapt(bert(), lora(["value"], bias="all")),
        class_losses,
    ),
    "llama, head": (
        lambda: adapt(llama(LlamaForTokenClassification), lora(LLAMA_TARGETS)),
        class_losses,
    ),
    "llama, language": (
        lambda: adapt(llama(LlamaForCausalLM), lora(LLAMA_TARGETS, task=CAUSAL, use_rslora=True)),
        language_losses,
    ),
    "gpt2, every bias": (
        lambda: adapt(gpt2(), lora(["c_attn"], task=CAUSAL, bias="all")),
        language_losses,
    ),
}


def middle_norm(model: nn.Module, losses: Tensor) -> float:
    """A clip that bites for half of the examples."""
    _, norms = one_at_a_time(model, list(losses), 1.0)
    return sorted(norms)[len(norms) // 2] * 0.999


@pytest.mark.parametrize("case", CASES)
def test_it_equals_the_one_example_at_a_time_loop(case: str) -> None:
    build, losses_of = CASES[case]
    model, b = build(), batch()
    singles = [losses_of(model, b.rows(i, i + 1))[0] for i in range(6)]
    clip = middle_norm(model, torch.stack(singles))
    right, norms = one_at_a_time(model, singles, clip)
    assert min(norms) < clip < max(norms)
    clipper = PerExampleClipper(model, clip=clip)
    clipper.accumulate(losses_of(model, b))
    found = clipper.take()
    assert clipper.names == tuple(n for n, p in model.named_parameters() if p.requires_grad)
    assert relative_error(found, right) <= EXACT
    # Without clipping by example, the result is another one by far.
    clipper.accumulate(losses_of(model, b) * 1e-9)
    unclipped = {n: g * 1e9 for n, g in clipper.take().items()}
    assert relative_error(unclipped, right) > 1e-3


@pytest.mark.parametrize("case", CASES)
def test_each_row_is_that_examples_gradient(case: str) -> None:
    build, losses_of = CASES[case]
    model, b = build(), batch()
    clipper = PerExampleClipper(model, clip=1.0)
    rows = clipper.example_gradients(losses_of(model, b))
    for i in range(6):
        alone, (norm,) = one_at_a_time(model, [losses_of(model, b.rows(i, i + 1))[0]], 1e9)
        assert norm > 0
        assert relative_error({n: row[i] for n, row in rows.items()}, alone) <= EXACT


cut_model = cache(bert_lora)


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(1, 11), max_size=6))
def test_any_cut_into_micro_batches_gives_the_same_sum(cuts: set[int]) -> None:
    model, b = cut_model(), batch(12)
    clipper = PerExampleClipper(model, clip=0.5)
    clipper.accumulate(class_losses(model, b))
    whole = clipper.take()
    edges = [0, *sorted(cuts), 12]
    for start, stop in pairwise(edges):
        clipper.accumulate(class_losses(model, b.rows(start, stop)))
    assert relative_error(clipper.take(), whole) <= EXACT
    clipper.detach()


def test_with_dropout_the_rows_add_up_to_the_gradient_of_the_same_pass() -> None:
    model = bert_lora(dropout=0.2)
    clipper = PerExampleClipper(model, clip=1.0)
    losses = class_losses(model, batch())
    plain = clipper.plain_gradient(losses)
    rows = clipper.example_gradients(losses)
    assert relative_error({n: row.sum(0) for n, row in rows.items()}, plain) <= EXACT


def test_nothing_accumulated_gives_zeros_and_take_starts_anew() -> None:
    model = bert_lora()
    clipper = PerExampleClipper(model, clip=1.0)
    clipper.accumulate(class_losses(model, batch(2)))
    assert any(g.abs().max() > 0 for g in clipper.take().values())
    empty = clipper.take()
    assert [g.shape for g in empty.values()] == [model.get_parameter(n).shape for n in empty]
    assert all(g.abs().max() == 0 for g in empty.values())


def test_an_empty_batch_adds_nothing() -> None:
    model = bert_lora()
    clipper = PerExampleClipper(model, clip=1.0)
    clipper.accumulate(torch.zeros(0, dtype=torch.float64))
    clipper.accumulate(torch.zeros(0, dtype=torch.float64, requires_grad=True))
    assert all(g.abs().max() == 0 for g in clipper.take().values())


@pytest.mark.parametrize("shape", [(), (1, 1), (2, 3)])
def test_losses_that_are_not_one_per_example_are_refused(shape: tuple[int, ...]) -> None:
    clipper = PerExampleClipper(bert_lora(), clip=1.0)
    with pytest.raises(ConfigError, match="reduction='none'"):
        clipper.accumulate(torch.zeros(shape, requires_grad=True))


@pytest.mark.parametrize("factor", [1e200, 1e308, float("inf"), float("nan")])
def test_an_example_that_is_not_finite_contributes_exactly_zero(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, b = bert_lora(), batch()
    weights = torch.ones(6, dtype=torch.float64)
    weights[2] = factor
    clipper = PerExampleClipper(model, clip=0.5)
    for part in (b.rows(0, 2), b.rows(3, 6)):
        clipper.accumulate(class_losses(model, part))
    without = clipper.take()
    clipper.accumulate(class_losses(model, b) * weights)
    found = clipper.take()
    assert relative_error(found, without) <= EXACT
    if factor < float("inf"):
        return  # an overflowing square alone makes the factor zero

    def trusting(self: PerExampleClipper, rows: dict[str, Rows], norms: Tensor, _: Tensor) -> None:
        for name, row in rows.items():
            self._sums[name] = row.weighted_sum(0.5 / norms[0].clamp_min(0.5), None)

    monkeypatch.setattr(PerExampleClipper, "_contribute", trusting)
    clipper.accumulate(class_losses(model, b) * weights)
    spoiled = clipper.take()
    assert not all(g.isfinite().all() for g in spoiled.values())


def test_a_loss_that_is_not_finite_is_left_out_even_with_a_finite_gradient() -> None:
    model, b = bert_lora(), batch(2)
    clipper = PerExampleClipper(model, clip=0.5)
    clipper.accumulate(class_losses(model, b.rows(0, 1)))
    without = clipper.take()
    offset = torch.tensor([0.0, float("inf")], dtype=torch.float64)
    clipper.accumulate(class_losses(model, b) + offset)
    assert relative_error(clipper.take(), without) <= EXACT


def contribution_norms(model: nn.Module, clip: float) -> list[float]:
    clipper = PerExampleClipper(model, clip=clip)
    norms = []
    for seed in range(40):
        clipper.accumulate(class_losses(model, batch(1, seed=seed)))
        flat = torch.cat([g.flatten().double() for g in clipper.take().values()])
        norms.append(float(flat.norm()))
    clipper.detach()
    return norms


def test_a_contribution_in_float32_never_exceeds_the_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bert_lora().float()
    clip = 0.1
    norms = contribution_norms(model, clip)
    assert max(norms) <= clip
    assert min(norms) > clip * (1 - 1e-5)

    factors = PerExampleClipper._factors

    def without_margin(
        self: PerExampleClipper, rows: dict[str, Rows], norms: Tensor, usable: Tensor
    ) -> list[Tensor]:
        found = factors(self, rows, norms, usable)
        return [each / (1 - 4 * torch.finfo(torch.float32).eps) for each in found]

    monkeypatch.setattr(PerExampleClipper, "_factors", without_margin)
    assert max(contribution_norms(model, clip)) > clip


def test_one_example_more_moves_the_sum_by_the_clip_at_most() -> None:
    model, b = bert_lora(), batch(8)
    clipper = PerExampleClipper(model, clip=0.05)
    clipper.accumulate(class_losses(model, b.rows(0, 7)))
    before = clipper.take()
    clipper.accumulate(class_losses(model, b))
    moved = torch.cat([(g - before[n]).flatten() for n, g in clipper.take().items()]).norm()
    assert float(moved) == pytest.approx(0.05, rel=1e-9)


def test_the_model_stays_the_callers(tmp_path: Path) -> None:
    twin = adapt(llama(LlamaForCausalLM), lora(LLAMA_TARGETS, task=CAUSAL))
    model = adapt(llama(LlamaForCausalLM), lora(LLAMA_TARGETS, task=CAUSAL))
    hooks = count_hooks(model)
    clipper = PerExampleClipper(model, clip=1.0)
    b = batch()
    clipper.accumulate(language_losses(model, b))
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(language_losses(model, b), language_losses(twin, b))
    states = [get_peft_model_state_dict(m) for m in (model, twin)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[1])
    assert list(states[0]) == list(states[1])
    model.save_pretrained(tmp_path)
    again = PeftModel.from_pretrained(llama(LlamaForCausalLM).double(), tmp_path).double()
    for m in (model, twin, again):
        m.eval()
    one = {"input_ids": b.ids[:1, :4], "max_new_tokens": 3, "do_sample": False}
    outputs = [m.generate(**one) for m in (model, twin, again)]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])
    assert count_hooks(model) == hooks + 2 * len(clipper.names) + 2
    clipper.detach()
    clipper.detach()
    assert count_hooks(model) == hooks
    with pytest.raises(ConfigError, match="detached"):
        clipper.accumulate(language_losses(model, b))


def count_hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_a_backward_pass_of_the_callers_own_is_left_alone() -> None:
    model, b = bert_lora(), batch()
    clipper = PerExampleClipper(model, clip=1.0)
    class_losses(model, b)  # a forward pass that nobody uses
    with torch.no_grad():
        class_losses(model, b)
    class_losses(model, b).sum().backward()
    assert all(g.abs().max() == 0 for g in clipper.take().values())
    expected, _ = one_at_a_time(model, list(class_losses(model, b)), 1.0)
    clipper.accumulate(class_losses(model, b))
    assert relative_error(clipper.take(), expected) <= EXACT


# What cannot be done exactly is refused by name, before a number is added.


class Toy(nn.Module):
    """(B, T, 4) -> (B,) losses through two linear layers; subclasses misuse them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(4, 4, dtype=torch.float64)
        self.last = nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x))).flatten(1).square().mean(1)


def toy_input(size: int = 5, length: int = 3) -> Tensor:
    draw = torch.Generator().manual_seed(9)
    return torch.randn(size, length, 4, dtype=torch.float64, generator=draw)


def toy_error(model: nn.Module, x: Tensor) -> float:
    """The clipper's relative error on a toy model against the loop."""
    right, _ = one_at_a_time(model, [model(x[i : i + 1])[0] for i in range(len(x))], 0.1)
    clipper = PerExampleClipper(model, clip=0.1)
    clipper.accumulate(model(x))
    return relative_error(clipper.take(), right)


class Twice(Toy):
    def forward(self, x: Tensor) -> Tensor:
        inner = torch.tanh(self.first(torch.tanh(self.first(x))))
        return (self.last(inner) + self.last(x)).flatten(1).square().mean(1)


def test_a_layer_that_is_called_twice_adds_up() -> None:
    assert toy_error(Toy(), toy_input()) <= EXACT
    assert toy_error(Twice(), toy_input()) <= EXACT


class Functional(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(nn.functional.linear(x, self.first.weight))


def test_a_parameter_used_outside_its_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"first\.weight is used outside"):
        toy_error(Functional(), toy_input())
    monkeypatch.setattr(ExamplePass, "_check_uses", lambda _, __: None)
    assert toy_error(Functional(), toy_input()) > 1e-2


class TimeFirst(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1)) if len(x) == 1 else self.swapped(x)

    def swapped(self, x: Tensor) -> Tensor:
        inner = torch.tanh(self.first(x.transpose(0, 1)))
        return self.last(inner).squeeze(-1).square().mean(0)


class Flattened(Toy):
    def forward(self, x: Tensor) -> Tensor:
        out = self.last(torch.tanh(self.first(x.flatten(0, 1))))
        return out.view(len(x), -1).square().mean(1)


@pytest.mark.parametrize("kind", [TimeFirst, Flattened])
def test_a_layer_without_the_batch_first(kind: type[Toy]) -> None:
    model = kind()
    clipper = PerExampleClipper(model, clip=1.0)
    with pytest.raises(ConfigError, match=r"last was given an input of shape"):
        clipper.accumulate(model(toy_input()))
    assert all(g.abs().max() == 0 for g in clipper.take().values())


def test_a_refused_batch_leaves_the_clipper_usable() -> None:
    model = Toy()
    right, _ = one_at_a_time(model, list(model(toy_input())), 0.1)
    clipper = PerExampleClipper(model, clip=0.1)
    with pytest.raises(ConfigError):
        clipper.accumulate(model(toy_input()).view(1, 5).expand(2, 5).mean(1))
    clipper.accumulate(model(toy_input()))
    assert relative_error(clipper.take(), right) <= EXACT


class InPlace(Toy):
    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        inner = torch.tanh(self.first(x))
        x.mul_(3)
        return self.last(inner).flatten(1).square().mean(1)


def test_an_input_changed_in_place() -> None:
    model = InPlace()
    clipper = PerExampleClipper(model, clip=1.0)
    with pytest.raises(ConfigError, match="first was changed in place"):
        clipper.accumulate(model(toy_input()))


class OutputInPlace(Toy):
    def forward(self, x: Tensor) -> Tensor:
        inner = self.first(x)
        inner.mul_(2)
        return self.last(nn.functional.relu(inner, inplace=True)).flatten(1).square().mean(1)


def test_an_output_changed_in_place() -> None:
    with pytest.raises(ConfigError, match=r"first\.weight .* changed in place"):
        toy_error(OutputInPlace(), toy_input())


class ByKeyword(Toy):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.first(input=x))


def test_an_input_by_keyword() -> None:
    model = ByKeyword()
    PerExampleClipper(model, clip=1.0)
    with pytest.raises(ConfigError, match="first was given its input by keyword"):
        model(toy_input())


def test_one_parameter_in_two_layers_is_exact_and_two_on_one_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = Tied()
    assert toy_error(model, toy_input()) <= EXACT
    model.second.weight = nn.Parameter(model.first.weight.detach().view(4, 4))
    with pytest.raises(ConfigError, match=r"first\.weight shares its memory with second\.weight"):
        PerExampleClipper(model, clip=1.0)
    monkeypatch.setattr(example_gradients, "_refuse_shared", lambda _: None)
    PerExampleClipper(model, clip=1.0)


class Tied(Toy):
    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Linear(4, 4, dtype=torch.float64)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.tanh(self.second(x)))


def trained_embedding() -> nn.Module:
    return get_peft_model(
        llama(LlamaForCausalLM), lora(["q_proj", "embed_tokens"], task=TaskType.CAUSAL_LM)
    )


def p_tuned_with_an_lstm() -> nn.Module:
    config = PromptEncoderConfig(
        task_type=CAUSAL,
        num_virtual_tokens=2,
        encoder_reparameterization_type="LSTM",
        encoder_hidden_size=4,
        encoder_num_layers=1,
        encoder_dropout=0.0,
    )
    return get_peft_model(llama(LlamaForCausalLM), config)


def twice_ia3() -> nn.Module:
    config = IA3Config(target_modules=["query"], feedforward_modules=[])
    model = get_peft_model(bert(), config)
    model.add_adapter("second", config)
    return model


def own_kind_of_linear() -> nn.Module:
    class Scaled(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
            return 2 * super().forward(input)

    return nn.Sequential(Scaled(4, 1))


@pytest.mark.parametrize(
    ("build", "name"),
    [
        (p_tuned_with_an_lstm, r"lstm_head\.weight_ih_l0 lies in a LSTM"),
        (twice_ia3, "query holds 2 IA3 vectors"),
        (trained_embedding, "lora_embedding_A.default lies in a Embedding"),
        (lambda: nn.MultiheadAttention(4, 2), "in_proj_weight"),
        (lambda: nn.Sequential(nn.Conv2d(1, 1, 3)), r"0\.weight lies in a Conv2d"),
        (own_kind_of_linear, r"0\.weight lies in a Scaled"),
    ],
)
def test_unsupported_parameters_are_refused_by_name(
    build: Callable[[], nn.Module], name: str
) -> None:
    with pytest.raises(ConfigError, match=name):
        PerExampleClipper(build(), clip=1.0)


def test_dora_with_frozen_magnitudes_is_exact() -> None:
    """PEFT detaches the norm, so A and B are ordinary layers once the magnitudes rest."""
    model = adapt(bert(), lora(["query"], use_dora=True))
    for name, parameter in model.named_parameters():
        if "magnitude" in name:
            parameter.requires_grad_(requires_grad=False)
    b = batch()
    right, _ = one_at_a_time(model, list(class_losses(model, b)), 0.5)
    clipper = PerExampleClipper(model, clip=0.5)
    clipper.accumulate(class_losses(model, b))
    assert relative_error(clipper.take(), right) <= EXACT


def test_batch_norm_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="1 is a BatchNorm1d"):
        PerExampleClipper(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), clip=1.0)


def test_nothing_to_train() -> None:
    model = Toy().requires_grad_(requires_grad=False)
    with pytest.raises(ConfigError, match="no trainable parameter"):
        PerExampleClipper(model, clip=1.0)


def test_losses_that_do_not_reach_the_adapter() -> None:
    model = bert_lora()
    clipper = PerExampleClipper(model, clip=1.0)
    with torch.no_grad():
        losses = class_losses(model, batch())
    with model.disable_adapter():
        elsewhere = torch.zeros(6, requires_grad=True)
    for bad in (losses, elsewhere, elsewhere * 2):
        with pytest.raises(ConfigError, match="do not depend on any trainable"):
            clipper.accumulate(bad)


def test_parameters_thawed_or_frozen_later() -> None:
    model = bert_lora()
    clipper = PerExampleClipper(model, clip=1.0)
    model.base_model.model.bert.embeddings.LayerNorm.weight.requires_grad_()
    with pytest.raises(ConfigError, match="changed after"):
        clipper.accumulate(class_losses(model, batch()))


@pytest.mark.parametrize("clip", [0.0, -1.0, float("nan"), float("inf")])
def test_a_clip_that_bounds_nothing(clip: float) -> None:
    with pytest.raises(ConfigError, match="bounds nothing"):
        PerExampleClipper(Toy(), clip=clip)


def test_a_clipper_may_follow_another() -> None:
    model, b = bert_lora(), batch()
    first = PerExampleClipper(model, clip=0.5)
    first.accumulate(class_losses(model, b))
    kept = first.take()
    first.detach()
    second = PerExampleClipper(model, clip=0.5)
    second.accumulate(class_losses(model, b))
    assert relative_error(second.take(), kept) <= EXACT
