"""A site's ledger as the command line finds it: in the site's own folder, and never made there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from crypto.errors import ConfigError
from privacy.ledger import Ledger
from secure_fl.policy import load_policy
from secure_fl.site_home import LEDGER, now

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.policy import SitePolicy


def ledger_of(site: Path) -> Path:
    """Return where the ledger of the site in the folder `site` lies, or would lie.

    Raises:
        ConfigError: there is no such folder.
    """
    if not site.is_dir():
        raise ConfigError(
            f"There is no folder {site}: name a site's own, with identity.key, policy.toml and "
            f"{LEDGER} in it. Those of an embedded run are STATE/sites/NAME."
        )
    return site / LEDGER


def open_ledger(path: Path) -> Ledger:
    """Open the ledger at `path` and verify it.

    Raises:
        ConfigError: there is none; an empty one would say that nothing was spent.
        IntegrityError: it does not verify.
    """
    if not path.is_file():
        raise ConfigError(
            f"There is no ledger at {path}. A site has none before its first run; if it had one, "
            "restore it from a backup before the site starts again."
        )
    return Ledger.open(path, clock=now)


def policy_of(site: Path) -> SitePolicy | None:
    """Return the site's policy; None where its folder holds none.

    Raises:
        ConfigError: it cannot be used.
    """
    path = site / "policy.toml"
    return load_policy(path) if path.is_file() else None


def read_head(written: str | None) -> bytes | None:
    """Return the head that somebody wrote down as 64 hexadecimal digits.

    Raises:
        click.UsageError: it is written in another way.
    """
    if written is None:
        return None
    if re.fullmatch(r"[0-9a-fA-F]{64}", written) is None:
        raise click.UsageError("--known-head takes the 64 hexadecimal digits of a ledger's head")
    return bytes.fromhex(written)
