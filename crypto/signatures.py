"""Ed25519 signatures (RFC 8032), each bound to a label that says what was signed.

A signature covers `"secure-fl/v1/" || label || NUL || body`, so that bytes signed as one kind of
message never verify as another. `Signed` is the envelope in which every message travels; its
signature covers the signer's name as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final, NoReturn, TypeVar, final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from crypto.codec import Message, Name, decode, encode, require_name
from crypto.errors import ConfigError, PeerError
from crypto.secrets import Entropy, SecretBytes

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_DOMAIN: Final = b"secure-fl/v1/"
_LABEL_PATTERN: Final = r"^[a-z0-9][a-z0-9./_-]{0,127}\Z"
_LABEL: Final = re.compile(_LABEL_PATTERN)
_FIELD_PRIME: Final = 2**255 - 19
_SIGN_BIT: Final = 2**255

_LOW_ORDER_Y: Final = frozenset(
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)
"""The y coordinates of the eight points of small order: a key there verifies forged signatures."""

Label = Annotated[str, msgspec.Meta(max_length=128, pattern=_LABEL_PATTERN)]
"""What was signed: a message's schema tag, or a name of that shape."""

Signature = Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
"""An Ed25519 signature: 64 bytes."""

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class VerifyKey:
    """The public half of a signing key.

    Attributes:
        raw: the 32 bytes of RFC 8032 section 5.1.2.

    Raises:
        ConfigError: `raw` is not 32 bytes, not the one encoding of its point, or a point of
            small order (which would accept signatures that nobody made).
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != PUBLIC_BYTES:
            raise ConfigError(
                f"A verify key is {PUBLIC_BYTES} bytes, not {len(self.raw)}: nothing can be "
                "checked with it. Ask its owner for the .pub file again."
            )
        y = int.from_bytes(self.raw, "little") % _SIGN_BIT
        if y >= _FIELD_PRIME or y in _LOW_ORDER_Y:
            raise ConfigError(
                f"The verify key {self.raw.hex()} is not one that a key generator makes, and "
                "would accept forged signatures. Ask its owner for a new key."
            )

    def __str__(self) -> str:
        return self.raw.hex()

    def __repr__(self) -> str:
        return f"VerifyKey({self.raw.hex()})"

    def verify(self, label: str, body: bytes, signature: bytes) -> None:
        """Return if `signature` is this key's signature over `body` under `label`.

        Raises:
            PeerError: it is not, or `label` is not a label.
        """
        if _LABEL.match(label) is None:
            raise PeerError(
                "A signature came under a label of a shape that nobody signs: it was refused."
            )
        self.verify_raw(_covered(label, body), signature)

    def verify_raw(self, data: bytes, signature: bytes) -> None:
        """Return if `signature` is this key's plain RFC 8032 signature over `data`.

        For formats that separate domains by themselves (DSSE). Everything else uses `verify`.

        Raises:
            PeerError: it is not.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError) as error:
            raise PeerError(
                f"A signature does not verify under the key {self}: what it covers was altered, "
                "or another key signed it. It was not used."
            ) from error


