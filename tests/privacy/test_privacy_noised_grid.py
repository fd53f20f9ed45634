"""The grid of a sum with noise in the ring: its sensitivity, its range, and a sum under masks."""

from __future__ import annotations

import hashlib
import itertools
import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crypto.errors import ConfigError, PeerError
from crypto.keystream import KeyStream
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    MaskingCoordinator,
    MaskingSite,
    RoundBinding,
    Session,
)
from crypto.ring import pack
from crypto.secrets import SecretBytes
from privacy.accounting import calibrate_distributed, epsilon
from privacy.discrete_gaussian import require_system_discrete_noise
from privacy.events import DistributedGaussian
from privacy.fixed_point import NEAREST, Grid, Nearest, Rounding, Stochastic
from privacy.noise_shares import NoiseShares
from privacy.noised_grid import ARITHMETIC, FINENESS, NoisedGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.secrets import Entropy

FOUR = NoiseShares(cohort=4, drop_outs=1, colluders=1)


def rounding(seed: int) -> Stochastic:
    return Stochastic(KeyStream(SecretBytes(seed.to_bytes(32, "little"))))


def integers(residues: NDArray[np.uint32], bits: int = 32) -> NDArray[np.int64]:
    """Return what the residues stand for."""
    signed = residues.astype(np.int64)
    return np.where(signed >= 2 ** (bits - 1), signed - 2**bits, signed)


# -- the grid --------------------------------------------------------------------------------------

grids = st.builds(
    NoisedGrid,
    clip=st.floats(min_value=1e-3, max_value=1e3),
    size=st.integers(1, 300),
    noise_multiplier=st.floats(min_value=0.6, max_value=20.0),
    shares=st.sampled_from([FOUR, NoiseShares(2, 0, 1), NoiseShares(10, 3, 2)]),
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(grids)
def test_the_step_is_the_largest_that_is_fine_enough(grid: NoisedGrid) -> None:
    finest = Fraction(grid.clip) ** 2 / (FINENESS**2 * grid.size)
    assert math.frexp(grid.step)[0] == 0.5
    assert Fraction(grid.step) ** 2 <= finest * (1 + Fraction(1, 2**50))
    assert Fraction(2 * grid.step) ** 2 > finest * (1 - Fraction(1, 2**50))
    in_units = grid.sensitivity * grid.step
    assert grid.clip * (1.0 + 1.0 / 128.0) < in_units <= 1.016 * grid.clip
    assert in_units == pytest.approx(
        grid.clip * (1.0 + ARITHMETIC) + grid.step * math.sqrt(grid.size), rel=1e-12
    )


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    grids,
    st.integers(0, 2**32),
    st.floats(min_value=0.0, max_value=30.0),
    st.sampled_from([NEAREST, None]),
)
def test_no_rounding_and_no_clamping_takes_neighbours_further_apart_than_accounted(
    grid: NoisedGrid, seed: int, scale: float, nearest: Nearest | None
) -> None:
    # A sum of many rows, beyond the range in places, and the same with one more clipped row.
    generator = np.random.default_rng(seed)
    common = generator.normal(size=grid.size) * scale * grid.largest * grid.step / 10.0
    row = generator.normal(size=grid.size) * generator.choice([1e-6, 1.0], size=grid.size)
    row *= grid.clip / max(float(np.linalg.norm(row)), 1e-300)

    def encoded(flat: NDArray[np.float64]) -> NDArray[np.int64]:
        residues, _ = grid.encode_clamped(flat, nearest or rounding(seed))
        return integers(residues)

    one, other = encoded(common), encoded(common + row)
    assert float(np.linalg.norm(one - other)) <= grid.sensitivity
    assert np.abs(one).max() <= grid.largest


