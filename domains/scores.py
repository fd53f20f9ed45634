"""How well predictions match labels, as the field reports it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domains.ranking_scores import RankingScores


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
    """

    n: int
    accuracy: float
    macro_f1: float | None
    weighted_f1: float | None
    majority_accuracy: float
    ranking: RankingScores | None = None


def classification_scores(
    labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int
) -> ClassificationScores:
    """Return the scores of `predictions` (n,) against `labels` (n,), both in 0..classes-1.

    All classes count in macro F1, also one that this evaluation set happens not to hold.

    Raises:
        ConfigError: the arrays are empty, differ in length, or hold something else than classes.
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
    )


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
