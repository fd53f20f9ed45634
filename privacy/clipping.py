"""Exact per-example gradients in one backward pass, clipped as one flat row per example.

Every trainable layer is tapped: its input is kept, and when the backward pass brings its output's
gradient, each example's own gradient is formed at once. The backward pass is asked only for an
anchor, a number without value that every tapped input hangs on. So no parameter's `.grad` is
touched or computed, and nothing is computed before the first tapped layer.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from privacy.example_gradients import Layer, trainable_layers

if TYPE_CHECKING:
    from torch.autograd.graph import Node
    from torch.utils.hooks import RemovableHandle

_UNREACHED = (
    "The losses do not depend on any trainable parameter: training would change nothing. Check "
    "for no_grad, merged or disabled adapters."
)

_HIDING = "CheckpointFunctionBackward"  # torch.utils.checkpoint with use_reentrant=True


class _Anchor(torch.autograd.Function):
    """The identity on a layer's input; gives the backward pass a reason to reach the layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor) -> Tensor:  # noqa: ANN401, ARG004 - torch's face
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:  # noqa: ANN401, ARG004 - torch's face
        (g,) = grads
        return g, None


@final
class PerExampleClipper:
    """Exact per-example gradients for the trainable parameters of `model`, clipped and summed.

    Example i contributes min(1, clip / |g_i|) g_i, where g_i is the gradient of its loss by all
    trainable parameters as one flat row; a contribution that is not finite is replaced by zero.
    So one example more or less moves the sum by at most `clip` in L2. The factor is taken a few
    rounding errors smaller, so that also the rounded row is no longer than `clip`; what rounding
    in the sum over a batch adds is not covered (see Mironov 2012).

    Edge cases: a batch without examples adds nothing; a layer that a forward pass calls several
    times adds its gradients; a parameter that the losses do not reach has gradient zero; forward
    passes without a gradient (`no_grad`, `generate`) pass through untouched.

    What this class cannot see is a layer that mixes examples, or whose first dimension only
    happens to be as long as the batch: `dp_step.check_examples_do_not_mix` looks for both.

    Memory: B times the trainable parameters, once, during `accumulate`.

    Args:
        model: the caller's model; hooks are added to it until `detach`. Its trainable parameters
            are those with `requires_grad` now.
        clip: the largest L2 norm of a contribution, in the unit of the gradient.

    Raises:
        ConfigError: `clip` is not positive and finite, or a trainable parameter's gradient cannot
            be had exactly (see `trainable_layers`); the parameter is named.
    """

    names: tuple[str, ...]
    """The trainable parameters, in model order."""

    def __init__(self, model: nn.Module, *, clip: float) -> None:
        if not (math.isfinite(clip) and clip > 0):
            raise ConfigError(
                f"A clip of {clip} bounds nothing: choose a positive, finite L2 norm, such as 1.0."
            )
        self._clip = clip
        self._layers = trainable_layers(model)
        trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.names = tuple(trainable)
        self._parameters = tuple(trainable.values())
        self._all = tuple(model.parameters())
        self._thawed = [p.requires_grad for p in self._all]
        self._anchor = torch.zeros((), requires_grad=True)
        self._sums: dict[str, Tensor] = {}
        self._rows: dict[str, Tensor] | None = None  # filled only while a backward pass runs
        self._batch = 0
        self._calls: Counter[str] = Counter()
        self._handles: list[RemovableHandle] = []
        for layer in self._layers:
            self._attach(layer)

    def accumulate(self, losses: Tensor) -> None:
        """Add the clipped gradients of `losses` (B,), one per example, to the running sum.

        One backward pass; the graph is freed. B may be zero.

        Raises:
            ConfigError: `losses` is not one number per example, does not depend on the trainable
                parameters, or a layer turned out not to be exact; nothing was added.
        """
        rows = self._example_gradients(losses)
        if not rows:
            return
        factors, usable = self._factors(rows, losses)
        all_usable = bool(usable.all())
        for name, row in rows.items():
            flat, turned = _flattened(row)
            flat = flat.to(_sum_dtype(row))
            if not all_usable:
                flat = flat.masked_fill(~usable.unsqueeze(1), 0.0)  # 0 * inf would be nan
            part = factors.to(flat.dtype) @ flat
            shape = row.shape[1:]
            part = part.view(shape[::-1]).mT if turned else part.view(shape)
            if name in self._sums:
                self._sums[name] += part
            else:
                self._sums[name] = part.contiguous()

    def example_gradients(self, losses: Tensor) -> dict[str, Tensor]:
        """Return every example's unclipped gradient, (B, *shape) by name; adds nothing.

        These rows are raw: they may be looked at, and must not leave the site.

        Raises:
            ConfigError: as `accumulate`.
        """
        rows = self._example_gradients(losses)
        return {
            name: rows[name] if name in rows else p.new_zeros((len(losses), *p.shape))
            for name, p in zip(self.names, self._parameters, strict=True)
        }

    def plain_gradient(self, losses: Tensor) -> dict[str, Tensor]:
        """Return autograd's own gradient of the summed `losses` (B,) by name; keeps the graph.

        For checks: it is raw, like `example_gradients`, and costs a second backward pass.

        Raises:
            ConfigError: as `accumulate`.
        """
        self._check(losses)
        found = torch.autograd.grad(
            losses.sum(),
            self._parameters,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return dict(zip(self.names, found, strict=True))

    def take(self) -> dict[str, Tensor]:
        """Return the sum by name since the last call, zeros if nothing came, and start anew.

        The sums are float32, or float64 where the parameter is.
        """
        sums, self._sums = self._sums, {}
        return {
            name: sums[name] if name in sums else torch.zeros_like(p, dtype=_sum_dtype(p))
            for name, p in zip(self.names, self._parameters, strict=True)
        }

    def detach(self) -> None:
        """Remove the hooks: the model is again what the caller gave."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _attach(self, layer: Layer) -> None:
        """Tap `layer`: last before its own forward, first after it."""

        def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if not torch.is_grad_enabled():
                return None
            if self._rows is not None:
                raise ConfigError(
                    f"{layer.name} ran again during the backward pass (checkpointing): its "
                    "examples would be counted twice. Turn checkpointing off."
                )
            if not inputs:
                raise ConfigError(
                    f"{layer.name} was given its input by keyword, where it cannot be tapped: "
                    "its examples would not be clipped. Freeze this layer."
                )
            anchored = _Anchor.apply(inputs[0], self._anchor)  # type: ignore[no-untyped-call] # torch's
            return (anchored, *inputs[1:])

        def after(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            if torch.is_grad_enabled():
                x: Tensor = inputs[0].detach()
                version = x._version  # noqa: SLF001 - torch's documented in-place counter
                output.register_hook(  # type: ignore[no-untyped-call] # torch's
                    lambda g: self._tap(layer, x, version, g)
                )

        pre = layer.module.register_forward_pre_hook(before)
        post = layer.module.register_forward_hook(after, prepend=True)
        self._handles += (pre, post)

    def _tap(self, layer: Layer, x: Tensor, version: int, g: Tensor) -> None:
        """Add the gradients of one call of `layer` to the rows of the running pass."""
        if self._rows is None:  # a backward pass of the caller's own
            return
        if x.shape[0] != self._batch or g.shape[0] != self._batch:
            raise ConfigError(
                f"{layer.name} was given an input of shape {tuple(x.shape)} in a batch of "
                f"{self._batch}: without the batch as its first dimension no example has a "
                "gradient of its own. Freeze this layer, or keep the batch first."
            )
        if x._version != version:  # noqa: SLF001 - torch's documented in-place counter
            raise ConfigError(
                f"The input of {layer.name} was changed in place after it was used: the gradient "
                "would be that of other numbers. Freeze this layer."
            )
        for name, row in layer.example_gradients(x, g).items():
            self._calls[name] += 1
            self._rows[name] = self._rows[name] + row if name in self._rows else row

    def _example_gradients(self, losses: Tensor) -> dict[str, Tensor]:
        """Return the rows (B, *shape) of the parameters that the losses reach."""
        self._check(losses)
        if not len(losses):
            return {}
        uses = _count_uses(losses)
        self._rows, self._batch = {}, len(losses)
        self._calls.clear()
        try:
            torch.autograd.grad(
                losses, self._anchor, grad_outputs=torch.ones_like(losses), allow_unused=True
            )
            rows = self._rows
        finally:
            self._rows = None
        if not rows:
            raise ConfigError(_UNREACHED)
        for name, parameter in zip(self.names, self._parameters, strict=True):
            if uses[parameter] > self._calls[name]:
                raise ConfigError(
                    f"{name} is used outside its own layer's forward pass, or that layer's output "
                    "is changed in place: a part of its gradient would be missing. Freeze it, or "
                    "use another method."
                )
        return rows

    def _check(self, losses: Tensor) -> None:
        if losses.dim() != 1:
            raise ConfigError(
                f"Losses of shape {tuple(losses.shape)} are not one number per example: without "
                "them nothing can be clipped by example. Compute the loss with reduction='none' "
                "and average over tokens only."
            )
        if not self._handles:
            raise ConfigError(
                "This clipper was detached, so it no longer sees the model: create a new one."
            )
        if len(losses) and not losses.requires_grad:
            raise ConfigError(_UNREACHED)
        if [p.requires_grad for p in self._all] != self._thawed:
            raise ConfigError(
                "The model's trainable parameters changed after the clipper was made: some would "
                "not be clipped. Detach it and create a new one."
            )

    def _factors(self, rows: dict[str, Tensor], losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return min(1, clip / |g_i|) (B,) float64, a little less, and which rows are finite."""
        norms = [
            torch.linalg.vector_norm(_flattened(row)[0], dim=1, dtype=torch.float64)
            for row in rows.values()
        ]
        norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
        usable = norm.isfinite() & losses.detach().isfinite()
        # One rounding each of the factor and of the product, and those of the float64 norm.
        margin = 4 * max(torch.finfo(_sum_dtype(row)).eps for row in rows.values()) + 2.0**-44
        factors = self._clip / norm.clamp_min(self._clip) * (1 - margin)
        return factors.masked_fill(~usable, 0.0), usable


def _sum_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype of sums of `tensor`: at least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _flattened(row: Tensor) -> tuple[Tensor, bool]:
    """Return `row` (B, *shape) as (B, n) in the order of its memory, and if that is transposed."""
    turned = row.dim() == 3 and not row.is_contiguous() and row.mT.is_contiguous()  # noqa: PLR2004 - (B, T, width)
    return (row.mT if turned else row).flatten(1), turned


def _count_uses(losses: Tensor) -> Counter[Tensor]:
    """Return how many operations under `losses` read each leaf tensor.

    A layer's own forward pass reads a parameter once, so whatever exceeds the number of its
    calls is a use that no tap sees.

    Raises:
        ConfigError: a part of the model is checkpointed in the way that hides it from the graph.
    """
    uses: Counter[Tensor] = Counter()
    seen: set[Node] = set()
    ahead: list[Node] = [losses.grad_fn] if losses.grad_fn is not None else []
    while ahead:
        for node, _ in ahead.pop().next_functions:
            if node is None:
                continue
            leaf = getattr(node, "variable", None)
            if leaf is not None:
                uses[leaf] += 1
            elif node not in seen:
                if type(node).__name__ == _HIDING:
                    raise ConfigError(
                        "A part of the model runs under reentrant checkpointing, where trainable "
                        "parameters would silently stay as they are. Turn checkpointing off."
                    )
                seen.add(node)
                ahead.append(node)
    return uses
