"""Is the noise fresh in every sum?

Two sums with the same noise differ by what changed in the data alone. Where no canary is, a sum is
noise alone, and d such values of independent Gaussian noises have a direction that is uniform on
the sphere: the square of two directions' product, their correlation r, is Beta(1/2, (d - 1) / 2)
distributed. Looked at is

- the largest correlation of two sums, which shows noise that comes back once;
- the mean of all pairs' squared correlations, which shows a small part that many sums have in
  common;
- the mean correlation of a sum with the next, which shows noise that goes over from one to the
  other in part.

Formal guarantee: where the noises are independent and Gaussian, the gate says `violated` with
probability at most its significance: half for the largest, which all pairs share (Bonferroni), and
a quarter for either mean. That of the squares is held against the Pearson distribution of its
first three moments, which is close and no bound; that of the next is held against a bound that
takes a twelfth of its quarter, and leaves room for it. Edge case: without noise there is nothing
to compare, and the gate is inconclusive; `noise_scale` then is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audits.server.evidence import NoisedSums

GATE: Final = "noise-reuse"
CLAIM: Final = "The noise of every sum is drawn anew, independently of every other."
_THREAT: Final = (
    "Whoever reads two sums subtracts one from the other: noise that both share falls out, and the "
    "difference of the records is left in clear."
)
_LEAST_NOISE: Final = 1e-6
_WANTED: Final = math.sqrt(0.5)
"""Two sums that have half of their noise in common have to be noticed, or the gate says nothing."""


@dataclass(frozen=True)
class _Test:
    """One statistic of the correlations and its limit on independent noise.

    Attributes:
        name: what it is, as a noun phrase.
        value: itself, in magnitude.
        limit: above which it is a violation.
        words: what it shows there, as the predicate of a sentence about the sums.
    """

    name: str
    value: float
    limit: float
    words: str

    def measure(self) -> Measure:
        """Return it as a number of a finding."""
        return Measure(name=self.name, value=self.value, limit=self.limit)


def noise_reuse(sums: NoisedSums, window: Window = Window.SERVER) -> Finding:
    """Return whether `sums` share noise: any two of them, many a little, or each with the next."""
    noise = sums.noise
    m, d = noise.shape
    pairs = m * (m - 1) // 2
    lengths = np.linalg.norm(noise, axis=1)
    if pairs == 0 or float(lengths.min()) < _LEAST_NOISE * sums.deviation * math.sqrt(d):
        reason = (
            "There is a single sum, and nothing to compare it with: rehearse more rounds."
            if pairs == 0
            else "A sum has no noise at all, so that there is none to compare."
        )
        return _finding(window, Verdict.INCONCLUSIVE, reason, pairs, ())
    limit = largest_limit(m, d, GATE_SIGNIFICANCE / 2)
    if limit > _WANTED:
        reason = (
            f"On {d} coordinates two sums could have a correlation of {limit:.3g} and pass: take "
            "more."
        )
        return _finding(window, Verdict.INCONCLUSIVE, reason, pairs, ())
    tests = _tests(noise / lengths[:, None], limit)
    for test in tests:
        if test.value > test.limit:
            reason = (
                f"The sums' noises {test.words}: {test.value:.3g}, where independent ones would "
                f"not be above {test.limit:.3g}."
            )
            return _finding(window, Verdict.VIOLATED, reason, pairs, tests)
    largest, _, following = tests
    reason = (
        f"No two sums' noises are correlated above {largest.limit:.3g}, nor each with the next "
        f"above {following.limit:.3g} on average, the most that independent ones would be."
    )
    return _finding(window, Verdict.NOT_REFUTED, reason, pairs, tests)


def _tests(directions: NDArray[np.float64], limit: float) -> tuple[_Test, _Test, _Test]:
    """Return the statistics of noises' `directions`, (m, d) with rows of length 1."""
    m, d = directions.shape
    correlations = directions @ directions.T
    apart = correlations[np.triu_indices(m, 1)]
    return (
        _Test(
            "largest correlation of two sums' noise",
            float(np.abs(apart).max()),
            limit,
            "are correlated in two sums",
        ),
        _Test(
            "squared correlation of two sums' noise on average, over that of independent noise",
            float((apart**2).mean()) * d,
            squares_limit(m, d, GATE_SIGNIFICANCE / 4),
            "have a part in common in many sums, by the mean square of their correlations over "
            "what it should be",
        ),
        _Test(
            "correlation of a sum's noise with the next one's on average",
            abs(float(np.diagonal(correlations, 1).mean())),
            following_limit(m, d, GATE_SIGNIFICANCE / 4),
            "go over in part from a sum to the next, by their correlation on average",
        ),
    )


def largest_limit(sums: int, size: int, significance: float) -> float:
    """Return what the largest of all pairs' correlations is above with at most `significance`.

    Each is a coordinate of a uniform direction: its square is Beta(1/2, (size - 1) / 2); all pairs
    share the significance. 1 where directions have one coordinate.
    """
    pairs = sums * (sums - 1) // 2
    if size == 1:
        return 1.0
    return math.sqrt(float(stats.beta.isf(significance / pairs, 0.5, (size - 1) / 2)))


def squares_limit(sums: int, size: int, significance: float) -> float:
    """Return what size times the mean of all pairs' r^2 is above with about `significance`.

    With d = size, E r^2 = 1 / d, E r^4 = 3 / (d (d + 2)), E r^6 = 15 / (d (d + 2) (d + 4)). Two
    pairs are independent. So are two pairs of a triangle, but not all three: with w averaged over,
    E (u v)^2 (v w)^2 (u w)^2 = E (u v)^2 (1 + 2 (u v)^2) / (d (d + 2)), so that the third moment of
    a triangle's d r^2 - 1 is 4 (d - 1) / (d + 2)^2, and each counts six times. The distribution is
    Pearson's of these moments; of two sums it is nearly exact.
    """
    d, pairs = size, sums * (sums - 1) // 2
    triangles = sums * (sums - 1) * (sums - 2) // 6
    fourth, sixth = 3 * d / (d + 2), 15 * d**2 / ((d + 2) * (d + 4))
    variance = pairs * (fourth - 1)
    third = pairs * (sixth - 3 * fourth + 2) + 6 * triangles * 4 * (d - 1) / (d + 2) ** 2
    away = float(stats.pearson3.isf(significance, third / variance**1.5))
    return 1 + away * math.sqrt(variance) / pairs


def following_limit(sums: int, size: int, significance: float) -> float:
    """Return what the mean of sums - 1 correlations with the next is above with `significance`.

    These are independent of each other, and their moments are at most those of N(0, 1 / size), so
    that P(|mean| > x) <= 2 exp(-(sums - 1) size x^2 / 2) (Chernoff).
    """
    return math.sqrt(2 * math.log(2 / significance) / ((sums - 1) * size))


def _finding(
    window: Window, verdict: Verdict, reason: str, pairs: int, tests: tuple[_Test, ...]
) -> Finding:
    measures = tuple(test.measure() for test in tests)
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=pairs,
        statistic=measures[0] if measures else None,
        details=measures[1:],
    )
