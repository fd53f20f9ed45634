"""The digest that pins a base model's weights, whether one file holds them or several.

One file: `weights_sha256` is the SHA-256 of `model.safetensors`. Several (shards, which
`model.safetensors.index.json` names): it is the SHA-256 of the list that

    LC_ALL=C sha256sum model-*.safetensors model.safetensors.index.json

prints: for the index and every shard that it names one line of the file's SHA-256 in lower-case
hexadecimal, two blanks, its name and a line feed, in the order of the names' bytes. So the digest
covers every byte of every file and which file has which name, and can be made without this program.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from crypto.digests import digest_file, sha256
from crypto.errors import ConfigError
from domains.reading import json_object

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
SHARD_PATTERN: Final = "model-*-of-*.safetensors"
"""What a hub is asked for, beside the two above: pickled weights run code when they are loaded."""

_SHARD_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\.safetensors")
"""No separator, and nothing that `sha256sum` would write in another way."""


def weight_files(folder: Path) -> tuple[Path, ...]:
    """Return the files of the weights in `folder`: one, or the index and its shards by name.

    Raises:
        ConfigError: there are none, or both forms at once; the index is broken, or names a shard
            that is absent or outside the folder.
    """
    whole, index = folder / WEIGHTS_FILE, folder / INDEX_FILE
    if whole.is_file() and index.is_file():
        raise ConfigError(
            f"{folder} has both {WEIGHTS_FILE} and {INDEX_FILE}: it is unknown which weights are "
            "meant, so none were loaded. Take the one that is not meant out of the folder."
        )
    if not index.is_file():
        if not whole.is_file():
            raise ConfigError(
                f"{folder} has no {WEIGHTS_FILE}, and no {INDEX_FILE} with its shards: there are "
                "no weights to load. Copy the model again; pickled weights are never read."
            )
        return (whole,)
    shards = [_shard(folder, name) for name in shard_names(index)]
    _check_inside(folder, index)
    return tuple(sorted([index, *shards], key=lambda path: path.name.encode()))


def digest_weights(folder: Path) -> bytes:
    """Return the digest of the weights in `folder`, 32 bytes; see the module's docstring.

    Raises:
        ConfigError: as `weight_files`, or a file cannot be read; it is named.
    """
    files = weight_files(folder)
    digests = [_digest(path) for path in files]
    if len(files) == 1:
        return digests[0]
    lines = (f"{found.hex()}  {path.name}\n" for found, path in zip(digests, files, strict=True))
    return sha256("".join(lines).encode())


def _digest(path: Path) -> bytes:
    try:
        return digest_file(path)
    except OSError as error:
        raise ConfigError(
            f"{path} could not be read ({error.strerror}), so its model was not loaded. "
            "Let this user read the file."
        ) from error


def shard_names(index: Path) -> list[str]:
    """Return the names of the shards in the index, each once, sorted.

    Raises:
        ConfigError: it cannot be read, or names none, or one that is no plain file name.
    """
    placed = json_object(index).get("weight_map")
    names = list(placed.values()) if isinstance(placed, dict) else []
    if not names:
        raise ConfigError(
            f"{index} has no `weight_map` that names shards: no weights were loaded. Copy the "
            "published file again."
        )
    found = set()
    for name in names:
        if not isinstance(name, str) or _SHARD_NAME.fullmatch(name) is None:
            raise ConfigError(
                f"{index} names a shard that is no plain name of a safetensors file: nothing "
                "outside the model's folder is read, and nothing was loaded. Copy the published "
                "file again."
            )
        found.add(name)
    return sorted(found)


def _shard(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise ConfigError(
            f"{folder} has no {name}, a shard that {INDEX_FILE} names: the model would lack its "
            "weights, so it was not loaded. Copy every shard."
        )
    _check_inside(folder, path)
    return path


def _check_inside(folder: Path, path: Path) -> None:
    """Raise ConfigError if a link leads out of the model's folder.

    A snapshot in the Hugging Face cache is links into the `blobs` of its own repository
    (`models--OWNER--NAME/snapshots/REVISION`), which are allowed.
    """
    home = folder.resolve()
    inside = [home]
    if home.parent.name == "snapshots" and home.parent.parent.name.startswith("models--"):
        inside.append(home.parent.parent / "blobs")
    target = path.resolve()
    if not any(target.is_relative_to(allowed) for allowed in inside):
        raise ConfigError(
            f"{path} is a link to a file outside the model's folder: what lies there can be "
            "changed by others, so it was not loaded. Copy the file into the folder."
        )
