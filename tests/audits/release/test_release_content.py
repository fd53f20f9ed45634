"""Extraction, candidates and attributes, and the exact tests of their counts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.release import attributes, chance
from audits.release.candidates import against, candidate_accuracy, top_one
from audits.release.extraction import Passage, extract, extracted, extraction_rate
from audits.statistics import binomial
from crypto.errors import ConfigError

TOKENS = st.lists(st.integers(0, 2), max_size=6)
SEEDS = st.integers(0, 2**32 - 1)


@given(TOKENS, TOKENS.filter(bool))
def test_what_was_extracted_is_the_common_start(generated: list[int], suffix: list[int]) -> None:
    common = 0
    for mine, right in zip(generated, suffix, strict=False):
        if mine != right:
            break
        common += 1
    found = extracted(np.array(generated, int), np.array(suffix, int))
    assert found.shared == pytest.approx(common / len(suffix))
    assert found.exact == (generated[: len(suffix)] == suffix)


def passages() -> list[Passage]:
    rng = np.random.default_rng(3)
    return [
        Passage(rng.integers(0, 50, 6), rng.integers(0, 50, 4), repetitions)
        for repetitions in (1, 1, 1, 4, 4, 16)
    ]


def test_a_model_that_memorised_recites_what_it_saw_often() -> None:
    texts = passages()
    memory = {text.prefix.tobytes(): text.suffix for text in texts if text.repetitions > 1}

    def continuation(prefix: np.ndarray) -> np.ndarray:
        return memory.get(prefix.tobytes(), np.full(4, 99))

    found = extract(texts, continuation)
    whole = extraction_rate(found)
    assert (whole.exact, whole.passages, whole.rate) == (3, 6, 0.5)
    assert whole.interval == binomial.interval(3, 6)
    assert whole.shared == pytest.approx(0.5)
    rates = [extraction_rate(found, at_most=k).rate for k in (1, 3, 4, 16)]
    assert rates == pytest.approx([0, 0, 2 / 5, 1 / 2])
    with pytest.raises(ConfigError, match="stands in 0 records"):
        extraction_rate(found, at_most=0)


def test_what_goes_on_beyond_the_suffix_is_as_good_and_what_stops_short_is_not() -> None:
    suffix = np.array([1, 2, 3])
    assert extracted(np.array([1, 2, 3, 4]), suffix).exact
    short = extracted(np.array([1, 2]), suffix)
    assert not short.exact
    assert short.shared == pytest.approx(2 / 3)
    assert extracted(np.zeros(0, int), suffix).shared == 0.0


@pytest.mark.parametrize(("generated", "suffix"), [((3,), (0,)), ((1, 3), (3,)), ((3,), (1, 3))])
def test_what_is_no_list_of_tokens_is_refused(
    generated: tuple[int, ...], suffix: tuple[int, ...]
) -> None:
    with pytest.raises(ConfigError, match="suffix of one token"):
        extracted(np.ones(generated, int), np.ones(suffix, int))


def test_a_passage_does_not_show_its_tokens() -> None:
    assert "31337" not in repr(Passage(np.array([31337]), np.array([31337])))


@given(st.lists(st.sampled_from([0.0, 0.1, 0.25, 0.5, 1.0]), max_size=8), st.integers(0, 8))
def test_the_chance_of_so_many_is_that_of_all_outcomes(chances: list[float], right: int) -> None:
    if right > len(chances):
        with pytest.raises(ConfigError, match="Count again"):
            chance.at_least(right, chances)
        return
    expected = sum(
        math.prod(p if hit else 1 - p for p, hit in zip(chances, outcome, strict=True))
        for outcome in itertools.product((True, False), repeat=len(chances))
        if sum(outcome) >= right
    )
    assert chance.at_least(right, chances) == pytest.approx(expected, abs=1e-12)


def test_chances_and_shares_that_are_none_are_refused() -> None:
    for chances in ([1.1], [-0.1], [math.nan]):
        with pytest.raises(ConfigError, match="between 0"):
            chance.at_least(0, chances)
    for counts in ((2, 1, 0, 1), (0, 1, 2, 1), (-1, 1, 0, 1)):
        with pytest.raises(ConfigError, match="no shares"):
            chance.larger_share(*counts)
    for attack, baseline in (((2,), (3,)), ((2, 2), (2, 2))):
        with pytest.raises(ConfigError, match="the same records"):
            chance.paired(np.ones(attack, bool), np.ones(baseline, bool))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_the_sign_test_looks_at_differences_alone(pairs: list[tuple[bool, bool]]) -> None:
    attack, baseline = (np.array(side) for side in zip(*pairs, strict=True))
    found = chance.paired(attack, baseline)
    wins = sum(mine and not other for mine, other in pairs)
    losses = sum(other and not mine for mine, other in pairs)
    tail = sum(math.comb(wins + losses, k) for k in range(wins, wins + losses + 1))
    assert (found.wins, found.losses) == (wins, losses)
    assert found.p_value == pytest.approx(tail / 2 ** (wins + losses))


@given(st.integers(0, 4), st.integers(0, 4))
def test_a_larger_share_is_tested_over_all_ways_to_deal_the_hits(mine: int, others: int) -> None:
    marks = [True] * (mine + others) + [False] * (9 - mine - others)
    dealt = list(itertools.combinations(range(9), 4))
    reached = sum(sum(marks[index] for index in each) >= mine for each in dealt)
    assert chance.larger_share(mine, 4, others, 5) == pytest.approx(reached / len(dealt))


@given(SEEDS, st.booleans())
def test_top_one_is_that_of_plain_loops(seed: int, alike: bool) -> None:  # noqa: FBT001 - drawn
    rng = np.random.default_rng(seed)
    sizes = [4] * 6 if alike else rng.integers(2, 7, 6).tolist()
    scores = [rng.integers(0, 3, size).astype(float) for size in sizes]  # many ties
    truth = np.array([int(rng.integers(size)) for size in sizes])
    expected = [
        all(score < each[index] for place, score in enumerate(each.tolist()) if place != index)
        for each, index in zip(scores, truth.tolist(), strict=True)
    ]
    assert top_one(scores, truth).tolist() == expected
    found = candidate_accuracy(scores, truth)
    assert found.right == sum(expected)
    assert found.interval == binomial.interval(found.right, 6)
    assert found.chance == pytest.approx(sum(1 / size for size in sizes) / 6)
    assert found.p_value == pytest.approx(chance.at_least(found.right, [1 / n for n in sizes]))


def test_scores_that_are_all_alike_are_no_guess() -> None:
    """With ties for the attack it would be right in every text, and certain of it."""
    found = candidate_accuracy(np.zeros((40, 10)), np.zeros(40, int))
    assert (found.right, found.p_value) == (0, 1.0)
    assert chance.at_least(40, [0.1] * 40) < 1e-30


def test_planted_candidates_are_found_and_what_the_base_knew_is_no_leakage() -> None:
    rng = np.random.default_rng(9)
    truth = rng.integers(0, 10, 100)
    base, learned = rng.normal(size=(100, 10)), np.zeros((100, 10))
    learned[np.arange(100), truth] = 3.0
    found = candidate_accuracy(base + learned, truth)
    assert found.interval[0] > 0.5 > found.chance
    assert found.p_value < 1e-20
    assert candidate_accuracy(base, truth).p_value > 0.01
    assert against(base + learned, base, truth).p_value < 1e-10
    public = base + 2 * learned  # a base that knows them all from elsewhere
    assert candidate_accuracy(public, truth).p_value < 1e-20
    assert against(public + learned, public, truth).p_value > 0.05


@pytest.mark.parametrize(
    ("scores", "truth", "message"),
    [
        (np.zeros((2, 3)), np.zeros(3, int), "one candidate per text"),
        (np.zeros((0, 3)), np.zeros(0, int), "one candidate per text"),
        (np.zeros((2, 3)), np.zeros(2), "one candidate per text"),
        (np.zeros((1, 1)), np.zeros(1, int), "no choice"),
        (np.zeros((1, 3)), np.array([3]), "not among them"),
        (np.zeros((1, 3)), np.array([-1]), "not among them"),
        (np.full((1, 3), np.nan), np.zeros(1, int), "not a number"),
    ],
)
def test_scores_without_a_choice_are_refused(
    scores: np.ndarray, truth: np.ndarray, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        candidate_accuracy(scores, truth)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))


def test_evidence_adds_what_the_adapter_and_the_prior_say() -> None:
    rng = np.random.default_rng(1)
    after, before = (log_softmax(rng.normal(size=(5, 3))) for _ in range(2))
    prior = np.log([0.5, 0.3, 0.2])
    assert np.array_equal(attributes.evidence(after), after)
    both = attributes.evidence(after, before, prior)
    for row, column in itertools.product(range(5), range(3)):
        expected = after[row, column] - before[row, column] + prior[column]
        assert both[row, column] == pytest.approx(expected)
    for without, log_prior in ((before[:4], None), (None, prior[:2])):
        with pytest.raises(ConfigError, match="nothing was guessed"):
            attributes.evidence(after, without, log_prior)


def test_labels_are_inferred_beyond_the_majority_and_beyond_the_base() -> None:
    rng = np.random.default_rng(6)
    truth = rng.choice(3, 200, p=[0.6, 0.3, 0.1])
    base = rng.normal(size=(200, 3)) + np.array([1.0, 0.5, 0.0])
    logits = base.copy()
    logits[np.arange(200), truth] += 3.0
    after, before = log_softmax(logits), log_softmax(base)
    guessed = attributes.infer(attributes.evidence(after, before), truth)
    majority = np.bincount(truth).max() / 200
    assert guessed.accuracy == 1.0
    assert guessed.baseline == pytest.approx(majority)
    assert guessed.paired.losses == 0
    assert guessed.paired.p_value == pytest.approx(0.5 ** round(200 * (1 - majority)))
    blind = attributes.infer(before, truth)
    assert blind.accuracy < blind.baseline
    assert blind.paired.p_value > 0.5
    against_base = attributes.infer(after, truth, before.argmax(axis=1))
    assert against_base.baseline == pytest.approx(blind.accuracy)
    assert against_base.paired.p_value < 1e-10
    assert attributes.above_controls(guessed, blind) < 1e-10
    assert attributes.above_controls(blind, blind) > 0.4
    with pytest.raises(ConfigError, match="guess all of them"):
        attributes.infer(after, truth, np.zeros(3, int))


def test_a_model_that_says_only_the_majority_infers_nothing() -> None:
    truth = np.array([0] * 70 + [1] * 30)
    constant = np.tile([0.0, -1.0], (100, 1))
    found = attributes.infer(constant, truth)
    assert found.accuracy == found.baseline == 0.7
    assert found.paired == chance.Paired(0, 0, 1.0)
