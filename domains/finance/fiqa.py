"""FiQA sentiment analysis (FiQA-SA) in the form that its benchmark split is published in.

Task 1 of the challenge "Financial Opinion Mining and Question Answering", WWW 2018. The test
labels were never published; `TheFinAI/fiqa-sentiment-classification` on the Hugging Face hub
holds the labelled part in the split of "A Baseline for Aspect-Based Sentiment Analysis in
Financial Microblogs and News" (arXiv 2211.00083): 822 rows to train, 117 to validate, 234 to
test, with the columns `_id, sentence, target, aspect, score, type`. Its card says how to save
them: `dataset["train"].to_csv("train.csv")`, and likewise `valid` and `test`.

A row is a sentence and one of the targets it speaks of, so a sentence may have several rows with
scores of their own. The score, in [-1, 1], becomes a label as in FinGPT's benchmark: negative
below -0.1, positive from 0.1 on, neutral between. FinGPT itself scores on another split, of
another copy: see `domains.finance.fiqa_fingpt`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domains.overlap import separate
from domains.reading import check_rows, csv_rows, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

    from domains.reading import Row

NAME: Final = "finance.fiqa"
LABELS: Final = ("negative", "neutral", "positive")
LICENCE: Final = "MIT (card of TheFinAI/fiqa-sentiment-classification)"
TRAIN_FILES: Final = ("train.csv", "valid.csv")
EVALUATION_FILE: Final = "test.csv"
EXPECTED_FILES: Final = (*TRAIN_FILES, EVALUATION_FILE)
PUBLISHED_ROWS: Final = {"train.csv": 822, "valid.csv": 117, "test.csv": 234}

_COLUMNS: Final = ("_id", "sentence", "target", "aspect", "score", "type")
_NEUTRAL_FROM: Final = -0.1
_POSITIVE_FROM: Final = 0.1


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the three files; the validation rows are training rows.

    Args:
        folder: where they lie.
        drop_overlap: drop training rows whose sentence is also in the evaluation set, about
            whatever target.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, or not of the published length, or
            an id stands for two sentences.
    """
    train = tuple(record for name in TRAIN_FILES for record in _published(folder, name))
    evaluation = _published(folder, EVALUATION_FILE)
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
            "Evaluation set: the published test split; validation rows are in training.",
            "FinGPT scores on another copy and split, finance.fiqa-fingpt: not comparable.",
        ),
    )


def read_rows(path: Path) -> tuple[Record, ...]:
    """Return one record per row; ids are `fiqa-FILE-ROW`, from 1; the target is a column.

    Raises:
        ConfigError: naming file and row, never text; see `reading.csv_rows`.
    """
    sentences: dict[tuple[str, str], str] = {}
    return tuple(_record(row, sentences) for row in csv_rows(path, _COLUMNS))


def label_of(score: float) -> int:
    """Return the label of a score, with the thresholds of FinGPT's benchmark."""
    if score < _NEUTRAL_FROM:
        return LABELS.index("negative")
    return LABELS.index("neutral" if score < _POSITIVE_FROM else "positive")


def score_of(row: Row, column: str) -> float:
    """Return the score in `column`, in [-1, 1].

    Raises:
        ConfigError: naming file and row: there is no such number.
    """
    try:
        score = float(row.text(column))
    except ValueError:
        score = float("nan")  # refused below; the error holds the cell, so it is not chained
    if not -1 <= score <= 1:
        row.refuse(f"no number from -1 to 1 in {column!r}", "its label is unknown")
    return score


def _record(row: Row, sentences: dict[tuple[str, str], str]) -> Record:
    sentence = row.text("sentence")
    # Headlines and posts were numbered apart.
    known = sentences.setdefault((row.text("type"), row.text("_id")), sentence)
    if known != sentence:
        row.refuse("the id of another sentence", "it is unknown which of the two was scored")
    return Record(
        f"fiqa-{row.path.stem}-{row.number:05d}",
        sentence,
        label_of(score_of(row, "score")),
        {"target": row.text("target"), "type": row.text("type")},
    )


def _published(folder: Path, name: str) -> tuple[Record, ...]:
    path = published_file(folder, name, EXPECTED_FILES)
    records = read_rows(path)
    check_rows(path, len(records), PUBLISHED_ROWS[name])
    return records
