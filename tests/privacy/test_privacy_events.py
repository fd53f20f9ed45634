"""Privacy events: what is accepted, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

import json
import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from privacy.events import (
    LARGEST_COUNT,
    LARGEST_STEPS,
    SMALLEST_DELTA,
    SMALLEST_LOCAL_SIGMA,
    DistributedGaussian,
    Event,
    NoGuarantee,
    SubsampledGaussian,
    from_json,
    require_delta,
    to_json,
)

GOOD = {
    "kind": "subsampled-gaussian",
    "noise_multiplier": 1.5,
    "sampling_rate": 0.1,
    "steps": 20,
}

DISTRIBUTED = {
    **GOOD,
    "kind": "distributed-discrete-gaussian",
    "size": 1000,
    "local_sigma": 20.5,
    "contributors": 4,
}

multipliers = st.floats(min_value=0.0, exclude_min=True, allow_infinity=False)
rates = st.floats(min_value=0.0, max_value=1.0, exclude_min=True)
counts = st.integers(min_value=1, max_value=LARGEST_STEPS)
events = st.one_of(
    st.just(NoGuarantee()),
    st.builds(SubsampledGaussian, multipliers, rates, counts),
    st.builds(
        DistributedGaussian,
        multipliers,
        rates,
        counts,
        size=counts,
        local_sigma=st.floats(min_value=SMALLEST_LOCAL_SIGMA, allow_infinity=False),
        contributors=counts,
    ),
)


@given(events)
def test_an_event_comes_back_from_its_json(event: Event) -> None:
    assert from_json(json.loads(json.dumps(to_json(event)))) == event


def test_a_whole_number_is_a_float_again() -> None:
    event = from_json({**GOOD, "noise_multiplier": 1, "sampling_rate": 1})
    assert event == SubsampledGaussian(1.0, 1.0, 20)
    assert isinstance(event, SubsampledGaussian)
    assert type(event.noise_multiplier) is float
    shared = from_json({**DISTRIBUTED, "local_sigma": 20})
    assert shared == DistributedGaussian(1.5, 0.1, 20, size=1000, local_sigma=20.0, contributors=4)
    assert isinstance(shared, DistributedGaussian)
    assert type(shared.local_sigma) is float


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "no-guarantee",
        {},
        {"kind": "laplace"},
        {"kind": ["no-guarantee"]},
        {"kind": "no-guarantee", "steps": 3},
        {**GOOD, "kind": "no-guarantee"},
        {**GOOD, "extra": 1},
        {key: value for key, value in GOOD.items() if key != "steps"},
        {**GOOD, "steps": 20.0},
        {**GOOD, "steps": True},
        {**GOOD, "steps": "20"},
        {**GOOD, "noise_multiplier": "1.5"},
        {**GOOD, "noise_multiplier": True},
        {**GOOD, "noise_multiplier": 10**400},
        {**GOOD, "sampling_rate": None},
        {**GOOD, "noise_multiplier": -1.5},
        {**GOOD, "sampling_rate": 1.1},
        {**GOOD, "steps": 0},
        {**GOOD, "size": 1000},
        {**GOOD, "kind": "distributed-discrete-gaussian"},
        {**DISTRIBUTED, "kind": "subsampled-gaussian"},
        {**DISTRIBUTED, "extra": 1},
        {key: value for key, value in DISTRIBUTED.items() if key != "contributors"},
        {**DISTRIBUTED, "size": 1000.0},
        {**DISTRIBUTED, "size": 0},
        {**DISTRIBUTED, "size": True},
        {**DISTRIBUTED, "contributors": "4"},
        {**DISTRIBUTED, "contributors": LARGEST_COUNT + 1},
        {**DISTRIBUTED, "local_sigma": 15.9},
        {**DISTRIBUTED, "local_sigma": None},
        {**DISTRIBUTED, "noise_multiplier": 0},
        {**DISTRIBUTED, "sampling_rate": 1.5},
        {**DISTRIBUTED, "steps": 0},
    ],
)
def test_what_is_no_event_is_refused(value: object) -> None:
    with pytest.raises(ConfigError):
        from_json(value)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_a_sigma_that_bounds_nothing_is_refused(sigma: float) -> None:
    with pytest.raises(ConfigError, match="noise multiplier"):
        SubsampledGaussian(sigma, 0.1, 1)


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0000001, math.inf, math.nan])
def test_a_rate_that_is_no_probability_is_refused(rate: float) -> None:
    with pytest.raises(ConfigError, match="sampling rate"):
        SubsampledGaussian(1.0, rate, 1)


@pytest.mark.parametrize("local_sigma", [15.999, 0.0, -20.0, math.inf, math.nan])
def test_noise_too_narrow_for_the_grid_is_refused(local_sigma: float) -> None:
    with pytest.raises(ConfigError, match="grid steps"):
        DistributedGaussian(1.0, 0.1, 1, size=10, local_sigma=local_sigma, contributors=4)


@pytest.mark.parametrize("count", [0, -1, True, 1.0, LARGEST_COUNT + 1])
def test_a_sum_that_cannot_be_counted_is_refused(count: int) -> None:
    with pytest.raises(ConfigError, match="coordinates"):
        DistributedGaussian(1.0, 0.1, 1, size=count, local_sigma=16.0, contributors=4)
    with pytest.raises(ConfigError, match="contributors"):
        DistributedGaussian(1.0, 0.1, 1, size=10, local_sigma=16.0, contributors=count)


@pytest.mark.parametrize("steps", [0, -1, True, 1.0, LARGEST_STEPS + 1])
def test_steps_that_cannot_be_counted_are_refused(steps: int) -> None:
    with pytest.raises(ConfigError, match="steps"):
        SubsampledGaussian(1.0, 0.1, steps)


@pytest.mark.parametrize("delta", [0.0, 1.0, -1e-5, 2.0, math.nan, math.inf, SMALLEST_DELTA / 2])
def test_a_delta_that_means_nothing_is_refused(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        require_delta(delta)


def test_events_are_values() -> None:
    event = SubsampledGaussian(1.0, 0.1, 3)
    assert event == pickle.loads(pickle.dumps(event))  # noqa: S301 (our own bytes)
    assert hash(event) == hash(SubsampledGaussian(1.0, 0.1, 3))
    with pytest.raises(AttributeError):
        event.steps = 4  # type: ignore[misc]
