"""What one run's canaries bound of its epsilon, and what they could have bounded.

A quarter of them are called members, so many and no other number; the bound is that of Mahloujifar,
Melis and Chaudhuri 2024 (`audits.statistics.one_run`). Whoever reads it has to know what a model
without privacy comes to by the same test, and how much leakage would have been noticed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from audits.findings import GATE_SIGNIFICANCE, Measure
from audits.statistics import bounds, power

if TYPE_CHECKING:
    from audits.statistics.scores import CanaryScores


@dataclass(frozen=True, eq=False)
class OneRunTest:
    """The test of one claim by scores of canaries of one coin.

    Attributes:
        scores: of members and of controls.
        epsilon: that is claimed of them.
        delta: likewise.
    """

    scores: CanaryScores = field(repr=False)
    epsilon: float
    delta: float

    @property
    def members(self) -> int:
        """How many members there are."""
        return int(self.scores.members.size)

    @property
    def guesses(self) -> int:
        """How many canaries are called members."""
        return max(1, min(self.members, self.scores.total // 4))

    @property
    def bound(self) -> float:
        """The lower bound on epsilon at the gate's significance."""
        return bounds.lower_bound(
            self.scores,
            bounds.f_dp_bound,
            bounds.Beforehand(self.guesses),
            delta=self.delta,
            significance=GATE_SIGNIFICANCE,
        ).epsilon

    @property
    def ceiling(self) -> float:
        """That bound where every guess is right."""
        return power.ceiling(
            bounds.f_dp_bound,
            members=self.members,
            controls=self.scores.total - self.members,
            guesses=self.guesses,
            significance=GATE_SIGNIFICANCE,
            delta=self.delta,
        )

    def measures(self, bound: float, seen: float, ceiling: float) -> tuple[Measure, ...]:
        """Return the run's bound, the positive control's, and what would have been noticed."""
        shown = (
            Measure(
                name="epsilon at least, one run under f-DP (Mahloujifar et al. 2024)",
                value=bound,
                limit=self.epsilon,
                ceiling=ceiling,
            ),
            control_bound(seen, self.epsilon),
        )
        return (*shown, self._noticed()) if ceiling > self.epsilon else shown

    def _noticed(self) -> Measure:
        least = power.detectable(
            bounds.f_dp_bound,
            members=self.members,
            controls=self.scores.total - self.members,
            guesses=self.guesses,
            significance=GATE_SIGNIFICANCE,
            delta=self.delta,
            above=self.epsilon,
        )
        return Measure(
            name="least leakage that the best attack would show to be above the claim, in four of "
            "five runs",
            value=least if math.isfinite(least) else None,
            unit="epsilon of a Gaussian mechanism",
        )


def control_bound(seen: float, epsilon: float) -> Measure:
    """Return what a model without privacy comes to by a gate's test, beside the claimed epsilon.

    Its name has no epsilon in it: it is no measurement of the run's.
    """
    return Measure(
        name="the same bound of the positive control, a model without privacy",
        value=seen,
        limit=epsilon,
        unit="epsilon",
    )
