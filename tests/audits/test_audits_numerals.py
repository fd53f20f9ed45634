from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from audits import numerals
from audits.charts import (
    Axis,
    Marker,
    Series,
    Stroke,
    line_chart,
    nice_range,
    nice_step,
    round_ticks,
    spread,
)

finite = st.floats(0.0, 1e6, allow_nan=False)


def number(text: str) -> Decimal:
    return Decimal(text.replace(numerals.GAP, "").rstrip("%"))


@given(finite, st.integers(0, 4))
def test_a_bound_never_reads_better_than_it_is(value: float, places: int) -> None:
    shown = number(numerals.bound(value, places=places))
    assert Decimal(repr(value)) <= shown <= Decimal(repr(value)) + Decimal(1).scaleb(-places)


@given(st.floats(0.0, 1.0))
def test_a_worst_case_percentage_never_reads_better_than_it_is(fraction: float) -> None:
    assert number(numerals.percent_up(fraction)) >= Decimal(repr(fraction)) * 100


@given(st.floats(1e-12, 1e6))
def test_plain_numbers_read_back_and_have_no_exponent(value: float) -> None:
    text = numerals.plain(value)
    assert float(text) == value
    assert "e" not in text.lower()


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (numerals.bound(7.9968), "8.00"),
        (numerals.bound(8.0), "8.00"),
        (numerals.bound(0.07), "0.07"),
        (numerals.bound(1e40), "1" + "0" * 40 + ".00"),
        (numerals.plain(1e-5), "0.00001"),
        (numerals.plain(100.0), "100"),
        (numerals.significant(0.702139), "0.7021"),
        (numerals.percent(0.602), "60.2\u00a0%"),
        (numerals.percent(0.6, places=0), "60\u00a0%"),
        (numerals.thousands(1234567), "1\u00a0234\u00a0567"),
        (numerals.duration(17.44), "17.4 s"),
        (numerals.duration(59.99), "1 min 0 s"),
        (numerals.duration(192), "3 min 12 s"),
        (numerals.duration(7260), "2 h 1 min"),
        (numerals.date(datetime(2025, 3, 4, 9, 5, tzinfo=UTC)), "4 March 2025, 09:05 UTC"),
        ("".join(numerals.groups("ab" * 32)), "ab" * 32),
    ],
)
def test_numbers_as_the_report_writes_them(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.integers(1, 5000), st.data())
def test_the_interval_of_a_proportion_is_scipys(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    twin = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    low, high = numerals.wilson_interval(hits / count, count)
    assert math.isclose(low, twin.low, abs_tol=1e-9)
    assert math.isclose(high, twin.high, abs_tol=1e-9)


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 0), (1.1, 10), (-0.1, 10)])
def test_an_interval_without_trials_is_refused(fraction: float, count: int) -> None:
    with pytest.raises(ValueError, match="interval"):
        numerals.wilson_interval(fraction, count)


@given(st.lists(st.floats(0.0, 300.0), max_size=12))
def test_labels_are_spread_in_order_and_never_overlap(positions: list[float]) -> None:
    placed = spread(positions, gap=15.0)
    ordered = [placed[index] for index in sorted(range(len(placed)), key=lambda i: positions[i])]
    assert all(after - before >= 15.0 - 1e-6 for before, after in zip(ordered, ordered[1:]))  # noqa: B905, RUF007 - neighbours


def test_labels_that_are_apart_stay_where_they_are() -> None:
    assert spread([40.0, 10.0, 70.0], gap=15.0) == [40.0, 10.0, 70.0]


@given(st.floats(0.0, 1e4), st.floats(0.0, 1e4))
def test_a_range_holds_its_values_on_few_round_ticks(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    start, stop, step = nice_range(low, high)
    slack = 1e-6 * max(1.0, high)
    assert start <= low + slack
    assert stop >= high - slack
    assert 1 <= round((stop - start) / step) <= 8


@given(st.floats(1e-6, 1e6))
def test_steps_are_one_two_or_five_times_a_power_of_ten(span: float) -> None:
    mantissa = f"{nice_step(span):e}"[0]
    assert mantissa in "125"


@given(st.integers(1, 10_000))
def test_rounds_are_marked_sparsely_and_up_to_the_last(rounds: int) -> None:
    ticks = round_ticks(rounds)
    assert ticks[-1] == rounds
    assert list(ticks) == sorted(set(ticks))
    assert len(ticks) <= 12


def flat(points: tuple[tuple[float, float], ...]) -> Series:
    return Series("line", points, Stroke.MAIN, Marker.DISC)


def test_a_chart_keeps_its_points_inside_its_axes() -> None:
    x = Axis("round", 0.0, 8.0, ((0.0, "start"), (8.0, "8")))
    y = Axis("epsilon", 0.0, 10.0, ((0.0, "0"), (10.0, "10")))
    chart = line_chart("c", "t", "d", x=x, y=y, series=(flat(((0.0, 0.0), (8.0, 10.0))),))
    assert chart.lines[0].markers == ((chart.left, chart.bottom), (chart.right, chart.top))
    assert chart.lines[0].path == f"M{chart.left:g} {chart.bottom:g} L{chart.right:g} {chart.top:g}"


@pytest.mark.parametrize("series", [(), (flat(()),)])
def test_a_chart_of_nothing_is_refused(series: tuple[Series, ...]) -> None:
    axis = Axis("x", 0.0, 1.0, ())
    with pytest.raises(ValueError, match="lines"):
        line_chart("c", "t", "d", x=axis, y=axis, series=series)
