"""The floors: of the majority class, and of a linear head on the real frozen encoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crypto.errors import ConfigError
from domains.base_models import ResolvedModel, preset, resolve
from domains.baselines import frozen_features, linear_head, majority
from domains.classification import SentenceClassification
from domains.encoding import EncodedRecords
from domains.finance.generator import LABELS, generate
from domains.records import Record
from domains.sentence_head import sentence_logits


@pytest.fixture(scope="module")
def minilm() -> SentenceClassification:
    found = resolve(preset("all-MiniLM-L6-v2").ref, local=None, allow_hub=False)
    return SentenceClassification(found, LABELS, max_length=64)


def test_the_majority_is_the_training_sets() -> None:
    scores = majority(np.array([2, 2, 1]), np.array([1, 1, 1, 2]), 3)
    assert (scores.n, scores.accuracy, scores.majority_accuracy) == (4, 0.25, 0.75)
    assert scores.auc is None


def test_the_majority_of_two_classes_orders_nothing() -> None:
    train = np.array([1, 1, 0])
    assert majority(train, np.array([1, 0, 0]), 2).auc == 0.5
    assert majority(train, np.array([1, 1]), 2).auc is None


def test_frozen_features_are_what_the_tasks_own_head_reads(tiny_bert: ResolvedModel) -> None:
    task = SentenceClassification(tiny_bert, LABELS, max_length=32)
    model = task.build_model(1)
    records = tuple(Record(str(n), " ".join(["w1", "w2"] * (n + 1)), n % 3) for n in range(6))
    encoded = task.encode(records)
    features = torch.from_numpy(frozen_features(task, encoded, micro_batch=4))
    with torch.no_grad():
        by_head = model.classifier(features)
        for batch in task.micro_batches(encoded, np.arange(6), 6):
            torch.testing.assert_close(by_head[batch.indices], sentence_logits(model, batch))


def test_a_linear_head_beats_the_majority_and_never_sees_the_evaluation_labels(
    minilm: SentenceClassification,
) -> None:
    dataset = generate(7, train=180, evaluation=90)
    train, evaluation = minilm.encode(dataset.train), minilm.encode(dataset.evaluation)
    floor = linear_head(minilm, train, evaluation)
    assert (floor.scores.n, floor.scores.auc) == (90, None)
    assert floor.scores.accuracy > floor.scores.majority_accuracy
    shifted = EncodedRecords(evaluation.token_ids, (evaluation.labels + 1) % 3)
    other = linear_head(minilm, train, shifted)
    assert other.inverse_penalty == floor.inverse_penalty
    # The same predictions against wrong labels: right ones are wrong now.
    assert other.scores.accuracy <= 1 - floor.scores.accuracy


def test_a_linear_head_of_two_classes_has_an_area_under_the_curve(
    tiny_bert: ResolvedModel,
) -> None:
    task = SentenceClassification(tiny_bert, ("No", "Yes"), max_length=32)
    records = tuple(Record(str(n), f"w{1 + n % 2} w3", n % 2) for n in range(12))
    encoded = task.encode(records)
    assert linear_head(task, encoded, encoded).scores.auc == 1.0
    turned = EncodedRecords(encoded.token_ids, 1 - encoded.labels)
    assert linear_head(task, encoded, turned).scores.auc == 0.0


def test_one_record_of_a_class_still_gives_a_head(tiny_bert: ResolvedModel) -> None:
    task = SentenceClassification(tiny_bert, LABELS, max_length=32)
    records = tuple(Record(str(n), f"w{n} w1", label) for n, label in enumerate((0, 0, 1)))
    encoded = task.encode(records)
    assert linear_head(task, encoded, encoded).inverse_penalty == 3.0


def test_training_records_of_one_class_are_refused(tiny_bert: ResolvedModel) -> None:
    task = SentenceClassification(tiny_bert, LABELS, max_length=32)
    encoded = task.encode((Record("a", "w1", 1), Record("b", "w2", 1)))
    with pytest.raises(ConfigError, match="one label"):
        linear_head(task, encoded, encoded)
