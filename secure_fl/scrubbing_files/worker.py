"""One process that scrubs rows, and what travels between it and the process that reads files.

A recogniser of a site's own may hang, crash or print what it reads. Here it can: this process has
no terminal, its deadline is kept by the system, and what it reports of a failure is a row's number
and an error's name.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from privacy.scrubbing import Document
from secure_fl.scrubbing_files.count import Count
from secure_fl.scrubbing_files.rows import RowError, rebuilt

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from privacy.scrubbing import Coverage, Provider
    from secure_fl.labelled_sample import Residual
    from secure_fl.scrubbing_files.recipe import Recipe, Scrubs
    from secure_fl.scrubbing_files.rows import RowRules

_GRACE_SECONDS: Final = 10
_TEXTS_PER_ROW: Final = 2**32
"""More than any row can hold."""


@dataclass(frozen=True, slots=True)
class Request:
    """Rows to scrub.

    Attributes:
        rows: their source.
        rules: how they are read and written.
        seconds: after which nobody waits for them any more.
        before: how many rows of all files come before them.
    """

    rows: tuple[str, ...] = field(repr=False)
    rules: RowRules
    seconds: float
    before: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """Labelled texts, to measure what scrubbing leaves of them; `seconds` as in a request."""

    path: Path
    seconds: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The scrubber is there: what it looks for, and who does."""

    coverage: Coverage
    providers: tuple[Provider, ...] = ()


@dataclass(frozen=True, slots=True)
class Unable:
    """There is no scrubber; `reason` is whole sentences."""

    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """The rows of a request, scrubbed; a row that did not change is None."""

    rows: tuple[str | None, ...] = field(repr=False)
    count: Count


@dataclass(frozen=True, slots=True)
class Measured:
    """What scrubbing leaves of a sample."""

    residual: Residual


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a row cannot be scrubbed; `index` counts from 0 in the request."""

    index: int
    reason: str


def serve(requests: Connection, answers: Connection, recipe: Recipe) -> None:
    """Build the scrubber, then answer requests until there are no more: a process's whole life."""
    _alone()
    answer, scrubber = _begun(recipe)
    # Whoever asked may be gone, or stop in between; there is nobody else to tell.
    with contextlib.suppress(EOFError, OSError):
        answers.send(answer)
        while scrubber is not None:
            request: Request | Sample = requests.recv()
            # The system ends this process when nobody is left who would.
            signal.alarm(math.ceil(request.seconds) + _GRACE_SECONDS)
            answers.send(
                measured(scrubber, request)
                if isinstance(request, Sample)
                else answered(scrubber, request)
            )
            signal.alarm(0)


def _alone() -> None:
    """Leave the terminal to the process that has one, and use one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    logging.disable()
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def _begun(recipe: Recipe) -> tuple[Ready | Unable, Scrubs | None]:
    try:
        scrubber = recipe.build()
    except ConfigError as error:
        return Unable(str(error)), None
    except Exception as error:  # noqa: BLE001 - a site's own recogniser may fail to load anyhow
        # This process has read no record yet, so the message cannot quote one.
        said = f"The scrubber could not be made ({type(error).__name__}: {error})"
        return Unable(f"{said}. Nothing was scrubbed; `secure-fl doctor` examines it."), None
    return Ready(scrubber.coverage, scrubber.providers), scrubber


def measured(scrubber: Scrubs, sample: Sample) -> Measured | Failed:
    """Return what scrubbing leaves of `sample`, or why it cannot be told, without text."""
    from secure_fl.labelled_sample import measure_sample  # noqa: PLC0415 - most scrubbing has none

    try:
        return Measured(measure_sample(sample.path, scrubber, setting="--labelled"))
    except ConfigError as error:
        return Failed(0, str(error))
    except Exception as error:  # noqa: BLE001 - its message may quote a text
        return Failed(0, f"{sample.path} could not be measured ({type(error).__name__}).")


def answered(scrubber: Scrubs, request: Request) -> Done | Failed:
    """Return the rows of `request` scrubbed, or the first that cannot be and why, without text."""
    rows: list[str | None] = []
    total = _Sum()
    for index, row in enumerate(request.rows):
        try:
            number = (request.before + index) * _TEXTS_PER_ROW
            rows.append(_scrubbed(scrubber, row, request.rules, number, total))
        except (RowError, ConfigError) as error:
            return Failed(index, str(error))
        except Exception as error:  # noqa: BLE001 - its message may quote the row
            return Failed(index, f"scrubbing it failed ({type(error).__name__})")
    return Done(tuple(rows), total.count())


def _scrubbed(scrubber: Scrubs, row: str, rules: RowRules, number: int, total: _Sum) -> str | None:
    """Return `row` scrubbed, None if that changes nothing, and add it to `total`.

    Its texts are the documents `number`, `number` + 1 and so on, which nothing else in a run is.
    """
    slots = rules.slots(row)
    if not slots:
        total.rows += bool(row.strip())
        return None
    unit = rules.unit(row)
    results = [
        scrubber.scrub(slot.text, Document(number + place, unit))
        for place, slot in enumerate(slots)
    ]
    texts = [result.text for result in results]
    changed = any(text != slot.text for text, slot in zip(texts, slots, strict=True))
    total.rows += 1
    total.rows_changed += changed
    total.texts += len(slots)
    total.characters_in += sum(len(slot.text) for slot in slots)
    total.characters_out += sum(map(len, texts))
    total.entities.update(span.entity for result in results for span in result.spans)
    total.choices_found.update(choice for slot in slots for choice in slot.choices)
    return rebuilt(row, slots, texts, rules) if changed else None


@dataclass(slots=True)
class _Sum:
    """A count that is being made."""

    rows: int = 0
    rows_changed: int = 0
    texts: int = 0
    characters_in: int = 0
    characters_out: int = 0
    entities: Counter[str] = field(default_factory=Counter)
    choices_found: set[int] = field(default_factory=set)

    def count(self) -> Count:
        return Count(
            self.rows,
            self.rows_changed,
            self.texts,
            self.characters_in,
            self.characters_out,
            tuple(sorted(self.entities.items())),
            frozenset(self.choices_found),
        )
