"""Scores of membership from likelihoods and confidences: twins, invariances, planted members."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.release import classifier_scores, likelihood_scores
from audits.release.likelihood_scores import (
    TextScore,
    calibrated,
    canary_scores,
    loss_score,
    min_k_plus_plus_score,
    min_k_score,
    zlib_score,
)
from audits.release.token_evidence import TextEvidence, text_evidence
from audits.statistics.rates import area_under_curve
from crypto.errors import ConfigError

SCORES: dict[str, TextScore] = {
    "loss": loss_score,
    "min-k": min_k_score(0.2),
    "min-k++": min_k_plus_plus_score(0.2),
    "zlib": zlib_score,
}
SEEDS = st.integers(0, 2**32 - 1)
WORDS = ("fever", "cough", "ward", "nine", "pulse", "north", "ledger", "clerk", "amber", "seven")


def drawn(seed: int, tokens: int = 12, vocabulary: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=rng.uniform(0.1, 6), size=(tokens, vocabulary))
    return logits, rng.integers(0, vocabulary, tokens)


def naive(logits: np.ndarray, targets: np.ndarray) -> list[tuple[float, float, float]]:
    rows = []
    for row, target in zip(logits.tolist(), targets.tolist(), strict=True):
        total = sum(math.exp(value) for value in row)
        p = [math.exp(value) / total for value in row]
        mean = sum(each * math.log(each) for each in p)
        square = sum(each * (math.log(each) - mean) ** 2 for each in p)
        rows.append((math.log(p[target]), mean, math.sqrt(square)))
    return rows


@given(SEEDS, st.integers(1, 150))
def test_evidence_is_that_of_plain_loops(seed: int, tokens: int) -> None:
    logits, targets = drawn(seed, tokens)
    evidence = text_evidence("x", logits, targets)
    for index, part in enumerate((evidence.log_likelihoods, evidence.expected, evidence.deviation)):
        assert part == pytest.approx([row[index] for row in naive(logits, targets)], abs=1e-9)
    assert evidence.tokens == tokens


@given(SEEDS, st.floats(-1e4, 1e4))
def test_evidence_does_not_depend_on_where_logits_lie(seed: int, shift: float) -> None:
    logits, targets = drawn(seed)
    plain, moved = (text_evidence("x", part, targets) for part in (logits, logits + shift))
    assert moved.log_likelihoods == pytest.approx(plain.log_likelihoods, abs=1e-8)
    assert moved.deviation == pytest.approx(plain.deviation, abs=1e-8)


def test_a_barred_token_counts_as_if_it_were_not_there() -> None:
    logits, targets = drawn(3)
    wider = np.concatenate([logits, np.full((12, 2), -np.inf)], axis=1)
    plain, barred = (text_evidence("x", part, targets) for part in (logits, wider))
    assert barred.expected == pytest.approx(plain.expected)
    assert barred.deviation == pytest.approx(plain.deviation)


def test_half_precision_is_widened_before_anything_is_computed() -> None:
    logits, targets = drawn(5)
    narrow = logits.astype(np.float16)
    found = text_evidence("x", narrow, targets)
    wide = text_evidence("x", narrow.astype(np.float64), targets)
    assert np.array_equal(found.log_likelihoods, wide.log_likelihoods)
    assert found.log_likelihoods.dtype == np.float64


@pytest.mark.parametrize(
    ("logits", "targets", "message"),
    [
        (np.zeros((3, 4)), np.zeros(2, int), "do not belong together"),
        (np.zeros(4), np.zeros(4, int), "do not belong together"),
        (np.zeros((0, 4)), np.zeros(0, int), "do not belong together"),
        (np.zeros((2, 4)), np.array([0, 4]), "vocabulary of 4"),
        (np.zeros((2, 4)), np.array([0, -100]), "Leave out padding"),
        (np.zeros((2, 4)), np.zeros(2), "whole numbers"),
        (np.full((2, 4), np.nan), np.zeros(2, int), "no distribution"),
        (np.full((2, 4), -np.inf), np.zeros(2, int), "no distribution"),
        (np.array([[0.0, np.inf]]), np.zeros(1, int), "no distribution"),
        (np.array([[0.0, -np.inf]]), np.ones(1, int), "not finite"),
    ],
)
def test_logits_that_say_nothing_are_refused(
    logits: np.ndarray, targets: np.ndarray, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        text_evidence("a secret", logits, targets)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (([-1.0], [-1.0, -1.0], [1.0]), "shapes"),
        (([], [], []), "at least one token"),
        (([[-1.0]], [[-1.0]], [[1.0]]), "shapes"),
        (([-np.inf], [-1.0], [1.0]), "not finite"),
        (([0.1], [-1.0], [1.0]), "above 0"),
        (([-1.0], [-1.0], [-1.0]), "below it"),
    ],
)
def test_evidence_that_cannot_be_is_refused(
    parts: tuple[list[float], list[float], list[float]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        TextEvidence("a secret", *(np.array(part) for part in parts))
    assert "secret" not in str(caught.value)


def test_evidence_does_not_show_its_text() -> None:
    evidence = text_evidence("a secret", *drawn(1))
    assert "secret" not in repr(evidence)


@given(SEEDS, st.integers(1, 60), st.sampled_from([0.01, 0.1, 0.2, 0.29, 0.3, 0.7, 1.0]))
def test_lowest_tokens_are_those_of_plain_loops(seed: int, tokens: int, share: float) -> None:
    logits, targets = drawn(seed, tokens)
    evidence = text_evidence("some text", logits, targets)
    rows = naive(logits, targets)
    count = max(1, round(share * 100) * tokens // 100)
    plain = sorted(own for own, _, _ in rows)[:count]
    standard = sorted((own - mean) / deviation for own, mean, deviation in rows)[:count]
    assert min_k_score(share)(evidence) == pytest.approx(sum(plain) / count)
    assert min_k_plus_plus_score(share)(evidence) == pytest.approx(sum(standard) / count, rel=1e-6)


def test_all_tokens_are_the_loss_and_one_token_is_the_least_likely() -> None:
    evidence = text_evidence("some text", *drawn(2))
    assert min_k_score(1.0)(evidence) == pytest.approx(loss_score(evidence))
    assert min_k_score(1e-6)(evidence) == evidence.log_likelihoods.min()


def test_a_uniform_model_standardises_to_nothing() -> None:
    """Its deviation is rounding: a division by it would make a score of noise."""
    evidence = text_evidence("x", np.full((5, 7), 0.3), np.arange(5))
    assert abs(min_k_plus_plus_score(1.0)(evidence)) < 1e-5


def test_compressed_bytes_divide_the_whole_likelihood() -> None:
    evidence = text_evidence("cough cough cough", *drawn(4))
    size = len(zlib.compress(b"cough cough cough"))
    assert zlib_score(evidence) == pytest.approx(evidence.log_likelihoods.sum() / size)
    with pytest.raises(ConfigError, match="compressed length"):
        zlib_score(text_evidence("", *drawn(4)))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    for score in (min_k_score, min_k_plus_plus_score):
        with pytest.raises(ConfigError, match="share"):
            score(share)


def text_under_model(rng: np.random.Generator, raised: float) -> TextEvidence:
    """Return a text whose tokens were drawn from p, each target's logit then raised."""
    text = " ".join(rng.choice(WORDS, 24))
    logits = rng.normal(scale=2.0, size=(24, 30))
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    targets = np.array([rng.choice(30, p=row) for row in p])
    logits[np.arange(24), targets] += raised
    return text_evidence(text, logits, targets)


