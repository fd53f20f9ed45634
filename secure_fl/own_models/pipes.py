"""Whole messages through pipes: eight bytes of length, then as many of content."""

from __future__ import annotations

import os
import select
import struct
import time
from typing import Final

_LENGTH: Final = struct.Struct(">Q")
_PIECE_BYTES: Final = 2**16


class Ends:
    """Our ends of two pipes to a process that may hang at any place.

    Neither sending nor receiving takes longer than it may, whatever the process does, and neither
    depends on the system's noticing that it is gone.

    Args:
        requests: a file descriptor to write to.
        answers: a file descriptor to read from.
    """

    def __init__(self, requests: int, answers: int) -> None:
        os.set_blocking(requests, False)
        os.set_blocking(answers, False)
        self._requests = requests
        self._answers = answers

    def send(self, data: bytes, deadline: float) -> None:
        """Send a message.

        Args:
            data: its bytes.
            deadline: when to give up, on the clock of `time.monotonic`.

        Raises:
            TimeoutError: it was not taken in time.
            OSError: nobody reads.
        """
        rest = memoryview(_LENGTH.pack(len(data)) + data)
        while rest:
            _wait(self._requests, select.POLLOUT, deadline)
            rest = rest[os.write(self._requests, rest[:_PIECE_BYTES]) :]

    def receive(self, limit_bytes: int, deadline: float) -> bytes:
        """Return a message.

        Args:
            limit_bytes: refuse a longer one before reading it.
            deadline: when to give up, on the clock of `time.monotonic`.

        Raises:
            TimeoutError: it did not come in time.
            EOFError: nobody writes any more.
            ValueError: it is longer than it may be.
        """
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size, deadline))
        if length > limit_bytes:
            raise ValueError("a message is longer than it may be")
        return self._read(length, deadline)

    def _read(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            _wait(self._answers, select.POLLIN, deadline)
            piece = os.read(self._answers, min(_PIECE_BYTES, count - len(data)))
            if not piece:
                raise EOFError
            data += piece
        return bytes(data)


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    left = deadline - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError


def read_message(descriptor: int) -> bytes:
    """Return the next message, however long it takes to come.

    Raises:
        EOFError: nobody writes any more.
    """
    (length,) = _LENGTH.unpack(_read_all(descriptor, _LENGTH.size))
    return _read_all(descriptor, length)


def write_message(descriptor: int, data: bytes) -> None:
    """Write a message, however long it takes to be read.

    Raises:
        OSError: nobody reads.
    """
    rest = memoryview(_LENGTH.pack(len(data)) + data)
    while rest:
        rest = rest[os.write(descriptor, rest[:_PIECE_BYTES]) :]


def _read_all(descriptor: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = os.read(descriptor, min(_PIECE_BYTES, count - len(data)))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
