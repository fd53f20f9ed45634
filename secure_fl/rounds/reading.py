"""Opening signed statements under the pinned roster, for both parties."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from crypto.codec import Message, encode
from crypto.digests import sha256
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import Adversary, CipherSuite, CohortRisk, Session
from crypto.ring import WIDTHS_BITS
from crypto.signatures import Signed, open_signed
from secure_fl.rounds.messages import STATEMENT_LIMIT_BYTES, Hello

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crypto.roster import Roster

M = TypeVar("M", bound=Message)
E = TypeVar("E", bound=Enum)

NO_DIGEST = bytes(32)
"""Stands where there is nothing to have a digest of."""


def read_statement(signed: Signed, kind: type[M], signer: str, roster: Roster) -> M:
    """Return the statement, if `signer` made it under the key that the roster pins.

    Raises:
        PeerError: somebody else signed it, it was altered, or it is another statement.
    """
    if signed.signer != signer:
        raise PeerError(
            f"A {kind.__name__} of {signer} came signed by {signed.signer}: it was not used. "
            "Messages were swapped on the way, or one party speaks for another."
        )
    return open_signed(signed, kind, roster.member(signer).verify_key, STATEMENT_LIMIT_BYTES)


def session_of(hello: Hello) -> Session:
    """Return the session that a hello proposes.

    Raises:
        PeerError: it names a cipher suite, an adversary or a width that this version does not have,
            or its threshold or degree protects nobody.
    """
    if hello.width_bits not in WIDTHS_BITS:
        raise PeerError(
            f"The coordinator proposes elements of {hello.width_bits} bits, and this version has "
            "24 and 32: the session was refused. Use one version at all parties."
        )
    try:
        return Session(
            run_id=hello.run_id,
            attempt=hello.attempt,
            roster_digest=hello.roster_digest,
            config_digest=hello.config_digest,
            suite=_known(CipherSuite, hello.suite, "cipher suite"),
            adversary=_known(Adversary, hello.adversary, "adversary"),
            sites=hello.sites,
            threshold=hello.threshold,
            width_bits=24 if hello.width_bits == WIDTHS_BITS[0] else 32,
            degree=hello.degree,
            risk=None if hello.risk is None else CohortRisk(*hello.risk),
        )
    except ConfigError as error:
        raise PeerError(f"The coordinator proposes a session that cannot be. {error}") from error


def _known(kind: type[E], value: str, what: str) -> E:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(str(member.value) for member in kind)
        raise PeerError(
            f"The coordinator proposes the {what} {value!r}, and this version has {known}: the "
            "session was refused. Use one version at all parties."
        ) from None


def shares_digest(shares: Mapping[str, bytes]) -> bytes:
    """Return the digest that binds a bundle of encrypted shares and their addressees."""
    parts = [
        len(name).to_bytes(2, "big") + name.encode() + sha256(share)
        for name, share in sorted(shares.items())
    ]
    return sha256(b"secure-fl/shares/v1\0" + b"".join(parts))


def statement_digest(signed: Signed) -> bytes:
    """Return the digest by which later messages refer to a signed statement's content."""
    return sha256(signed.label.encode() + b"\0" + signed.body)


def leaf_of(signed: Signed) -> bytes:
    """Return what the transcript holds of a signed statement."""
    return encode(signed)


def expect(condition: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Raise PeerError with `message` unless `condition` holds."""
    if not condition:
        raise PeerError(message)
