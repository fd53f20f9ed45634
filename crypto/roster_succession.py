"""What may follow a roster: the next one, and never one that brings a revoked key back.

A party that accepted a roster takes another only as its successor, in the manner of python-tuf's
trusted metadata: the checks go by what was accepted before, and an illegal order raises.

Formal guarantees, for rosters a, b and c of one consortium: a follows itself; if b follows a and c
follows b, then c follows a, so that a party that missed rosters decides as those that saw all of
them. A key that was ever a member's is, in every later roster, that same member's in the same
role, or revoked, and once revoked it stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import ConfigError, IntegrityError
from crypto.roster import Member, Reason, Revocation, Roster, check_valid, read_roster

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from crypto.signatures import VerifyKey


def accept_successor(current: Roster, data: bytes, trust: VerifyKey, now: datetime) -> Roster:
    """Return the roster in `data`, which may take the place of `current` or be it.

    Checked in this order: signature and content (as `read_roster`), succession (as
    `check_successor`), validity at `now`. `current` may have expired.

    Args:
        current: the roster that this party accepted last.
        data: the file that is to take its place.
        trust: the consortium's root key of today.
        now: the caller's clock, with a time zone.

    Raises:
        IntegrityError: the file is damaged, or `trust` did not sign it; it is older than `current`;
            or it is another roster of the same serial.
        ConfigError: it is signed, but says something impossible, does not follow `current`, or
            does not hold at `now`.
    """
    successor = read_roster(data, [trust])
    check_successor(current, successor)
    check_valid(successor, now)
    return successor


def check_successor(current: Roster, successor: Roster) -> None:
    """Return if `successor` may take the place of `current`; a roster may take its own.

    Raises:
        IntegrityError: `successor` is older, or another roster of the same serial.
        ConfigError: it is another consortium's; drops, alters or backdates a revocation; or lets a
            member's key go without revoking it.
    """
    if successor.consortium != current.consortium:
        raise ConfigError(
            f"A roster of {successor.consortium} came to a party of {current.consortium}: it was "
            "not used. A party joins another consortium with a folder and a key of their own."
        )
    _check_serial(current, successor)
    _check_tombstones(current, successor)
    for member in current.members:
        _check_key(member, successor)


def next_roster(
    current: Roster,
    members: tuple[Member, ...],
    *,
    not_before: str,
    not_after: str,
    reasons: Mapping[str, Reason],
) -> Roster:
    """Return the roster after `current`, with every key revoked that `members` no longer has.

    Args:
        current: the last roster that was signed.
        members: all parties from now on.
        not_before: as in `Roster`.
        not_after: as in `Roster`.
        reasons: why members' keys of `current` are revoked, by name. Where nothing is said, a key
            whose member has another is superseded, and one whose member is gone has left.

    Raises:
        ConfigError: a reason is given for a key that stays or for nobody, or the roster could not
            be or could not follow `current` (say, `members` holds a revoked key).
    """
    names = {each.name for each in members}
    gone = [each for each in current.members if each not in members]
    idle = sorted(set(reasons) - {each.name for each in gone})
    if idle:
        raise ConfigError(
            f"A reason is given to revoke the key of {', '.join(idle)}, which stays on the roster "
            "or never was there: nothing was revoked. Correct the members or the reasons."
        )
    serial = current.serial + 1
    tombstones = tuple(
        Revocation(
            each.verify_key,
            each.name,
            serial,
            reasons.get(each.name, Reason.SUPERSEDED if each.name in names else Reason.LEFT),
        )
        for each in gone
    )
    following = Roster(
        consortium=current.consortium,
        members=members,
        not_before=not_before,
        not_after=not_after,
        serial=serial,
        revoked=current.revoked + tombstones,
    )
    check_successor(current, following)
    return following


def _check_serial(current: Roster, successor: Roster) -> None:
    if successor.serial < current.serial:
        raise IntegrityError(
            f"Roster {successor.serial} came to a party that had accepted roster {current.serial}: "
            "it was not used, since keys that were revoked in between would be good again. "
            "Somebody put an old file there, perhaps from a backup: fetch the current roster."
        )
    if successor.serial == current.serial and successor != current:
        raise IntegrityError(
            f"A second roster {current.serial} came, other than the one that was accepted: it was "
            "not used, since two parties could be told of different members. Ask the consortium "
            "which one it distributed, and have the right one signed under the next serial."
        )


def _check_tombstones(current: Roster, successor: Roster) -> None:
    before, after = set(current.revoked), set(successor.revoked)
    dropped = sorted(before - after, key=lambda each: each.verify_key.raw)
    if dropped:
        raise ConfigError(
            f"Roster {successor.serial} drops or alters the revocation of {dropped[0].name}'s key "
            f"{dropped[0].verify_key}: it was not used, since whoever has that key could come "
            "back. The consortium carries every revocation on and signs again."
        )
    for each in after - before:
        if each.since_serial <= current.serial:
            raise ConfigError(
                f"Roster {successor.serial} revokes {each.name}'s key {each.verify_key} since "
                f"roster {each.since_serial}, and roster {current.serial} knew nothing of it: it "
                "was not used. The consortium names the roster that revokes it first and signs "
                "again."
            )


def _check_key(member: Member, successor: Roster) -> None:
    if member in successor.members or successor.revocation(member.verify_key) is not None:
        return
    other = [each for each in successor.members if each.verify_key == member.verify_key]
    if other:
        raise ConfigError(
            f"Roster {successor.serial} has the key of {member.name} ({member.role.value}) as "
            f"that of {other[0].name} ({other[0].role.value}): it was not used, since what one "
            "signed would speak for the other. Have a new key made, revoke the old, and sign again."
        )
    raise ConfigError(
        f"Roster {successor.serial} lets the key of {member.name} go without revoking it: it was "
        "not used, since the key could come back under another name. The consortium lists it as "
        "revoked and signs again."
    )
