"""Is the noise as large as the mechanism says?

Where no canary is, a sum is noise alone. Over n such values of deviation s the sum of squares over
s^2 is chi-square distributed with n degrees of freedom. A discrete Gaussian of 16 steps and more
has the same first four moments to far below what n values show.

Formal guarantee: where the noise is as configured, the gate says `violated` with probability at
most its significance, half of it on either side. It sees less noise than configured, which breaks
the guarantee, and more, which shows that the sites' noises are not independent or not of the
configured share.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from scipy import stats

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums

GATE: Final = "noise-scale"
CLAIM: Final = "The noise in every sum has the standard deviation that the mechanism says."
_THREAT: Final = (
    "The coordinator, or anybody who reads a sum, subtracts what it expects and looks at what is "
    "left: with too little noise, single records stand out."
)
_WANTED: Final = math.sqrt(2.0)
"""Noise too small by this factor has to be noticed, or the gate says nothing."""
_TAIL: Final = GATE_SIGNIFICANCE / 2


def noise_scale(sums: NoisedSums, window: Window = Window.SERVER) -> Finding:
    """Return whether the noise of `sums` has the deviation that the mechanism says."""
    noise = sums.noise
    count = int(noise.size)
    squares = float((noise**2).sum()) / sums.deviation**2
    ratio = math.sqrt(squares / count)
    low, high = (math.sqrt(squares / float(stats.chi2.isf(tail, count))) for tail in (0.025, 0.975))
    below = float(stats.chi2.cdf(squares, count))
    above = float(stats.chi2.sf(squares, count))
    measured = Measure(
        name="standard deviation of the noise over what the mechanism says",
        value=ratio,
        interval=(low, high),
        limit=1.0,
    )
    verdict, reason = _judge(ratio, below, above, _smallest_noticed(count))
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=count,
        statistic=measured,
    )


def _smallest_noticed(count: int) -> float:
    """Return the factor by which noise can be too small and still pass half of the time."""
    return math.sqrt(count / float(stats.chi2.ppf(_TAIL, count)))


def _judge(ratio: float, below: float, above: float, noticed: float) -> tuple[Verdict, str]:
    if below < _TAIL:
        return Verdict.VIOLATED, (
            f"The noise is {ratio:.4g} times what the mechanism says: every epsilon that was "
            "computed from it is too small."
        )
    if above < _TAIL:
        return Verdict.VIOLATED, (
            f"The noise is {ratio:.4g} times what the mechanism says: the shares are not "
            "independent, or not of their size, and what colluding sites can subtract is not known."
        )
    if noticed > _WANTED:
        return Verdict.INCONCLUSIVE, (
            f"So few values would notice noise that is {noticed:.3g} times too small, and no "
            "smaller fault: take more coordinates or more sums."
        )
    return Verdict.NOT_REFUTED, (
        f"The noise is {ratio:.4g} times what the mechanism says; noise that is {noticed:.4g} "
        "times too small would have been noticed."
    )
