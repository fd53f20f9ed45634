from __future__ import annotations

import copy
import hashlib
import pickle

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import signatures
from crypto.codec import Message, decode, encode
from crypto.errors import ConfigError, PeerError
from crypto.secrets import SecretBytes, system_entropy
from crypto.signatures import (
    Signed,
    SigningKey,
    VerifyKey,
    open_signed,
    schema_of,
    sign_message,
)

# RFC 8032 section 7.1, TEST 1 to 3 and SHA(abc): seed, public key, message, and the two halves of
# the signature.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155",
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da",
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac",
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589",
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
ORDER = 2**252 + 27742317777372353535851937790883648493
LABELS = st.from_regex(r"[a-z0-9][a-z0-9./_-]{0,20}", fullmatch=True)

KEY = SigningKey.from_seed(SecretBytes(bytes(range(32))))
OTHER = SigningKey.from_seed(SecretBytes(bytes(range(1, 33))))


class Vote(Message, frozen=True, tag="secure-fl.test-vote.v1"):
    round: int
    text: str


class Veto(Message, frozen=True, tag="secure-fl.test-veto.v1"):
    round: int
    text: str


class Untagged(Message, frozen=True):
    round: int


class Numbered(Message, frozen=True, tag=7):
    round: int


SIGNED = sign_message(KEY, "site-1", Vote(3, "yes"))


@pytest.mark.parametrize(("seed", "public", "message", "point", "scalar"), RFC_8032)
def test_the_primitive_is_that_of_rfc_8032(
    seed: str, public: str, message: str, point: str, scalar: str
) -> None:
    signature = bytes.fromhex(point + scalar)
    key = SigningKey.from_seed(SecretBytes(bytes.fromhex(seed)))
    assert str(key.public) == public
    assert key.sign_raw(bytes.fromhex(message)) == signature
    key.public.verify_raw(bytes.fromhex(message), signature)


@settings(deadline=None)
@given(LABELS, st.binary(max_size=64))
def test_a_signature_covers_domain_label_and_body(label: str, body: bytes) -> None:
    signature = KEY.sign(label, body)
    KEY.public.verify(label, body, signature)
    KEY.public.verify_raw(b"secure-fl/v1/" + label.encode() + b"\0" + body, signature)


@settings(deadline=None)
@given(LABELS, LABELS, st.binary(max_size=16), st.binary(max_size=16))
def test_no_two_pairs_of_label_and_body_share_a_signature(
    label: str, other: str, body: bytes, more: bytes
) -> None:
    signature = KEY.sign(label, body)
    if (label, body) != (other, more):
        with pytest.raises(PeerError, match="does not verify"):
            KEY.public.verify(other, more, signature)


def test_without_the_label_one_kind_of_message_passes_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(PeerError):
        KEY.public.verify("veto", b"3", KEY.sign("vote", b"3"))
    monkeypatch.setattr(signatures, "_covered", lambda _label, body: body)
    KEY.public.verify("veto", b"3", KEY.sign("vote", b"3"))


@pytest.mark.parametrize("label", ["", "A", "a\0b", "a b", "ä", "\ud800", "a" * 129, "a\n", "-a"])
def test_a_label_of_another_shape_is_neither_signed_nor_verified(label: str) -> None:
    with pytest.raises(ConfigError, match="not a signature label"):
        KEY.sign(label, b"")
    with pytest.raises(PeerError, match="label"):
        KEY.public.verify(label, b"", bytes(64))


def test_a_nul_in_a_label_would_let_label_and_body_run_together() -> None:
    assert signatures._covered("a\0b", b"c") == signatures._covered("a", b"b\0c")


def test_every_bit_of_body_and_signature_counts() -> None:
    body = b"round 3"
    signature = KEY.sign("vote", body)
    for bit in range(8 * len(body)):
        with pytest.raises(PeerError):
            KEY.public.verify("vote", _flip(body, bit), signature)
    for bit in range(8 * len(signature)):
        with pytest.raises(PeerError):
            KEY.public.verify("vote", body, _flip(signature, bit))


@pytest.mark.parametrize("length", [0, 1, 63, 65, 128])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(PeerError):
        KEY.public.verify("vote", b"", bytes(length))


def test_a_signature_has_no_second_form() -> None:
    # S + L satisfies the same equation; RFC 8032 section 5.1.7 demands S < L.
    signature = KEY.sign("vote", b"")
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    with pytest.raises(PeerError):
        KEY.public.verify("vote", b"", signature[:32] + scalar.to_bytes(32, "little"))


