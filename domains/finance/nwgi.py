"""News With GPT Instructions (NWGI), as FinGPT's benchmark reads it.

`oliverwang15/news_with_gpt_instructions` on the Hugging Face hub, 2023: 20,231 news texts whose
labels ChatGPT gave, of which FinGPT scores on the published test split. It is published as
Parquet; the JSON lines that `dataset["train"].to_json("train.jsonl")` and
`dataset["test"].to_json("test.jsonl")` write are read too. Of the columns, `news` and `label` are
read; the others (`prompt`, `out` and counts of tokens) differ among revisions and are what ChatGPT
was asked and answered.

The seven labels become three as in FinGPT's benchmark: what is mild counts as neutral.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.hub_files import HubFiles
from domains.overlap import separate
from domains.published_parquet import parquet_records
from domains.reading import json_lines, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "finance.nwgi"
LABELS: Final = ("negative", "neutral", "positive")
LICENCE: Final = "none stated by oliverwang15/news_with_gpt_instructions: ask before use"
TRAIN_FILE: Final = "train.jsonl"
EVALUATION_FILE: Final = "test.jsonl"
EXPECTED_FILES: Final = (TRAIN_FILE, EVALUATION_FILE)
PARQUET_FILES: Final = (
    "data/train-00000-of-00001-dd971e407aecb39b.parquet",
    "data/test-00000-of-00001-c551483ebf365496.parquet",
)
HUB: Final = HubFiles(
    "oliverwang15/news_with_gpt_instructions",
    "3c4664c48ef4ba001868a9c7205059fa85bcc9e6",
    PARQUET_FILES,
)
PUBLISHED_ROWS: Final = 20_231
"""Of both files together, which is what the card says."""

_COLUMNS: Final = ("news", "label")
_SEVEN: Final = {
    "strong negative": LABELS.index("negative"),
    "moderately negative": LABELS.index("negative"),
    "mildly negative": LABELS.index("neutral"),
    "neutral": LABELS.index("neutral"),
    "mildly positive": LABELS.index("neutral"),
    "moderately positive": LABELS.index("positive"),
    "strong positive": LABELS.index("positive"),
}


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the two files.

    Args:
        folder: where they lie: the published ones in `data`, or the two of JSON lines.
        drop_overlap: drop training rows whose news is also in the evaluation set.

    Raises:
        ConfigError: a file is absent, unreadable or malformed, or the two do not hold the
            published number of rows.
    """
    files = PARQUET_FILES if (folder / PARQUET_FILES[0]).is_file() else EXPECTED_FILES
    train, evaluation = (
        read_rows(published_file(folder, name, files), part)
        for name, part in zip(files, ("train", "test"), strict=True)
    )
    if len(train) + len(evaluation) != PUBLISHED_ROWS:
        raise ConfigError(
            f"{files[0]} and {files[1]} of {folder} have {len(train)} + {len(evaluation)} "
            f"rows, the published ones {PUBLISHED_ROWS}: the split would not be the published "
            "one. Save the two splits again."
        )
    sides = separate(train, evaluation, drop_overlap=drop_overlap)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(
            *sides.notes,
            "The labels are ChatGPT's, not people's: a score is agreement with ChatGPT.",
            "Evaluation set: the published test split, in the three classes of FinGPT.",
        ),
    )


def read_rows(path: Path, part: str) -> tuple[Record, ...]:
    """Return one record per row; ids are `nwgi-PART-ROW`, from 1.

    Raises:
        ConfigError: naming file and row, never text; see `reading.json_lines` and
            `published_parquet.parquet_records`.
    """
    rows = parquet_records if path.suffix == ".parquet" else json_lines
    return tuple(
        Record(f"nwgi-{part}-{row.number:05d}", row.text("news"), row.choice("label", _SEVEN))
        for row in rows(path, _COLUMNS)
    )
