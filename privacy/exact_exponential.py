"""exp(-x) of a rational x >= 0 between two integers, as narrowly as asked: no floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

_GUARD_BITS = 16


def exp_bounds(x: Fraction, bits: int) -> tuple[int, int]:
    """Return integers low <= 2^bits exp(-x) <= high that differ by a few units at most.

    The alternating series of exp(-x / 2^s), with x / 2^s <= 1/2 and every operation rounded
    outwards, squared s times. The terms fall, so that what is left out is below the last one.

    Args:
        x: the exponent, at least 0.
        bits: the resolution.
    """
    halvings = (2 * x.numerator // x.denominator).bit_length()
    # A squaring doubles the relative error: it takes one bit.
    width = bits + halvings + _GUARD_BITS
    scaled, divisor = x.numerator << width, x.denominator << halvings
    low_x, high_x = scaled // divisor, -(-scaled // divisor)
    low = high = low_term = high_term = 1 << width
    k = 0
    while high_term > 1:
        k += 1
        low_term = low_term * low_x // (k << width)
        high_term = -(-high_term * high_x // (k << width))
        if k % 2:
            low, high = low - high_term, high - low_term
        else:
            low, high = low + low_term, high + high_term
    low, high = low - high_term, high + high_term
    for _ in range(halvings):
        low, high = low * low >> width, -(-high * high >> width)
    spare = width - bits
    return low >> spare, -(-high >> spare)
