"""Scores against their definitions, written out."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.scores import classification_scores, margins_of, option_scores

CLASSES = 3


def naive_f1(labels: list[int], predictions: list[int], name: int) -> float:
    pairs = list(zip(labels, predictions, strict=True))
    hits = sum(1 for label, said in pairs if label == said == name)
    missed = sum(1 for label, said in pairs if label == name != said)
    wrong = sum(1 for label, said in pairs if said == name != label)
    return 0.0 if hits == 0 else 2 * hits / (2 * hits + missed + wrong)


@given(
    st.lists(
        st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)),
        min_size=1,
        max_size=40,
    )
)
def test_scores_are_their_definitions(pairs: list[tuple[int, int]]) -> None:
    labels, predictions = (list(column) for column in zip(*pairs, strict=True))
    scores = classification_scores(np.array(labels), np.array(predictions), CLASSES)
    each = [naive_f1(labels, predictions, name) for name in range(CLASSES)]
    counts = [labels.count(name) for name in range(CLASSES)]
    assert scores.n == len(pairs)
    assert scores.accuracy == pytest.approx(sum(a == b for a, b in pairs) / len(pairs))
    assert scores.macro_f1 == pytest.approx(sum(each) / CLASSES)
    assert scores.weighted_f1 == pytest.approx(
        sum(count * f1 for count, f1 in zip(counts, each, strict=True)) / len(pairs)
    )
    assert scores.majority_accuracy == pytest.approx(max(counts) / len(pairs))


@given(
    st.lists(
        st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)),
        min_size=1,
        max_size=40,
    )
)
def test_choices_among_own_options_are_scored_alike_but_for_f1(
    pairs: list[tuple[int, int]],
) -> None:
    labels, predictions = (np.array(column) for column in zip(*pairs, strict=True))
    of_classes = classification_scores(labels, predictions, CLASSES)
    of_options = option_scores(labels, predictions, CLASSES)
    assert (of_options.macro_f1, of_options.weighted_f1) == (None, None)
    assert of_options == replace(of_classes, macro_f1=None, weighted_f1=None)


def naive_auc(labels: list[int], margins: list[float]) -> float | None:
    """Compare every record of the second class with every one of the first."""
    of_second, of_first = (
        [margin for label, margin in zip(labels, margins, strict=True) if label == name]
        for name in (1, 0)
    )
    if not of_second or not of_first:
        return None
    won = sum((a > b) + (a == b) / 2 for a in of_second for b in of_first)
    return won / (len(of_second) * len(of_first))


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(-3, 3).map(float) | st.floats(-1e3, 1e3)),
        min_size=1,
        max_size=40,
    )
)
def test_the_area_of_two_classes_is_the_share_of_pairs_in_order(
    pairs: list[tuple[int, float]],
) -> None:
    labels, margins = (np.array(column) for column in zip(*pairs, strict=True))
    found = classification_scores(labels, (margins > 0).astype(int), 2, margins).auc
    naive = naive_auc(labels.tolist(), margins.tolist())
    assert found == (naive if naive is None else pytest.approx(naive, abs=1e-12))
    # Whichever of the classes is called the positive one.
    turned = classification_scores(1 - labels, (margins < 0).astype(int), 2, -margins).auc
    assert turned == (found if found is None else pytest.approx(found, abs=1e-12))


def test_an_area_is_of_two_classes_and_of_numbers() -> None:
    two, three = np.array([0, 1, 1]), np.array([0, 1, 2])
    margins = np.array([-1.0, 0.0, 2.0])
    assert classification_scores(two, two, 2).auc is None
    assert classification_scores(two, two, 2, margins).auc == 1.0
    for broken in (np.nan, np.inf):
        assert classification_scores(two, two, 2, np.array([broken, 0.0, 2.0])).auc is None
    for labels, classes, of in ((three, 3, margins), (two, 3, margins), (two, 2, margins[:2])):
        with pytest.raises(ConfigError, match="no area under the ROC curve was computed"):
            classification_scores(labels, labels, classes, of)


def test_a_margin_is_how_much_the_second_class_scores_above_the_first() -> None:
    found = margins_of([np.array([0.25, 1.0]), np.array([3.0, -1.0])])
    assert found is not None
    assert found.tolist() == [0.75, -4.0]
    assert margins_of([np.array([0.25, 1.0]), np.array([3.0, -1.0, 2.0])]) is None


def test_scores_can_be_written_as_json() -> None:
    scores = classification_scores(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), CLASSES)
    assert json.loads(json.dumps(asdict(scores)))["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [([], []), ([0, 1], [0]), ([[0, 1]], [[0, 1]]), ([0, 3], [0, 1]), ([0, 1], [0, -1])],
)
def test_what_has_no_score_is_refused(labels: list[int], predictions: list[int]) -> None:
    for score in (classification_scores, option_scores):
        with pytest.raises(ConfigError):
            score(np.array(labels, dtype=np.int64), np.array(predictions, dtype=np.int64), CLASSES)
