"""A draft entry for the registry of differential privacy deployments, from one document.

The fields and their fixed values are those of `schemas/deployments-schema.yaml` in the repository
opendp/deployments-registry-data, as of 15 July 2026. What a run cannot know is left to the
organisation, in words that say so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from audits import numerals, scrubbing_wording, trust, wording
from audits.facts import GuaranteedFacts, ReportWarning, SharedNoiseFacts
from audits.report_warnings import caution
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from audits.compliance.document import ComplianceDocument
    from audits.facts import ReportFacts

SCHEMA_SOURCE: Final = "opendp/deployments-registry-data, schemas/deployments-schema.yaml"
SCHEMA_COMMIT: Final = "3e9c812a924cf01d228f26f6c462c59c391c3f2a"
SCHEMA_DATE: Final = "15 July 2026"
OPEN: Final = "To be filled in by the organisation:"
"""How a field begins that no run can fill."""
_SLUG_LENGTH: Final = 60
_DETAILED = 3


@dataclass(frozen=True)
class Basic:
    """What was made, by whom, for what."""

    name: str
    data_curators: tuple[str, ...]
    intended_use: str
    data_product_type: str
    data_product_region: str
    description: str
    publication_date: str


@dataclass(frozen=True)
class DpVariant:
    """By which standard privacy is measured, over which data, and what it leaves out."""

    variant_name: str
    data_domain: str
    unprotected_quantities: str


@dataclass(frozen=True)
class PrivacyParameters:
    """The promise in numbers."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class PrivacyLoss:
    """What is protected, and how strongly."""

    privacy_unit: str
    privacy_unit_details: str
    privacy_parameters: PrivacyParameters
    privacy_parameters_details: str


@dataclass(frozen=True)
class DeploymentModel:
    """Who is trusted, and how data comes in and goes out."""

    model_name: str
    model_name_details: str
    actors: str
    release_type: str
    release_type_details: str
    data_source_type: str
    data_source_type_details: str
    access_type: str
    access_type_details: str


@dataclass(frozen=True)
class Accounting:
    """What is added up, and what comes after the noise."""

    post_processing: str
    composition: str


@dataclass(frozen=True)
class Implementation:
    """How it was made, and why so."""

    preprocessing_and_hyperparameter_tuning: str
    mechanisms: str
    justification: str


@dataclass(frozen=True)
class Administrative:
    """Where it comes from."""

    sources: str
    notes: str
    registry_authors: tuple[str, ...]


@dataclass(frozen=True)
class Deployment:
    """One deployment."""

    basic: Basic
    dp_variant: DpVariant
    privacy_loss: PrivacyLoss
    deployment_model: DeploymentModel
    accounting: Accounting
    implementation: Implementation
    administrative: Administrative


@dataclass(frozen=True)
class RegistryEntry:
    """A record of the registry; a draft until its organisation has completed it."""

    url_slug: str
    status: str
    tier: int
    deployment: Deployment


def registry_entry(document: ComplianceDocument) -> RegistryEntry:
    """Return the draft of an entry for the run of `document`.

    Raises:
        ConfigError: the run promises no differential privacy, so that there is nothing to register.
    """
    facts = document.facts
    privacy = facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        raise ConfigError(
            "The run has no differential privacy: it is no deployment of it, and no entry for the "
            "registry was made. Register a run in a private mode."
        )
    return RegistryEntry(
        url_slug=_slug(facts),
        status="Draft",
        tier=_DETAILED,
        deployment=Deployment(
            basic=_basic(facts),
            dp_variant=_variant(facts),
            privacy_loss=_loss(privacy),
            deployment_model=_model(facts, privacy),
            accounting=_accounting(facts, privacy),
            implementation=_implementation(document, privacy),
            administrative=_administrative(document),
        ),
    )


def _slug(facts: ReportFacts) -> str:
    """Return a name for the entry's address: lower-case letters, digits and underscores."""
    words = re.sub(r"[^a-z0-9]+", "_", facts.run.name.lower()).strip("_")[:_SLUG_LENGTH]
    return "_".join(part for part in (words, facts.run.run_id[:8]) if part)


def _basic(facts: ReportFacts) -> Basic:
    base, method = facts.base_model, facts.method
    return Basic(
        name=facts.run.name,
        data_curators=(facts.federation.consortium,),
        intended_use=f"{OPEN} what the model is for.",
        data_product_type="Machine learning model",
        data_product_region=f"{OPEN} where the data is from, and whose laws apply.",
        description=(
            f"An adapter for the model {base.name}, tuned jointly by {len(facts.federation.sites)} "
            f"sites that keep their records. Method: {method.name} ({method.reference}). Tuned: "
            f"{method.tuned}. Task: {facts.data.name}."
        ),
        publication_date=f"{facts.run.ended:%Y-%m-%d}",
    )


