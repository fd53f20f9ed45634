"""Whose each record is: all records of one unit are one row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.records import Record
from privacy.events import Unit
from secure_fl.sites.units import UnitRows


def records_of(*owners: str | None) -> list[Record]:
    return [
        Record(f"r{i}", "a text", 0, {} if owner is None else {"patient": owner})
        for i, owner in enumerate(owners)
    ]


@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=30))
def test_every_record_is_in_its_units_row_and_no_other(owners: list[str]) -> None:
    units = UnitRows.of(records_of(*owners), Unit.PATIENT, "patient")
    assert len(units) == len(set(owners))
    rows = [units.rows_of(np.array([unit])) for unit in range(len(units))]
    assert sorted(np.concatenate(rows).tolist()) == list(range(len(owners)))
    for unit, row in enumerate(rows):
        (owner,) = {owners[i] for i in row}
        assert row.tolist() == [i for i, name in enumerate(owners) if name == owner]
        assert units.owners_of(row).tolist() == [unit] * len(row)


@pytest.mark.parametrize("unit", [Unit.RECORD, Unit.SITE])
def test_a_record_stands_for_itself_where_records_or_sites_are_hidden(unit: Unit) -> None:
    units = UnitRows.of(records_of("a", "a", None), unit, None)
    assert len(units) == 3
    assert units.rows_of(np.array([0, 2])).tolist() == [0, 2]


def test_an_empty_sample_has_no_rows() -> None:
    units = UnitRows.of(records_of("a", "a"), Unit.PATIENT, "patient")
    assert units.rows_of(np.empty(0, np.int64)).tolist() == []


def test_without_a_column_nothing_is_trained() -> None:
    with pytest.raises(ConfigError, match="names the column in `unit_column`"):
        UnitRows.of(records_of("a"), Unit.ACCOUNT, None)


@pytest.mark.parametrize("owner", [None, ""])
def test_a_record_of_nobody_is_refused_by_its_id(owner: str | None) -> None:
    with pytest.raises(ConfigError, match="Record 'r1' says nothing in the column `patient`"):
        UnitRows.of(records_of("a", owner), Unit.PATIENT, "patient")


def test_whose_a_record_is_does_not_show() -> None:
    units = UnitRows.of(records_of("anna", "anna"), Unit.PATIENT, "patient")
    assert "anna" not in f"{units!r}{records_of('anna')!r}"
