from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import keyfiles
from crypto.errors import ConfigError, IntegrityError
from crypto.keyfiles import read_public, read_secret, write_public, write_secret
from crypto.secrets import SecretBytes
from crypto.signatures import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


SECRET = SecretBytes(bytes(range(32)))
PUBLIC = SigningKey.from_seed(SECRET).public


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    private = tmp_path / "keys"
    private.mkdir(mode=0o700)
    return private


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_read_back_as_it_was_written(folder: Path) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    assert read_secret(path).reveal() == SECRET.reveal()
    assert path.read_text().splitlines()[:2] == [
        "secure-fl secret key v1",
        SECRET.reveal().hex(),
    ]


def test_a_public_key_is_read_back_as_it_was_written(folder: Path) -> None:
    path = folder / "root.pub"
    write_public(path, PUBLIC)
    assert read_public(path) == PUBLIC
    assert path.read_text().startswith(f"secure-fl public key v1\n{PUBLIC}\ncheck ")


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=1024))
def test_every_secret_has_one_content(secret: bytes) -> None:
    content = keyfiles._content(keyfiles._Kind.SECRET, secret)
    path = Path("x.key")
    assert keyfiles._key_of(path, keyfiles._Kind.SECRET, content) == secret
    assert len(content) <= keyfiles._LIMIT_BYTES


@pytest.mark.usefixtures("loose_umask")
def test_secret_files_and_their_new_folders_are_the_owners_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    path = tmp_path / "state" / "keys" / "site.key"
    write_secret(path, SECRET)
    assert _mode(path) == 0o600
    assert _mode(path.parent) == _mode(path.parent.parent) == 0o700
    write_public(path.with_suffix(".pub"), PUBLIC)
    assert _mode(path.with_suffix(".pub")) == 0o644


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_the_mode_of_a_secret_does_not_depend_on_the_umask(folder: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_secret(folder / "site.key", SECRET)
    finally:
        os.umask(before)
    assert _mode(folder / "site.key") == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601, 0o644, 0o660, 0o777])
def test_a_secret_that_others_can_open_is_not_read(folder: Path, mode: int) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 600 {path}"):
        read_secret(path)
    path.chmod(0o400)
    assert read_secret(path).reveal() == SECRET.reveal()


def test_without_the_check_of_access_it_would_be_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    path.chmod(0o644)
    monkeypatch.setattr(keyfiles, "_check_access", lambda _path, _state, *, private: private)
    assert read_secret(path).reveal() == SECRET.reveal()


def test_a_public_key_that_anybody_can_change_is_not_trusted(folder: Path) -> None:
    path = folder / "root.pub"
    write_public(path, PUBLIC)
    path.chmod(0o646)
    with pytest.raises(ConfigError, match="chmod 644"):
        read_public(path)


def test_a_secret_of_another_user_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    real = os.fstat

    def of_another_user(handle: int) -> os.stat_result:
        state = real(handle)
        return os.stat_result((*state[:4], 12345, *state[5:]))

    # Not by chown: in a user namespace there may be no other user to give the file to.
    monkeypatch.setattr(os, "fstat", of_another_user)
    with pytest.raises(ConfigError, match="belongs to another user"):
        read_secret(path)


@pytest.mark.parametrize("write", ["secret", "public"])
def test_nothing_is_overwritten(folder: Path, write: str) -> None:
    path = folder / "a"
    again = _writer(write, path)
    path.write_text("what was there")
    with pytest.raises(ConfigError, match="exists and was left as it is"):
        again()
    assert path.read_text() == "what was there"
    path.unlink()
    (folder / "elsewhere").write_text("someone's file")
    path.symlink_to(folder / "elsewhere")
    with pytest.raises(ConfigError, match="exists"):
        again()
    path.unlink()
    path.symlink_to(folder / "not-yet-there")
    with pytest.raises(ConfigError, match="exists"):
        again()
    assert not (folder / "not-yet-there").exists()


