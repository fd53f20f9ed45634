"""How well the item that came next is ranked among others, as recommenders report it.

The rank of the right item counts those that score at least as high: a tie is against the ranker, so
that one which scores everything alike does not look good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CUT: Final = 10
"""The k of HR@k and NDCG@k."""


@dataclass(frozen=True, slots=True)
class RankingScores:
    """Scores over n records; every field is between 0 and 1 but n.

    Attributes:
        n: number of records scored.
        hit_rate: HR@10, the share of records whose right item is among the first ten.
        ndcg: NDCG@10 with one relevant item: the mean of 1 / log2(1 + rank), 0 beyond the tenth.
        auc: the mean share of the other items that the right one is ranked before; a tie is a half
            (the Mann-Whitney statistic of each record).
    """

    n: int
    hit_rate: float
    ndcg: float
    auc: float


def ranking_scores(
    scores: Sequence[NDArray[np.float64]], labels: NDArray[np.int64]
) -> RankingScores:
    """Return how well `scores`, one array (options,) for each record, rank the items at `labels`.

    Args:
        scores: of every option of each record; higher is better, in any unit.
        labels: the place of the right option, shape (n,).

    Raises:
        ConfigError: there is no record, one has fewer than two options or no such place, or a score
            is not a number.
    """
    if not len(scores) == labels.size > 0:
        raise ConfigError(
            f"{len(scores)} records have scores and {labels.size} a right item: nothing can be "
            "ranked. Score every record of a non-empty evaluation set once."
        )
    rows = [_ranked(row, int(label)) for row, label in zip(scores, labels, strict=True)]
    ranks = np.array([rank for rank, _ in rows])
    return RankingScores(
        n=len(rows),
        hit_rate=float(np.mean(ranks <= CUT)),
        ndcg=float(np.mean(np.where(ranks <= CUT, 1 / np.log2(1 + ranks), 0.0))),
        auc=float(np.mean([auc for _, auc in rows])),
    )


def _ranked(scores: NDArray[np.float64], label: int) -> tuple[int, float]:
    """Return the right option's rank, from 1, and the share of the others it is ranked before."""
    if scores.ndim != 1 or scores.size < 2 or not 0 <= label < scores.size:  # noqa: PLR2004 - a choice
        raise ConfigError(
            f"A record has {scores.size} scored options and its right one at place {label}: it "
            "cannot be ranked. Score each of two or more options."
        )
    if np.isnan(scores).any():
        raise ConfigError("A score is not a number: its rank would be anything. Mend the model.")
    others = np.delete(scores, label)
    above, level = np.sum(others > scores[label]), np.sum(others == scores[label])
    return 1 + int(above + level), float(1 - (above + level / 2) / others.size)
