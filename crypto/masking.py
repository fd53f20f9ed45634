"""Mask vectors in Z_2^32: derived from agreed secrets, expanded in blocks, added in place.

For the cohort's sites in name order, site i uploads (Bonawitz et al. 2017, section 4)

    y_i = x_i + self_i + sum over j > i of pair_ij - sum over j < i of pair_ij   (mod 2^32)

Every mask is an AES-256-CTR stream under its own HKDF key. The key of a pair binds the round's
binding (session, round, header, cohort, parameters), both names and all keys that both announced:
two sites that were told different things derive different masks, which do not cancel. In the
hybrid suite the pair's secret is what X25519 agrees on and the halves that the two sent to each
other under ML-KEM, so that it stays secret if one of the two is broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crypto.agreement import hkdf
from crypto.codec import Digest, Message, Name, encode
from crypto.keystream import BLOCK_BYTES, KEY_BYTES, KeyStream
from crypto.ring import check_vector
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crypto.agreement import AgreementKey
    from crypto.ring import IntegerNoise

BLOCK_WORDS = BLOCK_BYTES // 4
"""Mask words made at a time, shape `(BLOCK_WORDS,)`."""


class PairContext(Message, frozen=True, tag="secure-fl.pairwise-mask.v2"):
    """What a pairwise mask's key is bound to; `low` is the lesser of the two names.

    `low_keys` and `high_keys` are the digests of what the two announced for the round.
    `from_low` and `from_high` say which of them sent a half of the pair's secret.
    """

    binding: Digest
    low: Name
    high: Name
    low_keys: Digest
    high_keys: Digest
    from_low: bool
    from_high: bool


class SelfContext(Message, frozen=True, tag="secure-fl.self-mask.v1"):
    """What a self mask's key is bound to."""

    binding: Digest
    site: Name


@dataclass(frozen=True, eq=False)
class MaskTerm:
    """One mask of a sum: its stream key and whether it is added or taken away."""

    key: SecretBytes
    negative: bool


@dataclass(frozen=True)
class PairEnd:
    """One end of a pair.

    Attributes:
        site: its name.
        public: the X25519 mask key that it announced.
        announced: the digest of all keys that it announced, 32 bytes.
        half: what it sent to the other end, 32 bytes; None if it sent nothing.
    """

    site: str
    public: bytes
    announced: bytes
    half: SecretBytes | None = None


def pairwise_key(
    secret: AgreementKey, owner: PairEnd, peer: PairEnd, binding: bytes
) -> SecretBytes:
    """Return the stream key that `owner` and `peer` share; both ends derive the same.

    Args:
        secret: the key pair behind `owner.public`.
        owner: the end whose secret is at hand.
        peer: the other end.
        binding: digest of everything the round is bound to, 32 bytes.

    Raises:
        PeerError: the peer's key is of low order.
        ValueError: the ends are one site, or `secret` is not the owner's.
    """
    if owner.site == peer.site or secret.public != owner.public:
        raise ValueError("A pairwise mask needs two sites and the owner's own secret.")
    low, high = sorted((owner, peer), key=lambda end: end.site)
    context = PairContext(
        binding,
        low.site,
        high.site,
        low.announced,
        high.announced,
        low.half is not None,
        high.half is not None,
    )
    # Each part has 32 bytes, and the context says which are there: one meaning per string.
    halves = [end.half.reveal() for end in (low, high) if end.half is not None]
    agreed = SecretBytes(b"".join([secret.shared(peer.public).reveal(), *halves]))
    return hkdf(agreed, "pairwise-mask", encode(context), KEY_BYTES)


def pairwise_term(secret: AgreementKey, owner: PairEnd, peer: PairEnd, binding: bytes) -> MaskTerm:
    """Return the pairwise mask as `owner` adds it: negative if its name is the greater.

    Raises:
        PeerError: the peer's key is of low order.
        ValueError: the ends are one site, or `secret` is not the owner's.
    """
    key = pairwise_key(secret, owner, peer, binding)
    return MaskTerm(key, negative=owner.site > peer.site)


def self_mask_key(seed: SecretBytes, site: str, binding: bytes) -> SecretBytes:
    """Return the stream key of `site`'s self mask from its 32-byte seed for this round."""
    return hkdf(seed, "self-mask", encode(SelfContext(binding, site)), KEY_BYTES)


def expand_mask(key: SecretBytes, size: int) -> NDArray[np.uint32]:
    """Return the whole mask of one stream key, uint32 of shape `(size,)`.

    For one-off use; sums go through `add_masks`, which never holds a whole mask.
    """
    return KeyStream(key).uint32(size)


def add_masks(
    vector: NDArray[np.uint32], terms: Iterable[MaskTerm], noise: IntegerNoise | None = None
) -> None:
    """Add each term's mask to `vector` in place, modulo 2^32, and `noise` if there is any.

    Works block by block, so that beside `vector`, of shape `(d,)`, it holds one block of masks,
    which stays in the processor's cache together with the block it is added to.

    Raises:
        ValueError: `vector` is not a writable, contiguous uint32 array of one dimension.
    """
    check_vector(vector)
    if not vector.flags.writeable:
        raise ValueError("Masks are added in place: the vector must be writable.")
    streams = [(KeyStream(term.key), term.negative) for term in terms]
    block = np.empty(min(BLOCK_WORDS, vector.size), dtype=np.uint32)
    for start in range(0, vector.size, BLOCK_WORDS):
        part = vector[start : start + BLOCK_WORDS]
        mask = block[: part.size]
        if noise is not None:
            # A cast to fewer bits reduces modulo 2^32, of negative integers too.
            np.add(part, noise.draw(part.size).astype(np.uint32), out=part)
        for stream, negative in streams:
            stream.fill(mask)
            if negative:
                np.subtract(part, mask, out=part)
            else:
                np.add(part, mask, out=part)
