"""The lines of a ledger as bytes: one spelling each, and nothing that a version would not write."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.digests import canonical_json
from crypto.errors import ConfigError, IntegrityError
from privacy.events import NoGuarantee, Relation, SubsampledGaussian, Unit
from privacy.ledger_accounts import Accounts, Charge
from privacy.ledger_acts import Declaration, LostCharge, Restoration, parse_line
from privacy.ledger_backup import AcceptedLoss, Restored
from privacy.ledger_entries import Draw, Entry, EntrySchema, Kind
from privacy.ledger_fields import chained
from privacy.ledger_fingerprints import Fingerprints, Printed
from privacy.ledger_proposals import Proposal
from privacy.ledger_spending import Total
from privacy.ledger_terms import Adaptive, Budget, Planned, Terms

TIME = "2026-03-01T00:00:00Z"
TERMS = Terms(Unit.RECORD, Relation.ADD_REMOVE, 1e-5)
STEP = SubsampledGaussian(2.0, 0.5, 3)
DECLARED = Declaration(1, TIME, "ward", TERMS, Adaptive(8.0), ("clinic", "study"))
RESTORED = Restoration(
    7, TIME, bytes(range(32)), (LostCharge("clinic", ()), LostCharge("ward", (STEP,)))
)
RESERVED = Entry(2, TIME, "ward", bytes(32), "run-1", STEP, TERMS, None)

names = st.sampled_from(["a", "b", "c", "d.e", "0"])
terms = st.builds(Terms, st.sampled_from(Unit), st.sampled_from(Relation), st.floats(1e-9, 0.1))
events = st.just(NoGuarantee()) | st.builds(
    SubsampledGaussian, st.floats(0.1, 1e3), st.floats(1e-6, 1.0), st.integers(1, 2**31)
)
digests = st.binary(min_size=32, max_size=32)
numbers = st.integers(1, 99)
declarations = st.builds(
    Declaration,
    numbers,
    st.just(TIME),
    st.just("own"),
    terms,
    st.just(Planned()) | st.builds(Adaptive, st.sampled_from([2.0, 8.0, 1.0625, 64.0])),
    st.sets(names).map(lambda some: tuple(sorted(some))),
)
restorations = st.builds(
    Restoration,
    numbers,
    st.just(TIME),
    st.none() | digests,
    st.dictionaries(names, st.lists(events, max_size=3)).map(
        lambda some: tuple(LostCharge(name, tuple(of)) for name, of in sorted(some.items()))
    ),
)
reservations = st.builds(
    Entry,
    numbers,
    st.just(TIME),
    names,
    digests,
    names,
    events,
    terms,
    st.none(),
    printed=st.none() | st.builds(Printed, st.integers(5, 9), st.integers(0, 5), digests, digests),
)
draws = st.builds(
    Entry,
    *(numbers, st.just(TIME), names, digests, names, events, terms),
    st.builds(Draw, st.integers(0, 9), st.integers(0, 9)),
    schema=st.sampled_from(EntrySchema),
)
first = reservations.map(lambda entry: replace(entry, printed=None, schema=EntrySchema.V1))


@settings(deadline=None)
@given(declarations | restorations | reservations | draws | first)
def test_every_line_comes_back_from_its_bytes(line: Declaration | Restoration | Entry) -> None:
    assert parse_line(line.body()) == line
    assert json.loads(line.body())["kind"] == line.kind.value


@pytest.mark.parametrize(
    "value",
    [
        *(DECLARED, RESTORED, RESERVED, LostCharge("a", ()), TERMS, Draw(0, 0), Adaptive(8.0)),
        Budget(1.0, 1e-5, Unit.RECORD, Relation.ADD_REMOVE),
        Charge(TIME, "ward", "run-1", STEP),
        Total(1.0, TERMS, Planned(), is_declared=True),
        Printed(1, 1, bytes(32), bytes(32)),
        Fingerprints(bytes(32), frozenset()),
        Proposal(),
        AcceptedLoss((), {}),
        Restored(bytes(32), None, ()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_was_said_does_not_change(value: object) -> None:
    field = next(iter(vars(value)))
    with pytest.raises(FrozenInstanceError):
        setattr(value, field, None)
    with pytest.raises((AttributeError, TypeError)):
        Planned().kind = "adaptive"  # type: ignore[attr-defined] # what must not be possible


def test_a_declaration_is_written_as_it_is_here() -> None:
    assert json.loads(DECLARED.body()) == {
        "schema": "secure-fl.ledger-entry.v2",
        "kind": "declare",
        "sequence": 1,
        "time": TIME,
        "dataset": "ward",
        "unit": "record",
        "relation": "add-remove",
        "delta": 1e-5,
        "composition": {"kind": "adaptive", "order": 8},
        "shares_people_with": ["clinic", "study"],
    }


FORGERIES: list[tuple[Declaration | Restoration | Entry, dict[str, Any]]] = [
    (DECLARED, {"kind": "reserve"}),
    (DECLARED, {"kind": "refund"}),
    (DECLARED, {"kind": None}),
    (DECLARED, {"schema": "secure-fl.ledger-entry.v1"}),
    (DECLARED, {"schema": "secure-fl.ledger-entry.v3"}),
    (DECLARED, {"schema": None}),
    (DECLARED, {"comment": ""}),
    (DECLARED, {"sequence": True}),
    (DECLARED, {"time": "yesterday"}),
    (DECLARED, {"time": "2026-13-01T00:00:00Z"}),
    (DECLARED, {"dataset": "Ward"}),
    (DECLARED, {"unit": "person"}),
    (DECLARED, {"delta": "1e-5"}),
    (DECLARED, {"delta": 2}),
    (DECLARED, {"composition": {"kind": "added"}}),
    (DECLARED, {"composition": {"kind": "planned", "order": 8}}),
    (DECLARED, {"composition": {"kind": "adaptive"}}),
    (DECLARED, {"composition": {"kind": "adaptive", "order": "8"}}),
    (DECLARED, {"composition": {"kind": "adaptive", "order": True}}),
    (DECLARED, {"composition": {"kind": "adaptive", "order": 1}}),
    (DECLARED, {"composition": {"kind": "adaptive", "order": 10**400}}),
    (DECLARED, {"composition": "planned"}),
    (DECLARED, {"shares_people_with": ["study", "clinic"]}),
    (DECLARED, {"shares_people_with": ["clinic", "clinic"]}),
    (DECLARED, {"shares_people_with": ["ward"]}),
    (DECLARED, {"shares_people_with": ["A b"]}),
    (DECLARED, {"shares_people_with": "clinic"}),
    (DECLARED, {"shares_people_with": [1]}),
    (RESTORED, {"schema": "secure-fl.ledger-entry.v1"}),
    (RESTORED, {"comment": ""}),
    (RESTORED, {"sequence": 1.5}),
    (RESTORED, {"time": ""}),
    (RESTORED, {"lost_head": "00"}),
    (RESTORED, {"lost_head": 0}),
    (RESTORED, {"charges": {}}),
    (RESTORED, {"charges": ["ward"]}),
    (RESTORED, {"charges": [{"dataset": "ward"}]}),
    (RESTORED, {"charges": [{"dataset": "W", "events": []}]}),
    (RESTORED, {"charges": [{"dataset": "ward", "events": [], "more": 1}]}),
    (RESTORED, {"charges": [{"dataset": "ward", "events": [{"kind": "laplace"}]}]}),
    (RESTORED, {"charges": [{"dataset": name, "events": []} for name in "ba"]}),
    (RESTORED, {"charges": [{"dataset": name, "events": []} for name in "aa"]}),
    (RESERVED, {"schema": "secure-fl.ledger-entry.v3"}),
    (RESERVED, {"schema": 2}),
    (RESERVED, {"records": 1}),
    (RESERVED, {"records": {}}),
    (RESERVED, {"round": 0, "attempt": 0}),
    (RESERVED, {"kind": "draw", "round": 0, "attempt": 0}),
    (RESERVED, {"schema": "secure-fl.ledger-entry.v1"}),
    (RESERVED, {"kind": "declare"}),
    (RESERVED, {"kind": "restored"}),
]


@pytest.mark.parametrize(("line", "change"), FORGERIES, ids=lambda value: str(value)[:60])
def test_what_no_version_would_write_is_refused(
    line: Declaration | Restoration | Entry, change: dict[str, Any]
) -> None:
    value = json.loads(line.body())
    try:
        body = canonical_json({**value, **change})
    except ConfigError:  # a number that canonical JSON cannot hold
        body = json.dumps({**value, **change}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(IntegrityError, match="no entry of a ledger"):
        parse_line(body)


@pytest.mark.parametrize("line", [DECLARED, RESTORED, RESERVED])
def test_a_missing_field_is_refused(line: Declaration | Restoration | Entry) -> None:
    value = json.loads(line.body())
    for field in value:
        with pytest.raises(IntegrityError, match="no entry of a ledger"):
            parse_line(canonical_json({key: value[key] for key in value if key != field}))


@pytest.mark.parametrize("line", [DECLARED, RESTORED, RESERVED])
def test_another_spelling_is_refused(line: Declaration | Restoration | Entry) -> None:
    spelt = json.dumps(json.loads(line.body())).encode()
    assert json.loads(spelt) == json.loads(line.body())
    with pytest.raises(IntegrityError, match="canonical"):
        parse_line(spelt)


def test_fingerprints_stand_beside_reservations_alone() -> None:
    printed = Printed(1, 1, bytes(32), bytes(32))
    assert replace(RESERVED, printed=printed).kind is Kind.RESERVE
    for other in (
        replace(RESERVED, draw=Draw(0, 0)),
        replace(RESERVED, schema=EntrySchema.V1),
    ):
        with pytest.raises(ConfigError, match="no fingerprints"):
            replace(other, printed=printed)


def test_accounts_after_a_restoration_hold_what_it_charges() -> None:
    accounts = Accounts()
    line = replace(RESTORED, sequence=1)
    accounts.replay(1, line.body(), chained(accounts.head, line.body()))
    assert accounts.names() == ("clinic", "ward")
    assert accounts.charged("clinic") == ()
    assert accounts.charges("ward") == (Charge(TIME, "ward", None, STEP),)
    assert accounts.terms("ward") is None
    assert accounts.composition("ward") == Planned()
    declared = replace(DECLARED, sequence=2)
    accounts.replay(2, declared.body(), chained(accounts.head, declared.body()))
    assert accounts.terms("ward") == TERMS
    assert accounts.charged("clinic") == accounts.charged("ward") == (STEP,)


def test_a_dry_run_changes_nothing() -> None:
    accounts = Accounts()
    after = accounts.declared(DECLARED)
    assert after.declaration("ward") == DECLARED
    assert after.sequence == 1
    assert (accounts.names(), accounts.sequence) == ((), 0)
