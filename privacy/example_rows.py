"""One parameter's gradient for each example of a batch: written out, or kept as its factors.

A linear layer's row is a sum of outer products, sum_t left_t right_t^T, and an embedding's the
same with a left that is one at one place. Its norm and a weighted sum over the examples can be
had from the factors alone (Goodfellow 2015; Bu et al. 2023, book-keeping), which for whole weights
is far less memory than the rows themselves. B is the batch, T the tokens of an example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, eq=False)
class DenseRows:
    """Rows that are written out.

    Attributes:
        values: (B, *shape), in any layout.
    """

    values: Tensor

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of sums: at least float32."""
        return sum_dtype(self.values)

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self.values.device

    def dense(self) -> Tensor:
        """Return the rows (B, *shape)."""
        return self.values

    def norms(self) -> Tensor:
        """Return the L2 norm of each row, (B,) float64."""
        return _norms(flattened(self.values)[0])

    def weighted_sum(self, factors: Tensor, usable: Tensor | None) -> Tensor:
        """Return sum_i factors_i row_i (*shape), in the sum's dtype.

        Args:
            factors: (B,) float64.
            usable: (B,) bool, the rows that are not taken as zero; None takes all as they are.
        """
        flat, turned = flattened(self.values)
        flat = flat.to(self.dtype)
        if usable is not None:
            flat = flat.masked_fill(~usable.unsqueeze(1), 0.0)  # 0 * inf would be nan
        part = factors.to(flat.dtype) @ flat
        shape = self.values.shape[1:]
        return part.view(shape[::-1]).mT if turned else part.view(shape)

    def grouped(self, places: Tensor, count: int) -> Tensor:
        """Return (count, *shape): at place p, the sum of the rows i with places_i = p.

        Args:
            places: (B,) int64; rows whose place is -1 are left out.
            count: how many places there are.
        """
        kept = places >= 0
        out = self.values.new_zeros((count, *self.values.shape[1:]), dtype=self.dtype)
        out.index_add_(0, places[kept], self.values[kept].to(self.dtype))
        return out


@dataclass(frozen=True, eq=False)
class OuterRows:
    """Rows sum_t left_t right_t^T of shape (m, n).

    Attributes:
        left: (B, T, m).
        right: (B, T, n).
    """

    left: Tensor
    right: Tensor

    def dense(self) -> Tensor:
        """Return the rows (B, m, n)."""
        return outer(self.left, self.right)

    def lengths(self) -> Tensor:
        """Return sum_t |left_t| |right_t|, (B,) float64: no row is longer."""
        return (_norms(self.left) * _norms(self.right)).sum(1)

    def scaled(self, factors: Tensor, usable: Tensor | None) -> OuterRows:
        """Return the rows times `factors` (B,); those that are not `usable` (B,) are zero."""
        left, right = self.left, self.right
        if usable is not None:
            unusable = ~usable.view(-1, 1, 1)
            left, right = left.masked_fill(unusable, 0.0), right.masked_fill(unusable, 0.0)
        weights = factors.to(left.dtype).view(-1, 1, 1)
        if left.shape[2] <= right.shape[2]:
            return OuterRows(left * weights, right)
        return OuterRows(left, right * weights)

    def summed(self) -> Tensor:
        """Return the sum of the rows (m, n)."""
        found: Tensor = self.left.flatten(0, 1).T @ self.right.flatten(0, 1)
        return found

    def at(self, kept: Tensor) -> OuterRows:
        """Return the rows of the examples `kept`, an index."""
        return OuterRows(self.left[kept], self.right[kept])


