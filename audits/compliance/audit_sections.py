"""The sections about the audit: who was tried as attacker, what was found, how far it reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits import numerals
from audits.compliance import words
from audits.compliance.blocks import (
    Bullets,
    Cell,
    Column,
    Command,
    Definitions,
    Figure,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
    digest,
    pairs,
    text,
)
from audits.compliance.plots import plots_of
from audits.compliance.run_sections import claimed_table
from audits.findings import GATE_SIGNIFICANCE, Basis, Verdict, Window
from audits.report_warnings import caution

if TYPE_CHECKING:
    from audits.compliance.blocks import Block
    from audits.compliance.document import ComplianceDocument
    from audits.findings import AuditReport, Finding, Measure

_DASH = "\u2013"


def threat_section(audit: AuditReport) -> Section:
    """Return, for each window, who looks through it and what was tried."""
    blocks: list[Block] = [
        Paragraph(
            "An attacker is described by what it sees. There are three such windows; a gate tries "
            "one attack through one of them. Evidence is of one of two kinds, and every finding "
            "says of which:"
        ),
        Bullets(tuple(words.basis_sentence(basis) for basis in Basis)),
    ]
    for window in Window:
        blocks += _window(audit, window)
    return Section("threats", "Who was tried as attacker", tuple(blocks))


def _window(audit: AuditReport, window: Window) -> list[Block]:
    findings = [found for found in audit.findings if found.window is window]
    blocks: list[Block] = [
        Heading(words.window_title(window), f"window-{window.value}"),
        Paragraph(words.window_sentence(window)),
    ]
    if not findings:
        blocks.append(
            Paragraph(
                "No gate of this audit looked through this window: nothing is known about it.",
                lead="NOT COVERED.",
            )
        )
        return blocks
    columns = (Column("Gate", 0.26), Column("Who could do what", 0.58), Column("Evidence", 0.16))
    rows = tuple(
        Row((text(found.gate), text(found.threat), text(found.basis.value))) for found in findings
    )
    blocks.append(Table(f"Attacks through this window: {len(findings)}", columns, rows))
    return blocks


def results_section(audit: AuditReport) -> Section:
    """Return all gates in one table."""
    columns = (
        Column("Gate", 0.18),
        Column("Claim", 0.24),
        Column("Verdict", 0.2),
        Column("Statistic", 0.27),
        Column("Ceiling", 0.11, number=True),
    )
    rows = tuple(
        Row(
            (
                text(found.gate, words.window_title(found.window)),
                text(found.claim),
                Cell((f"Evidence: {found.basis.value}",), verdict=found.verdict),
                Cell(words.statistic_lines(found)),
                text(words.ceiling(found)),
            ),
            verdict=found.verdict,
        )
        for found in audit.findings
    )
    return Section(
        "results",
        "Results",
        (
            Table("One row for each gate, in the order of the audit", columns, rows),
            Paragraph(
                "n: how many observations decided. Intervals are of 95\u00a0% unless the name says "
                "otherwise. Limit: what the number is compared with. Ceiling: the largest epsilon "
                "that so many canaries could refute; a dash where the gate bounds no epsilon. "
                f"{_significance(audit)}",
                note=True,
            ),
        ),
    )


def _significance(audit: AuditReport) -> str:
    used = sorted({found.significance for found in audit.findings})
    listed = ", ".join(words.number(value) for value in used)
    usual = "" if used == [GATE_SIGNIFICANCE] else f" (usual: {words.number(GATE_SIGNIFICANCE)})"
    return (
        f"Every gate tests one-sided at a significance of {listed}{usual}: so often would a gate "
        "call a true claim violated."
    )


def findings_section(audit: AuditReport) -> Section:
    """Return every finding with its reason and all of its numbers."""
    blocks: list[Block] = []
    for found in audit.findings:
        blocks.append(Heading(found.gate, f"gate-{found.gate}", verdict=found.verdict))
        blocks.append(Paragraph(found.reason))
        if found.verdict is Verdict.NOT_RUN:
            blocks.append(Paragraph(f"It would have tested: {found.claim}", note=True))
            continue
        blocks.append(_about(found))
        if found.details:
            blocks.append(_details(found))
    return Section("findings", "Findings, one by one", tuple(blocks))


def _about(found: Finding) -> Table:
    rows: list[tuple[str, Cell | str]] = [
        ("Claim that was tested", found.claim),
        ("Attack", found.threat),
        ("Window", words.window_title(found.window)),
        ("Evidence", words.basis_sentence(found.basis)),
        ("Statistic", Cell(words.statistic_lines(found))),
        ("Significance", f"{words.number(found.significance)}, one-sided"),
    ]
    if found.ceiling is not None:
        rows.append(("Ceiling", f"epsilon {words.ceiling(found)}"))
    return pairs(f"{found.gate}: what was tested, and how", tuple(rows), name=0.25)


def _details(found: Finding) -> Table:
    columns = (
        Column("Other numbers", 0.46),
        Column("Value", 0.18, number=True),
        Column("Interval", 0.22, number=True),
        Column("Limit", 0.14, number=True),
    )
    rows = tuple(
        Row(
            (
                text(entry.name),
                text(words.measured(entry)),
                text(words.interval(entry)),
                text(words.limit(entry)),
            )
        )
        for entry in found.details
    )
    return Table(f"{found.gate}: other numbers", columns, rows)


def epsilon_section(document: ComplianceDocument) -> Section:
    """Return the claimed epsilon beside every epsilon that a gate measured."""
    claimed = claimed_table(document.facts)
    blocks: list[Block] = []
    if claimed is None:
        blocks.append(
            Paragraph(
                "The run promises no epsilon: nothing bounds what it reveals, and there is no "
                "claim to compare with.",
                lead="NO PRIVACY GUARANTEE.",
            )
        )
    else:
        blocks.append(claimed)
    rows = _epsilon_rows(document.audit)
    if rows:
        columns = (
            Column("Gate", 0.2),
            Column("What was measured", 0.34),
            Column("Value", 0.13, number=True),
            Column("Interval", 0.16, number=True),
            Column("Reach of the gate", 0.17),
        )
        blocks.append(Table("What the audit measured", columns, rows))
        blocks.append(
            Paragraph(
                "The claim is an upper bound. An estimate, with its 95 % interval, lies above a "
                "tight claim as often as below it; its gate's verdict says whether chance "
                "explains that. A lower bound (epsilon at least) above the claim refutes it. "
                "Neither proves the claim by lying below it. A gate whose ceiling lies below the "
                "claim could not have refuted it, whatever it measured.",
                note=True,
            )
        )
    else:
        blocks.append(
            Paragraph(
                "No gate measured an epsilon: the claim was not compared with a measured one.",
                lead="NOT MEASURED.",
            )
        )
    return Section("epsilon", "Claimed against measured epsilon", tuple(blocks))


def _epsilon_rows(audit: AuditReport) -> tuple[Row, ...]:
    rows = []
    for found in audit.findings:
        given = (() if found.statistic is None else (found.statistic,)) + found.details
        measures = [entry for entry in given if "epsilon" in entry.name.lower()]
        if not measures and found.ceiling is not None:
            measures = [entry for entry in given[:1] if found.statistic is not None]
        rows += [_epsilon_row(found, entry, audit.claim.epsilon) for entry in measures]
    return tuple(rows)


def _epsilon_row(found: Finding, measure: Measure, claimed: float | None) -> Row:
    return Row(
        (
            text(found.gate, f"{words.label(found.verdict)}, {found.basis.value}"),
            text(measure.name),
            text(words.measured(measure)),
            text(words.interval(measure)),
            text(_reach(found, measure, claimed)),
        ),
        verdict=found.verdict,
    )


def _reach(found: Finding, measure: Measure, claimed: float | None) -> str:
    estimate = measure is found.statistic and measure.interval is not None
    if measure.ceiling is None and estimate and "epsilon" in measure.name.lower():
        return "an estimate: no ceiling"
    ceiling = found.ceiling if measure.ceiling is None else measure.ceiling
    if ceiling is None:
        return "no ceiling stated"
    top = f"ceiling {numerals.decimal(ceiling, places=2)}"
    if claimed is None:
        return top
    if ceiling < claimed:
        return f"{top}: CANNOT REACH the claim"
    return f"{top}: reaches the claim"


def plots_section(document: ComplianceDocument) -> Section:
    """Return every plot, or that there is none."""
    pictures = plots_of(document)
    if not pictures:
        return Section("plots", "Plots", (Paragraph("No finding has anything to plot."),))
    return Section("plots", "Plots", tuple(Figure(picture) for picture in pictures))


_GENERAL: Final = {
    "Not refuted is no proof": "A gate that could have refuted its claim and did not says that "
    "this attack, with so many observations, found nothing. Other attacks may.",
    "A rehearsal is not the run": "Findings whose evidence is a rehearsal come from the same code "
    "under the same mechanism on canaries that the audit made. They say nothing about an error "
    "that the run alone had.",
    "The report rests on the software": "The run and its audit were made by software of one "
    "project. The bound follows from the settings if that software does what it states.",
}


def limits_section(document: ComplianceDocument) -> Section:
    """Return what a reader has to know before relying on the report."""
    cautions = [caution(warning) for warning in document.facts.warnings]
    told = tuple((entry.title, entry.text) for entry in cautions)
    return Section(
        "limits",
        "Limits",
        (
            Paragraph("What a reader has to know before relying on this report."),
            Definitions((*told, *_GENERAL.items())),
        ),
    )


def verify_section(document: ComplianceDocument) -> Section:
    """Return how anybody checks this without a network, and where it is signed by hand."""
    facts, audit = document.facts, document.audit
    digests = facts.digests
    rows = (
        ("Consortium's root key", digest(facts.federation.root_fingerprint)),
        ("Signed manifest of the run", digest(audit.run_manifest)),
        ("Roster of the parties", digest(digests.roster)),
        ("Configuration", digest(digests.config)),
        ("Final shared parameters", digest(digests.final_parameters)),
        (
            f"Transcript, {numerals.thousands(digests.transcript_size)} entries",
            digest(digests.transcript_root),
        ),
        ("Facts of the run's report", digest(facts.sha256())),
        ("Findings of the audit", digest(audit.sha256())),
        ("This document as JSON", digest(document.sha256())),
    )
    return Section(
        "verify",
        "Signatures, and how to check them offline",
        (
            Paragraph(
                "The audited run is one folder. Its manifest lists the digest of every file in it, "
                "and the coordinator signed that manifest. The following command checks "
                "signatures, digests, the transcript and the ledger extract. It needs no network:"
            ),
            Command("secure-fl verify RUN --trust ROOT.pub"),
            Paragraph(
                "RUN is the run's folder. ROOT.pub is the consortium's public key: take it from "
                "the consortium itself and not from this folder, and compare its fingerprint (the "
                "SHA-256 of the key's 32 bytes) with the first line below. The command prints "
                "nothing when everything is in order, and otherwise names the first thing that is "
                "not. Then compare the SHA-256 of the run's manifest with the second line: this "
                "audit speaks of that run folder and of no other."
            ),
            pairs("Fingerprints and digests (SHA-256)", rows),
            Heading("Signed by", "signed"),
            _signatures(),
        ),
    )


def _signatures() -> Table:
    columns = (
        Column("Name and function", 0.32),
        Column("Organisation", 0.24),
        Column("Date", 0.16),
        Column("Signature", 0.28),
    )
    empty = Row(tuple(Cell() for _ in columns))
    return Table(
        "For a printed copy. A signature confirms that the report was read, and nothing that the "
        "report does not say.",
        columns,
        (empty, empty),
        signing=True,
    )
