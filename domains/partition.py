"""Who holds what: ways to share a data set's training records out among sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domains.records import Record


def equal(records: Sequence[Record], sites: int, seed: int) -> tuple[tuple[Record, ...], ...]:
    """Return one share per site, equal in size up to one record, from a seeded permutation.

    Every record is in exactly one share. The seed may be public: it simulates who holds what,
    and no guarantee rests on it.

    Args:
        records: what is shared out.
        sites: number of shares, at least one.
        seed: non-negative; the same seed gives the same shares.

    Raises:
        ConfigError: fewer than one site, a negative seed, or fewer records than sites.
    """
    if sites < 1 or seed < 0:
        raise ConfigError(
            f"Records cannot be shared out among {sites} sites with seed {seed}: nobody would "
            "hold any. Use one or more sites and a seed of 0 or more."
        )
    if len(records) < sites:
        raise ConfigError(
            f"{len(records)} records do not reach {sites} sites: a site without records cannot "
            "train. Use fewer sites or more records."
        )
    order = np.random.default_rng(seed).permutation(len(records))
    shares = np.array_split(order, sites)
    return tuple(tuple(records[int(index)] for index in share) for share in shares)