@dataclass(frozen=True, eq=False)
class GatherRows:
    """Rows of shape (size, n) that hold sum over t with ids_t = v of right_t in their line v.

    Attributes:
        ids: (B, T) int64, in [0, size).
        right: (B, T, n).
        size: the number of lines.
    """

    ids: Tensor
    right: Tensor
    size: int

    def dense(self) -> Tensor:
        """Return the rows (B, size, n)."""
        count, _, width = self.right.shape
        first = torch.arange(count, device=self.ids.device).unsqueeze(1) * self.size
        out = self.right.new_zeros((count * self.size, width))
        out.index_add_(0, (self.ids + first).flatten(), self.right.flatten(0, 1))
        return out.view(count, self.size, width)

    def lengths(self) -> Tensor:
        """Return sum_t |right_t|, (B,) float64: no row is longer."""
        return _norms(self.right).sum(1)

    def scaled(self, factors: Tensor, usable: Tensor | None) -> GatherRows:
        """Return the rows times `factors` (B,); those that are not `usable` (B,) are zero."""
        right = self.right
        if usable is not None:
            right = right.masked_fill(~usable.view(-1, 1, 1), 0.0)
        return GatherRows(self.ids, right * factors.to(right.dtype).view(-1, 1, 1), self.size)

    def summed(self) -> Tensor:
        """Return the sum of the rows (size, n)."""
        out = self.right.new_zeros((self.size, self.right.shape[2]))
        out.index_add_(0, self.ids.flatten(), self.right.flatten(0, 1))
        return out

    def at(self, kept: Tensor) -> GatherRows:
        """Return the rows of the examples `kept`, an index."""
        return GatherRows(self.ids[kept], self.right[kept], self.size)


Factors = OuterRows | GatherRows


@dataclass(frozen=True, eq=False)
class FactoredRows:
    """Rows that are sums of `parts`, and are not written out. Factors have the sum's dtype.

    Attributes:
        parts: one of each kind at most, all of the same (B, m, n).
    """

    parts: tuple[Factors, ...]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of sums: at least float32."""
        return self.parts[0].right.dtype

    @property
    def device(self) -> torch.device:
        """Where the rows lie."""
        return self.parts[0].right.device

    def dense(self) -> Tensor:
        """Return the rows (B, m, n)."""
        return sum((part.dense() for part in self.parts[1:]), start=self.parts[0].dense())

    def norms(self) -> Tensor:
        """Return the L2 norm of each row and what rounding may have taken from it, (B,) float64.

        |row|^2 = sum_st (left_s . left_t) (right_s . right_t). Each product of two dot products
        of m and n numbers is off by (m + n + 3) u of its factors' lengths at most (Higham 2002,
        section 3.1), u half the machine epsilon; that is added, so that tokens that cancel do not
        hide a long row.
        """
        square = sum(
            (_inner(one, other) for one in self.parts for other in self.parts),
            start=torch.zeros((), dtype=torch.float64, device=self.parts[0].right.device),
        )
        lengths = torch.stack([part.lengths() for part in self.parts]).sum(0)
        slack = (sum(_sides(self.parts[0])) + 3) * torch.finfo(self.dtype).eps / 2
        return (square.clamp_min(0.0) + slack * lengths.square()).sqrt()

    def weighted_sum(self, factors: Tensor, usable: Tensor | None) -> Tensor:
        """Return sum_i factors_i row_i (m, n); arguments as `DenseRows.weighted_sum`."""
        first, *others = (part.scaled(factors, usable).summed() for part in self.parts)
        return sum(others, start=first)

    def grouped(self, places: Tensor, count: int) -> Tensor:
        """Return (count, m, n) as `DenseRows.grouped`, one place after the other."""
        return torch.stack(
            [
                sum(others, start=first)
                for place in range(count)
                for first, *others in [[part.at(places == place).summed() for part in self.parts]]
            ]
        )


Rows = DenseRows | FactoredRows


def rows_of(part: Factors) -> Rows:
    """Return the rows of `part` in the form that holds fewer numbers for each example."""
    if _factors_are_smaller((part,)):
        return FactoredRows((_promoted(part),))
    if isinstance(part, GatherRows):
        return DenseRows(_promoted(part).dense().to(part.right.dtype))
    return DenseRows(part.dense())


def added(one: Rows, other: Rows) -> Rows:
    """Return the sum of two calls' rows of one parameter, in the form that holds fewer numbers."""
    if isinstance(one, FactoredRows) and isinstance(other, FactoredRows):
        kinds: dict[type, list[Factors]] = {}
        for part in (*one.parts, *other.parts):
            kinds.setdefault(type(part), []).append(part)
        parts = tuple(_joined(parts) for parts in kinds.values())
        if _factors_are_smaller(parts):
            return FactoredRows(parts)
    return DenseRows(one.dense() + other.dense())


