"""The base model with the run's adapter on it, as the vector that is shared."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from peft import LoraConfig, TaskType, get_peft_model
from torch import nn

from crypto.digests import sha256
from crypto.errors import ConfigError
from domains.sentence_head import head_name
from privacy.update import TensorSpec, UpdateSpec
from secure_fl.methods.method import is_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from peft import PeftModel
    from transformers import PreTrainedModel

    from secure_fl.config import AdapterSection
    from secure_fl.methods import Method


class AdaptedModel:
    """A PEFT model whose trained parameters are exactly those that the method shares.

    Every party that builds one from the same configuration gets the same bytes: the low-rank
    factors A are drawn from the run's seed by name, B starts at zero.
    """

    def __init__(
        self, base: PreTrainedModel, adapter: AdapterSection, method: Method, seed: int
    ) -> None:
        self.model = _adapt(base, adapter, method)
        self._draw_factors(seed)
        trained = []
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(method.trains(name))
            if parameter.requires_grad:
                trained.append((name, parameter))
        if not trained:
            raise ConfigError(
                f"The method `{method.name}` trains no parameter of this model: every round "
                "would sum zeros. Check `mechanism.adapter.target_modules`."
            )
        self.parameters: dict[str, nn.Parameter] = dict(trained)
        self.head_only = self.trains_head_only
        """Whether nothing but the classifier is trained at the moment."""
        self.spec = UpdateSpec(
            tuple(TensorSpec(name, tuple(parameter.shape)) for name, parameter in trained)
        )

    def train_head_only(self, *, only: bool) -> None:
        """Freeze all but the classifier, or train every shared parameter again."""
        for name, parameter in self.parameters.items():
            parameter.requires_grad_(not only or is_head(name))
        self.head_only = only or self.trains_head_only

    def load(self, shared: NDArray[np.float32]) -> None:
        """Set the trained parameters from the flat vector `shared`, shape (d,)."""
        start = 0
        with torch.no_grad():
            for parameter in self.parameters.values():
                end = start + parameter.numel()
                values = torch.from_numpy(np.array(shared[start:end], np.float32))
                parameter.copy_(values.view(parameter.shape))
                start = end

    def flat(self) -> NDArray[np.float32]:
        """Return the trained parameters as one vector, shape (d,)."""
        return _flattened(list(self.parameters.values()))

    def flat_but_head(self) -> NDArray[np.float32]:
        """Return the shared parameters that are not the classifier's, shape (d - h,)."""
        return _flattened([p for name, p in self.parameters.items() if not is_head(name)])

    @property
    def frozen_layers(self) -> int:
        """How many of the model's layers, from the first on, nothing is trained in or before."""
        tuned = [_layer_of(name) for name in self.parameters if not is_head(name)]
        known = [layer for layer in tuned if layer is not None]
        # What is tuned outside of a layer may come before the first.
        return min(known) if known and len(known) == len(tuned) else 0

    @property
    def trains_head_only(self) -> bool:
        """Whether the method shares nothing but the classifier."""
        return all(is_head(name) for name in self.parameters)

    def save(self, folder: Path, base: str) -> None:
        """Write the adapter in PEFT's layout; `PeftModel.from_pretrained` loads it.

        Args:
            folder: where to.
            base: the base model's public name, in place of its path on this machine.
        """
        config = self.model.peft_config["default"]
        config.base_model_name_or_path = base
        if isinstance(config, LoraConfig):
            # PEFT keeps a set, whose order is another one in the process that resumes a run.
            config.target_modules = sorted(config.target_modules or ())
        # The base's vocabulary is never touched; "auto" would ask the hub to be sure.
        self.model.save_pretrained(str(folder), save_embedding_layers=False)

    def _draw_factors(self, seed: int) -> None:
        """Draw every A as PEFT does, uniform within 1/sqrt(fan-in), but from seed and name."""
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                if ".lora_A." not in name:
                    continue
                bound = 1.0 / math.sqrt(parameter.shape[1])
                key = int.from_bytes(sha256(f"{seed}/{name}".encode()), "big")
                values = np.random.default_rng(key).uniform(-bound, bound, parameter.shape)
                parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def _flattened(parameters: Sequence[nn.Parameter]) -> NDArray[np.float32]:
    parts = [p.detach().cpu().numpy().ravel() for p in parameters]
    return np.concatenate([np.empty(0), *parts]).astype(np.float32)


def _adapt(base: PreTrainedModel, adapter: AdapterSection, method: Method) -> PeftModel:
    head = head_name(base)
    # A causal language model has none: its answers are tokens.
    heads = [] if head is None else [head]
    norms = _norms(base, adapter) if method.tunes_norms else {}
    config = LoraConfig(
        task_type=TaskType.CAUSAL_LM if head is None else TaskType.TOKEN_CLS,
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=0.0,
        target_modules=[name for name in adapter.target_modules if name not in norms.values()],
        layers_to_transform=None if adapter.layers is None else list(adapter.layers),
        modules_to_save=[*heads, *norms] or None,
        # "lora_only" loses them: PEFT looks for the biases under names that they no longer have.
        bias="all" if method.tunes_biases else "none",
    )
    try:
        with warnings.catch_warnings():
            # peft asks transformers by a name that transformers has replaced.
            warnings.filterwarnings(
                "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
            )
            model: PeftModel = get_peft_model(base, config)
    except ValueError as error:
        raise _nothing_to_adapt(adapter.target_modules, adapter) from error
    adapted = {path for path, module in model.named_modules() if hasattr(module, "lora_A")}
    for layer in adapter.layers or ():
        if not any(_layer_of(path) == layer for path in (*adapted, *norms)):
            raise _nothing_to_adapt(adapter.target_modules, adapter)
    model.eval()
    return model


def _norms(base: nn.Module, adapter: AdapterSection) -> dict[str, str]:
    """Return the normalisations that the adapter names, by path, and by which of its names.

    PEFT trains them as it trains the head, in full.
    """
    found = {}
    for path, module in base.named_modules():
        name = path.rsplit(".", 1)[-1]
        if not type(module).__name__.endswith("Norm") or name not in adapter.target_modules:
            continue
        if adapter.layers is None or _layer_of(path) in adapter.layers:
            found[path] = name
    return found


def _layer_of(path: str) -> int | None:
    """Return which of the model's layers the module at `path` is in, counted from 0."""
    numbers = [int(part) for part in path.split(".") if part.isdecimal()]
    return numbers[0] if numbers else None


def _nothing_to_adapt(names: Sequence[str], adapter: AdapterSection) -> ConfigError:
    where = "" if adapter.layers is None else f" in each of the layers {list(adapter.layers)}"
    return ConfigError(
        f"No layer of this model is called {', '.join(names)}{where}: there is nothing to adapt. "
        "Name suffixes of its linear layers in `mechanism.adapter.target_modules`, and layers that "
        "it has in `mechanism.adapter.layers`."
    )
