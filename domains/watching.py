"""What one module of a model reads, or hands on, for every text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from crypto.errors import ConfigError
from domains.sentence_head import evaluating, sentence_logits

if TYPE_CHECKING:
    from collections.abc import Callable

    from domains.encoding import EncodedRecords, MicroBatch
    from domains.sentence_head import SentenceHead


def watch_input(  # noqa: PLR0913, PLR0917 - a model, its records, and what is done with each batch
    task: SentenceHead,
    model: nn.Module,
    encoded: EncodedRecords,
    module: nn.Module,
    take: Callable[[MicroBatch, Tensor], None],
    micro_batch: int = 64,
) -> None:
    """Run `model` over every text of `encoded` and hand `take` what `module` reads of each.

    In evaluation mode and without gradients.

    Raises:
        ConfigError: the module does not read one tensor in one forward pass.
    """
    seen: list[object] = []

    def keep(_: nn.Module, inputs: tuple[object, ...]) -> None:
        seen.append(inputs[0] if inputs else None)

    handle = module.register_forward_pre_hook(keep)
    try:
        with evaluating(model), torch.no_grad():
            for batch in task.text_batches(encoded, micro_batch):
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
