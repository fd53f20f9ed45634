"""An append-only Merkle log with the hashing and the proofs of RFC 6962.

A leaf's hash is SHA-256(0x00 || leaf), a node's SHA-256(0x01 || left || right), so no leaf can
pass for a node. Proofs are verified by the algorithms of RFC 9162, sections 2.1.3.2 and 2.1.4.2
(the same trees; RFC 6962 leaves them to the reader).
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from crypto.digests import sha256
from crypto.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EMPTY_ROOT: Final = sha256(b"")
"""The root of a log without leaves (RFC 6962 section 2.1)."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of a leaf's content."""
    return sha256(b"\x00" + leaf)


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right)


class MerkleLog:
    """A log of leaves that only grows. It keeps hashes, not leaves: 64 bytes for each.

    Formal guarantees: `append` costs one hash on average and at most log2(n) + 1; roots and
    proofs of any past size cost O(log^2 n), from stored hashes of complete subtrees.
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> int:
        """Add a leaf and return its index, from 0."""
        index = len(self)
        level, value = 0, leaf_hash(leaf)
        self._levels[0].append(value)
        # levels[k][i] is the root of leaves i * 2^k .. (i + 1) * 2^k - 1, once they all exist.
        while len(self._levels[level]) % 2 == 0:
            value = node_hash(self._levels[level][-2], value)
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(value)
        return index

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return self.root_at(len(self))

    def root_at(self, size: int) -> bytes:
        """Return the root over the first `size` leaves.

        Raises:
            IntegrityError: the log has fewer.
        """
        self._check_size(size)
        return self._subtree(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of leaf `index` in the log's first `size` leaves.

        PATH(m, D[n]) of RFC 6962 section 2.1.1, from the leaf upwards.

        Raises:
            IntegrityError: the log has fewer leaves than `size`, or `index` is not among them.
        """
        self._check_size(size)
        if not 0 <= index < size:
            raise IntegrityError(
                f"Leaf {index} was asked for among the log's first {size}: there is no such leaf."
            )
        path: list[bytes] = []
        low, high = 0, size
        while high - low > 1:
            middle = low + _split(high - low)
            if index < middle:
                path.append(self._subtree(middle, high))
                high = middle
            else:
                path.append(self._subtree(low, middle))
                low = middle
        return tuple(reversed(path))

    def consistency_proof(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Return the proof that the first `old_size` leaves are a prefix of `new_size` leaves.

        PROOF(m, D[n]) of RFC 6962 section 2.1.2; empty where `old_size` is 0.

        Raises:
            IntegrityError: the log has fewer leaves than `new_size`, or `old_size` is larger.
        """
        self._check_size(new_size)
        if not 0 <= old_size <= new_size:
            raise IntegrityError(
                f"A log of {new_size} leaves was asked to extend one of {old_size}: a log never "
                "shrinks."
            )
        if old_size in {0, new_size}:
            return ()
        path: list[bytes] = []
        low, high = 0, new_size
        while high > old_size:
            middle = low + _split(high - low)
            if old_size <= middle:
                path.append(self._subtree(middle, high))
                high = middle
            else:
                path.append(self._subtree(low, middle))
                low = middle
        if low > 0:
            # The verifier does not know this subtree's root; where low is 0 it is the old root.
            path.append(self._subtree(low, high))
        return tuple(reversed(path))

    def _subtree(self, low: int, high: int) -> bytes:
        """Return MTH(D[low:high]) for a range that RFC 6962's splitting reaches."""
        width = high - low
        level = width.bit_length() - 1
        if width == 1 << level:
            return self._levels[level][low >> level]
        middle = low + _split(width)
        return node_hash(self._subtree(low, middle), self._subtree(middle, high))

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= len(self):
            raise IntegrityError(
                f"The log has {len(self)} leaves and {size} were asked for: the record is "
                "incomplete, or the request is about another log."
            )


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Return if `leaf` is number `index` of the `size` leaves under `root`.

    RFC 9162 section 2.1.3.2.

    Raises:
        IntegrityError: `proof` does not prove it.
    """
    if not 0 <= index < size or not _are_hashes([*proof, root]):
        raise _not_included(index, size)
    position, last = index, size - 1
    value = leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            raise _not_included(index, size)
        if position & 1 or position == last:
            value = node_hash(sibling, value)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            value = node_hash(value, sibling)
        position, last = position >> 1, last >> 1
    if last != 0 or not hmac.compare_digest(value, root):
        raise _not_included(index, size)


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if the log under `new_root` extends the log under `old_root`.

    RFC 9162 section 2.1.4.2. An empty log is extended by every log, without a proof.

    Raises:
        IntegrityError: `proof` does not prove it.
    """
    if not 0 <= old_size <= new_size or not _are_hashes([*proof, old_root, new_root]):
        raise _not_consistent(old_size, new_size)
    if old_size == 0 and old_root != EMPTY_ROOT:
        raise _not_consistent(old_size, new_size)
    if old_size in {0, new_size}:
        if proof or (old_size == new_size and not hmac.compare_digest(old_root, new_root)):
            raise _not_consistent(old_size, new_size)
        return
    if not proof:
        raise _not_consistent(old_size, new_size)
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        # A complete old tree is itself a node of the new one, so the proof leaves it out.
        path.insert(0, old_root)
    old, new = _roots_from(path, old_size, new_size)
    if not (hmac.compare_digest(old, old_root) and hmac.compare_digest(new, new_root)):
        raise _not_consistent(old_size, new_size)


def _roots_from(path: list[bytes], old_size: int, new_size: int) -> tuple[bytes, bytes]:
    """Return the old and the new root that a consistency path leads to."""
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _not_consistent(old_size, new_size)
        if position & 1 or position == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise _not_consistent(old_size, new_size)
    return old, new


def _split(width: int) -> int:
    """Return the largest power of two below `width`, which is at least 2."""
    return 1 << ((width - 1).bit_length() - 1)


def _are_hashes(values: Iterable[bytes]) -> bool:
    # A node of another length could shift bytes between its neighbours under one hash.
    return all(len(value) == len(EMPTY_ROOT) for value in values)


def _not_included(index: int, size: int) -> IntegrityError:
    return IntegrityError(
        f"Leaf {index} is not proved to be in the log of {size}: the log was altered, or the "
        "proof belongs to another entry. Do not rely on it; keep both for the auditor."
    )


def _not_consistent(old_size: int, new_size: int) -> IntegrityError:
    return IntegrityError(
        f"The log of {new_size} leaves does not extend the log of {old_size} that was seen "
        "before: its past was rewritten, or it was split. Stop, and keep both for the auditor."
    )
