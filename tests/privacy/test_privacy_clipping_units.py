"""Units of privacy that own several rows: summed, and clipped as one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_peft import relative_error
from torch import Tensor, nn

from crypto.errors import ConfigError
from privacy import example_rows
from privacy.clipping import PerExampleClipper
from privacy.clipping_rules import AutomaticClip, ClipRule, FlatClip, PerLayerClip

if TYPE_CHECKING:
    from collections.abc import Iterable

EXACT = 1e-12
CLIP = 0.5


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Tiny(nn.Module):
    """Token numbers (B, T) -> one loss each (B,)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.words = nn.Embedding(40, 6)
        self.head = nn.Linear(6, 2)
        self.unused = nn.Linear(2, 2)
        self.double()

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(torch.tanh(self.words(ids))).flatten(1).square().mean(1)


def records(size: int) -> Tensor:
    return torch.randint(0, 40, (size, 3), generator=torch.Generator().manual_seed(5))


def unit_by_unit(
    model: nn.Module, ids: Tensor, owners: Iterable[int], clip: float = CLIP
) -> dict[str, Tensor]:
    """The slow twin: sum each owner's gradients, one autograd call per record, then clip."""
    named = dict(model.named_parameters())
    sums: dict[int, list[Tensor]] = {}
    for row, owner in zip(ids, owners, strict=True):
        grads = torch.autograd.grad(
            model(row.unsqueeze(0))[0], list(named.values()), materialize_grads=True
        )
        sums[owner] = list(map(add, sums[owner], grads)) if owner in sums else list(grads)
    total = {n: torch.zeros_like(p) for n, p in named.items()}
    for parts in sums.values():
        norm = sum(float(part.square().sum()) for part in parts) ** 0.5
        for name, part in zip(named, parts, strict=True):
            total[name] += min(1.0, clip / norm) * part
    return total


@dataclass(frozen=True)
class Feed:
    """Whose each record is, in which order they come, and where the order is cut."""

    owners: list[int]
    order: list[int]
    cuts: list[int]

    def fed(self, clipper: PerExampleClipper, model: nn.Module, ids: Tensor) -> dict[str, Tensor]:
        edges = [0, *self.cuts, len(self.order)]
        for start, stop in pairwise(edges):
            rows = self.order[start:stop]
            owners = torch.tensor([self.owners[row] for row in rows], dtype=torch.int64)
            clipper.accumulate(model(ids[rows]), owners=owners)
        return clipper.take()


@st.composite
def feeds(draw: st.DrawFn, *, together: bool) -> Feed:
    """Any order and any cut; with the rows of a unit `together`, or not."""
    owners = draw(st.lists(st.integers(-2, 5), min_size=1, max_size=12))
    order = list(draw(st.permutations(range(len(owners)))))
    if together:
        rank = {owner: n for n, owner in enumerate(draw(st.permutations(sorted(set(owners)))))}
        order.sort(key=lambda row: rank[owners[row]])
    cuts = sorted(draw(st.lists(st.integers(0, len(owners)), max_size=5)))
    return Feed(owners, order, cuts)


@settings(max_examples=40, deadline=None)
@given(feeds(together=True))
def test_any_cut_and_order_of_units_gives_the_same_sum(feed: Feed) -> None:
    model, ids = Tiny(), records(len(feed.owners))
    clipper = PerExampleClipper(model, clip=CLIP)
    right = unit_by_unit(model, ids, feed.owners)
    assert relative_error(feed.fed(clipper, model, ids), right) <= EXACT
    # `take` starts anew: the same units may come in the next step.
    assert relative_error(feed.fed(clipper, model, ids), right) <= EXACT


@settings(max_examples=40, deadline=None)
@given(feeds(together=False))
def test_any_order_at_all_gives_the_same_sum_if_all_units_stay_open(feed: Feed) -> None:
    model, ids = Tiny(), records(len(feed.owners))
    clipper = PerExampleClipper(model, clip=CLIP, open_units=len(set(feed.owners)))
    right = unit_by_unit(model, ids, feed.owners)
    assert relative_error(feed.fed(clipper, model, ids), right) <= EXACT


