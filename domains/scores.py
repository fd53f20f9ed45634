"""How well predictions match labels, as the field reports it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domains.ranking_scores import RankingScores

_TWO: Final = 2
"""Classes that an area under the ROC curve is of."""


@dataclass(frozen=True, slots=True)
class ClassificationScores:
    """Scores on one evaluation set; every field is a plain number that JSON can say.

    Attributes:
        n: number of records scored.
        accuracy: share of records whose prediction is their label.
        macro_f1: unweighted mean of the classes' F1; a class never predicted counts 0. None where
            records bring options of their own: a class would be a place among them.
        weighted_f1: mean of the classes' F1, weighted by how often each is the label; likewise.
        majority_accuracy: accuracy of always answering the evaluation set's commonest label,
            the floor below which a model has learned nothing.
        ranking: how well the options were ordered, where a record's options are ranked.
        auc: area under the ROC curve of two classes. None where there are not two, only one of them
            is a record's label, or a model's score is not a finite number.
    """

    n: int
    accuracy: float
    macro_f1: float | None
    weighted_f1: float | None
    majority_accuracy: float
    ranking: RankingScores | None = None
    auc: float | None = None


def classification_scores(
    labels: NDArray[np.int64],
    predictions: NDArray[np.int64],
    classes: int,
    margins: NDArray[np.float64] | None = None,
) -> ClassificationScores:
    """Return the scores of `predictions` (n,) against `labels` (n,), both in 0..classes-1.

    All classes count in macro F1, also one that this evaluation set happens not to hold.

    Args:
        labels: shape (n,).
        predictions: likewise.
        classes: how many there are.
        margins: of two classes: by how much each record's second scores above its first, shape
            (n,), for the area under the ROC curve. None for no area.

    Raises:
        ConfigError: the arrays are empty, differ in length, or hold something else than classes; or
            margins are not one for each record of two classes.
    """
    checked, names = option_scores(labels, predictions, classes), list(range(classes))
    return replace(
        checked,
        macro_f1=float(
            f1_score(labels, predictions, labels=names, average="macro", zero_division=0.0)
        ),
        weighted_f1=float(
            f1_score(labels, predictions, labels=names, average="weighted", zero_division=0.0)
        ),
        auc=None if margins is None else _two_class_auc(labels, margins, classes),
    )


def margins_of(scores: Sequence[NDArray[np.float64]]) -> NDArray[np.float64] | None:
    """Return each record's score of the second class less that of the first, shape (n,).

    None unless every record has two scores.
    """
    if any(row.size != _TWO for row in scores):
        return None
    return np.array([row[1] - row[0] for row in scores], dtype=np.float64)


def option_scores(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], places: int
) -> ClassificationScores:
    """Return the scores of choices among records' own options; the right one's place is its label.

    Args:
        labels: shape (n,), each in 0..places-1.
        predictions: likewise.
        places: the most options that a record has.

    Raises:
        ConfigError: the arrays are empty, differ in length, or hold something else than places.
    """
    if labels.shape != predictions.shape or labels.ndim != 1 or labels.size == 0:
        raise ConfigError(
            f"{predictions.shape} predictions cannot be scored against {labels.shape} labels: "
            "no score was computed. Predict every record of a non-empty evaluation set once."
        )
    both = np.concatenate([labels, predictions])
    if both.min() < 0 or both.max() >= places:
        raise ConfigError(
            f"A label or prediction lies outside the {places} classes: a score over it would "
            "mean nothing. Use a model with the data set's own labels."
        )
    return ClassificationScores(
        n=int(labels.size),
        accuracy=float(accuracy_score(labels, predictions)),
        macro_f1=None,
        weighted_f1=None,
        majority_accuracy=float(np.bincount(labels, minlength=places).max() / labels.size),
    )


def _two_class_auc(
    labels: NDArray[np.int64], margins: NDArray[np.float64], classes: int
) -> float | None:
    """Return the area under the ROC curve; None where it is undefined.

    It is the share of pairs, a record of each class, in which that of the second class has the
    larger margin, a tie counting half (Mann-Whitney). A margin is a difference, so that it does not
    matter which class is called the positive one: TALLRec's is "Yes" (RecSys 2023).
    """
    if classes != _TWO or labels.shape != margins.shape:
        raise ConfigError(
            f"{margins.shape} margins of one class over another do not go with {labels.shape} "
            f"labels of {classes} classes: no area under the ROC curve was computed. Give one "
            "margin for each record of two classes."
        )
    if np.unique(labels).size < _TWO or not np.isfinite(margins).all():
        return None
    return float(roc_auc_score(labels, margins))
