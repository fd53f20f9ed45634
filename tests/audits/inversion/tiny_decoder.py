"""A causal transformer of two layers in plain torch, and the gradient of one text through it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH, VOCABULARY, CLASSES, LONGEST = 16, 40, 3, 8


class Layer(nn.Module):
    """One head that looks back, and two linear maps with tanh between."""

    def __init__(self) -> None:
        super().__init__()
        self.looks, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, states: Tensor) -> Tensor:
        query, key, value = self.looks(states).chunk(3, dim=-1)
        ahead = torch.ones(len(states), len(states), dtype=torch.bool).triu(1)
        scores = (query @ key.T / math.sqrt(WIDTH)).masked_fill(ahead, -torch.inf)
        states = states + self.out(torch.softmax(scores, dim=-1) @ value)
        return states + self.down(torch.tanh(self.up(states)))


class TinyDecoder(nn.Module):
    """Embeddings (t, 16) to the scores of three classes; the embedding table is public."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.register_buffer("table", torch.randn(VOCABULARY, WIDTH))
            self.register_buffer("places", 0.5 * torch.randn(LONGEST, WIDTH))
            self.layers = nn.Sequential(Layer(), Layer())
            self.head = nn.Linear(WIDTH, CLASSES)
        self.double()

    def forward(self, embeddings: Tensor) -> Tensor:
        return self.head(self.layers(embeddings + self.places[: len(embeddings)]).mean(dim=0))

    def gradient_of(self, embeddings: Tensor, label: Tensor) -> Mapping[str, Tensor]:
        """Return what a site would send for one text, by parameter."""
        loss = -(label * torch.log_softmax(self(embeddings), dim=-1)).sum()
        named = dict(self.named_parameters())
        found = torch.autograd.grad(loss, list(named.values()), create_graph=True)
        return dict(zip(named, found, strict=True))
