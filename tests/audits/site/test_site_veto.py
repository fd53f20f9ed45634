"""The veto: its limits against the exact quantiles, its false alarms, and every seeded fault."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audits.site import veto
from audits.site.veto import (
    ALL,
    Check,
    CheckKind,
    Promise,
    examine,
    largest_sample,
    least_ratio,
    most_ratio,
    sample_of,
    significance_of,
)
from crypto.errors import ConfigError
from privacy.discrete_gaussian import InjectedDiscreteNoise

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SIZE = 600
CONTINUOUS = Promise(deviation=0.7, clip=1.0, units=400, rate=0.05, precision=2.0**-24)
DISCRETE = Promise(deviation=40.0, clip=32.0, units=1, grid=math.sqrt(SIZE))
LOOSE = 0.02
RUNS = 400
STRICT = significance_of(1000)


def kinds_refused(checks: tuple[Check, ...]) -> set[CheckKind]:
    return {check.kind for check in checks if not check.passed}


def noise_of(
    promise: Promise, rng: np.random.Generator, size: int = SIZE, factor: float = 1.0
) -> NDArray[np.float64]:
    """Noise of the promise's law: discrete where the unit is a step of a grid."""
    if promise.grid:
        variance = round((factor * promise.deviation) ** 2)
        return InjectedDiscreteNoise(variance, rng).draw(size).astype(np.float64)
    return rng.normal(0.0, factor * promise.deviation, size)


def signal_of(promise: Promise, rng: np.random.Generator, size: int = SIZE) -> NDArray[np.float64]:
    """One clipped signal in a random direction, of integers where the unit is a step."""
    direction = rng.normal(size=size)
    direction *= promise.clip / np.linalg.norm(direction)
    return np.trunc(direction) if promise.grid else direction


# -- limits against the exact ones -----------------------------------------------------------------


@pytest.mark.parametrize("size", [24, 100, 389, 1024, 100_000, 10_000_000])
@pytest.mark.parametrize("significance", [1e-3, 1e-9, STRICT])
def test_a_limit_lies_outside_of_the_exact_quantile_and_not_far(
    size: int, significance: float
) -> None:
    exact = float(stats.chi2.ppf(significance, size)) / size
    least = least_ratio(size, significance)
    assert least <= exact
    assert least == 0 or 1 - least < 1.25 * (1 - exact)
    exact = float(stats.chi2.isf(significance, size)) / size
    most = most_ratio(size, significance)
    assert exact <= most
    assert most - 1 < 1.45 * (exact - 1)


@pytest.mark.parametrize("size", [50, 400, 5000])
def test_both_limits_solve_the_bound_they_are_named_after(size: int) -> None:
    for ratio in (least_ratio(size, STRICT), most_ratio(size, STRICT)):
        bound = size / 2 * (math.log(ratio) + 1 - ratio)
        assert bound <= math.log(STRICT)
        assert bound == pytest.approx(math.log(STRICT), rel=1e-4)


