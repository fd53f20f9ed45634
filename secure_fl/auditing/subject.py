"""What is audited: a finished run as its folder has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from audits.facts import ReportFacts
from crypto.digests import digest_file
from crypto.errors import ConfigError
from secure_fl.runfolder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.config import RunConfig


@dataclass(frozen=True)
class Subject:
    """A finished run.

    Attributes:
        folder: its folder.
        config: its configuration, sigma resolved.
        facts: what its report says.
        manifest: SHA-256 of its signed manifest, in hexadecimal.
    """

    folder: RunFolder
    config: RunConfig
    facts: ReportFacts
    manifest: str


def open_subject(path: Path) -> Subject:
    """Return the finished run in `path`; it is not verified here.

    Raises:
        ConfigError: there is no finished run.
        IntegrityError: it is damaged.
    """
    manifest = path / "manifest.json"
    if not manifest.is_file():
        raise ConfigError(
            f"{path} holds no finished run (there is no manifest.json): nothing can be audited. "
            "Name the folder of a finished run, or go on with this one by `secure-fl run --resume`."
        )
    folder = RunFolder(path)
    return Subject(
        folder=folder,
        config=folder.config(),
        facts=ReportFacts.from_json(folder.read("facts.json")),
        manifest=digest_file(manifest).hex(),
    )