@pytest.mark.parametrize("name", SCORES)
def test_each_score_finds_planted_members_and_nothing_where_none_are(name: str) -> None:
    rng = np.random.default_rng(7)
    members, controls, others = (
        [text_under_model(rng, raised) for _ in range(60)] for raised in (1.5, 0.0, 0.0)
    )
    found = area_under_curve(canary_scores(SCORES[name], members, controls))
    nothing = area_under_curve(canary_scores(SCORES[name], others, controls))
    assert found.interval[0] > 0.85
    assert nothing.interval[0] < 0.5 < nothing.interval[1]


def test_calibration_finds_members_that_their_difficulty_hides() -> None:
    """The defence of the score: without it, how hard texts are drowns what was learned."""
    rng = np.random.default_rng(11)

    def pair(raised: float) -> tuple[TextEvidence, TextEvidence]:
        logits, targets = drawn(int(rng.integers(2**32)), 24, 30)
        learned = logits.copy()
        learned[np.arange(24), targets] += raised
        return text_evidence("t", learned, targets), text_evidence("t", logits, targets)

    members, controls = [pair(0.4) for _ in range(60)], [pair(0.0) for _ in range(60)]
    plain = canary_scores(loss_score, [pair[0] for pair in members], [pair[0] for pair in controls])
    assert area_under_curve(plain).area < 0.8
    by_both = likelihood_scores.CanaryScores.of(
        [calibrated(*pair) for pair in members], [calibrated(*pair) for pair in controls]
    )
    assert area_under_curve(by_both).area == 1.0
    assert by_both.controls == pytest.approx(np.zeros(60))


