"""The stream: the published AES-256 vectors, a naive twin, and what it refuses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import reference_masked_sum as twin
from hypothesis import given
from hypothesis import strategies as st

from crypto.keystream import BLOCK_BYTES, STREAM_BYTES, KeyStream
from crypto.secrets import SecretBytes


def test_the_twin_gives_the_published_vector() -> None:
    # SP 800-38A, F.5.5 (CTR-AES256.Encrypt): the four "output blocks".
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    start = int("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff", 16)
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    expected = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    stream = twin.key_stream(key, 64, start)
    assert bytes(a ^ b for a, b in zip(plain, stream, strict=True)) == expected


def test_the_stream_is_the_published_one_of_gcm_over_zeros() -> None:
    # McGrew and Viega, "The Galois/Counter Mode of Operation", test case 14: zero key of 256 bits,
    # zero nonce, one block of zeros.
    stream = KeyStream(SecretBytes(bytes(32)))
    assert stream.read(16).hex() == "cea7403d4d606b6e074ec5d3baf39d18"


def test_a_stream_ends_before_its_counter_repeats() -> None:
    stream = KeyStream(SecretBytes(bytes(32)))
    longest = (2**32 - 2) * 16  # SP 800-38D, 5.2.1.1: of a plaintext
    assert longest - 8192 < STREAM_BYTES == 68_719_468_544 <= longest - 4096
    stream._left_bytes = 24  # as if all but the last bytes had been read
    stream.read(20)
    with pytest.raises(ValueError, match="5 bytes were asked of a stream that has 4 left"):
        stream.read(5)
    stream.read(4)


@given(key=st.binary(min_size=32, max_size=32), cuts=st.lists(st.integers(0, 9000), max_size=8))
def test_the_bytes_do_not_depend_on_how_reads_are_cut(key: bytes, cuts: list[int]) -> None:
    stream = KeyStream(SecretBytes(key))
    got = b"".join(stream.read(cut) for cut in cuts)
    assert got == twin.key_stream(key, sum(cuts))


def test_words_are_little_endian_words_of_the_same_bytes() -> None:
    key = bytes(range(32))
    raw = KeyStream(SecretBytes(key)).read(48)
    stream = KeyStream(SecretBytes(key))
    assert stream.uint32(4).tolist() == [
        int.from_bytes(raw[i : i + 4], "little") for i in range(0, 16, 4)
    ]
    assert stream.uint64(4).tolist() == [
        int.from_bytes(raw[i : i + 8], "little") for i in range(16, 48, 8)
    ]


def test_a_read_longer_than_a_block_is_the_same_stream() -> None:
    key = bytes(range(32))
    words = BLOCK_BYTES // 4 * 2 + 1030
    head = KeyStream(SecretBytes(key)).read(5)
    stream = KeyStream(SecretBytes(key))
    assert stream.read(5) == head
    got = stream.uint32(words)
    assert got.tobytes() == twin.key_stream(key, 5 + 4 * words)[5:]


def test_fill_overwrites_an_array_in_place() -> None:
    out = np.full((3, 5), 7, dtype=np.uint64)
    KeyStream(SecretBytes(bytes(32))).fill(out)
    assert out.tobytes() == twin.key_stream(bytes(32), 120)
    empty = np.empty(0, dtype=np.uint32)
    KeyStream(SecretBytes(bytes(32))).fill(empty)


def test_it_refuses_what_it_cannot_fill() -> None:
    stream = KeyStream(SecretBytes(bytes(32)))
    for view in (np.zeros(8, dtype=np.uint32)[::2], np.zeros((4, 4), dtype=np.uint32)[:, ::2]):
        with pytest.raises(ValueError, match="only a contiguous"):
            stream.fill(view)
    with pytest.raises(ValueError, match="not int32"):
        stream.fill(np.zeros(8, dtype=np.int32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot give a negative number"):
        stream.read(-1)
    frozen = np.zeros(8, dtype=np.uint32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        stream.fill(frozen)


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KeyStream(SecretBytes(bytes(length)))


def test_a_stream_neither_prints_nor_copies() -> None:
    stream = KeyStream(SecretBytes(b"k" * 32))
    assert repr(stream) == "<AES-256-CTR stream>"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(stream)
    with pytest.raises(TypeError, match="not pickled"):
        copy.copy(stream)
