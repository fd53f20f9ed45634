"""Shares of noise: what is left of it whoever drops out and whoever colludes."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.errors import ConfigError
from privacy.noise_shares import NoiseShares


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.integers(2, 200),
    st.integers(0, 100),
    st.integers(1, 100),
    st.floats(min_value=1e-3, max_value=1e12) | st.fractions(min_value=1, max_value=10**6),
)
def test_whoever_drops_out_and_whoever_colludes_enough_noise_is_left(
    cohort: int, drop_outs: int, colluders: int, variance: float | Fraction
) -> None:
    if cohort - drop_outs - colluders < 1:
        with pytest.raises(ConfigError, match="leaves nobody"):
            NoiseShares(cohort, drop_outs, colluders)
        return
    shares = NoiseShares(cohort, drop_outs, colluders)
    own = shares.share_of(variance)
    survivors = cohort - drop_outs
    assert shares.smallest_survivors == survivors
    assert isinstance(own, int)
    assert (survivors - colluders) * own >= Fraction(variance)
    assert (survivors - colluders) * (own - 1) < Fraction(variance)
    assert shares.largest_deviation(math.sqrt(own)) == pytest.approx(math.sqrt(cohort * own))


@pytest.mark.parametrize(("cohort", "drop_outs", "colluders"), [(4, 1, 0), (4, -1, 1), (0, 0, 1)])
def test_shares_that_count_on_everybody_or_on_nobody_are_refused(
    cohort: int, drop_outs: int, colluders: int
) -> None:
    with pytest.raises(ConfigError, match="cannot be shared"):
        NoiseShares(cohort, drop_outs, colluders)


def test_the_last_honest_site_bears_all_the_noise() -> None:
    assert NoiseShares(3, 1, 1).share_of(1000.0) == 1000
    assert NoiseShares(1000, 100, 300).counted == 600
    with pytest.raises(ConfigError, match="leaves nobody"):
        NoiseShares(3, 2, 1)


def test_shares_do_not_change_after_they_were_checked() -> None:
    with pytest.raises(AttributeError):
        NoiseShares(4, 1, 1).drop_outs = 3  # type: ignore[misc]
