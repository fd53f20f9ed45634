"""What is shown beside the test of a run's secrets, and decides nothing.

Exposures in bits (Carlini et al. 2019) with their null, the share that the model recites by itself
(Carlini et al. 2023), and how well other scores tell members from controls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audits.findings import Measure, Point, Series, SeriesKind
from audits.release.extraction import Extraction, extraction_rate
from audits.statistics.rates import area_under_curve, rate_at
from audits.statistics.scores import CanaryScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audits.release.exposure import Exposure, ExposureTest
    from audits.release.secret_gates import SecretEvidence

_TARGET: Final = 0.01
_NOTHING: Final = "decides nothing"


def exposure_measures(test: ExposureTest) -> tuple[Measure, ...]:
    """Return mean and median exposure and their p-value, of secrets that were trained on alike."""
    often = "once" if test.repetitions == 1 else f"{test.repetitions} times"
    of = f"of secrets trained on {often}, {_NOTHING}"
    return (
        Measure(name=f"mean exposure {of}", value=test.mean, unit="bits"),
        Measure(name=f"mean exposure by chance, {_NOTHING}", value=test.expected, unit="bits"),
        Measure(
            name=f"median exposure {of}",
            value=test.median,
            interval=test.median_interval,
            unit="bits",
        ),
        Measure(name=f"p-value of the exposures {of}", value=test.p_value),
    )


def exposure_series(exposures: Sequence[Exposure], name: str, *, null: bool = False) -> Series:
    """Return the share of `exposures` at or above each that there is, from 0 bits on."""
    bits = np.array([each.bits for each in exposures])
    points = [Point(x=0.0, y=1.0)]
    points += [Point(x=float(x), y=float((bits >= x).mean())) for x in np.unique(bits[bits > 0])]
    kind = SeriesKind.EXPOSURE_NULL if null else SeriesKind.EXPOSURE
    return Series(kind=kind, name=name, points=tuple(points))


def beside(evidence: SecretEvidence, members: NDArray[np.bool_]) -> tuple[Measure, ...]:
    """Return how many secrets are recited, and what other attacks make of `members` (n,)."""
    controls = ~evidence.members
    measures = [
        _recited(evidence.recited[members], f"of these secrets, {_NOTHING}"),
        _recited(evidence.recited[controls], f"of secrets never trained on, {_NOTHING}"),
    ]
    for each in evidence.scores:
        scores = CanaryScores.of(each.values[members], each.values[controls])
        area, rate = area_under_curve(scores), rate_at(scores, _TARGET)
        measures += [
            Measure(
                name=f"area under the ROC curve by {each.attack}, {_NOTHING}",
                value=area.area,
                interval=area.interval,
            ),
            Measure(
                name=f"true-positive rate at {rate.false_positive_rate:.3g} false positives by "
                f"{each.attack}, {_NOTHING}",
                value=rate.true_positive_rate,
                interval=rate.true_positive_interval,
            ),
        ]
    return tuple(measures)


def _recited(shares: NDArray[np.float64], of: str) -> Measure:
    found = extraction_rate([Extraction(bool(share == 1), float(share)) for share in shares])
    return Measure(
        name=f"share recited to the end from the question alone, {of}",
        value=found.rate,
        interval=found.interval,
    )
