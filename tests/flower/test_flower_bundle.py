from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from flwr.cli.build import build_fab_from_disk, build_fab_from_files

from crypto.errors import BudgetError, PeerError
from secure_fl.transport.bundle import (
    COMPONENTS,
    LIMIT_BYTES,
    METADATA,
    check_bundle,
    write_bundle,
)

Bundle = tuple[Path, bytes]

# flwr 1.41 asks pathspec for its patterns by a name that pathspec 1 deprecates.
packs_with_flower = pytest.mark.filterwarnings(
    "ignore:GitWildMatchPattern .* is deprecated:DeprecationWarning"
)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    folder = tmp_path / "secure-fl-run"
    return folder, write_bundle(folder, sites=2, timeout_seconds=60)


def archive_of(folder: Path, target: Path, extra: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
        for name, data in (extra or {}).items():
            archive.writestr(name, data)
    return target


@packs_with_flower
def test_our_own_bundle_passes_as_a_folder_and_as_flower_packs_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder, digest = bundle
    assert check_bundle(folder, [digest]) == digest
    packed = tmp_path / "run.fab"
    packed.write_bytes(build_fab_from_disk(folder))
    assert zipfile.ZipFile(packed).namelist() == [METADATA, ".info/CONTENT"]
    assert check_bundle(packed, [digest]) == digest


@packs_with_flower
def test_what_flower_packs_of_the_checkout_is_metadata_only(tmp_path: Path) -> None:
    project = Path(__file__).resolve().parents[2] / METADATA
    files = {METADATA: project, "crypto/__init__.py": b"", "README.md": b"", "LICENSE": b""}
    packed = tmp_path / "run.fab"
    packed.write_bytes(build_fab_from_files(files)[0])
    assert zipfile.ZipFile(packed).namelist() == [METADATA, ".info/CONTENT"]
    with pytest.raises(BudgetError, match="does not list"):
        check_bundle(packed, [])


def test_the_digest_covers_the_settings_and_not_the_archive(bundle: Bundle, tmp_path: Path) -> None:
    folder, digest = bundle
    assert write_bundle(tmp_path / "same", sites=2, timeout_seconds=60) == digest
    assert write_bundle(tmp_path / "other", sites=3, timeout_seconds=60) != digest
    stored = archive_of(folder, tmp_path / "stored.fab")
    assert check_bundle(stored, {digest}) == digest


def test_a_digest_that_policy_does_not_list_is_refused(bundle: Bundle) -> None:
    folder, digest = bundle
    with pytest.raises(BudgetError, match=digest.hex()):
        check_bundle(folder, [])
    with pytest.raises(BudgetError, match="does not list"):
        check_bundle(folder, [bytes(32)])


@pytest.mark.parametrize(
    "name",
    [
        "crypto/__init__.py",
        "crypto/masking.pyc",
        "sitecustomize.py",
        "evil.pth",
        "_speedups.cpython-311-x86_64-linux-gnu.so",
        "rooms.zip",
        "README.md",
        "../outside.toml",
        "secure_fl/pyproject.toml",
    ],
)
def test_anything_beside_the_metadata_is_refused(bundle: Bundle, tmp_path: Path, name: str) -> None:
    folder, digest = bundle
    packed = archive_of(folder, tmp_path / "run.fab", {name: b"print('mine now')"})
    with pytest.raises(PeerError, match="nothing of it was loaded"):
        check_bundle(packed, [digest])
    if ".." not in name:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"print('mine now')")
        with pytest.raises(PeerError, match="nothing of it was loaded"):
            check_bundle(folder, [digest])


def test_a_listed_digest_does_not_excuse_code_or_foreign_components(bundle: Bundle) -> None:
    folder, digest = bundle
    text = (folder / METADATA).read_text(encoding="utf-8")
    (folder / METADATA).write_text(
        text.replace(COMPONENTS["clientapp"], "antigravity:client_app"), encoding="utf-8"
    )
    with pytest.raises(PeerError, match="names other objects"):
        check_bundle(folder, [digest])


@pytest.mark.parametrize("text", ["not = [toml", "tool = 3", "[tool.flwr.app]\ncomponents = 1"])
def test_broken_metadata_is_refused(bundle: Bundle, text: str) -> None:
    folder, digest = bundle
    (folder / METADATA).write_text(text, encoding="utf-8")
    with pytest.raises(PeerError):
        check_bundle(folder, [digest])


def test_a_link_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder, digest = bundle
    elsewhere = tmp_path / "elsewhere.toml"
    (folder / METADATA).rename(elsewhere)
    (folder / METADATA).symlink_to(elsewhere)
    with pytest.raises(PeerError, match="not a plain file"):
        check_bundle(folder, [digest])


def test_a_name_that_stands_twice_in_an_archive_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    folder, digest = bundle
    with pytest.warns(UserWarning, match="Duplicate name"):
        packed = archive_of(folder, tmp_path / "run.fab", {METADATA: b""})
    with pytest.raises(PeerError, match="twice"):
        check_bundle(packed, [digest])


def test_an_archive_that_unpacks_to_much_is_not_unpacked(bundle: Bundle, tmp_path: Path) -> None:
    folder, digest = bundle
    packed = tmp_path / "run.fab"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(METADATA, bytes(LIMIT_BYTES + 1))
    with pytest.raises(PeerError, match="above the limit"):
        check_bundle(packed, [digest])
    (folder / METADATA).write_bytes(bytes(LIMIT_BYTES + 1))
    with pytest.raises(PeerError, match="above the limit"):
        check_bundle(folder, [digest])


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", b"no archive at all"])
def test_what_is_no_archive_is_refused(tmp_path: Path, damage: bytes) -> None:
    packed = tmp_path / "run.fab"
    packed.write_bytes(damage)
    with pytest.raises(PeerError, match="not a readable archive"):
        check_bundle(packed, [])


@packs_with_flower
def test_every_single_damaged_byte_of_an_archive_is_refused_or_changes_nothing(
    bundle: Bundle, tmp_path: Path
) -> None:
    folder, digest = bundle
    whole = bytearray(build_fab_from_disk(folder))
    packed = tmp_path / "run.fab"
    for position in range(len(whole)):
        whole[position] ^= 0x41
        packed.write_bytes(whole)
        whole[position] ^= 0x41
        try:
            assert check_bundle(packed, [digest]) == digest
        except (PeerError, BudgetError):
            continue


def test_without_the_guard_flower_would_import_a_bundles_room_before_ours(bundle: Bundle) -> None:
    folder, _ = bundle
    (folder / "crypto").mkdir()
    (folder / "crypto" / "__init__.py").write_text("WHO = 'the bundle'", encoding="utf-8")
    program = (
        "import sys\n"
        "from flwr.supercore.object_ref import load_app\n"
        "print(load_app(sys.argv[1], ValueError, sys.argv[2]))"
    )

    def load(reference: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program, reference, folder],
            capture_output=True,
            text=True,
            check=False,
        )

    assert load("crypto:WHO").stdout == "the bundle\n"
    late = load("secure_fl.transport.flower:client_app_for")
    assert late.returncode != 0, "and the second line of defence stops there"
    assert "Another package stands in the place of crypto" in late.stderr
