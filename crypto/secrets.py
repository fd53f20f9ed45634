"""Secret bytes that do not print, compare, hash or pickle."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NoReturn, final

Entropy = Callable[[int], bytes]
"""A source of `n` random bytes. A deployed party uses `system_entropy` and nothing else."""


def system_entropy(length_bytes: int) -> bytes:
    """Return `length_bytes` bytes of the operating system's generator."""
    return os.urandom(length_bytes)


@final
class SecretBytes:
    """Bytes that only their owner may read, and only by asking with `reveal`.

    Formal guarantees: `repr`, `str` and `format` never show the content; `==`, `hash`, pickling
    and copying raise. Python gives no way to wipe memory, so a process dump still shows them.
    """

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        if not isinstance(value, bytes):
            # bytes(32) would be thirty-two zeros: a key that everybody knows.
            raise TypeError("A secret is made of bytes.")
        self._value = value

    def reveal(self) -> bytes:
        """Return the content, for the primitive that needs it."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __repr__(self) -> str:
        return f"<{len(self._value)} secret bytes>"

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("Secrets are not compared with ==, which leaks by its timing.")

    __hash__ = None  # type: ignore[assignment]

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("Secrets are not pickled or copied: seal them for a store instead.")
