"""Runs the attacks on a run, in any order, goes on after a kill, and puts the report together.

What an attack found is kept beside the run folder, in `RUN.audit`, as soon as it is there: an
audit that was killed goes on with the attacks that are left. When all have been run, the outcome is
signed into the run folder and what was kept is removed.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field, ValidationError

from audits.compliance.document import claim_of
from audits.fact_types import Facts, Hex256, Line, Moment
from audits.findings import AuditReport, Finding
from crypto.errors import ConfigError, SecureFLError
from secure_fl import __version__
from secure_fl.auditing.attacks import ATTACKS, HEADLINE
from secure_fl.runfolder import READABLE
from secure_fl.site_home import now
from secure_fl.storage import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from pathlib import Path

    from audits.frontier import FrontierPoint
    from secure_fl.auditing.attacks import Attack
    from secure_fl.auditing.subject import Subject

LIMITS = (
    (
        "A rehearsal shows what the code does on the audit's own canaries. That a site ran this "
        "code on its records, nobody outside can see."
    ),
    "A claim that was not refuted is not proven: an attack that nobody thought of was not tried.",
    (
        "Epsilon bounds what one record, or one person, adds to what was known already. It does "
        "not hide what many records say together."
    ),
    "Attacks on a site's real records are the site's own to run; their figures stay there.",
)


class _Kept(Facts):
    """What one attack found, kept until the audit ends."""

    schema_tag: Literal["secure-fl.audit-attack.v1"] = Field(
        default="secure-fl.audit-attack.v1", alias="schema"
    )
    run_manifest: Hex256
    version: Line
    started: Moment
    findings: tuple[Finding, ...]


class AuditObserver(Protocol):
    """Is told how an audit goes on."""

    def began(self, about: str, name: str) -> None:
        """Know that an attack begins."""

    def stepped(self, done: int, total: int) -> None:
        """Know how far it is."""

    def found(self, name: str, findings: Sequence[Finding], *, again: bool) -> None:
        """Know what it found; `again` if that was kept from before."""


def work_beside(run: Path) -> Path:
    """Return the folder in which an audit of the run in `run` keeps what it found so far."""
    path = run.resolve()
    return path.with_name(f"{path.name}.audit")


@dataclass(frozen=True)
class AuditWork:
    """Where an audit keeps what was found so far."""

    folder: Path
    subject: Subject

    @classmethod
    def of(cls, subject: Subject) -> AuditWork:
        """Return the folder beside the run's."""
        return cls(work_beside(subject.folder.path), subject)

    def kept(self, attack: Attack) -> _Kept | None:
        """Return what `attack` found of this run before; None if it was not run, or of another."""
        try:
            kept = _Kept.model_validate_json((self.folder / f"{attack.name}.json").read_bytes())
        except (OSError, ValidationError):
            return None
        same = kept.run_manifest == self.subject.manifest and kept.version == __version__
        return kept if same and _is_whole(attack, kept.findings) else None

    def keep(self, attack: Attack, started: datetime, findings: tuple[Finding, ...]) -> None:
        """Keep what `attack` found."""
        kept = _Kept(
            schema="secure-fl.audit-attack.v1",
            run_manifest=self.subject.manifest,
            version=__version__,
            started=started,
            findings=findings,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / f"{attack.name}.json", kept.to_json(), mode=READABLE)

    def remove(self) -> None:
        """Forget what was kept."""
        shutil.rmtree(self.folder, ignore_errors=True)


def attacks_called(names: Sequence[str]) -> tuple[Attack, ...]:
    """Return the attacks called `names`; all if none is.

    Raises:
        ConfigError: there is no attack of a name.
    """
    known = {attack.name: attack for attack in ATTACKS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            f"No attack is called {unknown[0]!r}: nothing was audited. There are: "
            f"{', '.join(known)}."
        )
    return tuple(known[name] for name in dict.fromkeys(names)) or ATTACKS


def perform(
    subject: Subject,
    wanted: Sequence[Attack],
    work: AuditWork,
    observer: AuditObserver,
    frontier: tuple[FrontierPoint, ...] = (),
) -> AuditReport:
    """Run the `wanted` attacks and return the report; the others are in it as not run.

    The report repeats `frontier`, what studies measured at other epsilons.
    """
    started = now()
    findings: list[Finding] = []
    for attack in ATTACKS:
        kept = work.kept(attack)
        if kept is not None:
            started = min(started, kept.started)
            observer.found(attack.name, kept.findings, again=True)
            findings += kept.findings
        elif attack in wanted:
            found = _attempt(attack, subject, work, observer)
            observer.found(attack.name, found, again=False)
            findings += found
        else:
            findings += attack.not_run("The audit was asked for other attacks.")
    return AuditReport(
        schema="secure-fl.audit.v1",
        run_id=subject.facts.run.run_id,
        run_manifest=subject.manifest,
        version=__version__,
        started=started,
        ended=max(started, now()),
        headline=HEADLINE,
        claim=claim_of(subject.facts),
        findings=tuple(findings),
        limits=LIMITS,
        frontier=frontier,
    )


def _attempt(
    attack: Attack, subject: Subject, work: AuditWork, observer: AuditObserver
) -> tuple[Finding, ...]:
    """Return what `attack` finds, kept; one that fails is reported and tried again next time."""
    started = now()
    observer.began(attack.about, attack.name)
    try:
        found = attack.run(subject, observer.stepped)
    except SecureFLError as error:
        return attack.not_run(str(error))
    if not _is_whole(attack, found):
        return attack.not_run("The attack gave findings of other gates than its own: a defect.")
    work.keep(attack, started, found)
    return found


def _is_whole(attack: Attack, findings: Sequence[Finding]) -> bool:
    return [finding.gate for finding in findings] == [gate.name for gate in attack.gates]
