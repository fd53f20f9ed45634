"""Questions to a causal language model, whose answers are scored by their likelihood.

A record is put as a prompt, and what may be answered follows it. The model learns the right
answer's tokens (and the token that ends a text, where the tokenizer has one), never the prompt's:
one record's loss is -log p(answer | prompt) in nats, summed over its tokens. It answers with the
choice of the highest log p(choice | prompt), summed over the choice's tokens as the metric `acc` of
lm-evaluation-harness does; the token that ends a text does not count there. Which tokens are the
prompt's and which the answer's, `domains.answer_tokens` says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModelForCausalLM

from crypto.errors import ConfigError
from domains.answer_tokens import AnswerTokenizer
from domains.encoding import EncodedRecords, MicroBatch, pad, padded_batches
from domains.sentence_head import best_of, evaluating, load_tokenizer, quiet_loading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from domains.answer_tokens import AskedTokens
    from domains.base_models import ResolvedModel
    from domains.prompts import ModelPrompt, TaskPrompt
    from domains.records import Record

    TokenIds = NDArray[np.int64]

_ANSWERS_AT_ONCE: Final = 16
"""Prompts with an answer in one forward pass, where nothing is learned."""
_LEAST_TEXT: Final = 1
"""Characters of a record's own text that a prompt keeps at least."""


