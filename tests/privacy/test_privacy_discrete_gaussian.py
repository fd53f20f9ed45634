"""The discrete Gaussian: its law, its exactness to the last bit, and where its words come from."""

from __future__ import annotations

import itertools
import math
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from crypto.errors import ConfigError
from crypto.keystream import KeyStream
from crypto.secrets import SecretBytes
from privacy import discrete_gaussian
from privacy.discrete_gaussian import (
    LARGEST_VARIANCE,
    SMALLEST_VARIANCE,
    DiscreteGaussian,
    InjectedDiscreteNoise,
    SystemDiscreteNoise,
    require_system_discrete_noise,
)
from privacy.exact_exponential import exp_bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

DRAWS = 250_000
FALSE_ALARM = 1e-9


def stream(seed: int) -> KeyStream:
    return KeyStream(SecretBytes(seed.to_bytes(32, "little")))


# -- the law ---------------------------------------------------------------------------------------


def p_value(draws: NDArray[np.int64], sigma: float) -> float:
    """Return the p-value of a chi-square test of `draws` against N_Z(0, sigma^2).

    The cells are single integers where sigma is small, and else some hundred of equal width; both
    tails beyond an expectation of 20 are cells of their own.
    """
    reach = math.ceil(12.0 * sigma) + 1
    points = np.arange(-reach, reach + 1, dtype=np.float64)
    weights = np.exp(-(points**2) / (2.0 * sigma**2))
    cumulative = np.cumsum(weights) / math.fsum(weights)
    width = max(1, round(sigma / 10.0))
    edges = np.arange(-reach, reach + 1, width)  # cells (edge, next edge]
    below = cumulative[edges + reach]
    usable = (below * draws.size > 20.0) & ((1.0 - below) * draws.size > 20.0)
    edges, below = edges[usable], below[usable]
    expected = np.diff(np.concatenate(([0.0], below, [1.0]))) * draws.size
    cells = np.searchsorted(edges, draws, side="left")
    observed = np.bincount(cells, minlength=edges.size + 1)
    return float(stats.chisquare(observed, expected).pvalue)


SIGMAS = [0.3, 0.5, 0.9, 1.0, 2.7, 7.9, 8.0, 15.9, 16.0, 33.3, 1000.0, 123_456.7]


@pytest.mark.parametrize("sigma", SIGMAS)
def test_draws_have_the_law_that_is_asked_for(sigma: float) -> None:
    draws = DiscreteGaussian(sigma**2).sample(stream(1), DRAWS)
    assert draws.dtype == np.int64
    assert draws.shape == (DRAWS,)
    assert p_value(draws, sigma) > FALSE_ALARM


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("factor", [0.95, 1.05])
def test_a_sigma_that_is_five_per_cent_off_is_found(sigma: float, factor: float) -> None:
    draws = DiscreteGaussian((factor * sigma) ** 2).sample(stream(1), DRAWS)
    assert p_value(draws, sigma) < FALSE_ALARM


@pytest.mark.parametrize("sigma", [1.0, 16.0, 50.0, 1e6])
def test_moments_and_both_tails_are_those_of_the_law(sigma: float) -> None:
    draws = DiscreteGaussian(sigma**2).sample(stream(2), DRAWS) / sigma
    error = 6.5 / math.sqrt(DRAWS)
    assert abs(np.mean(draws)) < error
    assert abs(np.mean(draws**2) - 1.0) < error * math.sqrt(2.0)
    assert abs(np.mean(draws**3)) < error * math.sqrt(15.0)
    assert abs(np.mean(draws**4) - 3.0) < error * math.sqrt(96.0)
    points = np.arange(-12 * math.ceil(sigma), 12 * math.ceil(sigma) + 1)
    weights = np.exp(-((points / sigma) ** 2) / 2.0) if sigma < 1e3 else None
    for limit in (1.5, 2.5, 3.5):
        if weights is None:
            tail = float(stats.norm.sf(limit))
        else:
            tail = float(weights[points > limit * sigma].sum() / weights.sum())
        spread = 6.5 * math.sqrt(tail * DRAWS)
        assert abs(np.count_nonzero(draws > limit) - tail * DRAWS) < spread
        assert abs(np.count_nonzero(draws < -limit) - tail * DRAWS) < spread


