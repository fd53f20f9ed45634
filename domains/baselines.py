"""What a tuned model has to beat: the majority class and a linear head on frozen features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from transformers import AutoModel

from domains.classification import quiet_loading
from domains.scores import ClassificationScores, classification_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from domains.classification import EncodedRecords, SentenceClassification

_MOST_ITERATIONS: Final = 2000


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
    return classification_scores(evaluation, np.full_like(evaluation, commonest), classes)


def frozen_features(
    task: SentenceClassification, encoded: EncodedRecords, *, micro_batch: int = 64
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
    task: SentenceClassification,
    train: EncodedRecords,
    evaluation: EncodedRecords,
    *,
    inverse_penalty: float = 1.0,
    micro_batch: int = 64,
) -> ClassificationScores:
    """Return the scores of logistic regression on frozen features of all training records.

    Not private and not federated: it sees every site's records at once. The penalty is
    scikit-learn's default and is not chosen on the evaluation set.
    """
    head = LogisticRegression(C=inverse_penalty, max_iter=_MOST_ITERATIONS)
    head.fit(frozen_features(task, train, micro_batch=micro_batch), train.labels)
    features = frozen_features(task, evaluation, micro_batch=micro_batch)
    predictions = head.predict(features).astype(np.int64)
    return classification_scores(evaluation.labels, predictions, len(task.labels))
