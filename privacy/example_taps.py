"""Hooks that keep what a layer saw, and hear the gradient of what it gave.

Every tapped layer hangs on an anchor, a number without value: a backward pass that is asked for
the anchor alone reaches every tap and computes no parameter's gradient. What a layer saw is kept
as autograd keeps it (`save_for_backward`), so that checkpointing drops and recomputes it too, and
a change in place is noticed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from privacy.example_gradients import Kind, Layer, slope_of, type_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch.utils.hooks import RemovableHandle

    from privacy.example_rows import Rows

    Report = Callable[[tuple[Tensor, ...], Tensor], None]


class Listener(Protocol):
    """What the taps report to."""

    @property
    def anchor(self) -> Tensor:
        """The number that the tapped layers hang on."""

    @property
    def is_listening(self) -> bool:
        """Whether a backward pass of the listener's own is running."""

    @property
    def batch_size(self) -> int | None:
        """How many examples the model runs on, as far as its inputs have shown."""

    def pass_over(self, layer: Layer) -> None:
        """Know that `layer` ran without a gradient."""

    def approach(self, layer: Layer) -> None:
        """Know that the pass has come to `layer`."""

    def hear(
        self, layer: Layer, seen: Tensor, g: Tensor, rows: Callable[[], Mapping[str, Rows]]
    ) -> None:
        """Take the rows of one call, if `seen` and `g` have the batch first."""


def attach(layer: Layer, listener: Listener) -> tuple[RemovableHandle, ...]:
    """Tap `layer`, last before its own forward and first after it; return the hooks."""
    kinds = {
        Kind.INPUT: _attach_input,
        Kind.EMBEDDING: _attach_embedding,
        Kind.SCALE: _attach_scale,
        Kind.IA3: _attach_ia3,
    }
    return kinds[layer.kind](layer, listener)


def attach_prompts(model: nn.Module) -> tuple[RemovableHandle, ...]:
    """Let PEFT's prompt encoders hand over a prompt per example; return the hooks.

    PEFT makes one prompt and repeats it. Its tapped embedding spreads it over the examples, so
    that all later layers see them apart; what is repeated then is there already.
    """

    def after(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        (ids,) = inputs
        return output.as_subclass(_Spread) if len(output) > len(ids) else None

    encoders = [m for m in model.modules() if type_name(m) in _PROMPT_ENCODERS]
    return tuple(encoder.register_forward_hook(after, prepend=True) for encoder in encoders)


_PROMPT_ENCODERS = (
    "peft.tuners.prompt_tuning.model.PromptEmbedding",
    "peft.tuners.p_tuning.model.PromptEncoder",
)


class _Spread(Tensor):
    """Prompts (B, P, n) of which the one reader takes the first for all, and repeats it B times."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., object],
        _: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        with torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001 - torch's documented way
            if func is Tensor.repeat:
                prompts, *times = args
                if times != [len(prompts), 1, 1]:
                    raise ConfigError(
                        f"A prompt was repeated {times} times in a batch of {len(prompts)}: its "
                        "examples cannot be told apart. Use another method."
                    )
                return prompts.as_subclass(Tensor)
            return func(*args, **(kwargs or {}))


class _Tap(torch.autograd.Function):
    """The identity on its first argument; reports that one's gradient and what was kept."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - torch's face
        through: Tensor,
        _: Tensor,
        listener: Listener,
        layer: Layer,
        report: Report,
        *kept: Tensor,
    ) -> Tensor:
        ctx.listener, ctx.layer, ctx.report = listener, layer, report
        ctx.save_for_backward(*kept)
        return through.view_as(through)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - torch's face
        (g,) = grads
        if ctx.listener.is_listening:  # not a backward pass of the caller's own
            ctx.listener.approach(ctx.layer)
            ctx.report(ctx.saved_tensors, g)
        return (g, *(None for _ in ctx.needs_input_grad[1:]))


def _tapped(
    through: Tensor, listener: Listener, layer: Layer, report: Report, *kept: Tensor
) -> Tensor:
    """Return `through`; `report` is called with `kept` and its gradient once that is known."""
    parts = [part.detach() for part in kept]
    out: Tensor = _Tap.apply(through, listener.anchor, listener, layer, report, *parts)  # type: ignore[no-untyped-call] # torch's
    return out


def _first(layer: Layer, inputs: tuple[Any, ...]) -> Tensor:
    """Return the first positional input of `layer`."""
    if not inputs:
        raise ConfigError(
            f"{layer.name} was given its input by keyword, where it cannot be tapped: "
            "its examples would not be clipped. Freeze this layer."
        )
    found: Tensor = inputs[0]
    return found