def test_another_key_does_not_verify() -> None:
    with pytest.raises(PeerError, match=str(OTHER.public)):
        OTHER.public.verify("vote", b"", KEY.sign("vote", b""))


IDENTITY = b"\x01" + bytes(31)


def _encodings_of_small_order() -> list[bytes]:
    low = [*signatures._LOW_ORDER_Y, 2**255 - 19, 2**255 - 18]
    return [(y | sign).to_bytes(32, "little") for y in low for sign in (0, 2**255)]


@pytest.mark.parametrize("raw", _encodings_of_small_order(), ids=bytes.hex)
def test_keys_of_small_order_are_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="forged"):
        VerifyKey(raw)


def test_a_key_of_small_order_would_verify_what_nobody_signed() -> None:
    # R = identity, S = 0: the equation 0 = identity + h * identity holds for every message.
    forged = IDENTITY + bytes(32)
    Ed25519PublicKey.from_public_bytes(IDENTITY).verify(forged, b"anything")
    Ed25519PublicKey.from_public_bytes(IDENTITY).verify(forged, b"anything else")


def test_the_refused_points_are_all_points_of_small_order() -> None:
    found = set()
    for y in signatures._LOW_ORDER_Y:
        point = _decompress(y)
        for _ in range(3):
            point = _add(point, point)
        found.add(point)
    assert found == {(0, 1)}
    # The group's cofactor is 8: y, and x in two signs save where x is 0, make eight points.
    assert sum(1 if _decompress(y)[0] == 0 else 2 for y in signatures._LOW_ORDER_Y) == 8


@pytest.mark.parametrize("y", [2**255 - 19 + 3, 2**255 - 1])
def test_a_second_encoding_of_a_point_is_refused(y: int) -> None:
    # Otherwise one key could stand on the roster under two names.
    with pytest.raises(ConfigError):
        VerifyKey(y.to_bytes(32, "little"))


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_keys_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=f"not {length}"):
        VerifyKey(b"\x07" * length)
    with pytest.raises(ConfigError, match=f"not {length}"):
        SigningKey.from_seed(SecretBytes(b"\x07" * length))


def test_a_generated_key_uses_all_its_entropy_once() -> None:
    asked: list[int] = []

    def entropy(length_bytes: int) -> bytes:
        asked.append(length_bytes)
        return bytes(range(length_bytes))

    key = SigningKey.generate(entropy)
    assert asked == [32]
    assert key.seed().reveal() == bytes(range(32))
    assert key.public == KEY.public
    assert SigningKey.generate(system_entropy).public != SigningKey.generate(system_entropy).public


