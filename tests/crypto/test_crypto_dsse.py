from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import dsse
from crypto.dsse import (
    MOST_SIGNATURES,
    Envelope,
    EnvelopeSignature,
    key_id,
    pae,
    sign_envelope,
    verify_envelope,
)
from crypto.errors import ConfigError, IntegrityError
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey

TYPE = "application/vnd.secure-fl.test+json"
KEYS = [SigningKey.from_seed(SecretBytes(bytes([n]) * 32)) for n in range(1, 5)]
PUBLIC = [key.public for key in KEYS]
PAYLOAD = b'{"round":3}'
DATA = sign_envelope(TYPE, PAYLOAD, KEYS[:2])
TYPES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=40)


def test_the_pre_authentication_encoding_is_that_of_the_specification() -> None:
    published = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("http://example.com/HelloWorld", b"hello world") == published


def test_the_specifications_own_signature_verifies_over_our_encoding() -> None:
    # protocol.md, "Test Vectors": ECDSA over NIST P-256 and SHA-256, deterministic.
    key = ec.EllipticCurvePublicNumbers(
        46950820868899156662930047687818585632848591499744589407958293238635476079160,
        5640078356564379163099075877009565129882514886557779369047442380624545832820,
        ec.SECP256R1(),
    ).public_key()
    envelope = json.loads(
        '{"payload":"aGVsbG8gd29ybGQ=","payloadType":"http://example.com/HelloWorld",'
        '"signatures":[{"sig":"A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJ'
        'PcIAriEGAHTVeCUjW2JIZA=="}]}'
    )
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    covered = pae(envelope["payloadType"], base64.b64decode(envelope["payload"]))
    key.verify(encode_dss_signature(r, s), covered, ec.ECDSA(hashes.SHA256()))


def test_lengths_count_bytes_not_characters() -> None:
    assert pae("é", "日本".encode()) == "DSSEv1 2 é 6 日本".encode()


@settings(deadline=None)
@given(TYPES, st.binary(max_size=200), st.integers(1, 4))
def test_what_is_signed_verifies_to_the_same(kind: str, payload: bytes, signers: int) -> None:
    data = sign_envelope(kind, payload, KEYS[:signers])
    assert verify_envelope(data, kind, PUBLIC[:signers], threshold=signers) == payload
    assert Envelope.parse(data).to_bytes() == data
    assert [each.key_id for each in Envelope.parse(data).signatures] == [
        key_id(key) for key in PUBLIC[:signers]
    ]


def test_the_file_has_the_members_of_the_specification() -> None:
    document = json.loads(sign_envelope(TYPE, PAYLOAD, KEYS[:1]))
    signature = base64.b64encode(KEYS[0].sign_raw(pae(TYPE, PAYLOAD))).decode()
    assert document == {
        "payload": base64.b64encode(PAYLOAD).decode(),
        "payloadType": TYPE,
        "signatures": [{"keyid": key_id(PUBLIC[0]), "sig": signature}],
    }


