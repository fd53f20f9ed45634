"""The blind baseline: near a half where a coin split the texts, bright where it did not."""

from __future__ import annotations

import numpy as np
import pytest

from audits.release import blind
from audits.release.blind import blind_scores, blind_test
from audits.statistics.rates import area_under_curve
from crypto.errors import ConfigError

SAID = (
    "fever cough ward nine pulse north ledger clerk amber seven stable acute night patient mild "
    "severe pain since admission transfer loan account fee late notice branch river stone"
)
WORDS = np.array(SAID.split())


def texts(
    rng: np.random.Generator, count: int, ending: str = "", words: int = 25, bias: float = 0.0
) -> list[str]:
    weights = np.exp(bias * (np.arange(WORDS.size) < 5))
    sizes = rng.poisson(words, count) + 1
    return [" ".join(rng.choice(WORDS, size, p=weights / weights.sum())) + ending for size in sizes]


def area(members: list[str], controls: list[str], rng: np.random.Generator) -> float:
    return area_under_curve(blind_scores(members, controls, rng)).area


def test_texts_of_one_distribution_stay_near_a_half() -> None:
    areas = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        areas.append(area(texts(rng, 60), texts(rng, 60), rng))
    # An area of 60 and 60 has a deviation of about 0.08 here, so their mean one of 0.02.
    assert abs(np.mean(areas) - 0.5) < 0.06
    assert max(abs(each - 0.5) for each in areas) < 0.28


@pytest.mark.parametrize(
    ("members", "controls", "least"),
    [
        ({"ending": " in 2023"}, {"ending": " in 2024"}, 0.99),
        ({"ending": "."}, {}, 0.99),
        ({"words": 40}, {"words": 25}, 0.7),
        ({"bias": 1.5}, {}, 0.7),
    ],
)
def test_texts_that_differ_are_told_apart(
    members: dict[str, object], controls: dict[str, object], least: float
) -> None:
    rng = np.random.default_rng(8)
    mine, others = texts(rng, 80, **members), texts(rng, 80, **controls)  # type: ignore[arg-type] # by name
    assert area(mine, others, rng) > least
    assert blind_test(mine, others, rng, permutations=199).p_value == 1 / 200


def test_the_p_value_is_uniform_where_nothing_differs() -> None:
    found = []
    for seed in range(25):
        rng = np.random.default_rng(100 + seed)
        found.append(blind_test(texts(rng, 20), texts(rng, 20), rng, permutations=19).p_value)
    assert min(found) >= 1 / 20
    assert np.mean(np.array(found) <= 0.25) < 0.5
    assert 0.3 < np.mean(found) < 0.75


def test_the_interval_of_independent_scores_would_be_too_narrow() -> None:
    """Why there is a test of its own: scores of one fold hang together."""
    outside = 0
    for seed in range(40):
        rng = np.random.default_rng(500 + seed)
        low, high = area_under_curve(blind_scores(texts(rng, 40), texts(rng, 40), rng)).interval
        outside += not low < 0.5 < high
    assert outside > 40 * 0.05


def test_one_state_of_the_generator_gives_one_result_whatever_the_order() -> None:
    rng = np.random.default_rng(1)
    mine, others = texts(rng, 20), texts(rng, 20)
    first = blind_scores(mine, others, np.random.default_rng(5))
    again = blind_scores(mine[::-1], others[::-1], np.random.default_rng(5))
    assert np.array_equal(first.members, again.members)
    assert np.array_equal(first.controls, again.controls)
    other = blind_scores(mine, others, np.random.default_rng(6))
    assert not np.array_equal(first.members, other.members)


def test_hashes_are_the_same_in_every_process() -> None:
    """A digest of what one text turned into when this was written."""
    buckets = np.flatnonzero(blind._grams("Fever, 39.5°C — 熱"))
    assert buckets.size == 44
    assert int((buckets * np.arange(1, buckets.size + 1)).sum()) == 2969904


