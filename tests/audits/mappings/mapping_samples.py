"""Documents of runs that never were: with and without what a question may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import compliance_samples as samples
import report_samples

from audits.facts import PlainSumFacts, ScrubbingFacts
from audits.findings import Verdict
from audits.mappings import guarantee_answers
from audits.mappings.instruments import INSTRUMENTS
from privacy.scrubbing import ScrubMode

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument
    from audits.facts import ReportFacts
    from audits.mappings.instrument import Answer, Question

PASSES = (
    samples.distinguish(),
    samples.noise_scale(Verdict.NOT_REFUTED),
    samples.exposure_finding(Verdict.NOT_REFUTED),
)
GUARANTEE = (
    guarantee_answers.parameters,
    guarantee_answers.unit,
    guarantee_answers.person,
    guarantee_answers.trusted,
    guarantee_answers.mechanism,
    guarantee_answers.composition,
    guarantee_answers.selection,
    guarantee_answers.arithmetic,
)


def altered(facts: ReportFacts, **changes: object) -> ReportFacts:
    return facts.model_validate(
        {name: getattr(facts, name) for name in type(facts).model_fields if name != "schema_tag"}
        | {"schema": facts.schema_tag}
        | changes
    )


def scrubbed(*looked_for: tuple[str, ...], mode: ScrubMode) -> tuple[ScrubbingFacts, ...]:
    return tuple(
        ScrubbingFacts(site=site, mode=mode, looked_for=found, not_looked_for=())
        for site, found in zip(report_samples.SITES, looked_for, strict=True)
    )


def real(*, private: bool = True, **changes: object) -> ReportFacts:
    """A run between real parties, with or without a guarantee and otherwise the same."""
    return altered(report_samples.report(private=private, warnings=()), **changes)


def documents() -> dict[str, ComplianceDocument]:
    placeholders = ScrubMode.PLACEHOLDERS
    facts = {
        "record": real(),
        "none": real(private=False),
        "distributed": report_samples.report(
            privacy=report_samples.distributed_privacy(), warnings=()
        ),
        "site": report_samples.report(privacy=report_samples.site_privacy(), warnings=()),
        "simulated": report_samples.report(),
        "not scored": report_samples.report(finished=0, warnings=()),
        "homomorphic": real(protection=report_samples.homomorphic_sum()),
        "plain": real(protection=PlainSumFacts()),
        "no software": real(software=()),
        "no scrubbing": real(scrubbing=scrubbed((), (), (), (), mode=placeholders)),
        "two scrub": real(
            scrubbing=scrubbed(("PERSON", "US_SSN"), ("US_SSN",), (), (), mode=placeholders)
        ),
        "safe harbor": report_samples.report(scrub_mode=ScrubMode.SAFE_HARBOR, warnings=()),
        "expert": report_samples.report(scrub_mode=ScrubMode.EXPERT_DETERMINATION, warnings=()),
    }
    found = {name: samples.document(*PASSES, facts=given) for name, given in facts.items()}
    found["nothing tested"] = samples.document(samples.inversion(), facts=facts["record"])
    found["violated"] = samples.document(facts=facts["record"])
    return found


def questions() -> list[tuple[str, Question]]:
    return [
        (f"{instrument.slug} {question.clause}: {question.asks}", question)
        for instrument in INSTRUMENTS
        for question in instrument.questions
    ]


def answers(document: ComplianceDocument) -> dict[str, Answer]:
    return {name: question.answer(document) for name, question in questions()}
