"""Records as token ids, and batches of them padded to one length. Neither shows what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
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
class Owners:
    """Whose B rows are, a record's next to each other.

    Attributes:
        indices: which record's, int64, shape (B,).
        labels: that record's, int64, shape (B,).
        choices: how many of its rows, the last ones, it chooses from, int64, shape (B,); None where
            a record is one row.
    """

    indices: NDArray[np.int64] = field(repr=False)
    labels: Tensor = field(repr=False)
    choices: NDArray[np.int64] | None = field(default=None, repr=False)

    def groups(self) -> list[slice]:
        """Return where each record's rows stand, in order; a record stands in one place only."""
        edges = [0, *(np.flatnonzero(np.diff(self.indices)) + 1).tolist(), self.indices.size]
        return [slice(a, b) for a, b in pairwise(edges)] if self.indices.size else []


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRecords:
    """Token ids without padding, with labels; shows neither.

    Attributes:
        token_ids: what a model reads: one int64 array of shape (length_i,) per text, special
            tokens included; a prompt and its right answer where a language model is asked. Each is
            a record's, but where `texts` is given.
        labels: of n records, int64, shape (n,).
        prompt_lengths: how many of the tokens are the prompt, which is not learned, int64, shape
            (n,); None where nothing is asked.
        answers: the tokens of each answer that a record may have, by record; empty likewise.
        texts: which of `token_ids` each record is read as, one int64 array of shape (texts_i,) per
            record, where it is read as several; empty where each is read as one.
        choices: how many of a record's texts, the last ones, it chooses from, int64, shape (n,);
            None where each is read as one.
        token_types: where a text is a pair, which of the two each token is of (0 or 1), in the
            shapes of `token_ids`; empty where texts are no pairs, or the model is not told.
    """

    token_ids: tuple[TokenIds, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    prompt_lengths: NDArray[np.int64] | None = field(default=None, repr=False)
    answers: tuple[tuple[TokenIds, ...], ...] = field(default=(), repr=False)
    texts: tuple[TokenIds, ...] = field(default=(), repr=False)
    choices: NDArray[np.int64] | None = field(default=None, repr=False)
    token_types: tuple[TokenIds, ...] = field(default=(), repr=False)

    def __len__(self) -> int:
        return self.labels.size

    def owners(self, records: NDArray[np.int64]) -> tuple[Owners, NDArray[np.int64]]:
        """Return whose the texts of `records` are, and which texts, one record after another."""
        rows = [self.rows_of(int(record)) for record in records]
        indices = np.repeat(records, [own.size for own in rows])
        choices = None if self.choices is None else self.choices[indices]
        texts = np.concatenate([np.empty(0, np.int64), *rows])
        return Owners(indices, torch.from_numpy(self.labels[indices]), choices), texts

    def rows_of(self, record: int) -> TokenIds:
        """Return which of `token_ids` the record is read as, shape (texts,)."""
        return self.texts[record] if self.texts else np.array([record], np.int64)

    def __repr__(self) -> str:
        return f"EncodedRecords(n={len(self)})"


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """B texts padded on the right to the longest of them (T tokens); shows none of it.

    Attributes:
        owners: whose each text is. A record that is read as several has all of them in one batch.
        input_ids: int64, shape (B, T).
        attention_mask: 1 for tokens and 0 for padding, int64, shape (B, T).
        texts: which of the encoded texts these are, int64, shape (B,).
        learned: 1 for the tokens that a language model is to predict, int64, shape (B, T); None
            where nothing is asked.
        token_types: which text of a pair each token is of, 0 for padding, int64, shape (B, T); None
            where the model is not told.
    """

    owners: Owners = field(repr=False)
    input_ids: Tensor = field(repr=False)
    attention_mask: Tensor = field(repr=False)
    texts: NDArray[np.int64] = field(repr=False)
    learned: Tensor | None = field(default=None, repr=False)
    token_types: Tensor | None = field(default=None, repr=False)

    @property
    def indices(self) -> NDArray[np.int64]:
        """Which of the encoded records each text is of, shape (B,)."""
        return self.owners.indices

    @property
    def labels(self) -> Tensor:
        """Each text's record's label, shape (B,)."""
        return self.owners.labels

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"MicroBatch(shape={tuple(self.input_ids.shape)})"


def padded_batches(
    encoded: EncodedRecords, indices: NDArray[np.int64], size: int, pad_id: int
) -> Iterator[MicroBatch]:
    """Yield the records at `indices`, each once per mention, in batches of at most `size`.

    They are sorted by length first, so that a batch pads little; the split is for speed only. A
    record that is read as several texts brings all of them, of which `size` does not count each.

    Raises:
        ConfigError: `size` is below one.
    """
    if size < 1:
        raise ConfigError(
            f"A micro-batch of {size} records trains nothing. Set micro_batch to 1 or more."
        )
    if encoded.texts and np.unique(indices).size < indices.size:
        raise ConfigError(
            "A record that is read as several texts is in one batch twice: its texts could not be "
            "told apart. Draw every record once."
        )
    longest = [
        max(encoded.token_ids[int(row)].size for row in encoded.rows_of(int(i))) for i in indices
    ]
    ordered = indices[np.argsort(longest, kind="stable")] if indices.size else indices
    for start in range(0, ordered.size, size):
        owners, texts = encoded.owners(ordered[start : start + size])
        yield _padded(encoded, owners, texts, pad_id)


def text_batches(encoded: EncodedRecords, size: int, pad_id: int) -> Iterator[MicroBatch]:
    """Yield every encoded text once, whichever records are read as it, at most `size` in a batch.

    They are sorted by length. Where records are read as several texts a text has no owner: its
    index is -1.
    """
    lengths = [row.size for row in encoded.token_ids]
    ordered = np.argsort(lengths, kind="stable").astype(np.int64)
    for start in range(0, ordered.size, size):
        texts = ordered[start : start + size]
        if encoded.texts:
            nobody = np.full(texts.size, -1, np.int64)
            owners = Owners(nobody, torch.zeros(texts.size, dtype=torch.int64))
        else:
            owners, _ = encoded.owners(texts)
        yield _padded(encoded, owners, texts, pad_id)


def _padded(
    encoded: EncodedRecords, owners: Owners, texts: NDArray[np.int64], pad_id: int
) -> MicroBatch:
    input_ids, mask = pad([encoded.token_ids[int(text)] for text in texts], pad_id)
    learned = None
    if encoded.prompt_lengths is not None:
        learned = mask.clone()
        for position, length in enumerate(encoded.prompt_lengths[texts]):
            learned[position, : int(length)] = 0
    token_types = None
    if encoded.token_types:
        token_types, _ = pad([encoded.token_types[int(text)] for text in texts], 0)
    return MicroBatch(
        owners=owners,
        input_ids=input_ids,
        attention_mask=mask,
        texts=texts,
        learned=learned,
        token_types=token_types,
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
