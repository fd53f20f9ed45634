"""Layers that are known by what they do, and what is known of embeddings, prompts and vectors."""

from __future__ import annotations

import pytest
import torch
from peft import IA3Config, PromptTuningConfig, TaskType, get_peft_model
from tiny_peft import batch, bert, class_losses, llama, one_at_a_time, relative_error
from tiny_types import adapted, losses
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import LlamaForCausalLM
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.example_gradients import Kind, Layer, slope_of, trainable_layers
from privacy.example_taps import _Spread

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)
EXACT = 1e-12


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def rows_error(model: nn.Module, *inputs: Tensor) -> float:
    """How far the rows of `model`, whose output is squared, are from autograd's own."""
    clipper = PerExampleClipper(model, clip=1.0)
    each = model(*inputs).flatten(1).square().sum(1)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    right = [torch.autograd.grad(loss, [*named.values()], retain_graph=True) for loss in each]
    rows = clipper.example_gradients(each)
    clipper.detach()
    return max(
        float((row[i].double() - right[i][n].double()).norm() / right[i][n].double().norm())
        for n, row in enumerate(rows.values())
        for i in range(len(each))
    )


def with_weight(norm: nn.Module) -> nn.Module:
    nn.init.normal_(norm.weight, mean=1.0, std=0.3)
    return norm


# Norms, known by what they do.


class OfTwo(nn.Module):
    """A norm whose weight is a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.RMSNorm((3, 4))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


NORMS = {
    "torch": lambda: nn.RMSNorm(4),
    "llama": lambda: LlamaRMSNorm(4),
    "gemma": lambda: GemmaRMSNorm(4),  # its factor is 1 + weight
    "t5": lambda: T5LayerNorm(4),
}


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("shape", [(5, 4), (5, 3, 4), (5, 2, 3, 4)])
def test_any_norm_that_only_scales_is_exact(kind: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = with_weight(NORMS[kind]()).double()
    (layer,) = trainable_layers(norm)
    assert layer.kind is Kind.SCALE
    # Gemma's own arithmetic is in single precision.
    assert rows_error(norm, drawn(*shape)) <= (2e-7 if kind == "gemma" else EXACT)
    half = with_weight(NORMS[kind]()).to(torch.bfloat16)
    assert rows_error(half, drawn(*shape).to(torch.bfloat16)) <= 2.0**-6


def test_a_norm_over_two_dimensions_is_exact() -> None:
    assert rows_error(OfTwo().double(), drawn(5, 3, 4)) <= EXACT
    assert rows_error(OfTwo().double(), drawn(5, 2, 3, 4)) <= EXACT


class OwnNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class SquaredNorm(OwnNorm):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.square()


class MixedNorm(OwnNorm):
    """Linear in its weight, but not number by number."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight.flip(0)


class ShortNorm(OwnNorm):
    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight)[..., :1]


class BiasedNorm(OwnNorm):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.ones(4))


class RememberingNorm(OwnNorm):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))


class NestedNorm(OwnNorm):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Identity()


class Scaling(OwnNorm):
    """It does what a norm may do, and is not called one."""


def test_a_norm_of_ones_own_is_known() -> None:
    assert rows_error(OwnNorm().double(), drawn(5, 3, 4)) <= EXACT


