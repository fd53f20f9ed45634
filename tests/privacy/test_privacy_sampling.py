from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crypto.errors import ConfigError
from crypto.keystream import KeyStream
from crypto.secrets import SecretBytes
from privacy.sampling import ShuffledBatch, poisson_sample, shuffled_batches
from privacy.streams import fresh_stream


def stream(number: int) -> KeyStream:
    return KeyStream(SecretBytes(number.to_bytes(32, "little")))


@given(st.integers(1, 300), st.floats(2.0**-53, 1), st.integers(0, 2**40))
def test_it_takes_what_one_record_at_a_time_takes(records: int, rate: float, key: int) -> None:
    words = stream(key).uint64(records)
    naive = [i for i, word in enumerate(words) if int(word) >> 11 < math.floor(rate * 2**53)]
    taken = poisson_sample(records, rate, stream(key))
    assert taken.dtype == np.int64
    assert taken.tolist() == naive


def test_the_number_of_records_is_binomial_and_may_be_zero() -> None:
    sizes = [len(poisson_sample(20, 0.05, stream(k))) for k in range(4000)]
    assert min(sizes) == 0
    observed = np.bincount(np.minimum(sizes, 5), minlength=6)
    expected = stats.binom.pmf(range(5), 20, 0.05) * 4000
    expected = np.append(expected, 4000 - expected.sum())
    assert stats.chisquare(observed, expected).pvalue > 1e-6


def test_records_are_taken_alike_and_apart() -> None:
    taken = np.zeros((4000, 10))
    for k in range(4000):
        taken[k, poisson_sample(10, 0.3, stream(k))] = 1
    spread = math.sqrt(0.3 * 0.7 / 4000)
    assert np.abs(taken.mean(0) - 0.3).max() < 5 * spread
    correlations = np.corrcoef(taken.T) - np.eye(10)
    assert np.abs(correlations).max() < 5.5 / math.sqrt(4000)


def test_the_rate_is_never_exceeded() -> None:
    """A rate between two representable thresholds rounds down, towards more privacy."""
    rate = 1e-10 / 3
    threshold = int(rate * 2.0**53)
    assert threshold / 2**53 <= rate
    assert (threshold + 1) / 2**53 > rate


def test_rate_one_takes_everything() -> None:
    assert poisson_sample(7, 1.0, stream(1)).tolist() == list(range(7))


def test_fresh_streams_give_other_samples() -> None:
    first = poisson_sample(500, 0.5, fresh_stream())
    assert not np.array_equal(first, poisson_sample(500, 0.5, fresh_stream()))


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.0001, math.nan, math.inf, 2.0**-54])
def test_rates_that_are_none(rate: float) -> None:
    with pytest.raises(ConfigError, match="sampling rate"):
        poisson_sample(10, rate, stream(0))


def test_nothing_to_sample_from() -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        poisson_sample(0, 0.5, stream(0))
    with pytest.raises(ConfigError, match="nothing to train on"):
        shuffled_batches(0, 2, seed=0, path=())


@given(st.integers(1, 100), st.integers(1, 30), st.integers(0, 99), st.integers(0, 9))
def test_a_shuffled_pass_reads_every_record_once_and_repeats(
    records: int, batch: int, seed: int, epoch: int
) -> None:
    batches = list(shuffled_batches(records, batch, seed=seed, path=(1, epoch)))
    assert all(isinstance(b, ShuffledBatch) and len(b.indices) == batch for b in batches[:-1])
    flat = np.concatenate([b.indices for b in batches])
    assert sorted(flat.tolist()) == list(range(records))
    again = np.concatenate(
        [b.indices for b in shuffled_batches(records, batch, seed=seed, path=(1, epoch))]
    )
    assert np.array_equal(flat, again)


def test_sites_rounds_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = {
        tuple(next(shuffled_batches(50, 50, seed=seed, path=path)).indices.tolist())
        for seed in (0, 1)
        for path in ((), (0,), (0, 0), (0, 1), (1, 0))
    }
    assert len(orders) == 10


def test_the_order_is_the_same_on_every_machine_and_version() -> None:
    first = next(shuffled_batches(10, 10, seed=7, path=(2, 3)))
    assert first.indices.tolist() == [9, 1, 7, 3, 0, 2, 4, 6, 5, 8]


@pytest.mark.parametrize(("batch", "seed", "path"), [(0, 0, ()), (1, -1, ()), (1, 0, (-1,))])
def test_refused_batches(batch: int, seed: int, path: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="cannot be drawn"):
        shuffled_batches(10, batch, seed=seed, path=path)
