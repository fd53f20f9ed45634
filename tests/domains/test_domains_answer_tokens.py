"""Where an answer begins: as lm-evaluation-harness has it, and never in the middle of a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from domains.answer_tokens import AnswerTokenizer, AskedTokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

PIECES = ["[UNK]", "<s>", "</s>", *"abcx ?\n", "ab", " a", "?\n"]
MERGES = [("a", "b"), (" ", "a"), ("?", "\n")]


def merging(template: str = "<s> $A") -> PreTrainedTokenizerFast:
    """Return a tokenizer that knows no words, so that a token may reach over any border."""
    tokenizer = Tokenizer(
        BPE({piece: number for number, piece in enumerate(PIECES)}, MERGES, unk_token="[UNK]")  # noqa: S106 - no secret
    )
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",  # noqa: S106 - no secret
        bos_token="<s>",  # noqa: S106 - no secret
        eos_token="</s>",  # noqa: S106 - no secret
    )


def encode_pair(
    tokenizer: PreTrainedTokenizerBase, context: str, continuation: str
) -> tuple[list[int], list[int]]:
    """The naive twin: `TemplateLM._encode_pair` of lm-evaluation-harness 0.4.13."""
    spaces = len(context) - len(context.rstrip())
    if spaces > 0:
        continuation = context[-spaces:] + continuation
        context = context[:-spaces]
    whole = tokenizer.encode(context + continuation)
    before = tokenizer.encode(context)
    return before, whole[len(before) :]


def lists(asked: AskedTokens) -> list[tuple[list[int], list[int]]]:
    return [(asked.prompt.tolist(), answer.tolist()) for answer in asked.answers]


def spelled(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> list[str]:
    return [str(tokenizer.convert_ids_to_tokens(int(each))) for each in ids]


@pytest.mark.parametrize(
    "question",
    [
        "Once upon a",
        "One day, Lily went to the ",
        "What is it?\nInput: a dog\nAnswer:",
        "[INST] Who? [/INST]\n\n",
        "1 + 1 =",
    ],
)
def test_a_real_tokenizer_splits_as_the_harness(stories_folder: Path, question: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stories_folder)
    answers = (" time", " big park", "time", " 2", "\u00e9t\u00e9 \U0001f600")
    asked = AnswerTokenizer(tokenizer).asked(question, answers)
    expected = [encode_pair(tokenizer, question, answer) for answer in answers]
    assert lists(asked) == expected
    assert AnswerTokenizer(tokenizer).prompt(question).tolist() == expected[0][0]


def test_encoded_apart_an_answer_would_begin_with_one_blank_more(stories_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stories_folder)
    (answer,) = AnswerTokenizer(tokenizer).asked("Once upon a", (" time",)).answers
    apart = tokenizer(" time", add_special_tokens=False)["input_ids"]
    assert len(apart) == answer.size + 1
    assert spelled(tokenizer, apart)[0] == "\u2581"
    assert spelled(tokenizer, answer) == spelled(tokenizer, apart)[1:]


def test_a_token_over_the_border_is_the_answers_and_all_answers_follow_the_same() -> None:
    tokenizer = merging()
    asked = AnswerTokenizer(tokenizer).asked("xa", ("b", "c"))
    assert spelled(tokenizer, asked.prompt) == ["<s>", "x"]
    assert [spelled(tokenizer, answer) for answer in asked.answers] == [["ab"], ["a", "c"]]
    # As the harness has it, the first answer would have no token at all, and so no likelihood.
    assert encode_pair(tokenizer, "xa", "b")[1] == []


def test_white_space_at_the_end_is_the_answers() -> None:
    tokenizer = merging()
    asked = AnswerTokenizer(tokenizer).asked("x? ", ("a", "c"))
    assert spelled(tokenizer, asked.prompt) == ["<s>", "x", "?"]
    assert [spelled(tokenizer, answer) for answer in asked.answers] == [[" a"], [" ", "c"]]


@given(
    st.text("abcx ?\n", max_size=8),
    st.lists(st.text("abcx ?\n", min_size=1, max_size=5), min_size=1, max_size=4),
)
def test_what_a_model_reads_is_always_the_tokens_of_one_text(
    question: str, answers: list[str]
) -> None:
    tokenizer = merging()
    asked = AnswerTokenizer(tokenizer).asked(question, answers)
    found = lists(asked)
    wholes = [tokenizer.encode(question + answer) for answer in answers]
    assert [prompt + answer for prompt, answer in found] == wholes
    before = tokenizer.encode(question.rstrip())
    assert before[: asked.prompt.size] == asked.prompt.tolist()
    assert asked.longest == max(map(len, wholes))
    if all(whole[: len(before)] == before for whole in wholes):
        assert found == [encode_pair(tokenizer, question, answer) for answer in answers]
    else:
        assert asked.prompt.size < len(before)


def test_a_first_token_that_is_written_out_stands_there_once() -> None:
    tokenizer = merging()
    asked = AnswerTokenizer(tokenizer).asked("<s>x", ("c",))
    assert spelled(tokenizer, asked.prompt) == ["<s>", "x"]


@pytest.mark.parametrize("template", ["<s> $A </s>", "<s> $A"])
def test_no_token_that_ends_a_text_stands_before_an_answer(template: str) -> None:
    """Unless the question has one, as a form with turns that end has."""
    tokenizer = merging(template)
    ((prompt, answer),) = lists(AnswerTokenizer(tokenizer).asked("x</s>", ("c",)))
    assert spelled(tokenizer, prompt) == ["<s>", "x", "</s>"]
    assert spelled(tokenizer, answer) == ["c"]
    asked = AnswerTokenizer(tokenizer)
    assert spelled(tokenizer, asked.prompt("x")) == ["<s>", "x"]
    assert asked.end.tolist() == [2]


def test_neither_question_nor_answer_is_shown() -> None:
    assert repr(AnswerTokenizer(merging()).asked("xa", ("b",))) == "AskedTokens()"
