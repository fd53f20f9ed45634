"""ML-KEM-768 against NIST's answers and a naive twin; wrapping and the combiner against forgers.

The library takes a key from its seed and draws its own randomness. So NIST's encapsulations and
decapsulations, whose keys come without a seed, are checked on the twin, and the twin on the
library.
"""

from __future__ import annotations

import copy
import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import reference_masked_sum as twin
import reference_ml_kem as slow
from cryptography.exceptions import UnsupportedAlgorithm
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import kem
from crypto.agreement import hkdf
from crypto.codec import encode
from crypto.errors import ConfigError, PeerError
from crypto.kem import (
    KEM_CIPHERTEXT_BYTES,
    KEM_PUBLIC_BYTES,
    KEM_SEED_BYTES,
    WRAPPED_BYTES,
    KemKey,
    check_kem_public,
    encapsulate,
    hybrid_secret,
    unwrap,
    wrap,
)
from crypto.secrets import SecretBytes, system_entropy

NIST: dict[str, Any] = json.loads(
    (Path(__file__).parent / "vectors" / "acvp_ml_kem_768.json").read_text(encoding="utf-8")
)
SEED = bytes(range(64))
KEY = KemKey(SecretBytes(SEED))
OTHER = KemKey(SecretBytes(bytes(64)))
SECRET = SecretBytes(b"\x07" * 32)
HALF = st.binary(min_size=32, max_size=32)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_keys_are_those_of_nist() -> None:
    assert len(NIST["keyGen"]) == 25
    for case in NIST["keyGen"]:
        d, z = bytes.fromhex(case["d"]), bytes.fromhex(case["z"])
        public, dk = slow.key_gen(d, z)
        assert KemKey(SecretBytes(d + z)).public == public, case["tcId"]
        assert (sha256(public), sha256(dk)) == (case["ek_sha256"], case["dk_sha256"])


def test_the_twin_encapsulates_as_nist_does() -> None:
    for case in NIST["encapsulation"]:
        shared, ciphertext = slow.encaps(bytes.fromhex(case["ek"]), bytes.fromhex(case["m"]))
        assert (sha256(ciphertext), shared.hex()) == (case["c_sha256"], case["k"]), case["tcId"]


def test_the_twin_decapsulates_as_nist_does() -> None:
    dk = bytes.fromhex(NIST["decapsulation"]["dk"])
    for case in NIST["decapsulation"]["tests"]:
        assert slow.decaps(dk, bytes.fromhex(case["c"])).hex() == case["k"], case["tcId"]


@settings(max_examples=15, deadline=None)
@given(d=HALF, z=HALF, m=HALF, bit=st.integers(0, 8 * KEM_CIPHERTEXT_BYTES - 1))
def test_the_library_decapsulates_as_the_twin_does(d: bytes, z: bytes, m: bytes, bit: int) -> None:
    key = KemKey(SecretBytes(d + z))
    public, dk = slow.key_gen(d, z)
    shared, ciphertext = slow.encaps(public, m)
    assert key.public == public
    assert key.decapsulate(ciphertext).reveal() == shared
    altered = bytearray(ciphertext)
    altered[bit // 8] ^= 1 << (bit % 8)
    rejected = key.decapsulate(bytes(altered)).reveal()
    assert rejected == slow.decaps(dk, bytes(altered)) != shared


@settings(max_examples=5, deadline=None)
@given(seed=st.binary(min_size=64, max_size=64))
def test_what_the_library_encapsulates_the_twin_reads(seed: bytes) -> None:
    _, dk = slow.key_gen(seed[:32], seed[32:])
    key = KemKey(SecretBytes(seed))
    shared, ciphertext = encapsulate(key.public)
    assert (len(shared), len(ciphertext)) == (32, KEM_CIPHERTEXT_BYTES)
    assert slow.decaps(dk, ciphertext) == shared.reveal() == key.decapsulate(ciphertext).reveal()


def test_two_encapsulations_to_one_key_differ() -> None:
    made = [encapsulate(KEY.public) for _ in range(20)]
    assert len({ciphertext for _, ciphertext in made}) == 20
    assert len({shared.reveal() for shared, _ in made}) == 20


def test_a_ciphertext_for_another_key_gives_another_secret_and_no_error() -> None:
    shared, ciphertext = encapsulate(KEY.public)
    assert OTHER.decapsulate(ciphertext).reveal() != shared.reveal()


@pytest.mark.parametrize("length", [0, 1087, 1089, 2176])
def test_a_ciphertext_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(PeerError, match="1088"):
        KEY.decapsulate(bytes(length))


@pytest.mark.parametrize("length", [0, 32, 63, 65])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="64 bytes"):
        KemKey(SecretBytes(bytes(length)))


def test_generate_takes_its_seed_from_the_entropy_it_is_given() -> None:
    asked: list[int] = []

    def entropy(length_bytes: int) -> bytes:
        asked.append(length_bytes)
        return SEED

    key = KemKey.generate(entropy)
    assert asked == [KEM_SEED_BYTES]
    assert key.public == KEY.public
    assert key.seed.reveal() == SEED


