"""What a trainer and an evaluator ask of a task, whatever its head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from domains.base_models import ResolvedModel
    from domains.encoding import EncodedRecords, MicroBatch
    from domains.records import Record


class TrainedTask(Protocol):
    """What a trainer asks: records in, losses out."""

    @property
    def labels(self) -> tuple[str, ...]:
        """What one is chosen from, in the order of a record's `label`."""

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the token ids and labels of `records`, in their order."""

    def micro_batches(
        self, encoded: EncodedRecords, indices: NDArray[np.int64], size: int
    ) -> Iterator[MicroBatch]:
        """Yield the records at `indices`, each once per mention, in batches of at most `size`."""

    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """Return losses in nats, shape (B,), with their graph; never a mean over the batch.

        Each of the batch's rows has one, and those of a record add up to its loss.
        """

    def scores(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> tuple[NDArray[np.float64], ...]:
        """Return what each choice of each record scores, (choices,) each, in the order given."""


class Task(TrainedTask, Protocol):
    """A base model, and what is asked of it about each record."""

    @property
    def resolved(self) -> ResolvedModel:
        """The base model's folder, its digest checked."""

    @property
    def has_head(self) -> bool:
        """Whether a classifier is trained on top, which starts from nothing."""

    def build_model(self, seed: int) -> PreTrainedModel:
        """Return the stock model in evaluation mode; every party builds the same bytes."""

    def predict(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> NDArray[np.int64]:
        """Return the most probable choice for each record, shape (n,), in the order given."""
