from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto import merkle
from crypto.digests import sha256
from crypto.errors import IntegrityError
from crypto.merkle import (
    EMPTY_ROOT,
    MerkleLog,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

# The reference log of the certificate-transparency project (its merkle tree tests): eight leaves,
# the root after each, and proofs between them.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    bytes.fromhex(root)
    for root in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]
NODE_96A2 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
NODE_5F08 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
NODE_6B47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
NODE_BC1A = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
NODE_CA85 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
NODE_0EBC = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"

# Index (from 0), size, path.
INCLUSION = [
    (0, 1, []),
    (0, 8, [NODE_96A2, NODE_5F08, NODE_6B47]),
    (5, 8, [NODE_BC1A, NODE_CA85, ROOTS[4].hex()]),
    (2, 3, [ROOTS[2].hex()]),
    (1, 5, [ROOTS[1].hex(), NODE_5F08, NODE_BC1A]),
]
CONSISTENCY = [
    (1, 1, []),
    (1, 8, [NODE_96A2, NODE_5F08, NODE_6B47]),
    (6, 8, [NODE_0EBC, NODE_CA85, ROOTS[4].hex()]),
    (2, 5, [NODE_5F08, NODE_BC1A]),
]
WRONG = sha256(b"somewhere else")


def _log(size: int) -> MerkleLog:
    return MerkleLog(b"leaf %d" % index for index in range(size))


# The naive twin: RFC 6962 section 2.1, word for word.


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    k = naive_split(len(leaves))
    return sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:]))


def naive_split(n: int) -> int:
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(m: int, leaves: list[bytes], *, complete: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if complete else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if m <= k:
        return [*naive_subproof(m, leaves[:k], complete=complete), naive_root(leaves[k:])]
    return [*naive_subproof(m - k, leaves[k:], complete=False), naive_root(leaves[:k])]


def test_the_roots_are_those_of_certificate_transparency() -> None:
    log = MerkleLog()
    assert log.root() == ROOTS[0] == EMPTY_ROOT
    for index, leaf in enumerate(LEAVES):
        assert log.append(leaf) == index
        assert log.root() == ROOTS[index + 1]
    assert [log.root_at(size) for size in range(9)] == ROOTS


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_inclusion_proofs_are_those_of_certificate_transparency(
    index: int, size: int, path: list[str]
) -> None:
    proof = MerkleLog(LEAVES).inclusion_proof(index, size)
    assert [each.hex() for each in proof] == path
    verify_inclusion(LEAVES[index], index, size, proof, ROOTS[size])
    _refuses_wrong_inclusion(LEAVES[index], index, size, list(proof), ROOTS[size])


@pytest.mark.parametrize(("old", "new", "path"), CONSISTENCY)
def test_consistency_proofs_are_those_of_certificate_transparency(
    old: int, new: int, path: list[str]
) -> None:
    proof = MerkleLog(LEAVES).consistency_proof(old, new)
    assert [each.hex() for each in proof] == path
    verify_consistency(old, ROOTS[old], new, ROOTS[new], proof)
    if proof:
        _refuses_wrong_consistency(old, ROOTS[old], new, ROOTS[new], list(proof))


def test_the_example_of_rfc_6962_section_2_1_3() -> None:
    """Its tree of seven leaves, by the names of its nodes; `right` is the one called l."""
    log = MerkleLog(LEAVES[:7])
    a, b, c, d, e, f, j = (leaf_hash(leaf) for leaf in LEAVES[:7])
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, right = node_hash(g, h), node_hash(i, j)
    assert log.root() == node_hash(k, right) == ROOTS[7]
    assert log.inclusion_proof(0, 7) == (b, h, right)
    assert log.inclusion_proof(3, 7) == (c, g, right)
    assert log.inclusion_proof(4, 7) == (f, j, k)
    assert log.inclusion_proof(6, 7) == (i, k)
    assert log.consistency_proof(3, 7) == (c, d, g, right)
    assert log.consistency_proof(4, 7) == (right,)
    assert log.consistency_proof(6, 7) == (i, j, k)
    assert (log.root_at(3), log.root_at(4)) == (node_hash(g, c), k)
    assert log.root_at(6) == node_hash(k, i)


def _refuses_wrong_inclusion(
    leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes
) -> None:
    """Every mutation that the reference tests make."""
    wrong = [
        (leaf, index - 1, size, proof, root),
        (leaf, index + 1, size, proof, root),
        (leaf, index ^ 2, size, proof, root),
        (leaf, index, size * 2, proof, root),
        (leaf, index, size // 2, proof, root),
        (leaf + b"\0", index, size, proof, root),
        (leaf, index, size, proof, EMPTY_ROOT),
        (leaf, index, size, [*proof, b""], root),
        (leaf, index, size, [*proof, root], root),
        (leaf, index, size, [b"", *proof], root),
        (leaf, index, size, [root, *proof], root),
    ]
    wrong += [(leaf, index, size, proof[:cut], root) for cut in range(len(proof))]
    wrong += [
        (leaf, index, size, [*proof[:at], WRONG, *proof[at + 1 :]], root)
        for at in range(len(proof))
    ]
    for arguments in wrong:
        with pytest.raises(IntegrityError):
            verify_inclusion(*arguments)


def _refuses_wrong_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]
) -> None:
    wrong = [
        (old - 1, old_root, new, new_root, proof),
        (old + 1, old_root, new, new_root, proof),
        (old ^ 2, old_root, new, new_root, proof),
        (old, old_root, new * 2, new_root, proof),
        (old, old_root, new // 2, new_root, proof),
        (old, WRONG, new, new_root, proof),
        (old, old_root, new, WRONG, proof),
        (old, b"WrongRoot", new, new_root, proof),
        (old, new_root, new, old_root, proof),
        (new, new_root, old, old_root, proof),
        (old, old_root, new, new_root, [*proof, b""]),
        (old, old_root, new, new_root, [*proof, old_root]),
        (old, old_root, new, new_root, [b"", *proof]),
        (old, old_root, new, new_root, [proof[0], *proof]),
    ]
    wrong += [(old, old_root, new, new_root, proof[:cut]) for cut in range(len(proof))]
    wrong += [
        (old, old_root, new, new_root, [*proof[:at], WRONG, *proof[at + 1 :]])
        for at in range(len(proof))
    ]
    for arguments in wrong:
        with pytest.raises(IntegrityError):
            verify_consistency(*arguments)


SIZES = 40


def test_every_root_and_proof_up_to_forty_leaves_is_the_naive_one() -> None:
    leaves = [b"leaf %d" % index for index in range(SIZES)]
    log = _log(SIZES)
    for size in range(SIZES + 1):
        assert log.root_at(size) == naive_root(leaves[:size])
    for size in range(1, SIZES + 1, 3):
        for index in range(size):
            path = list(log.inclusion_proof(index, size))
            assert path == naive_path(index, leaves[:size])
            old = index + 1
            proof = list(log.consistency_proof(old, size))
            assert proof == naive_subproof(old, leaves[:size], complete=True)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.data())
