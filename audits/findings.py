"""What an audit found: a verdict per gate, with what was measured and how far that reaches.

A gate tests one claim. It is `violated` where the claim is refuted at the gate's significance,
`not refuted` where it could have been and was not, `inconclusive` where what was measured could not
have refuted it, and `not run` where nothing was measured. The four are never rounded to two: a test
without power does not pass.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from audits.fact_types import Delta, Epsilon, Facts, Fraction, Hex256, Line, Moment, unreadable
from audits.frontier import MOST_POINTS, FrontierPoint
from crypto.errors import IntegrityError

GATE_SIGNIFICANCE: Final = 1e-4
"""At which every gate tests, one-sided: a whole audit of correct code alarms in about one of a
thousand runs. Intervals that are shown are of 95 %."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


class Verdict(StrEnum):
    """What became of a claim."""

    NOT_REFUTED = "not refuted"
    VIOLATED = "violated"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


class Window(StrEnum):
    """What the attacker looks at."""

    RELEASE = "release"
    """The final adapter and the base model."""
    SERVER = "server"
    """The opened sums, round by round."""
    SITE = "site"
    """The broadcast parameters, or a site's own noised steps before they leave it."""


class Basis(StrEnum):
    """Where the evidence is from."""

    RUN = "run"
    """What this run released, or leaves in its folder."""
    REHEARSAL = "rehearsal"
    """The same code under the same mechanism, on canaries that the audit made."""


class Measure(Facts):
    """One number of a finding.

    Attributes:
        name: what it is, as a noun phrase.
        value: itself; None where it is not finite.
        interval: both ends, of 95 % unless the name says otherwise; None where there is none.
        limit: what the gate compares it with, if it does.
        unit: what it is counted in, if in anything.
        ceiling: of a lower bound on epsilon, the largest that so many observations could give.
    """

    name: Line
    value: FiniteFloat | None
    interval: tuple[FiniteFloat, FiniteFloat] | None = None
    limit: FiniteFloat | None = None
    unit: Line | None = None
    ceiling: Annotated[Epsilon | None, Field(exclude_if=lambda ceiling: ceiling is None)] = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("an interval's ends are the wrong way round")
        return self


class SeriesKind(StrEnum):
    """What a plot shows."""

    ROC = "roc"
    """x false-positive rate, y true-positive rate with its band."""
    EXPOSURE = "exposure"
    """x exposure in bits, y share of the canaries at or above it."""
    EXPOSURE_NULL = "exposure-null"
    """The same of secrets that nobody trained on."""
    EPSILON = "epsilon"
    """x round, y claimed epsilon."""
    EPSILON_MEASURED = "epsilon-measured"
    """x round, y measured lower bound, or an estimate with its interval."""
    RANK_RATIO = "rank-ratio"
    """x round, y rank of the opened sum over the adapter's rank; one series per layer."""
    POWER = "power"
    """x true epsilon, y probability that the gate notices it."""


class Point(Facts):
    """A point of a plot, with its band."""

    x: FiniteFloat
    y: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class Series(Facts):
    """What a plot draws."""

    kind: SeriesKind
    name: Line
    points: Annotated[tuple[Point, ...], Field(min_length=1)]


class Finding(Facts):
    """What became of one claim.

    Attributes:
        gate: the gate's name.
        window: what its attacker looks at.
        basis: where the evidence is from.
        threat: who could do it with what, in plain words.
        claim: what is tested, as a sentence.
        verdict: what became of it.
        reason: why, as a sentence that holds the deciding number.
        samples: how many observations decided.
        statistic: the deciding number; None where nothing was measured.
        details: other numbers.
        significance: of the gate's test, one-sided.
        ceiling: the largest epsilon that so many canaries could refute; None where the gate does
            not bound an epsilon.
        series: what it gives to plots.
    """

    gate: Slug
    window: Window
    basis: Basis
    threat: Line
    claim: Line
    verdict: Verdict
    reason: Line
    samples: Annotated[int, Field(ge=0)]
    statistic: Measure | None
    details: tuple[Measure, ...] = ()
    significance: Annotated[Fraction, Field(gt=0)] = GATE_SIGNIFICANCE
    ceiling: Epsilon | None = None
    series: tuple[Series, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        measured = self.statistic is not None and self.samples > 0
        if (self.verdict is Verdict.NOT_RUN) and measured:
            raise ValueError(f"{self.gate}: something was measured, and the gate was not run")
        decided = self.verdict in {Verdict.NOT_REFUTED, Verdict.VIOLATED}
        if decided and not measured:
            raise ValueError(f"{self.gate}: a verdict needs something that was measured")
        return self


class Claim(Facts):
    """What the audited run promised.

    `epsilon` and `delta` are None in mode none, where nothing is promised.
    """

    mode: Line
    unit: Line
    relation: Line
    epsilon: Epsilon | None
    delta: Delta | None

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.epsilon is None) != (self.delta is None):
            raise ValueError("an epsilon means something only beside its delta")
        return self


class AuditReport(Facts):
    """Everything that one audit of one run found.

    Attributes:
        run_id: of the audited run.
        run_manifest: SHA-256 of its signed manifest: of which run folder this speaks.
        headline: the gate that was named in advance.
        claim: what the run promised.
        findings: one per gate, in the order in which the gates are listed.
        limits: what the whole does not show, as sentences.
        frontier: what others measured at other epsilons on as many evaluation records.
    """

    schema_tag: Literal["secure-fl.audit.v1"] = Field(default="secure-fl.audit.v1", alias="schema")
    run_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    run_manifest: Hex256
    version: Line
    started: Moment
    ended: Moment
    headline: Slug
    claim: Claim
    findings: Annotated[tuple[Finding, ...], Field(min_length=1)]
    limits: tuple[Line, ...]
    frontier: Annotated[tuple[FrontierPoint, ...], Field(max_length=MOST_POINTS)] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        gates = [finding.gate for finding in self.findings]
        if len(set(gates)) != len(gates):
            raise ValueError("a gate has two findings: which verdict holds is not said")
        if self.headline not in gates:
            raise ValueError("the headline gate has no finding")
        if self.ended < self.started:
            raise ValueError("the audit ended before it started")
        return self

    @property
    def verdict(self) -> Verdict:
        """The whole's: violated if one is; else the weakest of what was found.

        One gate that was not run, or could not have refuted its claim, makes the whole
        inconclusive: what nobody looked at is not fine.
        """
        found = {finding.verdict for finding in self.findings}
        if Verdict.VIOLATED in found:
            return Verdict.VIOLATED
        if found == {Verdict.NOT_REFUTED}:
            return Verdict.NOT_REFUTED
        if found == {Verdict.NOT_RUN}:
            return Verdict.NOT_RUN
        return Verdict.INCONCLUSIVE

    def finding(self, gate: str) -> Finding | None:
        """Return what became of the gate called `gate`; None if this audit has no such gate."""
        return next((found for found in self.findings if found.gate == gate), None)

    def sha256(self) -> str:
        """Return the SHA-256 of `to_json()` in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes) -> AuditReport:
        """Return the report in `data`.

        Raises:
            IntegrityError: `data` is not an audit of this version.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(unreadable(cls.__name__, error)) from error
