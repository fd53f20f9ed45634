"""Post-quantum key encapsulation: ML-KEM-768 (FIPS 203), and X25519 and ML-KEM under one KDF.

X25519 alone falls to a large quantum computer, and a recorded upload can be kept until there is
one. ML-KEM is young, and what breaks it may need no quantum computer. `hybrid_secret` joins both so
that the result is secret as long as either is.

    wrapped = ML-KEM ciphertext (1088) || AES-256-GCM ciphertext (32) || tag (16)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, NoReturn, final

import msgspec
import numpy as np
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from crypto.agreement import hkdf
from crypto.codec import Message, encode
from crypto.errors import ConfigError, PeerError
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crypto.secrets import Entropy

KEM_SEED_BYTES: Final = 64
"""The length of a key's seed: d and then z of FIPS 203, section 7.1, 32 bytes each."""

KEM_PUBLIC_BYTES: Final = 1184
"""The length of an encapsulation key (FIPS 203, table 3)."""

KEM_CIPHERTEXT_BYTES: Final = 1088
"""The length of a ciphertext (FIPS 203, table 3)."""

SHARED_BYTES: Final = 32
"""The length of an encapsulated secret, and of every part of a hybrid one."""

WRAPPED_BYTES: Final = KEM_CIPHERTEXT_BYTES + SHARED_BYTES + 16
"""The length of what `wrap` returns: 1136 bytes."""

KemPublic = Annotated[bytes, msgspec.Meta(min_length=KEM_PUBLIC_BYTES, max_length=KEM_PUBLIC_BYTES)]
"""A raw ML-KEM-768 encapsulation key in a message; its length only, see `check_kem_public`."""

_MODULUS: Final = 3329
_PACKED_BYTES: Final = 3 * 384  # k = 3 polynomials of 256 coefficients, 12 bits each
_KEY_BYTES: Final = 32
_ZERO_NONCE: Final = bytes(12)


class HybridContext(Message, frozen=True, tag="secure-fl.hybrid-secret.v1"):
    """What a hybrid secret is bound to, beside its parts."""

    n_parts: int
    exchanged: tuple[bytes, ...]
    context: bytes


class WrapContext(Message, frozen=True, tag="secure-fl.kem-wrap.v1"):
    """What the key of one wrapping is bound to."""

    public: bytes
    ciphertext: bytes
    context: bytes


@final
class KemKey:
    """One ML-KEM-768 key pair. The seed leaves only as `SecretBytes`, by asking with `seed`."""

    __slots__ = ("_key", "_public", "_seed")

    def __init__(self, seed: SecretBytes) -> None:
        """Take a seed of 64 bytes that this party made earlier; the same seed is the same key.

        Raises:
            ValueError: the seed has another length.
            ConfigError: this machine's OpenSSL has no ML-KEM.
        """
        if len(seed) != KEM_SEED_BYTES:
            raise ValueError(f"An ML-KEM-768 seed has {KEM_SEED_BYTES} bytes, not {len(seed)}.")
        self._seed = seed
        try:
            self._key = MLKEM768PrivateKey.from_seed_bytes(seed.reveal())
        except UnsupportedAlgorithm as error:
            raise _absent() from error
        self._public = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, entropy: Entropy) -> KemKey:
        """Return a fresh key from 64 bytes of `entropy`.

        Raises:
            ConfigError: this machine's OpenSSL has no ML-KEM.
        """
        return cls(SecretBytes(entropy(KEM_SEED_BYTES)))

    @property
    def public(self) -> bytes:
        """The raw encapsulation key, 1184 bytes."""
        return self._public

    @property
    def seed(self) -> SecretBytes:
        """The seed (d, z), 64 bytes as they were generated."""
        return self._seed

    def decapsulate(self, ciphertext: bytes) -> SecretBytes:
        """Return the 32 bytes that `ciphertext` carries to this key.

        ML-KEM rejects implicitly (FIPS 203, algorithm 18): a ciphertext that was altered, or made
        for another key, gives other secret bytes and no error. Whoever needs to know authenticates
        something under the result, as `unwrap` does.

        Raises:
            PeerError: `ciphertext` is not 1088 bytes.
        """
        if len(ciphertext) != KEM_CIPHERTEXT_BYTES:
            raise PeerError(
                f"An encapsulated secret of {len(ciphertext)} bytes was refused: those of "
                f"ML-KEM-768 have {KEM_CIPHERTEXT_BYTES}. Its sender runs another version, or "
                "altered the message."
            )
        return SecretBytes(self._key.decapsulate(ciphertext))

    def __repr__(self) -> str:
        return f"<ML-KEM-768 key {self._public.hex()[:16]}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A key is not pickled or copied: seal its seed for a store instead.")


