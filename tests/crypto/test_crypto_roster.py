from __future__ import annotations

import base64
import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import roster as roster_module
from crypto.digests import canonical_json, sha256
from crypto.dsse import sign_envelope
from crypto.errors import ConfigError, IntegrityError, PeerError
from crypto.roster import (
    PAYLOAD_TYPE,
    Member,
    Reason,
    Revocation,
    Role,
    Roster,
    open_roster,
    read_roster,
    sign_roster,
)
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey

ROOT, STRANGER, *KEYS = [SigningKey.from_seed(SecretBytes(bytes([n]) * 32)) for n in range(1, 16)]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)

MEMBERS = (
    Member("north", Role.SITE, KEYS[0].public),
    Member("lead", Role.COORDINATOR, KEYS[1].public),
    Member("south", Role.SITE, KEYS[2].public),
)
REVOKED = (
    Revocation(KEYS[8].public, "south", 3, Reason.COMPROMISED),
    Revocation(KEYS[9].public, "east", 4),
)
ROSTER = Roster(
    "Hospitals of the North", MEMBERS, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", 4, REVOKED
)
DATA = sign_roster(ROOT, ROSTER)


def _signed(**changes: object) -> bytes:
    """What a careless or hostile holder of the root key could sign."""
    document = {**json.loads(ROSTER.payload()), **changes}
    return sign_envelope(PAYLOAD_TYPE, canonical_json(document), [ROOT])


def _member(name: str, role: str, key: SigningKey) -> dict[str, str]:
    return {"name": name, "role": role, "verify_key": key.public.raw.hex()}


LEAD, NORTH, SOUTH = json.loads(ROSTER.payload())["members"]
TOMBSTONES = json.loads(ROSTER.payload())["revoked"]
FIRST = TOMBSTONES[0]


