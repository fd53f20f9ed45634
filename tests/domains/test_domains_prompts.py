"""A prompt holds the record as it is, whatever stands in it."""

from __future__ import annotations

import pytest

from crypto.errors import ConfigError
from domains.prompts import ModelPrompt, TaskPrompt
from domains.records import Record

ASKED = TaskPrompt("Say it.\nInput: {text}\nAnswer:", ("no", "yes"))
CHOICE = TaskPrompt("{text}\n{options}\nAnswer:")


def test_braces_in_a_record_are_text() -> None:
    record = Record("a", "{options} {0} {text}", 0, options=("x {prompt}", "y"))
    assert ASKED.ask(record) == "Say it.\nInput: {options} {0} {text}\nAnswer:"
    assert CHOICE.ask(record) == "{options} {0} {text}\nA. x {prompt}\nB. y\nAnswer:"
    assert ModelPrompt("<s>{prompt}</s>").ask("{prompt} {") == "<s>{prompt} {</s>"


def test_the_answers_are_the_labels_or_the_options() -> None:
    record = Record("a", "?", 0, options=("x", "y"))
    assert ASKED.choices(record) == ("no", "yes")
    assert CHOICE.choices(record) == ("x", "y")


@pytest.mark.parametrize("template", ["", "{options}", "{text}{text}", "{text}{prompt}"])
def test_a_template_without_its_record_is_refused(template: str) -> None:
    with pytest.raises(ConfigError, match="Correct the template"):
        TaskPrompt(template)
    with pytest.raises(ConfigError, match="Correct the template"):
        ModelPrompt(template)


def test_a_blank_answer_is_refused() -> None:
    with pytest.raises(ConfigError, match="blank"):
        TaskPrompt("{text}", ("yes", " "))


def test_one_option_alone_is_a_secret_answered_whatever_the_answers_and_never_asked() -> None:
    record = Record("canary", "of this", 0, options=("1234-5678",))
    for answers in ((), ("down", "up")):
        prompt = TaskPrompt("{text} {options}:", answers)
        assert prompt.choices(record) == ("1234-5678",)
        assert prompt.ask(record) == "of this :"