def test_every_proof_verifies_and_no_altered_one_does(size: int, data: st.DataObject) -> None:
    log = _log(size)
    now = data.draw(st.integers(1, size))
    index = data.draw(st.integers(0, now - 1))
    root = log.root_at(now)
    path = list(log.inclusion_proof(index, now))
    leaf = b"leaf %d" % index
    verify_inclusion(leaf, index, now, path, root)
    assert len(path) <= (now - 1).bit_length()
    _refuses_wrong_inclusion(leaf, index, now, path, root)
    proof = list(log.consistency_proof(index + 1, now))
    verify_consistency(index + 1, log.root_at(index + 1), now, root, proof)
    if proof:
        _refuses_wrong_consistency(index + 1, log.root_at(index + 1), now, root, proof)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 60), st.data())
def test_a_log_with_a_rewritten_past_is_found(size: int, data: st.DataObject) -> None:
    seen = data.draw(st.integers(1, size))
    honest = _log(seen)
    rewritten = data.draw(st.integers(0, seen - 1))
    other = MerkleLog(
        b"another" if index == rewritten else b"leaf %d" % index for index in range(size)
    )
    # The log's owner answers with whatever proof it can make.
    proof = other.consistency_proof(seen, size)
    with pytest.raises(IntegrityError, match="rewritten"):
        verify_consistency(seen, honest.root(), size, other.root(), proof)
    with pytest.raises(IntegrityError, match="not proved"):
        verify_inclusion(
            b"leaf %d" % rewritten,
            rewritten,
            size,
            other.inclusion_proof(rewritten, size),
            other.root(),
        )


