"""What a document states about the run itself and its audit, as answers.

Every function takes a document and returns one answer. None of them needs a privacy bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits import numerals, wording
from audits.facts import HomomorphicSumFacts, MaskedSumFacts, Outcome, ReportWarning
from audits.findings import Verdict, Window
from audits.mappings.instrument import answered, left, partly

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument
    from audits.findings import Finding
    from audits.mappings.instrument import Answer

_MEASURE = "Measure at each site, on a labelled sample, how much is left."


def identity(document: ComplianceDocument) -> Answer:
    """Answer which run this is, made by which software, and how it relates to others."""
    facts = document.facts
    run = facts.run
    done = "finished" if run.outcome is Outcome.FINISHED else "stopped early"
    return answered(
        f"Run {run.name}, identifier {run.run_id}, {done} on {numerals.date(run.ended)} after "
        f"{len(facts.rounds)} of {run.planned_rounds} rounds."
    )


def versions(document: ComplianceDocument) -> Answer:
    """Answer which software ran."""
    software = document.facts.software
    if not software:
        return left("No version of any software is recorded.", "List the software that ran.")
    return answered(", ".join(f"{entry.name} {entry.version}" for entry in software) + ".")


def parties(document: ComplianceDocument) -> Answer:
    """Answer who took part."""
    federation = document.facts.federation
    return answered(
        f"{federation.consortium}: {len(federation.sites)} sites and a coordinator, named on a "
        "signed roster with the fingerprints of their keys."
    )


def model(document: ComplianceDocument) -> Answer:
    """Answer what was tuned, from which model, by which method."""
    base, method = document.facts.base_model, document.facts.method
    return answered(
        f"{base.name}, from {base.source}, known by the digest of its weights; tuned by "
        f"{method.name} ({method.reference}): {method.tuned}."
    )


def base_model(document: ComplianceDocument) -> Answer:
    """Answer what is known of the model that others made."""
    base = document.facts.base_model
    return partly(
        f"{base.name}, from {base.source}, known by the digest of its weights. What it learned "
        "before is not known here.",
        "Assess that model and whoever made it.",
    )


def settings(document: ComplianceDocument) -> Answer:
    """Answer which choices were made."""
    facts = document.facts
    return partly(
        f"{len(facts.settings)} resolved settings are in the signed configuration, known by its "
        f"digest; method {facts.method.name}.",
        "Give the reasons for the choices, and for what they trade against each other.",
    )


def sources(document: ComplianceDocument) -> Answer:
    """Answer where the training records are from."""
    data = document.facts.data
    return answered(f"{data.name}, licence {data.licence}. {wording.source_phrase(data.source)}")


def scrubbing(document: ComplianceDocument) -> Answer:
    """Answer for which personal data the records were searched."""
    entries = document.facts.scrubbing
    searched = [entry for entry in entries if entry.looked_for]
    if not searched:
        return left(
            "No site searched its records for personal data.",
            "Say why the records needed none, or scrub them.",
        )
    everywhere = set.intersection(*(set(entry.looked_for) for entry in searched))
    modes = ", ".join(sorted({entry.mode.value for entry in searched}))
    told = (
        f"{len(searched)} of {len(entries)} sites searched their records, all of these for "
        f"{len(everywhere)} types of personal data in common (mode: {modes}). How much was found "
        "is in each site's own report."
    )
    if len(searched) < len(entries):
        return partly(told, f"Say why the other sites did not. {_MEASURE}")
    return partly(told, _MEASURE)


def minimisation(document: ComplianceDocument) -> Answer:
    """Answer what left the sites."""
    method, protection = document.facts.method, document.facts.protection
    told = (
        f"Records stay at the sites. In each round a site sends {method.sent}: "
        f"{numerals.thousands(method.shared_parameters)} numbers. The coordinator read "
        f"{wording.view_phrase(protection.view_revealed)}."
    )
    return answered(told)


def sums(document: ComplianceDocument) -> Answer:
    """Answer how single updates were kept from whoever adds them up."""
    facts = document.facts
    protection = facts.protection
    match protection:
        case MaskedSumFacts():
            return _masked(document, protection)
        case HomomorphicSumFacts():
            return partly(
                f"Updates were encrypted ({protection.scheme}) under one key of all sites: any one "
                "site and the coordinator together could read each of them.",
                "Keep the coordinator and the sites from pooling what they have.",
            )
        case _:
            return left(
                "The coordinator read every site's update separately.",
                "Say why it had to, and what binds it.",
            )


def _masked(document: ComplianceDocument, protection: MaskedSumFacts) -> Answer:
    facts = document.facts
    told = (
        f"Masked sums ({protection.cipher_suite}): {protection.threshold} of "
        f"{len(facts.federation.sites)} sites have to stay for one to be opened. Assumed "
        f"adversary: {facts.adversary.value}."
    )
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        return partly(told, "Run it between real parties: one process held all keys.")
    return answered(told)


def signatures(document: ComplianceDocument) -> Answer:
    """Answer how the record is protected from being altered."""
    digests = document.facts.digests
    return answered(
        f"A signed log of {numerals.thousands(digests.transcript_size)} entries under one root, "
        "and digests of the run's manifest, facts and findings; one command checks them offline."
    )


def utility(document: ComplianceDocument) -> Answer:
    """Answer how well the model does, over all evaluation records."""
    facts = document.facts
    scored = [row.scores for row in facts.rounds if row.scores is not None]
    if not scored:
        return left("No finished round was scored.", "Score the model before it is used.")
    last, records = scored[-1], facts.data.evaluation_records
    low, high = numerals.wilson_interval(last.accuracy, records)
    return answered(
        f"Accuracy {numerals.percent(last.accuracy)} (95{numerals.GAP}% interval "
        f"{numerals.percent(low)} to {numerals.percent(high)}) on {numerals.thousands(records)} "
        "records held in common; always answering the most frequent label reaches "
        f"{numerals.percent(facts.utility.majority_accuracy)}."
    )


def attacks(document: ComplianceDocument) -> Answer:
    """Answer what attacks on the run and its model came to."""
    return _attacks(document.audit.findings, "the run")


def release_attacks(document: ComplianceDocument) -> Answer:
    """Answer what attacks on the released model alone came to."""
    found = document.audit.findings
    return _attacks(
        tuple(finding for finding in found if finding.window is Window.RELEASE),
        "the released model",
    )


def _attacks(findings: tuple[Finding, ...], of_what: str) -> Answer:
    """Return what became of `findings`; an attack that could refute nothing is no answer."""
    decided = [f for f in findings if f.verdict in {Verdict.NOT_REFUTED, Verdict.VIOLATED}]
    if not decided:
        return left(
            f"No gate on {of_what} could have refuted its claim ({len(findings)} were listed).",
            f"Test {of_what} by attacks that could find something.",
        )
    told = (
        f"Of {len(findings)} gates on {of_what}, {len(decided)} could have refuted a claim: "
        f"{', '.join(f.gate for f in decided)}."
    )
    violated = [finding.gate for finding in decided if finding.verdict is Verdict.VIOLATED]
    if violated:
        return partly(
            f"{told} VIOLATED: {', '.join(violated)}.",
            "Explain what is violated before anybody relies on the promise.",
        )
    return partly(
        f"{told} None was violated, which is no proof.", "Other attacks than these were not tried."
    )


def limits(document: ComplianceDocument) -> Answer:
    """Answer what the report itself warns of."""
    facts, audit = document.facts, document.audit
    return partly(
        f"{len(facts.warnings)} warnings about the run, and {len(audit.limits)} limits of the "
        "audit.",
        "Add the limits that follow from what the model is used for.",
    )