def test_neighbouring_draws_have_nothing_in_common() -> None:
    draws = DiscreteGaussian(Fraction(10**6)).sample(stream(3), DRAWS) / 1000.0
    for lag in (1, 2, 3, 1 << 15):
        assert abs(np.mean(draws[lag:] * draws[:-lag])) < 6.5 / math.sqrt(DRAWS - lag)
        same_size = np.mean((draws[lag:] ** 2 - 1.0) * (draws[:-lag] ** 2 - 1.0))
        assert abs(same_size) < 6.5 * 2.0 / math.sqrt(DRAWS - lag)


# -- exactness -------------------------------------------------------------------------------------


def exponential(x: Fraction, digits: int) -> Decimal:
    with localcontext() as context:
        context.prec = digits + 30
        return (-(Decimal(x.numerator) / Decimal(x.denominator))).exp()


class NaiveTwin:
    """The same algorithm, one number at a time, every decision with 100 decimal digits."""

    def __init__(self, variance: Fraction) -> None:
        self.variance = variance
        self.block = 1
        while 16 * self.block <= math.sqrt(variance):
            self.block *= 2
        weights = []
        for v in itertools.count():
            weights.append(exponential((v * self.block) ** 2 / (2 * variance), 100))
            if weights[-1] < Decimal(10) ** -90:
                break
        with localcontext() as context:
            context.prec = 130
            total = sum(weights)
            self.cumulative = [sum(weights[: v + 1]) / total for v in range(len(weights))]

    def sample(self, words: KeyStream, count: int) -> list[int]:
        draws: list[int] = []
        while len(draws) < count:
            missing = count - len(draws)
            proposals = min(missing + missing // 8 + 16, 1 << 15)
            first = [Decimal(int(w)) for w in words.uint64(proposals)]
            second = [int(w) for w in words.uint32(proposals)]
            third = [Decimal(0)] * proposals
            if self.block > 1:
                third = [Decimal(int(w)) for w in words.uint64(proposals)]
            for inversion, bits, acceptance in zip(first, second, third, strict=True):
                with localcontext() as context:
                    context.prec = 130
                    uniform, other = inversion / 2**64, acceptance / 2**64
                    v = next(i for i, below in enumerate(self.cumulative) if uniform < below)
                    x = v * self.block + bits % self.block
                    exponent = (x**2 - (v * self.block) ** 2) / (2 * self.variance)
                    accepted = other < exponential(exponent, 100)
                negative = bits >= 2**31
                if accepted and not (negative and x == 0):
                    draws.append(-x if negative else x)
        return draws[:count]


VARIANCES = [
    Fraction(1, 16),
    Fraction(1, 3),
    Fraction(2),
    Fraction(1000, 7),
    Fraction(256),
    Fraction(257),
    Fraction(10**6, 3),
    Fraction(987_654.321),
    Fraction(2**40) + Fraction(1, 2**20),
    LARGEST_VARIANCE,
]


@pytest.mark.parametrize("variance", VARIANCES)
def test_every_draw_is_the_one_of_real_numbers(variance: Fraction) -> None:
    drawn = DiscreteGaussian(variance).sample(stream(4), 500)
    assert drawn.tolist() == NaiveTwin(variance).sample(stream(4), 500)


@pytest.mark.parametrize("variance", VARIANCES)
def test_decisions_made_with_integers_are_the_same(
    variance: Fraction, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = DiscreteGaussian(variance).sample(stream(5), 3000)
    monkeypatch.setattr(discrete_gaussian, "MARGIN", 2.0)
    np.testing.assert_array_equal(DiscreteGaussian(variance).sample(stream(5), 3000), usual)


@pytest.mark.parametrize("exponent", [0.0, 1e-12, 0.1, 0.7, 1.0, 1.2, 1.999, 2.0])
def test_the_exponential_in_float64_is_far_better_than_the_margin(exponent: float) -> None:
    computed = Fraction(float(discrete_gaussian._exp(np.array([exponent]))[0]))
    low, high = exp_bounds(Fraction(exponent), 200)
    error = max(abs(computed - Fraction(low, 2**200)), abs(computed - Fraction(high, 2**200)))
    assert error < Fraction(discrete_gaussian.MARGIN) / 2**4


def test_no_usual_block_needs_an_exponential_beyond_its_range() -> None:
    for variance in [*VARIANCES, *(Fraction(4) ** k for k in range(4, 30))]:
        law = DiscreteGaussian(variance)
        block, last = law._block, law._thresholds.size - 1
        largest = (block - 1) * (block - 1 + 2 * last * block) / (2 * variance)
        assert largest < 2
        assert (block - 1) * (block - 1 + 2 * (last + 200) * block) < 2**63
        assert block == 1 or Fraction(1, 256) < block**2 / variance <= Fraction(1, 64)
        assert block > 1 or variance < 256


class ScriptedWords:
    """Words that a test wrote down."""

    def __init__(self, *words: int) -> None:
        self._words: Iterator[int] = iter(words)

    def uint32(self, count: int) -> NDArray[np.uint32]:
        return np.array([next(self._words) for _ in range(count)], np.uint32)

    def uint64(self, count: int) -> NDArray[np.uint64]:
        return np.array([next(self._words) for _ in range(count)], np.uint64)


@pytest.mark.parametrize("block", [0, 1, 5, 40])
def test_a_word_at_a_threshold_is_decided_by_the_bits_after_it(block: int) -> None:
    law = DiscreteGaussian(Fraction(1000))
    threshold = int(law._thresholds[block])
    zeros, ones = 0, 2**64 - 1
    assert law._blocks(ScriptedWords(threshold, zeros), 1).tolist() == [block]
    assert law._blocks(ScriptedWords(threshold, ones), 1).tolist() == [block + 1]
    assert law._blocks(ScriptedWords(threshold - 1), 1).tolist() == [block]
    assert law._blocks(ScriptedWords(threshold + 1), 1).tolist() == [block + 1]
    # The bits that decide are those of the threshold itself: word for word.
    low, high = law._cumulative(256)[block]
    assert high - low < 2**10
    second = low >> 128 & ones
    assert law._blocks(ScriptedWords(threshold, second - 1), 1).tolist() == [block]
    assert law._blocks(ScriptedWords(threshold, second + 1), 1).tolist() == [block + 1]
    assert law._blocks(ScriptedWords(threshold, second, zeros), 1).tolist() == [block]
    assert law._blocks(ScriptedWords(threshold, second, ones), 1).tolist() == [block + 1]


def test_the_far_tail_is_there() -> None:
    law = DiscreteGaussian(Fraction(1000))
    last, ones = law._thresholds.size - 1, 2**64 - 1
    assert int(law._thresholds[last]) == ones
    near = int(law._blocks(ScriptedWords(ones, 0), 1)[0])
    far = int(law._blocks(ScriptedWords(ones, ones, 0), 1)[0])
    further = int(law._blocks(ScriptedWords(ones, ones, ones, 0), 1)[0])
    assert last <= near < far < further
    # Beyond 64 bits, P(V > v) is about 2^-64: the Gaussian's tail, not a cut one.
    for block, bits in ((far, 128), (further, 192)):
        assert 0.9 * bits < (block * law._block) ** 2 / 2000 / math.log(2.0) < 1.1 * bits


def test_a_word_at_an_exponential_is_decided_by_the_bits_after_it() -> None:
    exponent = Fraction(1, 3)
    low, _ = exp_bounds(exponent, 64)
    ones = 2**64 - 1
    decide = discrete_gaussian._is_below_exp
    assert decide(low - 1, exponent, ScriptedWords())
    assert not decide(low + 1, exponent, ScriptedWords())
    assert decide(low, exponent, ScriptedWords(0))
    assert not decide(low, exponent, ScriptedWords(ones))
    second = exp_bounds(exponent, 128)[0] & ones
    assert decide(low, exponent, ScriptedWords(second, 0))
    assert not decide(low, exponent, ScriptedWords(second, ones))
    assert decide(ones, Fraction(0), ScriptedWords())


def test_a_block_beyond_the_table_is_accepted_by_integers() -> None:
    law = DiscreteGaussian(Fraction(2**20))
    product = 4 * 2**20  # an exponent of 2, and above it
    for n in (product, product + 1, 3 * product):
        low, _ = exp_bounds(Fraction(n, 2**21), 64)
        assert law._accepted(ScriptedWords(low - 2), np.array([n])).tolist() == [True]
        assert law._accepted(ScriptedWords(low + 2), np.array([n])).tolist() == [False]


def test_thresholds_are_those_of_the_law() -> None:
    for variance in (Fraction(1, 16), Fraction(9, 2), Fraction(5000)):
        law, twin = DiscreteGaussian(variance), NaiveTwin(variance)
        with localcontext() as context:
            context.prec = 130
            floors = [int(below * 2**64) for below in twin.cumulative]
        last = law._thresholds.size - 1
        assert law._thresholds.tolist() == floors[: last + 1]
        assert floors[last] == 2**64 - 1 > floors[last - 1]


def test_a_table_that_is_not_certain_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = DiscreteGaussian(Fraction(300))._thresholds
    asked = []
    exact: Callable[[DiscreteGaussian, int], list[tuple[int, int]]] = DiscreteGaussian._cumulative

    def blurred(law: DiscreteGaussian, bits: int) -> list[tuple[int, int]]:
        asked.append(bits)
        blur = 0 if bits > 192 else 1 << 130
        return [(low - blur, high) for low, high in exact(law, bits)]

    monkeypatch.setattr(DiscreteGaussian, "_cumulative", blurred)
    np.testing.assert_array_equal(DiscreteGaussian(Fraction(300))._thresholds, usual)
    assert asked == [192, 384]


# -- where the words come from ---------------------------------------------------------------------


def test_every_call_draws_a_key_of_its_own() -> None:
    keys = []

    def entropy(count: int) -> bytes:
        keys.append(count)
        return len(keys).to_bytes(count, "little")

    noise = SystemDiscreteNoise(Fraction(10**6), entropy)
    first, second = noise.draw(1000), noise.draw(1000)
    assert keys == [32, 32]
    assert np.count_nonzero(first == second) < 20
    expected = DiscreteGaussian(Fraction(10**6)).sample(stream(1), 1000)
    np.testing.assert_array_equal(first, expected)


def test_the_systems_noise_does_not_repeat() -> None:
    noise = SystemDiscreteNoise(1e6)
    assert noise.variance == 10**6
    assert np.count_nonzero(noise.draw(1000) == noise.draw(1000)) < 20
    other = SystemDiscreteNoise(1e6)
    assert np.count_nonzero(noise.draw(1000) == other.draw(1000)) < 20
    assert noise.draw(0).shape == (0,)
    assert noise.draw(0).dtype == np.int64


def test_injected_noise_repeats_and_is_refused_where_it_matters() -> None:
    one = InjectedDiscreteNoise(Fraction(300), np.random.default_rng(1))
    same = InjectedDiscreteNoise(Fraction(300), np.random.default_rng(1))
    draws = one.draw(DRAWS)
    np.testing.assert_array_equal(draws, same.draw(DRAWS))
    assert p_value(draws, math.sqrt(300.0)) > FALSE_ALARM
    assert np.count_nonzero(one.draw(1000) == draws[:1000]) < 200
    require_system_discrete_noise(SystemDiscreteNoise(300.0))
    for source in (one, SystemDiscreteNoise(300.0, entropy=bytes)):
        with pytest.raises(ConfigError, match="no privacy"):
            require_system_discrete_noise(source)


@pytest.mark.parametrize(
    "variance", [0.0, -1.0, math.inf, math.nan, 2.0**58 + 2.0**10, Fraction(1, 17)]
)
def test_a_variance_that_is_not_on_offer_is_refused(variance: Fraction | float) -> None:
    with pytest.raises(ConfigError, match="variance"):
        DiscreteGaussian(variance)
    with pytest.raises(ConfigError, match="variance"):
        SystemDiscreteNoise(variance)


def test_the_largest_and_smallest_variances_are_on_offer() -> None:
    for variance in (SMALLEST_VARIANCE, LARGEST_VARIANCE):
        assert DiscreteGaussian(variance).variance == variance


@pytest.mark.parametrize("count", [0, 1, 2, 17, (1 << 15) - 1, (1 << 15) + 1, 100_000])
def test_as_many_come_as_were_asked_for(count: int) -> None:
    for variance in (Fraction(1, 16), Fraction(500)):
        assert DiscreteGaussian(variance).sample(stream(6), count).shape == (count,)
