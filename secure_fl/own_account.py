"""What the records of a site's own file, or of all sites' files in a simulation, hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.description import describe, label_counts
from domains.domain import Entry, Published
from domains.own_files import LICENCE, NAME
from domains.partition import share_out
from domains.prompts import TaskPrompt
from domains.task_kinds import TaskKind
from secure_fl.config import load_config
from secure_fl.domains_account import DatasetAccount, scrubbed_rows
from secure_fl.own_records import simulated
from secure_fl.shown_warnings import shown_warnings

if TYPE_CHECKING:
    from pathlib import Path

    from domains.records import Dataset
    from secure_fl.config import RunConfig

_SUMMARY: Final = "Sites' own records, as [data] of the run names them."
_SPLIT: Final = "as [data] says, or a seeded fifth"


def own_account(path: Path, rows: int) -> DatasetAccount:
    """Return the account of the records of the run at `path`, and of who holds what in it.

    Args:
        path: the run's TOML file.
        rows: how many training records are shown after scrubbing.

    Raises:
        ConfigError: the run is not on own records, or they cannot be used.
    """
    config = load_config(path)
    mechanism = config.mechanism
    if mechanism.data.dataset != NAME or config.data is None:
        raise ConfigError(
            f"{path} is a run on {mechanism.data.dataset}, and not on sites' own records. Ask for "
            f"`secure-fl domains show {mechanism.data.dataset}`."
        )
    # What is noted is a part of the account.
    with shown_warnings(lambda _: None):
        found = simulated(config, None)
    rule = mechanism.data.rule()
    held = found.shares or share_out(found.dataset.train, mechanism.sites, mechanism.seed, rule)
    shown, missing = scrubbed_rows(found.dataset, rows)
    return DatasetAccount(
        dataset=found.dataset,
        entry=_entry(config, found.dataset, config.data.path),
        description=describe(found.dataset),
        rows=shown,
        not_looked_for=missing,
        shares=tuple(label_counts(share, len(found.dataset.labels)) for share in held),
        site_records=tuple(map(len, held)),
        rule=rule if found.shares is None else None,
    )


def _entry(config: RunConfig, dataset: Dataset, path: str) -> Entry:
    prompt = config.mechanism.prompt
    return Entry(
        name=NAME,
        summary=_SUMMARY,
        licence=LICENCE,
        labels=dataset.labels,
        split=_SPLIT,
        kind=TaskKind.CLASSIFICATION,
        prompt=TaskPrompt("{text}", dataset.labels) if prompt is None else prompt.asked(),
        source=Published((path,), lambda *_: dataset),
    )
