from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.digests import canonical_json
from crypto.dsse import sign_envelope
from crypto.errors import ConfigError, IntegrityError
from crypto.root_rotation import PAYLOAD_TYPE, TrustedRoot, accept_root, follow_roots, sign_root
from crypto.roster import Member, Role, Roster, open_roster, sign_roster
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey

FIRST, SECOND, THIRD, STRANGER, LEAD, SITE = [
    SigningKey.from_seed(SecretBytes(bytes([n]) * 32)) for n in range(1, 7)
]
PINNED = TrustedRoot(FIRST.public)
TWO = sign_root(FIRST, SECOND, 2)
THREE = sign_root(SECOND, THIRD, 3)


def statement(**changes: object) -> bytes:
    document = {
        "schema": "secure-fl.root.v1",
        "version": 2,
        "previous": FIRST.public.raw.hex(),
        "key": SECOND.public.raw.hex(),
        **changes,
    }
    return canonical_json(document)


def test_a_chain_is_followed_from_the_pinned_root() -> None:
    assert accept_root(PINNED, TWO) == TrustedRoot(SECOND.public, 2, (FIRST.public,))
    end = follow_roots(PINNED, [TWO, THREE])
    assert end == TrustedRoot(THIRD.public, 3, (SECOND.public, FIRST.public))
    assert end.all_keys == (THIRD.public, SECOND.public, FIRST.public)
    assert follow_roots(PINNED, []) == PINNED


def test_a_party_that_joins_late_pins_a_later_root() -> None:
    assert follow_roots(TrustedRoot(SECOND.public, 2), [THREE]).key == THIRD.public


@pytest.mark.parametrize("signers", [[FIRST], [SECOND], [FIRST, STRANGER], [STRANGER, SECOND]])
def test_both_roots_have_to_sign(signers: list[SigningKey]) -> None:
    data = sign_envelope(PAYLOAD_TYPE, statement(), signers)
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        accept_root(PINNED, data)


def test_a_root_never_follows_out_of_order() -> None:
    second = accept_root(PINNED, TWO)
    with pytest.raises(IntegrityError, match="Root 2 came to a party that trusts root 2"):
        accept_root(second, TWO)
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        accept_root(PINNED, THREE)
    with pytest.raises(ConfigError, match="what is between them is missing"):
        accept_root(PINNED, sign_root(FIRST, SECOND, 3))
    with pytest.raises(IntegrityError, match="Root 2 came to a party that trusts root 2"):
        accept_root(second, sign_root(SECOND, THIRD, 2))


def test_a_retired_root_does_not_come_back_and_signs_nothing_more() -> None:
    third = follow_roots(PINNED, [TWO, THREE])
    for retired in (FIRST, SECOND):
        with pytest.raises(ConfigError, match="brings an earlier key back"):
            accept_root(third, sign_root(THIRD, retired, 4))
        with pytest.raises(IntegrityError, match="carries 0 signatures"):
            accept_root(third, sign_root(retired, STRANGER, 4))
    same = sign_envelope(PAYLOAD_TYPE, statement(key=FIRST.public.raw.hex()), [FIRST])
    with pytest.raises(ConfigError, match="brings an earlier key back"):
        accept_root(PINNED, same)


def test_the_root_before_is_named_as_well_as_signing() -> None:
    data = sign_envelope(
        PAYLOAD_TYPE, statement(previous=STRANGER.public.raw.hex()), [FIRST, SECOND]
    )
    with pytest.raises(ConfigError, match="names another root before it"):
        accept_root(PINNED, data)


IMPOSSIBLE = {
    "version 1": statement(version=1),
    "a version in words": statement(version="2"),
    "a version that is true": statement(version=True),
    "a version beyond numbers": statement(version=2).replace(b"2", b"9007199254740993", 1),
    "another schema": statement(schema="secure-fl.root.v2"),
    "a key in capitals": statement(key=SECOND.public.raw.hex().upper()),
    "a short key": statement(key="00"),
    "an unknown field": statement(comment="x"),
    "white space": statement() + b"\n",
    "no UTF-8": b"\xff",
    "no JSON": b"root",
    "nothing": b"",
    "null": b"null",
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("payload", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_a_root_that_says_something_impossible_is_refused_though_signed(payload: bytes) -> None:
    with pytest.raises(ConfigError, match="old root stands"):
        accept_root(PINNED, sign_envelope(PAYLOAD_TYPE, payload, [FIRST, SECOND]))


def test_a_new_key_of_small_order_is_refused() -> None:
    payload = statement(key="01" + "00" * 31)
    with pytest.raises(ConfigError, match="forged"):
        accept_root(PINNED, sign_envelope(PAYLOAD_TYPE, payload, [FIRST, SECOND]))


def test_a_roster_is_no_root() -> None:
    roster = sign_envelope("application/vnd.secure-fl.roster.v2+json", statement(), [FIRST, SECOND])
    with pytest.raises(IntegrityError, match="was expected"):
        accept_root(PINNED, roster)


@settings(deadline=None, max_examples=300)
@given(st.integers(0, 8 * len(TWO) - 1))
def test_no_altered_bit_of_the_file_passes(bit: int) -> None:
    altered = bytearray(TWO)
    altered[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(IntegrityError):
        accept_root(PINNED, bytes(altered))


@pytest.mark.parametrize("version", [-1, 0, 1, 2**53])
def test_versions_that_follow_nothing_are_not_signed(version: int) -> None:
    with pytest.raises(ConfigError, match="Nothing was signed"):
        sign_root(FIRST, SECOND, version)
    with pytest.raises(ConfigError, match="nothing was signed"):
        sign_root(FIRST, FIRST, 2)


def test_rosters_are_those_of_the_root_of_today() -> None:
    members = (
        Member("lead", Role.COORDINATOR, LEAD.public),
        Member("north", Role.SITE, SITE.public),
    )
    roster = Roster("C", members, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z", 1)
    today = accept_root(PINNED, TWO)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert open_roster(sign_roster(SECOND, roster), today.key, now) == roster
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        open_roster(sign_roster(FIRST, roster), today.key, now)


def test_the_file_is_an_envelope_over_canonical_json() -> None:
    assert [each["keyid"] for each in json.loads(TWO)["signatures"]] != []
    assert sign_envelope(PAYLOAD_TYPE, statement(), [FIRST, SECOND]) == TWO
