"""Writes a data set's evaluation records as a task of lm-evaluation-harness, asked as a run asks.

Both encode question and answer in one piece and take the question's tokens off; see
`domains.answer_tokens` for the one case in which the tokens differ, that of a token that reaches
over the border. With a run's configuration and base model, the records without it are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, load_dataset
from domains.causal import CausalAnswers
from domains.own_files import NAME as OWN
from domains.prompts import ModelPrompt
from domains.sentence_head import load_tokenizer
from secure_fl.config import load_config
from secure_fl.evaluation_task import task_lines, task_rows, task_yaml
from secure_fl.sites.workbench import resolve_model
from secure_fl.storage import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from domains.encoding import EncodedRecords
    from domains.prompts import TaskPrompt
    from domains.records import Dataset
    from secure_fl.config import RunConfig
    from secure_fl.evaluation_task import TaskRow


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        task: the YAML file.
        lines: the file of the records.
        records: how many there are.
        shortened: how many texts were cut to the run's `max_length`; None without a run.
        alike: how many are asked and answered in the run's very tokens; None without a run.
    """

    task: Path
    lines: Path
    records: int
    shortened: int | None
    alike: int | None


@dataclass(frozen=True)
class _Asked:
    """A data set, and how its records are asked about."""

    dataset: Dataset
    rows: tuple[TaskRow, ...]
    delimiter: str
    shortened: int | None = None
    alike: int | None = None


def export_task(
    name: str, *, data: Path | None, out: Path, run: Path | None, seed: int = 0
) -> Exported:
    """Write `name`.yaml and `name`.jsonl into the folder `out`.

    Args:
        name: of the data set, as the catalogue lists it.
        data: the folder of its published files, where it has some.
        out: made where it is not there; neither file may be there.
        run: the configuration of a run on it, whose words, length and base model count; None for
            the data set's own words, and no length.
        seed: of a generated data set, where no run says it.

    Raises:
        ConfigError: the records are no published or generated ones or do not load, the run is on
            others or asks no language model, its base model is not here, or a file exists.
    """
    _check_publishable(name)
    task, lines = (out.resolve() / f"{name}.{kind}" for kind in ("yaml", "jsonl"))
    for path in (task, lines):
        if path.exists():
            raise ConfigError(
                f"{path} exists already, and a score may rest on it: nothing was written. Name "
                "another folder, or remove the file."
            )
    asked = _plain(name, data, seed) if run is None else _as_in(load_config(run), name, data)
    write_atomically(lines, task_lines(asked.rows).encode())
    write_atomically(task, task_yaml(asked.dataset, lines, asked.delimiter).encode())
    return Exported(task, lines, len(asked.rows), asked.shortened, asked.alike)


def _check_publishable(name: str) -> None:
    if name == OWN:
        raise ConfigError(
            "Records of a site's own would stand in a file in plain words, and in the caches of "
            "another program: nothing was written. Name a published or a generated data set."
        )
    if name not in ENTRIES:
        raise ConfigError(
            f"No data set is called {name!r}: nothing was written. Known data sets: "
            f"{', '.join(sorted(ENTRIES))}."
        )


def _plain(name: str, data: Path | None, seed: int) -> _Asked:
    dataset, form = load_dataset(name, data=data, seed=seed), ModelPrompt()
    rows = task_rows(dataset.evaluation, ENTRIES[name].prompt, form)
    return _Asked(dataset, rows, form.before_answer)


def _as_in(config: RunConfig, name: str, data: Path | None) -> _Asked:
    """Return the records as the run asks about them."""
    mechanism = config.mechanism
    if mechanism.data.dataset != name:
        raise ConfigError(
            f"The run is on {mechanism.data.dataset} and the task would be of {name}: its answers "
            f"belong to other labels, and nothing was written. Ask for {mechanism.data.dataset}, "
            "or leave --config out."
        )
    if mechanism.prompt is None:
        raise ConfigError(
            "The run puts a classifier on an encoder, which lm-evaluation-harness cannot score: "
            "nothing was written. Name a run with the table [mechanism.prompt], or leave --config "
            "out."
        )
    asked, form = mechanism.prompt.asked(), mechanism.prompt.form()
    dataset = load_dataset(
        name,
        data=data,
        seed=mechanism.seed,
        options=mechanism.data.options(),
        allow_hub=config.runtime.allow_hub,
    )
    resolved = resolve_model(mechanism.model, config.runtime)
    answers = CausalAnswers(resolved, dataset.labels, asked, form, mechanism.model.max_length)
    tokenizer, _, _ = load_tokenizer(resolved)
    return _in_tokens(dataset, answers, tokenizer, asked, form)


def _in_tokens(
    dataset: Dataset,
    answers: CausalAnswers,
    tokenizer: PreTrainedTokenizerBase,
    asked: TaskPrompt,
    form: ModelPrompt,
) -> _Asked:
    """Return the records cut as a run cuts them, and count those whose tokens are the same."""
    kept = tuple(answers.shortened(record) for record in dataset.evaluation)
    rows, encoded = task_rows(kept, asked, form), answers.encode(kept)
    cut = sum(a.text != b.text for a, b in zip(kept, dataset.evaluation, strict=True))
    alike = _alike(rows, encoded, form.before_answer, tokenizer)
    return _Asked(dataset, rows, form.before_answer, shortened=cut, alike=alike)


def _alike(
    rows: tuple[TaskRow, ...],
    encoded: EncodedRecords,
    delimiter: str,
    tokenizer: PreTrainedTokenizerBase,
) -> int:
    """Return how many rows the harness turns into the run's tokens, with every answer."""
    lengths = encoded.prompt_lengths
    if lengths is None:
        raise ConfigError("The records were encoded for another task: nothing can be compared.")
    whole = zip(rows, encoded.token_ids, lengths, encoded.answers, strict=True)
    return sum(
        all(
            _harness_ids(tokenizer, row.prompt, delimiter + choice, int(length))
            == [*ids[:length].tolist(), *answer.tolist()]
            for choice, answer in zip(row.choices, answers, strict=True)
        )
        for row, ids, length, answers in whole
    )


def _harness_ids(
    tokenizer: PreTrainedTokenizerBase, prompt: str, answer: str, most: int
) -> list[int] | None:
    """Return what lm-evaluation-harness gives the model (`TemplateLM._encode_pair`).

    White space at the prompt's end is counted to the answer. None where more than `most` tokens,
    the run's prompt, would not count.
    """
    context = prompt.rstrip()
    start = tokenizer.bos_token
    special = start is None or not context.startswith(start)
    ids = [
        tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
        for text in (context, prompt + answer)
    ]
    before, together = (list(map(int, each)) for each in ids)
    return [*before, *together[len(before) :]] if len(before) <= most else None
