"""An output is there whole or not at all, whatever goes wrong."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from hashlib import sha256
from typing import TYPE_CHECKING, NoReturn

import pytest

from crypto.errors import ConfigError
from secure_fl.scrubbing_files import output
from secure_fl.scrubbing_files.output import OutputFile, part_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def failing(number: int) -> Callable[..., NoReturn]:
    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    return fail


def write_whole(target: Path) -> None:
    with OutputFile(target, replace=False) as file:
        file.write(b"x")
        file.commit()


def test_it_appears_at_the_end_and_is_the_users_alone(tmp_path: Path) -> None:
    target = tmp_path / "out.txt"
    with OutputFile(target, replace=False) as file:
        file.write(b"one ")
        file.write(b"two")
        assert names_in(tmp_path) == [".out.txt.scrub-part"]
        assert stat.S_IMODE(part_of(target).stat().st_mode) == 0o600
        digest = file.commit()
    assert target.read_bytes() == b"one two"
    assert digest == sha256(b"one two").hexdigest()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert names_in(tmp_path) == ["out.txt"]


def test_without_commit_nothing_is_left(tmp_path: Path) -> None:
    with OutputFile(tmp_path / "a", replace=False) as file:
        file.write(b"half")
    with pytest.raises(KeyError), OutputFile(tmp_path / "b", replace=False):
        raise KeyError
    assert names_in(tmp_path) == []


def test_what_a_killed_run_left_is_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "out"
    part_of(target).write_bytes(b"a long half of an earlier run")
    part_of(target).chmod(0o644)
    with OutputFile(target, replace=False) as file:
        file.write(b"new")
        file.commit()
    assert (names_in(tmp_path), target.read_bytes()) == (["out"], b"new")
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with OutputFile(target, replace=True) as first:
        first.write(b"first")
        second = OutputFile(target, replace=True)
        with pytest.raises(ConfigError, match="Another run is writing"):
            second.__enter__()
        first.commit()
    assert target.read_bytes() == b"first"


def test_a_lock_on_a_file_that_has_got_its_name_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run opens the part while the first still has it, and gets the lock too late."""
    target = tmp_path / "out"
    lock = fcntl.flock
    first = OutputFile(target, replace=False)
    first.__enter__()
    first.write(b"first")

    def late(handle: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        first.commit()
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with OutputFile(target, replace=True) as second:
        second.write(b"second, which would have truncated the first")
        assert target.read_bytes() == b"first"


def test_a_file_that_came_to_be_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out"
    for number in (None, errno.EPERM):
        with monkeypatch.context() as patch, OutputFile(target, replace=False) as file:
            if number is not None:
                patch.setattr(os, "link", failing(number))
            target.write_bytes(b"somebody's")
            with pytest.raises(ConfigError, match="has come to be"):
                file.commit()
        assert (names_in(tmp_path), target.read_bytes()) == (["out"], b"somebody's")


def test_where_files_have_one_name_only_it_is_given_anyway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    with OutputFile(tmp_path / "out", replace=False) as file:
        file.write(b"x")
        file.commit()
    assert names_in(tmp_path) == ["out"]


@pytest.mark.parametrize("at", ["open", "ftruncate", "write", "fsync", "link", "sync_folder"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "may not write there"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_whatever_fails_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, number: int, said: str
) -> None:
    target = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(output if at == "sync_folder" else os, at, failing(number))
        with pytest.raises(ConfigError) as caught:
            write_whole(target)
    assert said in str(caught.value)
    assert str(target) in str(caught.value)
    assert names_in(tmp_path) == []


def test_a_write_that_takes_a_part_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:3]))
    with OutputFile(tmp_path / "out", replace=False) as file:
        file.write(b"0123456789")
        file.commit()
    assert (tmp_path / "out").read_bytes() == b"0123456789"
