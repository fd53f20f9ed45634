"""The process in which a site's own recognisers run: its whole life.

It has no terminal, no network and nobody to write to but the process that asks. It guards against
mistakes, not against an enemy: a library or a function of the site's own runs with the site's
rights, and what is written in C can open a connection that no hook sees.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import resource
import signal
import sys
from operator import index
from typing import TYPE_CHECKING, Final

from crypto.codec import decode, encode
from crypto.errors import ConfigError
from privacy.scrubbing.own_models.loading import load
from secure_fl.own_models.messages import Ask, Begin, Begun, Found, Known, Raised, Refused
from secure_fl.own_models.pipes import read_message, write_message

if TYPE_CHECKING:
    from privacy.scrubbing.own_models.loading import Loaded

_GRACE_SECONDS: Final = 1
_NO_LIMIT: Final = sys.maxsize
_NETWORK: Final = frozenset(
    f"socket.{call}"
    for call in (
        *("connect", "bind", "sendto", "sendmsg"),
        *("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo"),
    )
)
"""Audit events of Python's sockets that reach, or ask for, another place."""


def main() -> None:
    """Load what the first message names, then answer until nobody asks."""
    requests, answers = _alone()
    # Whoever asked may be gone, or stop in between; there is nobody else to tell.
    with contextlib.suppress(EOFError, OSError):
        begin = decode(Begin, read_message(requests), limit_bytes=_NO_LIMIT)
        _end_after(begin.seconds)
        told, loaded = _begun(begin)
        write_message(answers, encode(told))
        while loaded:
            signal.alarm(0)
            ask = decode(Ask, read_message(requests), limit_bytes=_NO_LIMIT)
            _end_after(ask.seconds)
            write_message(answers, _answer(loaded, ask))


def _alone() -> tuple[int, int]:
    """Leave the terminal and the network; return where requests come from and answers go to."""
    requests, answers = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    os.close(nowhere)
    logging.disable()
    # A core dump would hold the text.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.addaudithook(_refuse_network)
    return requests, answers


def _refuse_network(event: str, _: tuple[object, ...]) -> None:
    if event in _NETWORK:
        raise PermissionError("a recogniser of the site's own has no network")


def _end_after(seconds: float) -> None:
    """Have the system end this process when nobody is left who would, whatever it is in."""
    signal.alarm(math.ceil(seconds) + _GRACE_SECONDS)


def _begun(begin: Begin) -> tuple[Begun | Refused, tuple[Loaded, ...]]:
    try:
        loaded = tuple(map(load, begin.described()))
    except ConfigError as error:
        return Refused(str(error)), ()
    return Begun(tuple(Known(one.entities, one.best_score, one.digest) for one in loaded)), loaded


def _answer(loaded: tuple[Loaded, ...], ask: Ask) -> bytes:
    """Return the encoded answer; what a recogniser returned may have no encoding either."""
    try:
        spans = loaded[ask.number].find(ask.text.decode("utf-8", "surrogatepass"))
        return encode(
            Found(tuple((index(s.start), index(s.end), s.entity, float(s.score)) for s in spans))
        )
    except Exception as error:  # noqa: BLE001 - a recogniser may raise anything, with the text in it
        return encode(Raised(type(error).__name__))
