"""What a person took in order, as ranking records: the next title stands among sampled others.

The form is that of leave-one-out evaluation with sampled negatives (Hou et al., "Large Language
Models are Zero-Shot Rankers for Recommender Systems", ECIR 2024): the last item of a history is
scored, the one before it trains. A rank among sampled negatives is not a rank among all items
(Krichene and Rendle, KDD 2020): it compares only with one of the same number of negatives.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.errors import ConfigError
from domains.records import Record

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

HISTORY: Final = 10
"""How many titles a record's text holds, at most: the last."""
TRAIN_NEGATIVES: Final = 19
EVALUATION_NEGATIVES: Final = 99
SEED: Final = 42
"""Decides which users are loaded, which negatives stand beside an item, and in which order."""

_AGAIN: Final = "Copy the published file again"
_CONTROLS: Final = bytes(frozenset(range(32)) - frozenset(b"\t\n\r"))
_LATIN: Final = "latin-1"


@dataclass(frozen=True, slots=True)
class Step:
    """What one person took next; `repr` shows no item.

    Attributes:
        user: whose it is.
        history: the titles that they took before, oldest first, all of them.
        item: the title of the next.
    """

    user: str
    history: tuple[str, ...] = field(repr=False)
    item: str = field(repr=False)


def table(path: Path, separator: str, width: int, *, encoding: str) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each line; a cell is what stands between two separators.

    A file in Latin-1 that someone turned into UTF-8 is refused, not misread.

    Raises:
        ConfigError: naming file and line: the file cannot be read, is not text in `encoding`, a
            line has another number of cells, or the last one has no end.
    """
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                yield _cells(raw, f"Line {number} of {path}", separator, width, encoding)
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read ({error.strerror}): nothing was loaded. "
            "Let this user read the file."
        ) from error


def chosen_users(users: Iterable[str], at_most: int) -> frozenset[str]:
    """Return at most `at_most` of the users, the same ones in every file that names them.

    More of them hold the fewer: users stand in an order that `SEED` and their id decide.

    Raises:
        ConfigError: fewer than one user was asked for.
    """
    if at_most < 1:
        raise ConfigError(
            f"At most {at_most} users were asked for: nothing would be loaded. Ask for one or more."
        )
    return frozenset(sorted(set(users), key=_place)[:at_most])


def users_note(loaded: int, published: int) -> str:
    """Return the sentence that says how many users were loaded."""
    if loaded == published:
        return f"All {published} users were loaded."
    return f"{loaded} of {published} users were loaded, drawn with seed {SEED}."


def protocol_notes() -> tuple[str, str]:
    """Return what a reader of a score has to know of how the records were made."""
    split = (
        "Leave-one-out: the last item of each user is scored, the one before it trains; users "
        "stand on both sides, so that a user is the unit of privacy."
    )
    sampling = (
        f"An item stands among {EVALUATION_NEGATIVES} sampled others in evaluation and "
        f"{TRAIN_NEGATIVES} in training, uniform, none of the user's history, no title twice; "
        f"the text is the last {HISTORY} titles at most."
    )
    return split, sampling


def ranking_records(
    prefix: str, steps: Iterable[Step], titles: Collection[str], negatives: int
) -> tuple[Record, ...]:
    """Return one record per step; ids are `PREFIX-USER`.

    The options are the next title and `negatives` others, drawn uniformly from `titles` without
    those of the whole history; the label is where the next one stands, drawn too. No title
    stands twice among the options, so that two items of one title count as one.

    Raises:
        ConfigError: a history is empty, or there are too few titles to draw from.
    """
    distinct = tuple(dict.fromkeys(titles))
    return tuple(_record(f"{prefix}-{step.user}", step, distinct, negatives) for step in steps)


def _record(name: str, step: Step, titles: tuple[str, ...], negatives: int) -> Record:
    if not step.history:
        raise ConfigError(
            f"Record {name!r} has no history: the next item would be a guess, so nothing was "
            f"loaded. {_AGAIN}."
        )
    taken = {*step.history, step.item}
    if len(titles) - len(taken) < negatives:
        raise ConfigError(
            f"Record {name!r} needs {negatives} titles that its user did not take, and there are "
            f"{len(titles) - len(taken)}: nothing was loaded. {_AGAIN}."
        )
    rng = np.random.default_rng(_entropy(name))
    others = _drawn(rng, titles, taken, negatives)
    place = int(rng.integers(negatives + 1))
    return Record(
        name,
        "\n".join(step.history[-HISTORY:]),
        place,
        {"user": step.user},
        (*others[:place], step.item, *others[place:]),
    )


def _drawn(
    rng: np.random.Generator, titles: tuple[str, ...], taken: set[str], wanted: int
) -> tuple[str, ...]:
    """Return `wanted` different titles that are not in `taken`, which holds them afterwards.

    Refused draws are drawn again, which is uniform over what is left.
    """
    drawn: list[str] = []
    while len(drawn) < wanted:
        for index in rng.integers(len(titles), size=wanted).tolist():
            title = titles[index]
            if title not in taken and len(drawn) < wanted:
                taken.add(title)
                drawn.append(title)
    return tuple(drawn)


def _entropy(name: str) -> int:
    return int.from_bytes(sha256(f"{SEED}\n{name}".encode()).digest(), "big")


def _place(user: str) -> bytes:
    return sha256(f"{SEED}\n{user}".encode()).digest()


def _cells(raw: bytes, where: str, separator: str, width: int, encoding: str) -> tuple[str, ...]:
    if not raw.endswith(b"\n"):
        raise ConfigError(
            f"{where} has no end: the file was cut there, and a part of the data would be missing "
            f"from every score. {_AGAIN}."
        )
    cells = _decoded(raw, where, encoding).removesuffix("\n").removesuffix("\r").split(separator)
    if len(cells) != width:
        raise ConfigError(
            f"{where} has {len(cells)} cells, the published file {width}: it is unknown which is "
            f"which, so nothing was loaded. {_AGAIN}."
        )
    return tuple(cells)


def _decoded(raw: bytes, where: str, encoding: str) -> str:
    damaged = len(raw.translate(None, _CONTROLS)) != len(raw)
    if not damaged and not (encoding == _LATIN and _is_wider(raw)):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            pass  # holds the line, so it is not chained
    raise ConfigError(
        f"{where} is not text in {encoding} (it looks re-encoded or damaged): a model would read "
        f"other titles than the published ones. {_AGAIN}."
    )


def _is_wider(raw: bytes) -> bool:
    """Return whether the line is UTF-8 beyond ASCII, which a line in Latin-1 is not by chance."""
    try:
        return not raw.isascii() and bool(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return False
