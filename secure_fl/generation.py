"""What a finished run's language model writes after the run's prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from crypto.errors import ConfigError
from domains.causal import CausalAnswers
from domains.records import Record
from domains.task_kinds import TaskKind
from secure_fl.evaluation import learned_of, load_adapter
from secure_fl.runfolder import RunFolder
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Written:
    """A text, and what was written after the prompt that asks about it; `repr` shows neither."""

    text: str = field(repr=False)
    answer: str = field(repr=False)


def generate(run: Path, texts: Sequence[str], most_tokens: int) -> tuple[Written, ...]:
    """Return what the adapter of `run` on its base model writes, the likeliest token each time.

    Args:
        run: the folder of a finished run of a language model.
        texts: each is put into the run's prompt, and cut where it is too long.
        most_tokens: where to stop at the latest.

    Raises:
        ConfigError: a text is blank, the run has no language model, or one that is asked about
            options; it is unfinished, or its base model is not here.
        IntegrityError: the adapter is damaged, or is of another model.
    """
    if not all(text.strip() for text in texts):
        raise ConfigError("A text is blank: there is nothing to ask about. Leave it out.")
    config = RunFolder(run).config()
    learned = learned_of(config)
    if learned.kind is not TaskKind.CLASSIFICATION:
        raise ConfigError(
            f"{run} was tuned on {learned.kind} records, which bring options that a plain text has "
            "not: nothing was asked. Score such a run with `secure-fl evaluate`."
        )
    torch.set_num_threads(config.runtime.threads)
    task, adapted = build_task(config.mechanism, learned.labels, config.runtime)
    if not isinstance(task, CausalAnswers):
        raise ConfigError(
            f"{run} tuned an encoder, which tells classes apart and writes nothing. Score it with "
            "`secure-fl evaluate`, or name a run with [mechanism.prompt]."
        )
    load_adapter(adapted, run)
    records = [Record(f"text-{number}", text, 0) for number, text in enumerate(texts, start=1)]
    answers = task.generate(adapted.model, records, most_tokens)
    return tuple(Written(text, answer) for text, answer in zip(texts, answers, strict=True))