def test_a_roster_opens_to_what_was_signed() -> None:
    opened = open_roster(DATA, ROOT.public, NOW)
    assert opened == ROSTER
    assert opened.digest() == ROSTER.digest() == sha256(ROSTER.payload())
    assert [member.name for member in opened.sites()] == ["north", "south"]
    assert opened.coordinator().name == "lead"
    assert opened.member("south").verify_key == KEYS[2].public
    assert opened.serial == 4
    assert opened.revocation(KEYS[9].public) == REVOKED[1]
    assert opened.revocation(KEYS[0].public) is None


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_any_good_roster_survives(data: st.DataObject) -> None:
    names = data.draw(
        st.lists(
            st.from_regex(r"[a-z0-9][a-z0-9._-]{0,8}", fullmatch=True),
            min_size=2,
            unique=True,
            max_size=12,
        )
    )
    lead = data.draw(st.integers(0, len(names) - 1))
    members = tuple(
        Member(name, Role.COORDINATOR if at == lead else Role.SITE, KEYS[at].public)
        for at, name in enumerate(names)
    )
    start = data.draw(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)))  # noqa: DTZ001 - Hypothesis wants them naive
    start = start.replace(microsecond=0, tzinfo=UTC)
    roster = Roster(
        consortium=data.draw(st.sampled_from(["C", "Krankenhäuser", "病院 連合"])),
        members=members,
        not_before=start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        not_after=(start + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        serial=data.draw(st.integers(2, 2**53 - 1)),
        revoked=data.draw(st.sampled_from([(), (Revocation(STRANGER.public, "gone", 2),)])),
    )
    opened = open_roster(sign_roster(ROOT, roster), ROOT.public, start + timedelta(days=1))
    assert opened == roster
    assert len(opened.sites()) == len(names) - 1


def test_the_order_in_which_members_are_given_does_not_move_the_digest() -> None:
    shuffled = dataclasses.replace(ROSTER, members=MEMBERS[::-1], revoked=REVOKED[::-1])
    assert shuffled == ROSTER
    assert shuffled.digest() == ROSTER.digest()


@pytest.mark.parametrize(
    "change",
    [
        {"consortium": "Hospitals of the South"},
        {"serial": 5},
        {"not_before": "2026-01-01T00:00:01Z"},
        {"not_after": "2027-01-01T00:00:01Z"},
        {"members": (*MEMBERS[:2], Member("south", Role.SITE, KEYS[3].public))},
        {"members": (*MEMBERS[:2], Member("west", Role.SITE, KEYS[2].public))},
        {"members": MEMBERS[:2]},
        {"revoked": ()},
        {"revoked": REVOKED[:1]},
        {"revoked": (REVOKED[0], dataclasses.replace(REVOKED[1], name="west"))},
        {"revoked": (REVOKED[0], dataclasses.replace(REVOKED[1], since_serial=3))},
        {"revoked": (REVOKED[0], dataclasses.replace(REVOKED[1], reason=Reason.LOST))},
        {"revoked": (REVOKED[0], dataclasses.replace(REVOKED[1], verify_key=KEYS[10].public))},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_in_the_digest_and_under_the_signature(change: dict[str, object]) -> None:
    other = dataclasses.replace(ROSTER, **change)
    assert other.digest() != ROSTER.digest()
    signature = json.loads(DATA)["signatures"]
    forged = json.dumps({**json.loads(sign_roster(ROOT, other)), "signatures": signature})
    with pytest.raises(IntegrityError, match="does not verify"):
        open_roster(forged.encode(), ROOT.public, NOW)


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_no_altered_bit_of_the_file_passes(data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(DATA) - 1))
    altered = bytearray(DATA)
    altered[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(IntegrityError):
        open_roster(bytes(altered), ROOT.public, NOW)


def test_only_the_pinned_root_counts() -> None:
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        open_roster(DATA, STRANGER.public, NOW)
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        open_roster(sign_roster(STRANGER, ROSTER), ROOT.public, NOW)
    # A member, the coordinator above all, cannot sign a roster.
    coordinators = sign_envelope(PAYLOAD_TYPE, ROSTER.payload(), [KEYS[1]])
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        open_roster(coordinators, ROOT.public, NOW)


def test_another_file_that_the_root_signed_is_no_roster() -> None:
    other = sign_envelope("application/vnd.secure-fl.manifest.v1+json", ROSTER.payload(), [ROOT])
    with pytest.raises(IntegrityError, match="was expected"):
        open_roster(other, ROOT.public, NOW)
    as_message = ROOT.sign("roster", ROSTER.payload())
    envelope = json.loads(DATA)
    envelope["signatures"][0]["sig"] = base64.b64encode(as_message).decode()
    with pytest.raises(IntegrityError, match="does not verify"):
        open_roster(json.dumps(envelope).encode(), ROOT.public, NOW)


START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)


def test_a_roster_holds_from_its_first_second_to_before_its_last() -> None:
    for moment in (START, NOW, END - SECOND):
        assert open_roster(DATA, ROOT.public, moment) == ROSTER
    for moment in (START - SECOND, datetime(1970, 1, 1, tzinfo=UTC)):
        with pytest.raises(ConfigError, match="Check the clock"):
            open_roster(DATA, ROOT.public, moment)
    for moment in (END, END + timedelta(days=999)):
        with pytest.raises(ConfigError, match="expired at 2027-01-01T00:00:00Z"):
            open_roster(DATA, ROOT.public, moment)


def test_an_expired_roster_is_read_where_only_its_content_counts() -> None:
    with pytest.raises(ConfigError, match="expired"):
        open_roster(DATA, ROOT.public, END)
    assert read_roster(DATA, [ROOT.public]) == ROSTER
    assert read_roster(DATA, [STRANGER.public, ROOT.public]) == ROSTER
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        read_roster(DATA, [STRANGER.public])
    with pytest.raises(ConfigError, match="uses the consortium's root key"):
        read_roster(DATA, [KEYS[0].public, ROOT.public])


def test_the_clock_counts_in_utc_whatever_zone_it_is_told_in() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert open_roster(DATA, ROOT.public, START.astimezone(tokyo)) == ROSTER
    with pytest.raises(ConfigError, match="clock says 2025-12-31T15:00:00Z"):
        open_roster(DATA, ROOT.public, datetime(2026, 1, 1, tzinfo=tokyo))
    with pytest.raises(ConfigError, match="without a time zone"):
        open_roster(DATA, ROOT.public, NOW.replace(tzinfo=None))


IMPOSSIBLE = {
    "a name twice": ({"members": [LEAD, NORTH, {**SOUTH, "name": "north"}]}, "name north"),
    "a key twice": (
        {"members": [LEAD, NORTH, {**SOUTH, "verify_key": NORTH["verify_key"]}]},
        "verify key",
    ),
    "the coordinator's key for a site": (
        {"members": [LEAD, NORTH, {**SOUTH, "verify_key": LEAD["verify_key"]}]},
        "verify key",
    ),
    "no coordinator": ({"members": [NORTH, SOUTH]}, "0 coordinators"),
    "two coordinators": ({"members": [LEAD, NORTH, {**SOUTH, "role": "coordinator"}]}, "2 coord"),
    "no site": ({"members": [LEAD]}, "no site"),
    "nobody": ({"members": []}, "0 coordinators"),
    "the root as a member": (
        {"members": [LEAD, NORTH, _member("south", "site", ROOT)]},
        "root key",
    ),
    "members in another order": ({"members": [NORTH, LEAD, SOUTH]}, "canonical"),
    "a key in capitals": (
        {"members": [LEAD, NORTH, {**SOUTH, "verify_key": SOUTH["verify_key"].upper()}]},
        "cannot read",
    ),
    "a key of small order": (
        {"members": [LEAD, NORTH, {**SOUTH, "verify_key": "01" + "00" * 31}]},
        "forged",
    ),
    "a short key": ({"members": [LEAD, NORTH, {**SOUTH, "verify_key": "00"}]}, "cannot read"),
    "a role that nobody knows": ({"members": [LEAD, {**NORTH, "role": "root"}]}, "cannot read"),
    "a name with a path": ({"members": [LEAD, {**NORTH, "name": "../north"}]}, "cannot read"),
    "a member's unknown field": ({"members": [LEAD, {**NORTH, "admin": True}]}, "cannot read"),
    "an unknown field": ({"comment": "x"}, "cannot read"),
    "another schema": ({"schema": "secure-fl.roster.v1"}, "cannot read"),
    "serial 0": ({"serial": 0}, "serial"),
    "a serial in words": ({"serial": "4"}, "cannot read"),
    "a serial that is true": ({"serial": True}, "cannot read"),
    "a revoked key as a member's": (
        {"members": [LEAD, NORTH, _member("south", "site", KEYS[8])]},
        "gives south a revoked key",
    ),
    "a revoked key under another name": (
        {"members": [LEAD, NORTH, SOUTH, _member("west", "site", KEYS[8])]},
        "gives west a revoked key",
    ),
    "a key revoked twice": (
        {"revoked": [FIRST, {**FIRST, "since_serial": 1}]},
        "revokes one key twice",
    ),
    "a key revoked since nothing": ({"revoked": [{**FIRST, "since_serial": 0}]}, "since serial 0"),
    "a key revoked since the next": ({"revoked": [{**FIRST, "since_serial": 5}]}, "since serial 5"),
    "the root's key revoked": (
        {"revoked": [{**FIRST, "verify_key": ROOT.public.raw.hex()}]},
        "revokes the consortium's root key",
    ),
    "revoked keys in another order": ({"revoked": TOMBSTONES[::-1]}, "canonical"),
    "a reason that nobody knows": ({"revoked": [{**FIRST, "reason": "mood"}]}, "cannot read"),
    "a reason too few": (
        {"revoked": [{k: v for k, v in FIRST.items() if k != "reason"}]},
        "cannot read",
    ),
    "nothing of revoked keys": ({"revoked": None}, "cannot read"),
    "no name": ({"consortium": ""}, "printable name"),
    "a name with control characters": ({"consortium": "C\x1b[2J"}, "printable name"),
    "a long name": ({"consortium": "C" * 201}, "printable name"),
    "the end before the start": ({"not_after": "2025-01-01T00:00:00Z"}, "no time at all"),
    "the end at the start": ({"not_after": "2026-01-01T00:00:00Z"}, "no time at all"),
    "a day that is none": ({"not_after": "2026-02-30T00:00:00Z"}, "not a time in UTC"),
    "a time without a zone": ({"not_after": "2027-01-01T00:00:00"}, "not a time in UTC"),
    "a time in another zone": ({"not_after": "2027-01-01T00:00:00+09:00"}, "not a time in UTC"),
    "a leap second": ({"not_after": "2027-01-01T00:00:60Z"}, "not a time in UTC"),
    "a time with more": ({"not_after": "2027-01-01T00:00:00Z\n"}, "not a time in UTC"),
    "other digits": ({"not_after": "٢٠٢٧-01-01T00:00:00Z"}, "not a time in UTC"),
}


@pytest.mark.parametrize(("change", "word"), IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_roster_that_says_something_impossible_is_refused_though_signed(
    change: dict[str, object], word: str
) -> None:
    with pytest.raises(ConfigError, match=word):
        open_roster(_signed(**change), ROOT.public, NOW)


PAYLOADS = {
    "white space": ROSTER.payload() + b"\n",
    "a field twice": ROSTER.payload().replace(b'"serial":4', b'"serial":3,"serial":4'),
    "a number in another form": ROSTER.payload().replace(b'"serial":4', b'"serial":4.0'),
    "no JSON": b"roster",
    "no UTF-8": b"\xff",
    "nothing": b"",
    "deep": b"[" * 100_000,
    "null": b"null",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_signed_payload_in_any_other_encoding_is_refused(payload: bytes) -> None:
    with pytest.raises(ConfigError):
        open_roster(sign_envelope(PAYLOAD_TYPE, payload, [ROOT]), ROOT.public, NOW)


def test_the_same_rules_hold_before_signing() -> None:
    with pytest.raises(ConfigError, match="name north"):
        dataclasses.replace(ROSTER, members=(*MEMBERS, Member("north", Role.SITE, KEYS[3].public)))
    with pytest.raises(ConfigError, match="cannot name a party"):
        dataclasses.replace(ROSTER, members=(*MEMBERS, Member("Nörd", Role.SITE, KEYS[3].public)))
    with pytest.raises(ConfigError, match="serial"):
        dataclasses.replace(ROSTER, serial=2**53)
    with pytest.raises(ConfigError, match="root key"):
        sign_roster(KEYS[0], ROSTER)


def test_who_is_not_on_the_roster_is_a_peer_to_drop() -> None:
    for name in ("west", "", "North", "north\0"):
        with pytest.raises(PeerError, match="not on the roster"):
            ROSTER.member(name)


# Each check, taken away, lets its attack through.


def test_without_the_repeat_check_one_party_speaks_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_module, "_refuse_repeats", lambda _values, _what: None)
    data = _signed(members=[LEAD, NORTH, {**SOUTH, "verify_key": NORTH["verify_key"]}])
    opened = open_roster(data, ROOT.public, NOW)
    signature = KEYS[0].sign("vote", b"in the name of the south")
    opened.member("south").verify_key.verify("vote", b"in the name of the south", signature)


def test_without_the_root_check_a_member_could_write_rosters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_module, "_check_root_apart", lambda _roster, _root: None)
    data = _signed(members=[LEAD, NORTH, _member("south", "site", ROOT)])
    assert open_roster(data, ROOT.public, NOW).member("south").verify_key == ROOT.public


def test_without_the_tombstone_check_a_stolen_key_speaks_for_a_new_member(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_module, "_check_revoked", lambda _revoked, _members, _serial: None)
    data = _signed(members=[LEAD, NORTH, SOUTH, _member("west", "site", KEYS[8])])
    opened = open_roster(data, ROOT.public, NOW)
    opened.member("west").verify_key.verify("vote", b"yes", KEYS[8].sign("vote", b"yes"))


def test_without_the_validity_check_an_expired_roster_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_module, "check_valid", lambda _roster, _now: None)
    assert open_roster(DATA, ROOT.public, END) == ROSTER


def test_without_one_encoding_two_files_would_be_one_roster_under_two_digests() -> None:
    loose = ROSTER.payload() + b"\n"
    parsed = json.loads(loose)
    assert parsed == json.loads(ROSTER.payload())
    assert sha256(loose) != ROSTER.digest()
    with pytest.raises(ConfigError, match="canonical"):
        open_roster(sign_envelope(PAYLOAD_TYPE, loose, [ROOT]), ROOT.public, NOW)
