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

from domains.sentence_head import head_of
from domains.watching import watch_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domains.encoding import EncodedRecords, MicroBatch
    from domains.sentence_head import SentenceHead


@dataclass(frozen=True, eq=False)
class HeadStates:
    """The mean token states of encoded texts, float32 of shape (texts, hidden); does not show them.

    They hold as long as the model does not change but for its head: who trains anything else
    computes them anew.
    """

    task: SentenceHead
    encoded: EncodedRecords
    states: Tensor = field(repr=False)

    @classmethod
    def of(
        cls,
        task: SentenceHead,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
    ) -> Self:
        """Return the states that `model`, in evaluation mode, hands to its head.

        Raises:
            ConfigError: the model has no linear head, or one that reads more than one tensor.
        """
        rows: list[Tensor] = [torch.empty(0)] * len(encoded.token_ids)

        def take(batch: MicroBatch, tokens: Tensor) -> None:
            weights = batch.attention_mask.to(tokens.dtype).unsqueeze(-1)
            means = (tokens * weights).sum(dim=1) / weights.sum(dim=1)
            for text, row in zip(batch.texts, means, strict=True):
                rows[int(text)] = row

        watch_input(task, model, encoded, head_of(model), take, micro_batch)
        return cls(task, encoded, torch.stack(rows))

    def losses(
        self, model: nn.Module, records: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Tensor]:
        """Return whose each row of `records` is, and its loss in nats with its graph, (B,) both."""
        owners, texts = self.encoded.owners(records)
        outputs = head_of(model)(self.states[torch.from_numpy(texts)])
        return owners.indices, self.task.losses_of(outputs, owners)

    def scores(self, model: nn.Module) -> tuple[NDArray[np.float64], ...]:
        """Return what each choice of each record scores, (choices,) each."""
        with torch.inference_mode():
            return self.task.scores_from(self.encoded, head_of(model)(self.states))
