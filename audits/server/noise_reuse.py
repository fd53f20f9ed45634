"""Is the noise fresh in every sum?

Two sums with the same noise differ by what changed in the data alone. Where no canary is, the inner
product of two sums' noise over s^2 sqrt(d) is close to N(0, 1) if the noises are independent.

Formal guarantee: where they are, the gate says `violated` with probability at most its
significance, which all pairs share (Bonferroni). Edge case: without noise there is nothing to
compare, and the gate is inconclusive; `noise_scale` then is not.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums

GATE: Final = "noise-reuse"
CLAIM: Final = "The noise of every sum is drawn anew, independently of every other."
_THREAT: Final = (
    "Whoever reads two sums subtracts one from the other: noise that both share falls out, and the "
    "difference of the records is left in clear."
)
_LEAST_NOISE: Final = 1e-6


def noise_reuse(sums: NoisedSums, window: Window = Window.SERVER) -> Finding:
    """Return whether any two of `sums` share their noise."""
    noise = sums.noise
    m, d = noise.shape
    pairs = m * (m - 1) // 2
    scales = np.sqrt((noise**2).mean(axis=1))
    if pairs == 0 or float(scales.min(initial=np.inf)) < _LEAST_NOISE * sums.deviation:
        reason = (
            "There is a single sum, and nothing to compare it with: rehearse more rounds."
            if pairs == 0
            else "A sum has no noise at all, so that there is none to compare."
        )
        return _finding(window, Verdict.INCONCLUSIVE, reason, pairs, None)
    scaled = noise / scales[:, None]
    products = (scaled @ scaled.T) / math.sqrt(d)
    largest = float(np.abs(products[np.triu_indices(m, 1)]).max())
    limit = float(stats.norm.isf(GATE_SIGNIFICANCE / (2 * pairs)))
    statistic = Measure(
        name="largest correlation of two sums' noise",
        value=largest / math.sqrt(d),
        limit=limit / math.sqrt(d),
    )
    if largest > limit:
        reason = (
            f"Two sums' noise has a correlation of {largest / math.sqrt(d):.3g}; of independent "
            f"noise none above {limit / math.sqrt(d):.3g} is expected."
        )
        return _finding(window, Verdict.VIOLATED, reason, pairs, statistic)
    if limit >= math.sqrt(d):
        reason = f"On {d} coordinates even equal noise would pass: take more."
        return _finding(window, Verdict.INCONCLUSIVE, reason, pairs, statistic)
    reason = (
        f"No pair is correlated above {limit / math.sqrt(d):.3g}, the most that independent noise "
        "is expected to show."
    )
    return _finding(window, Verdict.NOT_REFUTED, reason, pairs, statistic)


def _finding(
    window: Window, verdict: Verdict, reason: str, pairs: int, statistic: Measure | None
) -> Finding:
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=pairs,
        statistic=statistic,
    )
