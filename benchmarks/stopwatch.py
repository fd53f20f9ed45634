"""Process time inside chosen calls, measured where they happen."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")


class Stopwatch:
    """Adds up the process time that is spent within it; what is nested counts once.

    For calls of one thread at a time: process time is that of all threads together.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0
        self._began = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time until the block ends."""
        if self._depth == 0:
            self._began = time.process_time()
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if self._depth == 0:
                self.seconds += time.process_time() - self._began

    @contextmanager
    def watching(self, thing: object, *names: str) -> Iterator[None]:
        """Count the time spent in these functions of an object or a module, within the block.

        Raises:
            AttributeError: `thing` has no such function.
        """
        before = {name: getattr(thing, name) for name in names}
        own = {name for name in names if name in vars(thing)}
        for name, function in before.items():
            setattr(thing, name, self._timed(function))
        try:
            yield
        finally:
            for name, function in before.items():
                if name in own:
                    setattr(thing, name, function)
                else:
                    delattr(thing, name)

    def _timed(self, function: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            with self.running():
                return function(*args, **kwargs)

        return timed
