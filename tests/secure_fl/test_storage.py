"""Files are the old one or the new one, whole; and a full disk is said in words."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from crypto.errors import ConfigError
from secure_fl import storage
from secure_fl.storage import append_durably, refused, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def failing(number: int) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_file_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "state"

    write_atomically(path, b"one")
    write_atomically(path, b"two")

    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_in(path.parent) == ["state"]


@pytest.mark.parametrize("at", ["open", "fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_whatever_fails_the_old_file_stays_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, number: int
) -> None:
    path = tmp_path / "state"
    write_atomically(path, b"old")

    with monkeypatch.context() as patch:
        owner = {"replace": type(path)}.get(at, os)
        patch.setattr(owner, at, failing(number))
        with pytest.raises(ConfigError) as caught:
            write_atomically(path, b"a new and longer state")

    said = str(caught.value)
    assert str(path) in said
    assert "can be resumed" in said
    assert ("the disk is full" in said) == (number in {errno.ENOSPC, errno.EDQUOT})
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["state"]


def test_a_real_limit_on_file_size_leaves_the_old_file_whole(tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - only here
    import signal  # noqa: PLC0415 - only here

    path = tmp_path / "state"
    write_atomically(path, b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(ConfigError, match="could not be written"):
            write_atomically(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)

    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["state"]


def test_what_a_crash_left_half_written_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / ".state.part").write_bytes(b"half of something much longer than what follows")

    write_atomically(tmp_path / "state", b"whole")

    assert (tmp_path / "state").read_bytes() == b"whole"
    assert names_in(tmp_path) == ["state"]


def test_a_crash_before_the_rename_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    path = tmp_path / "state"
    write_atomically(path, b"old")
    with monkeypatch.context() as patch:
        patch.setattr(type(path), "replace", cut)
        with pytest.raises(PowerCutError):
            write_atomically(path, b"new")

    assert path.read_bytes() == b"old"
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_everything_is_synced_before_and_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    kinds = {True: "folder", False: "file"}
    sync, move = os.fsync, type(tmp_path).replace

    def noted_sync(handle: int) -> None:
        steps.append(kinds[stat.S_ISDIR(os.fstat(handle).st_mode)])
        sync(handle)

    def noted_move(self: Path, target: Path) -> Path:
        steps.append("rename")
        return move(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(type(tmp_path), "replace", noted_move)

    write_atomically(tmp_path / "state", b"x")
    assert steps == ["file", "rename", "folder"]
    steps.clear()
    append_durably(tmp_path / "log", b"x\n")
    append_durably(tmp_path / "log", b"y\n")
    assert steps == ["file", "folder", "file"]


def test_a_path_that_cannot_be_a_file_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    for write in (write_atomically, append_durably):
        with pytest.raises(ConfigError, match="could not be written"):
            write(tmp_path / "file" / "state", b"x")


def test_lines_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "site.log"

    append_durably(path, b"one\n")
    append_durably(path, b"two\n")

    assert path.read_bytes() == b"one\ntwo\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_append_to_a_full_disk_is_said_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "site.log"
    append_durably(path, b"one\n")
    with monkeypatch.context() as patch:
        patch.setattr(storage.os, "fsync", failing(errno.ENOSPC))
        with pytest.raises(ConfigError, match="the disk is full: free some space"):
            append_durably(path, b"two\n")

    assert path.read_bytes().startswith(b"one\n")


def test_the_words_for_each_kind_of_failure(tmp_path: Path) -> None:
    path = tmp_path / "x"
    said = {
        number: str(refused(path, OSError(number, os.strerror(number))))
        for number in (errno.ENOSPC, errno.EACCES, errno.EIO)
    }

    assert "free some space" in said[errno.ENOSPC]
    assert "mend its permissions" in said[errno.EACCES]
    assert os.strerror(errno.EIO) in said[errno.EIO]
