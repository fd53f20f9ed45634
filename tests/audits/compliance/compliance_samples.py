"""Audits that never were, for the tests of the compliance report. The numbers are made up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import report_samples

from audits.compliance.document import ComplianceDocument, claim_of
from audits.findings import (
    AuditReport,
    Basis,
    Finding,
    Measure,
    Point,
    Series,
    SeriesKind,
    Verdict,
    Window,
)

if TYPE_CHECKING:
    from audits.facts import ReportFacts

LIMITS = (
    "What an attack with more canaries, or another attack, would find.",
    "Anything about records that are no canaries: canaries stand for them, and are rarer.",
)


def roc(name: str = "gradient canaries", power: float = 0.4) -> Series:
    rates = [0.002 * 1.6**step for step in range(13)]
    points = [
        Point(x=x, y=x**power, low=max(0.0, x**power - 0.12), high=min(1.0, x**power + 0.12))
        for x in [*rates, 1.0]
    ]
    return Series(kind=SeriesKind.ROC, name=name, points=tuple(points))


def exposure(name: str, kind: SeriesKind, tail: float) -> Series:
    bits = [0.5 * step for step in range(21)]
    shares = [2 ** (-x / tail) for x in bits]
    points = tuple(Point(x=x, y=y) for x, y in zip(bits, shares, strict=True))
    return Series(kind=kind, name=name, points=points)


def ranks(layers: int = 6, rounds: int = 8) -> tuple[Series, ...]:
    return tuple(
        Series(
            kind=SeriesKind.RANK_RATIO,
            name=f"encoder.layer.{layer}.attention.self.query",
            points=tuple(
                Point(x=float(number), y=min(1.0, 0.12 * number + 0.05 * layer))
                for number in range(1, rounds + 1)
                if (layer, number) != (2, 3)
            ),
        )
        for layer in range(layers)
    )


def power(name: str, middle: float) -> Series:
    points = [Point(x=0.5 * step, y=1 / (1 + 2 ** (middle - step))) for step in range(25)]
    return Series(kind=SeriesKind.POWER, name=name, points=tuple(points))


def measured(value: float, at: float = 8.0) -> Series:
    point = Point(x=at, y=value, low=max(0.0, value - 0.7), high=value + 0.7)
    return Series(kind=SeriesKind.EPSILON_MEASURED, name="Gaussian DP", points=(point,))


def distinguish(verdict: Verdict = Verdict.NOT_REFUTED) -> Finding:
    return Finding(
        gate="gradient-canaries",
        window=Window.SERVER,
        basis=Basis.REHEARSAL,
        threat="Whoever reads the opened sums, and knows the gradient of a record, asks whether "
        "that record took part.",
        claim="Members cannot be told from controls better than epsilon 8.00 at delta 0.00001 "
        "allows.",
        verdict=verdict,
        reason="Members are 3.1 +- 0.4 deviations from controls, and epsilon 8 allows 3.6.",
        samples=2000,
        statistic=Measure(
            name="epsilon, estimated as Gaussian DP", value=6.214, interval=(5.4, 7.03), limit=8.0
        ),
        details=(
            Measure(
                name="true-positive rate at 0.01 false positives",
                value=0.412,
                interval=(0.35, 0.47),
            ),
            Measure(name="area under the ROC curve", value=0.913, interval=(0.9, 0.926)),
            Measure(
                name="epsilon at least, one run (Steinke et al. 2023), 100 guesses, ceiling 3.4",
                value=2.31,
                limit=8.0,
            ),
        ),
        ceiling=11.2,
        series=(roc(), measured(6.2), power("n = 2000", 16.0)),
    )


def noise_scale(verdict: Verdict = Verdict.VIOLATED) -> Finding:
    return Finding(
        gate="noise-scale",
        window=Window.SITE,
        basis=Basis.REHEARSAL,
        threat="Nobody attacks here: the noise of a site's steps is measured against what was "
        "configured.",
        claim="The noise has at least the configured standard deviation.",
        verdict=verdict,
        reason="The noise is 0.71 of what was configured, and chance explains 0.97.",
        samples=180_224,
        statistic=Measure(
            name="standard deviation over the configured one",
            value=0.7071,
            interval=(0.7048, 0.7094),
            limit=0.97,
        ),
        details=(Measure(name="p-value", value=3.2e-12, limit=1e-4),),
    )


def exposure_finding(verdict: Verdict = Verdict.INCONCLUSIVE) -> Finding:
    return Finding(
        gate="canary-exposure",
        window=Window.RELEASE,
        basis=Basis.RUN,
        threat="Whoever has the released adapter asks it for a secret that stood in one record.",
        claim="A secret in the records is no more exposed than one that nobody trained on.",
        verdict=verdict,
        reason="The positive control did not light up: 40 canaries show nothing at epsilon 8.",
        samples=40,
        statistic=Measure(name="median exposure", value=1.42, interval=(0.8, 2.2), unit="bits"),
        ceiling=3.1,
        series=(
            exposure("canaries, once", SeriesKind.EXPOSURE, 1.9),
            exposure("canaries, ten times", SeriesKind.EXPOSURE, 4.1),
            exposure("secrets of nobody", SeriesKind.EXPOSURE_NULL, 1.0),
            roc("loss of the released adapter", 0.8),
            roc("loss less the base model's", 0.7),
            power("n = 40", 22.0),
        ),
    )


def inversion() -> Finding:
    return Finding(
        gate="update-inversion",
        window=Window.SERVER,
        basis=Basis.RUN,
        threat="Whoever reads the opened sums rebuilds texts out of the low-rank update.",
        claim="No token of a record is rebuilt beyond chance.",
        verdict=Verdict.NOT_RUN,
        reason="The folder holds no opened sums: they were not kept.",
        samples=0,
        statistic=None,
        series=ranks(),
    )


def audit(facts: ReportFacts, *findings: Finding, headline: str = "") -> AuditReport:
    chosen = findings or (distinguish(), noise_scale(), exposure_finding(), inversion())
    return AuditReport(
        run_id=facts.run.run_id,
        run_manifest=report_samples.digest("manifest"),
        version="0.1.0",
        started=facts.run.ended + timedelta(hours=2),
        ended=facts.run.ended + timedelta(hours=2, minutes=41),
        headline=headline or chosen[0].gate,
        claim=claim_of(facts),
        findings=chosen,
        limits=LIMITS,
    )


def document(*findings: Finding, facts: ReportFacts | None = None) -> ComplianceDocument:
    given = report_samples.report() if facts is None else facts
    return ComplianceDocument(facts=given, audit=audit(given, *findings))
