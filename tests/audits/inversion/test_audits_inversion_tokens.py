"""Which tokens lie in the span: exact below the rank, blind above it and under noise."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from low_rank_layers import LowRankLayer, low_rank_layer, privatised, together

from audits.inversion.row_space import Subspace, visible_subspace
from audits.inversion.token_inversion import (
    InvertedTokens,
    Recovery,
    calibrated_threshold,
    exact_threshold,
    invert_anywhere,
    invert_positions,
)
from audits.statistics import binomial
from crypto.errors import ConfigError

seeds = st.integers(0, 2**32 - 1)
WIDTH, RANK = 48, 8


def exactly(gradient: np.ndarray, candidates: np.ndarray, layer: LowRankLayer) -> Recovery:
    subspace = visible_subspace(gradient)
    return invert_anywhere(subspace, candidates, exact_threshold(subspace)).against(layer.truth)


def nearly(subspace: Subspace, layer: LowRankLayer, rate: float = 0.01) -> Recovery:
    """Hold the candidates against a threshold that fresh controls calibrated."""
    controls = np.random.default_rng(99).normal(size=(2000, subspace.ambient))
    threshold = calibrated_threshold(subspace, controls, rate)
    return invert_anywhere(subspace, layer.vocabulary, threshold).against(layer.truth)


@settings(max_examples=40)
@given(seed=seeds, tokens=st.integers(1, RANK - 1))
def test_below_the_rank_every_token_is_found_and_no_other(seed: int, tokens: int) -> None:
    layer = low_rank_layer(np.random.default_rng(seed), tokens=tokens, rank=RANK, width=WIDTH)
    of_a, of_b = layer.gradients()
    assert exactly(of_a, layer.vocabulary, layer).exact
    assert exactly(of_b, layer.images, layer).exact


@settings(max_examples=40)
@given(seed=seeds, tokens=st.integers(1, 6))
def test_a_repeated_token_takes_one_direction_of_the_rank(seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    layer = low_rank_layer(rng, tokens=tokens, rank=RANK)
    often = np.tile(layer.tokens, 5)
    deltas = rng.normal(size=(often.size, layer.deltas.shape[1]))
    repeated = replace(layer, tokens=often, deltas=deltas)
    assert exactly(repeated.gradients()[0], layer.vocabulary, repeated).exact


def test_sums_over_records_keep_the_span() -> None:
    """The opened sum of three sites with five distinct tokens between them."""
    rng = np.random.default_rng(3)
    layer = low_rank_layer(rng, tokens=5, rank=RANK)
    parts = [slice(0, 2), slice(1, 4), slice(3, 5)]
    summed = sum(
        replace(layer, tokens=layer.tokens[part], deltas=layer.deltas[part]).gradients()[0]
        for part in parts
    )
    assert exactly(np.asarray(summed), layer.vocabulary, layer).exact


@pytest.mark.parametrize("seed", range(5))
def test_at_the_rank_grad_a_still_tells_and_grad_b_does_not(seed: int) -> None:
    """grad A's rows are in R^d, which has room beside the span; grad B's span is all of R^r."""
    layer = low_rank_layer(np.random.default_rng(seed), tokens=RANK, rank=RANK)
    of_a, of_b = layer.gradients()
    assert exactly(of_a, layer.vocabulary, layer).exact
    blind = exactly(of_b, layer.images, layer)
    assert (blind.true_positives, blind.false_positives) == (0, 0)


@settings(max_examples=40)
@given(seed=seeds, tokens=st.integers(RANK + 1, 60))
def test_above_the_rank_no_token_lies_in_the_span(seed: int, tokens: int) -> None:
    layer = low_rank_layer(np.random.default_rng(seed), tokens=tokens, rank=RANK)
    of_a, of_b = layer.gradients()
    for found in (exactly(of_a, layer.vocabulary, layer), exactly(of_b, layer.images, layer)):
        assert found.true_positives + found.false_positives == 0


@pytest.mark.parametrize(("tokens", "least"), [(RANK + 1, 0.8), (2 * RANK, 0.6), (4 * RANK, 0.25)])
def test_just_above_the_rank_tokens_are_still_nearer_than_others(tokens: int, least: float) -> None:
    """The rank ends exactness, not the leak: a span within the inputs' span is still near them."""
    found = together(
        [
            nearly(visible_subspace(layer.gradients()[0]), layer)
            for layer in (
                low_rank_layer(np.random.default_rng(seed), tokens=tokens, rank=RANK)
                for seed in range(5)
            )
        ]
    )
    assert found.true_positive_interval()[0] > least
    assert found.false_positive_interval()[1] < 0.03