def test_a_key_neither_prints_its_seed_nor_copies() -> None:
    assert SEED.hex()[:8] not in repr(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(KEY)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(KEY)


def with_coefficient(public: bytes, at: int, value: int) -> bytes:
    packed = int.from_bytes(public[:1152], "little")
    packed = packed & ~(0xFFF << (12 * at)) | value << (12 * at)
    return packed.to_bytes(1152, "little") + public[1152:]


def test_honest_keys_pass() -> None:
    for _ in range(20):
        check_kem_public(KemKey.generate(system_entropy).public)
    check_kem_public(with_coefficient(KEY.public, 5, 3328))


def test_every_coefficient_is_checked() -> None:
    for at in range(768):
        with pytest.raises(PeerError, match="one encoding"):
            check_kem_public(with_coefficient(KEY.public, at, 3329))


def test_every_value_that_is_too_large_is_refused() -> None:
    for value in range(3329, 4096):
        with pytest.raises(PeerError, match="one encoding"):
            check_kem_public(with_coefficient(KEY.public, value % 768, value))


@given(at=st.integers(0, 767), value=st.integers(0, 4095))
def test_the_modulus_check_is_the_one_that_fips_203_writes(at: int, value: int) -> None:
    """Section 7.2: ek[0 : 384k] = ByteEncode12(ByteDecode12(ek[0 : 384k]))."""
    public = with_coefficient(KEY.public, at, value)
    parts = [public[384 * i : 384 * (i + 1)] for i in range(3)]
    again = [slow.byte_encode(12, slow.byte_decode(12, part)) for part in parts]
    if again == parts:
        check_kem_public(public)
    else:
        with pytest.raises(PeerError, match="one encoding"):
            check_kem_public(public)


@pytest.mark.parametrize("length", [0, 1183, 1185, 800, 1568])
def test_a_public_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(PeerError, match="1184"):
        encapsulate(bytes(length))


def test_nothing_is_encapsulated_to_a_key_that_fails_the_check() -> None:
    bad = with_coefficient(KEY.public, 767, 4095)
    assert len(bad) == KEM_PUBLIC_BYTES
    with pytest.raises(PeerError, match="one encoding"):
        encapsulate(bad)
    with pytest.raises(PeerError, match="one encoding"):
        wrap(bad, SECRET, b"")


def test_a_machine_without_ml_kem_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent:
        @staticmethod
        def from_seed_bytes(_data: bytes) -> None:
            raise UnsupportedAlgorithm("no ML-KEM here")

        from_public_bytes = from_seed_bytes

    monkeypatch.setattr(kem, "MLKEM768PrivateKey", Absent)
    monkeypatch.setattr(kem, "MLKEM768PublicKey", Absent)
    with pytest.raises(ConfigError, match="OpenSSL has no ML-KEM-768"):
        KemKey(SecretBytes(SEED))
    with pytest.raises(ConfigError, match="OpenSSL has no ML-KEM-768"):
        encapsulate(KEY.public)


CLASSICAL = SecretBytes(b"\x01" * 32)
QUANTUM = (SecretBytes(b"\x02" * 32), SecretBytes(b"\x03" * 32))


def joined(
    classical: SecretBytes = CLASSICAL,
    post_quantum: tuple[SecretBytes, ...] = QUANTUM,
    exchanged: tuple[bytes, ...] = (b"public", b"ciphertext"),
    label: str = "a-label",
    context: bytes = b"context",
) -> bytes:
    secret = hybrid_secret(
        classical, post_quantum, exchanged=exchanged, label=label, context=context
    )
    return secret.reveal()


def test_the_combiner_is_hkdf_over_the_concatenation() -> None:
    bound = encode(kem.HybridContext(3, (b"public", b"ciphertext"), b"context"))
    info = b"secure-fl/v1/a-label\x00" + bound
    parts = b"\x01" * 32 + b"\x02" * 32 + b"\x03" * 32
    assert joined() == twin.hkdf(parts, b"", info, 32)


def test_every_part_and_everything_exchanged_counts() -> None:
    other = SecretBytes(b"\x09" * 32)
    made = {
        joined(),
        joined(classical=other),
        joined(post_quantum=(other, QUANTUM[1])),
        joined(post_quantum=(QUANTUM[0], other)),
        joined(post_quantum=QUANTUM[::-1]),
        joined(post_quantum=QUANTUM[:1]),
        joined(exchanged=(b"public", b"another")),
        joined(exchanged=(b"publicciphertext",)),
        joined(exchanged=(b"publicc", b"iphertext")),
        joined(exchanged=(b"public", b"ciphertext", b"")),
        joined(label="b-label"),
        joined(context=b""),
    }
    assert len(made) == 12


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_parts_of_another_length_are_refused(length: int) -> None:
    odd = SecretBytes(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        joined(classical=odd)
    with pytest.raises(ValueError, match="32 bytes"):
        joined(post_quantum=(*QUANTUM, odd))


def test_a_hybrid_of_one_part_or_of_nothing_exchanged_is_refused() -> None:
    with pytest.raises(ValueError, match="two or more parts"):
        joined(post_quantum=())
    with pytest.raises(ValueError, match="bound to the public keys"):
        joined(exchanged=())


@given(secret=HALF, context=st.binary(max_size=100))
@settings(deadline=None)
def test_what_is_wrapped_unwraps_to_the_same(secret: bytes, context: bytes) -> None:
    wrapped = wrap(KEY.public, SecretBytes(secret), context)
    assert len(wrapped) == WRAPPED_BYTES == 1136
    assert secret not in wrapped
    assert unwrap(KEY, wrapped, context).reveal() == secret


def test_two_wrappings_of_one_secret_show_nothing_in_common() -> None:
    """The nonce is always zero: what keeps streams apart is the key of each encapsulation."""
    bodies = {wrap(KEY.public, SECRET, b"")[KEM_CIPHERTEXT_BYTES:] for _ in range(50)}
    assert len(bodies) == 50


def test_every_byte_of_a_wrapping_counts() -> None:
    wrapped = wrap(KEY.public, SECRET, b"context")
    for at in range(WRAPPED_BYTES):
        altered = bytearray(wrapped)
        altered[at] ^= 1 << (at % 8)
        with pytest.raises(PeerError, match="does not open"):
            unwrap(KEY, bytes(altered), b"context")


@pytest.mark.parametrize("length", [0, 1088, 1135])
def test_a_wrapping_that_was_cut_or_lengthened_is_refused(length: int) -> None:
    wrapped = wrap(KEY.public, SECRET, b"")
    with pytest.raises(PeerError, match="1136"):
        unwrap(KEY, wrapped[:length], b"")
    with pytest.raises(PeerError, match="1136"):
        unwrap(KEY, wrapped + b"\0", b"")


def test_another_party_or_another_context_does_not_open() -> None:
    wrapped = wrap(KEY.public, SECRET, b"round 1")
    with pytest.raises(PeerError, match="another party or purpose"):
        unwrap(OTHER, wrapped, b"round 1")
    with pytest.raises(PeerError, match="another party or purpose"):
        unwrap(KEY, wrapped, b"round 2")


def test_without_the_context_a_wrapping_of_one_round_opens_in_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = kem.WrapContext
    monkeypatch.setattr(kem, "WrapContext", lambda public, sent, _context: whole(public, sent, b""))
    wrapped = wrap(KEY.public, SECRET, b"round 1")
    assert unwrap(KEY, wrapped, b"round 2").reveal() == SECRET.reveal()


def test_the_body_moved_under_another_encapsulation_does_not_open() -> None:
    first, second = (wrap(KEY.public, SECRET, b"") for _ in range(2))
    mixed = first[:KEM_CIPHERTEXT_BYTES] + second[KEM_CIPHERTEXT_BYTES:]
    with pytest.raises(PeerError, match="does not open"):
        unwrap(KEY, mixed, b"")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_secrets_of_32_bytes_are_wrapped(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        wrap(KEY.public, SecretBytes(bytes(length)), b"")


def test_the_wrapping_key_is_the_labelled_hkdf_of_the_encapsulation() -> None:
    wrapped = wrap(KEY.public, SECRET, b"context")
    ciphertext, body = wrapped[:KEM_CIPHERTEXT_BYTES], wrapped[KEM_CIPHERTEXT_BYTES:]
    info = encode(kem.WrapContext(KEY.public, ciphertext, b"context"))
    key = hkdf(KEY.decapsulate(ciphertext), "kem-wrap", info, 32)
    assert kem.AESGCM(key.reveal()).decrypt(bytes(12), body, None) == SECRET.reveal()


def test_the_cipher_is_aes_256_gcm_under_a_zero_nonce(monkeypatch: pytest.MonkeyPatch) -> None:
    # McGrew and Viega, "The Galois/Counter Mode of Operation", test cases 13 and 14.
    monkeypatch.setattr(kem, "hkdf", lambda *_: SecretBytes(bytes(32)))
    cipher = kem._cipher(SECRET, KEY.public, b"", b"")
    assert cipher.encrypt(kem._ZERO_NONCE, b"", None).hex() == "530f8afbc74536b9a963b4f1c4cb738b"
    assert cipher.encrypt(kem._ZERO_NONCE, bytes(16), None).hex() == (
        "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"
    )
    monkeypatch.setattr(kem, "encapsulate", lambda _public: (SECRET, bytes(KEM_CIPHERTEXT_BYTES)))
    wrapped = wrap(KEY.public, SecretBytes(bytes(32)), b"")
    assert wrapped[KEM_CIPHERTEXT_BYTES:][:16].hex() == "cea7403d4d606b6e074ec5d3baf39d18"


def test_no_message_holds_a_secret() -> None:
    wrapped = wrap(KEY.public, SECRET, b"round 1")
    with pytest.raises(PeerError) as caught:
        unwrap(KEY, wrapped, b"round 2")
    for secret in (SEED.hex(), SECRET.reveal().hex()):
        assert secret not in str(caught.value)