@settings(deadline=None, max_examples=500)
@given(st.data())
def test_no_altered_bit_of_a_file_passes(data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(DATA) - 1))
    altered = bytearray(DATA)
    altered[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(IntegrityError):
        verify_envelope(bytes(altered), TYPE, PUBLIC[:2], threshold=2)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        verify_envelope(data, TYPE, PUBLIC[:1], threshold=1)


def test_white_space_around_json_is_no_damage() -> None:
    indented = json.dumps(json.loads(DATA), indent=2).encode() + b"\n"
    assert verify_envelope(indented, TYPE, PUBLIC[:2], threshold=2) == PAYLOAD


def test_the_type_is_the_one_that_was_asked_for() -> None:
    with pytest.raises(IntegrityError, match="one of type"):
        verify_envelope(DATA, "application/other", PUBLIC[:1], threshold=1)
    # Retyped, it fails at the signature.
    retyped = _changed(payloadType="application/other")
    with pytest.raises(IntegrityError, match="does not verify"):
        verify_envelope(retyped, "application/other", PUBLIC[:1], threshold=1)


def test_without_lengths_bytes_would_move_between_type_and_payload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shifted(data: bytes) -> bytes:
        return _changed(data, payloadType=TYPE + "x", payload=base64.b64encode(b"y").decode())

    honest = sign_envelope(TYPE, b"xy", KEYS[:1])
    with pytest.raises(IntegrityError):
        verify_envelope(shifted(honest), TYPE + "x", PUBLIC[:1], threshold=1)
    monkeypatch.setattr(dsse, "pae", lambda kind, payload: kind.encode() + payload)
    naive = sign_envelope(TYPE, b"xy", KEYS[:1])
    assert verify_envelope(shifted(naive), TYPE + "x", PUBLIC[:1], threshold=1) == b"y"


def test_too_few_trusted_signatures_are_refused() -> None:
    assert verify_envelope(DATA, TYPE, PUBLIC, threshold=2) == PAYLOAD
    with pytest.raises(IntegrityError, match="carries 2 signatures"):
        verify_envelope(DATA, TYPE, PUBLIC, threshold=3)
    with pytest.raises(IntegrityError, match="carries 0 signatures"):
        verify_envelope(DATA, TYPE, PUBLIC[2:], threshold=1)


def test_one_key_counts_once_however_often_it_signs() -> None:
    signature = _document(DATA)["signatures"][0]
    twice = _changed(signatures=[signature, signature])
    with pytest.raises(IntegrityError, match="carries 1 signatures"):
        verify_envelope(twice, TYPE, PUBLIC[:2], threshold=2)
    with pytest.raises(ConfigError, match="from 1 keys"):
        verify_envelope(twice, TYPE, [PUBLIC[0], PUBLIC[0]], threshold=2)


def test_a_wrong_signature_in_a_trusted_name_is_refused_even_beside_enough_others() -> None:
    first, second = _document(DATA)["signatures"]
    forged = _changed(signatures=[first, {**second, "sig": first["sig"]}])
    with pytest.raises(IntegrityError, match="does not verify"):
        verify_envelope(forged, TYPE, PUBLIC[:2], threshold=1)


def test_signatures_of_strangers_are_neither_counted_nor_an_error() -> None:
    first, second = _document(DATA)["signatures"]
    stranger = {"keyid": "00" * 32, "sig": second["sig"]}
    data = _changed(signatures=[stranger, first])
    assert verify_envelope(data, TYPE, PUBLIC[:1], threshold=1) == PAYLOAD


def test_a_signature_counts_only_under_the_key_that_it_names() -> None:
    first, second = _document(DATA)["signatures"]
    swapped = _changed(signatures=[{**first, "keyid": second["keyid"]}])
    with pytest.raises(IntegrityError, match="does not verify"):
        verify_envelope(swapped, TYPE, PUBLIC[:2], threshold=1)


@pytest.mark.parametrize("threshold", [-1, 0, 5])
def test_a_threshold_that_proves_nothing_is_refused(threshold: int) -> None:
    with pytest.raises(ConfigError, match="signatures were asked for"):
        verify_envelope(DATA, TYPE, PUBLIC, threshold=threshold)


def test_a_file_that_nobody_signs_is_not_made() -> None:
    with pytest.raises(ConfigError, match="signed by nobody"):
        sign_envelope(TYPE, PAYLOAD, [])


@pytest.mark.parametrize("kind", ["", "a b", "a\n", "é", "x" * 201])
def test_a_payload_type_of_another_shape_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match="not a payload type"):
        sign_envelope(kind, PAYLOAD, KEYS[:1])
    with pytest.raises(IntegrityError, match="not a DSSE envelope"):
        Envelope.parse(_changed(payloadType=kind))


def _document(data: bytes) -> dict[str, list[dict[str, str]]]:
    document: dict[str, list[dict[str, str]]] = json.loads(data)
    return document


def _changed(data: bytes = DATA, **members: object) -> bytes:
    return json.dumps({**_document(data), **members}).encode()


HOSTILE = {
    "no object": b"[]",
    "a member that nobody knows": _changed(comment="x"),
    "a signature member that nobody knows": _changed(
        signatures=[{**_document(DATA)["signatures"][0], "cert": ""}]
    ),
    "a member twice": DATA.replace(b'{"payload":', b'{"payload":"AAAA","payload":', 1),
    "no payload": b'{"payloadType":"a","signatures":[]}',
    "a number for a payload": _changed(payload=3),
    "base64 with white space": _changed(payload="eyJy b3Vu"),
    "base64 without padding": _changed(payload="eA"),
    "base64 with loose bits": _changed(payload="eB=="),
    "base64 in another alphabet": _changed(payload="-_-_"),
    "base64 of letters that are none": _changed(payload="éééé"),
    "no signature list": _changed(signatures={}),
    "too many signatures": _changed(signatures=[{"keyid": "", "sig": ""}] * (MOST_SIGNATURES + 1)),
    "deep": b"[" * 100_000,
    "a number of many digits": b'{"payload":' + b"9" * 5000 + b"}",
    "UTF-16": DATA.decode().encode("utf-16"),
    "lone surrogate": _changed(payload="\ud800"),
    "cut": DATA[:-1],
    "empty": b"",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a DSSE envelope"):
        verify_envelope(data, TYPE, PUBLIC[:2], threshold=1)


def test_a_file_beyond_the_limit_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsse, "ENVELOPE_LIMIT_BYTES", len(DATA) - 1)
    with pytest.raises(IntegrityError, match="exceeds the limit"):
        Envelope.parse(DATA)


def test_an_envelope_can_be_read_without_trust_and_says_so() -> None:
    envelope = Envelope.parse(DATA)
    assert envelope.unverified_payload == PAYLOAD
    assert envelope == Envelope(
        TYPE,
        PAYLOAD,
        tuple(
            EnvelopeSignature(key_id(k.public), k.sign_raw(pae(TYPE, PAYLOAD))) for k in KEYS[:2]
        ),
    )
