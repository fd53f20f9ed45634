"""Mask vectors: a known answer, the naive twin, cancellation, and what breaks it on purpose."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import reference_masked_sum as twin
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.agreement import AgreementKey
from crypto.errors import PeerError
from crypto.keystream import BLOCK_BYTES
from crypto.masking import (
    BLOCK_WORDS,
    MaskTerm,
    PairEnd,
    add_masks,
    expand_mask,
    pairwise_term,
    self_mask_key,
)
from crypto.ring import check_vector
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINDING = hashlib.sha256(b"a round").digest()
KNOWN_STREAM = ["deb5bc0e", "bd832cb5", "35a9a808", "99912c18"]
KNOWN_MASKS = ["0bdf4b65", "82f9201e", "22f29af6", "684589b3"]


def key_of(name: str) -> AgreementKey:
    return AgreementKey(SecretBytes(hashlib.sha256(name.encode()).digest()))


def announced_of(name: str) -> bytes:
    return hashlib.sha256(f"what {name} announced".encode()).digest()


def end_of(name: str, half: bytes | None = None) -> PairEnd:
    sent = None if half is None else SecretBytes(half)
    return PairEnd(name, key_of(name).public, announced_of(name), sent)


def term(owner: str, peer: str, binding: bytes = BINDING) -> MaskTerm:
    return pairwise_term(key_of(owner), end_of(owner), end_of(peer), binding)


def mask_of(terms: list[MaskTerm], size: int = 64) -> NDArray[np.uint32]:
    vector = np.zeros(size, dtype=np.uint32)
    add_masks(vector, terms)
    return vector


def test_known_answer_of_the_mask_stream() -> None:
    # Fixed once, from the naive twin: a change here makes old and new sites disagree silently.
    words = expand_mask(SecretBytes(bytes(range(32))), 4).tolist()
    assert words == twin.mask_words(bytes(range(32)), 4)
    assert [f"{word:08x}" for word in words] == KNOWN_STREAM


def test_known_answer_of_the_pairwise_and_self_masks() -> None:
    pair = mask_of([term("bank-a", "bank-b")], 2).tolist()
    self_key = self_mask_key(SecretBytes(b"s" * 32), "bank-a", BINDING)
    own = mask_of([MaskTerm(self_key, negative=False)], 2)
    secrets = {name: key_of(name).secret.reveal() for name in ("bank-a", "bank-b")}
    announced = {name: announced_of(name) for name in ("bank-a", "bank-b")}
    cohort = twin.Cohort(secrets, announced, BINDING)
    assert pair == twin.pairwise_mask("bank-a", "bank-b", cohort, 2)
    assert own.tolist() == twin.self_mask(b"s" * 32, "bank-a", BINDING, 2)
    assert [f"{word:08x}" for word in [*pair, *own.tolist()]] == KNOWN_MASKS


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 3 * BLOCK_WORDS), seed=st.binary(min_size=32, max_size=32))
def test_blocks_leave_no_seam(size: int, seed: bytes) -> None:
    key = SecretBytes(seed)
    got = mask_of([MaskTerm(key, negative=False)], size)
    assert np.array_equal(got, expand_mask(key, size))


def test_a_long_mask_is_the_naive_one() -> None:
    size = BLOCK_WORDS + 3
    got = mask_of([MaskTerm(SecretBytes(b"k" * 32), negative=False)], size)
    assert got.tolist() == twin.mask_words(b"k" * 32, size)


def test_a_pair_cancels_and_one_end_alone_does_not() -> None:
    ends = [term("bank-a", "bank-b"), term("bank-b", "bank-a")]
    assert [end.negative for end in ends] == [False, True]
    assert not mask_of(ends).any()
    assert mask_of(ends[:1]).any()


def test_anything_bound_differently_makes_another_mask() -> None:
    base = mask_of([term("bank-a", "bank-b")])
    a, b = end_of("bank-a"), end_of("bank-b")
    ends = {
        "another key": (a, replace(b, public=key_of("elsewhere").public)),
        "another announcement": (a, replace(b, announced=bytes(32))),
        "the owner's other announcement": (replace(a, announced=bytes(32)), b),
        "the same keys under another name": (replace(a, site="bank-x"), b),
        "a half from the one": (end_of("bank-a", b"h" * 32), b),
        "the same half from the other": (a, end_of("bank-b", b"h" * 32)),
        "both halves": (end_of("bank-a", b"h" * 32), end_of("bank-b", b"h" * 32)),
        "another half": (end_of("bank-a", b"x" * 32), b),
    }
    variants = [
        term("bank-a", "bank-b", hashlib.sha256(b"another round").digest()),
        term("bank-a", "bank-c"),
        *(pairwise_term(key_of("bank-a"), *pair, BINDING) for pair in ends.values()),
    ]
    masks = [mask_of([MaskTerm(variant.key, negative=False)]).tobytes() for variant in variants]
    assert len({base.tobytes(), *masks}) == 1 + len(variants)


def test_both_ends_of_a_hybrid_pair_derive_the_same_mask() -> None:
    a, b = end_of("bank-a", b"1" * 32), end_of("bank-b", b"2" * 32)
    first = pairwise_term(key_of("bank-a"), a, b, BINDING)
    second = pairwise_term(key_of("bank-b"), b, a, BINDING)
    assert not mask_of([first, second]).any()


def test_self_masks_differ_by_site_and_round() -> None:
    seed = SecretBytes(b"s" * 32)
    keys = {
        self_mask_key(seed, site, binding).reveal()
        for site in ("bank-a", "bank-b")
        for binding in (BINDING, bytes(32))
    }
    assert len(keys) == 4


def test_masks_are_added_in_place_modulo_2_to_the_32() -> None:
    vector = np.full(1000, 2**32 - 1, dtype=np.uint32)
    key = SecretBytes(b"k" * 32)
    expected = [(2**32 - 1 + word) % 2**32 for word in twin.mask_words(b"k" * 32, 1000)]
    add_masks(vector, [MaskTerm(key, negative=False)])
    assert vector.tolist() == expected
    add_masks(vector, [MaskTerm(key, negative=True)])
    assert (vector == 2**32 - 1).all()


class Ramp:
    """Noise that a test can add up: -3, -2, -1, 0, ... in the order it is drawn."""

    def __init__(self) -> None:
        self.next = -3

    def draw(self, count: int) -> NDArray[np.int64]:
        first, self.next = self.next, self.next + count
        return np.arange(first, first + count, dtype=np.int64)


@pytest.mark.parametrize("terms", [0, 2])
def test_noise_is_added_once_to_every_element_beside_the_masks(terms: int) -> None:
    size = 2 * BLOCK_WORDS + 5
    vector = np.full(size, 2**32 - 1, dtype=np.uint32)
    key = SecretBytes(b"k" * 32)
    add_masks(vector, [MaskTerm(key, negative=bool(sign)) for sign in range(terms)], Ramp())
    assert vector.tolist() == [(place - 4) % 2**32 for place in range(size)]


def test_a_block_of_masks_is_a_block_of_the_stream() -> None:
    assert 4 * BLOCK_WORDS == BLOCK_BYTES


def test_beside_the_vector_it_holds_about_one_block() -> None:
    vector = np.zeros(40 * BLOCK_WORDS, dtype=np.uint32)
    terms = [MaskTerm(SecretBytes(bytes([i]) * 32), negative=bool(i % 2)) for i in range(6)]
    tracemalloc.start()
    add_masks(vector, terms)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2 * 4 * BLOCK_WORDS
    assert peak_bytes < vector.nbytes // 8


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(4, dtype=np.int32),
        np.zeros(4, dtype=np.uint64),
        np.zeros(4, dtype=np.float32),
        np.zeros((2, 2), dtype=np.uint32),
        np.zeros(0, dtype=np.uint32),
        np.zeros(8, dtype=np.uint32)[::2],
        np.zeros(4, dtype=np.dtype(np.uint32).newbyteorder()),
    ],
    ids=["int32", "uint64", "float32", "matrix", "empty", "strided", "swapped"],
)
def test_only_a_plain_vector_of_ring_elements_is_masked(vector: NDArray[np.uint32]) -> None:
    with pytest.raises(ValueError, match="ring elements"):
        check_vector(vector)
    with pytest.raises(ValueError, match="ring elements"):
        add_masks(vector, [])


def test_a_read_only_vector_is_refused() -> None:
    vector = np.zeros(4, dtype=np.uint32)
    vector.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        add_masks(vector, [])


def test_a_pair_needs_two_sites_and_the_owners_secret() -> None:
    with pytest.raises(ValueError, match="two sites"):
        term("bank-a", "bank-a")
    with pytest.raises(ValueError, match="own secret"):
        pairwise_term(key_of("bank-c"), end_of("bank-a"), end_of("bank-b"), BINDING)


def test_a_peer_with_a_key_of_low_order_is_refused() -> None:
    with pytest.raises(PeerError, match="low order"):
        pairwise_term(
            key_of("bank-a"), end_of("bank-a"), PairEnd("bank-b", bytes(32), bytes(32)), BINDING
        )
