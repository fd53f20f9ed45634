"""A model with one number per canary, and the task of moving it.

Record i is one token, k_i; its loss is a times the number at k_i, so that its gradient is a on the
coordinate k_i and zero elsewhere, and a is above the clip. Tapping, clipping, sampling and
noise are the trainer's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np
import torch
from torch import Tensor, nn

from crypto.digests import sha256
from domains.encoding import EncodedRecords, padded_batches
from domains.records import Record
from privacy.update import TensorSpec, UpdateSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from domains.encoding import MicroBatch

_NAME: Final = "numbers.weight"
_PREFIX: Final = "canary "


@final
class CanaryModel:
    """`size` numbers, all zero at first, in the place of an adapter."""

    def __init__(self, size: int) -> None:
        self.model: nn.Module = _Numbers(size)
        self.parameters: Mapping[str, nn.Parameter] = dict(self.model.named_parameters())
        self.spec = UpdateSpec((TensorSpec(_NAME, (size, 1)),))
        self.head_only = False
        self.frozen_layers = 0

    def train_head_only(self, *, only: bool) -> None:
        """Do nothing: there is no head."""

    def load(self, shared: NDArray[np.float32]) -> None:
        """Set the numbers, shape (size,)."""
        with torch.no_grad():
            values = torch.from_numpy(np.array(shared, np.float32))
            self.parameters[_NAME].copy_(values.view(-1, 1))

    def flat(self) -> NDArray[np.float32]:
        """Return the numbers, shape (size,)."""
        return self.parameters[_NAME].detach().numpy().ravel().astype(np.float32)

    def flat_but_head(self) -> NDArray[np.float32]:
        """Return the numbers, shape (size,)."""
        return self.flat()


class _Numbers(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.numbers = nn.Embedding(size, 1)
        nn.init.zeros_(self.numbers.weight)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the number of each row's token, (B,)."""
        found: Tensor = self.numbers(token_ids)[:, 0, 0]
        return found


@final
class CanaryTask:
    """Losses whose gradients are `length` on one coordinate of `size`."""

    def __init__(self, size: int, length: float) -> None:
        self._size = size
        self._length = length

    @property
    def labels(self) -> tuple[str, ...]:
        """None: nothing is chosen."""
        return ()

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the coordinate of each record as its only token."""
        return EncodedRecords(
            token_ids=tuple(np.array([self._coordinate(r.text)], np.int64) for r in records),
            labels=np.zeros(len(records), np.int64),
        )

    def micro_batches(
        self, encoded: EncodedRecords, indices: NDArray[np.int64], size: int
    ) -> Iterator[MicroBatch]:
        """Yield the records at `indices` in batches of at most `size`."""
        yield from padded_batches(encoded, indices, size, 0)

    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """Return `length` times each record's number, shape (B,)."""
        found: Tensor = model(batch.input_ids)
        return found * self._length

    def scores(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> tuple[NDArray[np.float64], ...]:
        """Return each record's number, (1,): the one answer that there is."""
        del micro_batch, within
        tokens = torch.from_numpy(np.array([row[0] for row in encoded.token_ids], np.int64))
        with torch.no_grad():
            return tuple(model(tokens.view(-1, 1)).double().numpy().reshape(-1, 1))

    def _coordinate(self, text: str) -> int:
        """Return the coordinate that a canary names; that of any other text by its digest."""
        if text.startswith(_PREFIX):
            return int(text.removeprefix(_PREFIX))
        return int.from_bytes(sha256(text.encode())[:8], "big") % self._size


def canary_record(coordinate: int) -> Record:
    """Return the record whose gradient is on `coordinate`."""
    return Record(f"canary-{coordinate}", f"{_PREFIX}{coordinate}", 0)
