"""Sentence classification: one of the labels that all records share.

See `domains.sentence_head` for the model. Nothing here prints text or token ids.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch.nn import functional

from crypto.errors import ConfigError
from domains.encoding import EncodedRecords
from domains.sentence_head import SentenceHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from domains.base_models import ResolvedModel
    from domains.encoding import Owners
    from domains.records import Record


class SentenceClassification(SentenceHead):
    """The task: one of `labels` for each text, by a base model with a linear head.

    Args:
        resolved: the base model's folder, its digest checked.
        labels: the classes, in the order of a record's `label`.
        max_length: tokens, special ones included, to cut a text at.

    Raises:
        ConfigError: fewer than two classes, a length that the model does not have, or a folder
            whose configuration or tokenizer does not load.
    """

    def __init__(
        self, resolved: ResolvedModel, labels: tuple[str, ...], max_length: int = 128
    ) -> None:
        if len(labels) < 2 or len(set(labels)) != len(labels):  # noqa: PLR2004 - one is no choice
            raise ConfigError(
                f"A classification needs two or more different labels, not {len(labels)} "
                "of which some repeat: no model was built. Correct the data set's labels."
            )
        super().__init__(resolved, labels, labels, max_length)

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the token ids and labels of `records`, in their order, without padding.

        Raises:
            ConfigError: a record that has no tokens or no valid label, named by its id.
        """
        for record in records:
            if record.options:
                raise ConfigError(
                    f"Record {record.id!r} brings options of its own, and a classifier knows only "
                    "labels that all records share: nothing was encoded. Name the data set that it "
                    "is from, whose kind the task follows, or ask a causal language model "
                    "(`mechanism.prompt`)."
                )
            if not 0 <= record.label < len(self.labels):
                raise ConfigError(
                    f"Record {record.id!r} has label {record.label}, outside the "
                    f"{len(self.labels)} classes: nothing was encoded. Correct its label."
                )
        labels = np.array([record.label for record in records], dtype=np.int64)
        texts = [record.text for record in records]
        return EncodedRecords(self._tokens(texts, [record.id for record in records]), labels)

    def losses_of(self, outputs: Tensor, owners: Owners) -> Tensor:
        """Return the cross-entropy of each record in nats, shape (B,)."""
        labels = owners.labels.to(outputs.device)
        return functional.cross_entropy(outputs, labels, reduction="none")

    def scores_of(self, outputs: Tensor, choices: int) -> Tensor:
        """Return the logits of the one row, shape (choices,)."""
        return outputs[0, :choices]
