from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crypto.errors import ConfigError, PeerError
from crypto.keystream import KeyStream
from crypto.secrets import SecretBytes
from privacy.fixed_point import NEAREST, Grid, Rounding, Stochastic, range_with_noise

GRIDS = st.builds(
    Grid,
    clip_range=st.floats(1e-6, 1e6),
    parties=st.integers(1, 31),
    bits=st.integers(10, 32),
)


def stochastic(seed: int = 0) -> Stochastic:
    return Stochastic(KeyStream(SecretBytes(seed.to_bytes(32, "little"))))


def plaintexts(grid: Grid, encoded: np.ndarray) -> list[int]:
    """The twin: residues as signed Python integers."""
    whole = 2**grid.bits
    return [int(r) - whole if int(r) >= whole // 2 else int(r) for r in encoded]


@given(GRIDS)
def test_a_sum_can_never_wrap_and_the_step_is_the_finest_that_can_be_promised(grid: Grid) -> None:
    half = 2 ** (grid.bits - 1) - 1
    outermost = math.floor(Fraction(grid.clip_range) / Fraction(grid.step)) + 1
    assert grid.parties * outermost <= grid.parties * grid.largest <= half
    assert grid.outermost == math.ceil(Fraction(grid.clip_range) / Fraction(grid.step))
    assert math.frexp(grid.step)[0] == 0.5
    assert Fraction(grid.clip_range) > Fraction(grid.step) / 2 * (grid.largest - 1)


@settings(max_examples=60)
@given(grid=GRIDS, seed=st.integers(0, 2**32), to_nearest=st.booleans())
def test_the_decoded_sum_equals_the_sum_of_the_plaintexts_bit_for_bit(
    grid: Grid, seed: int, *, to_nearest: bool
) -> None:
    rng = np.random.default_rng(seed)
    clip = np.float32(grid.clip_range)
    clip = clip if float(clip) <= grid.clip_range else np.nextafter(clip, np.float32(0))
    values = rng.uniform(-1, 1, (grid.parties, 7)).astype(np.float32) * clip
    values[:, 0], values[:, 1] = clip, -clip  # every site at the same end
    total = np.zeros(7, np.uint32)
    exact = [Fraction(0)] * 7
    for site, flat in enumerate(values):
        rounding: Rounding = NEAREST if to_nearest else stochastic(seed + site)
        encoded = grid.encode(flat, rounding)
        total += encoded
        integers = plaintexts(grid, encoded)
        step = Fraction(grid.step)
        exact = [x + k * step for x, k in zip(exact, integers, strict=True)]
        for value, integer in zip(flat, integers, strict=True):
            error = abs(Fraction(float(value)) - integer * step)
            assert error <= step / 2 if to_nearest else error < step
    decoded = grid.decode_sum(total, grid.parties)
    assert [Fraction(float(x)) for x in decoded] == exact


@given(clip_range=st.floats(1e-6, 1e6), parties=st.integers(1, 2**29), above=st.booleans())
def test_the_step_is_the_least_power_of_two_also_at_its_edges(
    clip_range: float, parties: int, *, above: bool
) -> None:
    """A range of exactly 2^k (M - 1) has the step 2^k, and the next float above it the double."""
    grid = Grid(clip_range, parties)
    at = grid.step * (grid.largest - 1)
    edge = math.nextafter(at, math.inf) if above else at
    assert Grid(edge, parties).step == (2 * grid.step if above else grid.step)


def test_the_finest_grids_are_known() -> None:
    assert Grid(clip_range=1.0, parties=1, bits=8).largest == 127
    assert Grid(clip_range=1.0, parties=2, bits=8).largest == 63
    coarsest = Grid(clip_range=1.0, parties=63, bits=8)
    assert (coarsest.largest, coarsest.step) == (2, 1.0)


def test_a_grid_stays_what_it_was_checked_to_be() -> None:
    with pytest.raises(AttributeError):
        Grid(clip_range=1.0, parties=2).parties = 3  # type: ignore[misc]
    with pytest.raises(AttributeError):
        stochastic().stream = KeyStream(SecretBytes(bytes(32)))  # type: ignore[misc]
    assert "tream" not in repr(stochastic())


def test_one_grid_step_more_would_wrap() -> None:
    """Removes the defence: with a step half as large the sum of honest sites wraps."""
    grid = Grid(clip_range=0.25, parties=2, bits=8)  # M = 63, step 2^-7
    assert (grid.largest, grid.step) == (63, 2**-7)
    tight = Grid(clip_range=62 * 2**-7, parties=2, bits=8)
    assert tight.step == 2**-7
    ends = np.full(1, 62 * 2**-7, np.float32)
    total = (tight.encode(ends, NEAREST) + tight.encode(ends, NEAREST)) & np.uint32(255)
    assert tight.decode_sum(total, 2)[0] == 2 * ends[0]
    finer = np.rint(ends / 2**-8).astype(np.int64)
    wrapped = (2 * finer) & 255
    assert wrapped[0] - 256 * (wrapped[0] >= 128) != 2 * finer[0]


@given(st.integers(8, 32), st.integers(1, 2**31))
def test_combinations_without_a_grid_point_are_refused_with_the_arithmetic(
    bits: int, parties: int
) -> None:
    assume((2 ** (bits - 1) - 1) // parties < 2)
    half = 2 ** (bits - 1) - 1
    said = (
        rf"{parties} sites x 2 .* = {2 * parties} > 2\^{bits - 1} - 1 = {half}, .* {bits} bits\. "
        rf".* at most {half // 2} sites"
    )
    with pytest.raises(ConfigError, match=said):
        Grid(clip_range=1.0, parties=parties, bits=bits)


@pytest.mark.parametrize("clip_range", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_a_range_that_is_no_range_is_refused(clip_range: float) -> None:
    with pytest.raises(ConfigError, match="clip range"):
        Grid(clip_range=clip_range, parties=2)


def test_the_smallest_and_the_largest_range_are_taken_and_no_others() -> None:
    for exponent, beyond in ((-64, 0.0), (64, math.inf)):
        end = 2.0**exponent
        assert Grid(clip_range=end, parties=2).clip_range == end
        with pytest.raises(ConfigError, match="clip range"):
            Grid(clip_range=math.nextafter(end, beyond), parties=2)


@pytest.mark.parametrize(("bits", "parties"), [(7, 1), (33, 1), (32, 0), (32, -2)])
def test_other_bad_grids(bits: int, parties: int) -> None:
    with pytest.raises(ConfigError):
        Grid(clip_range=1.0, parties=parties, bits=bits)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_without_a_grid_point_is_refused(bad: float) -> None:
    grid = Grid(clip_range=1.0, parties=2)
    flat = np.array([0.0, bad], np.float32)
    with pytest.raises(ConfigError, match="not finite"):
        grid.encode(flat, NEAREST)
    with pytest.raises(ConfigError, match="not finite"):
        grid.encode_clamped(flat, NEAREST)


def test_a_value_beyond_the_range_raises_or_is_clamped_and_counted() -> None:
    grid = Grid(clip_range=0.1, parties=4)
    # float32(0.1) is above 0.1: comparing in float32 would let it through.
    flat = np.array([0.1, -3.0, 0.05], np.float32)
    with pytest.raises(ConfigError, match="2 of 3 values"):
        grid.encode(flat, NEAREST)
    encoded, moved = grid.encode_clamped(flat, NEAREST)
    assert moved == 2
    assert grid.decode_sum(encoded, 1) == pytest.approx([0.1, -0.1, float(flat[2])], abs=grid.step)


def test_a_value_at_the_end_of_the_range_is_not_moved() -> None:
    grid = Grid(clip_range=0.5, parties=4)
    encoded, moved = grid.encode_clamped(np.array([0.5, -0.5, 0.75], np.float32), NEAREST)
    assert moved == 1
    assert grid.decode_sum(encoded, 1).tolist() == [0.5, -0.5, 0.5]


def test_nothing_encodes_to_nothing() -> None:
    encoded, moved = Grid(clip_range=0.5, parties=4).encode_clamped(np.zeros(0), NEAREST)
    assert (encoded.size, moved) == (0, 0)


def test_a_sum_that_honest_sites_cannot_reach_is_a_peers_fault() -> None:
    grid = Grid(clip_range=1.0, parties=4)
    total = np.array([grid.outermost * 2, 2**32 - grid.outermost * 2], np.uint32)
    assert np.abs(grid.decode_sum(total, 2)).min() >= 2.0
    for one_more in (total + np.array([1, 0], np.uint32), total - np.array([0, 1], np.uint32)):
        with pytest.raises(PeerError, match=r"^1 of 2 summed values"):
            grid.decode_sum(one_more, 2)
    with pytest.raises(PeerError, match=r"^2 of 2 summed values"):
        grid.decode_sum(total, 1)
    with pytest.raises(PeerError):
        grid.decode_sum(np.array([2**31], np.uint32), 4)
    for parties in (5, 0):
        with pytest.raises(ConfigError, match=f"{parties} sites"):
            grid.decode_sum(np.zeros(2, np.uint32), parties)


def test_masked_garbage_is_nearly_always_found() -> None:
    """The range check has power: a vector still under its mask is uniform in the ring."""
    total = KeyStream(SecretBytes(bytes(32))).uint32(1000)
    for parties in (2, 3, 4, 10, 100):
        for survivors in (parties, parties // 2):
            with pytest.raises(PeerError):
                Grid(clip_range=1.0, parties=parties).decode_sum(total, survivors)


def test_only_flat_vectors_are_encoded() -> None:
    with pytest.raises(ConfigError, match="not flat"):
        Grid(clip_range=1.0, parties=2).encode(np.zeros((2, 2), np.float32), NEAREST)


def rounding_statistic(rounding: Rounding) -> float:
    """z of the mean error of 200,000 values a quarter step above a grid point."""
    grid = Grid(clip_range=1.0, parties=2, bits=12)
    count = 200_000
    value = grid.step * 10.25
    encoded = grid.encode(np.full(count, value, np.float32), rounding)
    decoded = grid.decode_sum(encoded, 1)
    assert set(np.unique(decoded)) <= {10 * grid.step, 11 * grid.step}
    spread = grid.step * math.sqrt(0.25 * 0.75 / count)
    return float((decoded.mean() - value) / spread)


def test_stochastic_rounding_is_unbiased_and_nearest_is_not() -> None:
    assert abs(rounding_statistic(stochastic())) < 4.5  # false alarm below 1e-5
    assert abs(rounding_statistic(NEAREST)) > 100


def test_stochastic_rounding_has_at_most_the_stated_variance() -> None:
    grid = Grid(clip_range=1.0, parties=2, bits=12)
    rng = np.random.default_rng(1)
    values = rng.uniform(-1, 1, 100_000).astype(np.float32)
    error = grid.decode_sum(grid.encode(values, stochastic(3)), 1) - values
    assert np.abs(error).max() < grid.step
    assert error.var() == pytest.approx(grid.step**2 / 6, rel=0.02)  # E[f(1-f)] = 1/6
    assert error.var() < grid.step**2 / 4


def test_grid_points_are_kept_by_every_rounding() -> None:
    grid = Grid(clip_range=1.0, parties=2, bits=12)
    points = (np.arange(-grid.largest + 1, grid.largest) * grid.step).astype(np.float32)
    points = points[np.abs(points) <= 1]
    for rounding in (NEAREST, stochastic()):
        assert np.array_equal(grid.decode_sum(grid.encode(points, rounding), 1), points)


class _Lowest:
    """A stream that gives the smallest number each time, the likeliest to round up."""

    def uint32(self, count: int) -> np.ndarray:
        return np.zeros(count, np.uint32)


def test_the_lowest_draw_rounds_up_all_but_grid_points() -> None:
    grid = Grid(clip_range=1.0, parties=2, bits=12)
    rounding = Stochastic(_Lowest())  # type: ignore[arg-type] # all that is asked of a stream
    values = np.array([3.0, 3.0 + 2.0**-20]) * grid.step
    assert grid.decode_sum(grid.encode(values, rounding), 1).tolist() == [
        3.0 * grid.step,
        4.0 * grid.step,
    ]


def test_chunks_do_not_show() -> None:
    grid = Grid(clip_range=1.0, parties=3)
    flat = np.random.default_rng(0).uniform(-1, 1, 150_001).astype(np.float32)
    whole = np.rint(flat.astype(np.float64) / grid.step).astype(np.int64) & 0xFFFFFFFF
    assert np.array_equal(grid.encode(flat, NEAREST), whole)


def test_rounding_l2_bounds_what_rounding_moves() -> None:
    grid = Grid(clip_range=1.0, parties=2, bits=10)
    flat = np.random.default_rng(0).uniform(-1, 1, 500).astype(np.float32)
    moved = grid.decode_sum(grid.encode(flat, stochastic()), 1) - flat
    assert np.linalg.norm(moved) < grid.rounding_l2(500)


def test_range_with_noise_covers_what_it_says() -> None:
    z = range_with_noise(0.0, 1.0, 1)
    assert math.erfc(z / math.sqrt(2)) <= 2.0**-40
    wide = range_with_noise(2.0, 0.5, 100_000)
    tail = math.erfc((wide - 2.0) / 0.5 / math.sqrt(2))
    assert 100_000 * tail <= 2.0**-40
    assert wide < 2.0 + 0.5 * 10  # and wastes little of the grid
    assert z == pytest.approx(math.sqrt(80 * math.log(2)), rel=1e-12)
    for bad in ((-1.0, 1.0, 1), (1.0, math.nan, 1), (math.inf, 1.0, 1), (1.0, 1.0, 0)):
        with pytest.raises(ConfigError):
            range_with_noise(*bad)