def _variant(facts: ReportFacts) -> DpVariant:
    return DpVariant(
        variant_name="Approximate DP",
        data_domain=(
            f"The training records of {len(facts.federation.sites)} sites for the task "
            f"{facts.data.name}. {wording.source_phrase(facts.data.source)}"
        ),
        unprotected_quantities=(
            "Which sites took part and in which rounds; the configuration; the base model; and the "
            f"{numerals.thousands(facts.data.evaluation_records)} evaluation records that the "
            "consortium holds in common, with the scores on them."
        ),
    )


def _loss(privacy: GuaranteedFacts) -> PrivacyLoss:
    others = "; ".join(
        f"{check.accountant}: {numerals.bound(check.epsilon, places=3)}"
        f"{' (an approximation, no bound)' if check.approximation else ''}"
        for check in privacy.cross_checks
    )
    return PrivacyLoss(
        privacy_unit=wording.unit_phrase(privacy.unit),
        privacy_unit_details=(
            f"Adjacent are two data sets that differ in this: "
            f"{wording.relation_phrase(privacy.relation)}."
        ),
        privacy_parameters=PrivacyParameters(epsilon=privacy.highest_charge, delta=privacy.delta),
        privacy_parameters_details=(
            "The largest epsilon that any site was charged, repeated draws included. The plan "
            f"alone: {numerals.bound(privacy.epsilon, places=3)}, by {privacy.accountant}. Other "
            f"calculations: {others or 'none'}."
        ),
    )


def _model(facts: ReportFacts, privacy: GuaranteedFacts) -> DeploymentModel:
    shared = isinstance(privacy, SharedNoiseFacts)
    noise = "by all sites together, under a secure sum" if shared else "by each site for itself"
    return DeploymentModel(
        model_name="Federated",
        model_name_details=(
            f"Noise is added {noise}. The bound holds against {trust.holds_against(facts)}. It "
            f"depends on trust in {trust.privacy_trust(facts)}. The coordinator read "
            f"{wording.view_phrase(facts.protection.view_revealed)}."
        ),
        actors="\n".join(
            f"- {row.who}: {row.what} Otherwise: {row.otherwise}" for row in trust.trusts(facts)
        ),
        release_type="One release",
        release_type_details=(
            f"The adapter after {len(facts.rounds)} of {facts.run.planned_rounds} planned rounds. "
            f"{OPEN} whether the same records will be used again."
        ),
        data_source_type="Static",
        data_source_type_details="A run trains on the records that its sites had when it began.",
        access_type="Non-interactive",
        access_type_details="Nobody queries the records; the released adapter is used as it is.",
    )


def _accounting(facts: ReportFacts, privacy: GuaranteedFacts) -> Accounting:
    carried = (
        "The ledgers began empty and are not kept: other runs on the same records are not in it."
        if ReportWarning.BUDGET_NOT_CARRIED in facts.warnings
        else "Each site's own ledger adds it to what other runs on the same records spent."
    )
    return Accounting(
        post_processing=(
            "Everything after the noise: adding up the sites' updates, the coordinator's rule, and "
            "scoring on records held in common."
        ),
        composition=(
            f"{numerals.thousands(privacy.steps)} noised steps over all "
            f"{facts.run.planned_rounds} planned rounds, by {privacy.accountant}. {carried}"
        ),
    )


def _implementation(document: ComplianceDocument, privacy: GuaranteedFacts) -> Implementation:
    facts, audit = document.facts, document.audit
    software = ", ".join(f"{entry.name} {entry.version}" for entry in facts.software)
    modes = dict.fromkeys(entry.mode for entry in facts.scrubbing if entry.looked_for)
    scrubbed = " ".join(scrubbing_wording.mode_sentence(mode) for mode in modes)
    return Implementation(
        preprocessing_and_hyperparameter_tuning=(
            f"{scrubbed or 'No personal data was looked for before training.'} "
            f"{wording.selection_sentence(privacy.selection)}"
        ),
        mechanisms="\n".join(
            [*wording.how_noised(privacy), f"Software: {software or 'not recorded'}."]
        ),
        justification=(
            f"{OPEN} why these parameters, and this unit, are fitting. An audit of the run ended "
            f"on {numerals.date(audit.ended)} with the verdict: {audit.verdict.value}."
        ),
    )


def _administrative(document: ComplianceDocument) -> Administrative:
    facts, audit = document.facts, document.audit
    cautions = [caution(warning) for warning in facts.warnings]
    return Administrative(
        sources=(
            f"The compliance report of run {facts.run.run_id}, beside this file; its run folder's "
            f"signed manifest has the SHA-256 {audit.run_manifest}."
        ),
        notes="\n".join(f"- {entry.title}: {entry.text}" for entry in cautions),
        registry_authors=(
            (
                f"Drafted by secure-fl {audit.version}; to be completed by "
                f"{facts.federation.consortium}"
            ),
        ),
    )
