"""MedQA-USMLE, with four or five options, in the published JSON lines.

Jin, Pan, Oufattole, Weng, Fang and Szolovits, "What Disease does this Patient Have? A Large-scale
Open Domain Question Answering Dataset from Medical Exams", 2020. The folder is `questions/US` of
the release: `train.jsonl`, `dev.jsonl` and `test.jsonl` with five options, and in `4_options` the
same questions with four, on which most of the literature reports.

The dev file is for choosing settings: neither trained on nor scored, it is not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domains.hub_files import HubFiles
from domains.overlap import separate
from domains.reading import Row, check_rows, json_lines, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "biomedical.medqa"
NAME_FIVE: Final = "biomedical.medqa5"
LABELS: Final = ("A", "B", "C", "D")
LABELS_FIVE: Final = (*LABELS, "E")
LICENCE: Final = "MIT (jind11/MedQA); the questions are those of exam preparation sites"
EXPECTED_FILES: Final = (
    "4_options/phrases_no_exclude_train.jsonl",
    "4_options/phrases_no_exclude_test.jsonl",
)
HUB: Final = HubFiles(
    "GBaker/MedQA-USMLE-4-options",
    "0fb93dd23a7339b6dcd27e241cb9b5eca62d4d18",
    ("phrases_no_exclude_train.jsonl", "phrases_no_exclude_test.jsonl"),
)
"""A copy of the two files, without their folder."""
EXPECTED_FILES_FIVE: Final = ("train.jsonl", "test.jsonl")
PUBLISHED_ROWS: Final = {"train": 10_178, "test": 1273}

_COLUMNS: Final = ("question", "answer", "options", "meta_info", "answer_idx")


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set with four options.

    Args:
        folder: `questions/US` of the release, or its `4_options`.
        drop_overlap: drop training rows whose question is also in the test set.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, or not of the published length.
    """
    files = HUB.files if (folder / HUB.files[0]).is_file() else EXPECTED_FILES
    return _load(folder, NAME, LABELS, files, drop_overlap=drop_overlap)


def load_five(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set with five options; otherwise as `load`.

    Raises:
        ConfigError: as `load`.
    """
    return _load(folder, NAME_FIVE, LABELS_FIVE, EXPECTED_FILES_FIVE, drop_overlap=drop_overlap)


def read_rows(path: Path, part: str, labels: tuple[str, ...]) -> tuple[Record, ...]:
    """Return one record per row; ids are `medqa-PART-ROW`.

    The column `exam` holds `meta_info`: the step of the exam.

    Raises:
        ConfigError: naming file and row, never text: an empty text, options under other than
            `labels`, an answer that is not the option that `answer_idx` names; or see
            `reading.json_lines`.
    """
    return tuple(
        _record(row, f"medqa-{part}-{row.number:05d}", labels) for row in json_lines(path, _COLUMNS)
    )


def _load(
    folder: Path,
    name: str,
    labels: tuple[str, ...],
    files: tuple[str, ...],
    *,
    drop_overlap: bool,
) -> Dataset:
    parts = []
    for part, file in zip(PUBLISHED_ROWS, files, strict=True):
        path = published_file(folder, file, files)
        records = read_rows(path, part, labels)
        check_rows(path, len(records), PUBLISHED_ROWS[part])
        parts.append(records)
    train, evaluation = parts
    sides = separate(train, evaluation, drop_overlap=drop_overlap)
    return Dataset.of(
        name=name,
        labels=labels,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(
            *sides.notes,
            f"Evaluation set: the published test file, with {len(labels)} options.",
            "The published dev file is not read: settings may be chosen on it.",
        ),
    )


def _record(row: Row, name: str, labels: tuple[str, ...]) -> Record:
    options = row.cells["options"]
    if not isinstance(options, dict) or sorted(options) != list(labels):
        row.refuse(
            f"other options than {labels[0]} to {labels[-1]}", "it is another form of the data set"
        )
    listed = Row(row.path, row.number, options)
    texts = tuple(listed.text(label) for label in labels)
    label = row.choice("answer_idx", {label: code for code, label in enumerate(labels)})
    if row.cells["answer"] != texts[label]:
        row.refuse(
            "an 'answer' that is not the option of its 'answer_idx'", "it is unknown which is right"
        )
    return Record(name, row.text("question"), label, {"exam": row.text("meta_info")}, texts)
