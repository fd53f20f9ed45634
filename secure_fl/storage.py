"""Writing files so that a crash or a full disk leaves the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def write_atomically(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace the content of `path` with `data`, durably.

    Raises:
        ConfigError: the disk is full or refuses; the old file stands as it was, or, where only
            the folder's entry could not be made durable, the new one.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise refused(path, error) from error


def append_durably(path: Path, lines: bytes, *, mode: int = 0o600) -> None:
    """Append `lines` to `path`, durably.

    Raises:
        ConfigError: the disk is full or refuses; a part of `lines` may stand at the end.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, mode)
        with os.fdopen(handle, "ab") as stream:
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
        if new:
            sync_folder(path.parent)
    except OSError as error:
        raise refused(path, error) from error


def rename_durably(old: Path, new: Path) -> None:
    """Give the file `old` the name `new` in the same folder, in place of what was there.

    Raises:
        ConfigError: the disk refuses.
    """
    try:
        old.replace(new)
        sync_folder(new.parent)
    except OSError as error:
        raise refused(new, error) from error


def refused(path: Path, error: OSError) -> ConfigError:
    """Return the error of a disk that would not take `path`, in words an operator can act on."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        said = "the disk is full: free some space"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        said = "this user may not write there: choose another folder or mend its permissions"
    else:
        said = f"{error.strerror}"
    return ConfigError(
        f"{path} could not be written, {said}. What was finished before stands; a run that was "
        "under way can be resumed."
    )


def sync_folder(folder: Path) -> None:
    """Make a rename durable: the entry lives in the folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
