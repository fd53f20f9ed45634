"""Published files of a data set in the Hugging Face cache, or from the hub where it is allowed.

A repository is pinned by a commit: a branch moves, and with it the split. What is fetched is read
by the data set's own loader, which checks form and number of rows, as are files in a folder.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from domains.hub_snapshots import RepositoryKind, snapshot

if TYPE_CHECKING:
    from pathlib import Path

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class HubFiles:
    """Which files of which data set repository, at which commit.

    Attributes:
        repository: such as `zeroshot/twitter-financial-news-sentiment`.
        revision: the commit, 40 lower-case hexadecimal digits.
        files: their paths in the repository.

    Raises:
        ConfigError: the revision is no commit.
    """

    repository: str
    revision: str
    files: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse a branch or a tag, which move."""
        if not _COMMIT.fullmatch(self.revision):
            raise ConfigError(
                f"{self.repository} is asked for at {self.revision!r}, which is no commit: other "
                "records could stand there tomorrow. Pin 40 hexadecimal digits."
            )


def hub_folder(hub: HubFiles, *, allow_hub: bool) -> Path:
    """Return the folder of this machine that holds the files, from the cache before the hub.

    Args:
        hub: what is needed.
        allow_hub: whether the network may be used, and then only if the cache has not all.

    Raises:
        ConfigError: neither has them, or the hub is not allowed or did not deliver.
    """
    cached = _snapshot(hub, network=False)
    if cached is not None:
        return cached
    if allow_hub:
        fetched = _snapshot(hub, network=True)
        if fetched is not None:
            return fetched
        raise ConfigError(
            f"{hub.repository} at {hub.revision} has not all of {', '.join(hub.files)}: nothing "
            "was loaded. Copy the published files to this machine and name their folder."
        )
    raise ConfigError(
        f"The Hugging Face cache has no complete snapshot of {hub.repository} at {hub.revision}, "
        "and the hub was not asked, since it is not allowed: nothing was loaded."
    )


def _snapshot(hub: HubFiles, *, network: bool) -> Path | None:
    """Return the snapshot's folder if it has all files, filled from the hub if `network`.

    Raises:
        ConfigError: the network was allowed and the hub did not deliver.
    """
    folder = snapshot(
        RepositoryKind.DATASET, hub.repository, hub.revision, hub.files, network=network
    )
    whole = folder is not None and all((folder / name).is_file() for name in hub.files)
    return folder if whole else None
