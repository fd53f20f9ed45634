"""One loss per record, from a forward pass, or from what the frozen model gave once."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, final

import numpy as np

from crypto.errors import ConfigError, IntegrityError
from domains.frozen_layers import FrozenLayers
from domains.head_states import HeadStates
from domains.sentence_head import SentenceHead, best_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from torch import Tensor

    from domains.encoding import EncodedRecords, MicroBatch
    from domains.tasks import TrainedTask
    from secure_fl.sites.trained_model import TrainedModel

_HEAD_BATCH = 4096
"""Records of one pass through a head alone, whose states are small."""


@final
class RecordLosses:
    """The losses and predictions of encoded records under the model as it is now."""

    def __init__(
        self,
        task: TrainedTask,
        adapted: TrainedModel,
        encoded: EncodedRecords,
        micro_batch: int,
        *,
        cache_layers: bool = False,
    ) -> None:
        self._task = task
        self._adapted = adapted
        self._encoded = encoded
        self.micro_batch = micro_batch
        self._frozen: FrozenLayers | None = None
        if cache_layers:
            if not isinstance(task, SentenceHead):
                raise ConfigError(
                    "`runtime.cache_layers` keeps layers below a sentence's classifier, and this "
                    "run asks a language model: they would not be its own. Set it to false."
                )
            if adapted.frozen_layers:
                self._frozen = FrozenLayers.of(task, adapted.model, encoded, adapted.frozen_layers)
        self._states: tuple[NDArray[np.float32], HeadStates] | None = None
        """The parameters before the head, and what they give."""

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._encoded)

    def batches(
        self, indices: NDArray[np.int64], *, head_only: bool, neighbours: bool = False
    ) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield the records at `indices`, each once per mention, as (B,) indices and (B,) losses.

        A record that is read as several texts has a row for each, whose losses add up to its own.

        Args:
            indices: positions among the records; may be empty.
            head_only: whether nothing but the classifier is trained at the moment.
            neighbours: whether records next to each other stay in one batch, or in two that follow
                on each other; otherwise batches are of like length, which pads less.
        """
        model = self._adapted.model
        if head_only:
            states = self._frozen_states()
            for start in range(0, indices.size, _HEAD_BATCH):
                chosen = indices[start : start + _HEAD_BATCH]
                yield states.losses(model, chosen)
            return
        cut = self.micro_batch if neighbours else max(1, indices.size)
        for start in range(0, indices.size, cut):
            part = indices[start : start + cut]
            for batch in self._task.micro_batches(self._encoded, part, self.micro_batch):
                with self._below(batch):
                    losses = self._task.losses(model, batch)
                yield batch.indices, losses

    @property
    def one_row_each(self) -> bool:
        """Whether every record has one row in a batch."""
        return not self._encoded.texts

    def scores(self, *, head_only: bool) -> tuple[NDArray[np.float64], ...]:
        """Return what each choice of each record scores, (choices,) each."""
        if head_only:
            return self._frozen_states().scores(self._adapted.model)
        return self._task.scores(self._adapted.model, self._encoded, within=self._below)

    def predict(self, *, head_only: bool) -> NDArray[np.int64]:
        """Return the choice of the highest score for each record, shape (n,)."""
        return best_of(self.scores(head_only=head_only))

    def _below(self, batch: MicroBatch) -> AbstractContextManager[None]:
        """Return the block in which layers that are frozen are not computed again."""
        if self._frozen is None:
            return nullcontext()
        return self._frozen.instead(self._adapted.model, batch)

    def _frozen_states(self) -> HeadStates:
        """Return what the head is handed, computed anew if anything before it changed."""
        before = self._adapted.flat_but_head()
        if not isinstance(self._task, SentenceHead):
            raise IntegrityError("A model without a classifier was to train its classifier alone.")
        if self._states is None or not np.array_equal(before, self._states[0]):
            states = HeadStates.of(self._task, self._adapted.model, self._encoded)
            self._states = before, states
        return self._states[1]
