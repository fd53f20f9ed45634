"""The network of `privacy.scrubbing.names.network` in torch, and its training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from privacy.scrubbing.names.features import (
    AFFIX_BUCKETS,
    AFFIXES,
    LISTS,
    PLACE_FLAGS,
    SHAPES,
    list_flags,
)
from privacy.scrubbing.names.network import DISTANCES, KINDS, WINDOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from recipes.names.examples import Example

HIDDEN: Final = 96
_WORD_WIDTH: Final = 40
_AFFIX_WIDTH: Final = 20
_DROPOUT: Final = 0.3
_BATCH: Final = 64
_RATE: Final = 3e-3
_UNLABELLED: Final = -100


class TrainedNetwork(nn.Module):
    """The same function as `Network.probabilities`, before its softmax, with dropout."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.word = nn.Embedding(words + 1, _WORD_WIDTH)
        self.word_out = nn.Linear(_WORD_WIDTH, HIDDEN)
        self.affix = nn.ModuleList(
            nn.Embedding(AFFIX_BUCKETS, _AFFIX_WIDTH) for _ in range(AFFIXES)
        )
        self.affix_out = nn.ModuleList(
            nn.Linear(_AFFIX_WIDTH, HIDDEN, bias=False) for _ in range(AFFIXES)
        )
        self.shape = nn.Embedding(SHAPES, HIDDEN)
        self.lists = nn.Linear(LISTS, HIDDEN, bias=False)
        self.place = nn.Linear(PLACE_FLAGS, HIDDEN, bias=False)
        self.windows = nn.ModuleList(nn.Linear(WINDOW * HIDDEN, HIDDEN) for _ in DISTANCES)
        self.kind = nn.Linear(HIDDEN, len(KINDS))
        self.dropout = nn.Dropout(_DROPOUT)

    def forward(
        self, rows: torch.Tensor, lists: torch.Tensor, flags: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Return scores `(batch, n, kinds)`; `mask (batch, n, 1)` is 0 where a text has ended."""
        total = self.word_out(self.word(rows[..., 0])) + self.shape(rows[..., 1 + AFFIXES])
        for number in range(AFFIXES):
            total = total + self.affix_out[number](self.affix[number](rows[..., 1 + number]))
        total = total + self.lists(lists) + self.place(flags)
        hidden = self.dropout(torch.relu(total)) * mask
        for layer, distance in zip(self.windows, DISTANCES, strict=True):
            edge = distance * (WINDOW // 2)
            padded = functional.pad(hidden, (0, 0, edge, edge))
            count = hidden.shape[1]
            near = [padded[:, s * distance : s * distance + count] for s in range(WINDOW)]
            hidden = (hidden + self.dropout(torch.relu(layer(torch.cat(near, dim=2))))) * mask
        found: torch.Tensor = self.kind(hidden)
        return found

    def tensors(self) -> dict[str, NDArray[np.float16]]:
        """Return the weights as `Network.of` reads them."""
        found = {
            "word": self.word.weight,
            "word.out": self.word_out.weight.T,
            "affix": torch.stack([table.weight for table in self.affix]),
            "affix.out": torch.stack([layer.weight.T for layer in self.affix_out]),
            "shape": self.shape.weight,
            "lists": self.lists.weight.T,
            "place": self.place.weight.T,
            "bias": self.word_out.bias,
            "kind": self.kind.weight.T,
            "kind.bias": self.kind.bias,
        }
        for number, layer in enumerate(self.windows):
            found[f"window.{number}"] = layer.weight.T
            found[f"window.{number}.bias"] = layer.bias
        return {
            name: np.ascontiguousarray(tensor.detach().numpy().astype(np.float16))
            for name, tensor in found.items()
        }


def train_epoch(
    network: TrainedNetwork,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    examples: Sequence[Example],
    order: Sequence[int],
) -> float:
    """Train on all `examples` once, texts of like length together; return the mean loss."""
    network.train()
    losses = []
    for batch in _batches(examples, order):
        rows, lists, flags, mask, kinds = _padded(batch)
        scores = network(rows, lists, flags, mask)
        loss = functional.cross_entropy(
            scores.flatten(0, 1), kinds.flatten(), ignore_index=_UNLABELLED
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def steps_of(texts: int) -> int:
    """Return how many steps one epoch over that many texts takes."""
    return -(-texts // _BATCH)


def optimiser_for(
    network: TrainedNetwork, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Return AdamW and a rate that rises for a tenth of the steps and falls to nothing."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, steps, pct_start=0.1)
    return optimiser, schedule


def _batches(examples: Sequence[Example], order: Sequence[int]) -> Iterator[list[Example]]:
    """Yield batches in the given order, each of neighbours in length."""
    by_length = sorted(range(len(examples)), key=lambda i: len(examples[i].kinds))
    starts = list(range(0, len(by_length), _BATCH))
    for number in sorted(range(len(starts)), key=lambda i: order[i]):
        start = starts[number]
        yield [examples[i] for i in by_length[start : start + _BATCH]]


def _padded(batch: Sequence[Example]) -> tuple[torch.Tensor, ...]:
    longest = max(len(example.kinds) for example in batch)
    rows = np.zeros((len(batch), longest, batch[0].rows.shape[1]), np.int64)
    flags = np.zeros((len(batch), longest, PLACE_FLAGS), np.float32)
    mask = np.zeros((len(batch), longest, 1), np.float32)
    kinds = np.full((len(batch), longest), _UNLABELLED, np.int64)
    for number, example in enumerate(batch):
        count = len(example.kinds)
        rows[number, :count] = example.rows
        flags[number, :count] = example.flags
        mask[number, :count] = 1
        kinds[number, :count] = example.kinds
    lists = list_flags(rows[..., -1].reshape(-1)).reshape(len(batch), longest, LISTS)
    return tuple(torch.from_numpy(a) for a in (rows, lists, flags, mask, kinds))