def test_far_above_the_width_nothing_is_found_beyond_chance() -> None:
    found = together(
        [
            nearly(visible_subspace(layer.gradients()[0]), layer)
            for layer in (
                low_rank_layer(
                    np.random.default_rng(seed), tokens=40 * WIDTH, rank=RANK, vocabulary=6000
                )
                for seed in range(3)
            )
        ]
    )
    assert found.chance_p_value > 0.01
    assert found.true_positive_interval()[0] < 0.02


@pytest.mark.parametrize("allowed", [0.0, 1.0], ids=["unaware of the noise", "aware of it"])
def test_clipping_and_noise_leave_nothing_and_without_them_all_is_read(allowed: float) -> None:
    exact, near, plain = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        layer = low_rank_layer(rng, tokens=4, rank=RANK)
        gradient = layer.gradients()[0]
        noised = visible_subspace(privatised(gradient, rng), noise_deviation=allowed)
        threshold = exact_threshold(noised)
        exact.append(invert_anywhere(noised, layer.vocabulary, threshold).against(layer.truth))
        near.append(nearly(noised, layer, rate=0.1))
        unnoised = visible_subspace(privatised(gradient, rng, sigma=0.0))
        threshold = exact_threshold(unnoised)
        plain.append(invert_anywhere(unnoised, layer.vocabulary, threshold).against(layer.truth))
    assert together(plain).exact
    assert together(exact).true_positives == together(exact).false_positives == 0
    assert together(near).chance_p_value > 0.01
    assert together(near).true_positive_interval()[0] <= 0.1


def test_little_noise_is_allowed_for_and_hides_nothing() -> None:
    """What a grid's rounding adds is far below the signal: who knows its scale reads on."""
    rng = np.random.default_rng(0)
    layer = low_rank_layer(rng, tokens=5, rank=16)
    gradient = layer.gradients()[0]
    step = 1e-4 * float(np.abs(gradient).max())
    rounded = step * np.round(gradient / step)
    assert not exactly(rounded, layer.vocabulary, layer).exact
    aware = visible_subspace(rounded, noise_deviation=step / np.sqrt(12))
    found = invert_anywhere(aware, layer.vocabulary, exact_threshold(aware))
    assert found.against(layer.truth).exact