def test_copies_of_a_record_do_not_give_it_away() -> None:
    """Each member was trained on four times; with copies in other folds it would find itself."""
    rng = np.random.default_rng(3)
    mine, others = texts(rng, 40), texts(rng, 40)
    plain = blind_scores(mine, others, np.random.default_rng(2))
    copied = blind_scores(mine * 4, others, np.random.default_rng(2))
    assert np.array_equal(plain.members, copied.members)
    assert plain.members.size == 40


def test_a_text_on_both_sides_is_scored_alike_on_both() -> None:
    rng = np.random.default_rng(3)
    both = texts(rng, 30)
    found = blind_scores(both, both, np.random.default_rng(2))
    assert found.members == pytest.approx(found.controls)
    assert area_under_curve(found).area == pytest.approx(0.5, abs=0.02)


def test_each_text_is_scored_by_fits_that_never_saw_it() -> None:
    """A twin: had one text been on the other side, its own score would be the same."""
    rng = np.random.default_rng(12)
    dealt = blind._Dealt.of(texts(rng, 15), texts(rng, 15), rng, 5)
    held = dealt.folds[0]
    flipped = dealt.sides.copy()
    flipped[held] = ~flipped[held]
    scores = dealt.scores(np.stack([dealt.sides, flipped]))
    assert scores[0, held] == pytest.approx(scores[1, held])
    rest = np.setdiff1d(np.arange(30), held)
    assert scores[0, rest] != pytest.approx(scores[1, rest])


def test_scores_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(13)
    dealt = blind._Dealt.of(texts(rng, 8, words=4), texts(rng, 9, words=4), rng, 3)
    found = dealt.scores(dealt.sides[None])[0]
    for held in dealt.folds:
        rest = [index for index in range(17) if index not in held]
        expected = np.zeros(held.size)
        for bucket in np.flatnonzero(dealt.present.any(axis=0)):
            column = dealt.present[:, bucket]
            cells = [
                1 + sum(dealt.sides[i] == side and column[i] == has for i in rest)
                for side, has in ((True, 1), (False, 0), (False, 1), (True, 0))
            ]
            odds = np.log(cells[0] * cells[1] / (cells[2] * cells[3]))
            error = np.sqrt(sum(1 / cell for cell in cells))
            expected += np.sign(odds) * max(abs(odds) - error, 0) * column[held]
        for column in dealt.lengths.T:
            mine = [column[i] for i in rest if dealt.sides[i]]
            others = [column[i] for i in rest if not dealt.sides[i]]
            spread = np.std(column[rest])
            apart = (np.mean(mine) - np.mean(others)) / spread
            error = np.sqrt(1 / len(mine) + 1 / len(others))
            expected += np.sign(apart) * max(abs(apart) - error, 0) * column[held] / spread
        assert found[held] == pytest.approx(expected - expected.mean(), abs=1e-9)


def test_short_odd_and_empty_texts_are_scored() -> None:
    mine, others = ["", "a", "\ud800", "ab cd"], ["b", "é", "\U0001f600", "dc ba"]
    found = blind_scores(mine, others, np.random.default_rng(0), folds=2)
    assert np.isfinite(found.members).all()


@pytest.mark.parametrize(("count", "folds"), [(4, 5), (20, 1), (0, 2)])
def test_too_few_texts_for_the_folds_are_refused(count: int, folds: int) -> None:
    some = texts(np.random.default_rng(0), count)
    others = texts(np.random.default_rng(1), 20)
    for mine, theirs in ((some, others), (others, some)):
        with pytest.raises(ConfigError, match="fit what it scores"):
            blind_scores(mine, theirs, np.random.default_rng(0), folds)
        if folds == 1:
            break


def test_copies_do_not_count_as_texts_and_no_permutation_is_no_test() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match="1 different members"):
        blind_scores(["same"] * 20, texts(rng, 20), rng)
    with pytest.raises(ConfigError, match="999 or more"):
        blind_test(texts(rng, 20), texts(rng, 20), rng, permutations=0)
