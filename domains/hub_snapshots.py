"""The one place that asks the Hugging Face cache, or the hub, for files at a commit."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence


class RepositoryKind(enum.StrEnum):
    """What a repository of the hub holds."""

    MODEL = "model"
    DATASET = "dataset"


def snapshot(
    kind: RepositoryKind, repository: str, revision: str, patterns: Sequence[str], *, network: bool
) -> Path | None:
    """Return the folder of a commit in the cache, filled from the hub if `network`.

    A download that was cut short leaves a part of a snapshot: whoever asks has to look whether all
    is there.

    Args:
        kind: of the repository.
        repository: such as `owner/name`.
        revision: a commit.
        patterns: of the files that are wanted.
        network: whether the hub may be asked; without it, None: the cache has no such commit.

    Raises:
        ConfigError: the network was allowed and the hub did not deliver.
    """
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - not needed by local folders
    from huggingface_hub.errors import (  # noqa: PLC0415 - as above
        HfHubHTTPError,
        LocalEntryNotFoundError,
    )

    try:
        folder = snapshot_download(
            repository,
            repo_type=kind.value,
            revision=revision,
            allow_patterns=list(patterns),
            local_files_only=not network,
        )
    except LocalEntryNotFoundError as error:
        if network:
            raise ConfigError(_not_delivered(kind, repository, revision, error)) from error
        return None
    except (HfHubHTTPError, OSError) as error:
        raise ConfigError(_not_delivered(kind, repository, revision, error)) from error
    return Path(folder)


def _not_delivered(kind: RepositoryKind, repository: str, revision: str, error: Exception) -> str:
    return (
        f"The Hugging Face hub did not deliver {repository} at {revision} "
        f"({type(error).__name__}): no {kind.value} was loaded. Check the network, or copy the "
        f"{kind.value}'s files to this machine and name their folder."
    )