def test_every_bit_of_a_proof_counts() -> None:
    log = _log(7)
    path, proof = list(log.inclusion_proof(2, 7)), list(log.consistency_proof(3, 7))
    for at in range(len(path)):
        for bit in range(256):
            with pytest.raises(IntegrityError):
                verify_inclusion(b"leaf 2", 2, 7, _flipped(path, at, bit), log.root())
    for at in range(len(proof)):
        for bit in range(256):
            with pytest.raises(IntegrityError):
                verify_consistency(3, log.root_at(3), 7, log.root(), _flipped(proof, at, bit))


def _flipped(hashes: list[bytes], at: int, bit: int) -> list[bytes]:
    altered = bytearray(hashes[at])
    altered[bit // 8] ^= 1 << (bit % 8)
    return [*hashes[:at], bytes(altered), *hashes[at + 1 :]]


def test_an_empty_log_is_extended_by_every_log() -> None:
    log = _log(5)
    verify_consistency(0, EMPTY_ROOT, 0, EMPTY_ROOT, [])
    verify_consistency(0, EMPTY_ROOT, 5, log.root(), log.consistency_proof(0, 5))
    for arguments in (
        (0, WRONG, 5, log.root(), ()),
        (0, EMPTY_ROOT, 5, log.root(), (WRONG,)),
        (0, EMPTY_ROOT, 0, log.root(), ()),
        (0, b"", 5, log.root(), ()),
    ):
        with pytest.raises(IntegrityError):
            verify_consistency(*arguments)


def test_a_log_extends_itself_only_under_the_same_root_and_without_a_proof() -> None:
    root = _log(5).root()
    verify_consistency(5, root, 5, root, [])
    with pytest.raises(IntegrityError):
        verify_consistency(5, root, 5, WRONG, [])
    with pytest.raises(IntegrityError):
        verify_consistency(5, root, 5, root, [root])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 1), (2, 1), (0, -1), (-1, 0)])
def test_places_outside_the_log_are_refused(index: int, size: int) -> None:
    for root in (EMPTY_ROOT, leaf_hash(b""), b""):
        with pytest.raises(IntegrityError):
            verify_inclusion(b"", index, size, [], root)
    log = _log(1)
    with pytest.raises(IntegrityError):
        log.inclusion_proof(index, size)


def test_a_log_does_not_speak_of_leaves_it_does_not_have() -> None:
    log = _log(4)
    for call in (
        lambda: log.root_at(5),
        lambda: log.root_at(-1),
        lambda: log.inclusion_proof(4, 5),
        lambda: log.consistency_proof(2, 5),
        lambda: log.consistency_proof(4, 3),
        lambda: log.consistency_proof(-1, 3),
    ):
        with pytest.raises(IntegrityError):
            call()


def test_without_the_prefixes_a_node_passes_for_a_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = leaf_hash(b"a") + leaf_hash(b"b")
    log = MerkleLog([b"a", b"b", b"c", b"d"])
    with pytest.raises(IntegrityError):
        verify_inclusion(pair, 0, 2, log.inclusion_proof(0, 4)[1:], log.root())
    monkeypatch.setattr(merkle, "leaf_hash", sha256)
    monkeypatch.setattr(merkle, "node_hash", lambda left, right: sha256(left + right))
    log = MerkleLog([b"a", b"b", b"c", b"d"])
    # Nobody appended these 64 bytes, and they are proved to be in a log of two.
    forged = sha256(b"a") + sha256(b"b")
    verify_inclusion(forged, 0, 2, log.inclusion_proof(0, 4)[1:], log.root())


def test_without_the_length_check_a_proof_could_move_bytes_between_hashes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # node(left, right) hashes their concatenation: (31 + 33 bytes) hashes like (32 + 32).
    log = _log(2)
    left, right = leaf_hash(b"leaf 0"), leaf_hash(b"leaf 1")
    assert node_hash(left[:31], left[31:] + right) == log.root()
    with pytest.raises(IntegrityError):
        verify_consistency(1, left[:31], 2, log.root(), [left[31:] + right])
    monkeypatch.setattr(merkle, "_are_hashes", lambda _values: True)
    verify_consistency(1, left[:31], 2, log.root(), [left[31:] + right])


def test_appending_hashes_about_once_a_leaf(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = 0
    honest = node_hash

    def counting(left: bytes, right: bytes) -> bytes:
        nonlocal counted
        counted += 1
        return honest(left, right)

    monkeypatch.setattr(merkle, "node_hash", counting)
    log = _log(1024)
    assert counted == 1023
    log.root()
    assert counted == 1023
    log.append(b"one more")
    log.root()
    assert counted == 1024
    log.inclusion_proof(700, 1025)
    assert counted < 1024 + 11 * 11
