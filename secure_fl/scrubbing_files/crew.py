"""The processes that scrub, and the one that deals batches to them and takes results in order.

A bounded number of batches is under way, so memory does not grow with the files. A worker that
hangs is killed, one that dies is noticed, and either way the batch that it had is what failed. The
first failure in the order of the files is the one that is told, whichever came first in time.
"""

from __future__ import annotations

import multiprocessing
import time
from collections import deque
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from secure_fl.scrubbing_files.stream import Batch
from secure_fl.scrubbing_files.worker import (
    Done,
    Failed,
    Measured,
    Ready,
    Request,
    Sample,
    Unable,
    serve,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from secure_fl.labelled_sample import Residual
    from secure_fl.scrubbing_files.recipe import Recipe
    from secure_fl.scrubbing_files.stream import Item

_START_SECONDS: Final = 600
"""A site's own model may take minutes to load from a slow disk."""
_BATCHES_PER_WORKER: Final = 3
_ITEMS_PER_WORKER: Final = 32
_MILLION: Final = 10**6


@dataclass(frozen=True, slots=True)
class Lost:
    """A batch that no worker brought back: it took too long, or its worker died."""

    reason: str


Answer = Done | Failed | Lost

Heard = Ready | Unable | Done | Measured | Failed | Lost


@dataclass(slots=True, eq=False)
class _Place:
    """A place in the order of the files: an item, its answer if it is a batch, or the end."""

    item: Item | None
    error: ConfigError | None = None
    answer: Answer | Measured | None = None
    dealt: bool = False

    @property
    def settled(self) -> bool:
        return self.answer is not None or not isinstance(self.item, Batch)

    @property
    def failed(self) -> bool:
        return self.error is not None or isinstance(self.answer, Failed | Lost)


class _Worker:
    """One process, and our ends of its two pipes; a pair of sockets could be forbidden."""

    def __init__(self, recipe: Recipe) -> None:
        spawn = multiprocessing.get_context("spawn")
        requests_there, self._requests = spawn.Pipe(duplex=False)
        self.answers, answers_there = spawn.Pipe(duplex=False)
        self._process: SpawnProcess = spawn.Process(
            target=serve, args=(requests_there, answers_there, recipe), daemon=True
        )
        self.place: _Place | None = None
        self.seconds: float = _START_SECONDS
        self.deadline = time.monotonic() + self.seconds
        self._process.start()
        # Their ends live in the process alone, so that its death closes them.
        requests_there.close()
        answers_there.close()

    def ask(self, place: _Place, request: Request | Sample) -> None:
        """Send a request; a worker that died meanwhile is found when it is listened to."""
        self.place = place
        self.seconds = request.seconds
        self.deadline = time.monotonic() + request.seconds
        place.dealt = True
        try:
            self._requests.send(request)
        except OSError:
            self.deadline = time.monotonic()

    def heard(self) -> Heard:
        """Return what the worker sent, or that it died."""
        try:
            answer: Heard = self.answers.recv()
        except (EOFError, OSError):
            self._process.join(timeout=_START_SECONDS)
            return Lost(_death(self._process.exitcode))
        return answer

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join()
        self._requests.close()
        self.answers.close()
        self._process.close()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return (
            f"the process that scrubs was ended by signal {-code}, which is how a system "
            "short of memory ends one: use fewer --workers, or cut long texts into pieces"
        )
    return f"the process that scrubs ended by itself (exit code {code})"


class Crew:
    """Workers, within a `with` block; leaving it ends them.

    Args:
        recipe: how each makes its scrubber.
        workers: how many, at least one.
        deadline_seconds: what a batch may take, for each million characters that it begins.
    """

    def __init__(self, recipe: Recipe, *, workers: int, deadline_seconds: float) -> None:
        self._recipe = recipe
        self._workers = workers
        self._deadline_seconds = deadline_seconds
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}
        self._ready: Ready | None = None

    def __enter__(self) -> Self:
        for _ in range(self._workers):
            worker = _Worker(self._recipe)
            self._busy[worker.answers] = worker
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in (*self._idle, *self._busy.values()):
            worker.end()

    def ready(self) -> Ready:
        """Return what the scrubbers look for, as soon as one of them is there.

        Raises:
            ConfigError: a scrubber cannot be made.
        """
        while self._ready is None:
            self._listen()
        return self._ready

    def measure(self, sample: Path, size_bytes: int) -> Residual:
        """Return what the scrubbers leave of labelled texts.

        Raises:
            ConfigError: a scrubber cannot be made, or fails; or the sample is none.
        """
        self.ready()
        place = _Place(None)
        self._ask(place, Sample(sample, self._seconds(size_bytes)))
        while place.answer is None:
            self._listen()
        if isinstance(place.answer, Measured):
            return place.answer.residual
        if isinstance(place.answer, Failed):
            raise ConfigError(f"Nothing was scrubbed. {place.answer.reason}")
        reason = place.answer.reason if isinstance(place.answer, Lost) else "it is no sample"
        raise ConfigError(f"{sample} could not be measured: {reason}. Nothing was scrubbed.")

    def in_order(self, items: Iterator[Item]) -> Generator[tuple[Item, Answer | None], None, None]:
        """Yield each of `items` in their order, a batch with what became of it.

        They are read a few batches ahead of what is yielded, and no further once one failed.

        Raises:
            ConfigError: what `items` raised, after everything before it was yielded; or a scrubber
                cannot be made.
        """
        line: deque[_Place] = deque()
        reading = True
        while reading or line:
            while reading and self._has_room(line):
                place = _next_place(items)
                reading = place.item is not None
                line.append(place)
            self._deal(line)
            while line and line[0].settled:
                place = line.popleft()
                if place.error is not None:
                    raise place.error
                if place.item is not None:
                    yield place.item, _of_batch(place.answer)
            if line:
                self._listen()
                reading = reading and not any(place.failed for place in line)

    def _has_room(self, line: deque[_Place]) -> bool:
        batches = sum(isinstance(place.item, Batch) for place in line)
        return (
            batches < _BATCHES_PER_WORKER * self._workers
            and len(line) < _ITEMS_PER_WORKER * self._workers
        )

    def _deal(self, line: deque[_Place]) -> None:
        """Give the first batches that nobody has to workers that have none."""
        for place in line:
            if not self._idle:
                return
            if isinstance(place.item, Batch) and not place.dealt:
                batch = place.item
                seconds = self._seconds(sum(map(len, batch.rows)))
                self._ask(place, Request(batch.rows, batch.rules, seconds, batch.before))

    def _ask(self, place: _Place, request: Request | Sample) -> None:
        worker = self._idle.pop()
        self._busy[worker.answers] = worker
        worker.ask(place, request)

    def _seconds(self, characters: int) -> float:
        return self._deadline_seconds * (characters // _MILLION + 1)

    def _listen(self) -> None:
        """Wait until a worker answers, dies, or takes too long."""
        soonest = min(worker.deadline for worker in self._busy.values())
        ready = wait(list(self._busy), timeout=max(0.0, soonest - time.monotonic()))
        for answers in [answers for answers in self._busy if answers in ready]:
            worker = self._busy.pop(answers)
            self._settle(worker, worker.heard())
        now = time.monotonic()
        for answers in [a for a, worker in self._busy.items() if worker.deadline <= now]:
            worker = self._busy.pop(answers)
            self._settle(worker, Lost(_too_long(worker.seconds)))

    def _settle(self, worker: _Worker, heard: Heard) -> None:
        if isinstance(heard, Lost):
            worker.end()
        else:
            self._idle.append(worker)
        place, worker.place = worker.place, None
        if isinstance(heard, Ready):
            self._ready = heard
        elif isinstance(heard, Unable):
            raise ConfigError(heard.reason)
        elif place is None:
            reason = f": {heard.reason}" if isinstance(heard, Failed | Lost) else ""
            raise ConfigError(f"Nothing was scrubbed, since no scrubber could be made{reason}.")
        else:
            place.answer = heard


def _of_batch(answer: Answer | Measured | None) -> Answer | None:
    return None if isinstance(answer, Measured) else answer


def _next_place(items: Iterator[Item]) -> _Place:
    """Return the next of `items`, or what stopped them, or an empty place at their end."""
    try:
        return _Place(next(items, None))
    except ConfigError as error:
        return _Place(None, error)


def _too_long(seconds: float) -> str:
    return (
        f"it took longer than {seconds:g} seconds and was stopped: a recogniser hangs, "
        "or the machine is slow (see --deadline-seconds)"
    )
