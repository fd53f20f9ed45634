"""Amazon video games in the form in which LLMRank published them.

Hou et al., "Large Language Models are Zero-Shot Rankers for Recommender Systems", ECIR 2024
(`RUCAIBox/LLMRank`, `llmrank/dataset/Games` and `Games-6k`), from the review data of Ni, Li and
McAuley, EMNLP 2019. `Games.item` holds an id and a title per item; `Games-6k.valid.inter` and
`Games-6k.test.inter` one user per line: id, the items of the history in order, and the next item.

The test file is scored. The valid file, whose next item is the last of the history in the test
file, trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.reading import Row, check_rows, published_file
from domains.recommendation.sequences import (
    EVALUATION_NEGATIVES,
    TRAIN_NEGATIVES,
    Step,
    chosen_users,
    protocol_notes,
    ranking_records,
    table,
    users_note,
)
from domains.records import Dataset

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

NAME: Final = "recommendation.amazon-games"
LICENCE: Final = "MIT (RUCAIBox/LLMRank); the review data states none, for research"
ITEM_FILE: Final = "Games.item"
TRAIN_FILE: Final = "Games-6k.valid.inter"
EVALUATION_FILE: Final = "Games-6k.test.inter"
EXPECTED_FILES: Final = (ITEM_FILE, TRAIN_FILE, EVALUATION_FILE)
PUBLISHED_ROWS: Final = {ITEM_FILE: 16_859, TRAIN_FILE: 50_546, EVALUATION_FILE: 50_546}

_ITEM_COLUMNS: Final = ("item_id:token", "title:token_seq")
_STEP_COLUMNS: Final = ("user_id:token", "item_id_list:token_seq", "item_id:token")


def load(folder: Path, *, users: int) -> Dataset:
    """Return the data set of the three published files.

    Args:
        folder: where they lie.
        users: how many are loaded at most, the same ones on both sides. All lines are checked.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, not of the published length, or names
            an item that `Games.item` does not; or the two splits disagree.
    """
    titles = read_items(published_file(folder, ITEM_FILE, EXPECTED_FILES))
    check_rows(folder / ITEM_FILE, len(titles), PUBLISHED_ROWS[ITEM_FILE])
    train, evaluation = (_steps(folder, name, titles) for name in (TRAIN_FILE, EVALUATION_FILE))
    _check_split(train, evaluation, folder)
    chosen = chosen_users(evaluation, users)
    return Dataset.of(
        name=NAME,
        labels=(),
        train=ranking_records(
            "games-valid",
            (step for user, step in train.items() if user in chosen),
            titles.values(),
            TRAIN_NEGATIVES,
        ),
        evaluation=ranking_records(
            "games-test",
            (step for user, step in evaluation.items() if user in chosen),
            titles.values(),
            EVALUATION_NEGATIVES,
        ),
        licence=LICENCE,
        notes=(*protocol_notes(), users_note(len(chosen), len(evaluation))),
    )


def read_items(path: Path) -> dict[str, str]:
    """Return the titles by item.

    Raises:
        ConfigError: naming file and row, never a title: an item twice, an empty id or title; or
            see `sequences.table`.
    """
    titles: dict[str, str] = {}
    for row in _rows(path, _ITEM_COLUMNS):
        item = row.text(_ITEM_COLUMNS[0])
        if item in titles:
            row.refuse("an item that stands before", "it is unknown which title is meant")
        titles[item] = row.text(_ITEM_COLUMNS[1])
    return titles


def read_steps(path: Path, titles: Mapping[str, str]) -> dict[str, Step]:
    """Return what each user took next, by user, in the file's order.

    Raises:
        ConfigError: naming file and row, never a title: a user twice, an empty history, an
            unknown item; or see `sequences.table`.
    """
    steps: dict[str, Step] = {}
    for row in _rows(path, _STEP_COLUMNS):
        user, history, item = (row.text(column) for column in _STEP_COLUMNS)
        if user in steps:
            row.refuse("a user that stands before", "their last item would not be known")
        if any(one not in titles for one in (*history.split(" "), item)):
            row.refuse(f"an item that {ITEM_FILE} does not name", "there is no title to read")
        steps[user] = Step(user, tuple(titles[one] for one in history.split(" ")), titles[item])
    return steps


def _steps(folder: Path, name: str, titles: Mapping[str, str]) -> dict[str, Step]:
    path = published_file(folder, name, EXPECTED_FILES)
    steps = read_steps(path, titles)
    check_rows(path, len(steps), PUBLISHED_ROWS[name])
    return steps


def _check_split(train: Mapping[str, Step], evaluation: Mapping[str, Step], folder: Path) -> None:
    """Raise ConfigError if what is scored may have been trained on."""
    fault = f"{TRAIN_FILE} and {EVALUATION_FILE} of {folder}"
    if train.keys() != evaluation.keys():
        fault += " do not name the same users"
    else:
        apart = (
            user
            for user, step in evaluation.items()
            if step.history != (*train[user].history, train[user].item)
        )
        user = next(apart, None)
        if user is None:
            return
        fault += f" disagree on the history of user {user}"
    raise ConfigError(
        f"{fault}: they are not of one split, and an item could be scored that was trained on. "
        "Copy both files again, from one release."
    )


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    lines = table(path, "\t", len(columns), encoding="utf-8")
    if next(lines, None) != columns:
        raise ConfigError(
            f"The header of {path} is not that of the published file: nothing was loaded. "
            f"Its columns are {', '.join(columns)}."
        )
    for number, cells in enumerate(lines, start=1):
        yield Row(path, number, dict(zip(columns, cells, strict=True)))
