"""How bytes get from the coordinator to the sites and back.

Coordinator and sites are pure machines; a transport moves their messages and knows nothing of
what is in them. It has two homes: `in_process`, the default, and `flower`, Flower's message API.
A transport is not trusted: every message is signed, and whoever reads one checks that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Protocol

from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError

Handler = Callable[[bytes], bytes]
"""A site, seen from its transport: request bytes in, reply bytes out."""


class FailureCode(Enum):
    """Why a site gave no reply: all that leaves a site about a failure.

    The text of an exception can hold a record, so it stays in the site's own log.
    """

    CONFIG = "config"
    BUDGET = "budget"
    PEER = "peer"
    INTEGRITY = "integrity"
    INTERNAL = "internal"
    LOST = "lost"
    """The site could not be reached, or did not answer in time."""


def failure_code(error: BaseException) -> FailureCode:
    """Return the code that stands for `error`, by who must act."""
    if isinstance(error, ConfigError):
        return FailureCode.CONFIG
    if isinstance(error, BudgetError):
        return FailureCode.BUDGET
    if isinstance(error, PeerError):
        return FailureCode.PEER
    if isinstance(error, IntegrityError):
        return FailureCode.INTEGRITY
    return FailureCode.INTERNAL


class Transport(Protocol):
    """Carries one exchange at a time. A site that gave no reply is absent from the result."""

    def broadcast(self, request: bytes) -> Mapping[str, bytes]:
        """Send the same bytes to everyone who listens, and return the replies by site name.

        The first exchange of a run, and the one that finds sites which came back: only here may
        a transport learn who is where. What a name is worth, the signature in the reply decides.
        """

    def exchange(self, requests: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Send each named site its own bytes, and return the replies by site name."""

    @property
    def failures(self) -> Mapping[str, FailureCode]:
        """Why sites are absent from the latest result, by site name where it is known."""
