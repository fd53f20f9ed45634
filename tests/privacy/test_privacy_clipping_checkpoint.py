"""Per-example clipping under gradient (activation) checkpointing, of both kinds."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from test_privacy_clipping import Toy, toy_input
from tiny_peft import batch, one_at_a_time, relative_error
from tiny_types import ARCHITECTURES, adapted, losses
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils.checkpoint import checkpoint

from crypto.errors import ConfigError
from privacy.clipping import PerExampleClipper
from privacy.dp_step import check_examples_do_not_mix
from privacy.example_pass import ExamplePass

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:Unsupported layer type .*Norm:UserWarning"),  # PEFT's
]
EXACT = 1e-12
KINDS = pytest.mark.parametrize("reentrant", [False, True], ids=["not reentrant", "reentrant"])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def checkpointed(model: nn.Module, *, reentrant: bool) -> None:
    model.activation_checkpointing_enable({"use_reentrant": reentrant})
    if reentrant:
        model.enable_input_require_grads()


TYPES = ["LoRA with dropout", "DoRA", "IA3", "norms", "everything"]


@KINDS
@pytest.mark.parametrize("which", ARCHITECTURES)
@pytest.mark.parametrize("peft", TYPES)
def test_checkpointing_changes_nothing(peft: str, which: str, *, reentrant: bool) -> None:
    model, b = adapted(which, peft), batch(4)
    torch.manual_seed(7)
    singles = list(losses(model, b))
    _, norms = one_at_a_time(model, singles, 1.0)
    clip = sorted(norms)[2] * 0.999
    right, _ = one_at_a_time(model, singles, clip)
    checkpointed(model, reentrant=reentrant)
    clipper = PerExampleClipper(model, clip=clip)
    torch.manual_seed(7)
    clipper.accumulate(losses(model, b))
    assert relative_error(clipper.take(), right) <= EXACT
    assert all(p.grad is None for p in model.parameters())


class ByHand(Toy):
    """Checkpoints its first layer and what follows."""

    reentrant = False

    def forward(self, x: Tensor) -> Tensor:
        inner = checkpoint(self.inner, x.requires_grad_(), use_reentrant=self.reentrant)
        return self.last(inner).flatten(1).square().mean(1)

    def inner(self, x: Tensor) -> Tensor:
        return torch.tanh(self.first(torch.tanh(x)))


class ByHandReentrant(ByHand):
    reentrant = True


def right_sum(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The twin of a toy at clip 0.1; what its own backward pass does is wiped away."""
    total = None
    for i in range(len(x)):
        model.zero_grad()
        model(x[i : i + 1]).sum().backward()
        grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        norm = sum(float(g.square().sum()) for g in grads.values()) ** 0.5
        row = {n: min(1.0, 0.1 / norm) * g for n, g in grads.items()}
        total = row if total is None else {n: total[n] + row[n] for n in row}
    model.zero_grad()
    assert total is not None
    return total


@pytest.mark.parametrize("kind", [ByHand, ByHandReentrant])
def test_checkpointing_by_hand_is_exact(kind: type[Toy]) -> None:
    model, x = kind(), toy_input()
    right = right_sum(model, x)
    clipper = PerExampleClipper(model, clip=0.1)
    clipper.accumulate(model(x))
    assert relative_error(clipper.take(), right) <= EXACT
    # Once more, and with plain passes between: nothing is left behind.
    clipper.plain_gradient(model(x))
    clipper.accumulate(model(x))
    assert relative_error(clipper.take(), right) <= EXACT


def test_a_gradient_that_was_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reentrant kind needs a pass that forms every leaf's `.grad`."""
    model, x = ByHandReentrant(), toy_input()
    clipper = PerExampleClipper(model, clip=0.1)
    before = {n: torch.full_like(p, 3.0) for n, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        parameter.grad = before[name].clone()
    clipper.accumulate(model(x))
    assert x.grad is None
    assert all(torch.equal(p.grad, before[n]) for n, p in model.named_parameters())

    monkeypatch.setattr("privacy.example_pass._own_grads", lambda _: nullcontext())
    with pytest.raises(ConfigError, match="do not add up"):  # to what was there before
        clipper.accumulate(model(x))
    assert not any(torch.equal(p.grad, before[n]) for n, p in model.named_parameters())


class Functional(ByHand):
    """Reads its weight a second time, where no tap sees it."""

    def inner(self, x: Tensor) -> Tensor:
        return torch.tanh(self.first(x)) + nn.functional.linear(x, self.first.weight)


class FunctionalReentrant(Functional):
    reentrant = True


@pytest.mark.parametrize(
    ("kind", "message", "defence"),
    [
        (Functional, "is used outside its own", "_check_uses"),
        (FunctionalReentrant, "do not add up", "_check_sums"),
    ],
)
def test_a_use_that_no_tap_sees_is_refused(
    kind: type[Toy], message: str, defence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = kind(), toy_input()
    right = right_sum(model, x)
    clipper = PerExampleClipper(model, clip=0.1)
    with pytest.raises(ConfigError, match=f"first.weight .*{message}|first.weight {message}"):
        clipper.accumulate(model(x))
    assert all(g.abs().max() == 0 for g in clipper.take().values())
    monkeypatch.setattr(ExamplePass, defence, lambda *_: None)
    clipper.accumulate(model(x))
    assert relative_error(clipper.take(), right) > 1e-2


class WithoutInputGradient(ByHandReentrant):
    def forward(self, x: Tensor) -> Tensor:
        inner = checkpoint(self.inner, x, use_reentrant=True)
        return self.last(inner).flatten(1).square().mean(1)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
def test_a_part_that_would_silently_not_be_trained_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, x = WithoutInputGradient(), toy_input()
    clipper = PerExampleClipper(model, clip=0.1)
    with torch.no_grad():
        model(x)  # an evaluation is no such part
    with pytest.raises(ConfigError, match=r"first\.bias was used without a gradient"):
        clipper.accumulate(model(x))
    monkeypatch.setattr(ExamplePass, "_check_reached", lambda *_: None)
    clipper.accumulate(model(x))
    assert float(clipper.take()["first.weight"].abs().max()) == 0


def is_kept(model: nn.Module, x: Tensor) -> bool:
    """Return if the input of the first layer outlives the forward pass."""
    found: list[StorageWeakRef] = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(StorageWeakRef(inputs[0].untyped_storage()))

    handle = model.first.register_forward_pre_hook(look, prepend=True)
    losses = model(x)
    handle.remove()
    assert losses.grad_fn is not None
    return not found[0].expired()


def test_what_checkpointing_drops_is_not_kept_here() -> None:
    """The taps keep what they saw as autograd does; a closure would hold on to it."""
    x = toy_input()
    model = ByHand()
    PerExampleClipper(model, clip=0.1)
    assert not is_kept(model, x)

    class Plain(ByHand):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.inner(x)).flatten(1).square().mean(1)

    plain = Plain()
    PerExampleClipper(plain, clip=0.1)
    assert is_kept(plain, x)


@KINDS
def test_the_startup_check_passes(*, reentrant: bool) -> None:
    model, one, other = adapted("bert", "LoRA with dropout"), batch(4), batch(4, seed=1)
    checkpointed(model, reentrant=reentrant)
    clipper = PerExampleClipper(model, clip=1.0)
    ids = one.ids.clone()
    ids[2] = other.ids[2]
    check_examples_do_not_mix(
        clipper, lambda b: losses(model, b), one, type(one)(ids, one.mask, one.labels), row=2
    )
