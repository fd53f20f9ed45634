from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest
from check_installation import locked_requirements
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("audits", "crypto", "domains", "privacy", "secure_fl")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
PYTHON = sorted([*SOURCES, *(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "tests").rglob("*.py")])
TEXTS = sorted(
    path
    for folder in (*ROOMS, "benchmarks", "docs", "examples", "tests", ".ci")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".md", ".toml", ".html", ".css", ".sh", ".txt"}
) + [path for path in sorted(ROOT.iterdir()) if path.suffix in {".md", ".toml"}]
LIMIT_LINES = {"source": 500, "test": 600}

# Work left for later, a path of somebody's machine, a reference into somebody's tracker. The
# brackets keep this file from finding itself.
FORBIDDEN = re.compile(
    r"\b([T]ODO|[F]IXME|[X]XX|[H]ACK)\b|/[w]ork/|/[r]oot/|/[h]ome/\w|\b(?i:[i]ssue) #?\d"
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_there_is_something_to_check() -> None:
    assert len(SOURCES) > 20
    assert len(TEXTS) > len(PYTHON)


def test_no_file_is_so_long_that_nobody_reads_it() -> None:
    found = {}
    for path in PYTHON:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LIMIT_LINES["test" if "tests" in path.parts else "source"]:
            found[relative(path)] = lines
    assert found == {}


def test_no_statement_of_the_source_vanishes_under_minus_o() -> None:
    """`python -O` drops asserts, and with them a check that somebody relied on."""
    found = [
        f"{relative(path)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert) or (isinstance(node, ast.Name) and node.id == "__debug__")
    ]
    assert found == []


def test_nothing_is_left_for_later_and_no_text_speaks_of_how_it_was_made() -> None:
    found = [
        f"{relative(path)}:{number}: {match[0]}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        for match in FORBIDDEN.finditer(line)
    ]
    assert found == []


@pytest.mark.parametrize("text", ["a {}ODO", "{}IXME later", "{}ssue 12", "/{}ork/main/x"])
def test_the_forbidden_words_are_found(text: str) -> None:
    filled = [text.format(letter) for letter in "TFIw"]
    assert [bool(FORBIDDEN.search(line)) for line in filled].count(True) == 1


def test_no_module_is_a_drawer_for_everything() -> None:
    drawers = {"common", "helper", "helpers", "misc", "shared", "util", "utils"}
    assert [relative(path) for path in SOURCES if path.stem in drawers] == []
    assert [relative(path) for path in SOURCES if path.parent.name in drawers] == []


def test_every_exemption_from_a_check_names_its_rule_and_its_reason() -> None:
    found = []
    for path in SOURCES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            noqa = re.search(r"#\s*noqa(.*)$", line)
            if noqa and not re.match(r": [A-Z]+\d+(, [A-Z]+\d+)* - \S", noqa[1]):
                found.append(f"{relative(path)}:{number}")
            if re.search(r"#\s*type:\s*ignore(?!\[[a-z-]+(, ?[a-z-]+)*\])", line):
                found.append(f"{relative(path)}:{number}")
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by their bare names."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert sorted(names) == sorted(set(names))
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_lock_holds_every_declared_dependency_and_leaves_torch_out() -> None:
    project = PROJECT["project"]
    # `make fuzz` installs its one library beside the locked ones.
    locked = {k: v for k, v in project["optional-dependencies"].items() if k != "fuzz"}
    groups = [project["dependencies"], *locked.values()]
    declared = [Requirement(text) for group in groups for text in group]
    declared += [Requirement(text) for text in PROJECT["build-system"]["requires"]]
    lock = locked_requirements(ROOT / "requirements.lock")
    versions = {canonicalize_name(pin.name): pin for pin in lock}
    assert "torch" not in versions, "its local version is on no index"
    for requirement in declared:
        name = canonicalize_name(requirement.name)
        if name == "torch":
            continue
        (pin,) = versions[name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version, prereleases=True), requirement


def test_the_lock_pins_everything_by_hash() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        assert re.match(r"^\S+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line[:80]
        assert "file:" not in line


def test_make_installs_the_declared_torch_and_ci_only_calls_make() -> None:
    (torch,) = [text for text in PROJECT["project"]["dependencies"] if text.startswith("torch")]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"TORCH := {torch}\n" in makefile
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert ci.splitlines()[-1] == "exec make test"


def test_warnings_are_errors_with_named_exceptions_only() -> None:
    first, *exceptions = PROJECT["tool"]["pytest"]["ini_options"]["filterwarnings"]
    assert first == "error"
    for exception in exceptions:
        action, message, category, *_ = exception.split(":")
        assert action == "ignore"
        assert message, "an exception without a message silences everything"
        assert category.endswith("Warning")
