"""What is left of an opened sum when sites that talk to each other subtract their own parts of it?

Under shared noise no single share protects anybody. Every site pays s^2 / (n - T - c), so that of n
sites, T of which drop out and c of which know their own shares, the others still carry s^2. Here c
sites have subtracted all that they put in, records and noise: what is left is the honest sites'.

Formal guarantee: where the honest sites' noise is at least as large as promised, `colluding_noise`
says `violated` with probability at most its significance. `colluding_sites` decides as
`audits.server.distinguish` does, on the honest sites' canaries alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from scipy import stats

from audits.findings import (
    GATE_SIGNIFICANCE,
    Basis,
    Finding,
    Measure,
    SeriesKind,
    Verdict,
    Window,
)
from audits.server.distinguish import distinguish

if TYPE_CHECKING:
    from audits.server.distinguish import Accounted
    from audits.server.evidence import NoisedSums

NOISE: Final = "colluding-noise"
NOISE_CLAIM: Final = (
    "What colluding sites cannot subtract of a sum still holds as much noise as was promised."
)
SITES: Final = "colluding-sites"
SITES_CLAIM: Final = (
    "In what colluding sites are left with, members' mean score lies no further from controls' "
    "than the mechanism shifts it from which epsilon was computed."
)
_THREAT: Final = (
    "Sites that talk to each other, and to the coordinator, subtract from the opened sum what they "
    "put into it, records and noise alike, and look for single records in what the others sent."
)


@dataclass(frozen=True)
class Collusion:
    """Whose sums they are.

    Attributes:
        cohort: n, the sites of a round.
        drop_outs: T, those that are missing from every sum.
        colluders: c, those that have subtracted what they put in.
    """

    cohort: int
    drop_outs: int
    colluders: int

    @property
    def honest(self) -> int:
        """N - T - c, the sites whose records and noise are left."""
        return self.cohort - self.drop_outs - self.colluders

    @property
    def unpaid(self) -> float:
        """The deviation over the promised one where no share was enlarged for colluders."""
        return math.sqrt(self.honest / (self.honest + self.colluders))

    def words(self) -> str:
        """Return how many do what, as a sentence begins."""
        return (
            f"With {self.colluders} colluding and {self.drop_outs} missing of {self.cohort} sites"
        )


def colluding_noise(left: NoisedSums, collusion: Collusion) -> Finding:
    """Return whether what is `left` of the sums holds the noise that was promised, or more.

    Over k values of deviation s the sum of squares over s^2 is chi-square distributed with k
    degrees of freedom; less noise makes it smaller.

    Args:
        left: what is left; its `deviation` is the promised one.
        collusion: whose sums they are.
    """
    noise = left.noise
    count = int(noise.size)
    squares = float((noise**2).sum()) / left.deviation**2
    ratio = math.sqrt(squares / count)
    low, high = (math.sqrt(squares / float(stats.chi2.isf(tail, count))) for tail in (0.025, 0.975))
    # Noise too small by this factor passes half of the time.
    noticed = math.sqrt(float(stats.chi2.ppf(GATE_SIGNIFICANCE, count)) / count)
    who = collusion.words()
    if float(stats.chi2.cdf(squares, count)) < GATE_SIGNIFICANCE:
        verdict, reason = (
            Verdict.VIOLATED,
            (
                f"{who}, {ratio:.4g} times the promised noise is left: the epsilon that was "
                "claimed against them is too small."
            ),
        )
    elif noticed < collusion.unpaid:
        verdict, reason = (
            Verdict.INCONCLUSIVE,
            (
                f"{who}, shares that do not count them would leave {collusion.unpaid:.4g} "
                f"times the promised noise, and so few values notice {noticed:.4g} times and less: "
                "take more rounds."
            ),
        )
    else:
        verdict, reason = (
            Verdict.NOT_REFUTED,
            (
                f"{who}, {ratio:.4g} times the promised noise is left; shares that do not "
                f"count them would leave {collusion.unpaid:.4g} times."
            ),
        )
    return Finding(
        gate=NOISE,
        window=Window.SITE,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=NOISE_CLAIM,
        verdict=verdict,
        reason=reason,
        samples=count,
        statistic=Measure(
            name="standard deviation of the noise that is left over what was promised",
            value=ratio,
            interval=(low, high),
            limit=1.0,
        ),
    )


def colluding_sites(left: NoisedSums, accounted: Accounted, collusion: Collusion) -> Finding:
    """Return whether the honest sites' canaries refute that `left` is of the mechanism `accounted`.

    Args:
        left: what is left; it observes canaries of honest sites alone.
        accounted: what was claimed of one of their canaries over these sums.
        collusion: whose sums they are.

    Raises:
        ConfigError: there are too few canaries.
    """
    found = distinguish(left, accounted, Window.SITE)
    # A second curve of the headline's power would say the same again.
    series = tuple(
        each.model_copy(update={"name": "canaries of honest sites"})
        for each in found.series
        if each.kind is SeriesKind.ROC
    )
    return Finding(
        gate=SITES,
        window=Window.SITE,
        basis=Basis.REHEARSAL,
        threat=_THREAT,
        claim=SITES_CLAIM,
        verdict=found.verdict,
        reason=f"{collusion.words()}: {found.reason}",
        samples=found.samples,
        statistic=found.statistic,
        details=found.details,
        ceiling=found.ceiling,
        series=series,
    )
