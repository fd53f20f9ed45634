"""Per-example clipping on layers small enough to write every number down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.example_rows import DenseRows, flattened

if TYPE_CHECKING:
    from collections.abc import Callable


def linear(inputs: int = 3, outputs: int = 2, dtype: torch.dtype = torch.float64) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=False, dtype=dtype)


def examples(size: int = 4, width: int = 3, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.arange(1.0, size * width + 1).reshape(size, width).to(dtype) / 8


class Two(nn.Module):
    """Two layers, of which `forward` uses the first."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = linear(), linear()

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_a_parameter_that_nothing_reaches_has_gradient_zero_everywhere() -> None:
    model, x = Two(), examples()
    clipper = PerExampleClipper(model, clip=1.0)
    rows = clipper.example_gradients(model(x).sum(1))
    assert torch.equal(rows["used.weight"], x.unsqueeze(1).expand(4, 2, 3))
    assert torch.equal(rows["unused.weight"], torch.zeros(4, 2, 3, dtype=torch.float64))
    plain = clipper.plain_gradient(model(x).sum(1))
    assert torch.equal(plain["used.weight"], x.sum(0).expand(2, 3))
    assert torch.equal(plain["unused.weight"], torch.zeros(2, 3, dtype=torch.float64))


def test_a_batch_of_nobody_has_rows_of_nobody() -> None:
    model = linear()
    clipper = PerExampleClipper(model, clip=1.0)
    rows = clipper.example_gradients(model(examples(0)).sum(1))
    assert rows["weight"].shape == (0, 2, 3)


def test_the_plain_gradient_asks_for_one_loss_per_example_too() -> None:
    model = linear()
    clipper = PerExampleClipper(model, clip=1.0)
    with pytest.raises(ConfigError, match="one number per example"):
        clipper.plain_gradient(model(examples()))


def test_half_precision_is_summed_in_single() -> None:
    model = linear(1, 1, torch.bfloat16)
    clipper = PerExampleClipper(model, clip=1e9)
    x = torch.full((257, 1), 1.0, dtype=torch.bfloat16)
    clipper.accumulate(model(x).sum(1))
    total = clipper.take()["weight"]
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(257, rel=1e-5)  # bfloat16 has no 257: it would give 256


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_factor_is_the_clip_over_the_norm_and_the_stated_margin_less(
    dtype: torch.dtype,
) -> None:
    model, x = linear(3, 1, dtype), examples(dtype=dtype)
    clipper = PerExampleClipper(model, clip=0.25)
    rows = {n: DenseRows(row) for n, row in clipper.example_gradients(model(x).sum(1)).items()}
    found = clipper._norms(rows)
    (factors,) = clipper._factors(rows, found, found[0].isfinite())
    norms = x.to(torch.float64).norm(dim=1)
    margin = 4 * torch.finfo(dtype).eps + 2.0**-44
    right = 0.25 / norms.clamp_min(0.25) * (1 - margin)
    assert ((factors - right).abs() <= 4e-16 * right).all()


def test_a_pass_without_gradients_is_not_looked_at() -> None:
    model, x = linear(), examples()
    PerExampleClipper(model, clip=1.0)
    with torch.no_grad():
        assert torch.equal(model(input=x), x @ model.weight.T)
    with pytest.raises(ConfigError, match="by keyword"):
        model(input=x)


def test_a_hook_that_was_there_before_sees_its_own_output() -> None:
    model, x = linear(), examples()
    model.register_forward_hook(lambda _, __, output: output * 2)
    clipper = PerExampleClipper(model, clip=1e9)
    rows = clipper.example_gradients(model(x).sum(1))
    assert torch.equal(rows["weight"], 2 * x.unsqueeze(1).expand(4, 2, 3))


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 3), (3, 4)])
def test_neither_side_of_a_layer_may_lack_the_batch(inputs: int, outputs: int) -> None:
    """One long row goes in or comes out, as long as the batch: it holds no examples."""
    model = linear(inputs, outputs)
    clipper = PerExampleClipper(model, clip=1.0)
    losses = model(examples(1, inputs)[0]).sum() * torch.ones(4, dtype=torch.float64)
    with pytest.raises(ConfigError, match="in a batch of 4"):
        clipper.accumulate(losses)


class Outside(nn.Module):
    """Uses its layer's weight a second time when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.outside = linear(), False

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x)
        return out + x @ self.layer.weight.T if self.outside else out


def test_the_uses_of_one_pass_are_counted_apart_from_those_of_the_last() -> None:
    model, x = Outside(), examples()
    clipper = PerExampleClipper(model, clip=1.0)
    clipper.accumulate(model(x).sum(1))
    model.outside = True
    with pytest.raises(ConfigError, match="outside its own layer"):
        clipper.accumulate(model(x).sum(1))


CUBE = torch.arange(24.0).reshape(2, 3, 4)
LAYOUTS: dict[str, tuple[Tensor, bool]] = {
    "in order": (CUBE, False),
    "transposed": (CUBE.mT, True),
    "in neither order": (CUBE[:, ::2, ::2], False),
    "in both orders": (torch.zeros(2, 1, 4), False),
    "a matrix by columns": (torch.arange(6.0).reshape(3, 2).T, False),
    "four sides, transposed": (torch.arange(48.0).reshape(2, 2, 3, 4).mT, False),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_are_flattened_in_the_order_of_their_memory(layout: str) -> None:
    row, is_turned = LAYOUTS[layout]
    flat, turned = flattened(row)
    assert turned is is_turned
    assert torch.equal(flat, torch.stack([(each.mT if turned else each).flatten() for each in row]))
    if turned:
        assert flat.data_ptr() == row.data_ptr()  # nothing was copied


LEFT_OUT: dict[str, Callable[[Tensor], Tensor]] = {
    "an infinite gradient": lambda losses: losses * torch.tensor([1.0, torch.inf, 1.0, 1.0]),
    "a loss that is no number": lambda losses: losses + torch.tensor([0.0, torch.nan, 0.0, 0.0]),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_an_unusable_example_is_zero_among_the_others(case: str) -> None:
    model, x = linear(), examples()
    clipper = PerExampleClipper(model, clip=1e9)
    clipper.accumulate(LEFT_OUT[case](model(x).sum(1)))
    right = (x.sum(0) - x[1]).expand(2, 3)
    assert torch.allclose(clipper.take()["weight"], right, rtol=1e-12)
