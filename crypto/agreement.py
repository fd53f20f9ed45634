"""Key agreement and derivation: X25519 (RFC 7748) and labelled HKDF-SHA256 (RFC 5869)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from crypto.errors import PeerError
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from crypto.secrets import Entropy

SECRET_BYTES = 32
"""The length of an X25519 secret, of a public key and of what two keys agree on."""

_DOMAIN = b"secure-fl/v1/"


@final
class AgreementKey:
    """One X25519 key pair. The secret leaves only as `SecretBytes`, by asking with `secret`."""

    __slots__ = ("_key", "_public", "_secret")

    def __init__(self, secret: SecretBytes) -> None:
        """Take a secret of 32 bytes that this party made earlier.

        Raises:
            ValueError: the secret has another length.
        """
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"An X25519 secret has {SECRET_BYTES} bytes, not {len(secret)}.")
        self._secret = secret
        self._key = X25519PrivateKey.from_private_bytes(secret.reveal())
        self._public = self._key.public_key().public_bytes_raw()

    @classmethod
    def generate(cls, entropy: Entropy) -> AgreementKey:
        """Return a fresh key from 32 bytes of `entropy`."""
        return cls(SecretBytes(entropy(SECRET_BYTES)))

    @property
    def public(self) -> bytes:
        """The raw public key, 32 bytes."""
        return self._public

    @property
    def secret(self) -> SecretBytes:
        """The secret, 32 bytes as they were generated (clamped only inside the function)."""
        return self._secret

    def shared(self, peer_public: bytes) -> SecretBytes:
        """Return the 32 bytes that this key and the peer's agree on.

        They are an input to `hkdf`, never a key.

        Raises:
            PeerError: `peer_public` is not 32 bytes, or of low order: the result would be zero
                whatever our secret is (RFC 7748, section 6.1, the check for the all-zero value).
        """
        if len(peer_public) != SECRET_BYTES:
            raise PeerError(
                f"A public key of {len(peer_public)} bytes was refused: X25519 keys have "
                f"{SECRET_BYTES}. Its owner runs another version, or altered the message."
            )
        try:
            agreed = self._key.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError as error:  # how OpenSSL reports the all-zero result
            raise PeerError(
                "A public key of low order was refused: everybody would know what it agrees on. "
                "Its owner did not generate it honestly; leave that party out."
            ) from error
        return SecretBytes(agreed)

    def __repr__(self) -> str:
        return f"<X25519 key {self._public.hex()[:16]}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A key is not pickled or copied: seal its secret for a store instead.")


def hkdf(secret: SecretBytes, label: str, context: bytes, length: int) -> SecretBytes:
    """Derive `length` bytes for one purpose (`label`) in one situation (`context`).

    The info string is `b"secure-fl/v1/" + label + NUL + context`, so two labels never meet.

    Args:
        secret: the input key material: what two keys agreed on, or a uniform seed.
        label: the purpose, printable ASCII.
        context: everything that must differ between two keys, in one unambiguous encoding.
        length: how many bytes, at most 255 * 32.

    Raises:
        ValueError: the label is not printable ASCII, or the length is out of range.
    """
    if not (label.isascii() and label.isprintable() and label):
        raise ValueError("A label is printable ASCII: a NUL in it could imitate another label.")
    info = _DOMAIN + label.encode("ascii") + b"\x00" + context
    return hkdf_sha256(secret, salt=b"", info=info, length=length)


def hkdf_sha256(secret: SecretBytes, *, salt: bytes, info: bytes, length: int) -> SecretBytes:
    """Return HKDF-SHA256 of RFC 5869, without a label; use `hkdf` unless a standard says so.

    Raises:
        ValueError: the length is below 1 or above 255 * 32 bytes.
    """
    if length < 1:
        raise ValueError(f"HKDF derives at least one byte, not {length}.")
    kdf = HKDF(algorithm=SHA256(), length=length, salt=salt or None, info=info)
    return SecretBytes(kdf.derive(secret.reveal()))
