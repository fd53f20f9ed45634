"""One backward pass that brings every example's own gradient."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from privacy.example_gradients import Layer, trainable_layers
from privacy.example_rows import Rows, added
from privacy.example_taps import attach, attach_prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from torch.autograd.graph import Node
    from torch.utils.hooks import RemovableHandle

_UNREACHED = (
    "The losses do not depend on any trainable parameter: training would change nothing. Check "
    "for no_grad, merged or disabled adapters."
)

_REENTRANT = "CheckpointFunctionBackward"  # torch.utils.checkpoint with use_reentrant=True
_ROUNDINGS = 1e3  # how many of the whole gradient's rounding errors a part may be off
_CHANGED = re.compile("modified (by an )?inplace")  # torch's words
_CAST = "ToCopyBackward0"  # autocast casts a weight once for all its uses


@final
class ExamplePass:
    """Taps on a model's trainable layers, and the pass that hears them.

    Args:
        model: the caller's model; hooks are added to it until `detach`. Its trainable parameters
            are those with `requires_grad` now.

    Raises:
        ConfigError: a parameter's gradient cannot be had exactly (see `trainable_layers`).
    """

    def __init__(self, model: nn.Module) -> None:
        layers = trainable_layers(model)
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self._all = tuple(model.parameters())
        self._thawed = [p.requires_grad for p in self._all]
        self._anchor = torch.zeros((), requires_grad=True)
        self._rows: dict[str, Rows] | None = None  # filled only while a backward pass runs
        self._batch = 0
        self._shown: int | None = None
        self._is_training = False
        self._idle: set[str] = set()
        self._near = ""
        self._calls: Counter[str] = Counter()
        self.rounding = 0.0
        """The largest machine epsilon among the gradients that the last pass brought."""
        self._handles: list[RemovableHandle] = []
        for layer in layers:
            self._handles += attach(layer, self)
        self._watch_inputs(model)
        self._handles += attach_prompts(model)

    @property
    def anchor(self) -> Tensor:
        """The number that the tapped layers hang on."""
        return self._anchor

    @property
    def is_listening(self) -> bool:
        """Whether a backward pass of this object's own is running."""
        return self._rows is not None

    @property
    def batch_size(self) -> int | None:
        """How many examples the model runs on, if its tensor inputs agree about it."""
        return self._shown if self._rows is None else self._batch

    def run(self, losses: Tensor) -> dict[str, Rows]:
        """Return the rows of the parameters that `losses` (B,) reach; the graph is freed.

        Autocast has to be off, or the rows are as coarse as it makes them.

        Raises:
            ConfigError: `losses` is not one number per example, does not depend on the trainable
                parameters, or a layer turned out not to be exact.
        """
        self.check(losses)
        if not len(losses):
            return {}
        uses, is_reentrant = _count_uses(losses)
        self._rows, self._batch, self.rounding = {}, len(losses), 0.0
        self._calls.clear()
        try:
            plain = self._backward(losses, is_reentrant=is_reentrant)
            rows = self._rows
        except RuntimeError as error:
            if _CHANGED.search(str(error)) is None:
                raise
            raise ConfigError(
                f"The input of {self._near} was changed in place after it was used: the gradient "
                "would be that of other numbers. Freeze this layer."
            ) from error
        finally:
            self._rows = None
        if not rows:
            raise ConfigError(_UNREACHED)
        self._check_reached(rows)
        if is_reentrant:
            self._check_sums(rows, plain)
        else:
            self._check_uses(uses)
        return rows

    def check(self, losses: Tensor) -> None:
        """Return if `losses` are one number per example of a model that is as it was tapped.

        Raises:
            ConfigError: they are not, or do not depend on a trainable parameter.
        """
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

    def pass_over(self, layer: Layer) -> None:
        """Know that `layer` ran without a gradient."""
        if self._is_training:
            self._idle.update(layer.parameters.values())

    def approach(self, layer: Layer) -> None:
        """Know that the pass has come to `layer`: torch's errors do not say where they were."""
        self._near = layer.name

    def hear(
        self, layer: Layer, seen: Tensor, g: Tensor, rows: Callable[[], Mapping[str, Rows]]
    ) -> None:
        """Add the rows of one call of `layer` to those of the running pass.

        Raises:
            ConfigError: `seen` or its output's gradient `g` has not the batch first.
        """
        if self._rows is None:
            return
        if seen.shape[0] != self._batch or g.shape[0] != self._batch:
            raise ConfigError(
                f"{layer.name} was given an input of shape {tuple(seen.shape)} in a batch of "
                f"{self._batch}: without the batch as its first dimension no example has a "
                "gradient of its own. Freeze this layer, or keep the batch first."
            )
        self.rounding = max(self.rounding, torch.finfo(g.dtype).eps)
        for name, own in rows().items():
            self._calls[name] += 1
            self._rows[name] = added(self._rows[name], own) if name in self._rows else own

    def plain_gradient(self, losses: Tensor) -> dict[str, Tensor]:
        """Return autograd's own gradient of the summed `losses` (B,) by name; keeps the graph.

        Raises:
            ConfigError: as `run`.
        """
        self.check(losses)
        if _count_uses(losses)[1]:
            return self._whole_gradient(losses, keep_graph=True)
        found = torch.autograd.grad(
            losses.sum(),
            tuple(self.parameters.values()),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        return dict(zip(self.parameters, found, strict=True))

    def detach(self) -> None:
        """Remove the hooks: the model is again what the caller gave."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _watch_inputs(self, model: nn.Module) -> None:
        """Learn the batch's size from the model's own inputs: position numbers do not show it."""

        def before(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            sizes = {
                len(part)
                for part in (*inputs, *named.values())
                if isinstance(part, Tensor) and part.dim()
            }
            self._shown = sizes.pop() if len(sizes) == 1 else None
            self._is_training = torch.is_grad_enabled()

        def after(_: nn.Module, __: tuple[Any, ...], ___: object) -> None:
            self._shown, self._is_training = None, False

        self._handles += (
            model.register_forward_pre_hook(before, with_kwargs=True),
            model.register_forward_hook(after, always_call=True),
        )

    def _backward(self, losses: Tensor, *, is_reentrant: bool) -> dict[str, Tensor]:
        """Run the backward pass; return autograd's own gradients where it could not but form them.

        Reentrant checkpointing works only in a pass that is asked for all leaves.
        """
        if not is_reentrant:
            ones = torch.ones_like(losses)
            torch.autograd.grad(losses, self._anchor, grad_outputs=ones, allow_unused=True)
            return {}
        return self._whole_gradient(losses, keep_graph=False)

    def _whole_gradient(self, losses: Tensor, *, keep_graph: bool) -> dict[str, Tensor]:
        """Return the gradient of the summed losses from a pass that is asked for all leaves."""
        with _own_grads((*self._all, *_leaves(losses))):
            losses.sum().backward(retain_graph=keep_graph)  # type: ignore[no-untyped-call] # torch's
            return {
                n: torch.zeros_like(p) if p.grad is None else p.grad
                for n, p in self.parameters.items()
            }

    def _check_reached(self, rows: Mapping[str, Rows]) -> None:
        """Refuse a parameter that the model's pass used, but only where it gets no gradient."""
        idle = sorted(self._idle.difference(rows))
        self._idle.clear()
        if idle:
            raise ConfigError(
                f"{idle[0]} was used without a gradient within a pass that had one, and would "
                "silently stay as it is: so does reentrant checkpointing when no input of the "
                "checkpointed part needs a gradient. Call enable_input_require_grads() on the "
                "model, or use use_reentrant=False."
            )

    def _check_uses(self, uses: Counter[Tensor]) -> None:
        """Refuse a parameter that is used elsewhere than where it is tapped."""
        for name, parameter in self.parameters.items():
            if uses[parameter] != self._calls[name]:
                raise ConfigError(
                    f"{name} is used outside its own layer's forward pass, or that layer's output "
                    "is changed in place: a part of its gradient would be missing. Freeze it, or "
                    "use another method."
                )

    def _check_sums(self, rows: Mapping[str, Rows], plain: Mapping[str, Tensor]) -> None:
        """Refuse rows that do not add up: under reentrant checkpointing uses cannot be counted."""
        lengths = {name: row.norms().sum() for name, row in rows.items()}
        whole = torch.stack(list(lengths.values())).norm()
        if not bool(whole.isfinite()):
            return  # such rows are not used, and cannot be compared
        # A gradient may be zero but for rounding, as that of a key's bias is.
        floor = min(_ROUNDINGS * self.rounding, self.rounding**0.5) * whole
        for name, row in rows.items():
            ones = torch.ones(self._batch, dtype=torch.float64, device=row.device)
            apart = (row.weighted_sum(ones, None) - plain[name]).norm()
            if not apart <= self.rounding**0.5 * lengths[name] + floor:
                raise ConfigError(
                    f"The rows of {name} do not add up to its gradient: it is used in a way that "
                    "is not seen under reentrant checkpointing. Use use_reentrant=False."
                )


@contextmanager
def _own_grads(leaves: tuple[Tensor, ...]) -> Iterator[None]:
    """Give `leaves` no `.grad` for a while, and theirs again afterwards."""
    kept = [leaf.grad for leaf in leaves]
    for leaf in leaves:
        leaf.grad = None
    try:
        yield
    finally:
        for leaf, grad in zip(leaves, kept, strict=True):
            leaf.grad = grad


def _nodes(losses: Tensor) -> Iterator[Node]:
    """Yield every node of the graph under `losses` once, but the leaves."""
    seen: set[Node] = set()
    ahead: list[Node] = [losses.grad_fn] if losses.grad_fn is not None else []
    while ahead:
        node = ahead.pop()
        yield node
        for child, _ in node.next_functions:
            if child is not None and child not in seen and not hasattr(child, "variable"):
                seen.add(child)
                ahead.append(child)


def _leaves(losses: Tensor) -> tuple[Tensor, ...]:
    """Return the leaf tensors under `losses`."""
    children = (child for node in _nodes(losses) for child, _ in node.next_functions)
    found = {id(leaf): leaf for child in children if (leaf := _leaf(child)) is not None}
    return tuple(found.values())


def _count_uses(losses: Tensor) -> tuple[Counter[Tensor], bool]:
    """Return how many operations under `losses` read each leaf, and if a part is hidden from it.

    A layer's own forward pass reads a parameter once, so whatever differs from the number of its
    calls is a use that no tap sees, or a call without use. A cast to another precision is no use
    of its own: autocast keeps one for all readers.
    """
    uses: Counter[Tensor] = Counter()
    is_reentrant = False
    for node in _nodes(losses):
        name = type(node).__name__
        is_reentrant |= name == _REENTRANT
        if name == _CAST and _leaf(node) is not None:
            continue
        for child, _ in node.next_functions:
            leaf = _leaf(child)
            if leaf is not None:
                uses[leaf] += 1
    return uses, is_reentrant


def _leaf(node: Node | None) -> Tensor | None:
    """Return the leaf tensor that `node` stands for, or is a cast of."""
    if node is not None and type(node).__name__ == _CAST:
        node = node.next_functions[0][0]
    leaf: Tensor | None = getattr(node, "variable", None)
    return leaf
