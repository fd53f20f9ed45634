"""Rosters that follow one another, and those that a careless or robbed consortium would sign."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import roster_succession
from crypto.errors import ConfigError, IntegrityError, SecureFLError
from crypto.roster import Member, Reason, Revocation, Role, Roster, sign_roster
from crypto.roster_succession import accept_successor, check_successor, next_roster
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey

ROOT, STRANGER, *KEYS = [SigningKey.from_seed(SecretBytes(bytes([n]) * 32)) for n in range(1, 16)]
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR = {"not_before": "2026-01-01T00:00:00Z", "not_after": "2027-01-01T00:00:00Z"}

LEAD = Member("lead", Role.COORDINATOR, KEYS[0].public)
NORTH = Member("north", Role.SITE, KEYS[1].public)
SOUTH = Member("south", Role.SITE, KEYS[2].public)
OLD = Revocation(KEYS[8].public, "south", 3, Reason.COMPROMISED)


def roster(
    serial: int,
    members: tuple[Member, ...] = (LEAD, NORTH, SOUTH),
    revoked: tuple[Revocation, ...] = (OLD,),
    consortium: str = "Hospitals",
) -> Roster:
    return Roster(consortium, members, YEAR["not_before"], YEAR["not_after"], serial, revoked)


CURRENT = roster(4)
NEW_SOUTH = dataclasses.replace(SOUTH, verify_key=KEYS[3].public)
SOUTH_REVOKED = Revocation(SOUTH.verify_key, "south", 5, Reason.LOST)

GOOD = {
    "itself": CURRENT,
    "a new year": roster(5),
    "serials later": roster(900),
    "a new member": roster(5, (LEAD, NORTH, SOUTH, Member("west", Role.SITE, KEYS[5].public))),
    "a new key with the old revoked": roster(5, (LEAD, NORTH, NEW_SOUTH), (OLD, SOUTH_REVOKED)),
    "a member gone with its key revoked": roster(5, (LEAD, NORTH), (OLD, SOUTH_REVOKED)),
    "a revocation that a party missed": roster(
        9, (LEAD, NORTH, NEW_SOUTH), (OLD, dataclasses.replace(SOUTH_REVOKED, since_serial=7))
    ),
    "a key revoked that was no member's": roster(
        5, revoked=(OLD, Revocation(KEYS[9].public, "gone", 5))
    ),
}


@pytest.mark.parametrize("successor", GOOD.values(), ids=GOOD.keys())
def test_a_successor_takes_the_place(successor: Roster) -> None:
    check_successor(CURRENT, successor)
    data = sign_roster(ROOT, successor)
    assert accept_successor(CURRENT, data, ROOT.public, NOW) == successor


AS_COORDINATOR = (
    Member("lead", Role.SITE, KEYS[5].public),
    dataclasses.replace(SOUTH, role=Role.COORDINATOR),
    NORTH,
)
BAD = {
    "an older one": (roster(3), IntegrityError, "Roster 3 came to a party that had accepted"),
    "another of the same serial": (
        roster(4, (LEAD, NORTH, SOUTH, Member("west", Role.SITE, KEYS[5].public))),
        IntegrityError,
        "A second roster 4",
    ),
    "another consortium's": (roster(5, consortium="Banks"), ConfigError, "of Banks came"),
    "no tombstones": (roster(5, revoked=()), ConfigError, "drops or alters the revocation"),
    "a revoked key back in its old name": (
        roster(5, (LEAD, NORTH, dataclasses.replace(SOUTH, verify_key=OLD.verify_key)), ()),
        ConfigError,
        "drops or alters the revocation of south's key",
    ),
    "a revoked key back in a new name": (
        roster(5, (LEAD, NORTH, SOUTH, Member("west", Role.SITE, OLD.verify_key)), ()),
        ConfigError,
        "drops or alters the revocation of south's key",
    ),
    "a tombstone in another name": (
        roster(5, revoked=(dataclasses.replace(OLD, name="west"),)),
        ConfigError,
        "drops or alters",
    ),
    "a tombstone of another day": (
        roster(5, revoked=(dataclasses.replace(OLD, since_serial=2),)),
        ConfigError,
        "drops or alters",
    ),
    "a tombstone with another reason": (
        roster(5, revoked=(dataclasses.replace(OLD, reason=None),)),
        ConfigError,
        "drops or alters",
    ),
    "a tombstone that is backdated": (
        roster(5, (LEAD, NORTH), (OLD, dataclasses.replace(SOUTH_REVOKED, since_serial=4))),
        ConfigError,
        "roster 4 knew nothing of it",
    ),
    "a new key with the old one let go": (
        roster(5, (LEAD, NORTH, NEW_SOUTH)),
        ConfigError,
        "lets the key of south go",
    ),
    "a member let go": (roster(5, (LEAD, NORTH)), ConfigError, "lets the key of south go"),
    "the coordinator let go": (
        roster(5, (Member("lead", Role.COORDINATOR, KEYS[5].public), NORTH, SOUTH)),
        ConfigError,
        "lets the key of lead go",
    ),
    "a key in another name": (
        roster(5, (LEAD, NORTH, dataclasses.replace(SOUTH, name="west"))),
        ConfigError,
        "has the key of south",
    ),
    "two keys exchanged": (
        roster(
            5,
            (
                LEAD,
                dataclasses.replace(NORTH, verify_key=SOUTH.verify_key),
                dataclasses.replace(SOUTH, verify_key=NORTH.verify_key),
            ),
        ),
        ConfigError,
        "has the key of north",
    ),
    "a site's key as the coordinator's": (
        roster(5, AS_COORDINATOR, (OLD, Revocation(LEAD.verify_key, "lead", 5))),
        ConfigError,
        r"south \(site\) as that of south \(coordinator\)",
    ),
}


@pytest.mark.parametrize(("successor", "kind", "words"), BAD.values(), ids=BAD.keys())
def test_what_does_not_follow_is_refused_though_signed(
    successor: Roster, kind: type[SecureFLError], words: str
) -> None:
    with pytest.raises(kind, match=words):
        accept_successor(CURRENT, sign_roster(ROOT, successor), ROOT.public, NOW)


def test_only_the_root_of_today_names_successors() -> None:
    for signer in (STRANGER, KEYS[0]):
        forged = sign_roster(
            signer, roster(5, (Member("x", Role.COORDINATOR, KEYS[9].public), NORTH))
        )
        with pytest.raises(IntegrityError, match="carries 0 signatures"):
            accept_successor(CURRENT, forged, ROOT.public, NOW)


def test_an_expired_roster_has_successors_and_an_expired_successor_is_refused() -> None:
    expired = dataclasses.replace(CURRENT, not_after="2026-02-01T00:00:00Z")
    accept_successor(expired, sign_roster(ROOT, roster(5)), ROOT.public, NOW)
    late = dataclasses.replace(roster(5), not_after="2026-02-01T00:00:00Z")
    with pytest.raises(ConfigError, match="expired at"):
        accept_successor(CURRENT, sign_roster(ROOT, late), ROOT.public, NOW)


def test_an_old_file_is_called_old_even_where_it_has_expired_too() -> None:
    old = dataclasses.replace(roster(3), not_after="2026-02-01T00:00:00Z")
    with pytest.raises(IntegrityError, match="put an old file there"):
        accept_successor(CURRENT, sign_roster(ROOT, old), ROOT.public, NOW)


def test_the_next_roster_revokes_every_key_that_goes() -> None:
    west = Member("west", Role.SITE, KEYS[5].public)
    following = next_roster(
        roster(4, (LEAD, NORTH, SOUTH, west)),
        (LEAD, NEW_SOUTH, NORTH),
        reasons={"south": Reason.COMPROMISED},
        **YEAR,
    )
    assert following.serial == 5
    assert following.members == (LEAD, NORTH, NEW_SOUTH)
    assert set(following.revoked) == {
        OLD,
        Revocation(SOUTH.verify_key, "south", 5, Reason.COMPROMISED),
        Revocation(west.verify_key, "west", 5, Reason.LEFT),
    }
    silent = next_roster(CURRENT, (LEAD, NORTH, NEW_SOUTH), reasons={}, **YEAR)
    revocation = silent.revocation(SOUTH.verify_key)
    assert revocation is not None
    assert revocation.reason is Reason.SUPERSEDED


def test_the_next_roster_is_refused_where_no_party_would_take_it() -> None:
    stolen = Member("west", Role.SITE, OLD.verify_key)
    renamed = dataclasses.replace(SOUTH, name="west")
    for members in ((LEAD, NORTH, SOUTH, stolen), (LEAD, NORTH, renamed)):
        with pytest.raises(ConfigError, match="gives west a revoked key"):
            next_roster(CURRENT, members, reasons={}, **YEAR)
    for name in ("north", "nobody"):
        with pytest.raises(ConfigError, match=f"key of {name}, which stays"):
            next_roster(CURRENT, (LEAD, NORTH, SOUTH), reasons={name: Reason.LOST}, **YEAR)


# The guarantees, over histories that nobody thought of.


@st.composite
def rosters(draw: st.DrawFn) -> Roster:
    """Any roster over few names and keys, so that pairs of them meet in every way."""
    serial = draw(st.integers(1, 4))
    keys = draw(st.permutations(range(6)))
    sites = draw(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=2, unique=True))
    members = tuple(
        Member(name, Role.SITE if at else Role.COORDINATOR, KEYS[keys[at]].public)
        for at, name in enumerate(["z", *sites])
    )
    revoked = tuple(
        Revocation(KEYS[key].public, "x", draw(st.integers(1, serial)))
        for key in keys[len(members) : len(members) + draw(st.integers(0, 3))]
    )
    return roster(serial, members, revoked)


@st.composite
def steps(draw: st.DrawFn, before: Roster) -> Roster:
    """A roster that follows `before`: some members get keys that were never seen, or go."""
    used = {each.verify_key for each in (*before.members, *before.revoked)}
    fresh = [key.public for key in KEYS if key.public not in used]
    members = []
    for member in before.members:
        change = draw(st.sampled_from(["stay", "stay", "key", "go"]))
        if change == "key" and fresh:
            members.append(dataclasses.replace(member, verify_key=fresh.pop()))
        elif change != "go" or member.role is Role.COORDINATOR:
            members.append(member)
    if len(members) == 1:
        members.append(before.sites()[0])
    return next_roster(before, tuple(members), reasons={}, **YEAR)


def follows(before: Roster, after: Roster) -> bool:
    try:
        check_successor(before, after)
    except SecureFLError:
        return False
    return True


@settings(deadline=None, max_examples=300)
@given(before=rosters(), after=rosters())
def test_no_pair_that_is_accepted_brings_a_key_back(before: Roster, after: Roster) -> None:
    assert follows(before, before)
    if not follows(before, after):
        return
    assert set(before.revoked) <= set(after.revoked)
    voided = {each.verify_key for each in after.revoked}
    for member in before.members:
        assert member in after.members or member.verify_key in voided
    assert voided.isdisjoint(each.verify_key for each in after.members)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_a_party_that_missed_rosters_takes_what_the_others_take(data: st.DataObject) -> None:
    history = [data.draw(rosters())]
    for _ in range(data.draw(st.integers(1, 4))):
        history.append(data.draw(steps(history[-1])))
    for early in range(len(history)):
        for late in range(early, len(history)):
            check_successor(history[early], history[late])
            assert early == late or not follows(history[late], history[early])


# Each check, taken away, lets its attack through.


def test_without_the_serial_check_a_revoked_key_is_good_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_succession, "_check_serial", lambda _current, _successor: None)
    before = Roster("Hospitals", (LEAD, NORTH, SOUTH), **YEAR, serial=3)
    after = Roster("Hospitals", (LEAD, NORTH, SOUTH), **YEAR, serial=4)
    back = accept_successor(after, sign_roster(ROOT, before), ROOT.public, NOW)
    assert back.serial == 3


def test_without_the_tombstone_check_a_revoked_key_comes_back_in_a_new_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(roster_succession, "_check_tombstones", lambda _current, _successor: None)
    successor = BAD["a revoked key back in a new name"][0]
    taken = accept_successor(CURRENT, sign_roster(ROOT, successor), ROOT.public, NOW)
    assert taken.member("west").verify_key == OLD.verify_key


def test_without_the_key_check_one_site_speaks_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster_succession, "_check_key", lambda _member, _successor: None)
    successor = BAD["two keys exchanged"][0]
    taken = accept_successor(CURRENT, sign_roster(ROOT, successor), ROOT.public, NOW)
    signature = KEYS[2].sign("vote", b"yes")
    taken.member("north").verify_key.verify("vote", b"yes", signature)
