"""Vectors of ring elements: Z_(2^32) in memory, 32 or 24 bits of each element on the wire.

Since 2^24 divides 2^32, a sum in Z_(2^24) is the low three bytes of the same sum in Z_(2^32): a
vector is kept and masked as uint32, and what is packed for the wire is cut to the ring's width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, final

import numpy as np

from crypto.errors import ConfigError, PeerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WidthBits = Literal[24, 32]
"""How many bits of an element travel; sums are taken modulo 2 to this power."""

WIDTHS_BITS: Final[tuple[WidthBits, ...]] = (24, 32)
WRAP_BITS: Final = 40
"""A sum may leave its ring with probability 2^-WRAP_BITS per round, and not more often."""

_BLOCK_WORDS: Final = 1 << 15


class IntegerNoise(Protocol):
    """What a site adds to its vector before the masks; the source of distributed noise.

    Integers are drawn in ring steps and added modulo the ring, never truncated: how wide they may
    be is checked by `SumRange` before the round.
    """

    def draw(self, count: int) -> NDArray[np.int64]:
        """Return the next `count` integers, int64 of shape `(count,)`."""


@dataclass(frozen=True)
class SumRange:
    """That a sum of `parties` vectors cannot wrap, checked before anything is encoded.

    Attributes:
        width_bits: the ring is Z_(2^width_bits), read as signed integers.
        parties: how many vectors are summed at most: the cohort.
        largest: the largest absolute integer of one site's element, without noise.
        noise_deviation: a bound on the standard deviation of the sum's noise, in ring steps; zero
            without distributed noise. The noise must be sub-Gaussian with it, as a (discrete)
            Gaussian is: P(|N| > z sigma) <= 2 exp(-z^2 / 2) (Canonne et al. 2020, Prop. 25).
        size: d, the number of elements.

    Raises:
        ConfigError: the sum could leave the ring (with noise: with a probability above 2^-40 per
            round, by a union bound over the elements). The arithmetic is in the message.
    """

    width_bits: WidthBits
    parties: int
    largest: int
    noise_deviation: float
    size: int

    def __post_init__(self) -> None:
        counts_valid = min(self.parties, self.largest, self.size) >= 1
        if not counts_valid or not 0 <= self.noise_reach < math.inf:
            raise ConfigError(
                "A sum has at least one party, one element and a largest integer of 1, and its "
                "noise a finite standard deviation: correct the encoding's numbers."
            )
        if self.width_bits not in WIDTHS_BITS:
            raise ConfigError(f"A ring of {self.width_bits} bits is not on offer: choose 24 or 32.")
        reach = self.parties * self.largest + math.ceil(self.noise_reach)
        half = 2 ** (self.width_bits - 1) - 1
        if reach > half:
            raise ConfigError(
                f"The sum would wrap: {self.parties} sites x {self.largest} steps"
                f"{self._noise_words()} = {reach} > 2^{self.width_bits - 1} - 1 = {half}, the "
                f"largest integer of {self.width_bits} bits. Use more bits, a smaller clip range, "
                "or fewer sites."
            )

    @property
    def noise_reach(self) -> float:
        """What the summed noise of no element exceeds, but with probability 2^-40 per round.

        sigma sqrt(2 ln(2 d 2^40)), from the tail above and a union bound over the d elements.
        """
        return self.noise_deviation * math.sqrt(2 * math.log(2 * self.size * 2.0**WRAP_BITS))

    def _noise_words(self) -> str:
        if not self.noise_deviation:
            return ""
        return (
            f" + noise of standard deviation {self.noise_deviation:g}, which stays below "
            f"{math.ceil(self.noise_reach)} in all {self.size} elements but with probability "
            f"2^-{WRAP_BITS},"
        )


def check_vector(vector: NDArray[np.uint32]) -> None:
    """Raise ValueError unless `vector` is a contiguous uint32 array of shape `(d,)`, d >= 1."""
    if vector.dtype != np.dtype(np.uint32) or vector.ndim != 1 or vector.size == 0:
        raise ValueError(
            "A vector of ring elements is a uint32 array of one dimension and at least one "
            f"element, not {vector.dtype} of shape {vector.shape}."
        )
    if not vector.flags.c_contiguous:
        raise ValueError("A vector of ring elements must be contiguous.")


def packed_bytes(size: int, width_bits: WidthBits) -> int:
    """Return how many bytes `size` elements take on the wire."""
    return size * width_bits // 8


def reduce_to_width(vector: NDArray[np.uint32], width_bits: WidthBits) -> None:
    """Reduce each element modulo 2^width_bits, in place."""
    if width_bits != 32:  # noqa: PLR2004 - the width in memory
        np.bitwise_and(vector, np.uint32(2**width_bits - 1), out=vector)


def pack(vector: NDArray[np.uint32], width_bits: WidthBits) -> memoryview:
    """Return the low `width_bits` bits of each element, in the one form that travels.

    Of 32 bits this is the vector's own memory, and no copy: change nothing in it before it is sent.

    Of 32 bits: the little-endian words. Of 24 bits: the low 16 bits of every element as
    little-endian words, and after them bits 16 to 23 of every element as bytes; the two planes are
    copied ten times faster than triples.

    Args:
        vector: ring elements, uint32 of shape `(d,)`.
        width_bits: the ring's width.

    Raises:
        ValueError: `vector` is no vector of ring elements.
    """
    check_vector(vector)
    if width_bits == 32:  # noqa: PLR2004 - the width in memory
        return vector.astype("<u4", copy=False).view(np.uint8).data
    raw = np.empty(packed_bytes(vector.size, width_bits), dtype=np.uint8)
    low, high = _planes(raw)
    block = np.empty(min(_BLOCK_WORDS, vector.size), dtype=np.uint32)
    for start in range(0, vector.size, _BLOCK_WORDS):
        part = vector[start : start + _BLOCK_WORDS]
        low[start : start + part.size] = part  # a cast to fewer bits drops those above
        high[start : start + part.size] = np.right_shift(part, 16, out=block[: part.size])
    return raw.data


def unpack(data: bytes | memoryview, width_bits: WidthBits) -> NDArray[np.uint32]:
    """Return the vector that `data` packs, uint32 of shape `(d,)`; of 24 bits the top byte is zero.

    Raises:
        PeerError: `data` is empty, or ends within an element.
    """
    one = PackedSum(_count(data, width_bits), width_bits)
    one.add(data)
    return one.total()


@final
class PackedSum:
    """A running sum of packed vectors, which holds none of them.

    Of 24-bit elements it is kept as it travels, in two planes: the low 16 bits, whose carries go
    over into bits 16 to 23, so that it takes three bytes an element.
    """

    __slots__ = ("_high", "_low", "_size", "_width_bits", "_words")

    def __init__(self, size: int, width_bits: WidthBits) -> None:
        """Begin at zero, over vectors of `size` elements."""
        narrow = width_bits != 32  # noqa: PLR2004 - the width in memory
        self._size = size
        self._width_bits = width_bits
        self._words = np.zeros(0 if narrow else size, dtype=np.uint32)
        self._low = np.zeros(size if narrow else 0, dtype=np.uint16)
        self._high = np.zeros(size if narrow else 0, dtype=np.uint8)

    def add(self, data: bytes | memoryview) -> None:
        """Add a packed vector.

        Raises:
            PeerError: `data` does not hold exactly as many elements; nothing was added.
        """
        count = _count(data, self._width_bits)
        if count != self._size:
            raise PeerError(
                f"{count} elements came where the round sums {self._size}: nothing was added. "
                "Its sender runs another configuration."
            )
        if self._words.size:
            np.add(self._words, np.frombuffer(data, "<u4"), out=self._words)
            return
        low, high = _planes(np.frombuffer(data, np.uint8))
        carries = np.empty(min(_BLOCK_WORDS, count), dtype=np.bool_)
        for start in range(0, count, _BLOCK_WORDS):
            block = slice(start, start + _BLOCK_WORDS)
            mine, theirs, upper = self._low[block], low[block], self._high[block]
            carry = carries[: mine.size]
            np.add(mine, theirs, out=mine)
            np.less(mine, theirs, out=carry)  # a sum below one of its parts has wrapped
            np.add(upper, high[block], out=upper)
            np.add(upper, carry.view(np.uint8), out=upper)

    def total(self) -> NDArray[np.uint32]:
        """Return the sum modulo 2^width_bits, uint32 of shape `(d,)`.

        Of 32-bit elements the array is the sum's own memory: add nothing after it.
        """
        if self._words.size:
            return self._words
        words = self._high.astype(np.uint32)
        np.left_shift(words, np.uint32(16), out=words)
        return np.bitwise_or(words, self._low, out=words)


def _planes(raw: NDArray[np.uint8]) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
    """Return the two planes of packed 24-bit elements, as views of shape `(d,)`."""
    count = raw.size // 3
    return raw[: 2 * count].view("<u2"), raw[2 * count :]


def _count(data: bytes | memoryview, width_bits: WidthBits) -> int:
    if not data or len(data) % (width_bits // 8):
        raise PeerError(
            f"{len(data)} bytes are no vector of {width_bits}-bit elements: nothing was added. "
            "They were cut on the way, or their sender runs another configuration."
        )
    return len(data) * 8 // width_bits
