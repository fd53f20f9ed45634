"""What hostile parties of a homomorphic sum try: each attempt is refused and leaves no trace."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tenseal
from homomorphic_parties import SESSION, Parties, binding_of, key_for, vectors_for

from crypto.codec import decode, encode
from crypto.errors import IntegrityError, PeerError
from crypto.homomorphic import (
    HomomorphicCoordinator,
    HomomorphicSite,
    Scheme,
    SumKey,
    SumPlan,
    SumTerms,
    public_context,
)
from crypto.homomorphic_messages import PublicContext, SumBlock, UploadBlock
from crypto.homomorphic_seal import SealAdder, SealKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

THREE_BLOCKS = SumPlan(2 * 4096 + 5, 2**16, 3)
TWO_MODULI = SumPlan(2 * 4096 + 5, 2**60, 3)
CKKS = SumPlan(2 * 4096 + 5, 2**34, 3, Scheme.CKKS)
PLANS = [THREE_BLOCKS, TWO_MODULI, CKKS]
NAMES = ["bfv", "two moduli", "ckks"]


def block_of(parties: Parties, data: bytes) -> UploadBlock:
    return decode(UploadBlock, data, limit_bytes=parties.plan.block_limit_bytes)


def altered(parties: Parties, data: bytes, ciphertext: bytes) -> bytes:
    block = block_of(parties, data)
    rest = block.ciphertexts[1:]
    return encode(UploadBlock(block.binding, block.site, block.index, (ciphertext, *rest)))


def shortened(parties: Parties, blocks: list[bytes]) -> list[bytes]:
    ciphertext = block_of(parties, blocks[-1]).ciphertexts[0]
    return [*blocks[:-1], altered(parties, blocks[-1], ciphertext[:-9])]


def bombed(parties: Parties, blocks: list[bytes]) -> list[bytes]:
    return [*blocks[:-1], altered(parties, blocks[-1], bytes(parties.plan.block_limit_bytes))]


def random_words(parties: Parties, blocks: list[bytes]) -> list[bytes]:
    noise = np.random.default_rng(0).bytes(40_000)
    return [*blocks[:-1], altered(parties, blocks[-1], noise)]


def of_another_round(parties: Parties, blocks: list[bytes]) -> list[bytes]:
    vector = np.zeros(parties.plan.values, dtype=np.int64)
    late = parties.upload("bank-b", vector, binding_of(parties.names, 1))
    return [*blocks[:-1], late[-1]]


def of_another_header(parties: Parties, blocks: list[bytes]) -> list[bytes]:
    vector = np.zeros(parties.plan.values, dtype=np.int64)
    binding = replace(parties.binding, header_digest=bytes(32))
    return [blocks[0], *parties.upload("bank-b", vector, binding)[1:]]


def with_more_ciphertexts(parties: Parties, blocks: list[bytes]) -> list[bytes]:
    block = block_of(parties, blocks[-1])
    count = 3 - len(block.ciphertexts)
    ciphertexts = (block.ciphertexts * 2)[:count]
    return [*blocks[:-1], encode(UploadBlock(block.binding, block.site, block.index, ciphertexts))]


UPLOADS: dict[str, Callable[[Parties, list[bytes]], list[bytes]]] = {
    "swapped": lambda _, blocks: [blocks[0], blocks[2], blocks[1]],
    "doubled": lambda _, blocks: [blocks[0], blocks[0], blocks[2]],
    "too few": lambda _, blocks: blocks[:2],
    "none": lambda *_: [],
    "too many": lambda _, blocks: [*blocks, blocks[-1]],
    "empty": lambda _, blocks: [*blocks[:2], b""],
    "cut": lambda _, blocks: [*blocks[:2], blocks[2][:-1]],
    "longer": lambda _, blocks: [*blocks[:2], blocks[2] + b"\0"],
    "garbage": lambda _, blocks: [*blocks[:2], bytes(len(blocks[2]))],
    "huge": lambda _, blocks: [*blocks[:2], bytes(10_000_000)],
    "cut ciphertext": shortened,
    "long ciphertext": bombed,
    "garbage ciphertext": random_words,
    "another round": of_another_round,
    "another header": of_another_header,
    "another number of moduli": with_more_ciphertexts,
    "copied": lambda parties, _: parties.upload("bank-a", vectors_for(parties.plan, 1)[0]),
}


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
@pytest.mark.parametrize("attack", UPLOADS.values(), ids=UPLOADS)
def test_a_bad_upload_is_refused_by_name_and_leaves_no_trace_in_the_sum(
    plan: SumPlan, attack: Callable[[Parties, list[bytes]], list[bytes]]
) -> None:
    first, second, third = vectors_for(plan, 3)
    parties = Parties.of(plan)
    bad = attack(parties, parties.upload("bank-b", second))
    for before in range(2):
        with pytest.raises(PeerError, match=r"^bank-b") as caught:
            parties.coordinator.add("bank-b", bad)
        assert len(str(caught.value)) < 600
        if not before:
            parties.coordinator.add("bank-a", parties.upload("bank-a", first))
    assert parties.coordinator.survivors() == ("bank-a",)
    # The same site may still send what belongs there.
    parties.coordinator.add("bank-b", parties.upload("bank-b", second))
    parties.coordinator.add("bank-c", parties.upload("bank-c", third))
    assert np.array_equal(parties.opened(), first + second + third)


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_an_upload_that_cancels_the_secret_part_is_taken_away_again(plan: SumPlan) -> None:
    first, second, third = vectors_for(plan, 3)
    parties = Parties.of(plan)
    upload = parties.upload("bank-a", first)
    parties.coordinator.add("bank-a", upload)
    block = block_of(parties, upload[2])
    honest = parties.upload("bank-b", second)
    negated = []
    pairs = zip(block.ciphertexts, block_of(parties, honest[2]).ciphertexts, strict=True)
    for parameters, (data, other) in zip(plan.parameters, pairs, strict=True):
        adder = SealAdder(parameters)
        ciphertext = adder.load(other)
        for taken in (data, other):
            adder.subtract(ciphertext, adder.load(taken))
        negated.append(adder.dump(ciphertext))
    # With two moduli, the first is honest and already added when the second one fails.
    mixed = (*block_of(parties, honest[2]).ciphertexts[:-1], negated[-1])
    lie = encode(UploadBlock(block.binding, "bank-b", 2, mixed))
    with pytest.raises(PeerError, match=r"^bank-b.*cancels the secret part"):
        parties.coordinator.add("bank-b", [*honest[:2], lie])
    parties.coordinator.add("bank-c", parties.upload("bank-c", third))
    assert np.array_equal(parties.opened(), first + third)


def test_strangers_and_repeats_are_refused() -> None:
    parties = Parties.of(SumPlan(3, 5, 3))
    upload = parties.upload("bank-a", np.ones(3, dtype=np.int64))
    with pytest.raises(PeerError, match="bank-z is not in this round's cohort"):
        parties.coordinator.add("bank-z", upload)
    parties.coordinator.add("bank-a", upload)
    with pytest.raises(PeerError, match="bank-a uploaded twice"):
        parties.coordinator.add("bank-a", upload)
    with pytest.raises(PeerError, match="copied upload"):
        parties.coordinator.add("bank-b", upload)
    with pytest.raises(PeerError, match="is not in this round's cohort"):
        parties.site("bank-z").encrypt(parties.binding, np.ones(3, dtype=np.int64))


def test_a_site_with_another_key_is_found_before_it_is_added() -> None:
    plan = SumPlan(3, 5, 3)
    parties = Parties.of(plan)
    other = SumKey.generate(plan)
    terms = SumTerms(SESSION, plan, other.digest)
    site = HomomorphicSite("bank-b", terms, other, first_round=0)
    upload = list(site.encrypt(parties.binding, np.ones(3, dtype=np.int64)))
    with pytest.raises(PeerError, match=r"^bank-b.*another key"):
        parties.coordinator.add("bank-b", upload)


@pytest.mark.parametrize("plan", [SumPlan(1, 5, 3), SumPlan(4096, 2**16, 3), *PLANS], ids=str)
def test_a_site_that_lies_about_its_key_makes_garbage_that_is_found(plan: SumPlan) -> None:
    parties = Parties.of(plan)
    other = SumKey.generate(plan)
    vectors = vectors_for(plan, 2)
    liar = HomomorphicSite("bank-b", SumTerms(SESSION, plan, other.digest), other, first_round=0)
    liar._terms = parties.terms
    parties.coordinator.add("bank-a", parties.upload("bank-a", vectors[0]))
    parties.coordinator.add("bank-b", list(liar.encrypt(parties.binding, vectors[1])))
    with pytest.raises(PeerError, match=r"beyond|quarter of a step"):
        parties.opened()


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_one_number_too_large_is_found(plan: SumPlan) -> None:
    parties = Parties.of(plan)
    vectors: list[NDArray[np.int64]] = vectors_for(plan, 2)
    liar = parties.site("bank-b")
    liar._terms = replace(parties.terms, plan=replace(plan, largest=plan.largest + 1))
    vectors[1][0] = plan.largest + 1
    blocks = liar._encrypted(parties.terms.bind(parties.binding), vectors[1])
    parties.coordinator.add("bank-a", parties.upload("bank-a", vectors[0]))
    parties.coordinator.add("bank-b", list(blocks))
    with pytest.raises(PeerError, match=f"beyond {2 * plan.largest}"):
        parties.opened()


def test_something_in_the_unused_slots_is_found() -> None:
    plan = SumPlan(3, 5, 2)
    parties = Parties.of(plan, 2)
    bound = parties.terms.bind(parties.binding)
    hidden = np.zeros(4096, dtype=np.int64)
    hidden[3] = 1
    (ciphertext,) = (part.encrypt(hidden) for part in parties.key.parts)
    parties.coordinator.add("bank-a", parties.upload("bank-a", np.ones(3, dtype=np.int64)))
    parties.coordinator.add("bank-b", [encode(UploadBlock(bound, "bank-b", 0, (ciphertext,)))])
    with pytest.raises(PeerError, match="beyond 10"):
        parties.opened()


# -- a sum on its way back -------------------------------------------------------------------------


def summed(parties: Parties) -> tuple[tuple[str, ...], list[bytes]]:
    for name, vector in zip(parties.names, vectors_for(parties.plan, 3), strict=True):
        parties.coordinator.add(name, parties.upload(name, vector))
    survivors = parties.coordinator.survivors()
    return survivors, list(parties.coordinator.close())


SUMS: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "swapped": lambda blocks: [blocks[1], blocks[0], blocks[2]],
    "doubled": lambda blocks: [blocks[0], blocks[0], blocks[2]],
    "too few": lambda blocks: blocks[:2],
    "none": lambda _: [],
    "too many": lambda blocks: [*blocks, blocks[-1]],
    "cut": lambda blocks: [*blocks[:2], blocks[2][:-7]],
    "garbage": lambda blocks: [*blocks[:2], bytes(len(blocks[2]))],
    "huge": lambda blocks: [*blocks[:2], bytes(10_000_000)],
}


@pytest.mark.parametrize("attack", SUMS.values(), ids=SUMS)
def test_a_sum_that_was_altered_is_refused(
    attack: Callable[[list[bytes]], list[bytes]],
) -> None:
    parties = Parties.of(THREE_BLOCKS)
    survivors, blocks = summed(parties)
    with pytest.raises(PeerError, match=r"not used|not read"):
        parties.site("bank-a").decrypt(parties.binding, survivors, attack(blocks))


def test_an_upload_is_no_sum_as_it_stands_but_a_lying_coordinator_can_make_it_one() -> None:
    """The assumption on the coordinator is needed: this is what happens without it."""
    parties = Parties.of(SumPlan(3, 5, 3))
    upload = parties.upload("bank-a", np.array([1, 2, 3], dtype=np.int64))
    survivors = parties.names
    with pytest.raises(PeerError, match="not a SumBlock"):
        parties.site("bank-b").decrypt(parties.binding, survivors, upload)
    forged = SumBlock(
        parties.terms.bind_sum(parties.binding, survivors),
        0,
        block_of(parties, upload[0]).ciphertexts,
    )
    got = parties.site("bank-b").decrypt(parties.binding, survivors, [encode(forged)])
    assert got.tolist() == [1, 2, 3]


def test_one_site_with_the_coordinators_bytes_reads_another_site() -> None:
    """The collusion assumption, shown: any holder of the key opens any upload."""
    parties = Parties.of(SumPlan(3, 5, 3))
    upload = parties.upload("bank-a", np.array([-5, 2, 3], dtype=np.int64))
    (ciphertext,) = block_of(parties, upload[0]).ciphertexts
    assert key_for(parties.plan).parts[0].decrypt(ciphertext)[:3].tolist() == [-5, 2, 3]


def test_other_survivors_than_were_summed_are_refused() -> None:
    parties = Parties.of(THREE_BLOCKS)
    _, blocks = summed(parties)
    for survivors, words in [
        (("bank-a", "bank-b"), "another one"),
        (("bank-b", "bank-a", "bank-c"), "unsorted"),
        (("bank-a", "bank-a", "bank-c"), "doubled"),
        (("bank-a", "bank-z"), "outside the cohort"),
        (("bank-a",), "own vector"),
        ((), "0 sites"),
    ]:
        with pytest.raises(PeerError, match=words):
            parties.site("bank-a").decrypt(parties.binding, survivors, blocks)


def test_a_round_is_decrypted_once_even_if_it_failed() -> None:
    parties = Parties.of(THREE_BLOCKS)
    survivors, blocks = summed(parties)
    site = parties.site("bank-a")
    with pytest.raises(PeerError, match="ended after 2"):
        site.decrypt(parties.binding, survivors, blocks[:2])
    with pytest.raises(PeerError, match="decrypted before"):
        site.decrypt(parties.binding, survivors, blocks)
    restored = HomomorphicSite("bank-a", parties.terms, parties.key, first_round=1)
    with pytest.raises(PeerError, match="decrypted before"):
        restored.decrypt(parties.binding, survivors, blocks)


# -- the coordinator -------------------------------------------------------------------------------


def full_context(plan: SumPlan, **saved: bool) -> bytes:
    """What somebody sends who serialises a whole TenSEAL context."""
    (part,) = plan.parameters
    context = tenseal.context(
        tenseal.SCHEME_TYPE.BFV, part.degree, part.plain_modulus, list(part.coefficient_bits)
    )
    context.generate_galois_keys()
    none = dict.fromkeys(("public_key", "secret_key", "galois_keys", "relin_keys"), False)
    chosen = {f"save_{name}": value for name, value in (none | saved).items()}
    return encode(PublicContext((context.serialize(**chosen),)))


@pytest.mark.parametrize("others", [False, True])
def test_a_secret_key_is_never_taken_by_the_coordinator(others: bool) -> None:  # noqa: FBT001 - pytest passes it
    plan = SumPlan(3, 5, 3)
    terms = SumTerms(SESSION, plan, key_for(plan).digest)
    context = full_context(plan, secret_key=True, public_key=others, relin_keys=others)
    with pytest.raises(IntegrityError, match="holds a secret key"):
        HomomorphicCoordinator(terms, context, first_round=0)


@pytest.mark.parametrize("name", ["public_key", "galois_keys", "relin_keys"])
def test_keys_that_adding_does_not_need_are_refused(name: str) -> None:
    plan = SumPlan(3, 5, 3)
    terms = SumTerms(SESSION, plan, key_for(plan).digest)
    with pytest.raises(IntegrityError, match="holds keys"):
        HomomorphicCoordinator(terms, full_context(plan, **{name: True}), first_round=0)


def test_a_secret_key_among_two_moduli_is_found() -> None:
    terms = SumTerms(SESSION, TWO_MODULI, bytes(32))
    good = decode(PublicContext, public_context(TWO_MODULI), limit_bytes=10_000).contexts
    plan = SumPlan(3, 5, 3)
    bad = decode(PublicContext, full_context(plan, secret_key=True), limit_bytes=1 << 20).contexts
    with pytest.raises(IntegrityError, match="holds a secret key"):
        HomomorphicCoordinator(terms, encode(PublicContext((good[0], bad[0]))), first_round=0)


@pytest.mark.parametrize(
    "context",
    [
        b"",
        encode(PublicContext((b"",))),
        encode(PublicContext((b"\xff" * 50,))),
        encode(PublicContext((b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",))),
        public_context(SumPlan(3, 2**29, 3)),
        public_context(TWO_MODULI),
        public_context(CKKS),
        public_context(THREE_BLOCKS)[:-1],
        bytes(3_000_000),
    ],
    ids=["empty", "blank", "noise", "varint", "wide", "two", "ckks", "cut", "huge"],
)
def test_any_other_context_is_refused(context: bytes) -> None:
    terms = SumTerms(SESSION, THREE_BLOCKS, bytes(32))
    with pytest.raises(PeerError):
        HomomorphicCoordinator(terms, context, first_round=0)


def test_nothing_that_a_coordinator_holds_can_decrypt_or_encrypt() -> None:
    parties = Parties.of(SumPlan(3, 5, 3))
    upload = parties.upload("bank-a", np.ones(3, dtype=np.int64))
    parties.coordinator.add("bank-a", upload)
    for adder in parties.coordinator._adders:
        assert isinstance(adder, SealAdder)
        context = adder._context
        assert not context.has_secret_key()
        assert not context.has_relin_keys()
        assert not context.has_galois_keys()
        with pytest.raises(ValueError, match="secret_key"):
            adder.load(block_of(parties, upload[0]).ciphertexts[0]).vector.decrypt()
        with pytest.raises(ValueError, match="encryption"):
            tenseal.bfv_vector(context, [1, 2, 3])
    assert not hasattr(parties.coordinator, "__dict__")
    with pytest.raises(AttributeError):
        parties.coordinator.key = key_for(parties.plan)  # type: ignore[attr-defined]
    for act in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match="not pickled"):
            act(parties.coordinator)


def test_the_coordinators_module_knows_no_key_type() -> None:
    module = __import__("crypto.homomorphic_coordinator", fromlist=["*"])
    assert not {SealKey, SumKey, HomomorphicSite} & {
        value for value in vars(module).values() if isinstance(value, type)
    }


def test_order_is_kept() -> None:
    plan = SumPlan(3, 5, 3)
    parties = Parties.of(plan)
    ones = np.ones(3, dtype=np.int64)
    parties.coordinator.add("bank-a", parties.upload("bank-a", ones))
    with pytest.raises(PeerError, match="over 1 sites was refused"):
        parties.coordinator.close()
    parties.coordinator.add("bank-b", parties.upload("bank-b", ones))
    assert parties.opened().tolist() == [2, 2, 2]
    for act in (parties.coordinator.survivors, parties.coordinator.close):
        with pytest.raises(PeerError, match="No round is under way"):
            act()
    with pytest.raises(PeerError, match="No round is under way"):
        parties.coordinator.add("bank-c", [])
    with pytest.raises(PeerError, match="summed before"):
        parties.coordinator.begin(parties.binding)


def test_a_cohort_beyond_the_plan_is_refused_on_both_sides() -> None:
    parties = Parties.of(SumPlan(3, 5, 2), 2)
    binding = binding_of(("bank-a", "bank-b", "bank-c"), 1)
    with pytest.raises(PeerError, match="3 sites where the sum is planned for 2"):
        parties.coordinator.begin(binding)
    with pytest.raises(PeerError, match="could wrap"):
        parties.site("bank-a").encrypt(binding, np.ones(3, dtype=np.int64))
