from __future__ import annotations

import math
import os

import numpy as np
import pytest
from scipy import stats

from crypto.errors import ConfigError
from crypto.keystream import KeyStream
from crypto.secrets import SecretBytes, system_entropy
from privacy import noise as noise_module
from privacy.noise import InjectedNoise, NoiseSource, SystemNoise, require_system_noise
from privacy.streams import uniform_integers

COUNT = 200_000
ALARM = 1e-6  # the rate at which a right source fails one of these tests


class CountedEntropy:
    """Distinct, repeatable keys, and a record of how many were asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, length_bytes: int) -> bytes:
        self.calls += 1
        return self.calls.to_bytes(length_bytes, "little")


def looks_gaussian(draws: np.ndarray, standard_deviation: float) -> bool:
    """Kolmogorov-Smirnov and chi-square of the variance, each at half the alarm rate."""
    scaled = draws / standard_deviation
    shape = stats.kstest(scaled, "norm").pvalue
    tail = stats.chi2.cdf((scaled**2).sum(), df=len(scaled))
    return bool(shape > ALARM / 2 and ALARM / 4 < tail < 1 - ALARM / 4)


@pytest.mark.parametrize("count", [COUNT, COUNT - 1])
def test_system_noise_is_gaussian_of_the_right_scale(count: int) -> None:
    draws = SystemNoise(CountedEntropy()).gaussian(count, 2.5)
    assert draws.shape == (count,)
    assert draws.dtype == np.float64
    assert looks_gaussian(draws, 2.5)


@pytest.mark.parametrize("wrong", [2.5 * 1.02, 2.5 * 0.98, 2.5**2])
def test_a_wrong_sigma_is_rejected_by_the_same_test(wrong: float) -> None:
    draws = SystemNoise(CountedEntropy()).gaussian(COUNT, 2.5)
    assert not looks_gaussian(draws, wrong)


def test_the_two_halves_of_a_pair_are_independent() -> None:
    draws = SystemNoise(CountedEntropy()).gaussian(2**16, 1.0)
    first, second = draws[: 2**15], draws[2**15 :]
    for one, two in ((first, second), (first**2, second**2), (draws[1:], draws[:-1])):
        correlation = np.corrcoef(one, two)[0, 1]
        assert abs(correlation) * math.sqrt(len(one)) < 5


@pytest.mark.parametrize("count", [9, 10])
def test_it_agrees_with_a_scalar_twin(count: int) -> None:
    stream = KeyStream(SecretBytes((1).to_bytes(32, "little")))
    words = [int(w) >> 11 for w in stream.uint64(10)]
    radius = [math.sqrt(-2 * math.log((u + 1) / 2**53)) for u in words[:5]]
    angle = [2 * math.pi * v / 2**53 for v in words[5:]]
    cosines = [r * math.cos(a) for r, a in zip(radius, angle, strict=True)]
    sines = [r * math.sin(a) for r, a in zip(radius, angle, strict=True)]
    draws = SystemNoise(CountedEntropy()).gaussian(count, 1.0)
    assert draws == pytest.approx((cosines + sines)[:count], rel=1e-12, abs=1e-12)


def test_injected_noise_is_the_generators_own_times_the_deviation() -> None:
    drawn = InjectedNoise(np.random.default_rng(5)).gaussian(4, 2.5)
    assert np.array_equal(drawn, np.random.default_rng(5).standard_normal(4) * 2.5)


def test_a_uniform_number_of_zero_gives_a_finite_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    def zeros(_: KeyStream, count: int) -> np.ndarray:
        return np.zeros(count, np.uint64)

    monkeypatch.setattr(noise_module, "uniform_integers", zeros)
    draws = SystemNoise().gaussian(2, 1.0)
    assert np.isfinite(draws).all()
    assert abs(draws).max() == pytest.approx(math.sqrt(2 * 53 * math.log(2)))
    with np.errstate(divide="ignore"):  # without the one that is added
        assert np.isinf(np.log(zeros(KeyStream(SecretBytes(bytes(32))), 2) * 2.0**-53)).all()


def test_every_call_has_a_key_of_its_own() -> None:
    entropy = CountedEntropy()
    source = SystemNoise(entropy)
    first, second = source.gaussian(100, 1.0), source.gaussian(100, 1.0)
    assert entropy.calls == 2
    assert not np.isclose(first, second).any()

    # Without it, the difference of two steps would show the gradients bare.
    def same(length_bytes: int) -> bytes:
        return bytes(length_bytes)

    repeating = SystemNoise(same)
    assert np.array_equal(repeating.gaussian(100, 1.0), repeating.gaussian(100, 1.0))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_process_draws_other_noise() -> None:
    assert not in_child_as_in_parent(SystemNoise())
    assert in_child_as_in_parent(InjectedNoise(np.random.default_rng(0)))


def in_child_as_in_parent(source: NoiseSource) -> bool:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, source.gaussian(8, 1.0).tobytes())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 64)
    os.close(reading)
    os.close(writing)
    return theirs == source.gaussian(8, 1.0).tobytes()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_noise_that_hides_nothing_is_refused(bad: float) -> None:
    for source in (SystemNoise(), InjectedNoise(np.random.default_rng(0))):
        with pytest.raises(ConfigError, match="hides nothing"):
            source.gaussian(3, bad)


def test_a_deployed_site_takes_the_systems_generator_only() -> None:
    require_system_noise(SystemNoise())
    require_system_noise(SystemNoise(system_entropy))

    class Look:
        is_the_systems = True

        def gaussian(self, count: int, standard_deviation: float) -> np.ndarray:
            return np.zeros(count) * standard_deviation

    for source in (InjectedNoise(np.random.default_rng(0)), SystemNoise(CountedEntropy()), Look()):
        with pytest.raises(ConfigError, match="can be repeated"):
            require_system_noise(source)


def test_a_runs_seed_does_not_reach_the_noise() -> None:
    np.random.seed(0)  # noqa: NPY002 - the global generator is what a run's seed would set
    first = SystemNoise().gaussian(4, 1.0)
    np.random.seed(0)  # noqa: NPY002 - as above
    assert not np.array_equal(first, SystemNoise().gaussian(4, 1.0))


def test_uniform_integers_fill_53_bits_evenly() -> None:
    integers = uniform_integers(KeyStream(SecretBytes(bytes(32))), 100_000)
    assert integers.dtype == np.uint64
    assert int(integers.max()) < 2**53
    ones = (integers[:, None] >> np.arange(53, dtype=np.uint64)) & np.uint64(1)
    assert np.abs(ones.mean(0) - 0.5).max() < 5.5 * 0.5 / math.sqrt(100_000)
