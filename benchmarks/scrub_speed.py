"""Documents per second of two engines that take turns, in one process and in two.

Each pair is two rounds over the same notes, one per engine; who leads alternates, so that a drift
of the machine cancels, and the ratio is taken within a pair. In one process, process time counts,
which leaves out what others do to the machine; in two it is wall time, from handing out the notes
to the last result.
"""

from __future__ import annotations

import functools
import gc
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.scrub_engines import OURS, STOCK, Ours, StockPresidio, no_network

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from benchmarks.scrub_engines import Finder

PROCESSES: Final = 2
_CHUNK: Final = 10
_WARM_UP: Final = 20
"""Notes that each engine reads before anything is measured."""


@dataclass(frozen=True)
class Rates:
    """Documents per second of both engines in one pair."""

    stock: float
    ours: float

    @property
    def ratio(self) -> float:
        """How many times as many documents ours reads in a second."""
        return self.ours / self.stock


@dataclass(frozen=True)
class Contest:
    """Who reads what: the entities that each engine looks for."""

    name: str
    stock: tuple[str, ...]
    ours: tuple[str, ...]


def contests() -> tuple[Contest, ...]:
    """Return the two comparisons.

    "same entities": those that both find by their form. "ours with everything": ours looks for
    all it knows, names and places too, stock for the same as before.
    """
    everything = Ours().looked_for
    shared = tuple(sorted(StockPresidio().patterns & everything))
    return (
        Contest("same entities", shared, shared),
        Contest("ours with everything", shared, tuple(sorted(everything))),
    )


def in_one_process(contest: Contest, notes: Sequence[str], pairs: int) -> list[Rates]:
    """Return the rates of each pair, by process time."""
    stock, ours = StockPresidio(contest.stock), Ours(contest.ours)
    with no_network():
        for engine in (stock, ours):
            _read(engine, notes[:_WARM_UP])
        return _paired(lambda: _read(stock, notes), lambda: _read(ours, notes), len(notes), pairs)


def in_two_processes(contest: Contest, notes: Sequence[str], pairs: int, pool: Pool) -> list[Rates]:
    """Return the rates of each pair, by wall time, with the notes shared by the pool."""
    for name, entities in ((STOCK, contest.stock), (OURS, contest.ours)):
        pool.read(name, entities, notes[: PROCESSES * _WARM_UP])
    return _paired(
        lambda: pool.read(STOCK, contest.stock, notes),
        lambda: pool.read(OURS, contest.ours, notes),
        len(notes),
        pairs,
    )


def _paired(
    stock: Callable[[], float], ours: Callable[[], float], documents: int, pairs: int
) -> list[Rates]:
    """Return the rates of each pair; each callable reads everything and returns its seconds."""
    rates = []
    for number in range(pairs):
        gc.collect()
        if number % 2:
            ours_seconds, stock_seconds = ours(), stock()
        else:
            stock_seconds, ours_seconds = stock(), ours()
        rates.append(Rates(documents / stock_seconds, documents / ours_seconds))
    return rates


def _read(engine: Finder, notes: Sequence[str]) -> float:
    began = time.process_time()
    for note in notes:
        engine.find(note)
    return time.process_time() - began


class Pool:
    """Two processes, each with every engine that it was asked for."""

    def __init__(self) -> None:
        # Spawned: a copy of this process would share what its libraries keep in threads.
        self._executor = ProcessPoolExecutor(
            PROCESSES, mp_context=multiprocessing.get_context("spawn")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()

    def read(self, name: str, entities: tuple[str, ...], notes: Sequence[str]) -> float:
        """Read all notes with one engine; return the wall seconds."""
        size = min(_CHUNK, max(1, len(notes) // PROCESSES))
        chunks = [tuple(notes[start : start + size]) for start in range(0, len(notes), size)]
        began = time.perf_counter()
        for _ in self._executor.map(functools.partial(_read_chunk, name, entities), chunks):
            pass
        return time.perf_counter() - began


@functools.cache
def _loaded(name: str, entities: tuple[str, ...]) -> Finder:
    """Return an engine of a worker process."""
    return StockPresidio(entities) if name == STOCK else Ours(entities)


def _read_chunk(name: str, entities: tuple[str, ...], notes: Sequence[str]) -> None:
    engine = _loaded(name, entities)
    with no_network():
        for note in notes:
            engine.find(note)
