"""The Renyi filter: what it admits, what it reports, and why neither shortcut would do."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import BudgetError, ConfigError
from privacy.accounting import epsilon
from privacy.events import DistributedGaussian, Event, NoGuarantee, Relation, SubsampledGaussian
from privacy.renyi import ORDERS, converted, divergence
from privacy.renyi_filter import RenyiFilter, best_order

DELTA = 1e-5

plain = st.builds(
    SubsampledGaussian,
    st.floats(min_value=1.0, max_value=10.0),
    st.floats(min_value=0.01, max_value=1.0),
    st.integers(min_value=1, max_value=20),
)
shared = st.builds(
    DistributedGaussian,
    st.floats(min_value=1.0, max_value=10.0),
    st.floats(min_value=0.01, max_value=1.0),
    st.integers(min_value=1, max_value=20),
    size=st.just(1000),
    local_sigma=st.just(20.0),
    contributors=st.just(4),
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(plain | shared, min_size=1, max_size=3), st.sampled_from(ORDERS))
def test_the_filter_never_reports_less_than_planned_accounting(
    events: list[Event], order: float
) -> None:
    try:
        policy = RenyiFilter(order, 10_000.0, DELTA)
    except ConfigError:
        return
    assert policy.reported(events) >= epsilon(events, DELTA) - 1e-9


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(plain | shared, min_size=1, max_size=30), st.floats(1.0, 12.0))
def test_what_was_admitted_stays_below_the_ceiling(events: list[Event], ceiling: float) -> None:
    policy = RenyiFilter(best_order(ceiling, DELTA), ceiling, DELTA)
    admitted: list[Event] = []
    for event in events:
        try:
            policy.require(admitted, event)
        except BudgetError:
            assert policy.spent([*admitted, event]) > policy.budget
            continue
        admitted.append(event)
        assert policy.reported(admitted) <= ceiling + 1e-9
        assert policy.remaining(admitted) == pytest.approx(
            policy.budget - policy.spent(admitted), abs=1e-12
        )


def test_the_budget_is_what_converts_to_the_ceiling() -> None:
    for order in (1.0625, 3.0, 8.0, 64.0, 4096.0):
        policy = RenyiFilter(order, 200.0, DELTA)
        assert converted((policy.budget,), (order,), DELTA) == pytest.approx(200.0, rel=1e-12)


def test_a_refusal_says_the_arithmetic_and_leaves_room_for_less() -> None:
    policy = RenyiFilter(8.0, 4.0, DELTA)
    run = SubsampledGaussian(1.5, 0.1, 60)
    with pytest.raises(BudgetError, match=r"order 8 from .* nothing was charged"):
        policy.require([run], run)
    policy.require([run], SubsampledGaussian(6.0, 0.1, 10))
    with pytest.raises(BudgetError, match="inf"):
        policy.require([], NoGuarantee())
    assert policy.remaining([NoGuarantee()]) == 0.0
    assert policy.reported([NoGuarantee()]) == math.inf
    assert policy.reported([]) == 0.0
    assert policy.spent([]) == 0.0


def test_a_whole_budget_may_be_spent_to_the_last_bit() -> None:
    run = SubsampledGaussian(2.0, 1.0, 1)
    order = 8.0
    spent = divergence(run, order)
    policy = RenyiFilter(order, converted((spent,), (order,), DELTA) + 1e-12, DELTA)
    policy.require([], run)
    with pytest.raises(BudgetError):
        RenyiFilter(order, policy.epsilon - 1e-9, DELTA).require([], run)


def test_adding_epsilons_is_another_computation() -> None:
    # Of many small runs the sum of epsilons is far above what the filter reports: it would refuse
    # what is fine. Its deltas would add up as well.
    run = SubsampledGaussian(10.0, 0.1, 10)
    runs = [run] * 40
    policy = RenyiFilter(best_order(2.0, DELTA, [run]), 2.0, DELTA)
    assert sum(epsilon([one], DELTA) for one in runs) > 3.0 * policy.reported(runs)
    for count in range(len(runs)):
        policy.require(runs[:count], run)


def test_planned_accounting_of_chosen_events_admits_what_the_filter_refuses() -> None:
    # The better order of what was run so far is known only afterwards. An analyst who chooses the
    # last run by the results of the first could pick between two orders; the filter cannot.
    first = [SubsampledGaussian(1.0, 0.01, 100)]
    sequel = SubsampledGaussian(1.5, 1.0, 1)
    ceiling = 3.0
    assert epsilon([*first, sequel], DELTA) <= ceiling
    policy = RenyiFilter(best_order(ceiling, DELTA, first), ceiling, DELTA)
    with pytest.raises(BudgetError):
        policy.require(first, sequel)


def test_the_best_order_is_the_one_that_admits_most() -> None:
    run = SubsampledGaussian(1.5, 0.05, 10)
    best = best_order(4.0, DELTA, [run])

    def admitted(order: float) -> float:
        try:
            return RenyiFilter(order, 4.0, DELTA).budget / divergence(run, order)
        except ConfigError:
            return 0.0

    assert admitted(best) == max(admitted(order) for order in ORDERS)
    assert best_order(1.0, DELTA, [run]) > best_order(16.0, DELTA, [run])


def test_without_an_example_unsampled_noise_is_assumed() -> None:
    unsampled = SubsampledGaussian(3.0, 1.0, 1)
    for ceiling in (0.1, 1.0, 8.0):
        assert best_order(ceiling, DELTA) == best_order(ceiling, DELTA, [unsampled])


def test_replacing_spends_more_than_removing() -> None:
    run = SubsampledGaussian(3.0, 1.0, 1)
    removed = RenyiFilter(8.0, 4.0, DELTA)
    replaced = RenyiFilter(8.0, 4.0, DELTA, Relation.REPLACE_ONE)
    assert replaced.spent([run]) == pytest.approx(4.0 * removed.spent([run]))
    sampled = SubsampledGaussian(1.5, 0.05, 10)
    assert best_order(4.0, DELTA, [sampled], relation=Relation.REPLACE_ONE) < best_order(
        4.0, DELTA, [sampled]
    )


@pytest.mark.parametrize("ceiling", [0.0, -1.0, math.inf, math.nan, 10_001.0])
def test_a_ceiling_that_is_none_is_refused(ceiling: float) -> None:
    with pytest.raises(ConfigError, match="ceiling"):
        RenyiFilter(8.0, ceiling, DELTA)
    with pytest.raises(ConfigError, match="ceiling"):
        best_order(ceiling, DELTA)


def test_what_cannot_be_filtered_is_refused() -> None:
    with pytest.raises(ConfigError, match="delta"):
        RenyiFilter(8.0, 4.0, 0.0)
    with pytest.raises(ConfigError, match="delta"):
        best_order(4.0, 0.0)
    with pytest.raises(ConfigError, match="take 8, the nearest"):
        RenyiFilter(8.1, 4.0, DELTA)
    with pytest.raises(ConfigError, match="no run could be admitted"):
        RenyiFilter(2.0, 4.0, DELTA)
    with pytest.raises(ConfigError, match="At no order"):
        best_order(4.0, DELTA, [NoGuarantee()])
    with pytest.raises(ConfigError, match="At no order"):
        best_order(1e-5, DELTA)


def test_a_policy_does_not_change_between_runs() -> None:
    with pytest.raises(AttributeError):
        RenyiFilter(8.0, 4.0, DELTA).epsilon = 5.0  # type: ignore[misc]
