"""Rows that tune nothing: the commonest label, and a classifier on the untuned model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from crypto.errors import ConfigError
from domains import baselines
from domains.classification import SentenceClassification
from domains.ranking_scores import ranking_scores
from domains.recommendation import floors as ranking_floors
from domains.scores import option_scores
from domains.sentence_head import best_of
from secure_fl.baselines.rows import Score
from secure_fl.sites.workbench import resolve_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from domains.records import Dataset, Record
    from secure_fl.config import RunConfig


def majority(dataset: Dataset) -> Score:
    """Return the scores of always answering the commonest training label.

    Raises:
        ConfigError: the records bring options of their own.
    """
    require_classes(dataset)
    train, evaluation = (
        np.array([record.label for record in part], np.int64)
        for part in (dataset.train, dataset.evaluation)
    )
    return Score.of(baselines.majority(train, evaluation, len(dataset.labels)))


def frozen_head(config: RunConfig, dataset: Dataset, train: Sequence[Record]) -> Score:
    """Return the scores of logistic regression on features of the run's untuned model.

    Args:
        config: names the model and the length of its texts.
        dataset: its evaluation records are scored.
        train: what is learned from, all at once.

    Raises:
        ConfigError: the base model is not here, or the records bring options of their own.
    """
    require_classes(dataset)
    torch.set_num_threads(config.runtime.threads)
    model = config.mechanism.model
    task = SentenceClassification(
        resolve_model(model, config.runtime), dataset.labels, model.max_length
    )
    head = baselines.linear_head(task, task.encode(train), task.encode(dataset.evaluation))
    return Score.of(head.scores)


def require_classes(dataset: Dataset) -> None:
    """Raise ConfigError where records bring options of their own: they have no common classes."""
    if any(record.options for record in (*dataset.train, *dataset.evaluation)):
        raise ConfigError(
            f"The records of {dataset.name} bring options of their own, and this row is of classes "
            "that all records have in common: it was not measured. Leave it out."
        )


def popularity(dataset: Dataset) -> Score:
    """Return the scores of ranking by how often a title stands in training records.

    Raises:
        ConfigError: the records bring no options.
    """
    return _ranked(dataset, ranking_floors.popularity)


def last_item(dataset: Dataset) -> Score:
    """Return the scores of ranking by how often a title followed the last one in training records.

    Raises:
        ConfigError: the records bring no options.
    """
    return _ranked(dataset, ranking_floors.last_item)


def _ranked(
    dataset: Dataset,
    floor: Callable[[Sequence[Record], Sequence[Record]], list[NDArray[np.float64]]],
) -> Score:
    if not all(record.options for record in dataset.evaluation):
        raise ConfigError(
            f"The records of {dataset.name} bring no options of their own, and this row ranks "
            "them: it was not measured. Leave it out."
        )
    scores = floor(dataset.train, dataset.evaluation)
    labels = np.array([record.label for record in dataset.evaluation], np.int64)
    found = option_scores(labels, best_of(scores), max(row.size for row in scores))
    return Score.of(replace(found, ranking=ranking_scores(scores, labels)))