def check_kem_public(public: bytes) -> None:
    """Return if FIPS 203, section 7.2, lets `public` be encapsulated to.

    Raises:
        PeerError: it is not 1184 bytes (type check), or one of its 768 coefficients of 12 bits
            is not below 3329 (modulus check), which would be a second encoding of another key.
    """
    if len(public) != KEM_PUBLIC_BYTES:
        raise PeerError(
            f"A public key of {len(public)} bytes was refused: ML-KEM-768 keys have "
            f"{KEM_PUBLIC_BYTES}. Its owner runs another version, or altered the message."
        )
    if int(_coefficients(public).max()) >= _MODULUS:
        raise PeerError(
            "A public key in another than its one encoding was refused (a coefficient is not "
            f"below {_MODULUS}): one key under two encodings could pass for two. Its owner did "
            "not generate it honestly; leave that party out."
        )


def encapsulate(public: bytes) -> tuple[SecretBytes, bytes]:
    """Return 32 fresh secret bytes, and the ciphertext of 1088 that carries them to `public`.

    The randomness is that of OpenSSL's own generator, which the operating system's seeds: the
    library has no way to pass it in, so that no test can repeat a ciphertext.

    Raises:
        PeerError: `public` is refused by `check_kem_public`.
        ConfigError: this machine's OpenSSL has no ML-KEM.
    """
    check_kem_public(public)
    try:
        key = MLKEM768PublicKey.from_public_bytes(public)
    except UnsupportedAlgorithm as error:
        raise _absent() from error
    shared, ciphertext = key.encapsulate()
    return SecretBytes(shared), ciphertext


def hybrid_secret(
    classical: SecretBytes,
    post_quantum: Sequence[SecretBytes],
    *,
    exchanged: Sequence[bytes],
    label: str,
    context: bytes,
) -> SecretBytes:
    """Return 32 bytes that are secret if `classical` or any one of `post_quantum` is.

        HKDF-SHA256(classical || post_quantum[0] || ..., label, (n parts, exchanged, context))

    Concatenation is the combiner of NIST SP 800-56C rev. 2 (section 2, Z' = Z || T), of SP 800-227
    (section 4.6) and of draft-ietf-tls-hybrid-design (section 3.3). Parts of one length cannot run
    into each other, so with the hash as a random oracle an attacker who misses one part misses the
    result. Giacon, Heuer and Poettering (2018, section 3) show that a combiner keeps security
    against chosen ciphertexts only if it binds the ciphertexts: X-Wing leaves out those of ML-KEM
    by an argument that is special to it, and this function leaves out nothing.

    Args:
        classical: what two X25519 keys agreed on, 32 bytes.
        post_quantum: secrets that went under ML-KEM, 32 bytes each, in the order that both ends
            know; at least one.
        exchanged: every public key and ciphertext that the parts came from, in the same order at
            both ends.
        label: the purpose, printable ASCII.
        context: everything else that must differ between two secrets.

    Raises:
        ValueError: there is no post-quantum part, a part is not 32 bytes, nothing was exchanged,
            or the label is not printable ASCII.
    """
    parts = (classical, *post_quantum)
    if len(parts) == 1 or any(len(part) != SHARED_BYTES for part in parts):
        raise ValueError(
            f"A hybrid secret joins two or more parts of {SHARED_BYTES} bytes: parts of other "
            "lengths could run into each other."
        )
    if not exchanged:
        raise ValueError("A hybrid secret is bound to the public keys and ciphertexts behind it.")
    joined = SecretBytes(b"".join(part.reveal() for part in parts))
    info = encode(HybridContext(len(parts), tuple(exchanged), context))
    return hkdf(joined, label, info, SHARED_BYTES)