def test_calibration_refuses_two_texts() -> None:
    one = text_evidence("one", *drawn(1))
    for other in (text_evidence("two", *drawn(1)), text_evidence("one", *drawn(1, tokens=5))):
        with pytest.raises(ConfigError, match="two texts or two tokenizers"):
            calibrated(one, other)


def table(seed: int, records: int = 20, labels: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=3, size=(records, labels))
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_probs, rng.integers(0, labels, records)


@given(SEEDS, st.integers(2, 6))
def test_confidences_are_those_of_their_definition(seed: int, count: int) -> None:
    log_probs, labels = table(seed, labels=count)
    own = [math.exp(row[label]) for row, label in zip(log_probs.tolist(), labels, strict=True)]
    scaled = classifier_scores.scaled_confidence(log_probs, labels)
    assert scaled == pytest.approx([math.log(p / (1 - p)) for p in own], rel=1e-6)
    loss = classifier_scores.loss_score(log_probs, labels)
    assert loss == pytest.approx([math.log(p) for p in own])


def test_a_confidence_beyond_the_precision_of_1_minus_p_is_still_told_from_another() -> None:
    sure = np.array([[0.0, -60.0, -200.0], [0.0, -80.0, -200.0]])
    found = classifier_scores.scaled_confidence(sure, np.zeros(2, int))
    assert found == pytest.approx([60.0, 80.0])
    assert 1 - math.exp(0.0) == 0.0  # what the formula as written would divide by


def test_a_barred_label_is_infinitely_unlikely() -> None:
    barred = np.array([[0.0, -np.inf]])
    assert classifier_scores.scaled_confidence(barred, np.array([1]))[0] == -np.inf
    assert classifier_scores.scaled_confidence(barred, np.array([0]))[0] == np.inf
    with pytest.raises(ConfigError, match="have no difference"):
        classifier_scores.calibrated_confidence(barred, barred, np.array([0]))


@pytest.mark.parametrize(
    ("log_probs", "labels", "message"),
    [
        (np.zeros((2, 1)), np.zeros(2, int), "one column per label"),
        (np.zeros(2), np.zeros(2, int), "one row per record"),
        (np.zeros((0, 2)), np.zeros(0, int), "one row per record"),
        (np.full((1, 2), np.nan), np.zeros(1, int), "overflow"),
        (np.ones((1, 2)), np.zeros(1, int), "log-softmax, not logits"),
        (np.log([[0.5, 0.5]]), np.array([2]), "do not belong"),
        (np.log([[0.5, 0.5]]), np.array([-1]), "do not belong"),
        (np.log([[0.5, 0.5]]), np.array([0, 1]), "do not belong"),
        (np.log([[0.5, 0.5]]), np.array([0.0]), "do not belong"),
    ],
)
def test_a_table_that_holds_no_confidences_is_refused(
    log_probs: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        classifier_scores.scaled_confidence(log_probs, labels)


def test_tables_of_two_shapes_are_not_calibrated() -> None:
    three, labels = table(1, labels=3)
    four, _ = table(1, labels=4)
    with pytest.raises(ConfigError, match="no difference"):
        classifier_scores.calibrated_confidence(three, four, np.minimum(labels, 2))


def test_classifier_scores_find_planted_members() -> None:
    rng = np.random.default_rng(5)
    logits = rng.normal(scale=2, size=(200, 3))
    labels = rng.integers(0, 3, 200)
    base = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    logits[np.arange(100), labels[:100]] += 2.0
    after = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    areas = {
        name: area_under_curve(likelihood_scores.CanaryScores.of(scores[:100], scores[100:])).area
        for name, scores in {
            "loss": classifier_scores.loss_score(after, labels),
            "scaled": classifier_scores.scaled_confidence(after, labels),
            "calibrated": classifier_scores.calibrated_confidence(after, base, labels),
        }.items()
    }
    assert min(areas.values()) > 0.65
    assert areas["calibrated"] == 1.0
