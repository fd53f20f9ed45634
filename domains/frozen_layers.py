"""What a model's frozen lower layers make of each text, computed once.

Where only upper layers are tuned, the hidden states that the first of them is handed never change.
They are kept per text, without padding, and put in the place of the layers below: a step then
costs the upper layers alone, and its numbers are the same but for the rounding of padded sums.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from domains.watching import watch_input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domains.encoding import EncodedRecords, MicroBatch
    from domains.sentence_head import SentenceHead


@dataclass(frozen=True, eq=False)
class FrozenLayers:
    """The hidden states below the first tuned layer, (length_i, hidden) per text; not shown.

    Attributes:
        count: how many layers are frozen, from the first on.
        states: one float32 tensor per text.
    """

    count: int
    states: tuple[Tensor, ...] = field(repr=False)

    @classmethod
    def of(
        cls,
        task: SentenceHead,
        model: nn.Module,
        encoded: EncodedRecords,
        count: int,
        micro_batch: int = 64,
    ) -> Self:
        """Return what the first `count` layers of `model`, in evaluation mode, make of `encoded`.

        Raises:
            ConfigError: the model has no such layers, or hands them something else than one tensor
                of hidden states.
        """
        states: list[Tensor] = [torch.empty(0)] * len(encoded.token_ids)

        def take(batch: MicroBatch, hidden: Tensor) -> None:
            for text, row in zip(batch.texts, hidden, strict=True):
                length = encoded.token_ids[int(text)].size
                states[int(text)] = row[:length].clone()

        # The first tuned layer reads what the last frozen one hands on.
        watch_input(task, model, encoded, layers_of(model)[count], take, micro_batch)
        return cls(count, tuple(states))

    @contextmanager
    def instead(self, model: nn.Module, batch: MicroBatch) -> Iterator[None]:
        """Within the block, let a forward pass over `batch` begin at the first tuned layer."""
        rows = [self.states[int(text)] for text in batch.texts]
        padded = torch.zeros((*batch.input_ids.shape, rows[0].shape[-1]), dtype=rows[0].dtype)
        for place, row in enumerate(rows):
            padded[place, : len(row)] = row
        below = layers_of(model)[: self.count]
        for layer in below:
            layer.forward = _handing_on
        below[-1].forward = lambda *_, **__: padded
        try:
            yield
        finally:
            for layer in below:
                del layer.forward


def layers_of(model: nn.Module) -> nn.ModuleList:
    """Return the model's list of layers, one after another.

    Raises:
        ConfigError: it has none, or more than one.
    """
    count = getattr(getattr(model, "config", None), "num_hidden_layers", None)
    found = [
        module
        for module in model.modules()
        if isinstance(module, nn.ModuleList) and len(module) == count
    ]
    if len(found) != 1:
        raise ConfigError(
            f"{type(model).__name__} has {len(found)} lists of {count} layers, not one: what its "
            "lower layers make of a record cannot be kept. Set `runtime.cache_layers` to false."
        )
    return found[0]


def _handing_on(hidden: Tensor, *_: object, **__: object) -> Tensor:
    return hidden
