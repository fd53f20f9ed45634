from __future__ import annotations

import pytest
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import sealing
from crypto.errors import ConfigError, IntegrityError
from crypto.sealing import OVERHEAD_BYTES, seal, unseal
from crypto.secrets import SecretBytes, system_entropy

KEY = SecretBytes(bytes(range(32)))
OTHER = SecretBytes(bytes(range(1, 33)))

# RFC 8452 appendix C.2 (AEAD_AES_256_GCM_SIV): plaintext, associated data, result.
RFC_8452 = [
    ("", "", "07f5f4169bbf55a8400cd47ea6fd400f"),
    ("0100000000000000", "", "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"),
    ("0200000000000000", "01", "1de22967237a813291213f267e3b452f02d01ae33e4ec854"),
]


@pytest.mark.parametrize(("plaintext", "associated", "result"), RFC_8452)
def test_the_cipher_is_that_of_rfc_8452(plaintext: str, associated: str, result: str) -> None:
    cipher = sealing._cipher(SecretBytes(b"\x01" + bytes(31)))
    nonce = b"\x03" + bytes(11)
    sealed = cipher.encrypt(nonce, bytes.fromhex(plaintext), bytes.fromhex(associated))
    assert sealed.hex() == result


def test_the_format_is_header_nonce_ciphertext_tag() -> None:
    sealed = seal(KEY, "store", b"state", lambda length: b"\x09" * length)
    header = b"secure-fl.sealed.v1\0"
    assert sealed.startswith(header + b"\x09" * 12)
    body = sealing._cipher(KEY).encrypt(b"\x09" * 12, b"state", header + b"store")
    assert sealed == header + b"\x09" * 12 + body


@settings(deadline=None)
@given(st.binary(max_size=300), st.text(max_size=20))
def test_what_is_sealed_opens_to_the_same(plaintext: bytes, label: str) -> None:
    sealed = seal(KEY, label, plaintext, system_entropy)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert unseal(KEY, label, sealed) == plaintext
    if len(plaintext) >= 8:
        assert plaintext not in sealed[32:]


def test_every_bit_of_what_is_sealed_counts() -> None:
    sealed = seal(KEY, "store", b"state", system_entropy)
    for bit in range(8 * len(sealed)):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(IntegrityError):
            unseal(KEY, "store", bytes(altered))


def test_every_cut_and_every_addition_is_refused() -> None:
    sealed = seal(KEY, "store", b"state", system_entropy)
    for length in range(len(sealed)):
        with pytest.raises(IntegrityError):
            unseal(KEY, "store", sealed[:length])
    with pytest.raises(IntegrityError):
        unseal(KEY, "store", sealed + b"\0")


def test_another_key_or_another_purpose_does_not_open() -> None:
    sealed = seal(KEY, "store", b"state", system_entropy)
    with pytest.raises(IntegrityError, match="another key or for another purpose"):
        unseal(OTHER, "store", sealed)
    with pytest.raises(IntegrityError, match="journal"):
        unseal(KEY, "journal", sealed)


def test_without_the_label_bytes_for_one_purpose_open_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sealing, "_associated", lambda _label: b"")
    sealed = seal(KEY, "store", b"state", system_entropy)
    assert unseal(KEY, "journal", sealed) == b"state"


def test_equal_plaintexts_seal_to_different_bytes() -> None:
    sealed = {seal(KEY, "store", b"state", system_entropy) for _ in range(50)}
    assert len(sealed) == 50


def test_a_repeated_nonce_shows_equality_and_nothing_else() -> None:
    def stuck(length_bytes: int) -> bytes:
        return bytes(length_bytes)

    left, right = b"balance 0000001", b"balance 9999999"
    first = seal(KEY, "store", left, stuck)[32:-16]
    second = seal(KEY, "store", right, stuck)[32:-16]
    difference = bytes(a ^ b for a, b in zip(left, right, strict=True))
    assert bytes(a ^ b for a, b in zip(first, second, strict=True)) != difference
    # Plain AES-GCM, the usual choice, gives the difference of the plaintexts away.
    gcm = AESGCM(KEY.reveal())
    first, second = (gcm.encrypt(bytes(12), each, b"")[:-16] for each in (left, right))
    assert bytes(a ^ b for a, b in zip(first, second, strict=True)) == difference


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33, 64])
def test_keys_of_another_length_are_refused(length: int) -> None:
    # 16 bytes would be AES-128 without anybody having chosen it.
    with pytest.raises(ConfigError, match=f"not {length}"):
        seal(SecretBytes(bytes(length)), "store", b"", system_entropy)
    with pytest.raises(ConfigError, match=f"not {length}"):
        unseal(SecretBytes(bytes(length)), "store", bytes(100))


def test_more_than_the_cipher_takes_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_LARGEST_PLAINTEXT_BYTES", 4)
    with pytest.raises(ConfigError, match="Store them in parts"):
        seal(KEY, "store", b"state", system_entropy)


def test_a_machine_without_the_cipher_gets_no_weaker_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_key: bytes) -> None:
        raise UnsupportedAlgorithm("no AES-GCM-SIV here")

    monkeypatch.setattr(sealing, "AESGCMSIV", absent)
    with pytest.raises(ConfigError, match="OpenSSL has no AES-GCM-SIV"):
        seal(KEY, "store", b"state", system_entropy)


def test_no_message_holds_key_or_plaintext() -> None:
    sealed = seal(KEY, "store", b"patient Miller", system_entropy)
    with pytest.raises(IntegrityError) as caught:
        unseal(OTHER, "store", sealed)
    for secret in ("Miller", KEY.reveal().hex(), OTHER.reveal().hex()):
        assert secret not in str(caught.value)