def test_the_accounted_sensitivity_is_nearly_reached() -> None:
    # Every coordinate just above a grid point, and a row that is just as long as it may be.
    grid = NoisedGrid(1.0, 10_000, 1.0, FOUR)
    row = np.full(grid.size, grid.clip / math.sqrt(grid.size))
    base = np.full(grid.size, -row[0] + 1e-9 * grid.step)

    def encoded(flat: NDArray[np.float64]) -> NDArray[np.int64]:
        return integers(grid.encode_clamped(flat, rounding(1))[0])

    apart = float(np.linalg.norm(encoded(base + row) - encoded(base)))
    assert grid.clip / grid.step <= apart <= grid.sensitivity


def test_on_a_fixed_grid_rounding_takes_neighbours_many_times_further_apart() -> None:
    # The defence removed: a step that knows neither the clip norm nor the number of coordinates.
    size, clip = 1_000_000, 0.02
    coarse = Grid(clip_range=4.0, parties=4, bits=16)
    fine = NoisedGrid(clip, size, 1.0, FOUR, bits=24)
    row = np.full(size, clip / math.sqrt(size))

    def apart(grid: Grid | NoisedGrid, how: Rounding, again: Rounding) -> float:
        # Between two grid points, or just below the middle of them.
        base = np.full(size, grid.step / 2.0 - row[0] / 2.0)
        one, _ = grid.encode_clamped(base, how)
        other, _ = grid.encode_clamped(base + row, again)
        bits = 16 if grid is coarse else 24
        return float(np.linalg.norm(integers(one, bits) - integers(other, bits))) * grid.step

    assert apart(coarse, rounding(1), rounding(1)) > 5.0 * clip
    assert apart(coarse, NEAREST, NEAREST) > 40.0 * clip
    for how, again in ((rounding(1), rounding(1)), (NEAREST, NEAREST)):
        assert apart(fine, how, again) <= fine.sensitivity * fine.step <= 1.016 * clip
    # Nor would the bound hold if the two had other numbers to round by: they are one outcome.
    assert apart(coarse, rounding(1), rounding(2)) > 20.0 * clip


@pytest.mark.parametrize("bits", [24, 32])
@pytest.mark.parametrize("shares", [FOUR, NoiseShares(2, 0, 1), NoiseShares(30, 9, 4)])
def test_the_range_is_all_that_the_ring_leaves(bits: Literal[24, 32], shares: NoiseShares) -> None:
    grid = NoisedGrid(1.0, 500, 1.5, shares, bits)
    reach = math.sqrt(shares.cohort * grid.local_variance)
    reach = math.ceil(reach * math.sqrt(2.0 * math.log(2.0 * 500 * 2.0**40)))
    half = 2 ** (bits - 1) - 1
    assert shares.cohort * grid.largest + reach <= half
    assert shares.cohort * (grid.largest + 1) + reach > half
    assert grid.largest > grid.clip / grid.step


def test_not_one_step_of_the_ring_is_left_unused() -> None:
    unused = set()
    for size in range(1, 60):
        grid = NoisedGrid(1.0, size, 2.0, FOUR, bits=24)
        reach = 2.0 * math.sqrt(grid.local_variance * 2.0 * math.log(2.0 * size * 2.0**40))
        unused.add(2**23 - 1 - math.ceil(reach) - 4 * grid.largest)
    assert unused == {0, 1, 2, 3}


def test_the_noise_is_what_the_multiplier_says_of_the_smallest_honest_sum() -> None:
    for shares in (FOUR, NoiseShares(2, 0, 1), NoiseShares(30, 9, 4)):
        grid = NoisedGrid(0.5, 777, 1.25, shares)
        least = math.sqrt(shares.counted * grid.local_variance)
        assert 1.25 <= least / grid.sensitivity < 1.25 * (1.0 + 1e-5)
        assert grid.local_deviation == math.sqrt(grid.local_variance)
        event = grid.event(0.3, 40)
        assert event == DistributedGaussian(1.25, 0.3, 40, 777, grid.local_deviation, shares.cohort)


