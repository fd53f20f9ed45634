"""Sentences through a stock token classifier, and what its linear head says of each of them.

A sentence's outputs are the mean of its tokens' logits over the attention mask. The head is
linear, so this equals a linear head on mean-pooled token states (the pooling that the sentence
encoders were trained with), while the model stays a plain `AutoModelForTokenClassification`
that stock transformers and peft load.

Nothing here prints text or token ids, which are the text in another alphabet.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForTokenClassification, AutoTokenizer
from transformers.utils import logging as transformers_logging

from crypto.errors import ConfigError
from domains.encoding import padded_batches, text_batches
from domains.heads import HEAD_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from domains.base_models import ResolvedModel
    from domains.encoding import EncodedRecords, MicroBatch, Owners
    from domains.records import Record

    TokenIds = NDArray[np.int64]

HEAD_INIT_STD: Final = 0.01
"""Standard deviation of the head's initial weights; its bias starts at zero.

Small, so that every record starts near the loss ln(classes) and noised steps need not first
unlearn a random opinion; not zero, since then no gradient would pass the head in the first step
and the adapter behind it would not move.
"""


class SentenceHead(ABC):
    """A base model with a linear head on the mean of a sentence's token states.

    What its outputs mean is a subclass's: one record may be read as several sentences.

    Args:
        resolved: the base model's folder, its digest checked.
        labels: the classes, in the order of a record's `label`; see `domains.records.Dataset`.
        outputs: the names of the head's outputs.
        max_length: tokens, special ones included, to cut a text at.

    Raises:
        ConfigError: a length that the model does not have, or a folder whose configuration or
            tokenizer does not load.
    """

    has_head = True

    def __init__(
        self,
        resolved: ResolvedModel,
        labels: tuple[str, ...],
        outputs: tuple[str, ...],
        max_length: int,
    ) -> None:
        self.resolved = resolved
        self.labels = labels
        self.outputs = outputs
        self.max_length = max_length
        self._tokenizer, self._pad_id, longest = load_tokenizer(resolved)
        if not 2 < max_length <= longest:  # noqa: PLR2004 - two are the special tokens
            raise ConfigError(
                f"A max_length of {max_length} does not fit {resolved.name}, which reads 3 to "
                f"{longest} tokens: nothing was encoded. Choose a length within that range."
            )

    @abstractmethod
    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return the token ids and labels of `records`, in their order, without padding.

        Raises:
            ConfigError: a record that has no tokens or no valid label, named by its id.
        """

    @abstractmethod
    def losses_of(self, outputs: Tensor, owners: Owners) -> Tensor:
        """Return losses in nats, shape (B,), whose sum over a record's rows is that record's loss.

        Never a mean over the batch: `privacy.clipping` needs one record's gradient apart.

        Args:
            outputs: of the head, shape (B, outputs).
            owners: whose the B rows are.
        """

    @abstractmethod
    def scores_of(self, outputs: Tensor, choices: int) -> Tensor:
        """Return the scores (choices,) of one record, whose rows have `outputs` (rows, outputs)."""

    def build_model(self, seed: int) -> PreTrainedModel:
        """Return the stock token classifier in evaluation mode, on the CPU, in float32.

        The head's weights are N(0, HEAD_INIT_STD^2) from `seed` and its bias zero, so that every
        site builds the same bytes. The caller's random state is left as it was. The model is in
        evaluation mode because dropout would add randomness that the accounting does not use.

        Raises:
            ConfigError: the weights do not fill the architecture except for the head.
        """
        # Loading draws the head from the global generator before it is overwritten below.
        with torch.random.fork_rng(devices=[]), quiet_loading(self.resolved):
            model, info = AutoModelForTokenClassification.from_pretrained(
                self.resolved.folder,
                num_labels=len(self.outputs),
                id2label=dict(enumerate(self.outputs)),
                label2id={label: index for index, label in enumerate(self.outputs)},
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        name, head = _head(model, self.resolved)
        absent = {key for key in info["missing_keys"] if not key.startswith(f"{name}.")}
        if absent or info["mismatched_keys"]:
            raise ConfigError(
                f"The weights in {self.resolved.folder} leave {len(absent)} parameters of "
                f"{type(model).__name__} unset (such as {min(absent, default='wrong shapes')}): "
                "the model would be partly random. Use a folder whose config.json belongs to "
                "its weights."
            )
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            head.weight.normal_(0.0, HEAD_INIT_STD, generator=generator)
            if head.bias is not None:
                head.bias.zero_()
        return cast("PreTrainedModel", model.eval())

    def micro_batches(
        self, encoded: EncodedRecords, indices: NDArray[np.int64], size: int
    ) -> Iterator[MicroBatch]:
        """Yield the records at `indices`, each once per mention, in batches of at most `size`.

        The logical batch is sorted by length first, so that a micro-batch pads little; the
        split is for speed only and does not change a per-example gradient.

        Args:
            encoded: all records of the site.
            indices: positions in `encoded`, shape (n,); may be empty.
            size: largest number of records in one micro-batch.

        Raises:
            ConfigError: `size` is below one.
        """
        yield from padded_batches(encoded, indices, size, self._pad_id)

    def text_batches(self, encoded: EncodedRecords, size: int) -> Iterator[MicroBatch]:
        """Yield every encoded text once, in batches of at most `size`."""
        yield from text_batches(encoded, size, self._pad_id)

    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """Return the losses of a batch's rows in nats, shape (B,), with their graph.

        Never a mean over the batch, and the stock `outputs.loss` would be per token and averaged.
        """
        return self.losses_of(sentence_logits(model, batch), batch.owners)

    def scores(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> tuple[NDArray[np.float64], ...]:
        """Return what each choice of each record scores, (choices,) each, in the order given.

        A text that several records are read as is read once. Runs in evaluation and inference mode;
        each module's own mode is restored. `within` gives the block in which a batch is run.
        """
        outputs = torch.empty(len(encoded.token_ids), len(self.outputs))
        with evaluating(model), torch.inference_mode():
            for batch in self.text_batches(encoded, micro_batch):
                with nullcontext() if within is None else within(batch):
                    found = sentence_logits(model, batch)
                outputs[torch.from_numpy(batch.texts)] = found.float().cpu()
        return self.scores_from(encoded, outputs)

    def scores_from(
        self, encoded: EncodedRecords, outputs: Tensor
    ) -> tuple[NDArray[np.float64], ...]:
        """Return each record's scores from the head's `outputs` (texts, outputs) of every text."""
        scores = []
        for record in range(len(encoded)):
            own = outputs[torch.from_numpy(encoded.rows_of(record))]
            choices = len(self.labels) if encoded.choices is None else int(encoded.choices[record])
            scores.append(self.scores_of(own, choices).double().numpy())
        return tuple(scores)

    def predict(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = 64,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> NDArray[np.int64]:
        """Return the choice of the highest score for each record, shape (n,), as `scores` runs."""
        return best_of(self.scores(model, encoded, micro_batch, within=within))

    def _tokens(self, texts: list[str], names: Sequence[str]) -> tuple[TokenIds, ...]:
        """Return the token ids of each text; `names` says whose it is where it has none."""
        if not texts:
            return ()
        encoded = self._tokenizer(
            texts,
            truncation=True,
            max_length=self.max_length,
            padding=False,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows = tuple(np.array(row, dtype=np.int64) for row in encoded["input_ids"])
        for name, row in zip(names, rows, strict=True):
            if row.size == 0:
                raise ConfigError(
                    f"Record {name!r} has no tokens after tokenization: it has no "
                    "prediction and no gradient. Remove the row or restore its text."
                )
        return rows


def best_of(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Return the place of the highest score in each row, shape (n,); of equals, the first."""
    return np.array([int(np.argmax(row)) for row in scores], dtype=np.int64)


def sentence_logits(model: nn.Module, batch: MicroBatch) -> Tensor:
    """Return the mean of the tokens' logits over the mask, shape (B, classes)."""
    device = next(model.parameters()).device
    mask = batch.attention_mask.to(device)
    # A model that is told nothing takes every token as of the first text: right for single texts.
    types = {} if batch.token_types is None else {"token_type_ids": batch.token_types.to(device)}
    token_logits: Tensor = model(
        input_ids=batch.input_ids.to(device), attention_mask=mask, **types
    ).logits  # (B, T, classes)
    weights = mask.to(token_logits.dtype).unsqueeze(-1)
    return (token_logits * weights).sum(dim=1) / weights.sum(dim=1)


def head_name(model: nn.Module) -> str | None:
    """Return the name of a stock token classifier's linear head, or None if it has none."""
    for name in HEAD_NAMES:
        if isinstance(getattr(model, name, None), nn.Linear):
            return name
    return None


def head_of(model: nn.Module) -> nn.Module:
    """Return the linear head of a token classifier, also of one that an adapter was put on.

    Raises:
        ConfigError: there is none, or more than one.
    """
    found: list[nn.Module] = [
        module for path, module in model.named_modules() if path.split(".")[-1] in HEAD_NAMES
    ]
    if len(found) != 1:
        raise ConfigError(
            f"{type(model).__name__} has {len(found)} heads called {' or '.join(HEAD_NAMES)}, not "
            "one: use a base model whose token classifier has one."
        )
    return found[0]


def _head(model: nn.Module, resolved: ResolvedModel) -> tuple[str, nn.Linear]:
    name = head_name(model)
    if name is None:
        raise ConfigError(
            f"{type(model).__name__}, which {resolved.folder} loads as, has no linear head called "
            f"{' or '.join(HEAD_NAMES)}: a sentence's mean would not be exact. "
            "Use a base model whose token classifier has one."
        )
    return name, cast("nn.Linear", getattr(model, name))


def load_tokenizer(resolved: ResolvedModel) -> tuple[PreTrainedTokenizerBase, int, int]:
    """Return the tokenizer, the id to pad with, and the most tokens that the model reads.

    A model without a pad token pads with id 0: the mask takes padding out of attention and out
    of the mean, so the id has no effect, except where positions are counted by it (RoBERTa),
    and those models have one.
    """
    try:
        config = AutoConfig.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(
            resolved.folder, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise ConfigError(_not_loadable(resolved)) from error
    declared = getattr(config, "pad_token_id", None)
    pad_id = declared if declared is not None else (tokenizer.pad_token_id or 0)
    positions = getattr(config, "max_position_embeddings", tokenizer.model_max_length)
    return tokenizer, int(pad_id), min(int(positions), int(tokenizer.model_max_length))


def _not_loadable(resolved: ResolvedModel) -> str:
    return (
        f"{resolved.folder} does not load as a token classifier with stock transformers "
        f"(no code from the folder is run): {resolved.name} cannot be tuned. Use a folder in "
        "Hugging Face layout whose config.json names a supported architecture."
    )


@contextmanager
def quiet_loading(resolved: ResolvedModel) -> Iterator[None]:
    """Silence the loading bar and the report of absent weights, which `build_model` checks.

    Raises:
        ConfigError: the model's folder does not load within the block.
    """
    logger = logging.getLogger("transformers.modeling_utils")
    had_bar = transformers_logging.is_progress_bar_enabled()
    logger.addFilter(_is_no_load_report)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call] # untyped there
    try:
        yield
    except (OSError, RuntimeError, ValueError, SafetensorError) as error:
        raise ConfigError(_not_loadable(resolved)) from error
    finally:
        logger.removeFilter(_is_no_load_report)
        if had_bar:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call] # untyped there


def _is_no_load_report(entry: logging.LogRecord) -> bool:
    return "LOAD REPORT" not in entry.getMessage()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put `model` in evaluation mode and give each module its own mode back afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
