"""Skewed shares: all once, the same for the same seed, as skewed as asked for, or refused."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.partition import by_key, by_label, by_size, equal, share_out
from domains.partition_kinds import Partition, PartitionKind
from domains.records import Record

if TYPE_CHECKING:
    from collections.abc import Sequence

LABELS = 3
KEYS = 17
RULES = (
    Partition(),
    Partition(PartitionKind.SIZE, sigma=1.0),
    Partition(PartitionKind.LABEL, alpha=0.5),
    Partition(PartitionKind.KEY, key="customer"),
)


def records(count: int) -> tuple[Record, ...]:
    return tuple(
        Record(f"r{n}", "the same words", n % LABELS, {"customer": f"c{n * n % KEYS}"})
        for n in range(count)
    )


def ids(shares: Sequence[Sequence[Record]]) -> list[str]:
    return sorted(record.id for share in shares for record in share)


@given(
    rule=st.sampled_from(RULES),
    count=st.integers(1, 150),
    sites=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    smallest=st.integers(1, 8),
)
def test_every_record_is_at_one_site_and_every_site_has_its_smallest_share(
    rule: Partition, count: int, sites: int, seed: int, smallest: int
) -> None:
    asked = Partition(rule.kind, rule.sigma, rule.alpha, rule.key, smallest)
    try:
        shares = share_out(records(count), sites, seed, asked)
    except ConfigError as error:
        # A draw or a greedy choice may fail where a share is large; the equal rules may not.
        full = count >= sites * smallest
        assert not full or rule.kind in {PartitionKind.LABEL, PartitionKind.KEY}
        assert "smallest share" in str(error)  # noqa: PT017 - likewise
        return
    assert len(shares) == sites
    assert ids(shares) == ids([records(count)])
    assert min(map(len, shares)) >= smallest


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind.value)
def test_the_seed_decides_who_holds_what(rule: Partition) -> None:
    first = share_out(records(300), 4, 7, rule)
    assert first == share_out(records(300), 4, 7, rule)
    assert first != share_out(records(300), 4, 8, rule)


def test_the_default_is_the_equal_partition() -> None:
    assert share_out(records(50), 4, 3, Partition()) == equal(records(50), 4, 3)


def test_sizes_are_what_the_log_normal_weights_say() -> None:
    sizes = [len(share) for share in by_size(records(3000), 6, 5, sigma=1.0)]
    # The naive twin: the same draws in the same order, without any rounding.
    rng = np.random.default_rng(5)
    rng.permutation(3000)
    weights = np.exp(rng.standard_normal(6))
    assert np.allclose(sizes, 1 + 2994 * weights / weights.sum(), rtol=0, atol=1)
    assert max(sizes) > 3 * min(sizes)


def test_without_spread_the_sizes_are_equal() -> None:
    sizes = [len(share) for share in by_size(records(302), 4, 0, sigma=0.0)]
    assert sorted(sizes) == [75, 75, 76, 76]


def test_integers_are_parameters_too() -> None:
    rule = Partition(PartitionKind.SIZE, sigma=1)
    assert share_out(records(90), 3, 0, rule) == by_size(records(90), 3, 0, sigma=1.0)


def distance(shares: Sequence[Sequence[Record]]) -> float:
    """Return the mean total variation distance between the sites' labels and all records'."""
    total = []
    for share in shares:
        counts = Counter(record.label for record in share)
        total.append(sum(abs(counts[k] / len(share) - 1 / LABELS) for k in range(LABELS)) / 2)
    return float(np.mean(total))


def test_a_small_alpha_skews_labels_and_a_large_one_does_not() -> None:
    def mean(alpha: float) -> float:
        return float(
            np.mean([distance(by_label(records(900), 5, seed, alpha=alpha)) for seed in range(10)])
        )

    assert mean(0.1) > 0.4
    assert 0.1 < mean(1.0) < 0.4
    assert mean(1000.0) < 0.05


def test_labels_are_cut_as_the_dirichlet_draw_says() -> None:
    shares = by_label(records(900), 4, 11, alpha=2.0)
    parts = np.random.default_rng(11).dirichlet(np.full(4, 2.0), size=LABELS)
    held = np.array(
        [[sum(r.label == label for r in share) for share in shares] for label in range(LABELS)]
    )
    assert np.abs(held - 300 * parts).max() < 1
    assert held.sum() == 900


@pytest.mark.parametrize("alpha", [1e-3, 1e6])
def test_the_ends_of_alpha_can_be_drawn_with(alpha: float) -> None:
    shares = by_label(records(900), 2, 0, alpha=alpha)
    assert ids(shares) == ids([records(900)])


@given(count=st.integers(40, 200), sites=st.integers(1, 6), seed=st.integers(0, 2**32))
def test_records_of_one_key_are_at_one_site(count: int, sites: int, seed: int) -> None:
    places: defaultdict[str, set[int]] = defaultdict(set)
    shares = by_key(records(count), sites, seed, key="customer")
    for site, share in enumerate(shares):
        for record in share:
            places[record.columns["customer"]].add(site)
    assert all(len(sites_) == 1 for sites_ in places.values())
    # Greedy scheduling: nobody has more than the fewest and one key's records.
    largest = max(Counter(r.columns["customer"] for r in records(count)).values())
    assert max(map(len, shares)) - min(map(len, shares)) <= largest


def test_a_column_with_fewer_values_than_sites_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave a site of 20 with 0 records"):
        by_key(records(100), 20, 0, key="customer")


def test_a_record_without_a_key_is_named_and_its_values_are_not() -> None:
    lacking = (*records(10), Record("r-lacking", "secret words", 0, {"customer": ""}))
    with pytest.raises(ConfigError, match="'r-lacking' says nothing in the column `customer`") as e:
        by_key(lacking, 2, 0, key="customer")
    assert "secret" not in str(e.value)


def test_options_of_a_records_own_have_no_labels_to_skew_by() -> None:
    held = tuple(Record(f"q-{n}", "which", n % 2, options=("secret", "other")) for n in range(10))
    with pytest.raises(ConfigError, match="'q-0' brings options of its own") as e:
        by_label(held, 2, 0, alpha=1.0)
    assert "secret" not in str(e.value)


def test_a_skew_that_cannot_leave_everybody_enough_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"In 1000 draws with alpha 0\.001"):
        by_label(records(60), 10, 0, alpha=1e-3, smallest=6)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.kind.value)
@pytest.mark.parametrize(("count", "sites", "seed"), [(10, 0, 0), (3, 4, 0), (10, 2, -1)])
def test_what_no_rule_can_do_is_refused(rule: Partition, count: int, sites: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="Use "):
        share_out(records(count), sites, seed, rule)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("needs `alpha`", {"kind": PartitionKind.LABEL}),
        ("needs `sigma`", {"kind": PartitionKind.SIZE}),
        ("needs `key`", {"kind": PartitionKind.KEY}),
        ("`alpha` has no meaning", {"alpha": 1.0}),
        ("`key` has no meaning", {"kind": PartitionKind.SIZE, "sigma": 1.0, "key": "customer"}),
        ("An `alpha` of 0", {"kind": PartitionKind.LABEL, "alpha": 0.0}),
        ("An `alpha` of nan", {"kind": PartitionKind.LABEL, "alpha": float("nan")}),
        ("A `sigma` of -1", {"kind": PartitionKind.SIZE, "sigma": -1.0}),
        ("A `sigma` of inf", {"kind": PartitionKind.SIZE, "sigma": float("inf")}),
        ("names no column", {"kind": PartitionKind.KEY, "key": ""}),
        ("smallest share of 0", {"smallest_share": 0}),
    ],
)
def test_a_rule_without_its_own_parameter_is_none(said: str, values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=said):
        Partition(**values)  # type: ignore[arg-type]
