"""FiQA sentiment analysis (FiQA-SA) in the copy and the split that FinGPT's benchmark scores on.

`pauri32/fiqa-2018` on the Hugging Face hub, 2023: three CSV files with the columns `sentence,
snippets, target, sentiment_score, aspects, format, label`. FinGPT and OpenFedLLM put the three
behind one another (train, validation, test) and score on 22.6 % of the rows, see
`domains.finance.fingpt_split`; the published parts mean nothing then. Scores become labels as in
`domains.finance.fiqa`, which reads another copy, in its publishers' split.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domains.finance.fingpt_split import fingpt_test_rows
from domains.finance.fiqa import LABELS, label_of, score_of
from domains.hub_files import HubFiles
from domains.overlap import separate
from domains.reading import csv_rows, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["EXPECTED_FILES", "HUB", "LABELS", "LICENCE", "NAME", "load", "read_rows"]

NAME: Final = "finance.fiqa-fingpt"
LICENCE: Final = "none stated by pauri32/fiqa-2018: ask before use"
EXPECTED_FILES: Final = ("train.csv", "validation.csv", "test.csv")
HUB: Final = HubFiles(
    "pauri32/fiqa-2018", "74b7dd5d4fc61e0fa5d979bef2c53111ea69c58a", EXPECTED_FILES
)

_COLUMNS: Final = (
    "sentence",
    "snippets",
    "target",
    "sentiment_score",
    "aspects",
    "format",
    "label",
)
_TEST_SHARE: Final = 0.226


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the three files, in FinGPT's split.

    Args:
        folder: where they lie.
        drop_overlap: drop training rows whose sentence is also in the evaluation set, about
            whatever target.

    Raises:
        ConfigError: a file is absent, unreadable or malformed.
    """
    records = tuple(
        record
        for name in EXPECTED_FILES
        for record in read_rows(published_file(folder, name, EXPECTED_FILES))
    )
    held_out = fingpt_test_rows(len(records), _TEST_SHARE)
    scored = set(held_out)
    evaluation = tuple(records[row] for row in held_out)
    train = tuple(record for row, record in enumerate(records) if row not in scored)
    sides = separate(train, evaluation, drop_overlap=drop_overlap)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(
            *sides.notes,
            "Rows of one sentence, one for each target it speaks of, can have different labels.",
            "Evaluation set: the test split of FinGPT and OpenFedLLM.",
        ),
    )


def read_rows(path: Path) -> tuple[Record, ...]:
    """Return one record per row; ids are `fiqa-fingpt-FILE-ROW`, from 1; the target is a column.

    Raises:
        ConfigError: naming file and row, never text; see `reading.csv_rows`.
    """
    return tuple(
        Record(
            f"fiqa-fingpt-{path.stem}-{row.number:05d}",
            row.text("sentence"),
            label_of(score_of(row, "sentiment_score")),
            {"target": row.text("target"), "type": row.text("format")},
        )
        for row in csv_rows(path, _COLUMNS)
    )
