"""MovieLens 100K in its published files.

Harper and Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 2015; files
`u.data` and `u.item` of `ml-100k.zip`. Every rating counts as taken, whatever its value.

A user's films stand in the order of their time stamps, in seconds; what has one time stamp stands
in the file's order. The last is scored, the one before it trains.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

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

NAME: Final = "recommendation.movielens-100k"
LICENCE: Final = "GroupLens: research, no commercial use, no redistribution"
RATINGS_FILE: Final = "u.data"
ITEM_FILE: Final = "u.item"
EXPECTED_FILES: Final = (RATINGS_FILE, ITEM_FILE)
PUBLISHED_ROWS: Final = {RATINGS_FILE: 100_000, ITEM_FILE: 1682}

_ITEM_CELLS: Final = 24
"""Id, title, two dates, an address and 19 genres."""
_RATING_COLUMNS: Final = ("user", "item", "rating", "timestamp")
_RATINGS: Final = {str(stars): stars for stars in range(1, 6)}
_FEWEST: Final = 3
"""One for the history, one to train on, one to score."""


def load(folder: Path, *, users: int) -> Dataset:
    """Return the data set of the two published files.

    Args:
        folder: where they lie.
        users: how many are loaded at most; all lines are checked.

    Raises:
        ConfigError: a file is absent, unreadable, malformed, or not of the published length, or
            names an item that `u.item` does not.
    """
    titles = read_items(published_file(folder, ITEM_FILE, EXPECTED_FILES))
    check_rows(folder / ITEM_FILE, len(titles), PUBLISHED_ROWS[ITEM_FILE])
    taken = read_ratings(published_file(folder, RATINGS_FILE, EXPECTED_FILES), titles)
    rows = sum(len(items) for items in taken.values())
    check_rows(folder / RATINGS_FILE, rows, PUBLISHED_ROWS[RATINGS_FILE])
    long_enough = {user: items for user, items in taken.items() if len(items) >= _FEWEST}
    chosen = chosen_users(long_enough, users)
    listed = [(user, items) for user, items in long_enough.items() if user in chosen]
    train = (Step(user, items[:-2], items[-2]) for user, items in listed)
    evaluation = (Step(user, items[:-1], items[-1]) for user, items in listed)
    return Dataset.of(
        name=NAME,
        labels=(),
        train=ranking_records("movielens-train", train, titles.values(), TRAIN_NEGATIVES),
        evaluation=ranking_records(
            "movielens-test", evaluation, titles.values(), EVALUATION_NEGATIVES
        ),
        licence=LICENCE,
        notes=(
            *protocol_notes(),
            users_note(len(chosen), len(long_enough)),
            f"{len(taken) - len(long_enough)} users with fewer than {_FEWEST} films were dropped.",
        ),
    )


def read_items(path: Path) -> dict[str, str]:
    """Return the titles by item.

    Raises:
        ConfigError: naming file and row, never a title: an item twice, an empty id or title; or
            see `sequences.table`.
    """
    titles: dict[str, str] = {}
    for number, cells in enumerate(table(path, "|", _ITEM_CELLS, encoding="latin-1"), start=1):
        row = Row(path, number, {"item": cells[0], "title": cells[1]})
        item = row.text("item")
        if item in titles:
            row.refuse("an item that stands before", "it is unknown which title is meant")
        titles[item] = row.text("title")
    return titles


def read_ratings(path: Path, titles: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the titles that each user took, oldest first, by user in the order of their ids.

    Raises:
        ConfigError: naming file and row, never a title: an unknown item, one that the user rated
            before, a rating that is not 1 to 5, a malformed user or time stamp; or see
            `sequences.table`.
    """
    taken: dict[str, dict[str, int]] = {}
    for row in _rows(path):
        row.choice("rating", _RATINGS)
        item = row.text("item")
        if item not in titles:
            row.refuse(f"an item that {ITEM_FILE} does not name", "there is no title to read")
        times = taken.setdefault(str(_number(row, "user")), {})
        if item in times:
            row.refuse(
                "an item that its user rated before", "it would stand in their history twice"
            )
        times[item] = _number(row, "timestamp")
    return {
        user: tuple(titles[item] for item in sorted(taken[user], key=taken[user].__getitem__))
        for user in sorted(taken, key=int)
    }


def _rows(path: Path) -> Iterator[Row]:
    lines = table(path, "\t", len(_RATING_COLUMNS), encoding="ascii")
    for number, cells in enumerate(lines, start=1):
        yield Row(path, number, dict(zip(_RATING_COLUMNS, cells, strict=True)))


def _number(row: Row, column: str) -> int:
    value = row.text(column)
    if not (value.isascii() and value.isdecimal()):
        row.refuse(f"no whole number in {column!r}", "the order of the films is unknown")
    return int(value)