def test_a_cohort_that_shrank_makes_every_share_larger() -> None:
    whole = NoisedGrid(1.0, 1000, 1.0, NoiseShares(10, 2, 1))
    shrunk = NoisedGrid(1.0, 1000, 1.0, NoiseShares(8, 2, 1))
    assert shrunk.local_variance == pytest.approx(whole.local_variance * 7.0 / 5.0, rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"clip": 0.0}, "clip"),
        ({"clip": math.inf}, "clip"),
        ({"clip": math.nan}, "clip"),
        ({"noise_multiplier": 0.0}, "noise multiplier"),
        ({"noise_multiplier": math.nan}, "noise multiplier"),
        ({"size": 0}, "vector"),
        ({"noise_multiplier": 0.2, "size": 1}, "grid steps"),
        ({"noise_multiplier": 1e4}, "wrap"),
        ({"size": 10**8}, "wrap"),
        ({"shares": NoiseShares(1000, 0, 999)}, "wrap"),
    ],
)
def test_a_grid_that_keeps_no_promise_is_refused(changes: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "clip": 1.0,
        "size": 10_000,
        "noise_multiplier": 1.0,
        "shares": FOUR,
        "bits": 24,
    }
    NoisedGrid(**good)
    with pytest.raises(ConfigError, match=words):
        NoisedGrid(**(good | changes))


def test_a_clipped_row_fits_or_the_grid_is_refused() -> None:
    # A coordinate of one row is at most C, and rounding adds less than a step. One site more, and
    # it might be cut: 1,016 x 8,193 steps and the noise are more than 2^23 - 1.
    assert NoisedGrid(1.0, 10_000, 1.0, NoiseShares(1015, 1, 1), bits=24).largest == 8193
    with pytest.raises(ConfigError, match="1016 sites x 8193 steps"):
        NoisedGrid(1.0, 10_000, 1.0, NoiseShares(1016, 1, 1), bits=24)


def test_what_is_not_of_the_grid_is_refused() -> None:
    grid = NoisedGrid(1.0, 100, 1.0, FOUR)
    with pytest.raises(ConfigError, match="another scale"):
        grid.encode_clamped(np.zeros(99), NEAREST)
    with pytest.raises(ConfigError, match="another scale"):
        grid.encode_clamped(np.zeros((1, 100)), NEAREST)
    with pytest.raises(ConfigError, match="not finite"):
        grid.encode_clamped(np.full(100, math.nan), NEAREST)
    total = np.zeros(100, np.uint32)
    for survivors in (2, 5):
        with pytest.raises(ConfigError, match="not noised for"):
            grid.decode_sum(total, survivors)
    for survivors in (3, 4):
        assert grid.decode_sum(total, survivors).tolist() == [0.0] * 100


def test_values_beyond_the_range_are_moved_to_its_ends_and_counted() -> None:
    grid = NoisedGrid(1.0, 4, 1.0, FOUR)
    end = grid.largest * grid.step
    encoded, clamped = grid.encode_clamped(np.array([2 * end, -2 * end, end, -end]), rounding(1))
    assert integers(encoded).tolist() == [grid.largest, -grid.largest] * 2
    assert clamped == 2
    total = integers(encoded) * 3
    assert grid.decode_sum(total.astype(np.uint32), 3).tolist() == (total * grid.step).tolist()


@pytest.mark.parametrize("bits", [24, 32])
def test_a_sum_that_honest_sites_cannot_reach_is_refused(bits: Literal[24, 32]) -> None:
    grid = NoisedGrid(1.0, 50, 1.0, FOUR, bits)
    spread = math.sqrt(3 * grid.local_variance) * math.sqrt(2.0 * math.log(100 * 2.0**40))
    limit = 3 * grid.largest + math.ceil(spread)
    total = np.zeros(50, np.int64)
    for sign in (1, -1):
        total[7] = sign * limit
        mask = 2**bits - 1
        decoded = grid.decode_sum((total & mask).astype(np.uint32), 3)
        assert decoded[7] == sign * limit * grid.step
        total[7] = sign * (limit + 1)
        with pytest.raises(PeerError, match="1 of 50 summed values"):
            grid.decode_sum((total & mask).astype(np.uint32), 3)


