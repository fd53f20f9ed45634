"""What one module of a model reads, or hands on, for every record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from domains.classification import evaluating, sentence_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from domains.classification import SentenceClassification
    from domains.encoding import EncodedRecords, MicroBatch


def watch_input(  # noqa: PLR0913, PLR0917 - a model, its records, and what is done with each batch
    task: SentenceClassification,
    model: nn.Module,
    encoded: EncodedRecords,
    module: nn.Module,
    take: Callable[[MicroBatch, Tensor], None],
    micro_batch: int = 64,
) -> None:
    """Run `model` over all records and hand `take` what `module` reads of each micro-batch.

    In evaluation mode and without gradients.

    Raises:
        ConfigError: the module does not read one tensor in one forward pass.
    """
    seen: list[object] = []

    def keep(_: nn.Module, inputs: tuple[object, ...]) -> None:
        seen.append(inputs[0] if inputs else None)

    handle = module.register_forward_pre_hook(keep)
    everything = np.arange(len(encoded), dtype=np.int64)
    try:
        with evaluating(model), torch.no_grad():
            for batch in task.micro_batches(encoded, everything, micro_batch):
                seen.clear()
                sentence_logits(model, batch)
                take(batch, _the_one(seen, module))
    finally:
        handle.remove()


def _the_one(seen: list[object], module: nn.Module) -> Tensor:
    if len(seen) != 1 or not isinstance(seen[0], Tensor):
        raise ConfigError(
            f"A {type(module).__name__} of this model reads {len(seen)} inputs in one forward "
            "pass, or something else than a tensor: what it is handed cannot be computed "
            "beforehand. Use another base model, or set `runtime.cache_layers` to false."
        )
    return seen[0]
