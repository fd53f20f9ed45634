"""A model with a few layers of numbers, one per canary in each, and the task of moving them.

Record i is one token, k_i; its loss is the numbers at row k_i, a_l times that of layer l, so that
its gradient is a_l there and zero elsewhere, and longer than the clip in every layer and as a
whole. Tapping, clipping, sampling and noise are the trainer's own.
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
    from secure_fl.rehearsal.canary_layers import CanaryLayers

_PREFIX: Final = "canary "


@final
class CanaryModel:
    """The numbers of `layers`, all zero at first, in the place of an adapter."""

    def __init__(self, layers: CanaryLayers) -> None:
        self.model: nn.Module = _Numbers(layers.rows)
        self.parameters: Mapping[str, nn.Parameter] = dict(self.model.named_parameters())
        self.spec = spec_of(layers)
        self.head_only = False
        self.frozen_layers = 0

    def train_head_only(self, *, only: bool) -> None:
        """Do nothing: there is no head."""

    def load(self, shared: NDArray[np.float32]) -> None:
        """Set the numbers, shape (size,), layer after layer."""
        values = torch.from_numpy(np.array(shared, np.float32))
        parts = torch.split_with_sizes(values, [each.size for each in self.spec.parameters])
        with torch.no_grad():
            for parameter, part in zip(self.parameters.values(), parts, strict=True):
                parameter.copy_(part.view(-1, 1))

    def flat(self) -> NDArray[np.float32]:
        """Return the numbers, shape (size,), layer after layer."""
        return flat_of(self.spec, self.parameters).astype(np.float32)

    def flat_but_head(self) -> NDArray[np.float32]:
        """Return the numbers, shape (size,)."""
        return self.flat()


class _Numbers(nn.Module):
    def __init__(self, rows: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Embedding(count, 1) for count in rows)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, token_ids: Tensor) -> Tensor:
        """Return the numbers at each row's token, (B, layers)."""
        return torch.cat([layer(token_ids)[:, 0] for layer in self.layers], dim=1)


def spec_of(layers: CanaryLayers) -> UpdateSpec:
    """Return what an update of the numbers of `layers` is made of."""
    named = zip(layers.names(), layers.rows, strict=True)
    return UpdateSpec(tuple(TensorSpec(name, (count, 1)) for name, count in named))


def flat_of(spec: UpdateSpec, named: Mapping[str, Tensor]) -> NDArray[np.float64]:
    """Return the arrays `named` in the order of `spec`, shape (size,)."""
    parts = [named[tensor.name].detach().double().numpy().ravel() for tensor in spec.parameters]
    return np.concatenate(parts)


@final
class CanaryTask:
    """Losses whose gradients are `gradient` on one row of the layers.

    Args:
        rows: how many rows every layer has.
        gradient: of a record in each layer, shape (layers,).
    """

    def __init__(self, rows: int, gradient: NDArray[np.float64]) -> None:
        self._rows = rows
        self._gradient = torch.from_numpy(gradient.astype(np.float32))

    @property
    def labels(self) -> tuple[str, ...]:
        """None: nothing is chosen."""
        return ()

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the row of each record as its only token."""
        return EncodedRecords(
            token_ids=tuple(np.array([self._row(r.text)], np.int64) for r in records),
            labels=np.zeros(len(records), np.int64),
        )

    def micro_batches(
        self, encoded: EncodedRecords, indices: NDArray[np.int64], size: int
    ) -> Iterator[MicroBatch]:
        """Yield the records at `indices` in batches of at most `size`."""
        yield from padded_batches(encoded, indices, size, 0)

    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """Return each record's numbers times its gradient, shape (B,)."""
        numbers: Tensor = model(batch.input_ids)
        return numbers @ self._gradient

    def scores(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> tuple[NDArray[np.float64], ...]:
        """Return each record's loss, (1,): the one answer that there is."""
        del micro_batch, within
        tokens = torch.from_numpy(np.array([row[0] for row in encoded.token_ids], np.int64))
        with torch.no_grad():
            numbers: Tensor = model(tokens.view(-1, 1))
            return tuple((numbers @ self._gradient).double().numpy().reshape(-1, 1))

    def _row(self, text: str) -> int:
        """Return the row that a canary names; that of any other text by its digest."""
        if text.startswith(_PREFIX):
            return int(text.removeprefix(_PREFIX))
        return int.from_bytes(sha256(text.encode())[:8], "big") % self._rows


def canary_record(row: int) -> Record:
    """Return the record whose gradient is on `row` of every layer."""
    return Record(f"canary-{row}", f"{_PREFIX}{row}", 0)
