"""Which layers' gradients are known exactly for each example, and by which formulas.

For a layer y = f(x; w) that treats the examples of its batch apart, example i's gradient is the
layer's own backward formula on row i of x and of the output's gradient g, without the sum over
the batch. All arrays have the batch dimension first; dimensions between it and the features
(tokens) are summed over.

Layers are known by their exact type's name: a subclass may compute something else, and the
project's lower rooms do not import transformers or PEFT for the sake of one class. Only a norm is
known by what it does, since every model brings its own: `_is_scale` tries it.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from crypto.errors import ConfigError
from privacy.example_rows import DenseRows, GatherRows, OuterRows, Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Formula = Callable[[nn.Module, Tensor, Tensor], Rows]

SCALE = 1024.0  # a power of two, so that multiplying by it rounds nothing
_PROBE_ROUNDINGS = 16  # how many rounding errors a norm's trial may be off


class Kind(Enum):
    """Where a layer is tapped."""

    INPUT = "its input is kept, and meets the gradient of its output"
    EMBEDDING = "its token numbers are kept, and meet the gradient of its output"
    SCALE = "its output is linear in its weight, number by number: it runs again"
    IA3 = "what its vector multiplies is kept, and meets the gradient of the product"


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer with at least one trainable parameter, and how it is tapped.

    Attributes:
        name: its path in the model.
        module: the layer.
        kind: where it is tapped.
        parameters: the full name of each trainable parameter, by its name in the layer.
    """

    name: str
    module: nn.Module
    kind: Kind
    parameters: Mapping[str, str]

    def example_gradients(self, x: Tensor, g: Tensor) -> dict[str, Rows]:
        """Return the rows of each trainable parameter, by full name, in the parameter's dtype.

        Args:
            x: the layer's input (B, ..., in); of an embedding, the token numbers (B, ...).
            g: the gradient of the summed losses by the layer's output (B, ..., out).
        """
        formulas = _FORMULAS[type_name(self.module)]
        found = {}
        for own_name, full_name in self.parameters.items():
            dtype = self.module.get_parameter(own_name).dtype
            kept = x if self.kind is Kind.EMBEDDING else x.to(dtype)
            found[full_name] = formulas[own_name](self.module, kept, g.to(dtype))
        return found

    def scale_gradients(self, slope: Tensor, g: Tensor) -> dict[str, Rows]:
        """Return the rows (B, *shape) of the one parameter w of y = slope * w + constant.

        Args:
            slope: (B, ..., *features).
            g: the gradient of the summed losses by y, as `slope`.
        """
        ((own_name, full_name),) = self.parameters.items()
        parameter = self.module.get_parameter(own_name)
        product = slope.to(parameter.dtype) * g.to(parameter.dtype)
        width = 1 if self.kind is Kind.IA3 else parameter.dim()  # IA3 flattens (1, n) and (n, 1)
        between = product.flatten(1, -width - 1) if product.dim() > width + 1 else product[:, None]
        return {full_name: DenseRows(between.sum(1).view(len(g), *parameter.shape))}


