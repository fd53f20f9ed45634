"""The data sets by name: what exists, which files each expects, and how to load one.

Loading by name checks that a folder was given where one is needed and only there, so that a
mistyped option never turns a run on real data into one on generated data.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.biomedical.pack import BIOMEDICAL
from domains.domain import (
    DEFAULT_OPTIONS,
    DatasetOptions,
    Domain,
    Entry,
    Generated,
    Published,
)
from domains.finance.pack import FINANCE
from domains.hub_files import hub_folder
from domains.recommendation.pack import RECOMMENDATION
from domains.task_kinds import TaskKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from domains.records import Dataset
    from domains.sentence_choices import Agreement, Split

__all__ = [
    "DEFAULT_OPTIONS",
    "DOMAINS",
    "ENTRIES",
    "DatasetOptions",
    "Domain",
    "Entry",
    "Generated",
    "Published",
    "chosen_options",
    "kind_of",
    "load_dataset",
]

DOMAINS: Final[Mapping[str, Domain]] = MappingProxyType(
    {domain.name: domain for domain in (FINANCE, BIOMEDICAL, RECOMMENDATION)}
)

ENTRIES: Final[Mapping[str, Entry]] = MappingProxyType(
    {entry.name: entry for domain in DOMAINS.values() for entry in domain.entries}
)


def chosen_options(
    name: str,
    *,
    users: int | None = None,
    agreement: Agreement | None = None,
    split: Split | None = None,
) -> DatasetOptions:
    """Return the options of the data set called `name`, with the usual ones where None is given.

    Raises:
        ConfigError: something is chosen that the data set has not; with an unknown name nothing
            can be chosen.
    """
    options = DEFAULT_OPTIONS
    if users is not None:
        _check_choice(name, "users")
        options = replace(options, users=users)
    if agreement is not None:
        _check_choice(name, "agreement")
        options = replace(options, agreement=agreement)
    if split is not None:
        _check_choice(name, "split")
        options = replace(options, split=split)
    return options


def _check_choice(name: str, choice: str) -> None:
    entry = ENTRIES.get(name)
    if entry is None or choice not in entry.choices:
        having = ", ".join(each.name for each in ENTRIES.values() if choice in each.choices)
        raise ConfigError(
            f"`{choice}` is chosen, and {name} has no such choice: it would be ignored. Remove "
            f"`{choice}`; it belongs to {having}."
        )


def load_dataset(
    name: str,
    *,
    data: Path | None,
    seed: int,
    options: DatasetOptions = DEFAULT_OPTIONS,
    allow_hub: bool = False,
) -> Dataset:
    """Return the data set called `name`, validated.

    Args:
        name: as in `ENTRIES`.
        data: the folder with the published files; None for a data set that is generated, or for
            one that the Hugging Face cache has at the pinned commit.
        seed: of a generated data set; published files do not depend on it.
        options: sizes, file and split, where the usual ones are not wanted.
        allow_hub: whether the network may be used where neither a folder nor the cache has it.

    Raises:
        ConfigError: the name is unknown (the message lists those that exist), a folder is given
            to a generated data set or missing for a published one, or its files do not load.
    """
    entry = ENTRIES.get(name)
    if entry is None:
        raise ConfigError(
            f"No data set is called {name!r}: nothing was loaded. "
            f"Known data sets: {', '.join(sorted(ENTRIES))}."
        )
    source = entry.source
    if isinstance(source, Generated):
        if data is not None:
            raise ConfigError(
                f"{name} is generated and reads no files, yet the folder {data} was named: "
                "training on invented text instead would not be what was asked for. Leave the "
                f"folder out, or ask for {_with_files()}."
            )
        return source.load(seed, options)
    return source.load(
        _folder(entry, source, allow_hub=allow_hub) if data is None else data, options
    )


def _folder(entry: Entry, source: Published, *, allow_hub: bool) -> Path:
    """Return where the Hugging Face cache, or the hub, has the files for which no folder is named.

    Raises:
        ConfigError: they have not, or are not asked.
    """
    mend = f"Pass --data FOLDER; it holds {', '.join(entry.files)}"
    if source.hub is None:
        raise ConfigError(
            f"{entry.name} needs the folder with its published files, and none was named: nothing "
            f"was loaded. {mend}."
        )
    try:
        return hub_folder(source.hub, allow_hub=allow_hub)
    except ConfigError as error:
        allowing = "" if allow_hub else ", or allow the hub (`allow_hub = true` in [runtime])"
        raise ConfigError(
            f"{entry.name} needs its published files, and no folder was named. {error} "
            f"{mend}{allowing}."
        ) from error


def _with_files() -> str:
    return " or ".join(entry.name for entry in ENTRIES.values() if entry.files)


def kind_of(name: str) -> TaskKind:
    """Return the form of a data set's records; those of one that is not listed are labelled texts.

    A site's own records are such a data set.
    """
    entry = ENTRIES.get(name)
    return TaskKind.CLASSIFICATION if entry is None else entry.kind
