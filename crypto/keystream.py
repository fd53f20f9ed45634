"""A deterministic stream of bytes and integers from one 32-byte key: AES-256-CTR.

Masks, stochastic rounding, sampling and noise all read from such a stream. The counter always
starts at the same block, so a key must serve one stream only; whoever needs two derives two keys.

The stream is what AES-256-GCM makes of zeros under the zero nonce (SP 800-38D, 6.5 and 7.1):
counter mode from counter block two. Its tag is not used. OpenSSL runs GCM in wider registers than
plain counter mode, and gives the same bytes faster.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NoReturn, final

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.secrets import SecretBytes

KEY_BYTES = 32
"""The length of a stream's key."""

BLOCK_BYTES = 1 << 17
"""Bytes made at a time: the block stays in a core's second-level cache (128 KiB was fastest)."""

STREAM_BYTES = 2**36 - (1 << 13)
"""The length of one stream: 32 bytes before 2^36, GCM's 32-bit counter would come back to its
first block (SP 800-38D, 5.2.1.1); small reads look ahead by less than the rest."""

_BUFFER_BYTES = 1 << 12
_ZEROS = bytes(BLOCK_BYTES)


@final
class KeyStream:
    """The AES-256-CTR stream of one key (NIST SP 800-38A, 6.5), from counter block two.

    The bytes do not depend on how the reads are cut: `read(3)` then `read(5)` gives what `read(8)`
    gives. Integers are little-endian words of the same stream on every machine.

    A stream is not safe to share between threads, and a forked process would repeat it: make a
    new key after a fork.
    """

    __slots__ = ("_buffer", "_encryptor", "_left_bytes")

    def __init__(self, key: SecretBytes) -> None:
        """Start the stream of `key`.

        Raises:
            ValueError: `key` is not 32 bytes long.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"A stream needs a key of {KEY_BYTES} bytes, not {len(key)}.")
        self._encryptor = Cipher(algorithms.AES(key.reveal()), modes.GCM(bytes(12))).encryptor()
        self._buffer = memoryview(b"")
        self._left_bytes = STREAM_BYTES

    def __repr__(self) -> str:
        return "<AES-256-CTR stream>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A stream is not pickled or copied: its bytes would be used twice.")

    def fill(self, out: NDArray[np.uint32] | NDArray[np.uint64]) -> None:
        """Overwrite `out`, a contiguous array of any shape, with the stream's next words.

        Raises:
            ValueError: `out` is not contiguous, not writable, not of unsigned words, or longer than
                what is left of the stream.
        """
        if out.dtype not in {np.dtype(np.uint32), np.dtype(np.uint64)}:
            raise ValueError(f"A stream fills uint32 or uint64 words, not {out.dtype}.")
        if not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError("A stream fills only a contiguous, writable array.")
        flat = out.reshape(-1)
        self._fill_bytes(flat.view(np.uint8).data)
        if sys.byteorder == "big":  # pragma: no cover - no such machine in CI
            flat.byteswap(inplace=True)

    def read(self, n_bytes: int) -> bytes:
        """Return the next `n_bytes` bytes.

        Raises:
            ValueError: `n_bytes` is negative, or more than what is left of the stream.
        """
        if n_bytes < 0:
            raise ValueError("A stream cannot give a negative number of bytes.")
        out = bytearray(n_bytes)
        self._fill_bytes(memoryview(out))
        return bytes(out)

    def uint32(self, count: int) -> NDArray[np.uint32]:
        """Return the next `count` words, uniform in [0, 2^32), as uint32 of shape `(count,)`."""
        out = np.empty(count, dtype=np.uint32)
        self.fill(out)
        return out

    def uint64(self, count: int) -> NDArray[np.uint64]:
        """Return the next `count` words, uniform in [0, 2^64), as uint64 of shape `(count,)`."""
        out = np.empty(count, dtype=np.uint64)
        self.fill(out)
        return out

    def _fill_bytes(self, out: memoryview) -> None:
        if len(out) > self._left_bytes:
            raise ValueError(
                f"{len(out)} bytes were asked of a stream that has {self._left_bytes} left: beyond "
                "its end its counter would repeat. Derive a second key."
            )
        self._left_bytes -= len(out)
        done = self._drain(out)
        while len(out) - done >= _BUFFER_BYTES:
            size = min(BLOCK_BYTES, len(out) - done)
            source = _ZEROS if size == BLOCK_BYTES else _ZEROS[:size]
            done += self._encryptor.update_into(source, out[done : done + size])
        if done < len(out):  # small reads share one call to the cipher
            self._buffer = memoryview(self._encryptor.update(_ZEROS[:_BUFFER_BYTES]))
            self._drain(out[done:])

    def _drain(self, out: memoryview) -> int:
        """Move what the buffer holds to the start of `out`; return how many bytes that was."""
        size = min(len(out), len(self._buffer))
        out[:size] = self._buffer[:size]
        self._buffer = self._buffer[size:]
        return size