class CausalAnswers:
    """The task: one of the possible answers to what a causal language model is asked.

    Args:
        resolved: the base model's folder, its digest checked.
        labels: the classes, in the order of a record's `label`; see `domains.records.Dataset`.
        prompt: what is asked of each record, and what may be answered.
        form: the form in which the base model is asked.
        max_length: tokens of prompt and longest answer; a record's text is cut at its end to fit,
            never what is asked of it.

    Raises:
        ConfigError: answers that are not one for each label, a length that the model does not
            have, or a folder whose configuration or tokenizer does not load.
    """

    has_head = False

    def __init__(
        self,
        resolved: ResolvedModel,
        labels: tuple[str, ...],
        prompt: TaskPrompt,
        form: ModelPrompt,
        max_length: int,
    ) -> None:
        if prompt.answers and len(prompt.answers) != len(labels):
            raise ConfigError(
                f"The prompt has {len(prompt.answers)} answers and the data set {len(labels)} "
                "labels: which answer is right would be unknown. Give one for each label, in the "
                f"order {', '.join(labels)}."
            )
        self.resolved = resolved
        self.labels = labels
        self.max_length = max_length
        self._prompt = prompt
        self._form = form
        self._tokenizer, self._pad_id, longest = load_tokenizer(resolved)
        self._tokens = AnswerTokenizer(self._tokenizer)
        if not 2 < max_length <= longest:  # noqa: PLR2004 - a prompt's first token and an answer
            raise ConfigError(
                f"A max_length of {max_length} does not fit {resolved.name}, which reads 3 to "
                f"{longest} tokens: nothing was encoded. Choose a length within that range."
            )

    def build_model(self, seed: int) -> PreTrainedModel:
        """Return the stock causal language model in evaluation mode, on the CPU, in float32.

        Nothing of it is drawn, so `seed` moves nothing.

        Raises:
            ConfigError: the weights do not fill the architecture.
        """
        del seed
        with torch.random.fork_rng(devices=[]), quiet_loading(self.resolved):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                self.resolved.folder,
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
        model, info = loaded
        if info["missing_keys"] or info["mismatched_keys"]:
            raise ConfigError(
                f"The weights in {self.resolved.folder} leave parameters of {type(model).__name__} "
                "unset: the model would be partly random. Use a folder whose config.json belongs "
                "to its weights, and whose model is a causal language model."
            )
        return cast("PreTrainedModel", model.eval())

    def encode(self, records: Sequence[Record]) -> EncodedRecords:
        """Return each record's prompt with its right answer, and the tokens of every answer.

        Raises:
            ConfigError: a record has no valid label or nothing to choose from, an answer has no
                tokens, or prompt and answer do not fit into `max_length` however short the text
                is cut; the record is named by its id.
        """
        rows, lengths, answers = [], [], []
        for record in records:
            _, asked = self._fitted(record)
            rows.append(
                np.concatenate([asked.prompt, asked.answers[record.label], self._tokens.end])
            )
            lengths.append(asked.prompt.size)
            answers.append(asked.answers)
        return EncodedRecords(
            tuple(rows),
            np.array([record.label for record in records], dtype=np.int64),
            np.array(lengths, dtype=np.int64),
            tuple(answers),
        )

    def shortened(self, record: Record) -> Record:
        """Return the record with as much of its text as `encode` keeps.

        Raises:
            ConfigError: as `encode`.
        """
        return self._fitted(record)[0]

    def micro_batches(
        self, encoded: EncodedRecords, indices: NDArray[np.int64], size: int
    ) -> Iterator[MicroBatch]:
        """Yield the records at `indices`, each once per mention, in batches of at most `size`.

        Raises:
            ConfigError: `size` is below one.
        """
        yield from padded_batches(encoded, indices, size, self._pad_id)

    def losses(self, model: nn.Module, batch: MicroBatch) -> Tensor:
        """Return -log p(answer | prompt) of each record in nats, shape (B,), with its graph."""
        if batch.learned is None:
            raise ConfigError("The records were encoded for another task: nothing can be learned.")
        return -_log_likelihood(model, batch.input_ids, batch.attention_mask, batch.learned)

    def scores(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = _ANSWERS_AT_ONCE,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> tuple[NDArray[np.float64], ...]:
        """Return log p(answer | prompt) of every answer in nats, shape (answers,) for each record.

        Runs in evaluation and inference mode; each module's own mode is restored. `within` is for
        layers that are kept in memory, which this task does not have.
        """
        del within
        rows, prompts, owners = self._questions(encoded)
        found = np.empty(len(rows), dtype=np.float64)
        order = np.argsort([row.size for row in rows], kind="stable")
        with evaluating(model), torch.inference_mode():
            for start in range(0, len(rows), micro_batch):
                chosen = order[start : start + micro_batch]
                input_ids, mask = pad([rows[int(i)] for i in chosen], self._pad_id)
                learned = mask.clone()
                for position, index in enumerate(chosen):
                    learned[position, : prompts[int(index)]] = 0
                found[chosen] = _log_likelihood(model, input_ids, mask, learned).cpu().numpy()
        ends = np.cumsum(owners)
        return tuple(np.split(found, ends[:-1])) if owners else ()

    def predict(
        self,
        model: nn.Module,
        encoded: EncodedRecords,
        micro_batch: int = _ANSWERS_AT_ONCE,
        *,
        within: Callable[[MicroBatch], AbstractContextManager[None]] | None = None,
    ) -> NDArray[np.int64]:
        """Return the most probable answer to each record, shape (n,), as `scores` runs."""
        return best_of(self.scores(model, encoded, micro_batch, within=within))

    def generate(
        self, model: nn.Module, records: Sequence[Record], most_tokens: int = 16
    ) -> tuple[str, ...]:
        """Return what the model writes after each record's prompt, the likeliest token each time.

        One record at a time: padding would stand between a prompt and what follows it. What is
        written can hold what was trained on; it is text of the site's records.

        Args:
            model: as `build_model` returned it, or with an adapter on it.
            records: what is asked about; their labels are not read.
            most_tokens: where to stop at the latest, before the token that ends a text.
        """
        written = []
        device = next(model.parameters()).device
        with evaluating(model), torch.inference_mode():
            for record in records:
                prompt = torch.from_numpy(self._prompt_of(record, most_tokens)).unsqueeze(0)
                output = model.generate(  # type: ignore[operator] # a mixin that mypy cannot see
                    input_ids=prompt.to(device),
                    attention_mask=torch.ones_like(prompt).to(device),
                    max_new_tokens=most_tokens,
                    do_sample=False,
                    pad_token_id=self._pad_id,
                )
                after = output[0, prompt.shape[1] :]
                written.append(str(self._tokenizer.decode(after, skip_special_tokens=True)))
        return tuple(written)

    def answer_logits(
        self, model: nn.Module, record: Record
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return what the model expects at each token of the right answer, and these tokens.

        Shapes (T, vocabulary) and (T,), the token that ends a text left out; the logits of one
        token follow from all before it.

        Raises:
            ConfigError: as `encode`.
        """
        encoded = self.encode([record])
        answer = encoded.answers[0][record.label]
        rows, _, _ = self._questions(encoded)
        input_ids, mask = pad([rows[record.label]], self._pad_id)
        device = next(model.parameters()).device
        with evaluating(model), torch.inference_mode():
            logits = model(
                input_ids=input_ids.to(device),
                attention_mask=mask.to(device),
                logits_to_keep=answer.size + 1,
            ).logits
        return logits[0, :-1].float().cpu().numpy(), answer

    def _questions(self, encoded: EncodedRecords) -> tuple[list[TokenIds], list[int], list[int]]:
        """Return prompt and answer of every answer, the prompts' lengths, and answers by record."""
        rows, prompts, owners = [], [], []
        lengths = encoded.prompt_lengths
        if lengths is None:
            raise ConfigError("The records were encoded for another task: nothing can be answered.")
        for ids, length, answers in zip(encoded.token_ids, lengths, encoded.answers, strict=True):
            rows += [np.concatenate([ids[:length], answer]) for answer in answers]
            prompts += [int(length)] * len(answers)
            owners.append(len(answers))
        return rows, prompts, owners

    def _fitted(self, record: Record) -> tuple[Record, AskedTokens]:
        """Return the record with what is kept of its text, and its tokens with every answer's.

        Raises:
            ConfigError: as `encode`.
        """
        choices = self._choices(record)
        most = self.max_length - self._tokens.end.size
        kept = self._cut(record, most, lambda cut: self._asked(cut, choices).longest)
        asked = self._asked(kept, choices)
        if min(answer.size for answer in asked.answers) == 0:
            raise ConfigError(
                f"An answer to record {record.id!r} has no tokens: it has no likelihood. "
                "Correct the answers."
            )
        self._check_room(record, asked.prompt.size, self.max_length - most + asked.longest)
        return kept, asked

    def _choices(self, record: Record) -> tuple[str, ...]:
        """Return every answer that `record` may have, with what stands before it."""
        choices = self._prompt.choices(record)
        if not 0 <= record.label < len(choices):
            raise ConfigError(
                f"Record {record.id!r} has label {record.label} of {len(choices)} possible "
                "answers: nothing was encoded. Give the prompt `answers`, or the record options."
            )
        return tuple(self._form.before_answer + choice for choice in choices)

    def _asked(self, record: Record, choices: Sequence[str]) -> AskedTokens:
        return self._tokens.asked(self._question(record), choices)

    def _question(self, record: Record) -> str:
        return self._form.ask(self._prompt.ask(record))

    def _prompt_of(self, record: Record, room: int) -> TokenIds:
        """Return the prompt's tokens, its text cut at the end so that `room` tokens can follow.

        Raises:
            ConfigError: they leave no `room` however short the text is cut.
        """

        def size(cut: Record) -> int:
            return self._tokens.prompt(self._question(cut)).size + room

        kept = self._cut(record, self.max_length, size)
        prompt = self._tokens.prompt(self._question(kept))
        self._check_room(record, prompt.size, prompt.size + room)
        return prompt

    @staticmethod
    def _cut(record: Record, most: int, size: Callable[[Record], int]) -> Record:
        """Return the record with as much of its text as fits, one character at least.

        Args:
            record: as it is.
            most: tokens.
            size: how many tokens a record with a shorter text takes.
        """
        if size(record) <= most:
            return record
        fits, too_long = _LEAST_TEXT, len(record.text)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if size(replace(record, text=record.text[:middle])) <= most:
                fits = middle
            else:
                too_long = middle
        return replace(record, text=record.text[:fits])

    def _check_room(self, record: Record, prompt: int, whole: int) -> None:
        """Raise ConfigError if the prompt has no tokens, or it is too many `whole`."""
        if prompt == 0:
            raise ConfigError(
                f"What is asked about record {record.id!r} has no tokens: its answer would follow "
                "nothing. Put words into the prompt's template."
            )
        if whole > self.max_length:
            raise ConfigError(
                f"What is asked about record {record.id!r} takes {prompt} tokens without its "
                f"text, and its longest answer {whole - prompt}: more than the "
                f"{self.max_length} of `max_length`. Raise it, or ask in fewer words."
            )


def _log_likelihood(
    model: nn.Module, input_ids: Tensor, attention_mask: Tensor, learned: Tensor
) -> Tensor:
    """Return the sum of log p(token | those before it) over the `learned` tokens, shape (B,).

    Logits are asked for from the shortest prompt's last token on: over a large vocabulary those of
    whole prompts would take more memory than the model.
    """
    device = next(model.parameters()).device
    ids = input_ids.to(device)
    first = int(learned.argmax(dim=1).min())
    kept = ids.shape[1] - first
    logits: Tensor = model(
        input_ids=ids, attention_mask=attention_mask.to(device), logits_to_keep=kept + 1
    ).logits  # (B, kept + 1, vocabulary): those at one place are of the token at the next
    each = functional.cross_entropy(
        logits[:, :-1].transpose(1, 2), ids[:, first:], reduction="none"
    )  # (B, kept)
    return -(each * learned[:, first:].to(device, each.dtype)).sum(dim=1)
