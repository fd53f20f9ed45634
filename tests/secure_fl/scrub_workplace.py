"""A toy scrubber that can also misbehave, a crew without processes, and a folder to scrub in."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.scrubbing import Coverage, Document, Provider, ProviderKind, Scrubbed, Span
from privacy.scrubbing.spans import replace
from secure_fl.scrubbing_files import job
from secure_fl.scrubbing_files.plan import Choices, plan
from secure_fl.scrubbing_files.progress import Unwatched
from secure_fl.scrubbing_files.stream import Batch
from secure_fl.scrubbing_files.worker import Request, answered

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from secure_fl.scrubbing_files.crew import Answer
    from secure_fl.scrubbing_files.recipe import Scrubs
    from secure_fl.scrubbing_files.stream import Item

CANARY = "Quetzalcoatlus"
"""A word that no message may hold."""

_FOUND = re.compile(r"(?P<ACCOUNT_NUMBER>\d{5,})|(?P<PERSON>Anna)")


class ToyScrubber:
    """Finds numbers of five digits or more and Anna, and does what a text tells it to."""

    coverage = Coverage(("ACCOUNT_NUMBER", "PERSON"), ("LOCATION",))

    providers = (Provider("PERSON", "toy", ProviderKind.OWN),)

    def scrub(self, text: str, document: Document | None = None) -> Scrubbed:
        del document
        if "RAISE" in text:
            raise ValueError(text)
        if "REFUSE" in text:
            raise ConfigError("The recogniser 'toy' failed on the document (KeyError).")
        if "HANG" in text:
            time.sleep(600)
        if "STUCK" in text:
            re.fullmatch(r"(?:a|a)*b", "a" * 60)  # never gives the interpreter back
        if "DIE" in text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "EXIT" in text:
            os._exit(3)
        if "PRINT" in text:
            sys.stdout.write(text)
            os.write(2, text.encode())
            logging.getLogger("toy").error(text)
        if "SLOW" in text:
            time.sleep(0.2)
        spans = tuple(
            Span(found.start(), found.end(), found.lastgroup or "", 1.0)
            for found in _FOUND.finditer(text)
        )
        return Scrubbed(replace(text, spans), spans)


@dataclass(frozen=True)
class ToyRecipe:
    """Makes the toy in another process."""

    def build(self) -> Scrubs:
        return ToyScrubber()


@dataclass(frozen=True)
class RefusedRecipe:
    """Makes nothing, as where a required entity has no provider."""

    def build(self) -> Scrubs:
        raise ConfigError("The scrub profile requires PERSON, and no provider is loaded.")


@dataclass(frozen=True)
class BrokenRecipe:
    """Fails to load."""

    def build(self) -> Scrubs:
        raise OSError("no such model")


@dataclass(frozen=True)
class DyingRecipe:
    """Takes its process with it."""

    def build(self) -> Scrubs:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class LocalCrew:
    """The naive twin of a crew: one batch after the other, in this process."""

    def __init__(self, scrubber: Scrubs | None = None) -> None:
        self._scrubber = scrubber or ToyScrubber()

    def in_order(self, items: Iterator[Item]) -> Generator[tuple[Item, Answer | None], None, None]:
        for item in items:
            if isinstance(item, Batch):
                yield (
                    item,
                    answered(self._scrubber, Request(item.rows, item.rules, 60.0, item.before)),
                )
            else:
                yield item, None


def toy(text: str) -> str:
    """Return what the toy makes of a text."""
    return ToyScrubber().scrub(text).text


def scrub(
    path: Path, choices: Choices | None = None, *, out: Path | None = None
) -> tuple[bytes, job.Scrubbed]:
    """Scrub one file in this process, and return its output and what was counted."""
    tasks = plan([path], choices or Choices(), out, replace=True)
    (done,) = job.scrub_files(tasks, LocalCrew(), Unwatched())  # type: ignore[arg-type]
    return done.task.target.read_bytes(), done


def refused(path: Path, choices: Choices | None = None) -> str:
    """Return why one file is refused; nothing may be left of it, and its canary not be told."""
    before = sorted(path.parent.iterdir())
    said = ""
    try:
        scrub(path, choices)
    except ConfigError as error:
        said = str(error)
    assert said, "it was not refused"
    assert CANARY not in said
    assert sorted(path.parent.iterdir()) == before
    return said
