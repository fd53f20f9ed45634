"""Multiple choice: which of a record's own options is right, by an encoder that reads each in turn.

Every option is read behind the record's text, as a pair in the form of the tokenizer, and the head
gives it one number; the softmax over a record's options is what it believes (as BERT was tuned on
SWAG: Devlin et al. 2019, section 4.4, but with the mean of the tokens in the place of the first).
Models of BERT's family are told which tokens are the option's, as they were in pretraining.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoConfig

from crypto.errors import ConfigError
from domains.encoding import EncodedRecords
from domains.sentence_head import SentenceHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from domains.base_models import ResolvedModel
    from domains.encoding import Owners
    from domains.records import Record

    Rows = tuple[NDArray[np.int64], ...]

_OUTPUT = "right"


class MultipleChoice(SentenceHead):
    """The task: one of each record's own options, by a base model with a linear head.

    Args:
        resolved: the base model's folder, its digest checked.
        labels: names of the places among the options, such as A to D; none where records have
            options in any number.
        max_length: tokens of a text and one option; the text is cut at its end, never the option.

    Raises:
        ConfigError: a length that the model does not have, or a folder whose configuration or
            tokenizer does not load.
    """

    def __init__(
        self, resolved: ResolvedModel, labels: tuple[str, ...], max_length: int = 128
    ) -> None:
        super().__init__(resolved, labels, (_OUTPUT,), max_length)
        config = AutoConfig.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
        # Every stock token classifier whose configuration counts types takes them (some others
        # call something else by that name: GPT-2 reads them as words).
        self._known_types = int(getattr(config, "type_vocab_size", 0) or 0)

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the token ids of every text with every option, and the right ones' places.

        Raises:
            ConfigError: a record has no options or no valid label, or an option leaves no room for
                the text within `max_length`; the record is named by its id.
        """
        texts: list[str] = []
        options: list[str] = []
        for record in records:
            check_options(record)
            self._check_room(record)
            texts += [record.text] * len(record.options)
            options += record.options
        counts = np.array([len(record.options) for record in records], dtype=np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        token_ids, token_types = self._pairs(texts, options)
        return EncodedRecords(
            token_ids,
            np.array([record.label for record in records], dtype=np.int64),
            texts=tuple(
                np.arange(start, start + count, dtype=np.int64)
                for start, count in zip(starts, counts, strict=False)
            ),
            choices=counts,
            token_types=token_types,
        )

    def losses_of(self, outputs: Tensor, owners: Owners) -> Tensor:
        """Return an equal part of its record's cross-entropy for each row, in nats, shape (B,)."""
        parts = [outputs.new_empty(0)]
        for group in owners.groups():
            loss = functional.cross_entropy(
                outputs[group, 0].unsqueeze(0), owners.labels[group][:1].to(outputs.device)
            )
            parts.append(shared_out(loss, group))
        return torch.cat(parts)

    def scores_of(self, outputs: Tensor, choices: int) -> Tensor:
        """Return the logit of each of the record's options, shape (choices,)."""
        return outputs[:choices, 0]

    def _pairs(self, texts: list[str], options: list[str]) -> tuple[Rows, Rows]:
        """Return the tokens of each pair, and which of the two each is of.

        The second is empty where the tokenizer does not say it, or the model tells no such types
        apart.
        """
        if not texts:
            return (), ()
        encoded = self._tokenizer(
            texts,
            options,
            truncation="only_first",
            max_length=self.max_length,
            padding=False,
            return_attention_mask=False,
        )
        token_ids, token_types = (
            tuple(np.array(row, dtype=np.int64) for row in encoded.get(name, ()))
            for name in ("input_ids", "token_type_ids")
        )
        most = max((int(row.max()) for row in token_types), default=0)
        return token_ids, token_types if most < self._known_types else ()

    def _check_room(self, record: Record) -> None:
        """Raise ConfigError if an option takes the place of the whole text."""
        for option in record.options:
            alone = len(self._tokenizer("", option)["input_ids"])
            if alone >= self.max_length:
                raise ConfigError(
                    f"An option of record {record.id!r} takes {alone} tokens of the "
                    f"{self.max_length} of `max_length`: nothing of the text would be read. Raise "
                    "it, or leave the record out."
                )


def check_options(record: Record) -> None:
    """Return if the record has options of its own and its label is one of them.

    Raises:
        ConfigError: it is named by its id.
    """
    if not 0 <= record.label < len(record.options):
        raise ConfigError(
            f"Record {record.id!r} has label {record.label} and {len(record.options)} options of "
            "its own: nothing was encoded. Give it options, and the place of the right one."
        )


def shared_out(loss: Tensor, group: slice) -> Tensor:
    """Return `loss`, one number, in equal parts over the rows of `group`, shape (rows,)."""
    rows = group.stop - group.start
    part: Tensor = loss.reshape(1).expand(rows) / rows
    return part
