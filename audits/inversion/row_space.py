"""The span of a matrix's rows, and how far vectors are from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS_AT_ONCE: Final = 4096
_MATRIX_AXES: Final = 2


@dataclass(frozen=True, eq=False)
class Subspace:
    """The numerical row space of an (m, d) matrix; not shown, as it tells what was summed.

    Build it with `visible_subspace`.

    Attributes:
        basis: orthonormal rows (k, d), float64, the strongest first.
        singular_values: all min(m, d) of the matrix, downwards.
        cutoff: singular values up to here are put down to rounding or noise.
    """

    basis: NDArray[np.float64] = field(repr=False)
    singular_values: NDArray[np.float64] = field(repr=False)
    cutoff: float

    @property
    def dimension(self) -> int:
        """The numerical rank k."""
        return int(self.basis.shape[0])

    @property
    def ambient(self) -> int:
        """The length d of a row."""
        return int(self.basis.shape[1])

    def residual(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return each vector's distance from the span over its own length.

        A vector of zeros has 1: it lies in every span, so that nothing tells of it.

        Args:
            vectors: (n, d).

        Returns:
            (n,) between 0 (in the span) and 1 (at right angles to it).

        Raises:
            ConfigError: the vectors are not rows of d finite numbers.
        """
        if vectors.ndim != _MATRIX_AXES or vectors.shape[1] != self.ambient:
            raise ConfigError(
                f"Vectors of the shape {vectors.shape} cannot be held against rows of "
                f"{self.ambient} numbers: nothing was compared. Give an array (n, {self.ambient}) "
                "of what enters this very layer."
            )
        parts = range(0, vectors.shape[0], _ROWS_AT_ONCE)
        found = [self._residual(vectors[start : start + _ROWS_AT_ONCE]) for start in parts]
        return np.concatenate([np.zeros(0), *found])

    def _residual(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        exact = vectors.astype(np.float64)
        _check_finite(exact)
        lengths = np.linalg.norm(exact, axis=1)
        # Not by Pythagoras: a difference of squares has no digits left near 0.
        apart = np.linalg.norm(exact - (exact @ self.basis.T) @ self.basis, axis=1)
        relative = np.divide(apart, lengths, out=np.ones_like(apart), where=lengths > 0)
        capped: NDArray[np.float64] = np.minimum(relative, 1.0)
        return capped

    def chance(self, threshold: float) -> float:
        """Return how likely a uniformly random direction has a residual below `threshold`.

        Its squared residual has the distribution Beta((d - k) / 2, k / 2), as a share of the
        squares of d normal numbers. Real inputs point less evenly than that, so this is a
        yardstick and no bound.
        """
        outside = self.ambient - self.dimension
        if self.dimension == 0:
            return float(threshold > 1)
        if outside == 0:
            return float(threshold > 0)
        square = min(max(threshold, 0.0), 1.0) ** 2
        return float(stats.beta.cdf(square, outside / 2, self.dimension / 2))

    def chance_threshold(self, chance: float) -> float:
        """Return the residual below which a uniformly random direction is this rarely.

        The inverse of `chance`; 0 where the span is everything, as then nothing can be told apart,
        and where it is nothing.

        Raises:
            ConfigError: `chance` is not in (0, 1).
        """
        if not 0 < chance < 1:
            raise ConfigError(
                f"{chance} is no probability of a chance find: no threshold follows. Choose one "
                "between 0 and 1."
            )
        outside = self.ambient - self.dimension
        if self.dimension == 0 or outside == 0:
            return 0.0
        return math.sqrt(float(stats.beta.ppf(chance, outside / 2, self.dimension / 2)))


def visible_subspace(
    matrix: NDArray[np.floating],
    tolerance: float | None = None,
    *,
    noise_deviation: float = 0.0,
) -> Subspace:
    """Return the span of the matrix's rows that stands out of rounding and of noise.

    The numerical rank counts singular values above the cutoff, which is the greater of

    - `tolerance` times the largest one. Left out, it is max(m, d) times the machine precision of
      the array's own type, as in numpy's `matrix_rank` (after Golub and Van Loan). An array that
      was computed in fewer digits than it is stored in needs its own;
    - `noise_deviation` (sqrt(m) + sqrt(d)), about the largest that a matrix of independent normal
      noise has (Davidson and Szarek 2001, Theorem II.13).

    Args:
        matrix: (m, d), a gradient or a sum of gradients; the cost is that of its SVD.
        tolerance: relative to the largest singular value.
        noise_deviation: of the noise in each entry, where it is known; a grid's rounding counts.

    Raises:
        ConfigError: the matrix is not two-dimensional, is empty or not finite, or a tolerance is
            out of range.
    """
    _check_matrix(matrix)
    rounding = max(matrix.shape) * float(np.finfo(matrix.dtype).eps)
    relative = rounding if tolerance is None else tolerance
    if not 0 <= relative < 1 or not 0 <= noise_deviation < math.inf:
        raise ConfigError(
            f"A tolerance of {relative} with noise of {noise_deviation} draws no line between "
            "what is seen and what is not: no span was computed. Choose a tolerance in [0, 1) and "
            "a finite deviation."
        )
    _, values, rows = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    edge = noise_deviation * sum(math.sqrt(side) for side in matrix.shape)
    cutoff = max(relative * float(values[0]), edge)
    return Subspace(rows[values > cutoff], values, cutoff)


def _check_matrix(matrix: NDArray[np.floating]) -> None:
    if matrix.ndim != _MATRIX_AXES or not matrix.size or matrix.dtype.kind != "f":
        raise ConfigError(
            f"An array of the shape {matrix.shape} and the type {matrix.dtype} has no row space: "
            "nothing was computed. Give one layer's floating-point matrix, with neither side empty."
        )
    _check_finite(matrix)


def _check_finite(array: NDArray[np.floating]) -> None:
    if not np.isfinite(array).all():
        raise ConfigError(
            "A number is infinite or none: every distance would be none. Find where the gradient "
            "or the inputs overflowed."
        )
