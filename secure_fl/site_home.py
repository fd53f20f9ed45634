"""One site's own folder: its key, policy, ledger, log, and the roster it has pinned.

SITE/
identity.key        0600
policy.toml         the compliance officer's
ledger.sqlite       outlives every run
roster.json         the consortium's signed list of parties
accepted-roster.json  the one that was accepted last; only its successor may take its place
root.pub            the key that the roster is checked against
root-2.json ...     the root keys that came after it, each signed by the one before
site.toml           which records are this site's (real deployments)
runs/               sealed state, one file per run, and what surrogates are drawn by
site.log            what went wrong, in words; never sent
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from crypto.errors import ConfigError, IntegrityError
from crypto.keyfiles import read_public, read_secret
from crypto.root_rotation import TrustedRoot, follow_roots
from crypto.roster import Roster, open_roster, read_roster
from crypto.roster_succession import accept_successor
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from privacy.ledger import Ledger
from secure_fl.canaries import key_of
from secure_fl.policy import SitePolicy, load_policy
from secure_fl.rounds.site import Site
from secure_fl.rounds.site_parts import SiteParts, Workbench
from secure_fl.sites.scrub_secrets import ScrubSecrets
from secure_fl.sites.scrubbing import RecordFacts
from secure_fl.sites.store import FileSiteStore
from secure_fl.storage import append_durably, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.canaries import CanaryKey

LEDGER = "ledger.sqlite"
_ROOT = re.compile(r"root-([1-9][0-9]{0,15})\.json\Z")


def now() -> datetime:
    """Return the present time in UTC: the clock of a deployed party."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC with seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class SiteLog:
    """A site's own log: what went wrong, in words. No record text or tensor ever goes there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.last = ""

    def note(self, line: str) -> None:
        """Append one line with the time."""
        self.last = line
        append_durably(self._path, f"{stamp(now())} {line}\n".encode())


@dataclass(frozen=True)
class SiteHome:
    """One site's own folder, and what was read from it."""

    name: str
    folder: Path
    key: SigningKey
    roster: Roster
    policy: SitePolicy
    ledger: Ledger
    log: SiteLog

    def scrub_secrets(self) -> ScrubSecrets:
        """Return what the site's surrogates are drawn by."""
        return ScrubSecrets(self.folder / "runs", self.key, system_entropy, now)

    def canary_key(self) -> CanaryKey:
        """Return what the site's canaries are drawn by."""
        return key_of(self.key)

    def record_facts(self, dataset: str) -> RecordFacts:
        """Return what the officer says of the records that a run calls `dataset`."""
        return RecordFacts(
            self.policy.unit_column(dataset),
            self.policy.date_order(dataset),
            self.policy.own_recognizers(self.folder),
        )

    def store(self) -> FileSiteStore:
        """Return where the site keeps its state of every run."""
        return FileSiteStore(self.folder / "runs", self.key, system_entropy)

    def machine(self, workbench: Workbench) -> Site:
        """Return the site's machine over its records."""
        return Site(
            SiteParts(
                name=self.name,
                key=self.key,
                roster=self.roster,
                policy=self.policy,
                ledger=self.ledger,
                workbench=workbench,
                store=self.store(),
                entropy=system_entropy,
                note=self.log.note,
            )
        )


def trusted_root(folder: Path) -> TrustedRoot:
    """Return the consortium's root key of today: root.pub, and the chain that follows it.

    Raises:
        ConfigError: root.pub is missing, or the chain has a gap or says something impossible.
        IntegrityError: a file is damaged, or is not signed by the root before it and by its own.
    """
    versions = sorted(
        int(match[1]) for path in folder.glob("root-*.json") if (match := _ROOT.match(path.name))
    )
    pinned = TrustedRoot(read_public(folder / "root.pub"), versions[0] - 1 if versions else 1)
    return follow_roots(
        pinned, (_distributed(folder / f"root-{version}.json") for version in versions)
    )


def pinned_roster(folder: Path) -> Roster:
    """Return the roster that a party's folder pins, under the root key beside it.

    The first one is taken as it is, and remembered in accepted-roster.json. From then on only a
    successor of the remembered one is taken, and remembered in its place.

    Raises:
        ConfigError: a file is missing, or the roster does not hold today or does not follow the
            one that was accepted before.
        IntegrityError: the root key did not sign it, or it is older than the one accepted before.
    """
    data = _distributed(folder / "roster.json")
    root = trusted_root(folder)
    record = folder / "accepted-roster.json"
    if not record.exists():
        roster = open_roster(data, root.key, now())
    else:
        before = record.read_bytes()
        roster = accept_successor(_accepted(record, before, root), data, root.key, now())
        if before == data:
            return roster
    write_atomically(record, data)
    return roster


def _distributed(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigError(
            f"{path} is missing: without the consortium's roster no message can be checked. Put "
            "the roster and root.pub that the consortium distributes into this folder."
        ) from None


def _accepted(path: Path, data: bytes, root: TrustedRoot) -> Roster:
    try:
        return read_roster(data, root.all_keys)
    except (ConfigError, IntegrityError) as error:
        raise IntegrityError(
            f"{path}, the roster that was accepted last, cannot be trusted now, and so no other "
            f"either: {error} If the root key was replaced by hand or a root file was taken away, "
            "put it back. A party joins another consortium with a folder of its own."
        ) from error


def open_site_home(folder: Path) -> SiteHome:
    """Return what a site's folder holds.

    Raises:
        ConfigError: a file is missing or cannot be used; the message says which.
        IntegrityError: roster or ledger do not verify, or the key is nobody's on the roster.
    """
    key = SigningKey.from_seed(read_secret(folder / "identity.key"))
    roster = pinned_roster(folder)
    names = [member.name for member in roster.sites() if member.verify_key == key.public]
    revoked = roster.revocation(key.public)
    if revoked is not None:
        raise IntegrityError(
            f"The key in {folder} was revoked with roster {revoked.since_serial}: every message "
            "would be refused, for ever. Make a new key and have it put on the roster."
        )
    if not names:
        raise IntegrityError(
            f"The key in {folder} is no site's on the consortium's roster: every message would "
            "be refused. Have this key put on the roster, or restore the right one."
        )
    return SiteHome(
        name=names[0],
        folder=folder,
        key=key,
        roster=roster,
        policy=load_policy(folder / "policy.toml"),
        ledger=_ledger(folder),
        log=SiteLog(folder / "site.log"),
    )


def _ledger(folder: Path) -> Ledger:
    """Open the site's ledger; an empty one is only made for a site that never took part in a run.

    Raises:
        IntegrityError: it is missing where runs left their state, or does not verify.
        ConfigError: the place cannot hold a ledger.
    """
    path = folder / LEDGER
    if not path.exists() and any((folder / "runs").glob("*.state")):
        raise IntegrityError(
            f"There is no ledger at {path}, and the site has taken part in runs: an empty one "
            "would forget what they spent, so the site answers nothing. Restore the newest backup: "
            f"secure-fl ledger restore FILE --site {folder}"
        )
    return Ledger.open(path, clock=now)
