"""X25519 and HKDF against their RFCs, against a naive twin, and against a hostile peer's key."""

from __future__ import annotations

import copy
import pickle

import pytest
import reference_masked_sum as twin
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.agreement import AgreementKey, hkdf, hkdf_sha256
from crypto.errors import PeerError
from crypto.secrets import SecretBytes

SECRETS = st.binary(min_size=32, max_size=32)

# RFC 7748, section 6.1.
ALICE = bytes.fromhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
ALICE_PUBLIC = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
AGREED = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")

P = 2**255 - 19
LOW_ORDER = [  # the u-coordinates of small order
    *(u.to_bytes(32, "little") for u in (0, 1, P - 1)),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
]


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_secret_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"has 32 bytes, not {length}"):
        AgreementKey(SecretBytes(bytes(length)))


def test_rfc_7748_section_6_1() -> None:
    alice, bob = AgreementKey(SecretBytes(ALICE)), AgreementKey(SecretBytes(BOB))
    assert (alice.public, bob.public) == (ALICE_PUBLIC, BOB_PUBLIC)
    assert alice.shared(bob.public).reveal() == AGREED
    assert bob.shared(alice.public).reveal() == AGREED


def test_rfc_7748_section_5_2() -> None:
    """The first vector, and the function iterated on its own results (1 and 1000 times)."""
    scalar = "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4"
    u = "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c"
    agreed = AgreementKey(SecretBytes(bytes.fromhex(scalar))).shared(bytes.fromhex(u)).reveal()
    assert agreed.hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    k, u_bytes = (9).to_bytes(32, "little"), (9).to_bytes(32, "little")
    results = []
    for _ in range(1000):
        k, u_bytes = AgreementKey(SecretBytes(k)).shared(u_bytes).reveal(), k
        results.append(k.hex())
    assert results[0] == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert results[-1] == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"


def test_the_twin_agrees_with_the_rfc() -> None:
    assert twin.public_key(ALICE) == ALICE_PUBLIC
    assert twin.x25519(BOB, ALICE_PUBLIC) == AGREED


@settings(max_examples=10, deadline=None)
@given(ours=SECRETS, theirs=SECRETS)
def test_two_keys_agree_and_match_the_naive_ladder(ours: bytes, theirs: bytes) -> None:
    left, right = AgreementKey(SecretBytes(ours)), AgreementKey(SecretBytes(theirs))
    agreed = left.shared(right.public).reveal()
    assert agreed == right.shared(left.public).reveal()
    assert agreed == twin.x25519(ours, twin.public_key(theirs))


@pytest.mark.parametrize("public", LOW_ORDER, ids=lambda public: public.hex()[:8])
def test_a_key_of_low_order_is_refused(public: bytes) -> None:
    assert twin.x25519(ALICE, public) == bytes(32), "the vector itself must be of low order"
    with pytest.raises(PeerError, match="low order"):
        AgreementKey(SecretBytes(ALICE)).shared(public)


@pytest.mark.parametrize("u", [P, P + 1, P + 9, 2**255, 2**255 + 9, 2**256 - 1], ids=hex)
def test_a_second_encoding_of_a_key_is_refused(u: int) -> None:
    public = u.to_bytes(32, "little")
    first = (u % 2**255 % P).to_bytes(32, "little")
    assert twin.x25519(ALICE, public) == twin.x25519(ALICE, first), "the same key to X25519"
    with pytest.raises(PeerError, match="one encoding"):
        AgreementKey(SecretBytes(ALICE)).shared(public)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_lengths_are_checked(length: int) -> None:
    with pytest.raises(PeerError, match="32"):
        AgreementKey(SecretBytes(ALICE)).shared(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        AgreementKey(SecretBytes(bytes(length)))


def test_generate_takes_its_secret_from_the_entropy_it_is_given() -> None:
    asked: list[int] = []

    def entropy(length_bytes: int) -> bytes:
        asked.append(length_bytes)
        return ALICE

    key = AgreementKey.generate(entropy)
    assert asked == [32]
    assert key.public == ALICE_PUBLIC
    assert key.secret.reveal() == ALICE


def test_a_key_neither_prints_its_secret_nor_copies() -> None:
    key = AgreementKey(SecretBytes(ALICE))
    assert ALICE.hex()[:8] not in repr(key)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(key)


def test_rfc_5869_appendix_a() -> None:
    ikm = SecretBytes(b"\x0b" * 22)
    first = hkdf_sha256(
        ikm, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), length=42
    ).reveal()
    assert first.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    second = hkdf_sha256(
        SecretBytes(bytes(range(0x50))),
        salt=bytes(range(0x60, 0xB0)),
        info=bytes(range(0xB0, 0x100)),
        length=82,
    ).reveal()
    assert second.hex() == (
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c6"
        "5e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
    )
    third = hkdf_sha256(ikm, salt=b"", info=b"", length=42).reveal()
    assert third.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


@given(secret=st.binary(min_size=1, max_size=64), context=st.binary(), length=st.integers(1, 200))
def test_the_labelled_form_is_the_naive_one(secret: bytes, context: bytes, length: int) -> None:
    info = b"secure-fl/v1/a-label\x00" + context
    assert hkdf(SecretBytes(secret), "a-label", context, length).reveal() == twin.hkdf(
        secret, b"", info, length
    )


def test_label_and_context_do_not_run_into_each_other() -> None:
    secret = SecretBytes(ALICE)
    keys = {
        hkdf(secret, label, context, 32).reveal()
        for label, context in [("ab", b"c"), ("a", b"bc"), ("abc", b""), ("ab", b"c\x00")]
    }
    assert len(keys) == 4


@pytest.mark.parametrize("label", ["", "a\x00b", "ä", "a\n"])
def test_a_label_that_could_imitate_another_is_refused(label: str) -> None:
    with pytest.raises(ValueError, match="label"):
        hkdf(SecretBytes(ALICE), label, b"", 32)


@pytest.mark.parametrize("length", [0, -1, 255 * 32 + 1])
def test_a_length_out_of_range_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        hkdf(SecretBytes(ALICE), "a-label", b"", length)
