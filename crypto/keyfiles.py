"""Key files: a header line, the key in hexadecimal, and a check that finds damage.

    secure-fl secret key v1
    <64 hexadecimal digits>
    check <16 hexadecimal digits>

A secret's file is 0600 in a folder that nobody else can write to, and is never overwritten: the
only copy of a key may be the one that is there.
"""

from __future__ import annotations

import os
import re
import stat
from enum import Enum
from typing import TYPE_CHECKING, Final

from crypto.digests import sha256
from crypto.errors import ConfigError, IntegrityError
from crypto.secrets import SecretBytes
from crypto.signatures import VerifyKey

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_SECRET_BYTES: Final = 1024


class _Kind(Enum):
    SECRET = "secret"  # noqa: S105 - a kind of key, not a key
    PUBLIC = "public"


_LIMIT_BYTES: Final = 4 * LONGEST_SECRET_BYTES
_CONTENT: Final = re.compile(
    r"secure-fl (?P<kind>secret|public) key v1\n(?P<key>(?:[0-9a-f]{2})+)\n"
    r"check (?P<check>[0-9a-f]{16})\n\Z"
)


def write_secret(path: Path, secret: SecretBytes) -> None:
    """Write a new file, 0600, that holds `secret`. Missing parent folders are made, 0700.

    Raises:
        ConfigError: the file exists, its folder is open to others' writing, the disk refuses, or
            the secret is empty or beyond 1024 bytes. Nothing is left half written.
    """
    if not 1 <= len(secret) <= LONGEST_SECRET_BYTES:
        raise ConfigError(
            f"A secret of {len(secret)} bytes does not go into a key file "
            f"(1 to {LONGEST_SECRET_BYTES}): nothing was written."
        )
    _write_new(path, _content(_Kind.SECRET, secret.reveal()), 0o600)


def read_secret(path: Path) -> SecretBytes:
    """Return the secret that `write_secret` wrote.

    Raises:
        ConfigError: there is no such file, it is another kind of file, it belongs to another
            user, or group or others can read or write it.
        IntegrityError: its content is damaged.
    """
    return SecretBytes(_key_of(path, _Kind.SECRET, _read(path, private=True)))


def write_public(path: Path, key: VerifyKey) -> None:
    """Write a new file, 0644, that holds a verify key.

    Raises:
        ConfigError: the file exists, its folder is open to others' writing, or the disk refuses.
            Nothing is left half written.
    """
    _write_new(path, _content(_Kind.PUBLIC, key.raw), 0o644)


def read_public(path: Path) -> VerifyKey:
    """Return the verify key that `write_public` wrote.

    Raises:
        ConfigError: there is no such file, it is another kind of file, anybody can write to it,
            or it holds no usable key.
        IntegrityError: its content is damaged.
    """
    return VerifyKey(_key_of(path, _Kind.PUBLIC, _read(path, private=False)))


def _content(kind: _Kind, key: bytes) -> bytes:
    return f"secure-fl {kind.value} key v1\n{key.hex()}\ncheck {_check(kind, key)}\n".encode(
        "ascii"
    )


def _check(kind: _Kind, key: bytes) -> str:
    # A flipped digit would be another valid key: found here, not by a site's refused signature.
    return sha256(b"secure-fl/key-file/v1/" + kind.value.encode("ascii") + b"\0" + key)[:8].hex()


def _key_of(path: Path, kind: _Kind, content: bytes) -> bytes:
    match = _CONTENT.match(content.decode("ascii", errors="replace"))
    if match is None:
        raise IntegrityError(
            f"{path} is damaged or is no key file: it was not used. Restore it from its backup."
        )
    if match["kind"] != kind.value:
        raise ConfigError(
            f"{path} holds a {match['kind']} key where a {kind.value} key is needed: it was not "
            f"used. Give the {kind.value} key's file."
        )
    key = bytes.fromhex(match["key"])
    if match["check"] != _check(kind, key):
        raise IntegrityError(
            f"{path} is damaged, its check does not fit its key: it was not used. "
            "Restore it from its backup."
        )
    return key


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        _make_folder(path.parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists and was left as it is: a key that is overwritten is lost. "
            "Move it away, or give another path."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror}): give another path."
        ) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)  # a umask may have taken the owner's own bits
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        _sync_folder(path.parent)
    except OSError as error:
        path.unlink()
        raise ConfigError(
            f"{path} could not be written ({error.strerror}) and was removed: make room on the "
            "disk and try again."
        ) from error


def _make_folder(folder: Path) -> None:
    for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        missing.mkdir(mode=0o700, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise ConfigError(
            f"Others may write to {folder}, and so could put a key of theirs there: nothing was "
            f"written. Run: chmod 700 {folder}"
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, *, private: bool) -> bytes:
    try:
        # Without O_NONBLOCK a pipe laid in the file's place would hold us here for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror}): give the key file's path, or restore it "
            "from its backup."
        ) from error
    try:
        # Asked of the open file, so that it cannot be swapped between the check and the read.
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode):
            raise ConfigError(f"{path} is not a file: give the key file's path.")
        _check_access(path, state, private=private)
        content = os.read(descriptor, _LIMIT_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > _LIMIT_BYTES:
        raise IntegrityError(
            f"{path} is too long for a key file: it was not used. Restore it from its backup."
        )
    return content


def _check_access(path: Path, state: os.stat_result, *, private: bool) -> None:
    if private and state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"Others than its owner can open {path}: it was not used. Run: chmod 600 {path} . "
            "If others use this machine, make a new key, since they may have read this one."
        )
    if state.st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"Anybody on this machine can change {path}: it was not used. Compare it with its "
            f"owner's, then run: chmod 644 {path}"
        )
    if private and state.st_uid not in {os.geteuid(), 0}:
        raise ConfigError(
            f"{path} belongs to another user, who could change it: it was not used. "
            f"Run: chown {os.geteuid()} {path}"
        )
