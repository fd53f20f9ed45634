"""A data set's files from the cache or the hub: pinned, complete, and no network unless allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hub_simulator import Repository, served
from published_files import HUB_WRITERS, publish, publish_as_on_the_hub

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, load_dataset
from domains.finance import phrasebank, tfns
from domains.hub_files import HubFiles, hub_folder

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")

REVISION = "0123456789abcdef0123456789abcdef01234567"
HUB = HubFiles("tests/rows", REVISION, ("data/a.csv", "b.csv"))
FILES = {"data/a.csv": b"a", "b.csv": b"b", "script.py": b"raise"}


def snapshot_of(hub: HubFiles, cache: Path) -> Path:
    """Return the new folder in which huggingface_hub keeps the commit."""
    repository = cache / f"datasets--{hub.repository.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(hub.revision)
    return repository / "snapshots" / hub.revision


def fill(folder: Path) -> Path:
    for name in HUB.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(FILES[name])
    return folder


@pytest.mark.parametrize("name", HUB_WRITERS)
def test_what_the_hub_has_is_the_published_data_set(
    name: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(name, tmp_path / "published", monkeypatch)
    hub = ENTRIES[name].hub
    assert hub is not None
    publish_as_on_the_hub(name, snapshot_of(hub, cache), monkeypatch)
    one = load_dataset(name, data=published, seed=0)
    other = load_dataset(name, data=None, seed=0)
    assert [(r.text, r.label, r.options) for r in one.train + one.evaluation] == [
        (r.text, r.label, r.options) for r in other.train + other.evaluation
    ]
    assert one.notes == other.notes


def test_every_hub_entry_is_tested_and_no_other_is_looked_for() -> None:
    assert {entry.name for entry in ENTRIES.values() if entry.hub is not None} == set(HUB_WRITERS)
    with pytest.raises(ConfigError, match="none was named"):
        load_dataset("biomedical.pubmedqa", data=None, seed=0, allow_hub=True)


@pytest.mark.usefixtures("online")
def test_the_network_is_not_touched_unless_allowed(cache: Path, no_sockets: list[str]) -> None:
    with pytest.raises(ConfigError, match="was not asked, since it is not allowed"):
        hub_folder(HUB, allow_hub=False)
    folder = fill(snapshot_of(HUB, cache))
    assert hub_folder(HUB, allow_hub=True) == folder
    assert no_sockets == []


def test_a_download_that_was_cut_short_is_no_snapshot(cache: Path) -> None:
    (fill(snapshot_of(HUB, cache)) / "b.csv").unlink()
    with pytest.raises(ConfigError, match="no complete snapshot"):
        hub_folder(HUB, allow_hub=False)


@pytest.mark.usefixtures("online")
def test_an_allowed_hub_delivers_the_named_files_and_no_script(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(Repository("datasets", "tests/rows", REVISION, dict(FILES)), monkeypatch):
        folder = hub_folder(HUB, allow_hub=True)
    assert folder.is_relative_to(cache)
    assert [(folder / name).read_bytes() for name in HUB.files] == [b"a", b"b"]
    assert not (folder / "script.py").exists()
    assert hub_folder(HUB, allow_hub=False) == folder


@pytest.mark.usefixtures("online")
def test_a_hub_without_the_commit_or_a_file_is_said_to_be_the_cause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = Repository("datasets", "tests/rows", REVISION, {"b.csv": b"b"})
    with served(repository, monkeypatch):
        with pytest.raises(ConfigError, match=r"has not all of data/a\.csv, b\.csv"):
            hub_folder(HUB, allow_hub=True)
        other = HubFiles("tests/rows", "f" * 40, HUB.files)
        with pytest.raises(ConfigError, match="hub did not deliver tests/rows"):
            hub_folder(other, allow_hub=True)


def test_a_hub_allowed_on_a_machine_set_offline_is_said_to_be_the_cause() -> None:
    with pytest.raises(ConfigError, match="hub did not deliver tests/rows"):
        hub_folder(HUB, allow_hub=True)


@pytest.mark.parametrize("revision", ["main", "v1.0", REVISION[:7], REVISION.upper()])
def test_what_moves_is_no_pin(revision: str) -> None:
    with pytest.raises(ConfigError, match="no commit"):
        HubFiles("tests/rows", revision, ("a",))


def test_without_a_folder_the_mends_are_named() -> None:
    with pytest.raises(ConfigError) as caught:
        load_dataset(tfns.NAME, data=None, seed=0)
    for word in ("--data FOLDER", "sent_train.csv", "allow_hub = true", tfns.HUB.revision):
        assert word in str(caught.value)


def test_an_archive_that_was_cut_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish_as_on_the_hub(phrasebank.NAME, tmp_path / "a", monkeypatch)
    archive = folder / phrasebank.ARCHIVE
    whole = archive.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], b"", bytes(damaged)):
        archive.write_bytes(content)
        with pytest.raises(ConfigError, match="no whole archive"):
            phrasebank.load(folder)
    archive.write_bytes(whole)
    with pytest.raises(ConfigError, match=r"has no Sentences_AllAgree\.txt"):
        phrasebank.load(folder, agreement=phrasebank.Agreement.ALL, split=phrasebank.Split.QUARTER)


def test_a_cut_or_wrong_parquet_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = publish_as_on_the_hub("finance.nwgi", tmp_path / "a", monkeypatch)
    path = folder / "data" / "test-00000-of-00001-c551483ebf365496.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=r"c551483ebf365496\.parquet is no whole Parquet file"):
        load_dataset("finance.nwgi", data=folder, seed=0)
    path.unlink()
    with pytest.raises(ConfigError, match=r"has no data/test-00000"):
        load_dataset("finance.nwgi", data=folder, seed=0)
