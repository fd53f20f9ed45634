"""The roster: who takes part, under which keys, until when; signed by the consortium's root key.

Every party pins the root's public key, and looks other parties' keys up on the roster alone,
never in what the coordinator says. The file is a DSSE envelope around canonical JSON, so a
roster has one encoding and one digest. A key that was revoked stays listed as such in every
later roster; what may follow a roster is in `crypto.roster_succession`, and how the root key
itself is replaced in `crypto.root_rotation`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec

from crypto.codec import Name, require_name
from crypto.digests import JsonValue, canonical_json, sha256
from crypto.dsse import Envelope, sign_envelope, verify_envelope
from crypto.errors import ConfigError, PeerError
from crypto.signatures import SigningKey, VerifyKey

if TYPE_CHECKING:
    from collections.abc import Sequence

PAYLOAD_TYPE: Final = "application/vnd.secure-fl.roster.v2+json"
SCHEMA: Final = "secure-fl.roster.v2"

_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
_LARGEST_SERIAL: Final = 2**53 - 1
_LONGEST_CONSORTIUM: Final = 200


class Role(Enum):
    """What a member does."""

    SITE = "site"
    COORDINATOR = "coordinator"


@dataclass(frozen=True)
class Member:
    """One party of the consortium.

    Attributes:
        name: lower case, digits and `._-`, at most 64 characters.
        role: site or coordinator.
        verify_key: the key that its messages are checked against.
    """

    name: str
    role: Role
    verify_key: VerifyKey


class Reason(Enum):
    """Why a key was revoked, after the reason codes of RFC 5280, section 5.3.1."""

    SUPERSEDED = "superseded"
    COMPROMISED = "compromised"
    LOST = "lost"
    LEFT = "left"


@dataclass(frozen=True)
class Revocation:
    """A key that no roster may list as a member's again, under any name.

    Attributes:
        verify_key: the key.
        name: the member that it was last, for who reads the list.
        since_serial: the first roster that no longer lists it as a member's.
        reason: why, if the consortium says so.
    """

    verify_key: VerifyKey
    name: str
    since_serial: int
    reason: Reason | None = None


@dataclass(frozen=True)
class Roster:
    """The parties of a consortium.

    Formal guarantees: names and keys are unique, exactly one member coordinates, at least one is
    a site, no member has a revoked key, and members stand in the order of their names and revoked
    keys in their own whatever order they were given in.

    Attributes:
        consortium: what the consortium calls itself, in print.
        members: all parties.
        not_before: first second at which the roster holds, as `YYYY-MM-DDTHH:MM:SSZ`.
        not_after: first second at which it no longer holds, in the same form.
        serial: raised with every new roster, from 1.
        revoked: every key that was ever revoked.

    Raises:
        ConfigError: one of the above does not hold.
    """

    consortium: str
    members: tuple[Member, ...]
    not_before: str
    not_after: str
    serial: int
    revoked: tuple[Revocation, ...] = ()

    def __post_init__(self) -> None:
        _check_members(self.members)
        if not (self.consortium.isprintable() and 1 <= len(self.consortium) <= _LONGEST_CONSORTIUM):
            raise ConfigError(
                "The roster's consortium has no printable name of 1 to "
                f"{_LONGEST_CONSORTIUM} characters: give it one and sign again."
            )
        if not 1 <= self.serial <= _LARGEST_SERIAL:
            raise ConfigError(
                f"The roster's serial is {self.serial}: number rosters from 1 and sign again."
            )
        if _moment(self.not_before) >= _moment(self.not_after):
            raise ConfigError(
                f"The roster holds from {self.not_before} to {self.not_after}, which is no time "
                "at all: correct the dates and sign again."
            )
        _check_revoked(self.revoked, self.members, self.serial)
        ordered = tuple(sorted(self.members, key=lambda member: member.name))
        object.__setattr__(self, "members", ordered)
        tombstones = tuple(sorted(self.revoked, key=lambda each: each.verify_key.raw))
        object.__setattr__(self, "revoked", tombstones)

    def member(self, name: str) -> Member:
        """Return the member called `name`.

        Raises:
            PeerError: nobody on the roster is called so.
        """
        for member in self.members:
            if member.name == name:
                return member
        raise PeerError(
            f"{name!r} is not on the roster of {self.consortium}: what it sent was not used. "
            "If it should take part, the consortium signs a new roster."
        )

    def sites(self) -> tuple[Member, ...]:
        """Return the sites, in the order of their names."""
        return tuple(member for member in self.members if member.role is Role.SITE)

    def coordinator(self) -> Member:
        """Return the one coordinator."""
        return next(member for member in self.members if member.role is Role.COORDINATOR)

    def revocation(self, key: VerifyKey) -> Revocation | None:
        """Return when and why `key` was revoked, or None if it was not."""
        return next((each for each in self.revoked if each.verify_key == key), None)

    def payload(self) -> bytes:
        """Return the roster's one encoding: the canonical JSON that the root key signs."""
        members: list[JsonValue] = [
            {
                "name": member.name,
                "role": member.role.value,
                "verify_key": member.verify_key.raw.hex(),
            }
            for member in self.members
        ]
        revoked: list[JsonValue] = [
            {
                "verify_key": each.verify_key.raw.hex(),
                "name": each.name,
                "since_serial": each.since_serial,
                "reason": None if each.reason is None else each.reason.value,
            }
            for each in self.revoked
        ]
        return canonical_json(
            {
                "schema": SCHEMA,
                "consortium": self.consortium,
                "serial": self.serial,
                "not_before": self.not_before,
                "not_after": self.not_after,
                "members": members,
                "revoked": revoked,
            }
        )

    def digest(self) -> bytes:
        """Return the SHA-256 digest of the payload: what sessions and masks bind."""
        return sha256(self.payload())


