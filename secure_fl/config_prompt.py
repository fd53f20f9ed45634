"""The table that says how a record is put to a causal language model."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from crypto.errors import ConfigError
from domains.prompts import ModelPrompt, TaskPrompt
from secure_fl.config_sections import Section


class PromptSection(Section):
    """Its presence makes the base model a causal language model that is asked about each record."""

    template: str
    """What is asked: `{text}` stands for the record, `{options}` for its own options, listed."""
    answers: tuple[str, ...] = ()
    """What is answered for each label, in label order; absent where records bring options."""
    model_form: str = "{prompt}"
    """The form in which the base model was taught to be asked: `[INST] {prompt} [/INST]`, say."""
    before_answer: str = " "
    """What stands between question and answer."""

    @model_validator(mode="after")
    def _can_be_asked(self) -> Self:
        try:
            self.asked()
            self.form()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def asked(self) -> TaskPrompt:
        """Return what is asked of each record."""
        return TaskPrompt(self.template, self.answers)

    def form(self) -> ModelPrompt:
        """Return the form in which the base model is asked."""
        return ModelPrompt(self.model_form, self.before_answer)
