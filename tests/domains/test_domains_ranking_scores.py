"""Ranks agree with a naive count, ties are against the ranker, and floors read training alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.ranking_scores import RankingScores, ranking_scores
from domains.recommendation.floors import last_item, likeness_to_last, popularity
from domains.records import Record

ROWS = st.lists(
    st.lists(st.integers(-3, 3), min_size=2, max_size=25).flatmap(
        lambda row: st.tuples(st.just(row), st.integers(0, len(row) - 1))
    ),
    min_size=1,
    max_size=6,
)


def scored(rows: list[tuple[list[int], int]]) -> RankingScores:
    arrays = [np.array(row, np.float64) for row, _ in rows]
    return ranking_scores(arrays, np.array([label for _, label in rows], np.int64))


@given(ROWS)
def test_scores_are_the_naive_ones(rows: list[tuple[list[int], int]]) -> None:
    hits, gains, areas = [], [], []
    for row, label in rows:
        right, others = row[label], row[:label] + row[label + 1 :]
        rank = 1 + sum(other >= right for other in others)
        hits.append(float(rank <= 10))
        gains.append(1 / math.log2(1 + rank) if rank <= 10 else 0.0)
        wins = sum((right > other) + (right == other) / 2 for other in others)
        areas.append(wins / len(others))
    found = scored(rows)
    assert found.n == len(rows)
    assert found.hit_rate == pytest.approx(np.mean(hits))
    assert found.ndcg == pytest.approx(np.mean(gains))
    assert found.auc == pytest.approx(np.mean(areas))


def test_a_ranker_that_scores_all_alike_does_not_look_good() -> None:
    assert scored([([0] * 100, 3)]) == RankingScores(1, 0.0, 0.0, 0.5)


def test_the_best_and_the_tenth_place() -> None:
    assert scored([([5, 1, 2], 0)]) == RankingScores(1, 1.0, 1.0, 1.0)
    tenth = scored([(list(range(20)), 10)])
    assert tenth.hit_rate == 1.0
    assert tenth.ndcg == pytest.approx(1 / math.log2(11))
    assert scored([(list(range(20)), 9)]).hit_rate == 0.0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([], [], "nothing can be ranked"),
        ([[1.0, 2.0]], [0, 1], "nothing can be ranked"),
        ([[1.0]], [0], "cannot be ranked"),
        ([[1.0, 2.0]], [2], "cannot be ranked"),
        ([[1.0, math.nan]], [0], "not a number"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    scores: list[list[float]], labels: list[int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        ranking_scores([np.array(row) for row in scores], np.array(labels, np.int64))


TRAIN = (
    Record("a", "chess\ngo", 0, options=("cards", "dice")),
    Record("b", "dice\ngo", 1, options=("chess", "cards")),
    Record("c", "go\nchess", 0, options=("dice", "cards")),
)
ASKED = (Record("d", "darts\ngo", 1, options=("dice", "cards", "chess", "poker")),)


def test_popularity_counts_what_was_taken_and_not_what_was_sampled() -> None:
    assert popularity(TRAIN, ASKED)[0].tolist() == [2, 2, 2, 0]


def test_the_last_item_leads_to_what_followed_it_and_popularity_parts_the_rest() -> None:
    scores = last_item(TRAIN, ASKED)[0]
    assert scores.argmax() == 1
    assert scores[2] > scores[0] > scores[3]


def test_floors_do_not_read_the_answers() -> None:
    other = (Record("d", ASKED[0].text, 2, options=ASKED[0].options),)
    assert popularity(TRAIN, ASKED)[0].tolist() == popularity(TRAIN, other)[0].tolist()
    assert last_item(TRAIN, ASKED)[0].tolist() == last_item(TRAIN, other)[0].tolist()


def test_likeness_is_the_cosine_with_the_last_title() -> None:
    states = {
        "go": np.array([1.0, 0.0], np.float32),
        "dice": np.array([0.0, 3.0], np.float32),
        "cards": np.array([2.0, 2.0], np.float32),
        "chess": np.array([5.0, 0.0], np.float32),
        "poker": np.array([-1.0, 0.0], np.float32),
    }
    found = likeness_to_last(states, ASKED)[0]
    assert found == pytest.approx([0, math.sqrt(0.5), 1, -1], abs=1e-6)