@final
class SigningKey:
    """An Ed25519 key that signs under labels.

    Formal guarantees: `repr` shows the public half only; `==`, `hash`, pickling and copying
    raise, as with `SecretBytes`.
    """

    __slots__ = ("_key", "_public")

    def __init__(self, seed: SecretBytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ConfigError(
                f"A signing key is {SEED_BYTES} secret bytes, not {len(seed)}: restore the key "
                "file from its backup, or make a new key and have it put on the roster."
            )
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self._public = VerifyKey(self._key.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, entropy: Entropy) -> SigningKey:
        """Return a new key from 32 bytes of `entropy`."""
        return cls(SecretBytes(entropy(SEED_BYTES)))

    @classmethod
    def from_seed(cls, seed: SecretBytes) -> SigningKey:
        """Return the key of a 32-byte seed.

        Raises:
            ConfigError: the seed has another length.
        """
        return cls(seed)

    @property
    def public(self) -> VerifyKey:
        """The public half."""
        return self._public

    def seed(self) -> SecretBytes:
        """Return the 32-byte seed, for the key file."""
        return SecretBytes(self._key.private_bytes_raw())

    def sign(self, label: str, body: bytes) -> bytes:
        """Return the 64-byte signature over `body` under `label`.

        Raises:
            ConfigError: `label` is not a label (lower case, digits, `./_-`; at most 128).
        """
        if _LABEL.match(label) is None:
            raise ConfigError(
                f"{label!r} is not a signature label: use lower case, digits and ./_- only. "
                "Nothing was signed."
            )
        return self.sign_raw(_covered(label, body))

    def sign_raw(self, data: bytes) -> bytes:
        """Return the plain RFC 8032 signature over `data`.

        For formats that separate domains by themselves (DSSE). Everything else uses `sign`.
        """
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"<signing key of {self._public}>"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("Signing keys are not compared: compare their public halves.")

    __hash__ = None  # type: ignore[assignment]  # a secret is no dictionary key

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Signing keys are not pickled or copied: write them to a key file.")


class Signed(Message, frozen=True, tag="secure-fl.signed.v1"):
    """A message with its signature.

    Attributes:
        label: the schema tag of the message in `body`.
        body: the message's one encoding.
        signer: who claims to have signed; the key is looked up under this name on the roster.
        signature: over `signer || NUL || body` under `label`.
    """

    label: Label
    body: bytes
    signer: Name
    signature: Signature


def sign_message(key: SigningKey, signer: str, message: Message) -> Signed:
    """Return `message`, signed by `key` in the name of `signer`, labelled with its schema.

    Raises:
        ConfigError: `signer` is not a name, or the message's type declares no schema.
    """
    require_name(signer)
    label = schema_of(type(message))
    body = encode(message)
    return Signed(
        label=label,
        body=body,
        signer=signer,
        signature=key.sign(label, _named(signer, body)),
    )


def open_signed(signed: Signed, kind: type[M], key: VerifyKey, limit_bytes: int) -> M:
    """Return the message that `signed` carries.

    Args:
        signed: the envelope, as another party sent it.
        kind: the only message type that is acceptable here.
        key: the key that the pinned roster gives for `signed.signer`.
        limit_bytes: refuse a longer body before checking or parsing it.

    Raises:
        PeerError: the envelope carries another kind, is too long, was not signed by `key` in the
            name of `signed.signer`, or its body is not the one encoding of a `kind`.
    """
    if signed.label != schema_of(kind):
        raise PeerError(
            f"A {kind.__name__} was expected and {signed.label!r} came: it was not used. "
            "The sender runs another version, or is at another step of the protocol."
        )
    if len(signed.body) > limit_bytes:
        raise PeerError(
            f"A signed {kind.__name__} of {len(signed.body)} bytes exceeds the limit of "
            f"{limit_bytes}: it was not read."
        )
    key.verify(signed.label, _named(signed.signer, signed.body), signed.signature)
    return decode(kind, signed.body, limit_bytes=limit_bytes)


def schema_of(kind: type[Message]) -> str:
    """Return the schema tag of a message type.

    Raises:
        ConfigError: the type declares none, and so cannot be signed.
    """
    tag = kind.__struct_config__.tag
    if not isinstance(tag, str):
        raise ConfigError(
            f"{kind.__name__} declares no schema tag, so a signature could not say what it "
            "covers: give the class tag='secure-fl.NAME.v1'."
        )
    return tag


def _covered(label: str, body: bytes) -> bytes:
    # A label holds no NUL, so the split is unambiguous.
    return _DOMAIN + label.encode("ascii") + b"\0" + body


def _named(signer: str, body: bytes) -> bytes:
    # A name holds no NUL either. Without the name, the field could be rewritten in transit.
    return signer.encode("utf-8") + b"\0" + body
