"""A consortium on this machine: makes keys, roster and policies of an embedded run.

    STATE/
      consortium/         root.key, root.pub, roster.json
      coordinator/        identity.key, root.pub, roster.json
      sites/NAME/         as in `site_home`

One process holds every key here, and the run's report says so. In a real deployment each of
these folders stands at another party, and the root key at none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from crypto.keyfiles import read_public, read_secret, write_public, write_secret
from crypto.roster import Member, Role, Roster, check_valid, open_roster, read_roster, sign_roster
from crypto.roster_succession import next_roster
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from secure_fl.policy import load_policy
from secure_fl.site_home import SiteHome, now, open_site_home, stamp
from secure_fl.storage import refused, rename_durably, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from crypto.signatures import VerifyKey

COORDINATOR = "coordinator"
_VALID_DAYS = 365


def site_names(count: int) -> tuple[str, ...]:
    """Return the names of an embedded run's sites, in the roster's order."""
    return tuple(f"site-{number:0{len(str(count))}d}" for number in range(1, count + 1))


@dataclass(frozen=True)
class Consortium:
    """Everything that an embedded run needs of its parties."""

    folder: Path
    root: VerifyKey
    roster: Roster
    signed_roster: bytes
    coordinator_key: SigningKey
    sites: tuple[SiteHome, ...]

    @property
    def root_path(self) -> Path:
        """The public key that `secure-fl verify --trust` takes."""
        return self.folder / "consortium" / "root.pub"

    def close(self) -> None:
        """Close every ledger."""
        for site in self.sites:
            site.ledger.close()


def open_consortium(folder: Path, sites: int, policy: Path) -> Consortium:
    """Return the consortium in `folder`, made first if it is not there yet.

    Keys, ledgers and policies that exist are used as they are: a ledger outlives runs, and a
    policy is only changed by its officer. The key of a site that a run left out was revoked then;
    where the site comes back, that key is set aside and a new one made.

    Args:
        folder: the state folder.
        sites: how many sites the run needs; missing ones are added under a new roster.
        policy: the policy that a new site begins with.

    Raises:
        ConfigError: a key, policy or roster cannot be used; the message says which and why.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise refused(folder, error) from error
    root = _key(folder / "consortium" / "root.key")
    public = folder / "consortium" / "root.pub"
    if not public.exists():
        write_public(public, root.public)
    trusted = read_public(public)
    if trusted != root.public:
        raise ConfigError(
            f"{public} is not the public half of the root key beside it: every signature would "
            "fail. Restore both from one backup."
        )
    path = folder / "consortium" / "roster.json"
    before = read_roster(path.read_bytes(), [trusted]) if path.exists() else None
    coordinator = _identity(folder / COORDINATOR, before)
    homes = {name: folder / "sites" / name for name in site_names(sites)}
    members = (
        Member(COORDINATOR, Role.COORDINATOR, coordinator.public),
        *(Member(name, Role.SITE, _identity(home, before).public) for name, home in homes.items()),
    )
    if before is None or set(before.members) != set(members) or not _holds(before):
        write_atomically(path, sign_roster(root, _next(before, members)))
    signed = path.read_bytes()
    for home in (folder / COORDINATOR, *homes.values()):
        _distribute(home, signed, trusted)
    for home in homes.values():
        _begin_policy(home / "policy.toml", policy)
    return Consortium(
        folder=folder,
        root=trusted,
        roster=open_roster(signed, trusted, now()),
        signed_roster=signed,
        coordinator_key=coordinator,
        sites=tuple(open_site_home(home) for home in homes.values()),
    )


def _key(path: Path) -> SigningKey:
    if not path.exists():
        write_secret(path, SigningKey.generate(system_entropy).seed())
    return SigningKey.from_seed(read_secret(path))


def _identity(home: Path, before: Roster | None) -> SigningKey:
    """Return a party's key, a new one if the last roster revoked the one that is there."""
    path = home / "identity.key"
    key = _key(path)
    revoked = None if before is None else before.revocation(key.public)
    if revoked is None:
        return key
    rename_durably(path, home / f"revoked-{revoked.since_serial}.key")
    return _key(path)


def _holds(roster: Roster) -> bool:
    try:
        check_valid(roster, now())
    except ConfigError:
        return False
    return True


def _next(before: Roster | None, members: tuple[Member, ...]) -> Roster:
    """Return the roster of exactly these parties that follows `before`, or the first one."""
    not_before = stamp(now() - timedelta(minutes=5))
    not_after = stamp(now() + timedelta(days=_VALID_DAYS))
    if before is None:
        return Roster("embedded", members, not_before, not_after, serial=1)
    return next_roster(before, members, not_before=not_before, not_after=not_after, reasons={})


def _distribute(home: Path, roster: bytes, root: VerifyKey) -> None:
    """Put the roster and the key that it is checked against into one party's folder."""
    if not (home / "root.pub").exists():
        write_public(home / "root.pub", root)
    path = home / "roster.json"
    if not path.exists() or path.read_bytes() != roster:
        write_atomically(path, roster)


def _begin_policy(path: Path, policy: Path) -> None:
    """Give a new site the policy it begins with; one that is there stays its officer's."""
    if path.exists():
        return
    load_policy(policy)
    try:
        text = policy.read_bytes()
    except OSError as error:
        raise refused(policy, error) from error
    write_atomically(path, text)
