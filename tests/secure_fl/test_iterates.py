"""The mean of the last rounds' parameters, and how it is kept."""

from __future__ import annotations

import numpy as np
import pytest
from round_simulator import mechanism_of

from crypto.errors import IntegrityError
from secure_fl.iterates import Iterates

SIZE = 6
ROUNDS = 5
PARAMETERS = [np.random.default_rng(r).normal(size=SIZE).astype(np.float32) for r in range(ROUNDS)]


def begin(averaged: int | None) -> Iterates:
    mechanism = mechanism_of(training__rounds=ROUNDS, training__averaged_rounds=averaged)
    return Iterates.begin(mechanism, SIZE)


@pytest.mark.parametrize("averaged", [1, 2, ROUNDS])
def test_the_run_ends_with_the_mean_of_its_last_rounds(averaged: int) -> None:
    kept = begin(averaged)
    for round_, parameters in enumerate(PARAMETERS):
        kept = kept.after(round_, parameters, b"")
        done = PARAMETERS[ROUNDS - averaged : round_ + 1]
        expected = np.mean(done, axis=0, dtype=np.float64) if done else parameters
        np.testing.assert_allclose(kept.released(parameters), expected, rtol=1e-6)


def test_without_it_the_run_ends_with_the_last() -> None:
    kept = begin(None)
    for round_, parameters in enumerate(PARAMETERS):
        kept = kept.after(round_, parameters, b"")
    assert np.array_equal(kept.released(PARAMETERS[-1]), PARAMETERS[-1])


@pytest.mark.parametrize("averaged", [None, 3])
def test_a_resumed_run_goes_on_with_the_same_sum(averaged: int | None) -> None:
    whole = resumed = begin(averaged)
    for round_, parameters in enumerate(PARAMETERS):
        whole = whole.after(round_, parameters, b"rule")
        resumed = begin(averaged).restored(resumed.export()).after(round_, parameters, b"rule")
    assert np.array_equal(resumed.released(PARAMETERS[-1]), whole.released(PARAMETERS[-1]))
    assert begin(averaged).restored(resumed.export()).rule == b"rule"


def test_what_does_not_belong_is_refused() -> None:
    with pytest.raises(IntegrityError, match="does not read"):
        begin(2).restored(b"something else")
    with pytest.raises(IntegrityError, match="belongs to another model"):
        begin(2).restored(begin(None).export())
