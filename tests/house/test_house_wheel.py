from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {"audits", "crypto", "domains", "privacy"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def target(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel was unpacked, as pip does with a pure one."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python_in(target: Path, program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program where the wheel is installed and the source tree is not on the path."""
    libraries = sysconfig.get_path("purelib")
    setup = f"import site, sys\nsys.path.append({libraries!r})\nsite.addsitedir({str(target)!r})\n"
    # -S keeps the .pth file of an editable install out; addsitedir then reads the wheel's own.
    command = [sys.executable, "-S", "-E", "-c", setup + program]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_wheel_has_exactly_these_names_at_its_top(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    (info,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    tops = {name.split("/")[0] for name in names}
    assert tops == {"secure_fl", "secure_fl_rooms", "secure_fl.pth", info}
    rooms = {name.split("/")[1] for name in names if name.startswith("secure_fl_rooms/")}
    assert rooms == ROOMS


def test_the_wheel_holds_every_file_of_every_room_and_no_more(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    expected = set()
    for room in {*ROOMS, "secure_fl"}:
        prefix = "" if room == "secure_fl" else "secure_fl_rooms/"
        for path in (ROOT / room).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(prefix + path.relative_to(ROOT).as_posix())
    packed = {name for name in inside if name.startswith(("secure_fl/", "secure_fl_rooms/"))}
    assert packed == expected
    for room in ROOMS:
        assert f"secure_fl_rooms/{room}/py.typed" in inside, "users of the types need the marker"


def test_the_rooms_import_by_their_own_names_through_the_pth(target: Path, tmp_path: Path) -> None:
    program = (
        "import secure_fl, crypto.codec, privacy, domains, audits\n"
        "for room in (crypto, privacy, domains, audits, secure_fl): print(room.__file__)\n"
    )
    done = python_in(target, program, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.split()
    assert len(lines) == 5
    for line in lines[:4]:
        assert Path(line).is_relative_to(target / "secure_fl_rooms")
    assert Path(lines[4]).is_relative_to(target / "secure_fl")


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_foreign_room_in_the_working_folder_stops_the_import(
    target: Path, tmp_path: Path, room: str
) -> None:
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").write_text("", encoding="utf-8")
    done = python_in(target, "import secure_fl", tmp_path)
    assert done.returncode != 0
    kind = "ImportError" if room == "crypto" else "IntegrityError"
    assert f"{kind}: Another package stands in the place of {room}" in done.stderr
    assert str(tmp_path) in done.stderr, "the message says where the foreign room is"


def test_a_foreign_room_in_site_packages_stops_the_import(target: Path, tmp_path: Path) -> None:
    other = tmp_path / "other-site-packages"
    (other / "privacy").mkdir(parents=True)
    (other / "privacy" / "__init__.py").write_text("", encoding="utf-8")
    program = f"sys.path.insert(0, {str(other)!r})\nimport secure_fl"
    done = python_in(target, program, tmp_path)
    assert "IntegrityError: Another package stands in the place of privacy" in done.stderr


def test_a_missing_room_stops_the_import(target: Path, tmp_path: Path) -> None:
    program = f"sys.path.remove({str(target / 'secure_fl_rooms')!r})\nimport secure_fl"
    done = python_in(target, program, tmp_path)
    assert done.returncode != 0
    assert "Another package stands in the place of audits from None" in done.stderr


def test_the_same_rooms_come_from_the_checkout_when_it_is_what_was_installed() -> None:
    program = "import crypto, secure_fl; print(crypto.__file__, secure_fl.__file__)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert [Path(line).parents[1] for line in done.stdout.split()] == [ROOT, ROOT]