def sign_roster(root_key: SigningKey, roster: Roster) -> bytes:
    """Return the roster's file, signed by the consortium's root key.

    Raises:
        ConfigError: the root key is also a member's key.
    """
    _check_root_apart(roster, root_key.public)
    return sign_envelope(PAYLOAD_TYPE, roster.payload(), [root_key])


def open_roster(data: bytes, trust: VerifyKey, now: datetime) -> Roster:
    """Return the roster in `data`, if the consortium signed it and it holds at `now`.

    Checks, in this order: envelope and payload type, root signature, one encoding, unique names,
    unique verify keys, exactly one coordinator, no revoked key in use, root key apart from the
    members', validity.
    Not checked: that no newer roster exists. A party remembers the last roster that it accepted
    and takes another only from `crypto.roster_succession.accept_successor`.

    Args:
        data: the file.
        trust: the consortium's root key, which came by another way than the file.
        now: the caller's clock, with a time zone.

    Raises:
        IntegrityError: the file is damaged, or `trust` did not sign it.
        ConfigError: it is signed, but says something impossible, or does not hold at `now`.
    """
    roster = read_roster(data, [trust])
    check_valid(roster, now)
    return roster


def read_roster(data: bytes, trust: Sequence[VerifyKey]) -> Roster:
    """Return the roster in `data`, if the consortium signed it, whether or not it holds today.

    Only for what went before: an expired roster still says what may follow it.

    Args:
        data: the file.
        trust: the consortium's root keys, of which one must have signed.

    Raises:
        IntegrityError: the file is damaged, or none of `trust` signed it.
        ConfigError: it is signed, but says something impossible.
    """
    payload = verify_envelope(data, PAYLOAD_TYPE, trust, threshold=1)
    roster = _from_payload(payload)
    for root in trust:
        _check_root_apart(roster, root)
    return roster


def verify_roster_signature(data: bytes, trust: VerifyKey) -> None:
    """Return if `trust` signed the roster in `data`; whether it holds at any time is not looked at.

    Raises:
        IntegrityError: the file is damaged, or `trust` did not sign it.
    """
    verify_envelope(data, PAYLOAD_TYPE, [trust], threshold=1)


def read_unverified_roster(data: bytes) -> Roster:
    """Return the roster in `data` without checking who signed it.

    Only to learn which key to check something against whose signer is unknown, and to say so.

    Raises:
        IntegrityError: the file is damaged.
        ConfigError: it says something impossible.
    """
    return _from_payload(Envelope.parse(data).unverified_payload)


