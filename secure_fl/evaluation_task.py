"""A data set's evaluation records as a task of lm-evaluation-harness 0.4: rows and YAML.

Every row holds the question as it is put, so that the YAML names columns and no template of the
harness (Jinja) ever reads a record's text. The metric is `acc`, the choice of the highest summed
log-likelihood, as `domains.causal` answers.
https://github.com/EleutherAI/lm-evaluation-harness/blob/main/docs/task_guide.md
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from domains.prompts import ModelPrompt, TaskPrompt
    from domains.records import Dataset, Record

_YAML: Final = """\
# Written by `secure-fl domains export-task`. Licence of the records: see metadata.
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: label
target_delimiter: {delimiter}
num_fewshot: 0
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
metadata:
  version: 1
  licence: {licence}
  records_sha256: {version}
"""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """One record as it is asked; its columns are those of the written lines.

    Attributes:
        id: the record's.
        prompt: the question, in the form that the model was taught.
        choices: what may be answered.
        label: the place of the right one.
    """

    id: str
    prompt: str = field(repr=False)
    choices: tuple[str, ...] = field(repr=False)
    label: int


def task_rows(
    records: Iterable[Record], asked: TaskPrompt, form: ModelPrompt
) -> tuple[TaskRow, ...]:
    """Return a row for each record.

    Raises:
        ConfigError: a record's right answer is none of those that may be given.
    """
    return tuple(_row(record, asked, form) for record in records)


def _row(record: Record, asked: TaskPrompt, form: ModelPrompt) -> TaskRow:
    choices = asked.choices(record)
    if not 0 <= record.label < len(choices):
        raise ConfigError(
            f"Record {record.id!r} has label {record.label} of {len(choices)} possible answers: "
            "no task was written. Give the prompt an answer for each label."
        )
    return TaskRow(record.id, form.ask(asked.ask(record)), choices, record.label)


def task_lines(rows: Sequence[TaskRow]) -> str:
    """Return the rows as JSON lines."""
    return "".join(json.dumps(asdict(row), allow_nan=False) + "\n" for row in rows)


def task_yaml(dataset: Dataset, lines: Path, delimiter: str) -> str:
    """Return the task of the rows in the file `lines`, with `delimiter` before every choice.

    The harness looks for a file from where it is started, so `lines` should be absolute.
    """
    return _YAML.format(
        name=_quoted(dataset.name),
        file=_quoted(str(lines)),
        delimiter=_quoted(delimiter),
        licence=_quoted(dataset.licence),
        version=_quoted(dataset.version.hex()),
    )


def _quoted(text: str) -> str:
    """Return `text` as a double-quoted scalar of YAML 1.1, in ASCII."""
    plain = (
        letter
        if letter.isascii() and letter.isprintable() and letter not in '"\\'
        else f"\\U{ord(letter):08x}"
        for letter in text
    )
    return f'"{"".join(plain)}"'
