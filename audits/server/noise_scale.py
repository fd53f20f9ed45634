"""Is the noise as large as the mechanism says, in all sums together and in each?

Where no canary is, a sum is noise alone. Over n such values of deviation s the sum of squares over
s^2 is chi-square distributed with n degrees of freedom. A discrete Gaussian of 16 steps and more
has the same first four moments to far below what n values show. All values together show a small
fault of all sums; each sum's own show a large fault of a single one, which all others would hide.

Formal guarantee: where the noise is as configured, the gate says `violated` with probability at
most its significance: half of it for all sums together, half for single ones, which share it
(Bonferroni), and half of either on either side. It sees less noise than configured, which breaks
the guarantee, and more, which shows that the sites' noises are not independent or not of the
configured share.
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

GATE: Final = "noise-scale"
CLAIM: Final = "The noise in every sum has the standard deviation that the mechanism says."
_THREAT: Final = (
    "The coordinator, or anybody who reads a sum, subtracts what it expects and looks at what is "
    "left: with too little noise, single records stand out."
)
_WANTED: Final = math.sqrt(2.0)
"""Noise too small by this factor has to be noticed, or the gate says nothing."""
_TAIL: Final = GATE_SIGNIFICANCE / 4
"""Of all sums together on one side, and of all single sums on one side."""


@dataclass(frozen=True)
class _Measured:
    """The noise over what the mechanism says, and how far it may be away.

    Attributes:
        count: how many values a ratio is of.
        tail: the probability below, and above, which it is a violation.
        least: the smallest ratio.
        most: the largest; the same where there is one.
    """

    count: int
    tail: float
    least: float
    most: float

    @classmethod
    def of(cls, squares: NDArray[np.float64], count: int) -> _Measured:
        """Return that of sums of `count` `squares` over the variance, which share the tail."""
        ratios = np.sqrt(squares / count)
        return cls(count, _TAIL / squares.size, float(ratios.min()), float(ratios.max()))

    @property
    def limits(self) -> tuple[float, float]:
        """The ratios that one of the right size is between, but for twice the tail."""
        ends = stats.chi2.ppf(self.tail, self.count), stats.chi2.isf(self.tail, self.count)
        return math.sqrt(float(ends[0]) / self.count), math.sqrt(float(ends[1]) / self.count)

    @property
    def noticed(self) -> float:
        """The factor by which noise can be too small and still pass half of the time, at least."""
        return 1 / self.limits[0]


def noise_scale(sums: NoisedSums, window: Window = Window.SERVER) -> Finding:
    """Return whether the noise of `sums` has the deviation that the mechanism says."""
    noise = sums.noise
    count = int(noise.size)
    squares = (noise**2).sum(axis=1) / sums.deviation**2
    total = np.array([squares.sum()])
    everything, single = _Measured.of(total, count), _Measured.of(squares, noise.shape[1])
    ends = [math.sqrt(float(total[0] / stats.chi2.isf(tail, count))) for tail in (0.025, 0.975)]
    verdict, reason = _judge(everything, single)
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=count,
        statistic=Measure(
            name="standard deviation of the noise over what the mechanism says",
            value=everything.least,
            interval=(ends[0], ends[1]),
            limit=1.0,
        ),
        details=(
            Measure(
                name="the same of the sum with the least noise",
                value=single.least,
                limit=single.limits[0],
            ),
            Measure(
                name="the same of the sum with the most noise",
                value=single.most,
                limit=single.limits[1],
            ),
        ),
    )


def _judge(everything: _Measured, single: _Measured) -> tuple[Verdict, str]:
    low, high = everything.limits
    least, most = single.limits
    if everything.least < low:
        return Verdict.VIOLATED, (
            f"The noise is {everything.least:.4g} times what the mechanism says: every epsilon "
            "that was computed from it is too small."
        )
    if single.least < least:
        return Verdict.VIOLATED, (
            f"The noise of one sum is {single.least:.4g} times what the mechanism says, and of the "
            f"right size none would be below {least:.4g}: whoever is in that sum is not protected "
            "as was computed."
        )
    if max(everything.most / high, single.most / most) > 1:
        return Verdict.VIOLATED, (
            f"The noise is {everything.most:.4g} times what the mechanism says, and that of one "
            f"sum {single.most:.4g} times: the shares are not independent, or not of their size, "
            "and what colluding sites can subtract is not known."
        )
    if everything.noticed > _WANTED:
        return Verdict.INCONCLUSIVE, (
            f"So few values would notice noise that is {everything.noticed:.3g} times too small, "
            "and no smaller fault: take more coordinates or more sums."
        )
    return Verdict.NOT_REFUTED, (
        f"The noise is {everything.least:.4g} times what the mechanism says; noise that is "
        f"{everything.noticed:.4g} times too small in all sums, or {single.noticed:.4g} times in "
        "one of them, would have been noticed at least half of the time."
    )