def check_valid(roster: Roster, now: datetime) -> None:
    """Return if the roster holds at `now`, a time with a time zone.

    Raises:
        ConfigError: it does not hold yet or no longer, or `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ConfigError(
            "The roster's validity was to be checked against a time without a time zone: "
            "pass one in UTC."
        )
    told = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if now < _moment(roster.not_before):
        raise ConfigError(
            f"The roster of {roster.consortium} holds from {roster.not_before}, and this "
            f"machine's clock says {told}: nothing was started. Check the clock, or wait."
        )
    if now >= _moment(roster.not_after):
        raise ConfigError(
            f"The roster of {roster.consortium} expired at {roster.not_after}, and this "
            f"machine's clock says {told}: nothing was started. Ask the consortium for the "
            "next roster, or check the clock."
        )


class _MemberJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    role: Role
    verify_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _RevocationJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    verify_key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    name: Name
    since_serial: int
    reason: Reason | None


class _RosterJson(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal["secure-fl.roster.v2"]
    consortium: str
    serial: int
    not_before: str
    not_after: str
    members: list[_MemberJson]
    revoked: list[_RevocationJson]


def _from_payload(payload: bytes) -> Roster:
    try:
        parsed = msgspec.convert(json.loads(payload.decode("utf-8")), _RosterJson, strict=True)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            "The consortium signed a roster that this version cannot read: no party is known. "
            "Use the version it was made with, or have a roster of this version signed."
        ) from error
    roster = Roster(
        consortium=parsed.consortium,
        members=tuple(
            Member(each.name, each.role, VerifyKey(bytes.fromhex(each.verify_key)))
            for each in parsed.members
        ),
        not_before=parsed.not_before,
        not_after=parsed.not_after,
        serial=parsed.serial,
        revoked=tuple(
            Revocation(
                VerifyKey(bytes.fromhex(each.verify_key)),
                each.name,
                each.since_serial,
                each.reason,
            )
            for each in parsed.revoked
        ),
    )
    if roster.payload() != payload:
        # Two encodings of one roster would have two digests, and masks would not cancel.
        raise ConfigError(
            "The consortium signed a roster that is not in its canonical encoding: no party is "
            "known. Make it with `sign_roster` and distribute that file unchanged."
        )
    return roster


def _check_members(members: tuple[Member, ...]) -> None:
    for member in members:
        require_name(member.name)
    _refuse_repeats([member.name for member in members], "name")
    _refuse_repeats([str(member.verify_key) for member in members], "verify key")
    coordinators = [member.name for member in members if member.role is Role.COORDINATOR]
    if len(coordinators) != 1:
        raise ConfigError(
            f"The roster has {len(coordinators)} coordinators: name exactly one and sign again."
        )
    if len(members) == 1:
        raise ConfigError("The roster has no site: nobody could train. Add sites and sign again.")


def _check_revoked(
    revoked: tuple[Revocation, ...], members: tuple[Member, ...], serial: int
) -> None:
    for each in revoked:
        require_name(each.name)
        if not 1 <= each.since_serial <= serial:
            raise ConfigError(
                f"The roster of serial {serial} revokes the key {each.verify_key} since serial "
                f"{each.since_serial}: name a roster from 1 to this one and sign again."
            )
    keys = {each.verify_key for each in revoked}
    if len(keys) != len(revoked):
        raise ConfigError(
            "The roster revokes one key twice: nobody could tell since when it is void. Keep the "
            "first entry and sign again."
        )
    for member in members:
        if member.verify_key in keys:
            raise ConfigError(
                f"The roster gives {member.name} a revoked key: whoever stole it could speak for "
                f"{member.name}. Have {member.name} make a new key and sign again."
            )


def _refuse_repeats(values: list[str], what: str) -> None:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ConfigError(
            f"The roster gives the {what} {repeated[0]} to more than one member: one party could "
            "speak for another. Correct it and sign again."
        )


def _check_root_apart(roster: Roster, root: VerifyKey) -> None:
    if roster.revocation(root) is not None:
        raise ConfigError(
            "The roster revokes the consortium's root key, which was a member's: whoever it was "
            "lost to could write rosters. Make a root key that nobody had, and sign again."
        )
    for member in roster.members:
        if member.verify_key == root:
            raise ConfigError(
                f"{member.name} uses the consortium's root key as its own: it could put anybody "
                "on the roster. Give it a key of its own and sign again."
            )


def _moment(text: str) -> datetime:
    try:
        if _TIME.match(text) is not None:
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        pass
    raise ConfigError(
        f"{text!r} on the roster is not a time in UTC of the form 2026-01-31T00:00:00Z: "
        "correct it and sign again."
    )
