"""A site's state on disk: sealed, whole, of one run and one identity, under one lock."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from round_simulator import RUN_ID, key_of, mechanism_of

from crypto.codec import encode
from crypto.errors import ConfigError, IntegrityError
from crypto.merkle import EMPTY_ROOT
from crypto.secrets import system_entropy
from secure_fl.rounds.messages import Heads, Hello
from secure_fl.rounds.reading import NO_DIGEST
from secure_fl.rounds.site_state import OpenedSum, SiteState, Stage
from secure_fl.sites.store import FileSiteStore

if TYPE_CHECKING:
    from pathlib import Path

OTHER_RUN = b"another-run-of-16"[:16]
SECRET = b"the one and only masking secret!"


def state_of(run_id: bytes = RUN_ID, *, round_: int = 0) -> SiteState:
    mechanism = mechanism_of()
    hello = Hello(
        run_id=run_id,
        attempt=1,
        first_round=0,
        config_digest=mechanism.digest(),
        roster_digest=NO_DIGEST,
        suite="suite",
        adversary="semi-honest",
        width_bits=32,
        sites=("site-1", "site-2"),
        threshold=2,
        degree=None,
        risk=None,
    )
    return SiteState(
        hello=hello,
        mechanism=mechanism.to_json(),
        stage=Stage.READY,
        round=round_,
        masking=SECRET,
        header_digest=NO_DIGEST,
        parameter_digest=NO_DIGEST,
        cohort=0,
        released=(OpenedSum(0, NO_DIGEST, ("site-1", "site-2")),),
        checkpoint_size=0,
        checkpoint_root=EMPTY_ROOT,
        pending=(b"leaf",),
        heads=Heads(entries=1, journal=NO_DIGEST, ledger=NO_DIGEST),
        request_digest=b"",
        reply=b"reply",
    )


def store_of(folder: Path, name: str = "site-1") -> FileSiteStore:
    return FileSiteStore(folder / "runs", key_of(name), system_entropy)


def file_of(folder: Path, run_id: bytes = RUN_ID) -> Path:
    return folder / "runs" / f"{run_id.hex()}.state"


def test_what_was_saved_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    assert store_of(tmp_path).load(RUN_ID) is None
    for round_ in (0, 1):
        store_of(tmp_path).save(RUN_ID, state_of(round_=round_))

    assert encode(store_of(tmp_path).load(RUN_ID)) == encode(state_of(round_=1))  # type: ignore[arg-type]
    assert store_of(tmp_path).load(OTHER_RUN) is None


def test_the_file_is_sealed_and_private(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    with store.locked():
        store.save(RUN_ID, state_of())

    sealed = file_of(tmp_path).read_bytes()
    for plain in (SECRET, b"reply", b"finance.generated", b"site-2"):
        assert plain not in sealed
    assert stat.S_IMODE(file_of(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o700


def test_a_state_does_not_print_its_secrets() -> None:
    assert repr(state_of()) == "<state of a site in round 0, ready>"
    assert "masking secret" not in f"{state_of()}"


@pytest.mark.parametrize("at", [0, 20, 40, -1])
def test_an_altered_file_stops_the_site(tmp_path: Path, at: int) -> None:
    store_of(tmp_path).save(RUN_ID, state_of())
    sealed = bytearray(file_of(tmp_path).read_bytes())
    sealed[at] ^= 1
    file_of(tmp_path).write_bytes(bytes(sealed))

    with pytest.raises(IntegrityError) as caught:
        store_of(tmp_path).load(RUN_ID)

    said = str(caught.value)
    assert "could use mask keys twice" in said
    assert "Do not restore a backup" in said
    assert "move the file away" in said


@pytest.mark.parametrize("length", [0, 1, 20, 47, 48, -1])
def test_a_truncated_file_stops_the_site(tmp_path: Path, length: int) -> None:
    store_of(tmp_path).save(RUN_ID, state_of())
    file_of(tmp_path).write_bytes(file_of(tmp_path).read_bytes()[:length])

    with pytest.raises(IntegrityError, match="does not hold this site's state"):
        store_of(tmp_path).load(RUN_ID)


def test_the_state_of_another_run_is_not_taken(tmp_path: Path) -> None:
    store_of(tmp_path).save(OTHER_RUN, state_of(OTHER_RUN))
    file_of(tmp_path, OTHER_RUN).rename(file_of(tmp_path))

    with pytest.raises(IntegrityError, match="does not hold this site's state"):
        store_of(tmp_path).load(RUN_ID)


def test_the_state_of_another_identity_is_not_taken(tmp_path: Path) -> None:
    store_of(tmp_path).save(RUN_ID, state_of())

    with pytest.raises(IntegrityError, match="or identity"):
        store_of(tmp_path, "site-2").load(RUN_ID)


def test_a_state_of_another_version_is_not_taken(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.save(RUN_ID, state_of().hello)  # type: ignore[arg-type]

    with pytest.raises(IntegrityError, match="another version"):
        store.load(RUN_ID)


def test_a_file_that_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    file_of(tmp_path).mkdir(parents=True)

    with pytest.raises(ConfigError, match="could not be read"):
        store_of(tmp_path).load(RUN_ID)


def test_two_saves_of_one_state_differ(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.save(RUN_ID, state_of())
    first = file_of(tmp_path).read_bytes()
    store.save(RUN_ID, state_of())

    assert file_of(tmp_path).read_bytes() != first


def test_a_full_disk_leaves_the_earlier_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_of(tmp_path)
    store.save(RUN_ID, state_of())

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(ConfigError, match="the disk is full"):
            store.save(RUN_ID, replace(state_of(), round=7))

    loaded = store.load(RUN_ID)
    assert loaded is not None
    assert loaded.round == 0


# -- the lock ----------------------------------------------------------------------------------


def test_two_stores_of_one_identity_do_not_hold_the_lock_together(tmp_path: Path) -> None:
    one, other = store_of(tmp_path), store_of(tmp_path)

    with (
        one.locked(),
        pytest.raises(ConfigError, match="would use one set of mask keys twice"),
        other.locked(),
    ):
        pytest.fail("two answered for one site")

    with other.locked():
        pass


def test_the_lock_is_given_back_when_an_answer_fails(tmp_path: Path) -> None:
    store = store_of(tmp_path)

    with pytest.raises(IntegrityError), store.locked():
        raise IntegrityError("x")

    with store.locked():
        pass


def test_sites_with_folders_of_their_own_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with store_of(tmp_path / "a").locked(), store_of(tmp_path / "b", "site-2").locked():
        pass


_HOLDER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def test_another_process_holds_the_lock_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    with store.locked():
        pass
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "runs" / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(ConfigError, match="Another process answers"),
            store.locked(),
        ):
            pytest.fail("two answered for one site")
        holder.kill()

    with store.locked():
        pass


def test_a_folder_that_cannot_be_made_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "runs").write_bytes(b"a file in the way")

    with (
        pytest.raises(ConfigError, match="could not be written"),
        store_of(tmp_path).locked(),
    ):
        pytest.fail("there is no lock")
