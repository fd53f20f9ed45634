"""Sigma, steps and epsilon, each from the others, for one site's noise and for shared noise."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import ConfigError
from privacy.accounting import (
    SIGMA_TOLERANCE,
    Claim,
    Method,
    approximate_epsilon,
    calibrate_distributed,
    calibrate_distributed_steps,
    calibrate_sigma,
    calibrate_steps,
    claim,
    epsilon,
    rdp_epsilon,
)
from privacy.accounting_search import most_steps
from privacy.events import (
    LARGEST_STEPS,
    DistributedGaussian,
    NoGuarantee,
    Relation,
    SubsampledGaussian,
)
from privacy.opacus_prv import prv_epsilon
from privacy.renyi import renyi_epsilon

DELTA = 1e-5
SHARED = DistributedGaussian(3.0, 0.3, 50, size=1000, local_sigma=500.0, contributors=4)


@pytest.mark.parametrize(
    ("target", "sigma", "rate"),
    [(8.0, 1.1, 0.1), (1.0, 5.0, 0.3), (3.0, 2.0, 1.0), (0.05, 20.0, 0.01), (8.0, 1.0, 0.005)],
)
def test_calibrated_steps_meet_their_target_and_one_more_would_not(
    target: float, sigma: float, rate: float
) -> None:
    started = time.process_time()
    steps = calibrate_steps(target, DELTA, sigma, rate)
    assert time.process_time() - started < 10.0
    assert epsilon([SubsampledGaussian(sigma, rate, steps)], DELTA) <= target
    assert epsilon([SubsampledGaussian(sigma, rate, steps + 1)], DELTA) > target


def test_steps_come_back_from_the_sigma_that_was_calibrated_to_them() -> None:
    sigma = calibrate_sigma(4.0, DELTA, 0.2, 60)
    assert calibrate_steps(4.0, DELTA, sigma, 0.2) == 60


def test_replacing_allows_fewer_steps() -> None:
    event = SubsampledGaussian(4.0, 0.3, 1)
    steps = calibrate_steps(2.0, DELTA, 4.0, 0.3, relation=Relation.REPLACE_ONE)
    assert steps < calibrate_steps(2.0, DELTA, 4.0, 0.3)
    for count, meets in ((steps, True), (steps + 1, False)):
        reached = epsilon([replace(event, steps=count)], DELTA, relation=Relation.REPLACE_ONE)
        assert (reached <= 2.0) is meets


@pytest.mark.parametrize(
    ("target", "rate", "steps", "relation"),
    [
        (8.0, 0.5, 100, Relation.ADD_REMOVE),
        (1.0, 0.1, 200, Relation.ADD_REMOVE),
        (3.0, 1.0, 20, Relation.ZERO_OUT),
        (3.0, 1.0, 20, Relation.REPLACE_ONE),
        (0.1, 0.01, 1, Relation.REPLACE_ONE),
    ],
)
def test_shared_noise_meets_its_target_and_hardly_less_would(
    target: float, rate: float, steps: int, relation: Relation
) -> None:
    started = time.process_time()
    z = calibrate_distributed(
        target, DELTA, rate, steps, size=10**6, contributors=100, relation=relation
    )
    assert time.process_time() - started < 5.0
    event = DistributedGaussian(z, rate, steps, 10**6, 700.0, 100)
    assert epsilon([event], DELTA, relation=relation) <= target
    less = replace(event, noise_multiplier=z * (1.0 - SIGMA_TOLERANCE))
    assert epsilon([less], DELTA, relation=relation) > target
    assert calibrate_distributed_steps(target, DELTA, event, relation=relation) >= steps
    if steps > 1:
        assert calibrate_distributed_steps(target, DELTA, less, relation=relation) < steps


def test_shared_steps_meet_their_target_and_one_more_would_not() -> None:
    steps = calibrate_distributed_steps(8.0, DELTA, SHARED)
    assert epsilon([replace(SHARED, steps=steps)], DELTA) <= 8.0
    assert epsilon([replace(SHARED, steps=steps + 1)], DELTA) > 8.0


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.integers(min_value=1, max_value=LARGEST_STEPS),
    st.integers(min_value=1, max_value=LARGEST_STEPS),
    st.floats(min_value=0.2, max_value=3.0),
)
def test_the_search_over_steps_finds_the_last_that_meets(
    answer: int, start: int, power: float
) -> None:
    calls = 0

    def bound(steps: int) -> float:
        nonlocal calls
        calls += 1
        assert 1 <= steps <= LARGEST_STEPS
        return 5.0 * float(steps / (answer + 0.5)) ** power

    assert most_steps(bound, 5.0, start) == answer
    assert calls < 120


def test_the_search_over_steps_ends_at_both_ends() -> None:
    assert most_steps(lambda _: 0.0, 1.0, 1) == LARGEST_STEPS
    assert most_steps(lambda _: 0.0, 1.0, LARGEST_STEPS) == LARGEST_STEPS
    for start in (1, 1000, LARGEST_STEPS):
        with pytest.raises(ConfigError, match="One step alone"):
            most_steps(lambda _: math.inf, 1.0, start)


def test_one_step_that_costs_too_much_is_refused() -> None:
    with pytest.raises(ConfigError, match="One step alone"):
        calibrate_steps(1.0, DELTA, 1.0, 1.0)
    with pytest.raises(ConfigError, match="One step alone"):
        calibrate_distributed_steps(0.5, DELTA, replace(SHARED, sampling_rate=1.0))


@pytest.mark.parametrize("target", [0.0, -1.0, 10_001.0, math.inf, math.nan])
def test_no_target_no_calibration(target: float) -> None:
    with pytest.raises(ConfigError, match="epsilon"):
        calibrate_steps(target, DELTA, 1.0, 0.1)
    with pytest.raises(ConfigError, match="epsilon"):
        calibrate_distributed(target, DELTA, 0.1, 1, size=10, contributors=4)
    with pytest.raises(ConfigError, match="epsilon"):
        calibrate_distributed_steps(target, DELTA, SHARED)


def test_what_cannot_be_accounted_is_not_calibrated() -> None:
    with pytest.raises(ConfigError, match="noise multiplier"):
        calibrate_steps(1.0, DELTA, 0.0, 0.1)
    with pytest.raises(ConfigError, match="sampling rate"):
        calibrate_steps(1.0, DELTA, 1.0, 0.0)
    with pytest.raises(ConfigError, match="delta"):
        calibrate_steps(1.0, 0.0, 1.0, 0.1)
    with pytest.raises(ConfigError, match="coordinates"):
        calibrate_distributed(1.0, DELTA, 0.1, 1, size=0, contributors=4)
    with pytest.raises(ConfigError, match="contributors"):
        calibrate_distributed(1.0, DELTA, 0.1, 1, size=10, contributors=0)


def test_a_claim_says_how_it_was_computed() -> None:
    plain = SubsampledGaussian(2.0, 0.1, 20)
    assert claim([plain], DELTA) == Claim(
        epsilon([plain], DELTA), DELTA, Relation.ADD_REMOVE, Method.PLD
    )
    assert claim([], DELTA) == Claim(0.0, DELTA, Relation.ADD_REMOVE, Method.PLD)
    for events in ([SHARED], [plain, SHARED]):
        assert claim(events, DELTA, relation=Relation.ZERO_OUT) == Claim(
            renyi_epsilon(events, DELTA), DELTA, Relation.ZERO_OUT, Method.RENYI
        )
    assert claim([SHARED, NoGuarantee()], DELTA) == Claim(
        math.inf, DELTA, Relation.ADD_REMOVE, Method.NONE
    )
    assert epsilon([replace(SHARED, noise_multiplier=1e-4)], DELTA) == math.inf


def test_shared_noise_is_claimed_above_what_continuous_noise_would_cost() -> None:
    alike = SubsampledGaussian(3.0, 0.3, 50)
    claimed = epsilon([SHARED], DELTA)
    assert approximate_epsilon([SHARED], DELTA) == epsilon([alike], DELTA)
    assert approximate_epsilon([SHARED], DELTA) < claimed <= rdp_epsilon([SHARED], DELTA) + 1e-9
    assert rdp_epsilon([SHARED], DELTA) == rdp_epsilon([alike], DELTA)
    assert prv_epsilon([SHARED], DELTA) == prv_epsilon([alike], DELTA)
    assert claimed < 1.2 * approximate_epsilon([SHARED], DELTA)


def test_shared_and_local_noise_cost_more_together_than_either() -> None:
    plain = SubsampledGaussian(2.0, 0.1, 20)
    together = epsilon([plain, SHARED], DELTA)
    assert together > max(epsilon([SHARED], DELTA), renyi_epsilon([plain], DELTA))
    assert together == epsilon([SHARED, plain], DELTA)
    assert together < epsilon([SHARED], DELTA) + renyi_epsilon([plain], DELTA)


def test_shared_steps_in_parts_cost_what_they_cost_together() -> None:
    parts = [replace(SHARED, steps=steps) for steps in (3, 40, 7)]
    assert epsilon(parts, DELTA) == epsilon([SHARED], DELTA)
    other = replace(SHARED, local_sigma=501.0, steps=1)
    assert epsilon([*parts, other], DELTA) > epsilon([SHARED], DELTA)


def test_a_claim_is_a_value() -> None:
    made = claim([SHARED], DELTA)
    assert hash(made) == hash(claim([SHARED], DELTA))
    with pytest.raises(AttributeError):
        made.epsilon = 0.0  # type: ignore[misc]
