"""What a tuned model has to beat: the majority class and a linear head on frozen features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import normalize
from transformers import AutoModel

from crypto.errors import ConfigError
from domains.scores import ClassificationScores, classification_scores
from domains.sentence_head import quiet_loading

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domains.encoding import EncodedRecords
    from domains.sentence_head import SentenceHead

_MOST_ITERATIONS: Final = 2000
_FOLDS: Final = 5
_TWO: Final = 2
"""Classes: fewer are no choice, and of two the one is scored against the other."""
_INVERSE_PENALTIES: Final = (0.3, 1.0, 3.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class LinearHead:
    """The floor of a linear head, and the inverse penalty (scikit-learn's C) it was fitted at."""

    scores: ClassificationScores
    inverse_penalty: float


def majority(
    train: NDArray[np.int64], evaluation: NDArray[np.int64], classes: int
) -> ClassificationScores:
    """Return the scores of always answering the commonest training label.

    Args:
        train: training labels, shape (n,).
        evaluation: evaluation labels, shape (m,).
        classes: number of classes.
    """
    commonest = int(np.bincount(train, minlength=classes).argmax())
    # Always the same answer orders nothing: every pair is a tie.
    margins = np.zeros(evaluation.shape) if classes == _TWO else None
    return classification_scores(evaluation, np.full_like(evaluation, commonest), classes, margins)


def frozen_features(
    task: SentenceHead, encoded: EncodedRecords, *, micro_batch: int = 64
) -> NDArray[np.float32]:
    """Return the mean of the untuned base model's last token states, shape (n, hidden).

    The pooling is that of `sentence_logits`, so a linear head on these features is what the
    task's own model would be if nothing but its head were trained.

    Raises:
        ConfigError: the base model's folder does not load.
    """
    with quiet_loading(task.resolved):
        model = AutoModel.from_pretrained(
            task.resolved.folder,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
        ).eval()
    features = np.empty((len(encoded), model.config.hidden_size), dtype=np.float32)
    everything = np.arange(len(encoded), dtype=np.int64)
    with torch.inference_mode():
        for batch in task.micro_batches(encoded, everything, micro_batch):
            states = model(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask
            ).last_hidden_state
            weights = batch.attention_mask.to(states.dtype).unsqueeze(-1)
            means = (states * weights).sum(dim=1) / weights.sum(dim=1)
            features[batch.indices] = means.numpy()
    return features


def linear_head(
    task: SentenceHead,
    train: EncodedRecords,
    evaluation: EncodedRecords,
    *,
    micro_batch: int = 64,
) -> LinearHead:
    """Return the scores of logistic regression on frozen features of all training records.

    Not private and not federated: it sees every site's records at once. Features are scaled to
    unit length, as sentence encoders are trained to be compared. The penalty is the one with
    the best cross-validated accuracy on the training records, never on the evaluation set.

    Raises:
        ConfigError: the training records hold fewer than two classes.
    """
    if np.unique(train.labels).size < _TWO:
        raise ConfigError(
            "All training records have one label: a linear head has nothing to tell apart. "
            "Use training records of two or more classes."
        )
    features = _unit_length(frozen_features(task, train, micro_batch=micro_batch))
    penalty = _cross_validated_penalty(features, train.labels)
    head = _regression(penalty).fit(features, train.labels)
    unseen = _unit_length(frozen_features(task, evaluation, micro_batch=micro_batch))
    predictions = head.predict(unseen).astype(np.int64)
    classes = len(task.labels)
    # Of more than two classes there is one such number for each.
    margins = head.decision_function(unseen).astype(np.float64) if classes == _TWO else None
    scores = classification_scores(evaluation.labels, predictions, classes, margins)
    return LinearHead(scores, penalty)


def _cross_validated_penalty(features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the inverse penalty with the best mean accuracy over stratified folds.

    A class with fewer than two records cannot be in two folds: then the middle of the grid.
    """
    folds = min(_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:  # noqa: PLR2004 - one fold leaves nothing to train on
        return _INVERSE_PENALTIES[len(_INVERSE_PENALTIES) // 2]
    means = [
        cross_val_score(_regression(penalty), features, labels, cv=folds).mean()
        for penalty in _INVERSE_PENALTIES
    ]
    return _INVERSE_PENALTIES[int(np.argmax(means))]


def _regression(inverse_penalty: float) -> LogisticRegression:
    return LogisticRegression(C=inverse_penalty, max_iter=_MOST_ITERATIONS)


def _unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = normalize(features)
    return scaled