def test_a_signing_key_does_not_show_compare_or_travel() -> None:
    seed = KEY.seed().reveal()
    for shown in (repr(KEY), str(KEY), f"{[KEY]}"):
        assert str(KEY.public) in shown
        assert seed.hex() not in shown
        assert repr(seed) not in shown
    with pytest.raises(TypeError, match="not compared"):
        _ = KEY == OTHER
    with pytest.raises(TypeError, match="unhashable"):
        hash(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(KEY)


def test_verify_keys_compare_by_value_and_say_who_they_are() -> None:
    assert VerifyKey(KEY.public.raw) == KEY.public
    assert {KEY.public, VerifyKey(KEY.public.raw)} == {KEY.public}
    assert repr(KEY.public) == f"VerifyKey({KEY.public.raw.hex()})"


# The envelope of messages.


def test_a_signed_message_opens_and_survives_the_wire() -> None:
    assert SIGNED.label == "secure-fl.test-vote.v1"
    arrived = decode(Signed, encode(SIGNED), limit_bytes=1 << 12)
    assert open_signed(arrived, Vote, KEY.public, 1 << 12) == Vote(3, "yes")


@settings(deadline=None)
@given(st.data())
def test_no_altered_bit_of_an_envelope_passes(data: st.DataObject) -> None:
    raw = encode(SIGNED)
    altered = _flip(raw, data.draw(st.integers(0, 8 * len(raw) - 1)))
    with pytest.raises(PeerError):
        open_signed(decode(Signed, altered, limit_bytes=1 << 12), Vote, KEY.public, 1 << 12)


@pytest.mark.parametrize(
    "change",
    [
        {"label": "secure-fl.test-veto.v1"},
        {"body": encode(Vote(3, "no"))},
        {"body": encode(Vote(3, "yes")) + b"\0"},
        {"body": encode(Veto(3, "yes"))},
        {"signer": "site-2"},
        {"signature": bytes(64)},
        {"signature": OTHER.sign(SIGNED.label, b"site-1\0" + SIGNED.body)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_altered_field_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(PeerError):
        open_signed(msgspec.structs.replace(SIGNED, **change), Vote, KEY.public, 1 << 12)


def test_a_vote_is_not_a_veto_though_their_fields_agree() -> None:
    with pytest.raises(PeerError, match="Veto was expected"):
        open_signed(SIGNED, Veto, KEY.public, 1 << 12)
    # Relabelled, it fails at the signature.
    relabelled = msgspec.structs.replace(SIGNED, label=schema_of(Veto))
    with pytest.raises(PeerError, match="does not verify"):
        open_signed(relabelled, Veto, KEY.public, 1 << 12)


def test_without_the_name_under_the_signature_a_signer_could_be_renamed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    renamed = msgspec.structs.replace(SIGNED, signer="site-2")
    with pytest.raises(PeerError, match="does not verify"):
        open_signed(renamed, Vote, KEY.public, 1 << 12)
    monkeypatch.setattr(signatures, "_named", lambda _signer, body: body)
    unnamed = msgspec.structs.replace(sign_message(KEY, "site-1", Vote(3, "yes")), signer="site-2")
    assert open_signed(unnamed, Vote, KEY.public, 1 << 12) == Vote(3, "yes")


def test_a_body_beyond_the_limit_is_refused_before_it_is_hashed() -> None:
    with pytest.raises(PeerError, match="exceeds the limit of 4"):
        open_signed(SIGNED, Vote, KEY.public, 4)


def test_a_signed_body_must_still_be_canonical() -> None:
    # array header in three bytes: the same vote, correctly signed, in a second encoding.
    body = b"\xdc\x00\x03" + SIGNED.body[1:]
    signature = KEY.sign(SIGNED.label, b"site-1\0" + body)
    signed = Signed(label=SIGNED.label, body=body, signer="site-1", signature=signature)
    with pytest.raises(PeerError, match="canonical"):
        open_signed(signed, Vote, KEY.public, 1 << 12)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("label", "Vote"),
        ("label", "a\0b"),
        ("label", "a" * 129),
        ("signer", "Site 1"),
        ("signer", "site-1\0"),
        ("signature", bytes(63)),
        ("signature", bytes(65)),
    ],
)
def test_an_envelope_with_a_wrong_field_does_not_decode(field: str, value: object) -> None:
    data = encode(msgspec.structs.replace(SIGNED, **{field: value}))
    with pytest.raises(PeerError, match="not a Signed"):
        decode(Signed, data, limit_bytes=1 << 12)


def test_a_message_without_a_schema_cannot_be_signed() -> None:
    with pytest.raises(ConfigError, match="not a signature label"):
        sign_message(KEY, "site-1", Untagged(1))
    with pytest.raises(ConfigError, match="no schema tag"):
        sign_message(KEY, "site-1", Numbered(1))


def test_nobody_signs_in_a_name_that_no_envelope_can_carry() -> None:
    with pytest.raises(ConfigError, match="cannot name a party"):
        sign_message(KEY, "site 1", Vote(3, "yes"))


def _flip(data: bytes, bit: int) -> bytes:
    altered = bytearray(data)
    altered[bit // 8] ^= 1 << (bit % 8)
    return bytes(altered)


# The curve of RFC 8032 section 5.1, written out once more to check the list of points.
PRIME = 2**255 - 19
CURVE_D = -121665 * pow(121666, -1, PRIME) % PRIME


def _decompress(y: int) -> tuple[int, int]:
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    assert x * x % PRIME == square
    return x, y


def _add(left: tuple[int, int], right: tuple[int, int]) -> tuple[int, int]:
    (x1, y1), (x2, y2) = left, right
    cross = CURVE_D * x1 * x2 * y1 * y2 % PRIME
    return (
        (x1 * y2 + x2 * y1) * pow(1 + cross, -1, PRIME) % PRIME,
        (y1 * y2 + x1 * x2) * pow(1 - cross, -1, PRIME) % PRIME,
    )