@given(size=st.integers(24, 3000), signal=st.floats(0, 100), significance=st.floats(1e-12, 0.1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_under_any_signal_the_lower_limit_is_passed_more_seldom_than_said(
    size: int, signal: float, significance: float
) -> None:
    """The exact law of |x + Z|^2 / s^2, noncentral chi-square, with |x| / s = `signal`."""
    limit = least_ratio(size, significance) * size
    central = stats.chi2.cdf(limit, size)
    assert stats.ncx2.cdf(limit, size, signal**2) <= central * (1 + 1e-6) + 1e-13
    assert central <= significance
    # The upper limit allows for the signal's whole length.
    most = (signal + math.sqrt(most_ratio(size, significance) * size)) ** 2
    assert stats.ncx2.sf(most, size, signal**2) <= significance


def test_with_few_coordinates_there_is_no_lower_limit() -> None:
    assert least_ratio(23, STRICT) == 0.0
    assert least_ratio(24, STRICT) >= veto.LEAST_RATIO
    short = np.zeros(23)
    found = examine(short, CONTINUOUS, [sample_of(short)], STRICT)
    assert {check.kind for check in found} == {CheckKind.FINITE, CheckKind.SIZE}


def test_how_many_coordinates_show_noise_that_is_too_small_by_the_root_of_two() -> None:
    """What the docstring says of 1000 planned vectors."""
    assert least_ratio(388, STRICT) < 0.5 < least_ratio(389, STRICT)


@pytest.mark.parametrize("units", [0, 1, 7, 400, 20_000])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.6, 1.0])
def test_the_largest_sample_is_the_least_that_is_seldom_exceeded(units: int, rate: float) -> None:
    for significance in (0.04, 1e-6, STRICT):
        most = largest_sample(units, rate, significance)
        law = stats.binom(units, rate)
        assert law.sf(most) <= significance
        assert most == 0 or law.sf(most - 1) > significance


def test_the_tests_of_a_run_share_one_significance() -> None:
    assert significance_of(50) * 50 * (2 + veto.REMEMBERED) == pytest.approx(2.0**-40)
    assert significance_of(0) == significance_of(1)


# -- correct code ----------------------------------------------------------------------------------


@pytest.mark.parametrize("promise", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
@pytest.mark.parametrize("kind", [CheckKind.NOISE, CheckKind.SIZE, CheckKind.FRESH])
def test_without_a_signal_correct_noise_is_refused_no_more_often_than_said(
    promise: Promise, kind: CheckKind
) -> None:
    """Direct simulation at a loosened significance, where a refusal is not a rarity.

    Without signal and without room for one, both limits are approached as nearly as they can be.
    """
    rng = np.random.default_rng([7, len(kind.value), bool(promise.grid)])
    bare = replace(promise, units=0, grid=0.0)
    refused = 0
    for _ in range(RUNS):
        vector = noise_of(promise, rng)
        checks = examine(vector, bare, [np.zeros(SIZE)], LOOSE, {kind})
        refused += kind in kinds_refused(checks)
    assert refused <= stats.binom.isf(1e-6, RUNS, LOOSE)


@pytest.mark.parametrize("kind", [CheckKind.NOISE, CheckKind.SIZE])
def test_noise_of_another_size_is_refused_far_more_often(kind: CheckKind) -> None:
    """The simulation above can fail: with a seventh less, or more, it would."""
    rng = np.random.default_rng(3)
    bare = replace(CONTINUOUS, units=0)
    factor = 0.85 if kind is CheckKind.NOISE else 1.15
    refused = sum(
        kind
        in kinds_refused(examine(noise_of(CONTINUOUS, rng, factor=factor), bare, (), LOOSE, {kind}))
        for _ in range(100)
    )
    assert refused > 80


ADVERSARIES: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]]
ADVERSARIES = {
    "nothing": lambda honest, _: 0 * honest,
    "the largest clipped signal": lambda honest, _: honest,
    "cancels the noise that was seen before": lambda honest, before: (
        -before * min(1.0, float(np.linalg.norm(honest) / np.linalg.norm(before)))
    ),
    "repeats the vector that was seen before": lambda honest, before: (
        before * min(1.0, float(np.linalg.norm(honest) / np.linalg.norm(before)))
    ),
    "all on one coordinate": lambda honest, _: np.eye(1, honest.size)[0] * np.linalg.norm(honest),
}