def wrap(public: bytes, secret: SecretBytes, context: bytes) -> bytes:
    """Return `secret` so that only the owner of `public` can read it, 1136 bytes.

    The key is HKDF-SHA256 of a fresh encapsulation, bound to `public`, the ciphertext and
    `context`. It encrypts this one message and is forgotten, so the nonce of AES-256-GCM may be
    zero: a nonce has to differ only between two messages under one key. Nothing shows who wrapped
    it; the message that carries it is signed.

    Args:
        public: the receiver's encapsulation key.
        secret: 32 bytes.
        context: who sends what to whom and when, in one unambiguous encoding.

    Raises:
        PeerError: `public` is refused by `check_kem_public`.
        ConfigError: this machine's OpenSSL has no ML-KEM.
        ValueError: `secret` is not 32 bytes.
    """
    if len(secret) != SHARED_BYTES:
        raise ValueError(f"What is wrapped has {SHARED_BYTES} bytes, not {len(secret)}.")
    shared, ciphertext = encapsulate(public)
    cipher = _cipher(shared, public, ciphertext, context)
    return ciphertext + cipher.encrypt(_ZERO_NONCE, secret.reveal(), None)


def unwrap(key: KemKey, wrapped: bytes, context: bytes) -> SecretBytes:
    """Return the 32 bytes that `wrap` was given for this key and context.

    Raises:
        PeerError: `wrapped` was altered or cut, or was wrapped for another key or context.
    """
    if len(wrapped) != WRAPPED_BYTES:
        raise PeerError(
            f"A wrapped secret of {len(wrapped)} bytes was refused: they have {WRAPPED_BYTES}. "
            "Its sender runs another version, or altered the message."
        )
    ciphertext, body = wrapped[:KEM_CIPHERTEXT_BYTES], wrapped[KEM_CIPHERTEXT_BYTES:]
    cipher = _cipher(key.decapsulate(ciphertext), key.public, ciphertext, context)
    try:
        return SecretBytes(cipher.decrypt(_ZERO_NONCE, body, None))
    except InvalidTag as error:
        raise PeerError(
            "A wrapped secret does not open: it was altered, or wrapped for another party or "
            "purpose. It was not used; leave its sender out."
        ) from error


def _cipher(shared: SecretBytes, public: bytes, ciphertext: bytes, context: bytes) -> AESGCM:
    info = encode(WrapContext(public, ciphertext, context))
    return AESGCM(hkdf(shared, "kem-wrap", info, _KEY_BYTES).reveal())


def _coefficients(public: bytes) -> NDArray[np.uint16]:
    """Return the 12-bit coefficients of a key (FIPS 203, algorithm 6), shape `(384, 2)`."""
    packed = np.frombuffer(public, dtype=np.uint8, count=_PACKED_BYTES).reshape(-1, 3)
    low, middle, high = (packed[:, at].astype(np.uint16) for at in range(3))
    return np.stack([low | (middle & 15) << 8, middle >> 4 | high << 4], axis=1)


def _absent() -> ConfigError:
    return ConfigError(
        "This machine's OpenSSL has no ML-KEM-768 (it came with OpenSSL 3.5): no secret can be "
        "agreed on that outlasts a quantum computer. Install the cryptography wheel from the lock "
        "file, which carries its own."
    )
