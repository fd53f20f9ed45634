"""What a frozen model hands to its head, computed once for all records.

The head is linear, so the mean of a sentence's token logits is the head of the mean token state.
While nothing but the head is trained these states stay what they are, and a step costs no forward
pass through the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crypto.errors import ConfigError
from domains.classification import evaluating, head_of, sentence_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domains.classification import EncodedRecords, SentenceClassification


@dataclass(frozen=True, eq=False)
class HeadStates:
    """The mean token states of encoded records, float32 of shape (n, hidden); does not show them.

    They hold as long as the model does not change but for its head: who trains anything else
    computes them anew.
    """

    states: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)

    @classmethod
    def of(
        cls,
        task: SentenceClassification,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
    ) -> Self:
        """Return the states that `model`, in evaluation mode, hands to its head.

        Raises:
            ConfigError: the model has no linear head.
        """
        head = head_of(model)
        seen: list[Tensor] = []
        handle = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        rows: list[Tensor] = [torch.empty(0)] * len(encoded)
        everything = np.arange(len(encoded), dtype=np.int64)
        try:
            with evaluating(model), torch.inference_mode():
                for batch in task.micro_batches(encoded, everything, micro_batch):
                    seen.clear()
                    sentence_logits(model, batch)
                    for place, row in zip(
                        batch.indices, _means(seen, batch.attention_mask), strict=True
                    ):
                        rows[int(place)] = row
        finally:
            handle.remove()
        # Cloned outside of inference mode, so that autograd may read them.
        return cls(torch.stack(rows).clone(), torch.from_numpy(encoded.labels))

    def __len__(self) -> int:
        """How many records these are."""
        return len(self.labels)

    def losses(self, model: nn.Module, indices: NDArray[np.int64]) -> Tensor:
        """Return the cross-entropy in nats of the records at `indices`, (B,), with its graph."""
        chosen = torch.from_numpy(indices)
        logits = head_of(model)(self.states[chosen])
        return functional.cross_entropy(logits, self.labels[chosen], reduction="none")

    def predict(self, model: nn.Module) -> NDArray[np.int64]:
        """Return the most probable label of each record, shape (n,)."""
        with torch.inference_mode():
            chosen: NDArray[np.int64] = head_of(model)(self.states).argmax(dim=-1).numpy()
        return chosen


def _means(seen: list[Tensor], mask: Tensor) -> Tensor:
    """Return the mean over the mask (B, T) of the one tensor (B, T, hidden) that was seen."""
    if len(seen) != 1:
        raise ConfigError(
            f"The model's head ran {len(seen)} times in one forward pass, not once: what it is "
            "handed cannot be computed beforehand. Use a base model with one linear head."
        )
    weights = mask.to(seen[0].dtype).unsqueeze(-1)
    return (seen[0] * weights).sum(dim=1) / weights.sum(dim=1)
