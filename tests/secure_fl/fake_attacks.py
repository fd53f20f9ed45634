"""Attacks that find what a test says, at once, and whoever watches them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from audits.compliance.document import claim_of
from audits.findings import AuditReport, Basis, Finding, Measure, Verdict, Window
from secure_fl.auditing import attacks as real
from secure_fl.auditing import audit, demands
from secure_fl.auditing.attacks import Attack, Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pytest

    from secure_fl.auditing.subject import Subject

HEADLINE = real.HEADLINE


def finding(gate: str, verdict: Verdict = Verdict.NOT_REFUTED, reason: str = "3.0.") -> Finding:
    measured = verdict is not Verdict.NOT_RUN
    return Finding(
        gate=gate,
        window=Window.SERVER,
        basis=Basis.REHEARSAL,
        threat="Somebody who looks.",
        claim="Nothing is to be seen.",
        verdict=verdict,
        reason=reason,
        samples=10 if measured else 0,
        statistic=Measure(name="what was seen", value=3.0) if measured else None,
    )


@dataclass
class FakeAttack:
    """Finds one thing for each gate, and counts how often it was asked.

    Attributes:
        name: its own.
        gates: theirs.
        verdict: of all of them.
        fault: what it raises instead, as long as it is there.
    """

    name: str
    gates: tuple[str, ...]
    verdict: Verdict = Verdict.NOT_REFUTED
    fault: BaseException | None = None
    asked: int = 0

    def run(self, subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
        del subject
        self.asked += 1
        note(1, 2)
        if self.fault is not None:
            raise self.fault
        return tuple(finding(gate, self.verdict) for gate in self.gates)

    def attack(self) -> Attack:
        gates = tuple(
            Gate(gate, Window.SERVER, Basis.REHEARSAL, f"The claim of {gate}.")
            for gate in self.gates
        )
        return Attack(self.name, f"trying {self.name}", gates, self.run)


@dataclass
class Fakes:
    """Three attacks, of which the second has two gates."""

    first: FakeAttack = field(default_factory=lambda: FakeAttack("first", (HEADLINE,)))
    second: FakeAttack = field(default_factory=lambda: FakeAttack("second", ("gate-b", "gate-c")))
    third: FakeAttack = field(default_factory=lambda: FakeAttack("third", ("gate-d",)))

    @property
    def all(self) -> tuple[FakeAttack, ...]:
        return self.first, self.second, self.third

    def asked(self) -> tuple[int, ...]:
        return tuple(each.asked for each in self.all)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Fakes:
        """Let them be all attacks that there are."""
        attacks = tuple(each.attack() for each in self.all)
        for module in (audit, demands):
            monkeypatch.setattr(module, "ATTACKS", attacks)
        return self


@dataclass
class Listener:
    """Keeps what an audit tells."""

    events: list[str] = field(default_factory=list)

    def began(self, about: str, name: str) -> None:
        self.events.append(f"began {name}: {about}")

    def stepped(self, done: int, total: int) -> None:
        self.events.append(f"{done} of {total}")

    def found(self, name: str, findings: Sequence[Finding], *, again: bool) -> None:
        self.events.append(f"{'kept' if again else 'found'} {name} {len(findings)}")


def report_of(subject: Subject, *findings: Finding) -> AuditReport:
    """Return an audit of `subject` that found this, and nothing else."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    return AuditReport(
        schema="secure-fl.audit.v1",
        run_id=subject.facts.run.run_id,
        run_manifest=subject.manifest,
        version="0.0.0",
        started=moment,
        ended=moment,
        headline=HEADLINE,
        claim=claim_of(subject.facts),
        findings=findings or (finding(HEADLINE),),
        limits=("A test shows what it tests.",),
    )
