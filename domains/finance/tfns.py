"""Twitter Financial News Sentiment in its published files.

`zeroshot/twitter-financial-news-sentiment` on the Hugging Face hub, 2022: two CSV files with the
columns `text,label`, where 0 is bearish, 1 bullish, 2 neutral. FinGPT and OpenFedLLM score on the
published validation file, as negative, positive and neutral.

Many tweets differ in nothing but a shortened link, so links do not count when the two files are
compared. Some tweets hold characters that were decoded wrongly before they were published; they
are kept as published.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from domains.hub_files import HubFiles
from domains.overlap import same_words, separate
from domains.reading import check_rows, csv_rows, published_file
from domains.records import Dataset, Record

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "finance.tfns"
LABELS: Final = ("bearish", "bullish", "neutral")
LICENCE: Final = "MIT (zeroshot/twitter-financial-news-sentiment); tweets, under X's terms too"
TRAIN_FILE: Final = "sent_train.csv"
EVALUATION_FILE: Final = "sent_valid.csv"
EXPECTED_FILES: Final = (TRAIN_FILE, EVALUATION_FILE)
HUB: Final = HubFiles(
    "zeroshot/twitter-financial-news-sentiment",
    "a0f926c8ec5aaeb87c6404651733b524b6099a42",
    EXPECTED_FILES,
)
PUBLISHED_ROWS: Final = {TRAIN_FILE: 9543, EVALUATION_FILE: 2388}

_COLUMNS: Final = ("text", "label")
_CODES: Final = {str(code): code for code in range(len(LABELS))}
_LINK: Final = re.compile(r"https?://\S+")


def load(folder: Path, *, drop_overlap: bool = True) -> Dataset:
    """Return the data set of the two published files.

    Args:
        folder: where they lie.
        drop_overlap: drop training tweets that are also in the evaluation set.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, or not of the published length.
    """
    train, evaluation = (_published(folder, name) for name in EXPECTED_FILES)
    sides = separate(train, evaluation, drop_overlap=drop_overlap, key=without_links)
    return Dataset.of(
        name=NAME,
        labels=LABELS,
        train=sides.train,
        evaluation=evaluation,
        licence=LICENCE,
        notes=(
            *sides.notes,
            "Texts that differ only in links, case or white space count as one.",
            "Evaluation set: the published validation file, as in FinGPT and OpenFedLLM.",
        ),
    )


def read_rows(path: Path) -> tuple[Record, ...]:
    """Return one record per row of a `text,label` file; ids are `tfns-FILE-ROW`, from 1.

    Raises:
        ConfigError: naming file and row, never text; see `reading.csv_rows`.
    """
    return tuple(
        Record(f"tfns-{path.stem}-{row.number:05d}", row.text("text"), row.choice("label", _CODES))
        for row in csv_rows(path, _COLUMNS)
    )


def without_links(text: str) -> str:
    """Return what counts when two tweets are compared."""
    return same_words(_LINK.sub(" ", text))


def _published(folder: Path, name: str) -> tuple[Record, ...]:
    path = published_file(folder, name, EXPECTED_FILES)
    records = read_rows(path)
    check_rows(path, len(records), PUBLISHED_ROWS[name])
    return records
