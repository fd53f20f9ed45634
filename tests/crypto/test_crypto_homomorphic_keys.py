"""The key of a homomorphic sum from site to site: it opens for one site, or not at all."""

from __future__ import annotations

import hashlib
from itertools import count
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.homomorphic_keys import (
    ChannelKeys,
    KeyChannels,
    SealedKey,
    announcement,
    channel_key,
    check_announced,
    key_maker,
)
from crypto.masked_sum import Adversary, CipherSuite, Session
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from crypto.secrets import Entropy

NAMES = ("bank-a", "bank-b", "bank-c")
EXPORTED = SecretBytes(b"a homomorphic key, exported" * 40)
DIGEST = hashlib.sha256(b"its digest").digest()
LOW_ORDER = bytes(32)
LIMIT = 1 << 20


def entropy_of(seed: str) -> Entropy:
    """A repeatable generator for tests alone."""
    calls = count()

    def draw(length: int) -> bytes:
        return hashlib.shake_256(f"{seed}/{next(calls)}".encode()).digest(length)

    return draw


def session_of(suite: CipherSuite, attempt: int = 0) -> Session:
    return Session(
        run_id=bytes(16),
        attempt=attempt,
        roster_digest=bytes(32),
        config_digest=bytes(32),
        suite=suite,
        adversary=Adversary.SEMI_HONEST,
        sites=NAMES,
        threshold=3,
    )


def secret_of(site: str) -> SecretBytes:
    return SecretBytes(hashlib.sha256(site.encode()).digest())


def channels(session: Session, *, change: dict[str, ChannelKeys] | None = None) -> Channels:
    announced = {
        site: announcement(channel_key(secret_of(site), session, site), session, site)
        for site in NAMES
    }
    announced |= change or {}
    return {
        site: KeyChannels(session, site, channel_key(secret_of(site), session, site), announced)
        for site in NAMES
    }


Channels = dict[str, KeyChannels]
suites = pytest.mark.parametrize("suite", list(CipherSuite), ids=["x25519", "hybrid"])


def sealed_by(ends: Channels, sender: str = "bank-a", receiver: str = "bank-b") -> bytes:
    return ends[sender].seal(receiver, EXPORTED, DIGEST, entropy_of("nonces"))


@suites
def test_the_key_opens_for_the_site_it_was_sealed_to(suite: CipherSuite) -> None:
    ends = channels(session_of(suite))
    for receiver in NAMES[1:]:
        data = sealed_by(ends, receiver=receiver)
        assert EXPORTED.reveal() not in data
        assert ends[receiver].open("bank-a", data, DIGEST).reveal() == EXPORTED.reveal()


@suites
def test_it_opens_for_nobody_else_and_as_nothing_else(suite: CipherSuite) -> None:
    ends = channels(session_of(suite))
    data = sealed_by(ends)
    for site, sender, digest in [
        ("bank-c", "bank-a", DIGEST),  # another receiver
        ("bank-b", "bank-c", DIGEST),  # another sender
        ("bank-b", "bank-a", bytes(32)),  # another key in the header
        ("bank-a", "bank-b", DIGEST),  # back to where it came from
    ]:
        with pytest.raises(PeerError, match="does not open"):
            ends[site].open(sender, data, digest)


@suites
def test_every_flipped_bit_and_every_cut_is_found(suite: CipherSuite) -> None:
    ends = channels(session_of(suite))
    whole = decode(SealedKey, sealed_by(ends), limit_bytes=LIMIT)
    fields = {"sealed": whole.sealed, "channel_ciphertext": whole.channel_ciphertext}
    for name, value in fields.items():
        for place in {0, 11, 12, len(value) // 2, len(value) - 1} if value else set[int]():
            flipped = bytearray(value)
            flipped[place] ^= 1
            for changed in (bytes(flipped), value[:place]):
                data = encode(replace(whole, **{name: changed}))
                with pytest.raises(PeerError):
                    ends["bank-b"].open("bank-a", data, DIGEST)
    with pytest.raises(PeerError, match="not a SealedKey"):
        ends["bank-b"].open("bank-a", b"nonsense", DIGEST)


@suites
def test_a_replay_from_another_session_does_not_open(suite: CipherSuite) -> None:
    data = sealed_by(channels(session_of(suite)))
    later = channels(session_of(suite, attempt=1))
    with pytest.raises(PeerError, match="does not open"):
        later["bank-b"].open("bank-a", data, DIGEST)


@suites
def test_sites_that_saw_other_announcements_do_not_share_a_key(suite: CipherSuite) -> None:
    """Also when what differs are the keys of a third site."""
    session = session_of(suite)
    other = channel_key(secret_of("somebody"), session, "bank-c")
    split = channels(session, change={"bank-c": announcement(other, session, "bank-c")})
    data = sealed_by(channels(session))
    with pytest.raises(PeerError, match="does not open"):
        split["bank-b"].open("bank-a", data, DIGEST)


def test_the_same_key_sealed_twice_looks_different() -> None:
    ends = channels(session_of(CipherSuite.X25519_HKDF_AES256CTR_Z32))
    draw = entropy_of("one stream")
    assert ends["bank-a"].seal("bank-b", EXPORTED, DIGEST, draw) != ends["bank-a"].seal(
        "bank-b", EXPORTED, DIGEST, draw
    )


@suites
def test_announcements_that_cannot_be_right_are_refused(suite: CipherSuite) -> None:
    session = session_of(suite)
    good = dict(channels(session)["bank-a"].announced)
    check_announced(session, good)
    kem = b"" if suite.is_hybrid else bytes(1184)
    changes: dict[str, tuple[Callable[[ChannelKeys], ChannelKeys], str]] = {
        "another session": (lambda keys: replace(keys, session=bytes(32)), "another session"),
        "low order": (lambda keys: replace(keys, channel=LOW_ORDER), "low order"),
        "another suite's": (lambda keys: replace(keys, channel_kem=kem), "cannot be used"),
        "a copied key": (
            lambda keys: replace(keys, channel=good["bank-a"].channel),
            "bank-b announced a key that bank-a announced too",
        ),
        "another site's": (lambda _: good["bank-a"], "bank-a announced too"),
        "a stranger's": (lambda keys: replace(keys, site="bank-z"), "not a site of this session"),
    }
    for change, words in changes.values():
        with pytest.raises(PeerError, match=words):
            check_announced(session, {**good, "bank-b": change(good["bank-b"])})


def test_the_first_by_name_makes_the_key() -> None:
    announced = channels(session_of(CipherSuite.X25519_HKDF_AES256CTR_Z32))["bank-a"].announced
    assert key_maker(announced) == "bank-a"
    assert key_maker({site: announced[site] for site in NAMES[:0:-1]}) == "bank-b"
    with pytest.raises(PeerError, match="nobody can make"):
        key_maker({})
