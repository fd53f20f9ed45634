from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from check_documents import House, anchor, document_problems

if TYPE_CHECKING:
    from pathlib import Path

MAKEFILE = "test: lint\n\techo\nlint:\n\techo\n"


@pytest.fixture
def house(tmp_path: Path) -> House:
    (tmp_path / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "overhead.py").write_text("def main() -> None: ...\n")
    (tmp_path / "benchmarks" / "helping.py").write_text("X = 1\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("# A `heading`, here\n", encoding="utf-8")
    return House(tmp_path, {"run", "verify"})


@pytest.mark.parametrize(
    "text",
    [
        "[other](docs/other.md) and [there](docs/other.md#a-heading-here)",
        "# Title\n\n[up](#title)",
        "[net](https://example.org/nothing.md) [mail](mailto:a@b.c)",
        "`make test`, `python -m benchmarks.overhead --json`, `secure-fl run x`",
        "```\nmake lint\nsecure-fl verify RUN\n```",
        "`[not a link](nothing.md)`",
        "We make progress in prose; `python -m benchmarks.NAME` is a pattern.",
    ],
)
def test_what_exists_is_not_complained_about(house: House, text: str) -> None:
    (house.root / "README.md").write_text(text, encoding="utf-8")
    assert document_problems(house.root / "README.md", house) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[gone](docs/gone.md)", "README.md:1: the link docs/gone.md points at nothing"),
        ("\n[a](docs/other.md#no)", "README.md:2: the link docs/other.md#no names no heading"),
        ("[out](../elsewhere.md)", "leaves the project"),
        ("`make nothing`", "the Makefile has no target nothing"),
        ("```sh\nmake nothing\n```", "README.md:2: the Makefile has no target nothing"),
        ("`python -m benchmarks.helping`", "there is no benchmark helping"),
        ("`python -m benchmarks.speed`", "there is no benchmark speed"),
        ("`secure-fl fly`", "secure-fl has no command fly"),
    ],
)
def test_what_does_not_exist_is_named_with_its_place(house: House, text: str, problem: str) -> None:
    (house.root / "README.md").write_text(text, encoding="utf-8")
    (found,) = document_problems(house.root / "README.md", house)
    assert problem in found


def test_hidden_and_built_folders_are_not_documents(house: House) -> None:
    for folder in (".venv/lib", "build", "docs/adr"):
        (house.root / folder).mkdir(parents=True)
        (house.root / folder / "x.md").write_text("x", encoding="utf-8")
    names = [path.relative_to(house.root).as_posix() for path in house.documents()]
    assert names == ["docs/adr/x.md", "docs/other.md"]


def test_anchors_are_those_of_viewers() -> None:
    assert anchor("Two commands: `make demo`, *make test*") == "two-commands-make-demo-make-test"