@given(
    seed=st.integers(0, 2**20),
    adversary=st.sampled_from(sorted(ADVERSARIES)),
    promise=st.sampled_from([CONTINUOUS, DISCRETE]),
)
@settings(max_examples=120, deadline=None, derandomize=True)
def test_correct_noise_is_never_refused_whatever_the_records_are(
    seed: int, adversary: str, promise: Promise
) -> None:
    """At 1e-6 for each test, which 120 examples leave at 3e-4; the examples are always the same.

    The signal may depend on everything that was sent before, as parameters do.
    """
    rng = np.random.default_rng(seed)
    before = noise_of(promise, rng)
    signal = ADVERSARIES[adversary](signal_of(promise, rng), before)
    signal = np.trunc(signal) if promise.grid else signal
    vector = signal + noise_of(promise, rng)
    checks = examine(vector, promise, [sample_of(before)], 1e-6)
    assert {check.kind for check in checks} == ALL
    assert not kinds_refused(checks), checks


def test_a_limit_of_two_noises_would_refuse_a_signal_that_cancels_the_earlier_noise() -> None:
    """Why freshness is held against the noise of one vector, and not of the difference of two."""
    rng = np.random.default_rng(11)
    promise = replace(CONTINUOUS, clip=100.0, units=1, rate=1.0)
    before = noise_of(promise, rng)
    vector = before + noise_of(promise, rng)  # the signal repeats what was seen, within the clip
    (fresh,) = (
        check
        for check in examine(vector, promise, [sample_of(before)], 1e-6)
        if check.kind is CheckKind.FRESH
    )
    assert fresh.passed
    assert fresh.statistic < math.sqrt(2 * least_ratio(SIZE, 1e-6))


# -- faults ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("promise", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_a_sum_without_noise_is_refused(promise: Promise) -> None:
    rng = np.random.default_rng(1)
    found = examine(signal_of(promise, rng), promise, (), STRICT)
    assert kinds_refused(found) == {CheckKind.NOISE}
    assert examine(np.zeros(SIZE), promise, (), STRICT)[1].margin == 0.0