@pytest.mark.parametrize("factored", [False, True])
def test_factored_and_written_rows_give_the_same_units(
    factored: bool,  # noqa: FBT001 - pytest's
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(example_rows, "_factors_are_smaller", lambda _: factored)
    model, ids, owners = Tiny(), records(7), [3, 3, 1, 1, 1, 2, 3]
    clipper = PerExampleClipper(model, clip=CLIP)
    clipper.accumulate(model(ids), owners=torch.tensor(owners))
    assert relative_error(clipper.take(), unit_by_unit(model, ids, owners)) <= EXACT


@pytest.mark.parametrize("rule", [FlatClip(0.05), PerLayerClip(0.05), AutomaticClip(0.05)])
def test_one_unit_more_moves_the_sum_by_the_sensitivity_at_most(rule: ClipRule) -> None:
    model, ids = Tiny(), records(9)
    owners = torch.tensor([1, 1, 2, 2, 2, 3, 3, 3, 3])
    clipper = PerExampleClipper(model, clip=rule)

    def moved(owners: Tensor | None) -> float:
        """How far the records of unit 3 move the sum."""
        clipper.accumulate(model(ids[:5]), owners=None if owners is None else owners[:5])
        before = clipper.take()
        clipper.accumulate(model(ids), owners=owners)
        after = clipper.take()
        return float(torch.cat([(after[n] - before[n]).flatten() for n in after]).norm())

    assert rule.sensitivity * 0.5 < moved(owners) <= rule.sensitivity
    assert moved(None) > 1.5 * rule.sensitivity  # record by record, four count as four


def test_a_unit_that_comes_back_after_it_was_clipped_is_refused() -> None:
    model, ids = Tiny(), records(3)
    clipper = PerExampleClipper(model, clip=CLIP)
    clipper.accumulate(model(ids[:1]), owners=torch.tensor([7]))
    clipper.accumulate(model(ids[1:2]), owners=torch.tensor([8]))
    with pytest.raises(ConfigError, match="1 units got a row after theirs were clipped"):
        clipper.accumulate(model(ids[1:]), owners=torch.tensor([8, 7]))
    right = unit_by_unit(model, ids[:2], [7, 8])
    assert relative_error(clipper.take(), right) <= EXACT  # nothing was added


def test_without_that_refusal_a_unit_would_count_twice() -> None:
    model, ids = Tiny(), records(3)
    clipper = PerExampleClipper(model, clip=1e-3)
    for row, owner in zip(ids, [7, 8, 7], strict=True):
        clipper._units._closed.clear()
        clipper.accumulate(model(row.unsqueeze(0)), owners=torch.tensor([owner]))
    twice = clipper.take()
    clipper.accumulate(model(ids[1:2]))
    others = clipper.take()
    moved = torch.cat([(twice[n] - others[n]).flatten() for n in twice]).norm()
    assert float(moved) > 1.5e-3


def test_no_more_rows_are_held_than_units_may_be_open() -> None:
    model, ids = Tiny(), records(8)
    clipper = PerExampleClipper(model, clip=CLIP, open_units=3)
    held = []
    for start in range(0, 8, 2):
        clipper.accumulate(model(ids[start : start + 2]), owners=torch.arange(start, start + 2))
        held.append(len(clipper._units))
        rows = clipper._units._rows.values()
        sizes = {len(row) for row in rows}
        storages = {row.untyped_storage().nbytes() // row[0].nbytes for row in rows}
        assert sizes == storages == {held[-1]}  # no view keeps more alive
    assert held == [2, 3, 3, 3]
    clipper.take()
    assert len(clipper._units) == 0


def test_the_unit_that_came_last_stays_open_longest() -> None:
    model, ids = Tiny(), records(6)
    clipper = PerExampleClipper(model, clip=CLIP, open_units=2)
    clipper.accumulate(model(ids[:4]), owners=torch.tensor([1, 2, 3, 2]))  # 2 comes last
    assert clipper._units._owners == [3, 2]
    clipper.accumulate(model(ids[4:5]), owners=torch.tensor([3]))
    assert clipper._units._owners == [2, 3]
    clipper.accumulate(model(ids[5:]), owners=torch.tensor([4]))
    assert clipper._units._owners == [3, 4]
    with pytest.raises(ConfigError, match="2 units got a row"):
        clipper.accumulate(model(ids[:3]), owners=torch.tensor([1, 2, 4]))


def test_a_record_that_is_not_finite_is_left_out_of_its_unit() -> None:
    model, ids = Tiny(), records(4)
    clipper = PerExampleClipper(model, clip=CLIP)
    weights = torch.tensor([1.0, torch.nan, 1.0, torch.inf], dtype=torch.float64)
    clipper.accumulate(model(ids) * weights, owners=torch.tensor([1, 1, 1, 2]))
    assert relative_error(clipper.take(), unit_by_unit(model, ids[[0, 2]], [1, 1])) <= EXACT


def test_a_unit_whose_sum_overflows_counts_as_zero() -> None:
    model, ids = Tiny(), records(1)
    clipper = PerExampleClipper(model, clip=CLIP)
    ids = ids.expand(3, -1)
    huge = torch.tensor([1e154, 1e154, 1e154], dtype=torch.float64)
    clipper.accumulate(model(ids) * huge * 100, owners=torch.tensor([1, 1, 1]))
    assert all(float(part.abs().max()) == 0 for part in clipper.take().values())


def test_calls_with_and_without_owners_may_alternate() -> None:
    model, ids = Tiny(), records(4)
    clipper = PerExampleClipper(model, clip=CLIP)
    clipper.accumulate(model(ids[:1]), owners=torch.tensor([1]))
    clipper.accumulate(model(ids[1:3]))
    clipper.accumulate(model(ids[3:]), owners=torch.tensor([1]))
    right = unit_by_unit(model, ids, [1, -1, -2, 1])
    assert relative_error(clipper.take(), right) <= EXACT


class Either(Tiny):
    """Uses one of two heads."""

    second = False

    def forward(self, ids: Tensor) -> Tensor:
        inner = torch.tanh(self.words(ids))
        head = self.unused(inner[..., :2]) if self.second else self.head(inner)
        return head.flatten(1).square().mean(1)


@pytest.mark.parametrize("second", [False, True])
def test_a_unit_may_reach_other_parameters_in_each_call(second: bool) -> None:  # noqa: FBT001 - pytest's
    model, ids = Either(), records(2)
    clipper = PerExampleClipper(model, clip=1e6)
    plain = {n: torch.zeros_like(p) for n, p in model.named_parameters()}
    for row, which in zip(ids, [second, not second], strict=True):
        model.second = which
        for name, g in clipper.plain_gradient(model(row.unsqueeze(0))).items():
            plain[name] += g
        clipper.accumulate(model(row.unsqueeze(0)), owners=torch.tensor([1]))
    assert relative_error(clipper.take(), plain) <= EXACT


@pytest.mark.parametrize(
    "owners",
    [
        torch.tensor([1]),
        torch.tensor([1, 2, 3]),
        torch.tensor([[1, 2]]),
        torch.tensor([1.0, 2.0]),
        torch.tensor([1j, 2j]),
    ],
)
def test_owners_that_do_not_fit_the_losses_are_refused(owners: Tensor) -> None:
    model = Tiny()
    clipper = PerExampleClipper(model, clip=CLIP)
    with pytest.raises(ConfigError, match="give one integer for each"):
        clipper.accumulate(model(records(2)), owners=owners)


def test_a_batch_of_nobody_has_no_owners() -> None:
    clipper = PerExampleClipper(Tiny(), clip=CLIP)
    none = torch.zeros(0, dtype=torch.float64)
    clipper.accumulate(none, owners=torch.zeros(0, dtype=torch.int64))
    assert all(float(part.abs().max()) == 0 for part in clipper.take().values())


@pytest.mark.parametrize("open_units", [0, -1])
def test_one_unit_at_least_has_to_stay_open(open_units: int) -> None:
    with pytest.raises(ConfigError, match="hold one at least"):
        PerExampleClipper(Tiny(), clip=CLIP, open_units=open_units)
