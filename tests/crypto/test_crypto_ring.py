"""Ring vectors: what travels is what a loop over elements says, and no accepted sum wraps."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from crypto.errors import ConfigError, PeerError
from crypto.ring import (
    _BLOCK_WORDS,
    WIDTHS_BITS,
    WRAP_BITS,
    PackedSum,
    SumRange,
    WidthBits,
    check_vector,
    pack,
    packed_bytes,
    reduce_to_width,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WIDTHS = pytest.mark.parametrize("width", WIDTHS_BITS)
SEAMS = [
    size
    for blocks in (1, 2, 3)
    for size in (blocks * _BLOCK_WORDS - 1, blocks * _BLOCK_WORDS, blocks * _BLOCK_WORDS + 1)
]
EDGES = [0, 1, 2**8, 2**16 - 1, 2**16, 2**23, 2**24 - 1, 2**24, 2**31, 2**32 - 1]
ELEMENT = st.integers(0, 2**32 - 1) | st.sampled_from(EDGES)

# -- the naive twin --------------------------------------------------------------------------


def packed_naively(elements: Sequence[int], width: WidthBits) -> bytes:
    """One element at a time: whole words, or the low 16 bits of all and then the next 8."""
    if width == 32:
        return b"".join(value.to_bytes(4, "little") for value in elements)
    low = b"".join((value % 2**16).to_bytes(2, "little") for value in elements)
    return low + bytes(value // 2**16 % 2**8 for value in elements)


def unpacked_naively(data: bytes, width: WidthBits) -> list[int]:
    if width == 32:
        return [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    count = len(data) // 3
    low = [int.from_bytes(data[2 * at : 2 * at + 2], "little") for at in range(count)]
    return [word + 2**16 * data[2 * count + at] for at, word in enumerate(low)]


def words(elements: Sequence[int]) -> NDArray[np.uint32]:
    return np.array(elements, dtype=np.uint32)


def uniform(size: int, seed: int) -> NDArray[np.uint32]:
    return np.random.default_rng(seed).integers(0, 2**32, size=size, dtype=np.uint32)


def sum_of(packed: Sequence[bytes], size: int, width: WidthBits) -> NDArray[np.uint32]:
    total = PackedSum(size, width)
    for data in packed:
        total.add(data)
    return total.total()


# -- packing ---------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(elements=st.lists(ELEMENT, min_size=1, max_size=40), width=st.sampled_from(WIDTHS_BITS))
@example(elements=EDGES, width=24)
@example(elements=EDGES, width=32)
def test_what_travels_is_what_the_naive_twin_says(elements: list[int], width: WidthBits) -> None:
    data = pack(words(elements), width)
    assert data == packed_naively(elements, width)
    assert len(data) == packed_bytes(len(elements), width) == len(elements) * width // 8
    back = unpack(data, width)
    assert back.dtype == np.uint32
    assert back.tolist() == [value % 2**width for value in elements]
    assert back.tolist() == unpacked_naively(data, width)


@WIDTHS
@pytest.mark.parametrize("size", SEAMS)
def test_blocks_leave_no_seam(size: int, width: WidthBits) -> None:
    vector, other = uniform(size, seed=1), uniform(size, seed=2)
    data = pack(vector, width)
    assert data == packed_naively(vector.tolist(), width)
    expected = [
        (have + came) % 2**width
        for have, came in zip(other.tolist(), unpacked_naively(data, width), strict=True)
    ]
    assert sum_of([pack(other, width), data], size, width).tolist() == expected
    assert unpack(data, width).tolist() == [value % 2**width for value in vector.tolist()]


def test_the_known_bytes_of_both_widths() -> None:
    vector = words([0x01020304, 0xFFFEFDFC])
    assert pack(vector, 32).hex() == "04030201fcfdfeff"
    assert pack(vector, 24).hex() == "0403fcfd" + "02fe"


@settings(max_examples=100, deadline=None)
@given(
    vectors=st.lists(st.lists(ELEMENT, min_size=3, max_size=3), min_size=1, max_size=6),
    width=st.sampled_from(WIDTHS_BITS),
)
def test_added_as_it_came_the_sum_is_the_plain_one_in_the_ring(
    vectors: list[list[int]], width: WidthBits
) -> None:
    total = sum_of([pack(words(vector), width) for vector in vectors], 3, width)
    plain = [sum(column) % 2**width for column in zip(*vectors, strict=True)]
    assert total.tolist() == plain


@pytest.mark.parametrize(("width", "element_bytes"), [(24, 3), (32, 4)])
@pytest.mark.parametrize("short", [1, 2])
def test_bytes_that_end_within_an_element_are_refused_and_nothing_is_added(
    width: WidthBits, element_bytes: int, short: int
) -> None:
    total = PackedSum(2, width)
    total.add(pack(words([7, 8]), width))
    for data in (b"", bytes(2 * element_bytes - short), bytes(2 * element_bytes + short)):
        with pytest.raises(PeerError, match=rf"{len(data)} bytes are no vector of {width}-bit"):
            unpack(data, width)
        with pytest.raises(PeerError, match=rf"{len(data)} bytes are no vector of {width}-bit"):
            total.add(data)
    assert total.total().tolist() == [7, 8]


@WIDTHS
@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_elements_is_refused_and_nothing_is_added(
    count: int, width: WidthBits
) -> None:
    total = PackedSum(2, width)
    total.add(pack(words([7, 8]), width))
    with pytest.raises(PeerError, match=rf"{count} elements came where the round sums 2"):
        total.add(b"\xff" * (count * width // 8))
    assert total.total().tolist() == [7, 8]


def test_bytes_of_one_width_are_mostly_no_vector_of_the_other() -> None:
    narrow = pack(words([1, 2]), 24)
    with pytest.raises(PeerError, match="6 bytes are no vector of 32-bit elements"):
        unpack(narrow, 32)
    with pytest.raises(PeerError, match="3 elements came where the round sums 4"):
        PackedSum(4, 32).add(pack(words([1] * 4), 24))


@WIDTHS
def test_a_vector_is_reduced_in_place_to_its_ring(width: WidthBits) -> None:
    vector = words(EDGES)
    reduce_to_width(vector, width)
    assert vector.tolist() == [value % 2**width for value in EDGES]


def test_of_32_bits_a_packed_vector_is_the_vectors_own_memory() -> None:
    vector = words([1, 2, 3])
    for width, shared in ((32, True), (24, False)):
        data = np.frombuffer(pack(vector, width), dtype=np.uint8)
        assert np.shares_memory(data, vector) is shared


@WIDTHS
def test_a_running_sum_takes_as_much_memory_as_a_packed_vector(width: WidthBits) -> None:
    total = PackedSum(1000, width)
    held = (total._words, total._low, total._high)
    assert sum(part.nbytes for part in held) == packed_bytes(1000, width)


@WIDTHS
@pytest.mark.parametrize(
    "vector",
    [np.zeros(4), np.zeros((2, 2), np.uint32), np.zeros(0, np.uint32), np.zeros(8, np.uint32)[::2]],
    ids=["floats", "matrix", "empty", "strided"],
)
def test_only_a_plain_vector_of_ring_elements_is_packed(
    vector: NDArray[np.uint32], width: WidthBits
) -> None:
    with pytest.raises(ValueError, match="ring elements"):
        pack(vector, width)
    with pytest.raises(ValueError, match="ring elements"):
        check_vector(vector)


# -- sums that cannot wrap -------------------------------------------------------------------


def good(**changes: float) -> dict[str, float]:
    fields = {"width_bits": 24, "parties": 10, "largest": 100, "noise_deviation": 0.0, "size": 5}
    return {**fields, **changes}


def range_of(**changes: float) -> SumRange:
    return SumRange(**good(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("width", "half"), [(24, 8_388_607), (32, 2_147_483_647)])
def test_a_sum_may_reach_the_largest_integer_and_not_one_more(width: WidthBits, half: int) -> None:
    range_of(width_bits=width, parties=1, largest=half)
    with pytest.raises(
        ConfigError, match=rf"1 sites x {half + 1} steps = {half + 1} > .* = {half}"
    ):
        range_of(width_bits=width, parties=1, largest=half + 1)
    assert (half - 7) % 10 == 0, "ten equal sites cannot meet it exactly"
    range_of(width_bits=width, parties=10, largest=half // 10)
    with pytest.raises(ConfigError, match=r"10 sites x"):
        range_of(width_bits=width, parties=10, largest=half // 10 + 1)


def test_a_range_that_was_checked_stays_as_it_is() -> None:
    checked = range_of()
    with pytest.raises(FrozenInstanceError):
        checked.parties = 10**9  # type: ignore[misc]


def test_noise_counts_up_to_the_last_step() -> None:
    half, deviation = 2**23 - 1, 1000.0
    reach = math.ceil(range_of(noise_deviation=deviation).noise_reach)
    range_of(parties=1, largest=half - reach, noise_deviation=deviation)
    with pytest.raises(ConfigError, match="The sum would wrap") as refused:
        range_of(parties=1, largest=half - reach + 1, noise_deviation=deviation)
    assert str(refused.value) == (
        f"The sum would wrap: 1 sites x {half - reach + 1} steps + noise of standard deviation "
        f"1000, which stays below {reach} in all 5 elements but with probability 2^-40, = "
        f"{half + 1} > 2^23 - 1 = {half}, the largest integer of 24 bits. Use more bits, a smaller "
        "clip range, or fewer sites."
    )


def test_without_noise_the_message_names_none() -> None:
    with pytest.raises(ConfigError, match="3 sites x 8388607 steps = 25165821 >") as refused:
        range_of(parties=3, largest=2**23 - 1)
    assert "noise" not in str(refused.value)
    assert range_of().noise_reach == 0


@pytest.mark.parametrize(
    ("deviation", "size"), [(1.0, 1), (3.5, 1_000), (16.0, 1_000_000), (40.0, 124_439_808)]
)
def test_the_noise_reach_is_where_the_tail_of_all_elements_is_2_to_the_minus_40(
    deviation: float, size: int
) -> None:
    reach = range_of(width_bits=32, noise_deviation=deviation, size=size).noise_reach
    tail = 2 * size * math.exp(-((reach / deviation) ** 2) / 2)
    assert math.log2(tail) == pytest.approx(-WRAP_BITS, abs=1e-6)
    assert math.isclose(reach, deviation * math.sqrt(2 * math.log(2 * size * 2**40)))


def test_a_bound_that_is_too_small_is_really_passed_and_the_reach_is_not() -> None:
    generator = np.random.default_rng(0)
    size, deviation = 200_000, 50.0
    noise = np.abs(np.rint(generator.normal(0, deviation, size)))
    assert noise.max() > deviation * math.sqrt(2 * math.log(size)) * 0.9
    assert noise.max() < range_of(width_bits=32, noise_deviation=deviation, size=size).noise_reach


REFUSED: dict[str, tuple[str, dict[str, float]]] = {
    "no party": ("at least one party", {"parties": 0}),
    "no element": ("at least one party", {"size": 0}),
    "nothing to sum": ("at least one party", {"largest": 0}),
    "negative noise": ("finite standard deviation", {"noise_deviation": -1.0}),
    "a little negative noise": ("finite standard deviation", {"noise_deviation": -0.01}),
    "endless noise": ("finite standard deviation", {"noise_deviation": math.inf}),
    "no number": ("finite standard deviation", {"noise_deviation": math.nan}),
    "a reach beyond floats": ("finite standard deviation", {"noise_deviation": 1e308}),
    "half a ring": ("16 bits is not on offer", {"width_bits": 16}),
    "noise alone": ("The sum would wrap", {"noise_deviation": 1e9}),
}


@pytest.mark.parametrize("what", REFUSED)
def test_numbers_that_mean_nothing_are_refused(what: str) -> None:
    message, changes = REFUSED[what]
    with pytest.raises(ConfigError, match=message):
        range_of(**changes)


def signed(elements: Sequence[int], width: WidthBits) -> list[int]:
    """Ring elements read as integers of two's complement."""
    return [(value + 2 ** (width - 1)) % 2**width - 2 ** (width - 1) for value in elements]


def summed(parties: int, element: int, width: WidthBits) -> int:
    """What comes out when every party sends the same element."""
    total = sum_of([pack(words([element % 2**32]), width)] * parties, 1, width)
    return signed(total.tolist(), width)[0]


@WIDTHS
def test_the_largest_sum_that_is_accepted_is_exact_and_the_next_one_would_wrap(
    width: WidthBits,
) -> None:
    parties = 7
    largest = (2 ** (width - 1) - 1) // parties
    range_of(width_bits=width, parties=parties, largest=largest)
    for sign in (1, -1):
        assert summed(parties, sign * largest, width) == sign * parties * largest
    with pytest.raises(ConfigError, match="would wrap"):
        range_of(width_bits=width, parties=parties, largest=largest + 1)
    wrapped = summed(parties, largest + 1, width)
    assert wrapped == parties * (largest + 1) - 2**width < 0, "a large gain becomes a large loss"
