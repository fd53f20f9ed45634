"""What a frozen model hands to its head, computed once for all records.

The head is linear, so the mean of a sentence's token logits is the head of the mean token state.
While nothing but the head is trained these states stay what they are, and a step costs no forward
pass through the model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from domains.classification import head_of
from domains.watching import watch_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domains.classification import SentenceClassification
    from domains.encoding import EncodedRecords, MicroBatch


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
            ConfigError: the model has no linear head, or one that reads more than one tensor.
        """
        rows: list[Tensor] = [torch.empty(0)] * len(encoded)

        def take(batch: MicroBatch, tokens: Tensor) -> None:
            weights = batch.attention_mask.to(tokens.dtype).unsqueeze(-1)
            means = (tokens * weights).sum(dim=1) / weights.sum(dim=1)
            for index, row in zip(batch.indices, means, strict=True):
                rows[int(index)] = row

        watch_input(task, model, encoded, head_of(model), take, micro_batch)
        return cls(torch.stack(rows), torch.from_numpy(encoded.labels))

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
