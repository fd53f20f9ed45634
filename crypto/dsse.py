"""Signed files: DSSE v1.0 envelopes (github.com/secure-systems-lab/dsse), with Ed25519.

An envelope carries a payload, says what type it has, and holds any number of signatures over
both. It is the format of files that outlive a run (roster, manifest); messages between parties
travel in `crypto.signatures.Signed`.

Stricter than the specification where that costs nothing: unknown or repeated JSON members are
refused, base64 is the standard alphabet in its one encoding, and a signature counts only under
the key whose id it names.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crypto.digests import canonical_json, sha256
from crypto.errors import ConfigError, IntegrityError, PeerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crypto.signatures import SigningKey, VerifyKey

ENVELOPE_LIMIT_BYTES: Final = 1 << 26
MOST_SIGNATURES: Final = 1024

_TYPE: Final = re.compile(r"[!-~]{1,200}\Z")


@dataclass(frozen=True)
class EnvelopeSignature:
    """One signature of an envelope.

    Attributes:
        key_id: which key made it: the hexadecimal SHA-256 of its 32 raw bytes.
        signature: over `pae(payload_type, payload)`.
    """

    key_id: str
    signature: bytes


@dataclass(frozen=True)
class Envelope:
    """An envelope as it was read: nothing about it has been verified.

    Attributes:
        payload_type: what the payload is, as a media type or URI.
        unverified_payload: the payload's bytes.
        signatures: who claims to have signed.
    """

    payload_type: str
    unverified_payload: bytes
    signatures: tuple[EnvelopeSignature, ...]

    def to_bytes(self) -> bytes:
        """Return the envelope as canonical JSON."""
        return canonical_json(
            {
                "payload": _to_base64(self.unverified_payload),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": each.key_id, "sig": _to_base64(each.signature)}
                    for each in self.signatures
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        """Return the envelope in `data`, without verifying any signature.

        Raises:
            IntegrityError: `data` is not an envelope, or is beyond 64 MiB or 1024 signatures.
        """
        if len(data) > ENVELOPE_LIMIT_BYTES:
            raise IntegrityError(
                f"A signed file of {len(data)} bytes exceeds the limit of "
                f"{ENVELOPE_LIMIT_BYTES}: it was not read."
            )
        try:
            document = json.loads(data.decode("utf-8"), object_pairs_hook=_without_repeats)
            parsed = msgspec.convert(document, _EnvelopeJson, strict=True)
            return cls(
                payload_type=parsed.payload_type,
                unverified_payload=_from_base64(parsed.payload),
                signatures=tuple(
                    EnvelopeSignature(each.keyid, _from_base64(each.sig))
                    for each in parsed.signatures
                ),
            )
        except (ValueError, RecursionError) as error:
            # Bad UTF-8, JSON, base64 and shapes all raise ValueErrors.
            raise IntegrityError(
                "A signed file is not a DSSE envelope: it was damaged, edited, or is another "
                "kind of file. It was not used. Fetch it again from who signed it."
            ) from error


class _SignatureJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _EnvelopeJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    payload_type: str = msgspec.field(name="payloadType")
    signatures: list[_SignatureJson]

    def __post_init__(self) -> None:
        if _TYPE.match(self.payload_type) is None:
            raise ValueError("payloadType")
        if len(self.signatures) > MOST_SIGNATURES:
            raise ValueError("signatures")


def key_id(key: VerifyKey) -> str:
    """Return the id by which envelopes name `key`: the hexadecimal SHA-256 of its raw bytes."""
    return sha256(key.raw).hex()


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding, which is what a DSSE signature covers.

    `"DSSEv1" SP LEN(type) SP type SP LEN(payload) SP payload`, lengths in decimal bytes.
    """
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload_type: str, payload: bytes, keys: Sequence[SigningKey]) -> bytes:
    """Return an envelope over `payload`, signed by each of `keys`, as canonical JSON.

    Raises:
        ConfigError: no key was given, or `payload_type` is not printable ASCII without spaces.
    """
    if not keys:
        raise ConfigError("A file was to be signed by nobody: nothing was written. Give a key.")
    if _TYPE.match(payload_type) is None:
        raise ConfigError(
            f"{payload_type!r} is not a payload type: use a media type or a URI. "
            "Nothing was signed."
        )
    covered = pae(payload_type, payload)
    return Envelope(
        payload_type=payload_type,
        unverified_payload=payload,
        signatures=tuple(
            EnvelopeSignature(key_id(key.public), key.sign_raw(covered)) for key in keys
        ),
    ).to_bytes()


def verify_envelope(
    data: bytes, payload_type: str, keys: Sequence[VerifyKey], *, threshold: int
) -> bytes:
    """Return the payload of `data`, once enough of `keys` have signed it.

    Args:
        data: the envelope.
        payload_type: the only type that is acceptable here.
        keys: whose signatures count; others in the envelope are ignored.
        threshold: how many different keys of `keys` must have signed, at least 1.

    Raises:
        ConfigError: `threshold` is below 1 or above the number of different keys.
        IntegrityError: `data` is not an envelope, carries another type, holds a wrong signature
            in the name of one of `keys`, or too few of them signed.
    """
    trusted = {key_id(key): key for key in keys}
    if not 1 <= threshold <= len(trusted):
        raise ConfigError(
            f"{threshold} signatures were asked for from {len(trusted)} keys: the file cannot be "
            "verified so. Ask for at least one and at most all."
        )
    envelope = Envelope.parse(data)
    if envelope.payload_type != payload_type:
        raise IntegrityError(
            f"A signed file of type {payload_type!r} was expected and one of type "
            f"{envelope.payload_type!r} came: it was not used. Check which file you gave."
        )
    covered = pae(payload_type, envelope.unverified_payload)
    signers: set[str] = set()
    for each in envelope.signatures:
        key = trusted.get(each.key_id)
        if key is None:
            continue
        try:
            key.verify_raw(covered, each.signature)
        except PeerError as error:
            raise IntegrityError(
                f"A signed file does not verify under the trusted key {key}: its content or its "
                "signature was altered. It was not used. Fetch it again from who signed it."
            ) from error
        signers.add(each.key_id)
    if len(signers) < threshold:
        raise IntegrityError(
            f"A signed file carries {len(signers)} signatures of the trusted keys, and "
            f"{threshold} are needed: it was not used. Check that the trusted key is the one "
            "that signed it, or have it signed."
        )
    return envelope.unverified_payload


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Parsers differ in which of two equal names they keep, so they would read different files.
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _to_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _from_base64(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    if _to_base64(data) != text:
        raise binascii.Error("not the one encoding")
    return data
