"""One strict codec for every message: versioned, canonical, bounded.

A message is a frozen `Message` subclass. Its bytes are MessagePack with the schema tag first and
the fields in their declared order, so that one value has exactly one encoding. Decoding refuses
anything else: an unknown schema, an unknown or missing field, left-over bytes, a non-minimal
encoding, or more bytes than the caller allows.
"""

from __future__ import annotations

import re
import threading
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, TypeVar

import msgspec

from crypto.errors import ConfigError, PeerError

_NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]*\Z"
_LONGEST_NAME: Final = 64

# msgspec 0.22 learns a type's fields when it is first decoded, and two threads that do so at once
# crash the process (a null pointer in its C code). So they are learned under a lock, and once.
_LEARNING: Final = threading.Lock()
_DECODERS: Final[dict[tuple[type, ...], msgspec.msgpack.Decoder[Any]]] = {}

Digest = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
"""A SHA-256 digest: 32 bytes."""

PublicKey = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
"""A raw X25519 or Ed25519 public key: 32 bytes."""

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=_LONGEST_NAME, pattern=_NAME_PATTERN)]
"""The name of a site, a coordinator or a data set."""


class Message(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, tag_field="schema"
):
    """Base of every message. Subclasses give their schema as `tag="secure-fl.NAME.vN"`."""


M = TypeVar("M", bound=Message)


def require_name(name: str) -> None:
    """Return if `name` can be a `Name`, which a message checks only when it is decoded.

    Raises:
        ConfigError: it cannot.
    """
    if len(name) > _LONGEST_NAME or re.match(_NAME_PATTERN, name) is None:
        raise ConfigError(
            f"{name!r} cannot name a party or a data set: no message could carry it. Use lower "
            f"case, digits and ._- (at most {_LONGEST_NAME} characters, a letter or digit first)."
        )


def encode(message: Message) -> bytes:
    """Return the one encoding of `message`."""
    return msgspec.msgpack.encode(message, order="deterministic")


def decode(kind: type[M], data: bytes, *, limit_bytes: int) -> M:
    """Return the message of type `kind` that `data` encodes.

    Args:
        kind: the only message type that is acceptable here.
        data: the bytes as they came from another party.
        limit_bytes: refuse longer input before parsing it.

    Raises:
        PeerError: `data` is too long, is not a message of this kind, or is not its one encoding.
    """
    return decode_one_of((kind,), data, limit_bytes=limit_bytes)


def decode_one_of(kinds: tuple[type[M], ...], data: bytes, *, limit_bytes: int) -> M:
    """Return the message that `data` encodes, of whichever of `kinds` its schema names.

    Raises:
        PeerError: as `decode`.
    """
    said = " or ".join(kind.__name__ for kind in kinds)
    if len(data) > limit_bytes:
        raise PeerError(
            f"A {said} of {len(data)} bytes exceeds the limit of {limit_bytes}: "
            "it was not read. The sender runs another configuration, or tries to exhaust memory."
        )
    try:
        message: M = _decoder(kinds).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerError(
            f"These bytes are not a {said}: they were not used. "
            "The sender runs another version, or altered the message."
        ) from error
    if encode(message) != data:
        raise PeerError(
            f"A {said} came in an encoding that is not its canonical one: it was not "
            "used, since one value with two encodings has two digests."
        )
    return message


def _decoder(kinds: tuple[type[M], ...]) -> msgspec.msgpack.Decoder[M]:
    """Return what decodes any of `kinds`, made once; a decoder may serve several threads."""
    with _LEARNING:
        if kinds not in _DECODERS:
            _DECODERS[kinds] = msgspec.msgpack.Decoder(reduce(or_, kinds))
        return _DECODERS[kinds]
