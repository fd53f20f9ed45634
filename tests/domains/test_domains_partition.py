"""An equal split: everything once, shares of a size, the same for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.partition import equal
from domains.records import Record


def records(count: int) -> tuple[Record, ...]:
    # The same text throughout: a split by text would put all of them in one place.
    return tuple(Record(f"r{number}", "the same words", number % 2) for number in range(count))


@given(count=st.integers(1, 200), sites=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_every_record_is_at_exactly_one_site(count: int, sites: int, seed: int) -> None:
    if count < sites:
        return
    shares = equal(records(count), sites, seed)
    held = [record.id for share in shares for record in share]
    assert len(shares) == sites
    assert sorted(held) == sorted(record.id for record in records(count))


@given(count=st.integers(1, 200), sites=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_shares_differ_by_at_most_one_record(count: int, sites: int, seed: int) -> None:
    if count < sites:
        return
    sizes = [len(share) for share in equal(records(count), sites, seed)]
    assert max(sizes) - min(sizes) <= 1


def test_the_seed_decides_who_holds_what() -> None:
    assert equal(records(100), 4, 7) == equal(records(100), 4, 7)
    assert equal(records(100), 4, 7) != equal(records(100), 4, 8)


def test_the_order_of_the_file_is_not_the_split() -> None:
    first = equal(records(100), 4, 0)[0]
    assert {record.id for record in first} != {f"r{number}" for number in range(25)}


@pytest.mark.parametrize(
    ("count", "sites", "seed"), [(10, 0, 0), (10, -1, 0), (3, 4, 0), (0, 1, 0), (10, 2, -1)]
)
def test_a_split_that_leaves_a_site_without_records_is_refused(
    count: int, sites: int, seed: int
) -> None:
    with pytest.raises(ConfigError, match="Use "):
        equal(records(count), sites, seed)