def outer(left: Tensor, right: Tensor) -> Tensor:
    """Return sum_t left_it right_it^T (B, m, n) for left (B, T, m), right (B, T, n).

    The product with the short side first is the same numbers up to three times faster: the result
    may be a transposed view, contiguous as (B, n, m).
    """
    if left.shape[2] > right.shape[2]:
        return torch.bmm(right.mT, left).mT
    return torch.bmm(left.mT, right)


def sum_dtype(tensor: Tensor) -> torch.dtype:
    """Return the dtype of sums of `tensor`: at least float32."""
    return torch.promote_types(tensor.dtype, torch.float32)


def flattened(rows: Tensor) -> tuple[Tensor, bool]:
    """Return `rows` (B, *shape) as (B, n) in the order of memory, and if that is transposed."""
    turned = rows.dim() == 3 and not rows.is_contiguous() and rows.mT.is_contiguous()  # noqa: PLR2004 - (B, T, width)
    return (rows.mT if turned else rows).flatten(1), turned


def _norms(tensor: Tensor) -> Tensor:
    """Return the L2 norms along the last dimension, in float64."""
    found: Tensor = torch.linalg.vector_norm(tensor, dim=-1, dtype=torch.float64)
    return found


def _sides(part: Factors) -> tuple[int, int]:
    """Return (m, n)."""
    first = part.size if isinstance(part, GatherRows) else part.left.shape[2]
    return first, part.right.shape[2]


def _factors_are_smaller(parts: Sequence[Factors]) -> bool:
    """Return if the factors of one example, and two T x T products, are fewer numbers than a row.

    T counts the tokens of all calls together.
    """
    height, width = _sides(parts[0])
    kept = all_tokens = 0
    for part in parts:
        tokens = part.right.shape[1]
        kept += tokens * (width + (1 if isinstance(part, GatherRows) else height))
        all_tokens += tokens
    return kept + 2 * all_tokens**2 < height * width


def _promoted(part: Factors) -> Factors:
    """Return `part` in the dtype of sums."""
    dtype = sum_dtype(part.right)
    if isinstance(part, GatherRows):
        return GatherRows(part.ids, part.right.to(dtype), part.size)
    return OuterRows(part.left.to(dtype), part.right.to(dtype))


def _joined(parts: Sequence[Factors]) -> Factors:
    """Return factors of one kind as one: the tokens of all calls after another."""
    first = parts[0]
    right = torch.cat([part.right for part in parts], dim=1)
    if isinstance(first, GatherRows):
        ids = torch.cat([part.ids for part in parts if isinstance(part, GatherRows)], dim=1)
        return GatherRows(ids, right, first.size)
    left = torch.cat([part.left for part in parts if isinstance(part, OuterRows)], dim=1)
    return OuterRows(left, right)


def _inner(one: Factors, other: Factors) -> Tensor:
    """Return <row_i of one, row_i of other> for each example, (B,) float64."""
    rights = torch.bmm(one.right, other.right.mT)  # (B, S, T)
    return (_lefts(one, other) * rights).sum((1, 2), dtype=torch.float64)


def _lefts(one: Factors, other: Factors) -> Tensor:
    """Return left_s . left_t for each token s of `one` and t of `other`, (B, S, T)."""
    if isinstance(one, OuterRows) and isinstance(other, OuterRows):
        return torch.bmm(one.left, other.left.mT)
    if isinstance(one, GatherRows) and isinstance(other, GatherRows):
        return one.ids.unsqueeze(2) == other.ids.unsqueeze(1)
    if isinstance(one, OuterRows) and isinstance(other, GatherRows):
        places = other.ids.unsqueeze(1).expand(-1, one.left.shape[1], -1)
        return one.left.gather(2, places)
    return _lefts(other, one).mT
