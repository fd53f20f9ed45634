"""What a tuned ranker has to beat: rankings that learn nothing about texts.

A record is a history of titles, one a line, and options of which one came next. The floors read
training records alone, but for the histories that are asked about.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domains.records import Record

_POPULAR_PART: Final = 1e-6
"""Weight of popularity where it only parts what a transition ranks alike."""


def popularity(train: Sequence[Record], asked: Sequence[Record]) -> list[NDArray[np.float64]]:
    """Return how often each option stands in training histories or came next, (options,) each."""
    counts = _counts(train)
    return [np.array([counts[o] for o in record.options], np.float64) for record in asked]


def last_item(train: Sequence[Record], asked: Sequence[Record]) -> list[NDArray[np.float64]]:
    """Return how often each option followed the history's last title in training, (options,) each.

    A first-order Markov chain over titles; what it ranks alike, popularity parts.
    """
    counts = _counts(train)
    followed = Counter(pair for record in train for pair in _steps(record))
    most = max(counts.values(), default=1)
    rows = []
    for record in asked:
        last = record.text.split("\n")[-1]
        rows.append(
            np.array(
                [followed[last, o] + _POPULAR_PART * counts[o] / most for o in record.options],
                np.float64,
            )
        )
    return rows


def likeness_to_last(
    states: dict[str, NDArray[np.float32]], asked: Sequence[Record]
) -> list[NDArray[np.float64]]:
    """Return the cosine of each option's title with the history's last title, (options,) each.

    Args:
        states: a vector for each title, from a frozen text encoder.
        asked: the records.
    """
    unit = {title: row / np.linalg.norm(row) for title, row in states.items()}
    return [
        np.array([unit[o] @ unit[record.text.split("\n")[-1]] for o in record.options], np.float64)
        for record in asked
    ]


def _counts(train: Sequence[Record]) -> Counter[str]:
    return Counter(title for record in train for title in _sequence(record))


def _steps(record: Record) -> list[tuple[str, str]]:
    titles = _sequence(record)
    return list(pairwise(titles))


def _sequence(record: Record) -> list[str]:
    return [*record.text.split("\n"), record.options[record.label]]
