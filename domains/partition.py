"""Who holds what: ways to share a data set's training records out among sites.

Each is deterministic, gives every record to exactly one site, and may have a public seed: it
simulates who holds what, and no guarantee rests on it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domains.partition_kinds import Partition
    from domains.records import Record

Shares = tuple[tuple["Record", ...], ...]

_MOST_DRAWS: Final = 1000
"""Of a Dirichlet partition, until every site has its smallest share."""


def share_out(records: Sequence[Record], sites: int, seed: int, rule: Partition) -> Shares:
    """Return one share per site by `rule`; each record is in exactly one.

    Args:
        records: what is shared out.
        sites: number of shares, at least one.
        seed: non-negative; the same seed gives the same shares.
        rule: how.

    Raises:
        ConfigError: fewer than one site, a negative seed, or a smallest share that the records or
            the rule do not give to every site.
    """
    smallest = rule.smallest_share
    # A rule has its own parameter and no other's.
    if rule.sigma is not None:
        return by_size(records, sites, seed, sigma=rule.sigma, smallest=smallest)
    if rule.alpha is not None:
        return by_label(records, sites, seed, alpha=rule.alpha, smallest=smallest)
    if rule.key is not None:
        return by_key(records, sites, seed, key=rule.key, smallest=smallest)
    _check(records, sites, seed, smallest)
    return equal(records, sites, seed)


def equal(records: Sequence[Record], sites: int, seed: int) -> Shares:
    """Return one share per site, equal in size up to one record, from a seeded permutation.

    Args:
        records: what is shared out.
        sites: number of shares, at least one.
        seed: non-negative; the same seed gives the same shares.

    Raises:
        ConfigError: fewer than one site, a negative seed, or fewer records than sites.
    """
    _check(records, sites, seed, 1)
    order = np.random.default_rng(seed).permutation(len(records))
    return _taken(records, np.array_split(order, sites))


def by_size(
    records: Sequence[Record], sites: int, seed: int, *, sigma: float, smallest: int = 1
) -> Shares:
    """Return shares of log-normal size, each a random sample of the records.

    Every site first gets `smallest` records; the rest is divided in proportion to
    exp(sigma z_j), z_j standard normal and independent for each site j, rounded by largest
    remainders.

    Args:
        records: what is shared out.
        sites: number of shares, at least one.
        seed: non-negative.
        sigma: standard deviation of the logarithm of a weight; 0 gives equal shares.
        smallest: records of each site at least.

    Raises:
        ConfigError: fewer than one site, a negative seed, or fewer records than
            `sites * smallest`.
    """
    _check(records, sites, seed, smallest)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(records))
    weights = np.exp(sigma * rng.standard_normal(sites))
    sizes = smallest + _apportioned(len(records) - sites * smallest, weights / weights.sum())
    return _taken(records, np.split(order, np.cumsum(sizes)[:-1]))


def by_label(
    records: Sequence[Record], sites: int, seed: int, *, alpha: float, smallest: int = 1
) -> Shares:
    """Return shares whose labels and sizes are skewed by a Dirichlet distribution.

    Yurochkin et al., "Bayesian nonparametric federated learning of neural networks" (ICML 2019),
    section 4: for each label k, p_k ~ Dirichlet(alpha, ..., alpha) over the sites, and site j
    gets the part p_kj of the label's records. So sizes differ too, unlike in Hsu et al. 2019,
    where every site draws its own mixture of labels. As in Yurochkin's code, the whole draw is
    repeated, here up to 1000 times, until every site has `smallest` records. Parts are rounded by
    largest remainders.

    Args:
        records: what is shared out.
        sites: number of shares, at least one.
        seed: non-negative.
        alpha: concentration; positive.
        smallest: records of each site at least.

    Raises:
        ConfigError: fewer than one site, a negative seed, records with options of their own, or
            a smallest share that was not met in any draw.
    """
    _check(records, sites, seed, smallest)
    own = next((record.id for record in records if record.options), None)
    if own is not None:
        raise ConfigError(
            f"Record {own!r} brings options of its own, and its label is the place of the right "
            "one: shares by such labels would be skewed by chance alone. Share the records out "
            "equally, by size, or by a key."
        )
    rng = np.random.default_rng(seed)
    labels = np.array([record.label for record in records], dtype=np.int64)
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    sizes = _drawn_sizes(rng, [len(members) for members in classes], sites, alpha, smallest)
    shares: list[list[NDArray[np.int64]]] = [[] for _ in range(sites)]
    for members, counts in zip(classes, sizes, strict=True):
        pieces = np.split(rng.permutation(members), np.cumsum(counts)[:-1])
        for share, piece in zip(shares, pieces, strict=True):
            share.append(piece)
    return _taken(records, [rng.permutation(np.concatenate(share)) for share in shares])


def by_key(
    records: Sequence[Record], sites: int, seed: int, *, key: str, smallest: int = 1
) -> Shares:
    """Return shares in which all records with one value in the column `key` are together.

    The values are taken by falling number of records, equals in a seeded order, and each goes to
    the site that has the fewest records so far; so the shares are as equal in size as the values
    allow, up to the greedy choice. A share keeps the records' order.

    Args:
        records: what is shared out.
        sites: number of shares, at least one.
        seed: non-negative.
        key: a name in every record's `columns`.
        smallest: records of each site at least.

    Raises:
        ConfigError: fewer than one site, a negative seed, a record without a value in the column
            (named by its id), or a smallest share that is not met. No message holds a value.
    """
    _check(records, sites, seed, smallest)
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        value = record.columns.get(key, "")
        if not value:
            raise ConfigError(
                f"Record {record.id!r} says nothing in the column `{key}`: nobody could tell which "
                "records belong with it. Name a column that every record has; this one's columns: "
                f"{', '.join(record.columns) or 'none'}."
            )
        groups[value].append(index)
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members))
    held: list[list[int]] = [[] for _ in range(sites)]
    for group in sorted((members[number] for number in order), key=len, reverse=True):
        min(held, key=len).extend(group)
    fewest = min(map(len, held))
    if fewest < smallest:
        raise ConfigError(
            f"The {len(groups)} values of the column `{key}` leave a site of {sites} with {fewest} "
            f"records, and {smallest} are asked for: nothing was shared out. Use fewer sites, a "
            "lower smallest share, or a column with more values."
        )
    return _taken(records, [np.array(sorted(share), dtype=np.int64) for share in held])


def _check(records: Sequence[Record], sites: int, seed: int, smallest: int) -> None:
    if sites < 1 or seed < 0:
        raise ConfigError(
            f"Records cannot be shared out among {sites} sites with seed {seed}: nobody would "
            "hold any. Use one or more sites and a seed of 0 or more."
        )
    if len(records) < sites * smallest:
        each = "a site without records cannot train" if smallest == 1 else f"{smallest} for each"
        raise ConfigError(
            f"{len(records)} records do not reach {sites} sites: {each}. "
            "Use fewer sites, more records or a lower smallest share."
        )


def _drawn_sizes(
    rng: np.random.Generator, totals: Sequence[int], sites: int, alpha: float, smallest: int
) -> NDArray[np.int64]:
    """Return how many records of each label each site gets, shape (labels, sites)."""
    for _ in range(_MOST_DRAWS):
        parts = rng.dirichlet(np.full(sites, alpha), size=len(totals))
        sizes = np.stack(
            [_apportioned(total, part) for total, part in zip(totals, parts, strict=True)]
        )
        if sizes.sum(axis=0).min() >= smallest:
            return sizes
    raise ConfigError(
        f"In {_MOST_DRAWS} draws with alpha {alpha:g} some of the {sites} sites always got fewer "
        f"than {smallest} records: nothing was shared out. Use a larger alpha, fewer sites, or a "
        "lower smallest share."
    )


def _apportioned(total: int, parts: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return `total` in whole numbers near `total * parts`, by largest remainders (Hamilton).

    Args:
        total: what is divided.
        parts: non-negative, summing to one, shape (n,).
    """
    exact = total * parts
    whole = np.floor(exact).astype(np.int64)
    # Rounding of the parts can put a floor one too high.
    short = total - int(whole.sum())
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: max(short, 0)]] += 1
    if short < 0:
        whole[int(np.argmax(whole))] += short
    return whole


def _taken(records: Sequence[Record], shares: Sequence[NDArray[np.int64]]) -> Shares:
    return tuple(tuple(records[int(index)] for index in share) for share in shares)
