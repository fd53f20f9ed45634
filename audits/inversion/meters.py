"""How near a round's opened sums come to being readable, with no raw data.

A meter needs only what everybody who sees the sum sees, and public counts of the configuration:
how many token inputs a round's sum is made of (sites x records x steps x tokens of a record).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audits.inversion.row_space import visible_subspace
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from audits.inversion.row_space import Subspace


@dataclass(frozen=True)
class LayerMeter:
    """One matrix of one round's opened sum.

    Attributes:
        round: counted as the run counts.
        layer: the array's name.
        columns: the length d of a row.
        rank: the highest that the shape allows, min(rows, columns).
        tokens: how many token inputs are in the sum, repeated ones included.
        numerical_rank: of what was opened, above rounding and the noise that was allowed for.
        stable_rank: the squared Frobenius norm over that of the largest singular value (Rudelson
            and Vershynin 2007): how many directions carry the sum; 0 for zeros.
    """

    round: int
    layer: str
    columns: int
    rank: int
    tokens: int
    numerical_rank: int
    stable_rank: float

    @property
    def rank_ratio(self) -> float:
        """The numerical rank over the rank."""
        return self.numerical_rank / self.rank

    @property
    def tokens_over_rank(self) -> float:
        """Token inputs in the sum over the rank."""
        return self.tokens / self.rank

    @property
    def is_exposed(self) -> bool:
        """Whether the exact test reads every token, were there no noise.

        Fewer inputs than the rank: then the visible span is theirs. As many as the rank still do,
        unless they span all d columns, in which every candidate lies. It counts and does not
        judge: noise is another meter's matter, and just above the rank a leak shrinks but does not
        end.
        """
        few = self.tokens <= self.rank and self.tokens < self.columns
        return few and self.numerical_rank > 0

    @property
    def is_deficient(self) -> bool:
        """Whether the sum's own spectrum shows fewer distinct inputs than the rank.

        Where tokens repeat, that is so although their count lies above the rank.
        """
        return 0 < self.numerical_rank < self.rank


def measure_layer(round_number: int, layer: str, subspace: Subspace, tokens: int) -> LayerMeter:
    """Return the meter of one matrix whose visible span is known.

    Args:
        round_number: counted as the run counts.
        layer: the array's name.
        subspace: of what was opened.
        tokens: how many token inputs are in the sum, repeated ones included.

    Raises:
        ConfigError: a sum of no tokens.
    """
    if tokens < 1:
        raise ConfigError(
            f"A sum of {tokens} tokens cannot be held against the rank of {layer}: no meter was "
            "read. Count the token inputs of the round from its configuration."
        )
    values = subspace.singular_values
    return LayerMeter(
        round=round_number,
        layer=layer,
        columns=subspace.ambient,
        rank=int(values.size),
        tokens=tokens,
        numerical_rank=subspace.dimension,
        stable_rank=stable_rank(values),
    )


def measure_round(
    round_number: int,
    opened: Mapping[str, NDArray[np.floating]],
    tokens: int,
    *,
    tolerance: float | None = None,
    noise_deviation: float = 0.0,
) -> tuple[LayerMeter, ...]:
    """Return a meter for every matrix of one round's opened sum, in the order given.

    Args:
        round_number: counted as the run counts.
        opened: names and (m, d) matrices; what is no matrix is for the caller to leave out.
        tokens: as for `measure_layer`.
        tolerance: as for `visible_subspace`.
        noise_deviation: likewise, of the whole sum.

    Raises:
        ConfigError: as `measure_layer` and `visible_subspace`.
    """
    return tuple(
        measure_layer(
            round_number,
            layer,
            visible_subspace(matrix, tolerance, noise_deviation=noise_deviation),
            tokens,
        )
        for layer, matrix in opened.items()
    )


def stable_rank(singular_values: NDArray[np.float64]) -> float:
    """Return the sum of the squares of singular values (n,), downwards, over the first's square."""
    largest = float(singular_values[0])
    return float(np.sum((singular_values / largest) ** 2)) if largest > 0 else 0.0
