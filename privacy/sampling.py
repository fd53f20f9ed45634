"""Which records a step reads: Poisson samples in private modes, shuffled batches in mode none.

The two have different types, so that neither can stand where the other is meant: the accounting
holds for Poisson samples from an unpredictable stream only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np

from crypto.errors import ConfigError
from privacy.streams import UNIFORM_BITS, uniform_integers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from crypto.keystream import KeyStream


def poisson_sample(records: int, rate: float, stream: KeyStream) -> NDArray[np.int64]:
    """Return the sorted indices of the records that one step reads; often few, possibly none.

    Each of `records` records is taken independently with probability floor(2^53 rate) / 2^53: at
    most `rate`, which is what is accounted for. The stream must be fresh for every step
    (`fresh_stream()`), never seeded by a run.

    Raises:
        ConfigError: there is no record, or the rate is not in [2^-53, 1].
    """
    _check_records(records)
    if not 2.0**-UNIFORM_BITS <= rate <= 1:
        raise ConfigError(
            f"A sampling rate of {rate} takes no record ever, or more than all: choose a "
            "probability above 0 and at most 1."
        )
    threshold = np.uint64(int(rate * 2.0**UNIFORM_BITS))  # exact before the floor
    return np.flatnonzero(uniform_integers(stream, records) < threshold).astype(np.int64)


@final
@dataclass(frozen=True, eq=False)
class ShuffledBatch:
    """Record indices of one step in mode none, shape (b,), b >= 1: no amplification, no claim."""

    indices: NDArray[np.int64]


def shuffled_batches(
    records: int, batch: int, *, seed: int, path: tuple[int, ...]
) -> Iterator[ShuffledBatch]:
    """Yield one pass over all records in a seeded order, the last batch possibly smaller.

    The same arguments give the same batches on every machine (numpy's PCG64 and SeedSequence), so
    that a resumed run repeats. Only for mode none.

    Args:
        records: how many records there are.
        batch: how many of them a step reads.
        seed: the run's seed, >= 0.
        path: what tells this pass from every other of the run, such as (site, round, epoch).

    Raises:
        ConfigError: there is no record, the batch is empty, or a seed or path is negative.
    """
    _check_records(records)
    if batch < 1 or seed < 0 or any(part < 0 for part in path):
        raise ConfigError(
            f"Batches of {batch} records under seed {seed} and path {path} cannot be drawn: the "
            "batch must be at least 1, seed and path at least 0."
        )
    sequence = np.random.SeedSequence(seed, spawn_key=path)
    order = np.random.Generator(np.random.PCG64(sequence)).permutation(records).astype(np.int64)
    return (ShuffledBatch(order[start : start + batch]) for start in range(0, records, batch))


def _check_records(records: int) -> None:
    if records < 1:
        raise ConfigError(
            f"{records} records leave nothing to train on: check the site's data folder."
        )