@pytest.mark.parametrize("promise", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_noise_that_is_too_small_by_the_root_of_two_is_refused(promise: Promise) -> None:
    """On 2000 coordinates; at 600 half of such noise passes, and what does not pass is below."""
    rng = np.random.default_rng(2)
    size = 2000
    wide = replace(promise, grid=promise.grid and math.sqrt(size))
    vector = signal_of(wide, rng, size) + noise_of(wide, rng, size, 0.5**0.5)
    assert kinds_refused(examine(vector, wide, (), STRICT)) == {CheckKind.NOISE}


@pytest.mark.parametrize(("size", "factor"), [(60, 0.15), (200, 0.45), (389, 0.6), (5000, 0.85)])
def test_what_is_noticed_follows_from_the_number_of_coordinates(size: int, factor: float) -> None:
    rng = np.random.default_rng(5)
    narrow = noise_of(CONTINUOUS, rng, size, factor)
    assert kinds_refused(examine(narrow, CONTINUOUS, (), STRICT)) == {CheckKind.NOISE}
    # A little nearer to what is promised, nothing is noticed: the limit is where it has to be.
    hardly = noise_of(CONTINUOUS, rng, size, 1.25 * math.sqrt(least_ratio(size, STRICT)))
    assert not kinds_refused(examine(hardly, CONTINUOUS, (), STRICT))


@pytest.mark.parametrize("promise", [CONTINUOUS, DISCRETE], ids=["continuous", "discrete"])
def test_noise_that_was_used_before_is_refused(promise: Promise) -> None:
    rng = np.random.default_rng(4)
    noise = noise_of(promise, rng)
    one, two = (signal_of(promise, rng) + noise for _ in range(2))
    strangers = [sample_of(noise_of(promise, rng)) for _ in range(3)]
    again = examine(two, promise, [*strangers, sample_of(one)], STRICT)
    assert kinds_refused(again) == {CheckKind.FRESH}
    assert sum(not check.passed for check in again) == 1
    assert not kinds_refused(examine(two, promise, strangers, STRICT))


def test_a_sample_of_another_length_is_not_compared() -> None:
    vector = noise_of(CONTINUOUS, np.random.default_rng(6))
    assert not kinds_refused(examine(vector, CONTINUOUS, [vector[:300]], STRICT))


def test_a_signal_that_was_not_clipped_is_refused() -> None:
    rng = np.random.default_rng(8)
    for promise in (CONTINUOUS, DISCRETE):
        blown = 200 * signal_of(promise, rng) + noise_of(promise, rng)
        assert kinds_refused(examine(blown, promise, (), STRICT)) == {CheckKind.SIZE}


def test_a_signal_that_was_not_clipped_is_noticed_from_the_length_that_is_said_on() -> None:
    """|x|^2 of about 12 s^2 sqrt(d) + 2 L s sqrt(d), of the docstring, for one unit."""
    rng = np.random.default_rng(9)
    promise = replace(CONTINUOUS, units=1, rate=1.0)
    s, d = promise.deviation, 20_000
    length = math.sqrt(12 * s**2 * math.sqrt(d) + 2 * promise.clip * s * math.sqrt(d))
    for factor, refused in ((1.4, {CheckKind.SIZE}), (0.6, set())):
        vector = factor * length * signal_of(promise, rng, d) + noise_of(promise, rng, d)
        assert kinds_refused(examine(vector, promise, (), STRICT)) == refused


def test_noise_that_is_too_large_is_refused() -> None:
    rng = np.random.default_rng(10)
    promise = replace(CONTINUOUS, units=1, rate=1.0)
    vector = noise_of(promise, rng, 20_000, 1.5)
    assert kinds_refused(examine(vector, promise, (), STRICT)) == {CheckKind.SIZE}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused_whatever_was_asked_for(value: float) -> None:
    vector = noise_of(CONTINUOUS, np.random.default_rng(12))
    vector[17] = value
    for kinds in (ALL, frozenset[CheckKind]()):
        (found,) = examine(vector, CONTINUOUS, (), STRICT, kinds)
        assert (found.kind, found.statistic, found.passed) == (CheckKind.FINITE, 1.0, False)


# -- edges -----------------------------------------------------------------------------------------


def test_nothing_is_tested_that_was_not_asked_for() -> None:
    vector = np.zeros(SIZE)
    assert not kinds_refused(examine(vector, CONTINUOUS, (), STRICT, {CheckKind.SIZE}))
    assert not kinds_refused(examine(1e9 + vector, CONTINUOUS, (), STRICT, {CheckKind.NOISE}))
    assert not kinds_refused(examine(vector, CONTINUOUS, [vector], STRICT, ()))


def test_a_vector_without_coordinates_has_no_checks() -> None:
    assert examine(np.zeros(0), CONTINUOUS, (), STRICT) == ()


def test_rounding_is_counted_for_the_vector() -> None:
    """bfloat16 keeps 8 bits: what it can have taken away does not make a vector too short."""
    size = 1_000_000
    least = math.sqrt(least_ratio(size, STRICT))
    vector = np.full(size, 0.999 * least * CONTINUOUS.deviation)
    coarse = replace(CONTINUOUS, precision=2.0**-8)
    assert kinds_refused(examine(vector, CONTINUOUS, (), STRICT)) == {CheckKind.NOISE}
    assert not kinds_refused(examine(vector, coarse, (), STRICT))


def test_a_sample_is_spread_evenly_over_the_vector() -> None:
    assert sample_of(np.arange(10.0)).tolist() == list(range(10))
    many = sample_of(np.arange(1e6))
    assert many.shape == (veto.SAMPLED,)
    assert set(np.diff(many)) <= {976.0, 977.0}
    assert many[-1] > 0.998e6
    assert sample_of(np.zeros(0)).size == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"deviation": 0.0},
        {"deviation": math.nan},
        {"clip": -1.0},
        {"clip": math.inf},
        {"units": -1},
        {"rate": 0.0},
        {"rate": 1.5},
        {"grid": -1.0},
        {"precision": -1.0},
    ],
)
def test_numbers_that_are_no_promise_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="no promise that a vector can be held against"):
        replace(CONTINUOUS, **wrong)
