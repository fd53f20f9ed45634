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
_CURVE_PRIME = 2**255 - 19
_LOW_ORDER = frozenset(  # u-coordinates of order 1, 2, 4 and 8 on curve25519 and its twist
    {
        0,
        1,
        _CURVE_PRIME - 1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    }
)


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
            PeerError: `peer_public` is refused by `check_public`.
        """
        check_public(peer_public)
        agreed = self._key.exchange(X25519PublicKey.from_public_bytes(peer_public))
        return SecretBytes(agreed)

    def __repr__(self) -> str:
        return f"<X25519 key {self._public.hex()[:16]}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A key is not pickled or copied: seal its secret for a store instead.")


def check_public(public: bytes) -> None:
    """Return if two honest parties can agree on a secret with `public`.

    Raises:
        PeerError: it is not 32 bytes; not below the field's prime (RFC 7748, section 5, would
            take it for another key's second encoding); or of low order: what it agrees on is zero
            whatever the other secret is (sections 6.1 and 7), and so known to everybody.
    """
    if len(public) != SECRET_BYTES:
        raise PeerError(
            f"A public key of {len(public)} bytes was refused: X25519 keys have {SECRET_BYTES}. "
            "Its owner runs another version, or altered the message."
        )
    u = int.from_bytes(public, "little")
    if u >= _CURVE_PRIME:
        raise PeerError(
            "A public key in another than its one encoding was refused: one key under two "
            "encodings could pass for two. Its owner altered it; leave that party out."
        )
    if u in _LOW_ORDER:
        raise PeerError(
            "A public key of low order was refused: everybody would know what it agrees on. Its "
            "owner did not generate it honestly; leave that party out."
        )


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
    kdf = HKDF(algorithm=SHA256(), length=length, salt=salt, info=info)
    return SecretBytes(kdf.derive(secret.reveal()))