def test_noise_comes_from_the_system_unless_a_test_says_otherwise() -> None:
    grid = NoisedGrid(1.0, 10, 1.0, FOUR)
    require_system_discrete_noise(grid.noise())
    assert grid.noise().variance == grid.local_variance
    with pytest.raises(ConfigError, match="no privacy"):
        require_system_discrete_noise(grid.noise(counted_entropy("x")))


# -- a sum under masks -----------------------------------------------------------------------------


def counted_entropy(seed: str) -> Entropy:
    """Return a repeatable source for tests."""
    counter = itertools.count()

    def entropy(length_bytes: int) -> bytes:
        return hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(length_bytes)

    return entropy


def masked_sum(
    grid: NoisedGrid, values: dict[str, NDArray[np.float64]], dropped: set[str]
) -> NDArray[np.float64]:
    """Return what a coordinator reads of one round among the sites of `values`."""
    names, entropy = tuple(sorted(values)), counted_entropy("masked sum")
    session = Session(
        run_id=b"r" * 16,
        attempt=0,
        roster_digest=b"o" * 32,
        config_digest=b"c" * 32,
        suite=CipherSuite.X25519_HKDF_AES256CTR_Z32,
        adversary=Adversary.SEMI_HONEST,
        sites=names,
        threshold=grid.shares.smallest_survivors,
    )
    coordinator = MaskingCoordinator(session, first_round=0)
    sites = {name: MaskingSite.start(session, name, entropy) for name in names}
    for name in names:
        coordinator.accept_keys(sites[name].keys_for(0, entropy))
    keys = dict(coordinator.keys(0))
    for name in names:
        coordinator.accept_shares(name, 0, sites[name].shares_for(0, keys, entropy))
    binding = RoundBinding(0, b"h" * 32, names, b"p" * 32)
    coordinator.begin(binding, grid.size)
    for name in names:
        sites[name].open_round(binding, coordinator.inbox(name))
    for index, name in enumerate(sorted(set(names) - dropped)):
        vector, _ = grid.encode_clamped(values[name], rounding(index))
        masked = sites[name].mask(vector, grid.noise(entropy))
        coordinator.add(name, pack(masked, session.width_bits))
    survivors = coordinator.survivors()
    releases = {name: sites[name].release(survivors) for name in survivors}
    return grid.decode_sum(coordinator.unmask(releases), len(survivors))


@pytest.mark.parametrize("dropped", [set(), {"c"}])
def test_a_masked_sum_has_the_noise_that_was_charged_and_nothing_else(dropped: set[str]) -> None:
    size = 20_000
    z = calibrate_distributed(8.0, 1e-5, 0.2, 50, size=size, contributors=4)
    grid = NoisedGrid(1.0, size, z, FOUR)
    assert epsilon([grid.event(0.2, 50)], 1e-5) <= 8.0
    generator = np.random.default_rng(3)
    values = {name: generator.normal(size=size) for name in "abcd"}
    exact = sum(values[name] for name in sorted(set(values) - dropped))
    noise = (masked_sum(grid, values, dropped) - exact) / grid.step
    honest = 4 - len(dropped)
    # Stochastic rounding adds at most a quarter of a squared step per site.
    expected = math.sqrt(honest * (grid.local_variance + 0.25))
    assert stats.kstest(noise / expected, "norm").pvalue > 1e-9
    deviation = float(np.std(noise))
    assert deviation == pytest.approx(expected, rel=6.5 / math.sqrt(2.0 * size))
    # What one colluder knows is subtracted: the rest is what the multiplier promises.
    left = math.sqrt((honest - 1) * grid.local_variance)
    assert left >= z * grid.sensitivity


def test_a_grid_does_not_change_after_it_was_checked() -> None:
    with pytest.raises(AttributeError):
        NoisedGrid(1.0, 10, 1.0, FOUR).noise_multiplier = 0.1  # type: ignore[misc]
    assert (FINENESS, ARITHMETIC) == (64, 2.0**-12)