def _writer(kind: str, path: Path) -> Callable[[], None]:
    if kind == "secret":
        return lambda: write_secret(path, SECRET)
    return lambda: write_public(path, PUBLIC)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o720])
def test_a_folder_that_others_can_write_to_gets_no_key(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(ConfigError, match=f"chmod 700 {folder}"):
        write_secret(folder / "site.key", SECRET)
    assert list(folder.iterdir()) == []
    # A sticky folder (as /tmp is) lets nobody replace another's file.
    folder.chmod(mode | stat.S_ISVTX)
    write_secret(folder / "site.key", SECRET)


def test_every_flipped_bit_is_found(folder: Path) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    content = path.read_bytes()
    for bit in range(8 * len(content)):
        altered = bytearray(content)
        altered[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(bytes(altered))
        with pytest.raises(IntegrityError, match="damaged"):
            read_secret(path)


def test_without_the_check_line_a_flipped_digit_would_be_another_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "root.pub"
    write_public(path, PUBLIC)
    digits = PUBLIC.raw.hex()
    other = digits[:-3] + ("0" if digits[-3] != "0" else "1") + digits[-2:]
    path.write_text(path.read_text().replace(digits, other))
    with pytest.raises(IntegrityError, match="check does not fit"):
        read_public(path)
    check = path.read_text().split()[-1]
    monkeypatch.setattr(keyfiles, "_check", lambda _kind, _key: check)
    assert read_public(path) != PUBLIC


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"secure-fl secret key v1\n",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"secure-fl secret key v2\n00\ncheck 0000000000000000\n",
        b"\xff" * 100,
        b"secure-fl secret key v1\n\ncheck 0000000000000000\n",
        b"0" * 5000,
    ],
)
def test_what_is_no_key_file_is_refused(folder: Path, content: bytes) -> None:
    path = folder / "site.key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match="key file"):
        read_secret(path)


def test_every_cut_and_every_addition_is_found(folder: Path) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    content = path.read_bytes()
    for other in [*(content[:cut] for cut in range(len(content))), content + b"\n"]:
        path.write_bytes(other)
        with pytest.raises(IntegrityError):
            read_secret(path)


def test_the_two_kinds_of_file_are_not_confused(folder: Path) -> None:
    write_secret(folder / "site.key", SECRET)
    write_public(folder / "site.pub", PUBLIC)
    (folder / "site.pub").chmod(0o600)
    with pytest.raises(ConfigError, match="holds a public key where a secret key"):
        read_secret(folder / "site.pub")
    with pytest.raises(ConfigError, match="holds a secret key where a public key"):
        read_public(folder / "site.key")


def test_what_is_not_there_or_is_no_file_is_said_in_words(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_secret(folder / "missing")
    with pytest.raises(ConfigError, match="is not a file"):
        read_secret(folder)
    os.mkfifo(folder / "pipe", 0o600)
    with pytest.raises(ConfigError, match="is not a file"):
        read_secret(folder / "pipe")
    (folder / "file").touch(mode=0o600)
    with pytest.raises(ConfigError, match="cannot be written"):
        write_secret(folder / "file" / "site.key", SECRET)


@pytest.mark.parametrize("length", [0, 1025])
def test_secrets_of_an_odd_length_are_refused(folder: Path, length: int) -> None:
    with pytest.raises(ConfigError, match=f"secret of {length} bytes"):
        write_secret(folder / "site.key", SecretBytes(bytes(length)))
    assert list(folder.iterdir()) == []


def test_a_full_disk_leaves_nothing_half_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        write_secret(folder / "site.key", SECRET)
    assert list(folder.iterdir()) == []


def test_no_message_shows_the_secret(folder: Path) -> None:
    path = folder / "site.key"
    write_secret(path, SECRET)
    path.write_text(path.read_text().replace("check ", "check  "))
    with pytest.raises(IntegrityError) as caught:
        read_secret(path)
    assert SECRET.reveal().hex()[:16] not in str(caught.value)
