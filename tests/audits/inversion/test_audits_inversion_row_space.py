"""The span of rows: what a LoRA gradient shows, least squares as twin, and the rank's rule."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from low_rank_layers import low_rank_layer

from audits.inversion.row_space import Subspace, visible_subspace
from crypto.errors import ConfigError

seeds = st.integers(0, 2**32 - 1)


def by_least_squares(matrix: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the residuals of writing each vector as a sum of the matrix's rows."""
    weights, *_ = np.linalg.lstsq(matrix.T, vectors.T, rcond=None)
    return np.linalg.norm(vectors.T - matrix.T @ weights, axis=0) / np.linalg.norm(vectors, axis=1)


def in_span(rng: np.random.Generator, matrix: np.ndarray, count: int = 5) -> np.ndarray:
    return rng.normal(size=(count, len(matrix))) @ matrix


@settings(max_examples=40)
@given(seed=seeds, tokens=st.integers(1, 20), rank=st.integers(1, 12))
def test_autograd_gives_the_sums_of_the_formula(seed: int, tokens: int, rank: int) -> None:
    layer = low_rank_layer(np.random.default_rng(seed), tokens=tokens, rank=rank)
    inputs = layer.vocabulary[layer.tokens]
    of_a, of_b = layer.gradients()
    pairs = list(zip(layer.deltas, inputs, strict=True))
    by_hand_a = layer.scale * sum(np.outer(layer.up.T @ delta, x) for delta, x in pairs)
    by_hand_b = layer.scale * sum(np.outer(delta, layer.down @ x) for delta, x in pairs)
    np.testing.assert_allclose(of_a, by_hand_a, atol=1e-9)
    np.testing.assert_allclose(of_b, by_hand_b, atol=1e-9)


@settings(max_examples=40)
@given(seed=seeds, tokens=st.integers(1, 20), rank=st.integers(1, 12))
def test_a_gradients_rows_lie_in_the_span_of_what_entered(
    seed: int, tokens: int, rank: int
) -> None:
    layer = low_rank_layer(np.random.default_rng(seed), tokens=tokens, rank=rank)
    of_a, of_b = layer.gradients()
    inputs = layer.vocabulary[layer.tokens]
    assert visible_subspace(inputs).residual(of_a).max() < 1e-9
    assert visible_subspace(inputs @ layer.down.T).residual(of_b).max() < 1e-9
    assert visible_subspace(of_a).dimension == min(tokens, rank)


def test_the_first_gradient_of_a_is_zero_while_that_of_b_is_not() -> None:
    layer = low_rank_layer(np.random.default_rng(0), tokens=3, rank=6)
    layer.up[:] = 0
    of_a, of_b = layer.gradients()
    assert visible_subspace(of_a).dimension == 0
    assert visible_subspace(of_b).dimension == 3


@given(seed=seeds, rows=st.integers(1, 12), width=st.integers(1, 20))
def test_the_residual_is_that_of_least_squares(seed: int, rows: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, width))
    vectors = np.concatenate([rng.normal(size=(5, width)), in_span(rng, matrix)])
    found = visible_subspace(matrix).residual(vectors)
    np.testing.assert_allclose(found, by_least_squares(matrix, vectors), atol=1e-6)
    assert found[5:].max() < 1e-9


