"""Next-item ranking from titles: which of a record's options comes after those in its history.

Each title is read alone, and the head's outputs are its place among titles. A history's place is
the mean of its titles' unit vectors, a step further back weighing `DECAY` of the next; an option's
score is the cosine of the two over `TEMPERATURE`. So a title is read once for all who meet it.

A record teaches every step of its history, as sequential recommenders are trained (Kang and
McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018): after each title the next one has
to stand out among the record's wrong options. Its loss is the mean of these softmax losses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch.nn import functional

from domains.choices import check_options, shared_out
from domains.encoding import EncodedRecords
from domains.sentence_head import SentenceHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from domains.base_models import ResolvedModel
    from domains.encoding import Owners
    from domains.records import Record

WIDTH: Final = 128
"""Outputs of the head: the dimensions of a title's place."""
DECAY: Final = 0.7
"""How much a title weighs in a history beside the one that came after it."""
TEMPERATURE: Final = 0.05
"""What a cosine is divided by: the usual 20 as a factor of sentence encoders."""


class NextItemRanking(SentenceHead):
    """The task: a record's own options in order of how likely each comes next.

    Args:
        resolved: the base model's folder, its digest checked.
        labels: of the data set; none, since options are in any number.
        max_length: tokens of one title, special ones included, to cut it at.

    Raises:
        ConfigError: a length that the model does not have, or a folder whose configuration or
            tokenizer does not load.
    """

    def __init__(
        self, resolved: ResolvedModel, labels: tuple[str, ...] = (), max_length: int = 32
    ) -> None:
        outputs = tuple(f"dimension-{number}" for number in range(WIDTH))
        super().__init__(resolved, labels, outputs, max_length)

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the token ids of every title once, and which of them each record names.

        Raises:
            ConfigError: a record has no options or no valid label, or a title has no tokens; the
                record is named by its id.
        """
        places: dict[str, int] = {}
        first: list[str] = []
        rows = []
        for record in records:
            check_options(record)
            titles = [*record.text.split("\n"), *record.options]
            for title in titles:
                if places.setdefault(title, len(places)) == len(first):
                    first.append(record.id)
            rows.append(np.array([places[title] for title in titles], dtype=np.int64))
        return EncodedRecords(
            self._tokens(list(places), first),
            np.array([record.label for record in records], dtype=np.int64),
            texts=tuple(rows),
            choices=np.array([len(record.options) for record in records], dtype=np.int64),
        )

    def losses_of(self, outputs: Tensor, owners: Owners) -> Tensor:
        """Return an equal part of its record's loss for each row, in nats, shape (B,)."""
        parts = [outputs.new_empty(0)]
        for group in owners.groups():
            choices = 0 if owners.choices is None else int(owners.choices[group.start])
            label = int(owners.labels[group.start])
            parts.append(shared_out(_loss(outputs[group], choices, label), group))
        return torch.cat(parts)

    def scores_of(self, outputs: Tensor, choices: int) -> Tensor:
        """Return the cosine of each option with the history, shape (choices,)."""
        places = functional.normalize(outputs, dim=-1)
        history, options = places[:-choices], places[-choices:]
        after_all = _weights(len(history)).to(outputs.device)[-1] @ history
        return options @ functional.normalize(after_all, dim=-1)


def _loss(outputs: Tensor, choices: int, label: int) -> Tensor:
    """Return a record's mean loss over the steps of its history and to its right option."""
    places = functional.normalize(outputs, dim=-1)
    history, options = places[:-choices], places[-choices:]
    wrong = torch.cat([options[:label], options[label + 1 :]])
    after = functional.normalize(_weights(len(history)).to(outputs.device) @ history, dim=-1)
    came = torch.cat([history[1:], options[label : label + 1]])
    right = (after * came).sum(dim=1, keepdim=True)  # (steps, 1)
    scores = torch.cat([right, after @ wrong.T], dim=1) / TEMPERATURE
    first = torch.zeros(len(history), dtype=torch.int64, device=outputs.device)
    return functional.cross_entropy(scores, first)


def _weights(steps: int) -> Tensor:
    """Return the weight of each title (column) after each step (row), shape (steps, steps)."""
    back = torch.arange(steps).unsqueeze(1) - torch.arange(steps)
    return torch.where(back >= 0, DECAY ** back.clamp(min=0).float(), 0.0)
