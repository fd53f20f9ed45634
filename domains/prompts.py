"""How a record is put to a causal language model: what is asked, and what may be answered.

A data set says what is asked of its records (`TaskPrompt`), a base model in what form it was taught
to be asked (`ModelPrompt`). Braces in a record's own text are text: only the named places of a
template are filled, once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domains.records import Record

_PLACE: Final = re.compile(r"\{(text|options|prompt)\}")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class TaskPrompt:
    """What is asked of each record.

    Attributes:
        template: holds `{text}` once, and may hold `{options}`, for which the record's options are
            listed, a line each, after A, B and so on.
        answers: what is answered for each label, in label order; empty where the answer is one of
            the record's own options, written in full.

    Raises:
        ConfigError: the template lacks `{text}`, has a place twice, or an answer is blank.
    """

    template: str
    answers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a template that would leave the record out."""
        places = _PLACE.findall(self.template)
        if places.count("text") != 1 or places.count("options") > 1 or "prompt" in places:
            raise ConfigError(
                "A task's prompt holds {text} once and {options} at most once, and this one does "
                "not: no record would be asked about as meant. Correct the template."
            )
        if not all(answer.strip() for answer in self.answers):
            raise ConfigError(
                "An answer of the task's prompt is blank: it has no likelihood. Name every label's."
            )

    def ask(self, record: Record) -> str:
        """Return what is asked about `record`."""
        listed = (
            f"{_LETTERS[number % len(_LETTERS)]}. {option}"
            for number, option in enumerate(record.options)
            if len(record.options) > 1
        )
        return _filled(self.template, {"text": record.text, "options": "\n".join(listed)})

    def choices(self, record: Record) -> tuple[str, ...]:
        """Return what may be answered, in the order of the record's `label`.

        A record with one option alone is a canary, whose secret that is: no data set has one. It
        is what is answered, whatever others may be, and is not listed in the question.
        """
        return record.options if len(record.options) == 1 else self.answers or record.options


@dataclass(frozen=True, slots=True)
class ModelPrompt:
    """The form in which a base model is asked.

    Attributes:
        template: holds `{prompt}` once, for what is asked; its special tokens are written out, but
            for the one that the tokenizer puts first by itself.
        before_answer: what stands between the two, such as one blank: a part of the answer's
            first token in most vocabularies, so that it belongs to the answer.

    Raises:
        ConfigError: the template does not hold `{prompt}` once.
    """

    template: str = "{prompt}"
    before_answer: str = " "

    def __post_init__(self) -> None:
        """Refuse a template that would leave the question out."""
        if _PLACE.findall(self.template) != ["prompt"]:
            raise ConfigError(
                "A model's prompt form holds {prompt} once and this one does not: nothing would "
                "be asked. Correct the template."
            )

    def ask(self, prompt: str) -> str:
        """Return `prompt` in the form that the model was taught."""
        return _filled(self.template, {"prompt": prompt})


def _filled(template: str, values: Mapping[str, str]) -> str:
    return _PLACE.sub(lambda place: values[place[1]], template)
