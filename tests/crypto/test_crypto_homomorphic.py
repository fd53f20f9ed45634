"""Homomorphic sums between honest parties: exact, streamed, for every range and both schemes."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from homomorphic_parties import SESSION, Parties, binding_of, key_for, vectors_for
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.codec import encode
from crypto.errors import ConfigError, PeerError
from crypto.homomorphic import (
    HomomorphicCoordinator,
    HomomorphicSite,
    Scheme,
    SumKey,
    SumPlan,
    SumTerms,
    public_context,
)
from crypto.homomorphic_site import KeyRecord
from crypto.secrets import SecretBytes

LARGEST = {"20 bits": 2**16, "34 bits": 2**29, "two moduli": 2**60}
PLANS = [SumPlan(5000, largest, 3) for largest in LARGEST.values()]
PLANS.append(SumPlan(5000, 2**34, 3, Scheme.CKKS))
NAMES = [*LARGEST, "ckks"]


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_the_sum_is_the_plaintext_sum_at_both_extremes(plan: SumPlan) -> None:
    vectors = vectors_for(plan, 3)
    parties = Parties.of(plan)
    got = parties.sum_of(*vectors)
    assert got.dtype == np.int64
    naive = [sum(column) for column in zip(*(vector.tolist() for vector in vectors), strict=True)]
    assert got.tolist() == naive
    assert got[0] == plan.bound
    assert got[-1] == -plan.bound


@settings(max_examples=25, deadline=None)
@given(
    values=st.integers(1, 9000),
    largest=st.integers(0, 60).map(lambda bits: 2**bits),
    sites=st.integers(2, 4),
    seed=st.integers(0, 2**32 - 1),
    scheme=st.sampled_from(list(Scheme)),
)
def test_any_size_range_and_number_of_sites_sums_exactly(
    values: int, largest: int, sites: int, seed: int, scheme: Scheme
) -> None:
    largest = min(largest, 2**34) if scheme is Scheme.CKKS else largest
    plan = SumPlan(values, largest, 4, scheme)
    vectors = vectors_for(plan, sites, seed)
    got = Parties.of(plan, sites).sum_of(*vectors)
    assert np.array_equal(got, np.sum(vectors, axis=0))


def test_as_many_sites_as_the_noise_allows_still_sum_exactly() -> None:
    most = PLANS[1].parameters[0].most_parties
    plan = SumPlan(4096, 2**23, most)
    assert plan.parameters == PLANS[1].parameters
    vector = vectors_for(plan, 1)[0]
    got = Parties.of(plan, most).sum_of(*(vector for _ in range(most)))
    assert np.array_equal(got, most * vector)


def test_ring_residues_stand_for_signed_integers() -> None:
    plan = SumPlan(5, 2**29, 2)
    signed = np.array([-1, 0, 1, -(2**29), 2**29], dtype=np.int64)
    parties = Parties.of(plan, 2)
    for name, dtype in zip(parties.names, (np.uint32, np.int32), strict=True):
        parties.coordinator.add(name, parties.upload(name, signed.astype(dtype)))
    assert parties.opened().tolist() == (2 * signed).tolist()


def test_every_site_decrypts_the_same_sum_and_who_never_came_is_left_out() -> None:
    plan = PLANS[0]
    parties = Parties.of(plan)
    vectors = vectors_for(plan, 2)
    for name, vector in zip(parties.names, vectors, strict=False):
        parties.coordinator.add(name, parties.upload(name, vector))
    survivors = parties.coordinator.survivors()
    assert survivors == parties.names[:2]
    blocks = list(parties.coordinator.close())
    for name in parties.names:
        got = parties.site(name).decrypt(parties.binding, survivors, iter(blocks))
        assert np.array_equal(got, vectors[0] + vectors[1])


def test_rounds_follow_each_other() -> None:
    plan = SumPlan(3, 5, 2)
    parties = Parties.of(plan, 2)
    sites = {name: parties.site(name) for name in parties.names}
    for number in (0, 1, 5):
        binding = binding_of(parties.names, number)
        if number:
            parties.coordinator.begin(binding)
        for name, site in sites.items():
            vector = np.full(3, number, dtype=np.int64)
            parties.coordinator.add(name, list(site.encrypt(binding, vector)))
        survivors = parties.coordinator.survivors()
        blocks = list(parties.coordinator.close())
        for site in sites.values():
            assert site.decrypt(binding, survivors, blocks).tolist() == [2 * number] * 3


def test_equal_vectors_have_different_ciphertexts() -> None:
    parties = Parties.of(SumPlan(5, 5, 2), 2)
    zeros = np.zeros(5, dtype=np.int64)
    assert len({parties.upload("bank-a", zeros)[0] for _ in range(4)}) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_repeats_no_randomness() -> None:
    parties = Parties.of(SumPlan(5, 5, 2), 2)
    zeros = np.zeros(5, dtype=np.int64)
    parties.upload("bank-a", zeros)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.write(writing, hashlib.sha256(parties.upload("bank-a", zeros)[0]).digest())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 32)
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 32
    assert theirs != hashlib.sha256(parties.upload("bank-a", zeros)[0]).digest()


def test_a_block_of_any_content_has_about_one_length() -> None:
    parties = Parties.of(SumPlan(4096, 2**16, 2), 2)
    contents = [np.zeros(4096, dtype=np.int64), vectors_for(parties.plan, 1)[0]]
    lengths = [len(parties.upload("bank-a", content)[0]) for content in contents]
    # Compression sees pseudorandom words; what it saves does not depend on what they hide.
    assert abs(lengths[0] - lengths[1]) < 200


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_blocks_stay_within_the_declared_limit_and_the_running_sum_within_its_own(
    plan: SumPlan,
) -> None:
    parties = Parties.of(plan)
    blocks = parties.upload("bank-a", vectors_for(plan, 1)[0])
    assert len(blocks) == plan.blocks == 2
    raw = plan.running_bytes // plan.blocks
    assert raw // 2 < max(map(len, blocks)) <= plan.block_limit_bytes <= raw + 4096


def test_a_site_holds_one_block_at_a_time() -> None:
    plan = SumPlan(40 * 4096, 2**29, 2)
    parties = Parties.of(plan, 2)
    vector = vectors_for(plan, 1)[0]
    site = parties.site("bank-a")
    next(site.encrypt(parties.binding, vector))
    tracemalloc.start()
    total = sum(len(block) for block in site.encrypt(parties.binding, vector))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A block of numbers as Python objects and its bytes, of 40.
    assert peak_bytes < total // 4


def test_numbers_out_of_range_are_not_encrypted() -> None:
    parties = Parties.of(SumPlan(3, 5, 2), 2)
    site = parties.site("bank-a")
    lowest = np.iinfo(np.int64).min
    for wrong in (6, -6, lowest):
        with pytest.raises(ValueError, match="beyond 5"):
            site.encrypt(parties.binding, np.array([0, 1, wrong]))


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(3),
        np.zeros(3, dtype=np.uint64),
        np.zeros(3, dtype=np.int16),
        np.zeros(2, dtype=np.int64),
        np.zeros((3, 1), dtype=np.int64),
        np.zeros(3, dtype=np.dtype(np.int64).newbyteorder()),
    ],
)
def test_only_integers_of_the_planned_shape_are_encrypted(vector: np.ndarray) -> None:
    parties = Parties.of(SumPlan(3, 5, 2), 2)
    with pytest.raises(ValueError, match="takes int64, int32 or uint32"):
        parties.site("bank-a").encrypt(parties.binding, vector)


def test_a_strided_vector_is_encrypted_as_it_reads() -> None:
    parties = Parties.of(SumPlan(3, 5, 2), 2)
    vector = np.arange(6, dtype=np.int64)[::2]
    assert parties.sum_of(vector, vector).tolist() == [0, 4, 8]


# -- the key ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("plan", PLANS, ids=NAMES)
def test_an_exported_key_is_the_same_key(plan: SumPlan) -> None:
    key = key_for(plan)
    again = SumKey.restore(plan, key.export())
    assert again.digest == key.digest
    terms = SumTerms(SESSION, plan, key.digest)
    parties = Parties.of(plan)
    vector = vectors_for(plan, 1)[0]
    for name in parties.names[:2]:
        site = HomomorphicSite(name, terms, again, first_round=0)
        parties.coordinator.add(name, list(site.encrypt(parties.binding, vector)))
    assert np.array_equal(parties.opened(), 2 * vector)


def test_two_keys_differ_in_everything() -> None:
    plan = PLANS[0]
    keys = [SumKey.generate(plan) for _ in range(2)]
    assert keys[0].digest != keys[1].digest
    assert keys[0].export().reveal() != keys[1].export().reveal()


def test_a_key_serves_every_plan_of_its_parameters_and_no_other() -> None:
    key = key_for(PLANS[0])
    other = SumPlan(17, 9, 5)
    assert SumKey.restore(other, key.export()).digest == key.digest
    for plan in PLANS[1:]:
        with pytest.raises(PeerError, match="other parameters"):
            SumKey.restore(plan, key.export())


def test_secrets_do_not_print_compare_hash_pickle_or_copy() -> None:
    plan = PLANS[0]
    key = key_for(plan)
    secret = key.export().reveal()
    site = Parties.of(plan).site("bank-a")
    record = KeyRecord(bytes(32), (secret[100:164],))
    for thing in (key, *key.parts, site, record, key.export()):
        for text in (repr(thing), str(thing), f"{thing}"):
            assert len(text) < 80
            assert secret[100:164].hex() not in text
            assert repr(secret[100:164]) not in text
    for thing in (key, *key.parts, site):
        for act in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled"):
                act(thing)
        assert not hasattr(thing, "__dict__")
    for thing in (key, *key.parts):
        with pytest.raises(TypeError, match="not compared"):
            _ = thing == thing  # noqa: PLR0124 - that it raises is the point
        with pytest.raises(TypeError, match="unhashable"):
            hash(thing)


def test_what_is_no_key_is_refused() -> None:
    plan = PLANS[0]
    record = key_for(plan).export().reveal()
    digest = record[record.index(b"\xc4 ") + 2 :][:32]
    hostile = [b"", b"x", record[:-1], record + b"\0", bytes(len(record)), b"y" * (1 << 20)]
    hostile += [
        encode(KeyRecord(digest, (secret,)))
        for secret in (b"", b"x", bytes(60_000), record[60:160], record[60:])
    ]
    hostile.append(encode(KeyRecord(digest, (b"", b""))))
    for data in hostile:
        with pytest.raises(PeerError):
            SumKey.restore(plan, SecretBytes(data))


def test_a_site_refuses_another_key_than_the_sessions() -> None:
    plan = PLANS[0]
    terms = SumTerms(SESSION, plan, bytes(32))
    with pytest.raises(PeerError, match="another one than the session's"):
        HomomorphicSite("bank-a", terms, key_for(plan), first_round=0)


def test_digests_have_32_bytes() -> None:
    for session, key in ((b"short", bytes(32)), (bytes(32), b"")):
        with pytest.raises(ConfigError, match="32 bytes"):
            SumTerms(session, PLANS[0], key)


def test_what_the_coordinator_is_given_is_short_and_always_the_same() -> None:
    for plan in PLANS:
        context = public_context(plan)
        assert context == public_context(SumPlan(7, plan.largest, plan.parties, plan.scheme))
        assert len(context) < 400
        HomomorphicCoordinator(SumTerms(SESSION, plan, bytes(32)), context, first_round=0)
