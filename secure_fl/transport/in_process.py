"""Sites as objects in this process: the default, and what tests and demonstrations run on."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from crypto.errors import ConfigError, SecureFLError
from secure_fl.transport import FailureCode, failure_code

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures import Future

    from secure_fl.transport import Handler

_LOG = logging.getLogger(__name__)


class InProcessTransport:
    """Calls the sites' handlers, at most `workers` of them at the same time.

    A handler that raises a SecureFLError has failed as a site fails: it is absent, and its code
    is in `failures`. Any other exception is a defect of this program and is raised again, after
    every handler has ended; of several, that of the first site by name.
    """

    def __init__(self, handlers: Mapping[str, Handler], *, workers: int) -> None:
        """Take the sites' handlers by name.

        Raises:
            ConfigError: there is no site, or no worker to run one.
        """
        if not handlers or workers < 1:
            raise ConfigError(
                f"{len(handlers)} sites and {workers} workers cannot run a round: "
                "configure at least one of each."
            )
        self._handlers = dict(handlers)
        self._workers = workers
        self._failures: dict[str, FailureCode] = {}

    @property
    def failures(self) -> Mapping[str, FailureCode]:
        """Why sites are absent from the latest result, by site name."""
        return dict(self._failures)

    def broadcast(self, request: bytes) -> Mapping[str, bytes]:
        """Send the same bytes to every site; see `Transport`."""
        return self.exchange(dict.fromkeys(self._handlers, request))

    def exchange(self, requests: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Send each named site its own bytes; see `Transport`."""
        self._failures = {}
        known = {name: data for name, data in requests.items() if name in self._handlers}
        self._failures.update(
            dict.fromkeys(sorted(requests.keys() - known.keys()), FailureCode.LOST)
        )
        with ThreadPoolExecutor(self._workers, thread_name_prefix="site") as pool:
            pending = {
                name: pool.submit(self._handlers[name], known[name]) for name in sorted(known)
            }
        return self._collect(pending)

    def _collect(self, pending: Mapping[str, Future[bytes]]) -> dict[str, bytes]:
        replies = {}
        for name, future in pending.items():
            error = future.exception()
            if error is None:
                replies[name] = future.result()
            elif isinstance(error, SecureFLError):
                self._failures[name] = failure_code(error)
                _LOG.warning("%s gave no reply: %s", name, error)
            else:
                raise error
        return replies