def _attach_input(layer: Layer, listener: Listener) -> tuple[RemovableHandle, ...]:
    """Tap the input, and hear the gradient of the output just before.

    The output itself stays as the layer made it, so that it may be changed in place.
    """
    calls: list[list[Tensor]] = []  # of the call that is between its two hooks

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not torch.is_grad_enabled():
            listener.pass_over(layer)
            return None
        heard: list[Tensor] = []

        def report(kept: tuple[Tensor, ...], _: Tensor) -> None:
            (x,) = kept
            while heard:  # it is empty if the output was changed in place
                g = heard.pop()
                listener.hear(layer, x, g, partial(layer.example_gradients, x, g))

        x = _first(layer, inputs)
        calls[:] = [heard]
        return (_tapped(x, listener, layer, report, x), *inputs[1:])

    def after(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        if torch.is_grad_enabled():
            heard = calls.pop()

            def hear(g: Tensor) -> None:
                if listener.is_listening:
                    listener.approach(layer)
                    heard[:] = [g]

            output.register_hook(hear)  # type: ignore[no-untyped-call] # torch's

    return (
        layer.module.register_forward_pre_hook(before),
        layer.module.register_forward_hook(after, prepend=True),
    )


def _attach_embedding(layer: Layer, listener: Listener) -> tuple[RemovableHandle, ...]:
    """Tap the output. Token numbers (1, T) that a batch shares are spread over its examples."""

    def after(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if not torch.is_grad_enabled():
            listener.pass_over(layer)
            return None
        ids, size = _first(layer, inputs), listener.batch_size
        if size is not None and len(ids) == 1:
            ids = ids.expand(size, *ids.shape[1:])
            output = output.expand(size, *output.shape[1:])

        def report(kept: tuple[Tensor, ...], g: Tensor) -> None:
            (seen,) = kept
            listener.hear(layer, seen, g, partial(layer.example_gradients, seen, g))

        return _tapped(output, listener, layer, report, ids)

    return (layer.module.register_forward_hook(after, prepend=True),)


def _attach_scale(layer: Layer, listener: Listener) -> tuple[RemovableHandle, ...]:
    """Tap the output, and run the layer again for its slope; in the forward's own precision."""

    def after(
        module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Tensor
    ) -> Tensor | None:
        if not torch.is_grad_enabled():
            listener.pass_over(layer)
            return None
        x = _first(layer, inputs)
        places = [n for n, part in enumerate(inputs) if isinstance(part, Tensor)]
        names = [name for name, part in named.items() if isinstance(part, Tensor)]
        others = {n: part for n, part in named.items() if n not in names}
        rest = [None if isinstance(part, Tensor) else part for part in inputs]
        kind = x.device.type
        is_cast, cast = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)

        def report(kept: tuple[Tensor, ...], g: Tensor) -> None:
            positional = list(rest)
            for place, part in zip(places, kept, strict=False):
                positional[place] = part
            keyword = {**others, **dict(zip(names, kept[len(places) :], strict=True))}

            def replay(parameters: Mapping[str, Tensor]) -> Tensor:
                with torch.no_grad(), torch.autocast(kind, dtype=cast, enabled=is_cast):
                    out: Tensor = torch.func.functional_call(
                        module, dict(parameters), tuple(positional), keyword
                    )
                return out

            listener.hear(
                layer, kept[0], g, lambda: layer.scale_gradients(slope_of(module, replay), g)
            )

        kept = [inputs[place] for place in places] + [named[name] for name in names]
        return _tapped(output, listener, layer, report, *kept)

    return (layer.module.register_forward_hook(after, prepend=True, with_kwargs=True),)


def _attach_ia3(layer: Layer, listener: Listener) -> tuple[RemovableHandle, ...]:
    """Tap what the vector makes: the base layer's input x * l, or its output times l."""
    base = layer.module.get_submodule("base_layer")
    seen: list[Tensor] = []  # what the vector multiplies, between two hooks

    def report(kept: tuple[Tensor, ...], g: Tensor) -> None:
        (other,) = kept
        listener.hear(layer, other, g, lambda: layer.scale_gradients(other, g))

    def is_multiplied() -> bool:
        if not torch.is_grad_enabled():
            listener.pass_over(layer)
            return False
        module: Any = layer.module
        return not module.merged and not module.disable_adapters

    def keep_input(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        seen[:] = [_first(layer, inputs)] if is_multiplied() else []

    def tap_input(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not seen:
            return None
        return (_tapped(inputs[0], listener, layer, report, seen.pop()), *inputs[1:])

    def keep_output(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> None:
        seen[:] = [output] if is_multiplied() else []

    def tap_output(_: nn.Module, __: tuple[Any, ...], output: Tensor) -> Tensor | None:
        return _tapped(output, listener, layer, report, seen.pop()) if seen else None

    if getattr(layer.module, "is_feedforward", False):
        return (
            layer.module.register_forward_pre_hook(keep_input),
            base.register_forward_pre_hook(tap_input, prepend=True),
        )
    return (
        base.register_forward_hook(keep_output),
        layer.module.register_forward_hook(tap_output, prepend=True),
    )
