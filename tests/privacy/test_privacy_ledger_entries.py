"""The parts of a ledger on their own: entries, terms, budgets, commitments and accounts."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace
from typing import Any

import pytest

from crypto.digests import canonical_json
from crypto.errors import BudgetError, ConfigError, IntegrityError
from crypto.secrets import SecretBytes
from privacy.events import NoGuarantee, Relation, SubsampledGaussian, Unit
from privacy.ledger_accounts import Accounts
from privacy.ledger_acts import Declaration
from privacy.ledger_entries import Draw, Entry, EntrySchema, ExtractEntry, extracted
from privacy.ledger_fields import GENESIS, chained
from privacy.ledger_terms import Budget, Planned, Terms

STEP = SubsampledGaussian(2.0, 0.1, 1)
TERMS = Terms(Unit.RECORD, Relation.ADD_REMOVE, 1e-5)
DECLARED = Declaration(
    sequence=1,
    time="2026-03-01T00:00:00Z",
    dataset="ward",
    terms=TERMS,
    composition=Planned(),
    shares_people_with=(),
)
RESERVED = Entry(
    sequence=2,
    time="2026-03-01T00:00:00Z",
    dataset="ward",
    version=bytes(32),
    run="run-1",
    event=SubsampledGaussian(2.0, 0.1, 4),
    terms=TERMS,
    draw=None,
)
DRAWN = replace(RESERVED, sequence=3, event=STEP, draw=Draw(0, 0))
(EXTRACT,) = extracted([DRAWN], SecretBytes(bytes(16)))


def after(*entries: Entry) -> Accounts:
    """The accounts after a declaration and `entries`, each of which may come."""
    accounts = Accounts()
    for entry in (DECLARED, *entries):
        accounts.replay(entry.sequence, entry.body(), chained(accounts.head, entry.body()))
    return accounts


def test_a_chain_begins_at_one_known_head() -> None:
    assert GENESIS.hex() == "5bef745ac4e039cc688eec0d84d39a8b2cd0565cf35bc9b61522498b1b704c5f"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (TERMS, "delta"),
        (Budget(1.0, 1e-5, Unit.RECORD, Relation.ADD_REMOVE), "epsilon"),
        (Draw(0, 0), "round"),
        (RESERVED, "sequence"),
        (EXTRACT, "run"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_recorded_does_not_change(value: object, field: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, field, 0)


@pytest.mark.parametrize("delta", [0.0, 1.0, 2.0])
def test_terms_have_a_delta_that_means_something(delta: float) -> None:
    with pytest.raises(ConfigError, match="delta"):
        Terms(Unit.RECORD, Relation.ADD_REMOVE, delta)


def test_a_ceiling_of_zero_is_a_ceiling() -> None:
    assert Budget(0.0, 1e-5, Unit.RECORD, Relation.ADD_REMOVE).terms == TERMS


def test_draws_are_counted_up_to_the_largest_number_and_no_further() -> None:
    assert Draw(2**31, 2**31) == Draw(round=2**31, attempt=2**31)
    for round_, attempt in ((2**31 + 1, 0), (0, 2**31 + 1), (1.0, 0), (0, "1"), (0, True)):
        with pytest.raises(ConfigError, match="number of a draw"):
            Draw(round_, attempt)  # type: ignore[arg-type]


@pytest.mark.parametrize("time", ["", "yesterday", "2026-03-01 00:00:00Z", "2026-03-01T00:00:00"])
def test_an_entry_has_a_time(time: str) -> None:
    for entry in (RESERVED, EXTRACT):
        with pytest.raises(ConfigError, match="time"):
            replace(entry, time=time)


def test_an_extract_names_its_run() -> None:
    with pytest.raises(ConfigError, match="name"):
        replace(EXTRACT, run="Run 1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("sequence", value) for value in (1.5, True, "1", None, [1])),
        *(("delta", value) for value in ("1e-5", True, None, [1e-5], 1)),
    ],
)
def test_a_field_of_another_type_is_refused(field: str, value: Any) -> None:  # noqa: ANN401 - JSON
    body = canonical_json({**json.loads(RESERVED.body()), field: value})
    with pytest.raises(IntegrityError, match="no entry"):
        Entry.parse(body)
    if field == "delta":
        with pytest.raises(IntegrityError, match="no entry"):
            ExtractEntry.from_json({**EXTRACT.to_json(), field: value})


def test_commitments_are_the_hmac_that_is_written_here() -> None:
    key = bytes(range(16))
    (extract,) = extracted([RESERVED], SecretBytes(key))
    prefix = b"secure-fl/v1/ledger-commitment/"
    assert extract.dataset == hmac.digest(key, prefix + b"dataset\0ward", "sha256").hex()
    assert extract.version == hmac.digest(key, prefix + b"version\0" + bytes(32), "sha256").hex()


def test_a_commitment_key_that_could_be_guessed_is_refused() -> None:
    assert extracted([RESERVED], SecretBytes(bytes(16)))
    with pytest.raises(ConfigError, match="15 bytes can be guessed"):
        extracted([RESERVED], SecretBytes(bytes(15)))


def test_nothing_is_repeated_before_it_was_drawn_once() -> None:
    assert not Accounts().is_repeat("ward", "run-1", 0)
    accounts = after(RESERVED, DRAWN)
    assert accounts.is_repeat("ward", "run-1", 0)
    assert not accounts.is_repeat("ward", "run-1", 1)
    assert not accounts.is_repeat("ward", "run-2", 0)


def test_a_draw_from_other_records_than_were_reserved_is_refused() -> None:
    after(RESERVED).admit(DRAWN)
    with pytest.raises(ConfigError, match="data version"):
        after(RESERVED).admit(replace(DRAWN, version=bytes(range(32))))


def test_a_mechanism_never_stands_in_for_another() -> None:
    without = replace(RESERVED, event=NoGuarantee())
    after(without).admit(replace(DRAWN, event=NoGuarantee()))
    for reserved, drawn in ((without, DRAWN), (RESERVED, replace(DRAWN, event=NoGuarantee()))):
        with pytest.raises(ConfigError, match="another noise multiplier"):
            after(reserved).admit(drawn)


def test_a_draw_without_a_reservation_is_refused() -> None:
    with pytest.raises(BudgetError, match="reserved nothing"):
        after().admit(DRAWN)


def test_a_use_of_a_name_that_was_never_declared_is_refused() -> None:
    with pytest.raises(ConfigError, match="never declared"):
        Accounts().admit(replace(RESERVED, sequence=1))
    Accounts().admit(replace(RESERVED, sequence=1, schema=EntrySchema.V1))
