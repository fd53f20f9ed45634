"""Check that what the documents point at exists: links, headings, commands and benchmarks.

Run by `make docs`. Prints every broken reference as `FILE:LINE: what`, and exits 1 if there is one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

SKIPPED = {".venv", "build", "dist", "runs", "node_modules"}
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
FENCE = re.compile(r"^\s*(```|~~~)")
COMMAND = re.compile(
    r"python -m benchmarks\.(?P<benchmark>\w+)|\bmake (?P<target>[a-z][a-z-]*)"
    r"|\bsecure-fl (?P<verb>[a-z][a-z-]*)"
)
CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class House:
    """What a document may name. `verbs` is None where the command line is not there to ask."""

    root: Path
    verbs: AbstractSet[str] | None

    @cached_property
    def targets(self) -> set[str]:
        """Return the targets of the Makefile."""
        text = (self.root / "Makefile").read_text(encoding="utf-8")
        return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))

    @cached_property
    def benchmarks(self) -> set[str]:
        """Return the benchmarks that `python -m benchmarks.NAME` can run."""
        return {
            path.stem
            for path in (self.root / "benchmarks").glob("*.py")
            if re.search(r"^def main\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        }

    def documents(self) -> list[Path]:
        """Return every Markdown file of the project."""
        found = []
        for path in sorted(self.root.rglob("*.md")):
            parts = path.relative_to(self.root).parts
            if not any(part in SKIPPED or part.startswith(".") for part in parts):
                found.append(path)
        return found


def anchor(heading: str) -> str:
    """Return the fragment that a Markdown viewer gives a heading."""
    plain = re.sub(r"[`*_]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain))


def lines_with_fences(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the number and text of each line, and whether it stands in a fenced block."""
    fenced = False
    for number, line in enumerate(text.splitlines(), start=1):
        if FENCE.match(line):
            fenced = not fenced
        else:
            yield number, line, fenced


def anchors(path: Path) -> set[str]:
    """Return the fragments of a document's headings."""
    found = set()
    for _, line, fenced in lines_with_fences(path.read_text(encoding="utf-8")):
        heading = HEADING.match(line)
        if heading and not fenced:
            found.add(anchor(heading[1]))
    return found


def link_problem(target: str, document: Path, root: Path) -> str | None:
    """Return what is wrong with a link, or None. Addresses on the network are not followed."""
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    name, _, fragment = target.partition("#")
    path = (document.parent / name).resolve() if name else document
    if not path.is_relative_to(root.resolve()):
        return f"the link {target} leaves the project"
    if not path.exists():
        return f"the link {target} points at nothing"
    if fragment and path.suffix == ".md" and fragment not in anchors(path):
        return f"the link {target} names no heading of {path.name}"
    return None


def command_problems(code: str, house: House) -> Iterator[str]:
    """Yield what is wrong with the commands in a piece of code."""
    for match in COMMAND.finditer(code):
        benchmark, target, verb = match["benchmark"], match["target"], match["verb"]
        if benchmark and benchmark not in house.benchmarks and benchmark != "NAME":
            yield f"there is no benchmark {benchmark}"
        if target and target not in house.targets:
            yield f"the Makefile has no target {target}"
        if verb and house.verbs is not None and verb not in house.verbs:
            yield f"secure-fl has no command {verb}"


def document_problems(document: Path, house: House) -> list[str]:
    """Return every broken reference of one document."""
    problems = []
    for number, line, fenced in lines_with_fences(document.read_text(encoding="utf-8")):
        found: list[str] = []
        if not fenced:
            prose = CODE.sub("", line)
            links = (link_problem(target, document, house.root) for target in LINK.findall(prose))
            found += [problem for problem in links if problem]
        for code in [line] if fenced else CODE.findall(line):
            found += command_problems(code, house)
        place = f"{document.relative_to(house.root)}:{number}"
        problems += [f"{place}: {problem}" for problem in found]
    return problems


def command_line_verbs() -> set[str]:
    """Return the commands of the installed `secure-fl`."""
    import typer.main  # noqa: PLC0415 - only `make docs` needs it

    from secure_fl.cli import app  # noqa: PLC0415 - the same

    command = typer.main.get_command(app)
    return set(getattr(command, "commands", {}))


def main() -> int:
    """Check every document of the project."""
    house = House(Path(__file__).resolve().parents[2], command_line_verbs())
    documents = house.documents()
    problems = [problem for path in documents for problem in document_problems(path, house)]
    for problem in problems:
        print(problem)
    print(f"{len(documents)} documents, {len(problems)} broken references")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
