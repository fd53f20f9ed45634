"""Rows kept as factors against rows written out."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from privacy import example_rows
from privacy.example_rows import (
    DenseRows,
    FactoredRows,
    Factors,
    GatherRows,
    OuterRows,
    Rows,
    added,
    flattened,
    outer,
    rows_of,
    sum_dtype,
)

if TYPE_CHECKING:
    from collections.abc import Callable

B, HEIGHT, WIDTH = 4, 9, 5


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    """Numbers that bf16 holds, as float64."""
    draw = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(*shape, generator=draw).to(torch.bfloat16).to(torch.float64)


def an_outer(tokens: int = 3, seed: int = 0) -> OuterRows:
    return OuterRows(drawn(B, tokens, HEIGHT, seed=seed), drawn(B, tokens, WIDTH, seed=seed))


def a_gather(tokens: int = 4, seed: int = 0) -> GatherRows:
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, HEIGHT, (B, tokens), generator=draw)
    ids[:, -1] = ids[:, 0]  # a token that comes twice
    return GatherRows(ids, drawn(B, tokens, WIDTH, seed=seed), HEIGHT)


def written(part: Factors) -> Tensor:
    """The rows (B, m, n), number by number."""
    out = torch.zeros(B, HEIGHT, WIDTH, dtype=torch.float64)
    for i in range(B):
        for t in range(part.right.shape[1]):
            for n in range(WIDTH):
                if isinstance(part, GatherRows):
                    out[i, part.ids[i, t], n] += part.right[i, t, n]
                else:
                    for m in range(HEIGHT):
                        out[i, m, n] += part.left[i, t, m] * part.right[i, t, n]
    return out


PARTS: dict[str, Callable[[], Factors]] = {"outer": an_outer, "gather": a_gather}
PAIRS = [*combinations_with_replacement(PARTS, 2), ("gather", "outer")]
FACTORS = torch.tensor([0.5, 0.0, 2.0, -1.0], dtype=torch.float64)


def near(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-12, atol=1e-13)


def agree(rows: Rows, right: Tensor) -> bool:
    """Whether `rows` do all that rows written out do."""
    usable = torch.tensor([True, True, False, True])
    places = torch.tensor([0, -1, 2, 0])
    unit = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.float64)
    unit[0], unit[2] = right[0] + right[3], right[2]
    return (
        near(rows.dense(), right)
        and near(rows.norms(), right.flatten(1).norm(dim=1))
        and near(rows.weighted_sum(FACTORS, None), torch.einsum("b,bmn->mn", FACTORS, right))
        and near(rows.weighted_sum(FACTORS, usable), 0.5 * right[0] - right[3])
        and near(rows.grouped(places, 3), unit)
        and rows.device == right.device
        and rows.dtype == torch.float64
    )


@pytest.mark.parametrize("kind", PARTS)
def test_factors_are_the_rows_that_they_stand_for(kind: str) -> None:
    part = PARTS[kind]()
    assert agree(FactoredRows((part,)), written(part))
    assert agree(DenseRows(written(part)), written(part))


@pytest.mark.parametrize("factored", [False, True])
@pytest.mark.parametrize("pair", PAIRS)
def test_two_calls_add_up(
    pair: tuple[str, str],
    factored: bool,  # noqa: FBT001 - pytest's
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(example_rows, "_factors_are_smaller", lambda _: factored)
    one, other = PARTS[pair[0]](), PARTS[pair[1]](seed=8)
    found = added(rows_of(one), rows_of(other))
    assert isinstance(found, FactoredRows if factored else DenseRows)
    if isinstance(found, FactoredRows):
        assert len(found.parts) == len(set(pair))
    assert agree(found, written(one) + written(other))
    third = added(found, rows_of(one))
    assert agree(third, 2 * written(one) + written(other))
    dense = added(found, DenseRows(written(one)))
    assert isinstance(dense, DenseRows)
    assert agree(dense, 2 * written(one) + written(other))


def test_rows_that_are_not_usable_may_hold_anything() -> None:
    usable = torch.tensor([True, False, True, True])
    for part in (an_outer(), a_gather()):
        right = torch.einsum("b,bmn->mn", FACTORS, written(part))  # factor 1 is zero
        part.right[1] = torch.inf
        if isinstance(part, OuterRows):
            part.left[1] = torch.nan
        for rows in (FactoredRows((part,)), DenseRows(FactoredRows((part,)).dense())):
            assert near(rows.weighted_sum(FACTORS, usable), right)
            assert not rows.weighted_sum(FACTORS, None).isfinite().all()
            assert not rows.norms()[1].isfinite()
            assert rows.grouped(torch.tensor([0, -1, 0, 0]), 1).isfinite().all()


@pytest.mark.parametrize(
    ("left", "right", "tokens", "factored"),
    [
        (10, 10, 3, True),  # 3 * 20 + 2 * 9 = 78 < 100
        (10, 10, 4, False),  # 4 * 20 + 2 * 16 = 112
        (6, 13, 3, True),  # 3 * 19 + 18 = 75 < 78
        (5, 15, 3, False),  # 3 * 20 + 18 = 78
        (6, 12, 3, False),  # 3 * 18 + 18 = 72 is not less than 72
    ],
)
def test_linear_rows_are_factored_where_that_is_less(
    left: int, right: int, tokens: int, *, factored: bool
) -> None:
    rows = rows_of(OuterRows(drawn(2, tokens, left), drawn(2, tokens, right)))
    assert isinstance(rows, FactoredRows) is factored


@pytest.mark.parametrize(
    ("size", "width", "tokens", "factored"),
    [(10, 4, 3, True), (9, 4, 3, True), (8, 4, 3, False), (11, 3, 3, True), (10, 3, 3, False)],
)  # 3 * (4 + 1) + 18 = 33 < 36, but not < 32; 3 * (3 + 1) + 18 = 30
def test_gathered_rows_are_factored_where_that_is_less(
    size: int, width: int, tokens: int, *, factored: bool
) -> None:
    ids = torch.zeros(2, tokens, dtype=torch.int64)
    rows = rows_of(GatherRows(ids, drawn(2, tokens, width), size))
    assert isinstance(rows, FactoredRows) is factored


def test_the_tokens_of_all_calls_count() -> None:
    def part() -> Rows:
        return rows_of(OuterRows(drawn(2, 3, 16), drawn(2, 3, 16)))

    twice = added(part(), part())  # 6 * 32 + 2 * 36 = 264 is not less than 256
    assert isinstance(part(), FactoredRows)
    assert isinstance(twice, DenseRows)
    gathered = rows_of(GatherRows(torch.zeros(2, 3, dtype=torch.int64), drawn(2, 3, 16), 16))
    mixed = added(part(), gathered)  # 3 * 32 + 3 * 17 + 2 * 36 = 219
    assert isinstance(mixed, FactoredRows)


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("factored", [False, True])
def test_sixteen_bit_factors_are_summed_in_single(
    kind: str,
    factored: bool,  # noqa: FBT001 - pytest's
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(example_rows, "_factors_are_smaller", lambda _: factored)
    part = in_sixteen_bits(PARTS[kind]())
    rows = rows_of(part)
    assert rows.dtype == torch.float32
    assert rows.weighted_sum(FACTORS, None).dtype == torch.float32
    assert rows.grouped(torch.tensor([0, 0, 0, 0]), 1).dtype == torch.float32
    assert rows.dense().dtype == (torch.float32 if factored else torch.bfloat16)
    right = written(PARTS[kind]())  # of numbers that bf16 holds
    assert float((rows.dense() - right).norm()) <= (1e-6 if factored else 4e-3) * right.norm()


def in_sixteen_bits(part: Factors) -> Factors:
    if isinstance(part, OuterRows):
        return OuterRows(part.left.to(torch.bfloat16), part.right.to(torch.bfloat16))
    return GatherRows(part.ids, part.right.to(torch.bfloat16), HEIGHT)


def test_tokens_that_cancel_do_not_hide_a_long_row() -> None:
    """In float32 the Gram sum of a row whose tokens cancel may come out far too small."""
    draw = torch.Generator().manual_seed(1)
    hidden = 0
    for _ in range(50):
        left, right = torch.randn(1, 1, 64, generator=draw), torch.randn(1, 1, 64, generator=draw)
        twin = left * (1 + 2e-4 * torch.randn(left.shape, generator=draw))
        part = OuterRows(torch.cat([left, twin], 1), torch.cat([right, -right], 1))
        exact = float(outer(part.left.double(), part.right.double()).norm())
        grams = (part.left @ part.left.mT) * (part.right @ part.right.mT)
        hidden += float(grams.double().sum().clamp_min(0).sqrt()) < exact * 0.999
        assert float(FactoredRows((part,)).norms()) >= exact
    assert hidden > 10  # without what is added


def test_what_is_added_for_rounding_is_small_where_nothing_cancels() -> None:
    part = an_outer()
    exact = written(part).flatten(1).norm(dim=1)
    longer = FactoredRows((part,)).norms() / exact - 1
    bound = (HEIGHT + WIDTH + 3) * 2.0**-53 * (part.lengths() / exact) ** 2 / 2
    assert ((longer - bound).abs() <= 1e-15).all()


def test_lengths_bound_the_rows() -> None:
    for part in (an_outer(), a_gather()):
        naive = torch.zeros(B, dtype=torch.float64)
        for i in range(B):
            for t in range(part.right.shape[1]):
                left = part.left[i, t].norm() if isinstance(part, OuterRows) else 1.0
                naive[i] += left * part.right[i, t].norm()
        assert near(part.lengths(), naive)


@pytest.mark.parametrize(("left", "right"), [(2, 5), (5, 2), (3, 3)])
def test_an_outer_product_of_any_shape(left: int, right: int) -> None:
    one, other = drawn(B, 4, left), drawn(B, 4, right)
    assert near(outer(one, other), torch.einsum("btm,btn->bmn", one, other))
    flat, turned = flattened(outer(one, other))
    assert turned is (left > right)
    assert flat.is_contiguous()


def test_sums_are_at_least_single() -> None:
    found = [
        sum_dtype(torch.zeros(1, dtype=d)) for d in (torch.bfloat16, torch.float32, torch.float64)
    ]
    assert found == [torch.float32, torch.float32, torch.float64]
