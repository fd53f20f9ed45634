"""Answers by likelihood agree with one sequence at a time, and a prompt is never learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import tiny_model
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from crypto.errors import ConfigError
from domains.base_models import ResolvedModel, Source
from domains.causal import CausalAnswers
from domains.classification import SentenceClassification
from domains.prompts import ModelPrompt, TaskPrompt
from domains.records import Record

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import PreTrainedModel

LABELS = ("negative", "positive")
PROMPT = TaskPrompt("what of this quarter: {text} answer:", ("loss fell", "strong record"))
CHOICE = TaskPrompt("{text} {options} answer:")
RECORDS = (
    Record("a", "sales rose in the same month", 1),
    Record("b", "profit fell", 0),
    Record("c", "the company expects a strong year with higher sales", 1),
)
CHOICES = (
    Record("q", "which is higher", 2, options=("loss", "net sales", "a strong order")),
    Record("r", "up or down", 0, options=("up", "down by percent")),
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> ResolvedModel:
    built = tiny_model.build_tiny_llama(tmp_path_factory.mktemp("llama"))
    return ResolvedModel("tests/llama", built.folder, built.weights_sha256, Source.LOCAL_FOLDER)


def task_of(
    model: ResolvedModel, prompt: TaskPrompt = PROMPT, *, longest: int = 64
) -> CausalAnswers:
    return CausalAnswers(model, LABELS, prompt, ModelPrompt(), longest)


def naive(model: ResolvedModel, asked: str, answer: str, *, end: bool) -> float:
    """Log p(answer | asked) of the stock model, a token at a time, without any padding."""
    stock = AutoModelForCausalLM.from_pretrained(model.folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    before = tokenizer(asked)["input_ids"]
    after = tokenizer(answer, add_special_tokens=False)["input_ids"]
    after += [tokenizer.eos_token_id] if end else []
    return naive_ids(stock, before, after)


def naive_ids(stock: PreTrainedModel, before: list[int], after: list[int]) -> float:
    total = 0.0
    with torch.no_grad():
        for token in after:
            logits: Tensor = stock(input_ids=torch.tensor([before])).logits[0, -1]
            total += float(torch.log_softmax(logits, -1)[token])
            before = [*before, token]
    return total


def test_a_loss_is_the_naive_likelihood_of_the_right_answer_and_its_end(
    llama: ResolvedModel,
) -> None:
    task = task_of(llama)
    model, encoded = task.build_model(0), task.encode(RECORDS)
    batch = next(task.micro_batches(encoded, np.arange(3), 3))
    losses = task.losses(model, batch).tolist()
    for index, loss in zip(batch.indices, losses, strict=True):
        record = RECORDS[int(index)]
        expected = naive(llama, PROMPT.ask(record), " " + PROMPT.answers[record.label], end=True)
        assert -loss == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("prompt", "records"), [(PROMPT, RECORDS), (CHOICE, CHOICES)], ids=["labels", "options"]
)
def test_every_answer_has_its_naive_likelihood_and_the_likeliest_is_given(
    llama: ResolvedModel, prompt: TaskPrompt, records: tuple[Record, ...]
) -> None:
    task = task_of(llama, prompt)
    model, encoded = task.build_model(0), task.encode(records)
    found = task.scores(model, encoded, micro_batch=2)
    for record, row in zip(records, found, strict=True):
        expected = [
            naive(llama, prompt.ask(record), " " + choice, end=False)
            for choice in prompt.choices(record)
        ]
        assert row == pytest.approx(expected, abs=1e-4)
    assert task.predict(model, encoded).tolist() == [int(np.argmax(row)) for row in found]


def test_a_prompt_is_not_learned(llama: ResolvedModel) -> None:
    task = task_of(llama)
    batch = next(task.micro_batches(task.encode(RECORDS[:1]), np.arange(1), 1))
    assert batch.learned is not None
    learned = batch.input_ids[batch.learned.bool()].tolist()
    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    assert tokenizer.decode(learned) == "strong record[SEP]".replace("[SEP]", " [SEP]")


def test_a_record_does_not_depend_on_its_company(llama: ResolvedModel) -> None:
    task = task_of(llama)
    model, encoded = task.build_model(0), task.encode(RECORDS)
    together = next(task.micro_batches(encoded, np.arange(3), 3))
    losses = dict(
        zip(together.indices.tolist(), task.losses(model, together).tolist(), strict=True)
    )
    for index in range(3):
        alone = next(task.micro_batches(encoded, np.array([index]), 1))
        assert task.losses(model, alone).tolist()[0] == pytest.approx(losses[index], abs=1e-5)


def test_a_long_text_is_cut_and_the_question_stays(llama: ResolvedModel) -> None:
    task = task_of(llama, longest=24)
    long = Record("long", "sales rose " * 60, 1)
    encoded = task.encode([long])
    assert encoded.prompt_lengths is not None
    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    asked = tokenizer.decode(encoded.token_ids[0][: encoded.prompt_lengths[0]])
    assert encoded.token_ids[0].size <= 24
    assert asked.endswith("a ##n ##s ##w ##e ##r :")
    assert "sales rose" in asked


def test_a_cut_text_takes_what_there_is_room_for(stories_folder: Path) -> None:
    """With the longest answer and the token that ends a text; and it is cut once, not twice."""
    resolved = ResolvedModel("stories", stories_folder, "0" * 64, Source.LOCAL_FOLDER)
    task = CausalAnswers(resolved, (), TaskPrompt("{text} so"), ModelPrompt(), max_length=48)
    options = ("yes", "a much longer answer than that")
    for text in ("Lily saw a big dog. " * 20, "é😀 " * 60):
        record = Record("long", text, 0, options=options)
        kept = task.shortened(record)
        assert record.text.startswith(kept.text)
        assert task.shortened(kept) == kept
        encoded, again = task.encode([record]), task.encode([kept])
        assert encoded.prompt_lengths is not None
        prompt = int(encoded.prompt_lengths[0])
        longest = prompt + max(answer.size for answer in encoded.answers[0]) + 1
        assert 40 < longest <= 48
        assert encoded.token_ids[0].tolist() == again.token_ids[0].tolist()


def test_a_question_that_never_fits_is_refused_by_id(llama: ResolvedModel) -> None:
    with pytest.raises(ConfigError, match=r"record 'a' takes \d+ tokens without its text"):
        task_of(llama, longest=10).encode(RECORDS[:1])


def test_what_is_written_is_the_likeliest_token_each_time(llama: ResolvedModel) -> None:
    task = task_of(llama)
    model = task.build_model(0)
    tokenizer = AutoTokenizer.from_pretrained(llama.folder)
    ids = tokenizer(PROMPT.ask(RECORDS[1]))["input_ids"]
    start = len(ids)
    with torch.no_grad():
        while len(ids) - start < 5 and ids[-1] != tokenizer.eos_token_id:
            ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
    expected = tokenizer.decode(ids[start:], skip_special_tokens=True)
    assert task.generate(model, RECORDS[1:2], most_tokens=5) == (expected,)


@pytest.mark.parametrize(
    ("prompt", "records", "message"),
    [
        (TaskPrompt("{text}", ("one",)), RECORDS, "1 answers and the data set 2 labels"),
        (CHOICE, RECORDS, "of 0 possible answers"),
    ],
)
def test_what_has_no_answer_is_refused(
    llama: ResolvedModel, prompt: TaskPrompt, records: tuple[Record, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        task_of(llama, prompt).encode(records)


def test_a_classifier_does_not_take_a_choice_for_a_label(tiny_bert: ResolvedModel) -> None:
    with pytest.raises(ConfigError, match="brings options of its own"):
        SentenceClassification(tiny_bert, ("A", "B", "C"), 32).encode(CHOICES)


def test_a_real_small_llama_prefers_what_a_story_says(stories_folder: Path) -> None:
    resolved = ResolvedModel("stories", stories_folder, "0" * 64, Source.LOCAL_FOLDER)
    task = CausalAnswers(resolved, (), TaskPrompt("{text}"), ModelPrompt(), max_length=128)
    records = (
        Record("a", "Once upon a", 1, options=("bank", "time")),
        Record(
            "b", "One day, a little girl named Lily went to the", 0, options=("park", "tax office")
        ),
    )
    model, encoded = task.build_model(0), task.encode(records)
    tokenizer = AutoTokenizer.from_pretrained(stories_folder)
    for record, row in zip(records, task.scores(model, encoded), strict=True):
        # Question and answer in one piece, as lm-evaluation-harness encodes them.
        expected = [
            naive_ids(
                model,
                tokenizer.encode(record.text),
                tokenizer.encode(f"{record.text} {option}")[len(tokenizer.encode(record.text)) :],
            )
            for option in record.options
        ]
        assert row == pytest.approx(expected, abs=1e-4)
    assert task.predict(model, encoded).tolist() == [1, 0]
    assert "she" in task.generate(model, records[1:], most_tokens=60)[0].casefold()


def test_the_logits_of_an_answer_hold_its_likelihood(llama: ResolvedModel) -> None:
    """Of the right answer's tokens and no others, a secret's with them."""
    task = task_of(llama)
    model = task.build_model(0)
    secret = Record("s", "sales in the month", 0, options=("4821-9037",))
    for record in (*RECORDS, secret):
        logits, tokens = task.answer_logits(model, record)
        log_p = torch.log_softmax(torch.from_numpy(logits), -1).numpy()
        own = log_p[np.arange(tokens.size), tokens].sum()
        (scores,) = task.scores(model, task.encode([record]))
        assert own == pytest.approx(scores[record.label], abs=1e-4)
        answer = PROMPT.choices(record)[record.label]
        read = AutoTokenizer.from_pretrained(llama.folder).decode(tokens)
        assert read.replace(" ##", "").replace(" ", "") == answer.replace(" ", "")
