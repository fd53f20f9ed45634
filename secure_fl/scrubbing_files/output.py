"""A file that appears under its name whole, or not at all.

It is written under another name in the same folder, which a lock holds: a second run finds it
taken, and a run that was killed leaves it for the next one to overwrite.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from secure_fl.storage import sync_folder

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType
    from typing import Self

_NO_SECOND_NAME: Final = frozenset(
    {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
)


def part_of(target: Path) -> Path:
    """Return the name under which `target` is written until it is whole."""
    return target.with_name(f".{target.name}.scrub-part")


class OutputFile:
    """Writes `target`, mode 0600, within a `with` block; without `commit` nothing is left of it.

    Raises:
        ConfigError: the disk is full or refuses, another run is writing the same file, or, where
            `replace` is false, a file of that name has come to be.
    """

    def __init__(self, target: Path, *, replace: bool) -> None:
        self._target = target
        self._part = part_of(target)
        self._replace = replace
        self._handle = -1
        self._digest = sha256()
        self.written_bytes = 0

    def __enter__(self) -> Self:
        failed: OSError | None = None
        try:
            self._handle = self._locked()
            os.ftruncate(self._handle, 0)
            os.fchmod(self._handle, 0o600)
        except OSError as error:
            failed = error
        if failed is not None:
            self._discard()
            raise unwritten(self._target, failed)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._discard()

    def write(self, data: bytes) -> None:
        """Append `data`."""
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            raise unwritten(self._target, error) from None
        self._digest.update(data)
        self.written_bytes += len(data)

    def commit(self) -> str:
        """Give the file its name, durably, and return its SHA-256 in hexadecimal."""
        named = False
        try:
            os.fsync(self._handle)
            self._name_it()
            named = True
            sync_folder(self._target.parent)
        except FileExistsError:
            raise ConfigError(
                f"{self._target} has come to be while it was written: it stays as it is. Choose "
                "another --out, or --force."
            ) from None
        except OSError as error:
            if named:
                self._target.unlink(missing_ok=True)
            raise unwritten(self._target, error) from None
        self._close()
        return self._digest.hexdigest()

    def _locked(self) -> int:
        """Open the part and lock it; what a killed run left of it is taken over."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            handle = os.open(self._part, flags, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                raise ConfigError(
                    f"Another run is writing {self._target}: this one would spoil it. Wait for it, "
                    "or choose another --out."
                ) from None
            # Whoever held the lock may have given the file its name, or removed it.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), os.lstat(self._part)):
                    return handle
            os.close(handle)

    def _name_it(self) -> None:
        if self._replace:
            self._part.replace(self._target)
            return
        try:
            os.link(self._part, self._target, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_SECOND_NAME:
                raise
            # This file system has one name per file, so somebody else's may come in between.
            if os.path.lexists(self._target):
                raise FileExistsError(self._target) from None
            self._part.replace(self._target)
            return
        self._part.unlink()

    def _discard(self) -> None:
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                self._part.unlink()
            self._close()

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def unwritten(path: Path, error: OSError) -> ConfigError:
    """Return the error of a disk that would not take `path`, in words an operator can act on."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        said = "the disk is full: free some space, or choose another --out"
    elif error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        said = "this user may not write there: choose another --out, or mend the permissions"
    else:
        said = os.strerror(error.errno) if error.errno else "the system refused"
    return ConfigError(f"{path} could not be written, {said}. Nothing of it is left.")
