"""A ledger leaves its place, or comes back to it: what export and restore do for a site."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from crypto.digests import canonical_json
from crypto.errors import ConfigError
from crypto.keyfiles import read_secret
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from privacy.events import NoGuarantee, from_json
from privacy.ledger_backup import AcceptedLoss, Restored, restore
from privacy.ledger_fields import GENESIS
from secure_fl.rounds.charging import extract_json
from secure_fl.site_home import now
from secure_fl.site_ledger import ledger_of, policy_of
from secure_fl.sites.store import FileSiteStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.events import Event
    from privacy.ledger import Ledger

EXPORT_SCHEMA: Final = "secure-fl.ledger-export.v1"
_STATED: Final = {"none": (), "infinity": (NoGuarantee(),)}


def export_json(ledger: Ledger) -> bytes:
    """Return all of a ledger in canonical JSON, for an auditor whom the officer trusts.

    Data sets and runs are named in it. The chain can be followed with nothing else: it begins at
    `genesis`, and each head is the SHA-256 of the head before it and the canonical JSON (RFC 8785)
    of the entry.

    Raises:
        IntegrityError: the ledger does not verify.
    """
    return canonical_json(
        {
            "schema": EXPORT_SCHEMA,
            "genesis": GENESIS.hex(),
            "head": ledger.head().hex(),
            "entries": [json.loads(line.body()) for line in ledger.history()],
        }
    )


def export_run(ledger: Ledger, site: Path, run: str) -> bytes:
    """Return the entries of one run as they may leave the site, with data sets as commitments.

    Raises:
        ConfigError: there is no such run, or the site's key cannot be read.
        IntegrityError: the ledger does not verify.
    """
    return extract_json(ledger, run, _identity(site))


def put_back(
    site: Path,
    backup: Path,
    *,
    known_head: bytes | None,
    stated: dict[str, tuple[Event, ...]] | None,
) -> Restored:
    """Put `backup` in the place of the site's ledger, while nobody answers for the site.

    Args:
        site: the site's own folder.
        backup: what `secure-fl ledger backup` wrote.
        known_head: a head of the ledger that was seen after the backup, if any.
        stated: what the officer says was charged since, by data set, where a loss is accepted;
            None where it is not.

    Raises:
        ConfigError: a file cannot be used, or a process answers for the site.
        IntegrityError: the backup does not verify, or entries would be lost.
    """
    place, policy = ledger_of(site), policy_of(site)
    names = () if policy is None else tuple(entry.name for entry in policy.datasets)
    if stated is not None and policy is None:
        raise ConfigError(
            f"There is no policy.toml in {site}, so which data sets may have been used since the "
            "backup is not known: nothing was changed. Put the policy back first."
        )
    loss = None if stated is None else AcceptedLoss(names, stated)
    with FileSiteStore(site / "runs", _identity(site), system_entropy).locked():
        return restore(place, backup, clock=now, known_head=known_head, loss=loss)


def read_stated(charges: Iterable[str]) -> dict[str, tuple[Event, ...]]:
    """Return what an officer states was charged, from words NAME=none, NAME=infinity or NAME=FILE.

    FILE holds a JSON list of events, as they stand in a run's ledger.json.

    Raises:
        click.UsageError: a word has another form, or a name comes twice.
        ConfigError: a file cannot be read, or holds something else.
    """
    stated: dict[str, tuple[Event, ...]] = {}
    for charge in charges:
        name, separator, said = charge.partition("=")
        if not (separator and name and said) or name in stated:
            raise click.UsageError(
                "--charge takes NAME=none, NAME=infinity or NAME=FILE, once for each data set"
            )
        stated[name] = _STATED[said] if said in _STATED else _events(said)
    return stated


def _events(path: str) -> tuple[Event, ...]:
    try:
        value = json.loads(Path(path).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}. Nothing was changed.") from None
    if not isinstance(value, list):
        raise ConfigError(f"{path} holds no JSON list of events: nothing was changed.")
    return tuple(from_json(event) for event in value)


def _identity(site: Path) -> SigningKey:
    return SigningKey.from_seed(read_secret(site / "identity.key"))
