"""Which parameters hold a sum: every refusal with its arithmetic, and the constants' sources."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tenseal.sealapi as seal
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from crypto.homomorphic_plan import (
    LARGEST_SUM,
    NOISE_OF_ONE,
    STANDARD_BITS,
    Scheme,
    SealParameters,
    SumPlan,
    join,
    split,
)

NARROW = (1032193 // 2 - 1) // 2
WIDE = (17179754497 // 2 - 1) // 2
ALL = [
    SumPlan(10, NARROW // 2, 2),
    SumPlan(10, WIDE // 2, 2),
    SumPlan(10, LARGEST_SUM // 2, 2),
    SumPlan(10, 2**35, 2, Scheme.CKKS),
]


@pytest.mark.parametrize(
    ("largest", "moduli"),
    [
        (NARROW // 2, (1032193,)),
        (NARROW // 2 + 1, (17179754497,)),
        (2**30, (17179754497,)),
        (WIDE // 2, (17179754497,)),
        (WIDE // 2 + 1, (17179754497, 17179672577)),
        (LARGEST_SUM // 2, (17179754497, 17179672577)),
    ],
)
def test_the_smallest_ciphertexts_that_hold_the_range_are_taken(
    largest: int, moduli: tuple[int, ...]
) -> None:
    plan = SumPlan(values=5, largest=largest, parties=2)
    assert plan.bound == 2 * largest
    assert tuple(part.plain_modulus for part in plan.parameters) == moduli
    product = int(np.prod(np.array(moduli, dtype=object)))
    assert product >= 2 * (2 * plan.bound + 1)


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ((5, 2**61 + 1, 2), f"2 sites \\* {2**61 + 1} = {2**62 + 2} > {2**62}"),
        ((5, 2**36, 3, Scheme.CKKS), f"3 sites \\* {2**36} = {3 * 2**36} > {2**36}"),
    ],
)
def test_a_sum_that_could_wrap_is_refused_with_its_arithmetic(
    plan: tuple[int, int, int], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        SumPlan(*plan)


@pytest.mark.parametrize("plan", [(0, 1, 2), (1, 0, 2), (1, 1, 1), (1, -5, 2)])
def test_a_sum_of_nothing_is_refused(plan: tuple[int, int, int]) -> None:
    with pytest.raises(ConfigError, match="at least one value"):
        SumPlan(*plan)


@pytest.mark.parametrize("plan", ALL, ids=["narrow", "wide", "two", "ckks"])
def test_more_sites_than_the_noise_allows_are_refused(plan: SumPlan) -> None:
    most = plan.parameters[0].most_parties
    assert most >= 100
    largest = plan.bound // (most + 1)
    assert dataclasses.replace(plan, largest=largest, parties=most).parameters == plan.parameters
    with pytest.raises(ConfigError, match=f"At most {most} sites fit"):
        dataclasses.replace(plan, largest=largest, parties=most + 1)


def test_the_noise_bound_is_half_a_step_of_the_real_primes() -> None:
    for plan in ALL[:3]:
        for part in plan.parameters:
            primes = seal.CoeffModulus.Create(part.degree, list(part.coefficient_bits))
            first = primes[0].value()
            assert first >= 1 << (part.coefficient_bits[0] - 1)
            # An integer addend of noise shifts the decrypted value by t / q of a step.
            assert part.most_parties * NOISE_OF_ONE * 2 * part.plain_modulus < first


def test_the_plain_moduli_are_seals_batching_primes() -> None:
    found = [modulus.value() for modulus in seal.PlainModulus.Batching(4096, [20, 34, 34])]
    used = {part.plain_modulus for plan in ALL[:3] for part in plan.parameters}
    assert used == set(found)
    assert all(prime % 8192 == 1 for prime in used)


def test_every_set_is_within_the_128_bit_standard_as_seal_knows_it() -> None:
    for degree, bits in STANDARD_BITS.items():
        assert seal.CoeffModulus.MaxBitCount(degree, seal.SEC_LEVEL_TYPE.TC128) == bits
    for plan in ALL:
        for part in plan.parameters:
            assert sum(part.coefficient_bits) <= STANDARD_BITS[part.degree]


@pytest.mark.parametrize(
    ("degree", "bits"), [(4096, (60, 60)), (4096, (55, 55)), (8192, (60, 60, 60, 60)), (1024, (9,))]
)
def test_parameters_below_128_bits_are_refused(degree: int, bits: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="128-bit security"):
        SealParameters(Scheme.BFV, degree, bits, 1032193, 0)


def test_ckks_is_flares() -> None:
    (part,) = ALL[3].parameters
    assert (part.degree, part.coefficient_bits, part.scale_bits) == (8192, (60, 40, 40), 40)
    assert part.slots == 4096


@pytest.mark.parametrize(("values", "blocks"), [(1, 1), (4096, 1), (4097, 2), (8192, 2)])
def test_blocks_cover_the_vector(values: int, blocks: int) -> None:
    for scheme in Scheme:
        assert SumPlan(values, 1, 2, scheme).blocks == blocks


def test_any_difference_is_another_digest() -> None:
    plan = SumPlan(5, 6, 7)
    others = [
        dataclasses.replace(plan, values=6),
        dataclasses.replace(plan, largest=7),
        dataclasses.replace(plan, parties=8),
        dataclasses.replace(plan, scheme=Scheme.CKKS),
    ]
    assert len({plan.digest(), *(other.digest() for other in others)}) == 5


MODULI = (17179754497, 17179672577)


def naive_join(low: int, high: int) -> int:
    """The remainder theorem with integers of any length."""
    first, second = MODULI
    product = first * second
    value = (
        low * second * pow(second, -1, first) + high * first * pow(first, -1, second)
    ) % product
    return value - product if value > product // 2 else value


@given(values=st.lists(st.integers(-LARGEST_SUM, LARGEST_SUM), min_size=1, max_size=50))
def test_residues_join_to_what_was_split(values: list[int]) -> None:
    array = np.array(values, dtype=np.int64)
    low, high = (split(array, modulus) for modulus in MODULI)
    assert low.tolist() == [
        (value + MODULI[0] // 2) % MODULI[0] - MODULI[0] // 2 for value in values
    ]
    joined = join(low, high, MODULI, LARGEST_SUM)
    assert joined is not None
    assert joined.tolist() == values
    assert [naive_join(*pair) for pair in zip(low.tolist(), high.tolist(), strict=True)] == values


@given(
    low=st.integers(-(MODULI[0] // 2), MODULI[0] // 2),
    high=st.integers(-(MODULI[1] // 2), MODULI[1] // 2),
    bound=st.integers(1, LARGEST_SUM),
)
def test_residues_of_anything_else_are_found_as_the_naive_twin_finds_them(
    low: int, high: int, bound: int
) -> None:
    joined = join(np.array([low]), np.array([high]), MODULI, bound)
    expected = naive_join(low, high)
    assert (joined is None) == (abs(expected) > bound)
    assert joined is None or joined.tolist() == [expected]
