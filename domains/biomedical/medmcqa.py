"""MedMCQA in the published JSON lines, and its validation part as it is often converted.

Pal, Umapathi and Sankarasubbu, "MedMCQA: A Large-scale Multi-Subject Multi-Choice Dataset for
Medical domain Question Answering", CHIL 2022. `train.json` and `dev.json` hold one JSON object per
line, whose `cop` is the right option, 1 to 4; the answers to `test.json` are not public, so that
the literature reports the dev file. `openlifescienceai/medmcqa` on the Hugging Face hub holds the
same rows as Parquet, where `cop` counts from 0 and the dev file is called validation. Its export
as JSON lines looks like the published files and is refused at its first 0.

The converted `validation.jsonl` holds the dev file's rows as `question`, four `choices` that begin
with "A. " to "D. ", and `answer`, 0 to 3. Where it stands alone, a part of it trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from domains.hub_files import HubFiles
from domains.overlap import separate
from domains.published_parquet import parquet_records
from domains.reading import Row, check_rows, json_lines, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "biomedical.medmcqa"
LABELS: Final = ("A", "B", "C", "D")
LICENCE: Final = "Apache-2.0 (medmcqa/medmcqa)"
TRAIN_FILE: Final = "train.json"
DEV_FILE: Final = "dev.json"
CONVERTED_FILE: Final = "validation.jsonl"
EXPECTED_FILES: Final = (TRAIN_FILE, DEV_FILE, CONVERTED_FILE)
"""The first two, or the third alone."""
HUB: Final = HubFiles(
    "openlifescienceai/medmcqa",
    "91c6572c454088bf71b679ad90aa8dffcd0d5868",
    ("data/train-00000-of-00001.parquet", "data/validation-00000-of-00001.parquet"),
)
PUBLISHED_ROWS: Final = {TRAIN_FILE: 182_822, DEV_FILE: 4183, CONVERTED_FILE: 4183}

_COLUMNS: Final = ("id", "question", "opa", "opb", "opc", "opd", "cop", "subject_name")
_OPTIONS: Final = ("opa", "opb", "opc", "opd")
_CONVERTED_COLUMNS: Final = ("question", "choices", "answer")
_SPLIT_SEED: Final = 42
_CONVERTED_NOTE: Final = (
    "Both parts come from the validation set alone: a quarter of it, drawn with seed "
    f"{_SPLIT_SEED}, is scored and the rest trains. Not comparable with the literature."
)


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the published files, or of the converted one where it stands alone.

    Args:
        folder: where they lie; the hub's copy of the published ones lies in `data`.
        drop_overlap: drop training rows whose question is also in the evaluation set.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, or not of the published length.
    """
    converted = (folder / CONVERTED_FILE).is_file()
    if converted and not any((folder / name).is_file() for name in (TRAIN_FILE, DEV_FILE)):
        return _of_converted(folder, drop_overlap=drop_overlap)
    hub = (folder / HUB.files[0]).is_file()
    files = HUB.files if hub else EXPECTED_FILES
    train_path, dev_path = (published_file(folder, name, files) for name in files[:2])
    train, dropped = read_rows(train_path, drop_blank_options=True)
    check_rows(train_path, len(train) + dropped, PUBLISHED_ROWS[TRAIN_FILE])
    evaluation, _ = read_rows(dev_path)
    check_rows(dev_path, len(evaluation), PUBLISHED_ROWS[DEV_FILE])
    return _dataset(
        train,
        evaluation,
        (
            "Evaluation set: the published dev file, as the literature reports.",
            f"{dropped} training rows with an empty option were dropped.",
        ),
        drop_overlap=drop_overlap,
    )


def read_rows(path: Path, *, drop_blank_options: bool = False) -> tuple[tuple[Record, ...], int]:
    """Return one record per row of a published file, and how many rows were dropped.

    Ids are `medmcqa-ID`; the column `subject` holds the subject's name.

    Args:
        path: the file.
        drop_blank_options: drop rows that have an empty option, instead of refusing the file.

    Raises:
        ConfigError: naming file and row, never text: a text is absent or empty, `cop` is not 1
            to 4 (0 to 3 in Parquet); or see `reading.json_lines` and
            `published_parquet.parquet_records`.
    """
    parquet = path.suffix == ".parquet"
    rows = parquet_records if parquet else json_lines
    records, dropped = [], 0
    for row in rows(path, _COLUMNS):
        if drop_blank_options and any(_blank(row, column) for column in _OPTIONS):
            dropped += 1
            continue
        records.append(
            Record(
                f"medmcqa-{row.text('id')}",
                row.text("question"),
                _index(row, "cop", first=0 if parquet else 1),
                {"subject": row.text("subject_name")},
                tuple(row.text(column) for column in _OPTIONS),
            )
        )
    return tuple(records), dropped


def read_converted(path: Path) -> tuple[Record, ...]:
    """Return one record per row of the converted file; ids are `medmcqa-validation-ROW`.

    Raises:
        ConfigError: naming file and row, never text: an empty question or option, other than
            four options after "A. " to "D. ", an answer that is not 0 to 3; or see
            `reading.json_lines`.
    """
    return tuple(
        Record(
            f"medmcqa-validation-{row.number:05d}",
            row.text("question"),
            _index(row, "answer", first=0),
            options=_choices(row),
        )
        for row in json_lines(path, _CONVERTED_COLUMNS)
    )


def _of_converted(folder: Path, *, drop_overlap: bool) -> Dataset:
    records = read_converted(folder / CONVERTED_FILE)
    check_rows(folder / CONVERTED_FILE, len(records), PUBLISHED_ROWS[CONVERTED_FILE])
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(records))
    held_out = frozenset(order[: len(records) // 4].tolist())
    return _dataset(
        tuple(record for place, record in enumerate(records) if place not in held_out),
        tuple(record for place, record in enumerate(records) if place in held_out),
        (_CONVERTED_NOTE,),
        drop_overlap=drop_overlap,
    )


def _dataset(
    train: tuple[Record, ...],
    evaluation: tuple[Record, ...],
    notes: tuple[str, ...],
    *,
    drop_overlap: bool,
) -> Dataset:
    sides = separate(train, evaluation, drop_overlap=drop_overlap)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(*sides.notes, *notes),
    )


def _blank(row: Row, column: str) -> bool:
    value = row.cells[column]
    return isinstance(value, str) and not value.strip()


def _index(row: Row, column: str, *, first: int) -> int:
    value = row.cells[column]
    last = first + len(LABELS) - 1
    if not isinstance(value, int) or isinstance(value, bool) or not first <= value <= last:
        row.refuse(
            f"no option's number, {first} to {last}, in {column!r}",
            "another option would be taken for the right one",
        )
    return value - first


def _choices(row: Row) -> tuple[str, ...]:
    parts = row.cells["choices"]
    if not isinstance(parts, list) or len(parts) != len(LABELS):
        row.refuse(f"no list of {len(LABELS)} texts in 'choices'", "an option would be missing")
    options = []
    for label, part in zip(LABELS, parts, strict=True):
        text = Row(row.path, row.number, {"choices": part}).text("choices")
        option = text.removeprefix(f"{label}. ")
        if option == text or not option.strip():
            row.refuse(
                f"no option {label} after '{label}. ' in 'choices'",
                "it is unknown which option the answer names",
            )
        options.append(option)
    return tuple(options)