@settings(max_examples=40)
@given(seed=seeds, texts=st.integers(1, 3), length=st.integers(1, 5))
def test_positions_tell_where_a_token_stood(seed: int, texts: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    words, places = rng.normal(size=(60, WIDTH)), rng.normal(size=(length, WIDTH))
    bias = rng.normal(size=WIDTH)

    def candidates(position: int) -> np.ndarray:
        summed = words + places[position]
        return summed / summed.std(axis=1, keepdims=True) + bias

    tokens = rng.permutation(60)[: texts * length].reshape(texts, length)
    inputs = np.concatenate(
        [candidates(position)[tokens[:, position]] for position in range(length)]
    )
    mixed = rng.normal(size=(20, len(inputs))) @ inputs
    subspace = visible_subspace(mixed)
    found = invert_positions(subspace, candidates, length, exact_threshold(subspace))
    assert found.found == tuple(tuple(sorted(set(column))) for column in tokens.T.tolist())
    assert found.against([set(column) for column in tokens.T.tolist()]).exact


def test_two_words_that_share_two_places_complete_the_pair_of_a_third_in_spite_of_a_bias() -> None:
    """Two such differences leave a weight to choose, and one choice carries the bias."""
    rng = np.random.default_rng(31252)
    words, places = rng.normal(size=(60, WIDTH)), rng.normal(size=(2, WIDTH))
    bias = rng.normal(size=WIDTH)

    def candidates(position: int) -> np.ndarray:
        summed = words + places[position]
        return summed / summed.std(axis=1, keepdims=True) + bias

    def found(shared: list[int]) -> tuple[int, ...]:
        inputs = np.concatenate([candidates(0)[shared], candidates(1)[[*shared, 42]]])
        subspace = visible_subspace(rng.normal(size=(20, len(inputs))) @ inputs)
        return invert_positions(subspace, candidates, 2, exact_threshold(subspace)).found[0]

    assert found([58]) == (58,)
    assert found([52, 58]) == (42, 52, 58)


@pytest.mark.parametrize("bias", [0.0, 1.0])
def test_two_words_in_two_places_complete_a_third_pair_unless_there_is_a_bias(bias: float) -> None:
    """v + p = (v + q) - (w + q) + (w + p), and a span knows no lengths."""
    rng = np.random.default_rng(0)
    words, places = rng.normal(size=(20, WIDTH)), rng.normal(size=(2, WIDTH))
    shift = bias * rng.normal(size=WIDTH)

    def candidates(position: int) -> np.ndarray:
        summed = words + places[position]
        return summed / summed.std(axis=1, keepdims=True) + shift

    inputs = np.stack([candidates(0)[3], candidates(1)[3], candidates(1)[8]])
    subspace = visible_subspace(inputs)
    found = invert_positions(subspace, candidates, 2, exact_threshold(subspace))
    assert found.found == (((3,), (3, 8)) if bias else ((3, 8), (3, 8)))


@settings(max_examples=40)
@given(seed=seeds)
def test_finding_is_what_a_loop_over_least_squares_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, candidates = rng.normal(size=(5, 9)), rng.normal(size=(30, 9))
    found = invert_anywhere(visible_subspace(matrix), candidates, 0.6).found[0]
    naive = []
    for token, vector in enumerate(candidates):
        weights, *_ = np.linalg.lstsq(matrix.T, vector, rcond=None)
        if np.linalg.norm(vector - weights @ matrix) < 0.6 * np.linalg.norm(vector):
            naive.append(token)
    assert found == tuple(naive)


@given(seed=seeds, rate=st.floats(0, 0.99), count=st.integers(1, 50))
def test_no_more_controls_pass_than_the_rate_allows(seed: int, rate: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    subspace = visible_subspace(rng.normal(size=(4, 12)))
    controls = rng.normal(size=(count, 12))
    threshold = calibrated_threshold(subspace, controls, rate)
    passing = int((subspace.residual(controls) < threshold).sum())
    assert passing <= rate * count
    above = int((subspace.residual(controls) <= threshold).sum())
    assert above > rate * count


def test_the_exact_threshold_is_rounding_under_a_cap_of_chance() -> None:
    values = np.array([4.0, 2.0, 1e-4])
    wide = Subspace(np.eye(3, 60), values, cutoff=1e-9)
    assert exact_threshold(wide) == pytest.approx(1e-9 / 1e-4, rel=1e-3)
    noisy = Subspace(np.eye(3, 60), values, cutoff=9e-5)
    assert noisy.chance_threshold(1e-12) < 0.9
    assert exact_threshold(noisy, 1e-12) == pytest.approx(noisy.chance_threshold(1e-12))
    assert exact_threshold(visible_subspace(np.eye(4))) == 0.0
    assert exact_threshold(visible_subspace(np.zeros((4, 4)))) == 0.0


def test_the_decompositions_own_rounding_is_allowed_for() -> None:
    """Three tokens that lie further from the span than the cutoff of float64 alone explains."""
    layer = low_rank_layer(np.random.default_rng(7), tokens=3, rank=6, width=7)
    of_a, _ = layer.gradients()
    assert exactly(of_a, layer.vocabulary, layer).exact
    bare = Subspace(np.eye(1, 9), np.array([1.0]), cutoff=0.0)
    assert 1e-14 < exact_threshold(bare) < 1e-13


def test_without_the_cap_a_full_span_would_find_every_token() -> None:
    layer = low_rank_layer(np.random.default_rng(0), tokens=60, rank=WIDTH, width=WIDTH)
    subspace = visible_subspace(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))
    rounding_alone = subspace.cutoff / float(subspace.singular_values[-1])
    assert len(invert_anywhere(subspace, layer.vocabulary, rounding_alone).found[0]) == 300
    assert not invert_anywhere(subspace, layer.vocabulary, exact_threshold(subspace)).found[0]


def test_a_recovery_counts_pairs_with_their_intervals() -> None:
    inverted = InvertedTokens(found=((1, 2), (), (0, 5)), vocabulary=10, threshold=0.1)
    found = inverted.against([{1, 3}, {7}, {0, 5}])
    assert found == Recovery(members=5, controls=25, true_positives=3, false_positives=1)
    assert found.true_positive_interval() == binomial.interval(3, 5)
    assert found.false_positive_interval(0.9) == binomial.interval(1, 25, 0.9)
    assert not found.exact
    assert replace(found, true_positives=5, false_positives=0).exact
    assert not replace(found, true_positives=5).exact


@settings(max_examples=40)
@given(members=st.integers(1, 4), others=st.integers(1, 4), data=st.data())
def test_the_p_value_counts_the_blind_draws_that_do_as_well(
    members: int, others: int, data: st.DataObject
) -> None:
    hits, wrong = data.draw(st.integers(0, members)), data.draw(st.integers(0, others))
    draws = list(combinations(range(members + others), hits + wrong))
    as_good = sum(sum(pair < members for pair in draw) >= hits for draw in draws)
    found = Recovery(members, others, hits, wrong)
    assert found.chance_p_value == pytest.approx(as_good / len(draws))


def test_the_tokens_found_are_not_shown() -> None:
    shown = repr(InvertedTokens(found=((777,),), vocabulary=1000, threshold=0.1))
    assert "777" not in shown
    assert "1000" in shown


@pytest.mark.parametrize(
    "truth", [[], [{1}, {2}], [{10}], [{-1}]], ids=["none", "more", "too high", "negative"]
)
def test_a_truth_of_other_positions_or_tokens_is_refused(truth: list[set[int]]) -> None:
    with pytest.raises(ConfigError, match="nothing can be counted"):
        InvertedTokens(found=((1,),), vocabulary=10, threshold=0.1).against(truth)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_that_is_none_calibrates_nothing(rate: float) -> None:
    with pytest.raises(ConfigError, match="calibrate nothing"):
        calibrated_threshold(visible_subspace(np.eye(2, 4)), np.eye(4), rate)


def test_no_controls_calibrate_nothing() -> None:
    with pytest.raises(ConfigError, match="calibrate nothing"):
        calibrated_threshold(visible_subspace(np.eye(2, 4)), np.zeros((0, 4)), 0.1)


def test_positions_have_to_be_some_and_of_one_vocabulary() -> None:
    subspace = visible_subspace(np.eye(2, 4))
    with pytest.raises(ConfigError, match="nothing to invert"):
        invert_positions(subspace, lambda _: np.eye(4), 0, 0.1)
    with pytest.raises(ConfigError, match="would not compare"):
        invert_positions(subspace, lambda position: np.eye(4)[position:], 2, 0.1)
