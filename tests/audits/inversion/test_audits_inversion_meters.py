"""Meters tell from a sum and public counts whether texts could be read out of it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from low_rank_layers import low_rank_layer, privatised

from audits.inversion.meters import LayerMeter, measure_layer, measure_round, stable_rank
from audits.inversion.row_space import visible_subspace
from audits.inversion.token_inversion import exact_threshold, invert_anywhere
from crypto.errors import ConfigError

RANK = 6
seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=40)
@given(seed=seeds, tokens=st.integers(1, 20), width=st.integers(7, 30))
def test_exposed_is_what_the_exact_test_reads_where_no_token_repeats(
    seed: int, tokens: int, width: int
) -> None:
    layer = low_rank_layer(np.random.default_rng(seed), tokens=tokens, rank=RANK, width=width)
    for gradient, candidates in zip(
        layer.gradients(), (layer.vocabulary, layer.images), strict=True
    ):
        subspace = visible_subspace(gradient)
        meter = measure_layer(1, "q", subspace, tokens)
        found = invert_anywhere(subspace, candidates, exact_threshold(subspace))
        assert found.against(layer.truth).exact == meter.is_exposed


def test_a_meter_says_what_was_measured() -> None:
    layer = low_rank_layer(np.random.default_rng(0), tokens=4, rank=RANK, width=20)
    of_a, of_b = layer.gradients()
    first, second = measure_round(7, {"q.A": of_a, "q.B": of_b}, tokens=12)
    assert (first.round, first.layer, first.rank, first.columns) == (7, "q.A", RANK, 20)
    assert (second.layer, second.rank, second.columns) == ("q.B", RANK, RANK)
    assert first.tokens_over_rank == second.tokens_over_rank == 2.0
    assert first.rank_ratio == second.rank_ratio == 4 / RANK
    assert first.stable_rank == pytest.approx(
        np.linalg.norm(of_a) ** 2 / np.linalg.norm(of_a, 2) ** 2
    )
    with pytest.raises(FrozenInstanceError):
        first.tokens = 1  # type: ignore[misc] # what is tested


def test_repeated_tokens_leave_a_deficient_rank_though_their_count_is_high() -> None:
    layer = low_rank_layer(np.random.default_rng(0), tokens=4, rank=RANK)
    meter = measure_layer(1, "q", visible_subspace(layer.gradients()[0]), tokens=40)
    assert not meter.is_exposed
    assert meter.is_deficient
    full = low_rank_layer(np.random.default_rng(0), tokens=40, rank=RANK)
    assert not measure_layer(1, "q", visible_subspace(full.gradients()[0]), 40).is_deficient


def test_a_sum_of_zeros_exposes_nobody() -> None:
    """As the first gradient of A, while B is 0."""
    (meter,) = measure_round(1, {"q.A": np.zeros((RANK, 20))}, tokens=1)
    assert (meter.numerical_rank, meter.rank_ratio, meter.stable_rank) == (0, 0.0, 0.0)
    assert not meter.is_exposed
    assert not meter.is_deficient


def test_noise_fills_the_rank_and_is_taken_out_where_it_is_known() -> None:
    rng = np.random.default_rng(0)
    noised = privatised(low_rank_layer(rng, tokens=2, rank=RANK).gradients()[0], rng)
    (unaware,) = measure_round(1, {"q": noised}, tokens=2)
    (aware,) = measure_round(1, {"q": noised}, tokens=2, noise_deviation=1.0)
    assert (unaware.rank_ratio, aware.rank_ratio) == (1.0, 0.0)
    assert unaware.stable_rank > 2


def test_a_tolerance_reaches_every_layer() -> None:
    matrix = np.diag([1.0, 1e-3])
    (strict,) = measure_round(1, {"q": matrix}, tokens=1)
    (loose,) = measure_round(1, {"q": matrix}, tokens=1, tolerance=1e-2)
    assert (strict.numerical_rank, loose.numerical_rank) == (2, 1)


@given(values=st.lists(st.floats(0.01, 100), min_size=1, max_size=8))
def test_the_stable_rank_is_between_one_and_the_rank(values: list[float]) -> None:
    downwards = np.sort(np.array(values))[::-1]
    assert 1 <= stable_rank(downwards) <= len(values) + 1e-9
    assert stable_rank(3 * downwards) == pytest.approx(stable_rank(downwards))
    assert stable_rank(np.ones(len(values))) == len(values)


def test_a_meter_holds_names_and_numbers_and_nothing_that_was_summed() -> None:
    kinds = {field.name: field.type for field in fields(LayerMeter)}
    assert set(kinds.values()) == {"int", "str", "float"}


@pytest.mark.parametrize("tokens", [0, -1])
def test_a_sum_of_no_tokens_is_refused(tokens: int) -> None:
    with pytest.raises(ConfigError, match="Count the token inputs"):
        measure_layer(1, "q", visible_subspace(np.eye(2)), tokens)