@pytest.mark.parametrize(
    "kind", [SquaredNorm, MixedNorm, ShortNorm, BiasedNorm, RememberingNorm, NestedNorm, Scaling]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_not_surely_such_a_norm_is_refused(
    kind: type[nn.Module], dtype: torch.dtype
) -> None:
    with pytest.raises(ConfigError, match=rf"^weight lies in a {kind.__name__}, for which"):
        PerExampleClipper(kind().to(dtype), clip=1.0)


def test_a_layer_norms_own_are_tapped_at_the_input() -> None:
    (layer,) = trainable_layers(nn.LayerNorm(4))
    assert layer.kind is Kind.INPUT
    assert layer.parameters == {"weight": "weight", "bias": "bias"}


def test_the_slope_is_what_the_output_changes_by_per_unit() -> None:
    norm = with_weight(nn.RMSNorm(4)).double()
    x = drawn(2, 4) + 3.0

    def replay(parameters: dict[str, Tensor]) -> Tensor:
        return x * parameters["weight"] + 7.0

    assert torch.equal(slope_of(norm, replay), (x * 1024 + 7.0 - 7.0) / 1024)


# Embeddings.


class Embedded(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words = nn.Embedding(7, 3, **options)

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids) + 1.0


IDS = torch.tensor([[1, 2, 1, 0], [3, 3, 3, 3], [0, 0, 0, 6]])


@pytest.mark.parametrize("padding", [None, 0, 3])
def test_embeddings_are_exact_and_padding_has_no_gradient(padding: int | None) -> None:
    model = Embedded(padding_idx=padding).double()
    clipper = PerExampleClipper(model, clip=1.0)
    rows = clipper.example_gradients(model(IDS).flatten(1).square().sum(1))["words.weight"]
    right = torch.zeros(3, 7, 3, dtype=torch.float64)
    for i, ids in enumerate(IDS.tolist()):
        for word in ids:
            if word != padding:
                right[i, word] += 2 * (model.words.weight[word].detach() + 1.0)
    assert torch.allclose(rows, right, rtol=EXACT)
    one = clipper.example_gradients(model(IDS[:, 0]).square().sum(1))["words.weight"]
    assert one.shape == (3, 7, 3)
    cube = IDS.view(3, 2, 2)
    again = clipper.example_gradients(model(cube).flatten(1).square().sum(1))["words.weight"]
    assert torch.allclose(again, right, rtol=EXACT)


@pytest.mark.parametrize(
    ("setting", "value"), [("max_norm", 1.0), ("scale_grad_by_freq", True), ("sparse", True)]
)
def test_an_embedding_that_reads_the_whole_batch_is_refused(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"words is an Embedding with {setting}, which"):
        PerExampleClipper(Embedded(**{setting: value}), clip=1.0)


class Placed(Embedded):
    """Adds positions that all examples share: token numbers (1, T)."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(5, 3)

    def forward(self, ids: Tensor, _: Tensor | None = None) -> Tensor:
        return self.words(ids) * self.places(torch.arange(ids.shape[1]).unsqueeze(0))

    def elsewhere(self, ids: Tensor) -> Tensor:
        return Placed.forward(self, ids)


def test_positions_that_the_batch_shares_are_exact() -> None:
    model = Placed().double()
    assert rows_error(model, IDS) <= EXACT
    assert rows_error(model, IDS[:1]) <= EXACT
    assert rows_error(model, IDS, IDS[:, :2]) <= EXACT  # another input of as many examples
    assert rows_error(model, IDS, torch.tensor(3.0)) <= EXACT  # and a number for all


def test_positions_are_refused_where_the_batchs_size_is_not_known() -> None:
    model = Placed().double()
    clipper = PerExampleClipper(model, clip=1.0)
    unclear = model(IDS, torch.zeros(5, 2)).flatten(1).square().sum(1)
    with pytest.raises(
        ConfigError, match=r"places was given an input of shape \(1, 4\) in a batch"
    ):
        clipper.accumulate(unclear)
    with pytest.raises(ConfigError, match="places was given an input"):
        clipper.accumulate(model.elsewhere(IDS).flatten(1).square().sum(1))
    assert float(clipper.take()["words.weight"].abs().max()) == 0


# Prompts.


def prompted() -> nn.Module:
    config = PromptTuningConfig(task_type=TaskType.CAUSAL_LM, num_virtual_tokens=2)
    return get_peft_model(llama(LlamaForCausalLM).double(), config).double().train()


def test_a_prompt_is_one_per_example_within_a_pass_alone() -> None:
    model, b = prompted(), batch(3)
    clipper = PerExampleClipper(model, clip=1.0)
    seen: list[Tensor] = []
    encoder = model.prompt_encoder["default"]
    encoder.register_forward_hook(lambda _, __, output: seen.append(output))
    losses(model, b)
    assert type(seen[0]) is _Spread
    assert seen[0].shape == (3, 2, 16)
    model.get_prompt(batch_size=3)  # outside of a pass, as when it is saved
    with torch.no_grad():
        losses(model, b)
    clipper.detach()
    losses(model, b)
    assert [type(prompt) for prompt in seen[1:]] == [Tensor] * 3
    assert [len(prompt) for prompt in seen[1:]] == [1, 1, 1]


def test_a_prompt_that_is_spread_can_be_repeated_as_peft_does_and_not_otherwise() -> None:
    prompt = drawn(3, 2, 4).requires_grad_()
    spread = prompt.as_subclass(_Spread)
    repeated = spread.repeat(3, 1, 1)
    assert type(repeated) is Tensor
    assert torch.equal(repeated, prompt)
    assert type(spread + 1) is Tensor
    for times in ((2, 1, 1), (3, 2, 1), (3, 1, 2), (1, 3, 1, 1)):
        with pytest.raises(ConfigError, match="A prompt was repeated"):
            spread.repeat(*times)


# IA3's vectors.


def ia3(feedforward: list[str]) -> nn.Module:
    config = IA3Config(
        task_type=TaskType.TOKEN_CLS,
        target_modules=["key", "output.dense"],
        feedforward_modules=feedforward,
        modules_to_save=["classifier"],
    )
    model = get_peft_model(bert(), config).double().train()
    for name, parameter in model.named_parameters():
        if "ia3" in name:
            nn.init.normal_(parameter, mean=1.0, std=0.3)
    return model


@pytest.mark.parametrize("feedforward", [[], ["output.dense"]])
def test_a_vector_that_is_merged_or_off_gets_no_gradient(feedforward: list[str]) -> None:
    model, b = ia3(feedforward), batch(3)
    clipper = PerExampleClipper(model, clip=1e9)
    with torch.no_grad():
        class_losses(model, b)
    for turn in ("merge_adapter", "unmerge_adapter"):
        if turn == "unmerge_adapter":
            for m in model.modules():
                if hasattr(m, "ia3_l"):
                    m._disable_adapters = True
            with pytest.warns(UserWarning, match="Unmerge"):
                class_losses(model, b)
        else:
            model.merge_adapter()
        clipper.accumulate(class_losses(model, b))
        found = clipper.take()
        assert all((float(g.abs().max()) == 0) is ("ia3" in n) for n, g in found.items())


@pytest.mark.parametrize("feedforward", [[], ["output.dense"], ["key", "output.dense"]])
def test_vectors_before_and_after_their_layer_are_exact(feedforward: list[str]) -> None:
    model, b = ia3(feedforward), batch(3)
    right, _ = one_at_a_time(model, list(class_losses(model, b)), 0.3)
    clipper = PerExampleClipper(model, clip=0.3)
    clipper.accumulate(class_losses(model, b))
    assert relative_error(clipper.take(), right) <= EXACT


@pytest.mark.parametrize("feedforward", [[], ["output.dense"]])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_that_a_vector_multiplied_outlives_its_pass(
    feedforward: list[str],
    training: bool,  # noqa: FBT001 - pytest's
) -> None:
    model, b = ia3(feedforward), batch(3)
    PerExampleClipper(model, clip=0.3)
    kept: list[StorageWeakRef] = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kept.extend(StorageWeakRef(part.untyped_storage()) for part in (*inputs, output))

    for module in model.modules():
        if hasattr(module, "ia3_l"):
            module.base_layer.register_forward_hook(look)
            module.register_forward_pre_hook(lambda m, inputs: look(m, inputs, inputs[0]))
    with torch.set_grad_enabled(training):
        class_losses(model, b)
    assert kept
    assert all(part.expired() for part in kept)


# Which layers there are.


def test_layers_are_named_by_path_and_parameters_by_their_first_place() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2, bias=False), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[2].weight.requires_grad_(requires_grad=False)
    layers = trainable_layers(model)
    assert [(layer.name, dict(layer.parameters)) for layer in layers] == [
        ("0", {"weight": "0.weight", "bias": "0.bias"}),
        ("1", {"weight": "0.weight"}),
        ("2", {"bias": "2.bias"}),
    ]


def test_formulas_refuse_layers_that_are_not_theirs() -> None:
    wrong = nn.Linear(2, 2)
    x = drawn(1, 2)
    for kind in (nn.Embedding(2, 2), nn.LayerNorm(2)):
        (layer,) = trainable_layers(kind)
        for own_name, full_name in layer.parameters.items():
            mistaken = Layer("", type(kind).__new__(type(kind)), layer.kind, {own_name: full_name})
            mistaken.module.__dict__.update(wrong.__dict__)
            with pytest.raises((TypeError, AttributeError)):
                mistaken.example_gradients(x, x)


def test_everything_of_a_dora_is_found() -> None:
    model = adapted("bert", "DoRA")
    kinds = {layer.kind for layer in trainable_layers(model)}
    assert kinds == {Kind.INPUT, Kind.SCALE}
