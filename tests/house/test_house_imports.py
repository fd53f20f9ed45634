"""What each room may import, beyond what the import contract says.

The contract (import-linter, in pyproject.toml) forbids named libraries. This list allows named
ones, so that a library nobody thought of is refused too, and finds imports inside functions.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ALLOWED = {
    "crypto": {"cryptography", "msgspec", "numpy", "rfc8785", "tenseal"},
    "privacy": {
        *{"dp_accounting", "numpy", "opacus", "presidio_analyzer", "spacy", "torch"},
        *{"phonenumbers", "tldextract"},  # the validators behind Presidio's patterns
        *{"safetensors", "threadpoolctl"},  # the names model's weights, and its one thread
    },
    "domains": {
        *{"faker", "huggingface_hub", "numpy", "pyarrow", "safetensors", "scipy", "sklearn"},
        *{"tokenizers", "torch", "transformers"},
    },
    "audits": {"fpdf", "jinja2", "matplotlib", "numpy", "pydantic", "scipy", "torch", "yaml"},
    "secure_fl": {
        *{"click", "flwr", "msgspec", "numpy", "peft", "platformdirs", "pydantic"},
        *{"pydantic_core", "rich", "safetensors", "tomli_w", "torch", "transformers", "typer"},
    },
}
LOWER = {
    "crypto": set(),
    "privacy": {"crypto"},
    "domains": {"crypto", "privacy"},
    "audits": {"crypto", "privacy"},
    "secure_fl": {"crypto", "privacy", "domains", "audits"},
}
# Each has one module, or one folder, of one room.
ONE_HOME = ("flwr", "fpdf", "opacus", "presidio_analyzer", "spacy", "tenseal")
# Foreign in these rooms: a lower room holds no socket and starts nothing.
NO_OUTSIDE = {"asyncio", "http", "multiprocessing", "socket", "subprocess", "urllib"}
NOWHERE = {"pickle", "marshal", "shelve", "random"}


def imports_of(path: Path) -> set[str]:
    """Return the top-level names of every import in a file, wherever it stands."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def files_of(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_what_it_is_allowed(room: str) -> None:
    allowed = ALLOWED[room] | LOWER[room] | {room}
    strangers = defaultdict(list)
    for path in files_of(room):
        for name in imports_of(path) - allowed - sys.stdlib_module_names:
            strangers[name].append(path.relative_to(ROOT).as_posix())
    assert dict(strangers) == {}


@pytest.mark.parametrize("library", ONE_HOME)
def test_a_heavy_library_has_one_home(library: str) -> None:
    users = [path for room in ALLOWED for path in files_of(room) if library in imports_of(path)]
    homes = {path.relative_to(ROOT).parts[0] for path in users}
    assert len(homes) <= 1, f"{library} is imported in {sorted(homes)}"
    folders = {path.parent.relative_to(ROOT) for path in users}
    home = min(folders, key=lambda folder: len(folder.parts))
    in_a_subfolder = len(home.parts) > 1 and all(f.is_relative_to(home) for f in folders)
    assert len(users) <= 1 or in_a_subfolder, [str(path) for path in users]


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_no_room_unpickles_or_draws_from_pythons_generator(room: str) -> None:
    users = {path.name: imports_of(path) & NOWHERE for path in files_of(room)}
    assert {name: found for name, found in users.items() if found} == {}


@pytest.mark.parametrize("room", ["audits", "crypto", "domains", "privacy"])
def test_a_lower_room_holds_no_socket_and_starts_no_process(room: str) -> None:
    users = {path.name: imports_of(path) & NO_OUTSIDE for path in files_of(room)}
    assert {name: found for name, found in users.items() if found} == {}


def test_the_import_contract_holds_and_can_fail(tmp_path: Path) -> None:
    """The contract itself is one step of `make test`; here it is shown that it would bite."""
    for room in ALLOWED:
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache"]

    def contract() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert contract().returncode == 0, contract().stdout
    for room, line in [
        ("crypto", "import privacy"),
        ("privacy", "import domains"),
        ("audits", "import domains"),
        ("domains", "import audits"),
        ("crypto", "import torch"),
        ("crypto", "import tenseal"),
        ("privacy", "def f():\n    import cryptography"),
        ("secure_fl", "import flwr.app"),
        ("secure_fl", "import opacus"),
    ]:
        module = tmp_path / room / "intruder.py"
        module.write_text(line + "\n", encoding="utf-8")
        assert contract().returncode == 1, f"{line!r} in {room} was not seen"
        module.unlink()
