"""Integer bounds on exponentials against another arithmetic."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.exact_exponential import exp_bounds


def exponential(x: Fraction, digits: int) -> Decimal:
    with localcontext() as context:
        context.prec = digits + 30
        return (-(Decimal(x.numerator) / Decimal(x.denominator))).exp()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(
    st.fractions(min_value=0, max_value=120, max_denominator=10**9)
    | st.fractions(min_value=0, max_value=3),
    st.integers(min_value=16, max_value=400),
)
def test_exponentials_are_enclosed_narrowly(x: Fraction, bits: int) -> None:
    low, high = exp_bounds(x, bits)
    with localcontext() as context:
        context.prec = 200
        scaled = exponential(x, 170) * Decimal(2) ** bits
        assert Decimal(low) <= scaled <= Decimal(high)
    assert 0 <= high - low <= 2


def test_exponentials_of_nothing_and_of_very_much() -> None:
    assert exp_bounds(Fraction(0), 64) == (2**64, 2**64)
    assert exp_bounds(Fraction(10**4), 64) == (0, 1)
    assert exp_bounds(Fraction(10**9), 64) == (0, 1)
    assert exp_bounds(Fraction(1, 10**40), 64) == (2**64 - 1, 2**64 + 1)