@given(seed=seeds, rows=st.integers(1, 8), scale=st.floats(1e-6, 1e6))
def test_neither_mixing_rows_nor_lengths_change_a_residual(
    seed: int, rows: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    matrix, vectors = rng.normal(size=(rows, 16)), rng.normal(size=(6, 16))
    rotation, _ = np.linalg.qr(rng.normal(size=(rows, rows)))
    before = visible_subspace(matrix).residual(vectors)
    after = visible_subspace(scale * rotation @ matrix).residual(vectors / scale)
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_a_residual_near_zero_keeps_its_digits() -> None:
    """By Pythagoras a vector that is 1e-11 away would seem to lie in the span, or 1e-8 away."""
    matrix = np.eye(3, 8)
    vector = np.array([[1.0, 2.0, 3.0, 0, 0, 0, 0, 1e-11]])
    subspace = visible_subspace(matrix)
    expected = 1e-11 / np.sqrt(14)
    assert subspace.residual(vector)[0] == pytest.approx(expected, rel=1e-6)
    inside = np.linalg.norm(vector @ subspace.basis.T) / np.linalg.norm(vector)
    assert np.sqrt(max(0.0, 1 - inside**2)) != pytest.approx(expected, rel=0.5)


def test_many_vectors_are_taken_in_parts_and_none_gives_none() -> None:
    rng = np.random.default_rng(0)
    subspace = visible_subspace(rng.normal(size=(3, 6)))
    vectors = rng.normal(size=(9000, 6))
    found = subspace.residual(vectors)
    assert found.shape == (9000,)
    np.testing.assert_array_equal(found[8990:], subspace.residual(vectors[8990:]))
    assert subspace.residual(vectors[:0]).shape == (0,)


def test_zeros_are_in_no_span_that_tells_anything() -> None:
    subspace = visible_subspace(np.eye(2, 5))
    assert subspace.residual(np.zeros((1, 5))).tolist() == [1.0]
    nothing = visible_subspace(np.zeros((4, 5)))
    assert nothing.dimension == 0
    assert nothing.residual(np.eye(5)).tolist() == [1.0] * 5


@pytest.mark.parametrize(("dtype", "expected"), [(np.float32, 3), (np.float64, 6)])
def test_what_the_types_rounding_explains_does_not_count(dtype: type, expected: int) -> None:
    matrix = np.diag([1.0, 0.5, 0.25, 1e-8, 1e-9, 1e-10]).astype(dtype)
    assert visible_subspace(matrix).dimension == expected


def test_a_tolerance_is_relative_to_the_largest_singular_value() -> None:
    matrix = 1e6 * np.diag([1.0, 1e-1, 1e-2, 1e-3])
    found = [visible_subspace(matrix, tolerance).dimension for tolerance in (0, 5e-3, 5e-2, 0.5)]
    assert found == [4, 3, 2, 1]


def test_known_noise_raises_the_cutoff_above_it() -> None:
    """Noise alone fills every direction; what stands out of it is what was put in."""
    rng = np.random.default_rng(0)
    noise = rng.normal(scale=0.1, size=(40, 60))
    strong = np.outer(rng.normal(size=40), rng.normal(size=60))
    assert visible_subspace(noise).dimension == 40
    assert visible_subspace(noise, noise_deviation=0.1).dimension == 0
    assert visible_subspace(noise + strong, noise_deviation=0.1).dimension == 1


@pytest.mark.parametrize(("rows", "width"), [(1, 6), (4, 6), (5, 6), (7, 40)])
def test_chance_is_how_often_random_directions_fall_below(rows: int, width: int) -> None:
    rng = np.random.default_rng(1)
    subspace = visible_subspace(rng.normal(size=(rows, width)))
    residuals = subspace.residual(rng.normal(size=(40_000, width)))
    for threshold in (0.2, 0.6, 0.9):
        share = float((residuals < threshold).mean())
        assert subspace.chance(threshold) == pytest.approx(share, abs=0.01)


@given(rows=st.integers(1, 9), probability=st.floats(1e-8, 0.99))
def test_a_chance_threshold_is_passed_with_that_chance(rows: int, probability: float) -> None:
    subspace = visible_subspace(np.eye(rows, 10))
    threshold = subspace.chance_threshold(probability)
    assert subspace.chance(threshold) == pytest.approx(probability, rel=1e-6)


def test_everything_and_nothing_tell_no_direction_from_another() -> None:
    everything, nothing = visible_subspace(np.eye(4)), visible_subspace(np.zeros((4, 4)))
    assert everything.chance(1e-9) == 1.0
    assert nothing.chance(1.0) == 0.0
    assert everything.chance_threshold(0.5) == nothing.chance_threshold(0.5) == 0.0


def test_a_subspace_shows_neither_directions_nor_values() -> None:
    shown = repr(visible_subspace(np.full((2, 2), 0.123)))
    assert "array" not in shown
    assert "cutoff" in shown


@pytest.mark.parametrize(
    "matrix",
    [np.zeros(3), np.zeros((0, 3)), np.zeros((2, 2), int), np.full((2, 2), np.nan)],
    ids=["vector", "empty", "integers", "nan"],
)
def test_what_has_no_row_space_is_refused(matrix: np.ndarray) -> None:
    with pytest.raises(ConfigError):
        visible_subspace(matrix)


@pytest.mark.parametrize("tolerance", [-1e-9, 1.0, float("nan")])
def test_a_tolerance_that_draws_no_line_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigError, match="draws no line"):
        visible_subspace(np.eye(2), tolerance)


@pytest.mark.parametrize("deviation", [-1.0, float("inf"), float("nan")])
def test_noise_of_no_deviation_is_refused(deviation: float) -> None:
    with pytest.raises(ConfigError, match="draws no line"):
        visible_subspace(np.eye(2), noise_deviation=deviation)


@pytest.mark.parametrize("vectors", [np.zeros(4), np.zeros((2, 5)), np.full((1, 4), np.inf)])
def test_vectors_of_another_layer_are_refused(vectors: np.ndarray) -> None:
    subspace: Subspace = visible_subspace(np.eye(2, 4))
    with pytest.raises(ConfigError):
        subspace.residual(vectors)


@pytest.mark.parametrize("chance", [0.0, 1.0, -0.1, float("nan")])
def test_a_chance_that_is_none_is_refused(chance: float) -> None:
    with pytest.raises(ConfigError, match="no probability"):
        visible_subspace(np.eye(2, 4)).chance_threshold(chance)
