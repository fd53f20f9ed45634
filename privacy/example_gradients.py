"""Which layers' gradients are known exactly for each example, and by which formulas.

For a layer y = f(x; w) that treats the examples of its batch apart, example i's gradient is the
layer's own backward formula on row i of x and of the output's gradient g, without the sum over
the batch. All arrays have the batch dimension first; dimensions between it and the features
(tokens) are summed over.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Formula = Callable[[nn.Module, Tensor, Tensor], Tensor]


def _tokens(x: Tensor) -> Tensor:
    """Return x (B, ..., n) as (B, T, n)."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _linear_weight(_: nn.Module, x: Tensor, g: Tensor) -> Tensor:
    """dL_i/dW = sum_t g_it x_it^T for y = x W^T + b: x (B, ..., in), g (B, ..., out)."""
    return _outer(_tokens(g), _tokens(x))


def _conv1d_weight(_: nn.Module, x: Tensor, g: Tensor) -> Tensor:
    """dL_i/dW = sum_t x_it g_it^T for y = x W + b: x (B, ..., in), g (B, ..., out)."""
    return _outer(_tokens(x), _tokens(g))


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """Return sum_t left_it right_it^T (B, m, n) for left (B, T, m), right (B, T, n).

    The product with the short side first is the same numbers up to three times faster: the result
    may be a transposed view, contiguous as (B, n, m).
    """
    if left.shape[2] > right.shape[2]:
        return torch.bmm(right.mT, left).mT
    return torch.bmm(left.mT, right)


def _features_bias(_: nn.Module, __: Tensor, g: Tensor) -> Tensor:
    """dL_i/db = sum_t g_it: g (B, ..., out)."""
    return _tokens(g).sum(1)


def _over_norm(module: nn.Module, g: Tensor) -> Tensor:
    """Return g (B, ..., *normalized_shape) summed over the dimensions between: (B, *shape)."""
    if not isinstance(module, nn.LayerNorm):
        raise TypeError("The formula of a LayerNorm was given another layer.")
    return g.reshape(g.shape[0], -1, *module.normalized_shape).sum(1)


def _norm_weight(module: nn.Module, x: Tensor, g: Tensor) -> Tensor:
    """dL_i/dw = sum_t g_it * xhat_it, where xhat is x normalised over the features."""
    if not isinstance(module, nn.LayerNorm):
        raise TypeError("The formula of a LayerNorm was given another layer.")
    xhat = nn.functional.layer_norm(x, module.normalized_shape, eps=module.eps)
    return _over_norm(module, g * xhat)


def _norm_bias(module: nn.Module, _: Tensor, g: Tensor) -> Tensor:
    """dL_i/db = sum_t g_it."""
    return _over_norm(module, g)


# By the exact type's name: a subclass may compute something else, and the project's lower rooms
# do not import transformers for the sake of one class.
_FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "torch.nn.modules.linear.Linear": {"weight": _linear_weight, "bias": _features_bias},
    "torch.nn.modules.normalization.LayerNorm": {"weight": _norm_weight, "bias": _norm_bias},
    "transformers.pytorch_utils.Conv1D": {"weight": _conv1d_weight, "bias": _features_bias},
}


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer with at least one trainable parameter, and the formulas for those.

    Attributes:
        name: its path in the model.
        module: the layer.
        parameters: the full name of each trainable parameter, by its name in the layer.
    """

    name: str
    module: nn.Module
    parameters: Mapping[str, str]

    def example_gradients(self, x: Tensor, g: Tensor) -> dict[str, Tensor]:
        """Return (B, *shape) per trainable parameter, by full name, in the parameter's dtype.

        Args:
            x: the layer's input (B, ..., in).
            g: the gradient of the summed losses by the layer's output (B, ..., out).
        """
        formulas = _FORMULAS[_type_name(self.module)]
        found = {}
        for own_name, full_name in self.parameters.items():
            dtype = self.module.get_parameter(own_name).dtype
            found[full_name] = formulas[own_name](self.module, x.to(dtype), g.to(dtype))
        return found


def trainable_layers(model: nn.Module) -> tuple[Layer, ...]:
    """Return the layers that hold the trainable parameters of `model`, in model order.

    Raises:
        ConfigError: there is no trainable parameter; one has no per-example formula here, is
            shared, or is used under gradient checkpointing; or a layer reads the whole batch.
    """
    _refuse_batch_layers(model)
    _refuse_shared(model)
    layers = []
    for path, module in model.named_modules():
        own = {
            own_name: f"{path}.{own_name}" if path else own_name
            for own_name, parameter in module.named_parameters(recurse=False)
            if parameter.requires_grad
        }
        if own:
            _refuse_unknown(module, own)
            layers.append(Layer(path, module, own))
    if not layers:
        raise ConfigError(
            "The model has no trainable parameter: training would change nothing. Check the "
            "method's target modules."
        )
    return tuple(layers)


def _type_name(module: nn.Module) -> str:
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"


def _refuse_unknown(module: nn.Module, own: Mapping[str, str]) -> None:
    formulas = _FORMULAS.get(_type_name(module), {})
    for own_name, full_name in own.items():
        if own_name not in formulas:
            raise ConfigError(
                f"{full_name} lies in a {type(module).__name__}, for which no exact per-example "
                "gradient is known here: its clip, and with it the guarantee, would be false. "
                "Freeze it, or choose a method that trains Linear, Conv1D or LayerNorm layers "
                "(LoRA does; DoRA, IA3, prompt tuning and embeddings do not)."
            )


def _refuse_batch_layers(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise ConfigError(
                f"{path} is a {type(module).__name__}: it mixes the examples of a batch, so no "
                "example has a gradient of its own to clip. Replace it by GroupNorm or LayerNorm."
            )
        if getattr(module, "gradient_checkpointing", False):
            raise ConfigError(
                f"{path or 'The model'} runs under gradient (activation) checkpointing, whose "
                "second forward pass would count every example twice. Turn it off and use smaller "
                "micro-batches instead."
            )


def _refuse_shared(model: nn.Module) -> None:
    """Refuse a trainable parameter that has a second name, or memory in common with another."""
    named = list(model.named_parameters(remove_duplicate=False))
    memory = Counter(_memory(parameter) for _, parameter in named)
    for name, parameter in named:
        if parameter.requires_grad and parameter.numel() and memory[_memory(parameter)] > 1:
            others = [n for n, p in named if _memory(p) == _memory(parameter) and n != name]
            raise ConfigError(
                f"{name} shares its memory with {', '.join(others)}: one layer's gradient is not "
                "the whole gradient of a shared parameter. Untie or freeze them."
            )


def _memory(parameter: Tensor) -> int:
    return parameter.untyped_storage().data_ptr()
