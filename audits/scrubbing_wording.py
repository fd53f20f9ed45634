"""The report's sentences about scrubbing: what was looked for, what was written, what it claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.scrubbing.modes.modes import SAFE_HARBOR_IDENTIFIERS, ScrubMode

if TYPE_CHECKING:
    from audits.site_facts import ProviderFacts, SiteFacts

_ENTITIES = {
    "ABA_ROUTING_NUMBER": "US bank routing numbers",
    "ACCOUNT_NUMBER": "Account numbers",
    "AGE_OVER_89": "Ages over 89",
    "BIC_CODE": "Bank codes (BIC)",
    "BIOMETRIC_ID": "Numbers of fingerprints and other biometric templates",
    "CREDIT_CARD": "Payment card numbers",
    "CRYPTO": "Cryptocurrency addresses",
    "CUSIP": "US securities numbers (CUSIP)",
    "DATE_TIME": "Dates and times",
    "DEVICE_ID": "Device and serial numbers",
    "EMAIL_ADDRESS": "E-mail addresses",
    "HEALTH_PLAN_NUMBER": "Health plan numbers",
    "IBAN_CODE": "International bank account numbers (IBAN)",
    "IP_ADDRESS": "Internet (IP) addresses",
    "ISIN": "Securities numbers (ISIN)",
    "LEI": "Legal entity identifiers (LEI)",
    "LICENCE_PLATE": "Licence plates",
    "LOCATION": "Places",
    "MEDICAL_LICENSE": "Medical licence and certificate numbers",
    "MEDICAL_RECORD_NUMBER": "Medical record numbers",
    "NRP": "Nationality, religion or political group",
    "ORGANIZATION": "Names of organisations",
    "PERSON": "Names of people",
    "PHONE_NUMBER": "Telephone and fax numbers",
    "POSTAL_CODE": "Postal codes",
    "SEDOL": "UK securities numbers (SEDOL)",
    "STREET_ADDRESS": "Street addresses",
    "TAX_ID": "Tax numbers",
    "UK_NHS": "UK NHS numbers",
    "UNIQUE_ID": "Other identifying numbers",
    "URL": "Web addresses",
    "US_BANK_NUMBER": "US bank account numbers",
    "US_DRIVER_LICENSE": "US driving licence numbers",
    "US_EIN": "US employer numbers (EIN)",
    "US_ITIN": "US taxpayer numbers (ITIN)",
    "US_PASSPORT": "Passport numbers",
    "US_SSN": "US social security numbers",
    "VEHICLE_ID": "Vehicle numbers",
}

_MODES = {
    ScrubMode.PLACEHOLDERS: "What was found was replaced by its type, such as <PERSON>. Conformity "
    "with a rule of de-identification is not claimed.",
    ScrubMode.SAFE_HARBOR: "What was found was replaced as the rule called Safe Harbor, 45 CFR "
    "164.514(b)(2)(i), lists it: of a date the year stays, of a US ZIP code three digits, states "
    "and countries stay, ages over 89 are one category, and names and places became invented ones, "
    "drawn at random and not derived from them. All of the identifiers that the rule lists and "
    "text can hold were looked for. It cannot be attested here that all of them were found, nor "
    "what the rule also asks (164.514(b)(2)(ii)): that the site has no actual knowledge that what "
    "is left could identify somebody.",
    ScrubMode.EXPERT_DETERMINATION: "What was found was replaced by surrogates that are the same "
    "for the same value in all records of a site, under a secret of that site, and the dates of "
    "one person, or of one record, were shifted by one number of days. By itself this is no "
    "de-identification: under 45 CFR 164.514(b)(1) an expert has to determine, and to document, "
    "that the risk of identifying somebody is very small.",
}


@dataclass(frozen=True)
class IdentifierRow:
    """One of the eighteen identifiers, and by what a site looked for it."""

    letter: str
    words: str
    by: str


def entity_phrase(entity: str) -> str:
    """Return an entity in words, with the scrubber's own name where there are words for it."""
    words = _ENTITIES.get(entity)
    return entity if words is None else f"{words} [{entity}]"


def mode_sentence(mode: ScrubMode) -> str:
    """Return what stands in the place of what was found, and what follows from it."""
    return _MODES[mode]


def expert_sentence(facts: SiteFacts) -> str:
    """Return where the expert's determination is, or that there is none; empty in other modes."""
    if facts.scrubbing.mode is not ScrubMode.EXPERT_DETERMINATION:
        return ""
    if facts.expert_statement is None:
        return (
            "This site's policy names no expert's statement (expert_statement). Until there is "
            "one, treat the records, and a model trained on them, as if nothing had been replaced."
        )
    return "The site's policy names a document as the expert's determination. It was not read here."


def identifier_rows(facts: SiteFacts) -> tuple[IdentifierRow, ...]:
    """Return the eighteen identifiers and who looked for each; none in other modes."""
    if facts.scrubbing.mode is not ScrubMode.SAFE_HARBOR:
        return ()
    return tuple(
        IdentifierRow(entry.letter, entry.words, _looked_for_by(entry.entities, facts))
        for entry in SAFE_HARBOR_IDENTIFIERS
    )


def _looked_for_by(entities: tuple[str, ...], facts: SiteFacts) -> str:
    if not entities:
        return "not looked for: text cannot hold one"
    return "; ".join(
        f"{entity} by "
        + (", ".join(provider_phrase(p) for p in facts.providers if p.entity == entity) or "nobody")
        for entity in entities
    )


def provider_phrase(provider: ProviderFacts) -> str:
    """Return one recogniser in words, with the beginning of its model's digest if it has one."""
    digest = "" if provider.digest is None else f", model {provider.digest[:16]}"
    return f"{provider.name} ({provider.kind}{digest})"
