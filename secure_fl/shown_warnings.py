"""Shows what this program warns of where its user looks, and no library's own log lines."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Showing(logging.Handler):
    def __init__(self, show: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._show = show

    def emit(self, record: logging.LogRecord) -> None:
        """Show one line."""
        self._show(record.getMessage())


@contextmanager
def shown_warnings(show: Callable[[str], None]) -> Iterator[None]:
    """Within the block, give `show` each warning of this program, such as a site without a reply.

    Nothing else gets them meanwhile: a library that sets up the root logger, as absl does, would
    print them a second time in its own form.
    """
    log, handler = logging.getLogger("secure_fl"), _Showing(show)
    log.addHandler(handler)
    propagated, log.propagate = log.propagate, False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagated
