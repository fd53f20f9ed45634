"""Replacing the consortium's root key: each new root is signed by the one before it and by itself.

A party pins one root key by hand and follows the chain from there, as in the root role of the
Update Framework (specification, section 5.3): version + 1 each time, signed under the old key and
under the new. The old key shows that the consortium wants the new one, the new key that its holder
has it. After that the old key's signature is void.

It is for planned replacement. Whoever stole a root key can sign a rotation to a key of their own
too: then parties pin the new root by hand, in a new consortium.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from crypto.digests import canonical_json
from crypto.dsse import sign_envelope, verify_envelope
from crypto.errors import ConfigError, IntegrityError
from crypto.signatures import VerifyKey

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crypto.signatures import SigningKey

PAYLOAD_TYPE: Final = "application/vnd.secure-fl.root.v1+json"
SCHEMA: Final = "secure-fl.root.v1"

_SECOND_VERSION: Final = 2
_LARGEST_VERSION: Final = 2**53 - 1
_KeyText = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


@dataclass(frozen=True)
class TrustedRoot:
    """The consortium's root key of today, as one party has come to trust it.

    Attributes:
        key: the key that rosters and the next root are checked against.
        version: which root it is, from 1.
        retired: the keys before it, newest first. What they sign from now on is void.
    """

    key: VerifyKey
    version: int = 1
    retired: tuple[VerifyKey, ...] = ()

    @property
    def all_keys(self) -> tuple[VerifyKey, ...]:
        """The key and all before it: who may have signed a record that this party keeps."""
        return (self.key, *self.retired)


def sign_root(old: SigningKey, new: SigningKey, version: int) -> bytes:
    """Return the file in which `old` hands over to `new`, signed by both.

    Args:
        old: the root key of today.
        new: the root key from now on.
        version: of `new`; one more than that of `old`.

    Raises:
        ConfigError: `new` is `old`, or the version is below 2 or beyond what JSON numbers hold.
    """
    if old.public == new.public:
        raise ConfigError("The new root key is the old one: nothing was signed. Make a new key.")
    if not _SECOND_VERSION <= version <= _LARGEST_VERSION:
        raise ConfigError(
            f"A root that follows another cannot have version {version}: the first one has 1. "
            "Nothing was signed. Give the old root's version plus one."
        )
    return sign_envelope(PAYLOAD_TYPE, _payload(old.public, new.public, version), [old, new])


def accept_root(trusted: TrustedRoot, data: bytes) -> TrustedRoot:
    """Return the root that follows `trusted`, if `data` says so under both keys.

    Checked in this order: the signature of `trusted.key`, one encoding, the version, that the key
    is new, the new key's signature.

    Raises:
        IntegrityError: the file is damaged, lacks one of the two signatures, or is of a version
            that was already passed.
        ConfigError: it is signed, but says something impossible, or versions are missing before it.
    """
    payload = verify_envelope(data, PAYLOAD_TYPE, [trusted.key], threshold=1)
    statement = _from_payload(payload)
    _check_version(trusted, statement.version)
    new = VerifyKey(bytes.fromhex(statement.key))
    if statement.previous != str(trusted.key) or new in trusted.all_keys:
        raise ConfigError(
            f"Root {statement.version} names another root before it, or brings an earlier key "
            "back: it was not used. The consortium makes a key that never was its root and signs "
            "again."
        )
    verify_envelope(data, PAYLOAD_TYPE, [new], threshold=1)
    return TrustedRoot(new, statement.version, trusted.all_keys)


def follow_roots(pinned: TrustedRoot, chain: Iterable[bytes]) -> TrustedRoot:
    """Return the root at the end of `chain`, whose files follow `pinned` in their order.

    Raises:
        IntegrityError, ConfigError: as `accept_root`, of the first file that does not follow.
    """
    trusted = pinned
    for data in chain:
        trusted = accept_root(trusted, data)
    return trusted


class _RootJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal["secure-fl.root.v1"]
    version: Annotated[int, msgspec.Meta(ge=_SECOND_VERSION, le=_LARGEST_VERSION)]
    previous: _KeyText
    key: _KeyText


def _payload(previous: VerifyKey, key: VerifyKey, version: int) -> bytes:
    return canonical_json(
        {
            "schema": SCHEMA,
            "version": version,
            "previous": previous.raw.hex(),
            "key": key.raw.hex(),
        }
    )


def _from_payload(payload: bytes) -> _RootJson:
    try:
        parsed = msgspec.convert(json.loads(payload.decode("utf-8")), _RootJson, strict=True)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "The consortium signed a root that this version cannot read: the old root stands. Use "
            "the version it was made with, or have a root of this version signed."
        ) from error
    if canonical_json(msgspec.to_builtins(parsed)) != payload:
        raise ConfigError(
            "The consortium signed a root that is not in its canonical encoding: the old root "
            "stands. Make it with `sign_root` and distribute that file unchanged."
        )
    return parsed


def _check_version(trusted: TrustedRoot, version: int) -> None:
    if version <= trusted.version:
        raise IntegrityError(
            f"Root {version} came to a party that trusts root {trusted.version}: it was not used. "
            "Somebody put an old file there; fetch the consortium's current root files."
        )
    if version > trusted.version + 1:
        raise ConfigError(
            f"Root {version} came to a party that trusts root {trusted.version}: what is between "
            "them is missing, and it was not used. Fetch every root file of the consortium."
        )
