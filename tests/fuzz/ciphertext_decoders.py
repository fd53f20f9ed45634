"""The decoders of packed vectors, post-quantum keys, and ciphertexts that a C++ library reads."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from fuzz_target import Decoder
from hostile_bytes import Form
from hypothesis import strategies as st

from crypto.errors import IntegrityError, PeerError
from crypto.homomorphic_plan import Scheme, SumPlan
from crypto.homomorphic_seal import (
    SealAdder,
    SealKey,
    check_keyless_context,
    keyless_context,
)
from crypto.kem import KemKey, check_kem_public, encapsulate, unwrap, wrap
from crypto.ring import pack, unpack
from crypto.secrets import SecretBytes, system_entropy

SECRET = SecretBytes(bytes(32))
SCHEMES = (Scheme.BFV, Scheme.CKKS)


@cache
def _key(scheme: Scheme) -> SealKey:
    (parameters,) = SumPlan(4, 2**16, 3, scheme).parameters
    return SealKey.generate(parameters)


@cache
def _adder(scheme: Scheme) -> SealAdder:
    return SealAdder(_key(scheme)._parameters)


@cache
def _ciphertext(scheme: Scheme) -> bytes:
    return _key(scheme).encrypt(np.arange(_key(scheme)._parameters.slots, dtype=np.int64) % 100)


def _read_ciphertext(scheme: Scheme, data: bytes) -> None:
    """As the coordinator adds it, and as a site opens it."""
    adder = _adder(scheme)
    adder.add(adder.load(_ciphertext(scheme)), adder.load(data))
    _key(scheme).decrypt(data)


def _read_seal_key(data: bytes) -> None:
    """Whoever makes the key sends what it likes."""
    SealKey(_key(Scheme.BFV)._parameters, SecretBytes(data))


def _read_context(data: bytes) -> None:
    parameters = _key(Scheme.BFV)._parameters
    check_keyless_context(parameters, data)
    assert data == keyless_context(parameters)


@cache
def _kem() -> KemKey:
    return KemKey.generate(system_entropy)


def _read_kem_public(data: bytes) -> None:
    check_kem_public(data)
    encapsulate(data)


def _read_wrapped(data: bytes) -> None:
    assert len(unwrap(_kem(), data, b"fuzz")) == len(SECRET)


def _read_packed(data: bytes) -> None:
    for width_bits in (24, 32):
        if len(data) % (width_bits // 8) == 0:
            assert pack(unpack(data, width_bits), width_bits) == data
    unpack(data, 32)


_READ = (PeerError,)
CIPHERTEXT_DECODERS = (
    *(
        Decoder(
            f"ciphertext-{scheme.value}",
            partial(_read_ciphertext, scheme),
            _READ,
            st.builds(partial(_ciphertext, scheme)),
            Form.BYTES,
        )
        for scheme in SCHEMES
    ),
    Decoder(
        "homomorphic-key",
        _read_seal_key,
        _READ,
        st.builds(lambda: _key(Scheme.BFV).export().reveal()),
        Form.BYTES,
    ),
    Decoder(
        "homomorphic-context",
        _read_context,
        (PeerError, IntegrityError),
        st.builds(lambda: keyless_context(_key(Scheme.BFV)._parameters)),
        Form.BYTES,
    ),
    Decoder(
        "kem-public-key",
        _read_kem_public,
        _READ,
        st.builds(lambda: _kem().public),
        Form.BYTES,
    ),
    Decoder(
        "wrapped-secret",
        _read_wrapped,
        _READ,
        st.builds(lambda: wrap(_kem().public, SECRET, b"fuzz")),
        Form.BYTES,
    ),
    Decoder("packed-vector", _read_packed, _READ, st.binary(min_size=4, max_size=96), Form.BYTES),
)
