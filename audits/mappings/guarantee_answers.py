"""What a document states about its privacy bound, as answers; without a bound nothing is answered.

Every function takes a document and returns one answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits import numerals, trust, wording
from audits.facts import (
    DistributedPrivacyFacts,
    GuaranteedFacts,
    RecordPrivacyFacts,
    ReportWarning,
    Selection,
)
from audits.findings import Verdict
from audits.mappings.instrument import answered, left, partly
from privacy.events import Unit

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument
    from audits.mappings.instrument import Answer

_NO_NOISE = "No noise was added, and nothing bounds what the run gave away."
_CHOOSE = "Say what protects the records instead, or train again in a private mode."


def _promised(document: ComplianceDocument, told: str) -> Answer:
    """Return what is promised; where the audit refutes a claim that alone is no answer."""
    if document.audit.verdict is not Verdict.VIOLATED:
        return answered(told)
    return partly(
        f"{told} The audit found a claim of this run VIOLATED.",
        "Explain what is violated before anybody relies on it.",
    )


def parameters(document: ComplianceDocument) -> Answer:
    """Answer how strong the promise is: epsilon and delta."""
    privacy = document.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left("No privacy guarantee: epsilon is infinite.", _CHOOSE)
    return _promised(
        document,
        f"Epsilon {numerals.bound(privacy.highest_charge)} at delta "
        f"{numerals.plain(privacy.delta)}, rounded up: the largest that any site was charged.",
    )


def unit(document: ComplianceDocument) -> Answer:
    """Answer what one unit is, and which two data sets are compared."""
    privacy = document.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left("No privacy guarantee: nothing is hidden, whatever the unit.", _CHOOSE)
    return answered(
        f"{wording.unit_phrase(privacy.unit).capitalize()}; "
        f"{wording.relation_phrase(privacy.relation)}."
    )


def person(document: ComplianceDocument) -> Answer:
    """Answer whether the unit covers all that one person contributed."""
    privacy = document.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left("No privacy guarantee: no person's records are covered.", _CHOOSE)
    match privacy.unit:
        case Unit.RECORD:
            return partly(
                "One record, not one person: k records of a person have k times the epsilon and a "
                "larger delta.",
                "Count how many records one person can have.",
            )
        case Unit.SITE:
            return partly(
                "One whole site, compared with zero: a record has up to twice the epsilon.",
                "Count at how many sites one person can have records.",
            )
        case _:
            return partly(
                f"{wording.unit_phrase(privacy.unit).capitalize()}, not over several sites.",
                "Find out who has records at more than one site: they spend at each.",
            )


def trusted(document: ComplianceDocument) -> Answer:
    """Answer against whom the bound holds, and whom it depends on."""
    facts = document.facts
    if not isinstance(facts.privacy, GuaranteedFacts):
        return left(
            "No bound holds against anybody. Who was trusted with updates is listed.",
            "Everybody who gets the model has to be trusted with it: say who they are.",
        )
    told = (
        f"Holds against {trust.holds_against(facts)}. Depends on trust in "
        f"{trust.privacy_trust(facts)}."
    )
    if ReportWarning.ONE_PROCESS_HELD_ALL_KEYS in facts.warnings:
        return partly(told, "Run it between real parties: one computer played all of them.")
    return _promised(document, told)


def mechanism(document: ComplianceDocument) -> Answer:
    """Answer how the bound comes about: clip, noise, sampling and accountant."""
    privacy = document.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left(_NO_NOISE, _CHOOSE)
    sampled = (
        f", sampling rate {numerals.plain(privacy.sampling_rate)}"
        if isinstance(privacy, RecordPrivacyFacts | DistributedPrivacyFacts)
        else ""
    )
    return _promised(
        document,
        f"Clip {numerals.plain(privacy.clip)}, noise "
        f"{numerals.significant(privacy.noise_multiplier)} times what one unit can move a sum by"
        f"{sampled}, {numerals.thousands(privacy.steps)} steps; bound by {privacy.accountant}, "
        f"beside {len(privacy.cross_checks)} other calculations.",
    )


def composition(document: ComplianceDocument) -> Answer:
    """Answer what is added up in the bound, and what is not."""
    facts = document.facts
    privacy = facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left("Every ledger was charged without bound.", _CHOOSE)
    told = (
        f"This run alone: {numerals.thousands(privacy.steps)} noised steps of all "
        f"{facts.run.planned_rounds} planned rounds, repeated draws included."
    )
    if ReportWarning.BUDGET_NOT_CARRIED in facts.warnings:
        return partly(
            f"{told} Its ledgers began empty and are not kept.",
            "Add what other runs spent on the same records.",
        )
    return partly(told, "Read the total of all runs from each site's own ledger.")


def selection(document: ComplianceDocument) -> Answer:
    """Answer whether the choice of settings is in the bound."""
    privacy = document.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left("There is no bound that a choice of settings could be in.", _CHOOSE)
    told = wording.selection_sentence(privacy.selection)
    match privacy.selection:
        case Selection.OTHER_DATA | Selection.CHARGED:
            return partly(told, "Keep the evidence of how the settings were chosen.")
        case Selection.UNSTATED | Selection.UNCHARGED:
            return left(told, "Say how they were chosen, and what that choice gave away.")


def arithmetic(document: ComplianceDocument) -> Answer:
    """Answer what is known of faults below the mathematics: rounding, timing, memory."""
    privacy = document.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return left(_NO_NOISE, _CHOOSE)
    kind = (
        "The noise is made of rounded numbers: a known attack is made harder, not impossible."
        if isinstance(privacy, RecordPrivacyFacts)
        else "The noise is drawn and added as whole numbers."
    )
    return partly(
        f"{kind} Timing, memory and traffic are in no bound.",
        "Keep strangers off the computers and the network of the sites.",
    )
