"""A consortium on this machine: keys, roster, policies and ledgers of an embedded run.

    STATE/
      consortium/         root.key, root.pub, roster.json
      coordinator/        identity.key
      sites/NAME/         identity.key, policy.toml, ledger.sqlite, runs/, site.log, report.html

One process holds every key here, and the run's report says so. In a real deployment each of
these folders stands at another party.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from crypto.keyfiles import read_public, read_secret, write_public, write_secret
from crypto.roster import Member, Role, Roster, open_roster, sign_roster
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from privacy.ledger import Ledger
from secure_fl.policy import SitePolicy, load_policy
from secure_fl.storage import append_durably, refused, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from crypto.signatures import VerifyKey

COORDINATOR = "coordinator"
_VALID_DAYS = 365


def now() -> datetime:
    """Return the present time in UTC: the clock of a deployed party."""
    return datetime.now(UTC)


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def site_names(count: int) -> tuple[str, ...]:
    """Return the names of an embedded run's sites, in the roster's order."""
    return tuple(f"site-{number:0{len(str(count))}d}" for number in range(1, count + 1))


@dataclass(frozen=True)
class SiteHome:
    """One site's own folder, and what was read from it."""

    name: str
    folder: Path
    key: SigningKey
    policy: SitePolicy
    ledger: Ledger
    log: SiteLog


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
    policy is only changed by its officer.

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
    names = site_names(sites)
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
    coordinator = _key(folder / COORDINATOR / "identity.key")
    keys = {name: _key(folder / "sites" / name / "identity.key") for name in names}
    signed = _roster(folder / "consortium" / "roster.json", root, coordinator, keys)
    homes = tuple(_open_site(folder / "sites" / name, name, keys[name], policy) for name in names)
    return Consortium(
        folder=folder,
        root=trusted,
        roster=open_roster(signed, trusted, now()),
        signed_roster=signed,
        coordinator_key=coordinator,
        sites=homes,
    )


def _key(path: Path) -> SigningKey:
    if not path.exists():
        write_secret(path, SigningKey.generate(system_entropy).seed())
    return SigningKey.from_seed(read_secret(path))


def _roster(
    path: Path, root: SigningKey, coordinator: SigningKey, sites: dict[str, SigningKey]
) -> bytes:
    """Return the signed roster of exactly these parties, re-issued if it changed or expires."""
    members = (
        Member(COORDINATOR, Role.COORDINATOR, coordinator.public),
        *(Member(name, Role.SITE, key.public) for name, key in sites.items()),
    )
    if path.exists():
        signed = path.read_bytes()
        try:
            if set(open_roster(signed, root.public, now()).members) == set(members):
                return signed
        except ConfigError:
            pass  # it expired: a new one follows
    roster = Roster(
        consortium="embedded",
        members=members,
        not_before=_stamp(now() - timedelta(minutes=5)),
        not_after=_stamp(now() + timedelta(days=_VALID_DAYS)),
        serial=int(now().timestamp()),  # rises with every roster without being remembered
    )
    signed = sign_roster(root, roster)
    write_atomically(path, signed)
    return signed


def _open_site(folder: Path, name: str, key: SigningKey, policy: Path) -> SiteHome:
    own = folder / "policy.toml"
    if not own.exists():
        load_policy(policy)
        try:
            shutil.copyfile(policy, own)
        except OSError as error:
            raise refused(own, error) from error
    return SiteHome(
        name=name,
        folder=folder,
        key=key,
        policy=load_policy(own),
        ledger=Ledger.open(folder / "ledger.sqlite", clock=now),
        log=SiteLog(folder / "site.log"),
    )


class SiteLog:
    """A site's own log: what went wrong, in words. No record text or tensor ever goes there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last = ""

    def note(self, line: str) -> None:
        """Append one line with the time."""
        self.last = line
        append_durably(self._path, f"{_stamp(now())} {line}\n".encode())
