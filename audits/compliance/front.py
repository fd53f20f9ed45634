"""Page one of the compliance report: the verdict, what was promised, and what neither shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits import numerals, trust, wording
from audits.compliance import words
from audits.compliance.blocks import Bullets, Section, Tally, VerdictBox, pairs
from audits.facts import GuaranteedFacts, Outcome, ReportWarning
from audits.findings import Verdict, Window

if TYPE_CHECKING:
    from audits.compliance.blocks import Table
    from audits.compliance.document import ComplianceDocument
    from audits.facts import ReportFacts
    from audits.findings import AuditReport

NO_GUARANTEE = "NO PRIVACY GUARANTEE"


def subject(document: ComplianceDocument) -> str:
    """Return who trained what when, and when it was audited."""
    facts, audit = document.facts, document.audit
    sites = len(facts.federation.sites)
    done = "finished" if facts.run.outcome is Outcome.FINISHED else "stopped"
    return (
        f"Consortium: {facts.federation.consortium}, {sites} site{'s' if sites != 1 else ''}. "
        f"Run {done} on {numerals.date(facts.run.ended)} after {len(facts.rounds)} of "
        f"{facts.run.planned_rounds} rounds. Audit ended on {numerals.date(audit.ended)} "
        f"(software {audit.version})."
    )


def verdict_box(audit: AuditReport) -> VerdictBox:
    """Return the audit's result: the whole, the four counts, and the headline gate."""
    headline = next(found for found in audit.findings if found.gate == audit.headline)
    return VerdictBox(
        verdict=audit.verdict,
        sentence=words.whole(audit.verdict),
        tallies=tuple(_tally(audit, verdict) for verdict in words.ORDER),
        headline=headline.gate,
        headline_verdict=headline.verdict,
        headline_text=f"{headline.reason} (Evidence: {headline.basis.value}.)",
    )


def _tally(audit: AuditReport, verdict: Verdict) -> Tally:
    gates = tuple(found.gate for found in audit.findings if found.verdict is verdict)
    listed = () if verdict is Verdict.NOT_REFUTED else gates
    return Tally(verdict, len(gates), words.meaning(verdict), listed)


def front_sections(document: ComplianceDocument) -> tuple[Section, ...]:
    """Return the privacy label, and what a reader must not conclude."""
    facts, audit = document.facts, document.audit
    shown = Bullets((*_not_covered(audit), *audit.limits, *wording.not_shown_by_an_audit(facts)))
    return (
        Section("promise", "What was promised", (_label(facts),)),
        Section("not-shown", "What this does not show", (shown,)),
    )


def _not_covered(audit: AuditReport) -> tuple[str, ...]:
    """Return, for each window that no gate looked through, that nothing is known about it."""
    covered = {found.window for found in audit.findings}
    return tuple(
        f"NOT COVERED: {words.window_title(window).lower()}. No gate of this audit looked through "
        "this window."
        for window in Window
        if window not in covered
    )


def _label(facts: ReportFacts) -> Table:
    read = (
        "The coordinator read",
        wording.view_phrase(facts.protection.view_revealed),
    )
    privacy = facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return pairs(
            "Privacy label of the audited run",
            (
                ("Bound", f"{NO_GUARANTEE}: epsilon is infinite"),
                ("Charged to every ledger", "without bound"),
                read,
            ),
        )
    bound = (
        f"epsilon {numerals.bound(privacy.highest_charge)} at delta "
        f"{numerals.plain(privacy.delta)} ({wording.one_in(privacy.delta)})"
    )
    return pairs(
        "Privacy label of the audited run",
        (
            ("Bound", bound),
            ("Unit of privacy", wording.unit_phrase(privacy.unit)),
            ("Neighbouring relation", wording.relation_phrase(privacy.relation)),
            ("Holds against", trust.holds_against(facts)),
            ("Depends on trust in", trust.privacy_trust(facts)),
            ("Composition", _composition(facts, privacy)),
            read,
        ),
    )


def _composition(facts: ReportFacts, privacy: GuaranteedFacts) -> str:
    """Return what the bound adds up, and what it does not."""
    carried = (
        "The ledgers began empty and are not kept: other runs on the same records are not in it."
        if ReportWarning.BUDGET_NOT_CARRIED in facts.warnings
        else "Each site's ledger adds it to what other runs on the same records spent."
    )
    return (
        f"this run alone: {numerals.thousands(privacy.steps)} noised steps in all "
        f"{facts.run.planned_rounds} planned rounds, repeated draws included. {carried}"
    )
