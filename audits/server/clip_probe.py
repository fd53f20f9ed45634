"""Is one record's part in a sum its clipped gradient, and no more?

Every canary's gradient is longer than the clip C, so that its part is C where it is sampled and
0 where it is not. The sum of n parts of members is Binomial(n, q) + N(0, n s^2): few of them are
sampled, so that its tails are not those of a Gaussian, and are summed up here over the binomial.

Formal guarantee: on correct code the gate says `violated` with probability at most its
significance, which its five tails share: both of the members' mean, both of the controls', and the
largest part.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from audits.findings import GATE_SIGNIFICANCE, Basis, Finding, Measure, Verdict, Window

if TYPE_CHECKING:
    from audits.server.evidence import NoisedSums

GATE: Final = "clip-probe"
CLAIM: Final = "One record moves a sum by its clipped gradient, and by nothing else."
_THREAT: Final = (
    "A record that is longer than the clip, or mixed with its neighbours before it is clipped, "
    "stands out of a noise that was measured for the clip."
)
_WANTED: Final = 0.5
"""A part that is wrong by this share of itself has to be noticed, or the gate says nothing."""
_TAIL: Final = GATE_SIGNIFICANCE / 5


def parts_for(rate: float, scale: float) -> int:
    """Return how many members' parts notice one that is wrong by half of itself.

    The mean of n parts has the standard error sqrt((s^2 + q (1 - q)) / n), and the gate needs its
    quantile of that below q / 2: for a small q, n grows as 1 / q where noise is small beside it.

    Args:
        rate: q, of sampling.
        scale: s, the deviation of one part's noise over the clip.
    """
    margin = _WANTED * rate / float(stats.norm.isf(_TAIL))
    return math.ceil((scale**2 + rate * (1 - rate)) / margin**2)


def clip_probe(sums: NoisedSums, window: Window = Window.SERVER) -> Finding:
    """Return whether the canaries' parts in `sums` are what sampling and clip make of them."""
    inside, outside = sums.parts_of(members=True), sums.parts_of(members=False)
    if not inside.size or not outside.size:
        reason = "No sum observes a member and a control: there is nothing to compare."
        return _finding(window, Verdict.INCONCLUSIVE, reason, 0, None, ())
    rate, scale = sums.rate, sums.deviation
    error = math.sqrt((scale**2 + rate * (1 - rate)) / inside.size)
    control_error = scale / math.sqrt(outside.size)
    mean, control = float(inside.mean()), float(outside.mean())
    largest = float(np.abs(inside).max())
    z = float(stats.norm.isf(_TAIL))
    most = 1 + scale * float(stats.norm.isf(_TAIL / (2 * inside.size)))
    half = float(stats.norm.isf(0.025)) * error / rate
    statistic = Measure(
        name="a member's mean part in a sum, over that of its clipped gradient at the stated rate",
        value=mean / rate,
        interval=(mean / rate - half, mean / rate + half),
        limit=1.0,
    )
    details = (
        Measure(name="a control's mean part, over the clip", value=control, limit=0.0),
        Measure(name="the largest single part with its noise", value=largest, limit=most),
    )
    verdict, reason = (
        Verdict.NOT_REFUTED,
        (
            f"A member's part is {mean / rate:.3g} times its clipped gradient on average, if its "
            "rate is the stated one, which is for `sampling` to say; a part that is wrong by "
            f"{z * error / rate:.2g} times itself would have been noticed. No single one is above "
            f"{largest:.3g} times the clip, where noise alone explains {most:.3g}."
        ),
    )
    if largest > most:
        verdict, reason = (
            Verdict.VIOLATED,
            (
                f"One record moved a sum by {largest:.3g} times the clip, and noise explains "
                f"{most:.3g}: what is summed is not clipped."
            ),
        )
    elif min(_tails_of_sum(float(inside.sum()), inside.size, rate, scale)) < _TAIL:
        verdict, reason = (
            Verdict.VIOLATED,
            (
                f"A member's part is {mean / rate:.3g} times its clipped gradient on average: "
                "records are not clipped one by one, are mixed, or are sampled at another rate, "
                "which is for `sampling` to say."
            ),
        )
    elif abs(control) > z * control_error:
        verdict, reason = (
            Verdict.VIOLATED,
            (
                f"Records that are in no sum have a part of {control:.3g} times the clip in them: "
                "they are mixed in, or were trained on."
            ),
        )
    elif z * error > _WANTED * rate:
        verdict, reason = (
            Verdict.INCONCLUSIVE,
            (
                f"At a sampling rate of {rate:.3g} so few parts hold a record that a part which is "
                f"wrong by {z * error / rate:.2g} times itself would have passed: take more "
                "canaries or more rounds."
            ),
        )
    return _finding(window, verdict, reason, int(inside.size), statistic, details)


def _tails_of_sum(total: float, count: int, rate: float, scale: float) -> tuple[float, float]:
    """Return the probabilities that `count` members' parts add up to at most, and to at least, it.

    Args:
        total: the sum of their parts over the clip.
        count: how many parts.
        rate: the probability that one is 1 and not 0, before its noise.
        scale: the standard deviation of one part's noise.
    """
    sampled = np.arange(count + 1)
    chance = stats.binom.pmf(sampled, count, rate)
    away = (total - sampled) / (scale * math.sqrt(count))
    return float(chance @ stats.norm.cdf(away)), float(chance @ stats.norm.sf(away))


def _finding(  # noqa: PLR0913, PLR0917 - what a finding of this gate is made of
    window: Window,
    verdict: Verdict,
    reason: str,
    samples: int,
    statistic: Measure | None,
    details: tuple[Measure, ...],
) -> Finding:
    return Finding(
        gate=GATE,
        window=window,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=CLAIM,
        verdict=verdict,
        reason=reason,
        samples=samples,
        statistic=statistic,
        details=details,
    )
