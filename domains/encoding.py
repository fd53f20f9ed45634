"""Records as token ids, and batches of them padded to one length. Neither shows what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor

    TokenIds = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecords:
    """Token ids without padding, with labels; shows neither.

    Attributes:
        token_ids: what is trained on: one int64 array of shape (length_i,) per record, special
            tokens included; a prompt and its right answer where a language model is asked.
        labels: int64, shape (n,).
        prompt_lengths: how many of the tokens are the prompt, which is not learned, int64, shape
            (n,); None where nothing is asked.
        answers: the tokens of each answer that a record may have, by record; empty likewise.
    """

    token_ids: tuple[TokenIds, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    prompt_lengths: NDArray[np.int64] | None = field(default=None, repr=False)
    answers: tuple[tuple[TokenIds, ...], ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return len(self.token_ids)

    def __repr__(self) -> str:
        return f"EncodedRecords(n={len(self)})"


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """B records padded on the right to the longest of them (T tokens); shows none of it.

    Attributes:
        indices: which of the encoded records these are, int64, shape (B,).
        input_ids: int64, shape (B, T).
        attention_mask: 1 for tokens and 0 for padding, int64, shape (B, T).
        labels: int64, shape (B,).
        learned: 1 for the tokens that a language model is to predict, int64, shape (B, T); None
            where nothing is asked.
    """

    indices: NDArray[np.int64] = field(repr=False)
    input_ids: Tensor = field(repr=False)
    attention_mask: Tensor = field(repr=False)
    labels: Tensor = field(repr=False)
    learned: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"MicroBatch(shape={tuple(self.input_ids.shape)})"


def padded_batches(
    encoded: EncodedRecords, indices: NDArray[np.int64], size: int, pad_id: int
) -> Iterator[MicroBatch]:
    """Yield the records at `indices`, each once per mention, in batches of at most `size`.

    They are sorted by length first, so that a batch pads little; the split is for speed only.

    Raises:
        ConfigError: `size` is below one.
    """
    if size < 1:
        raise ConfigError(
            f"A micro-batch of {size} records trains nothing. Set micro_batch to 1 or more."
        )
    lengths = np.array([encoded.token_ids[int(index)].size for index in indices])
    ordered = indices[np.argsort(lengths, kind="stable")] if indices.size else indices
    for start in range(0, ordered.size, size):
        yield _padded(encoded, ordered[start : start + size], pad_id)


def _padded(encoded: EncodedRecords, indices: NDArray[np.int64], pad_id: int) -> MicroBatch:
    rows = [encoded.token_ids[int(index)] for index in indices]
    input_ids, mask = pad(rows, pad_id)
    learned = None
    if encoded.prompt_lengths is not None:
        learned = mask.clone()
        for position, length in enumerate(encoded.prompt_lengths[indices]):
            learned[position, : int(length)] = 0
    return MicroBatch(
        indices=indices,
        input_ids=input_ids,
        attention_mask=mask,
        labels=torch.from_numpy(encoded.labels[indices]),
        learned=learned,
    )


def pad(rows: list[TokenIds], pad_id: int) -> tuple[Tensor, Tensor]:
    """Return the rows (B of them) padded on the right, and their mask, both int64 (B, T)."""
    shape = (len(rows), max(row.size for row in rows))
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    mask = np.zeros(shape, dtype=np.int64)
    for position, row in enumerate(rows):
        input_ids[position, : row.size] = row
        mask[position, : row.size] = 1
    return torch.from_numpy(input_ids), torch.from_numpy(mask)
