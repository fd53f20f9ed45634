"""Searching the seeds of Flower's masks: 2^28 for a pair, by the first word of a Mersenne twister.

`RandomState(seed)` fills 624 words by one multiplication each (Knuth's initialisation), and the
first word that it gives depends on the first, the second and the 398th of them (Matsumoto and
Nishimura 1998). So 397 multiplications test a seed against a known first mask element, for many
seeds at once, and no whole generator is ever made. The other coordinates then confirm it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PAIR_SEED_BITS: Final = 28
"""Four bytes, of which base64 leaves the top bit of each at zero."""

_BLOCK: Final = 1 << 16
_SHIFT: Final = 397
_SEED_FACTOR: Final = np.uint32(1812433253)
_TOP: Final = np.uint32(0x80000000)
_REST: Final = np.uint32(0x7FFFFFFF)
_TWIST: Final = np.uint32(0x9908B0DF)


def folded(key: bytes) -> int:
    """Return the 32-bit seed into which Flower folds a key: the exclusive or of its words."""
    words = np.frombuffer(key, "<u4")
    return int(np.bitwise_xor.reduce(words))


def seeds_from(start: int, count: int) -> NDArray[np.uint32]:
    """Return `count` seeds of pairs from number `start` on: seven bits of the number per byte."""
    numbers = np.arange(start, start + count, dtype=np.uint32)
    spread = numbers & np.uint32(0x7F)
    for place in (1, 2, 3):
        spread |= ((numbers >> np.uint32(7 * place)) & np.uint32(0x7F)) << np.uint32(8 * place)
    return spread


def number_of(seed: int) -> int:
    """Return the number in [0, 2^28) of a pair's seed; the inverse of `seeds_from`.

    Raises:
        ValueError: a byte of the seed has its top bit set: it is no pair's.
    """
    if seed & 0x80808080:
        raise ValueError(f"{seed:#x} is not the seed of a pair: base64 has seven bits per byte.")
    return sum(((seed >> (8 * place)) & 0x7F) << (7 * place) for place in range(4))


def first_words(seeds: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the first 32-bit output of `RandomState(seed)` for each seed, shape unchanged."""
    word, scratch = seeds.copy(), np.empty_like(seeds)
    second = word
    for index in range(1, _SHIFT + 1):
        np.right_shift(word, 30, out=scratch)
        np.bitwise_xor(word, scratch, out=word)
        np.multiply(word, _SEED_FACTOR, out=word)
        np.add(word, np.uint32(index), out=word)
        if index == 1:
            second = word.copy()
    mixed = (seeds & _TOP) | (second & _REST)
    word ^= (mixed >> np.uint32(1)) ^ (mixed & np.uint32(1)) * _TWIST
    word ^= word >> np.uint32(11)
    word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
    word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
    word ^= word >> np.uint32(18)
    return word


def seeds_giving(word: int, start: int, count: int) -> Iterator[int]:
    """Yield the seeds of pairs numbered `start` to `start + count` whose first word is `word`."""
    for seeds, words in _blocks(start, count):
        yield from (int(seed) for seed in seeds[words == np.uint32(word)])


def pairs_giving(
    total: int, first: tuple[int, int], second: tuple[int, int]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of seeds whose first words add up to `total` modulo 2^32.

    Meet in the middle: the first range is tabled, the second looked up, each once.

    Args:
        total: the sum of both first words.
        first: where the first seed's numbers begin, and how many.
        second: the same of the second.
    """
    table = [np.concatenate(parts) for parts in zip(*_blocks(*first), strict=True)]
    order = np.argsort(table[1], kind="stable")
    known, words = table[0][order], table[1][order]
    for seeds, others in _blocks(*second):
        wanted = np.uint32(total) - others
        left = np.searchsorted(words, wanted, "left")
        right = np.searchsorted(words, wanted, "right")
        for place in np.flatnonzero(right > left):
            for match in known[left[place] : right[place]]:
                yield int(match), int(seeds[place])


def _blocks(start: int, count: int) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
    for begin in range(start, start + count, _BLOCK):
        seeds = seeds_from(begin, min(_BLOCK, start + count - begin))
        yield seeds, first_words(seeds)