def trainable_layers(model: nn.Module) -> tuple[Layer, ...]:
    """Return the layers that hold the trainable parameters of `model`, in model order.

    A parameter that several layers own (a tied embedding) is named by its first place in each.

    Raises:
        ConfigError: there is no trainable parameter; one has no per-example formula here or
            shares its memory without being the same parameter; or a layer reads the whole batch.
    """
    _refuse_batch_layers(model)
    _refuse_shared(model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    layers, known = [], set()
    for path, module in model.named_modules():
        own = {} if path in known else _own_parameters(module, names)
        if own:
            layers.append(Layer(path, module, _kind(model, path, module, own), own))
        if type_name(module) == _IA3:
            known.add(f"{path}.{IA3_VECTORS}")
    if not layers:
        raise ConfigError(
            "The model has no trainable parameter: training would change nothing. Check the "
            "method's target modules."
        )
    return tuple(layers)


def slope_of(module: nn.Module, replay: Callable[[Mapping[str, Tensor]], Tensor]) -> Tensor:
    """Return d output / d weight, number by number, of a `Kind.SCALE` layer.

    With y = slope * w + constant, y(1024) - y(0) = 1024 slope; the large step keeps the rounding
    errors of the constant small beside the slope.

    Args:
        module: the layer, with its one parameter `weight`.
        replay: runs the layer again with other parameters.
    """
    weight = module.get_parameter("weight").detach()
    high = replay({"weight": torch.full_like(weight, SCALE)})
    return (high - replay({"weight": torch.zeros_like(weight)})) / SCALE


def _own_parameters(module: nn.Module, names: Mapping[int, str]) -> dict[str, str]:
    """Return the full names of the trainable parameters of `module` itself, by own name."""
    owned = module.named_parameters(recurse=False, remove_duplicate=False)
    if type_name(module) == _IA3:
        vectors = module.get_submodule(IA3_VECTORS)
        owned = ((f"{IA3_VECTORS}.{n}", p) for n, p in vectors.named_parameters(recurse=False))
    return {own_name: names[id(p)] for own_name, p in owned if p.requires_grad}


def _tokens(x: Tensor) -> Tensor:
    """Return x (B, ..., n) as (B, T, n)."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def _linear_weight(_: nn.Module, x: Tensor, g: Tensor) -> Rows:
    """dL_i/dW = sum_t g_it x_it^T for y = x W^T + b: x (B, ..., in), g (B, ..., out)."""
    return rows_of(OuterRows(_tokens(g), _tokens(x)))


def _conv1d_weight(_: nn.Module, x: Tensor, g: Tensor) -> Rows:
    """dL_i/dW = sum_t x_it g_it^T for y = x W + b: x (B, ..., in), g (B, ..., out)."""
    return rows_of(OuterRows(_tokens(x), _tokens(g)))


def _features_bias(_: nn.Module, __: Tensor, g: Tensor) -> Rows:
    """dL_i/db = sum_t g_it: g (B, ..., out)."""
    return DenseRows(_tokens(g).sum(1))


def _embedding_weight(module: nn.Module, ids: Tensor, g: Tensor) -> Rows:
    """dL_i/dE_v = sum of g_it over the tokens with id v; torch gives the padding token none."""
    if not isinstance(module, nn.Embedding):
        raise TypeError("The formula of an Embedding was given another layer.")
    if module.padding_idx is not None:
        g = g.masked_fill((ids == module.padding_idx).unsqueeze(-1), 0.0)
    return rows_of(GatherRows(ids.reshape(len(ids), -1), _tokens(g), module.num_embeddings))


def _over_norm(module: nn.Module, g: Tensor) -> Tensor:
    """Return g (B, ..., *normalized_shape) summed over the dimensions between: (B, *shape)."""
    if not isinstance(module, nn.LayerNorm):
        raise TypeError("The formula of a LayerNorm was given another layer.")
    return g.reshape(g.shape[0], -1, *module.normalized_shape).sum(1)


def _norm_weight(module: nn.Module, x: Tensor, g: Tensor) -> Rows:
    """dL_i/dw = sum_t g_it * xhat_it, where xhat is x normalised over the features."""
    if not isinstance(module, nn.LayerNorm):
        raise TypeError("The formula of a LayerNorm was given another layer.")
    xhat = nn.functional.layer_norm(x, module.normalized_shape, eps=module.eps)
    return DenseRows(_over_norm(module, g * xhat))


def _norm_bias(module: nn.Module, _: Tensor, g: Tensor) -> Rows:
    """dL_i/db = sum_t g_it."""
    return DenseRows(_over_norm(module, g))


_EMBEDDING = "torch.nn.modules.sparse.Embedding"
_IA3 = "peft.tuners.ia3.layer.Linear"
IA3_VECTORS = "ia3_l"
_DORA = "peft.tuners.lora.dora.DoraLinearLayer"

_FORMULAS: Mapping[str, Mapping[str, Formula]] = {
    "torch.nn.modules.linear.Linear": {"weight": _linear_weight, "bias": _features_bias},
    "torch.nn.modules.normalization.LayerNorm": {"weight": _norm_weight, "bias": _norm_bias},
    "transformers.pytorch_utils.Conv1D": {"weight": _conv1d_weight, "bias": _features_bias},
    _EMBEDDING: {"weight": _embedding_weight},
}


def type_name(module: nn.Module) -> str:
    """Return the full name of the exact type of `module`."""
    kind = type(module)
    return f"{kind.__module__}.{kind.__qualname__}"


def _kind(model: nn.Module, path: str, module: nn.Module, own: Mapping[str, str]) -> Kind:
    """Return how `module` is tapped.

    Raises:
        ConfigError: one of its trainable parameters, `own`, has no exact per-example gradient.
    """
    name = type_name(module)
    if own.keys() <= _FORMULAS.get(name, {}).keys():
        if name == _EMBEDDING:
            _refuse_embedding(path, module)
            return Kind.EMBEDDING
        return Kind.INPUT
    if name == _IA3:
        _refuse_ia3(path, module)
        return Kind.IA3
    if name == _DORA or _is_scale(module):
        return Kind.SCALE
    unknown = next(full for n, full in own.items() if n not in _FORMULAS.get(name, {}))
    raise ConfigError(
        f"{unknown} lies in a {_kind_of_place(model, path)}, for which no exact per-example "
        "gradient is known here: its clip, and with it the guarantee, would be false. Freeze it, "
        "or choose LoRA (of Linear or Conv1D layers), DoRA, IA3, prompt, prefix or p-tuning with "
        "an MLP, adapters of Linear layers, biases, norms, embeddings or a Linear head."
    )


def _kind_of_place(model: nn.Module, path: str) -> str:
    """Return the type of the innermost module at `path` that is no mere container."""
    module = model.get_submodule(path)
    while path and isinstance(module, nn.ParameterDict | nn.ParameterList):
        path = path.rpartition(".")[0]
        module = model.get_submodule(path)
    return type(module).__name__


def _is_scale(module: nn.Module) -> bool:
    """Return if `module` is a norm whose output is linear in its one weight, number by number.

    It is called a norm, and holds nothing but `weight`; and on fixed numbers it gives the same as
    its slope times its weight plus its value at weight zero.
    """
    if not type(module).__name__.endswith("Norm") or list(module.children()):
        return False
    if [name for name, _ in module.named_parameters()] != ["weight"] or list(module.buffers()):
        return False
    trial = copy.deepcopy(module).to(torch.float32)  # 16-bit numbers would hide a curve
    weight = trial.get_parameter("weight").detach()
    numbers = torch.arange(1.0, 3 * weight.numel() + 1, device=weight.device)
    x = (numbers.sin() * 2).view(3, *weight.shape)
    other = numbers[: weight.numel()].cos().view(weight.shape)

    def replay(parameters: Mapping[str, Tensor]) -> Tensor:
        out: Tensor = torch.func.functional_call(trial, dict(parameters), (x,))
        return out

    with torch.no_grad():
        predicted = slope_of(trial, replay) * other + replay({"weight": torch.zeros_like(weight)})
        found = replay({"weight": other})
    near = _PROBE_ROUNDINGS * torch.finfo(torch.float32).eps
    return found.shape == x.shape and torch.allclose(found, predicted, rtol=near, atol=near)


def _refuse_embedding(path: str, module: nn.Module) -> None:
    settings: dict[str, Any] = {
        "max_norm": getattr(module, "max_norm", None) is not None,
        "scale_grad_by_freq": getattr(module, "scale_grad_by_freq", False),
        "sparse": getattr(module, "sparse", False),
    }
    for setting, on in settings.items():
        if on:
            raise ConfigError(
                f"{path} is an Embedding with {setting}, which changes weights or gradients by "
                "what the whole batch holds: no example has a gradient of its own to clip. Turn "
                "it off, or freeze this layer."
            )


def _refuse_ia3(path: str, module: nn.Module) -> None:
    vectors = len(list(module.get_submodule(IA3_VECTORS).parameters()))
    if vectors > 1:
        raise ConfigError(
            f"{path} holds {vectors} IA3 vectors, whose product is trained: the gradient of "
            "one is not known here. Delete all adapters but one."
        )


def _refuse_batch_layers(model: nn.Module) -> None:
    for path, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            raise ConfigError(
                f"{path} is a {type(module).__name__}: it mixes the examples of a batch, so no "
                "example has a gradient of its own to clip. Replace it by GroupNorm or LayerNorm."
            )


def _refuse_shared(model: nn.Module) -> None:
    """Refuse a trainable parameter that has memory in common with another parameter.

    One parameter in two places is no other: each of its layers adds to its one gradient.
    """
    named = list(model.named_parameters())
    memory = Counter(_memory(parameter) for _, parameter in named)
    for name, parameter in named:
        if parameter.requires_grad and parameter.numel() and memory[_memory(parameter)] > 1:
            others = [n for n, p in named if _memory(p) == _memory(parameter) and n != name]
            raise ConfigError(
                f"{name} shares its memory with {', '.join(others)} without being the same "
                "parameter: a step on one would change the other. Tie them by assigning one "
                "parameter, or freeze them."
            )


def _memory(parameter: Tensor) -> int:
    return parameter.untyped_storage().data_ptr()
