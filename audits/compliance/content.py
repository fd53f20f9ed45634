"""Puts the report together from a document: the parts, in the order in which they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits.compliance import (
    audit_sections,
    front,
    frontier_section,
    mapping_section,
    run_sections,
)
from audits.compliance.blocks import Report
from audits.facts import GuaranteedFacts

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument


def report_of(document: ComplianceDocument) -> Report:
    """Return what the page and the PDF write, of one document always the same."""
    facts, audit = document.facts, document.audit
    private = isinstance(facts.privacy, GuaranteedFacts)
    return Report(
        kind="Compliance report: audit of a joint training run",
        title=facts.run.name,
        subject=front.subject(document),
        warning="" if private else front.NO_GUARANTEE,
        box=front.verdict_box(audit),
        front=front.front_sections(document),
        sections=(
            run_sections.data_section(facts),
            run_sections.federation_section(facts),
            audit_sections.threat_section(audit),
            audit_sections.results_section(audit),
            audit_sections.findings_section(audit),
            audit_sections.epsilon_section(document),
            run_sections.utility_section(facts),
            frontier_section.frontier_section(document),
            audit_sections.plots_section(document),
            mapping_section.mapping_section(document),
            audit_sections.limits_section(document),
            audit_sections.verify_section(document),
        ),
        footer=f"Written by the audit's software from recorded facts and findings (schema "
        f"{document.schema_tag}). It contains no script and loads nothing.",
    )
