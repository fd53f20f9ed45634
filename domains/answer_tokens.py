"""A question and its answers as tokens of one text each, and where the question ends in them.

Both are encoded in one piece, as lm-evaluation-harness does (`TemplateLM._encode_pair`, 0.4.13):
white space at the question's end is counted to the answer, and the answer's tokens are those after
the question's own. Encoded apart, an answer would begin with whatever the tokenizer puts before
each text: a blank of its own, of SentencePiece in the form of Llama 2.

Where a token reaches over the border, the question's own tokens do not begin the whole. Then the
question ends before that token, for every answer of the record, and the token is the answer's: a
model reads nothing but what its tokenizer makes of a text, and all answers follow the same tokens.
There alone the likelihood is not the harness', which would join the question's tokens to what of
the whole lies behind as many.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    TokenIds = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class AskedTokens:
    """What is asked, and everything that may be answered; shows neither.

    Attributes:
        prompt: int64, shape (p,).
        answers: one int64 array of shape (a_i,) for each; `prompt` and it are one text's tokens.
    """

    prompt: TokenIds = field(repr=False)
    answers: tuple[TokenIds, ...] = field(repr=False)

    @property
    def longest(self) -> int:
        """Tokens of the prompt with the answer that has most."""
        return self.prompt.size + max(answer.size for answer in self.answers)


@final
class AnswerTokenizer:
    """A tokenizer that knows where an answer begins.

    Args:
        tokenizer: of a causal language model.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        end = tokenizer.eos_token_id
        self.end = np.array([] if end is None else [end], dtype=np.int64)
        """The token that ends a text, int64, shape (1,), or (0,) where there is none."""
        with_special, plain = (
            self._ids(["a"], special=special)[0][-1:] for special in (True, False)
        )
        self._is_ended = with_special == self.end.tolist() != plain

    def prompt(self, question: str) -> TokenIds:
        """Return the tokens of `question` before its answer is known, int64, shape (p,)."""
        (found,) = self._encoded([question.rstrip()])
        return np.array(found, dtype=np.int64)

    def asked(self, question: str, answers: Sequence[str]) -> AskedTokens:
        """Return the tokens of `question` and of each of `answers`, which follow it directly.

        Args:
            question: what is asked.
            answers: one or more; what stands between the two belongs to the answer.
        """
        before = question.rstrip()
        texts = [before, *(question + answer for answer in answers)]
        rows = self._encoded(texts)
        border = _shared(rows)
        prompt, *found = (np.array(row, dtype=np.int64) for row in rows)
        return AskedTokens(prompt[:border], tuple(row[border:] for row in found))

    def _encoded(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of `texts`, which all begin alike, as a model is to read them.

        Without the token that ends a text, where the tokenizer adds it: an answer follows, or it
        is added to what is learned. A first token that is written out is not put there again.
        """
        first = self._tokenizer.bos_token
        special = not (isinstance(first, str) and texts[0].startswith(first))
        rows = self._ids(texts, special=special)
        return [row[:-1] for row in rows] if special and self._is_ended else rows

    def _ids(self, texts: Sequence[str], *, special: bool) -> list[list[int]]:
        # Not verbose: a text that is too long is cut, and no warning.
        encoded = self._tokenizer(list(texts), add_special_tokens=special, verbose=False)
        return [list(row) for row in encoded["input_ids"]]


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all `rows` begin with in common."""
    for place, column in enumerate(zip(*rows, strict=False)):
        if len(set(column)) > 1:
            return place
    return min(len(row) for row in rows)
