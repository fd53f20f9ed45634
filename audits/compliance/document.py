"""What the compliance report says, as one validated, versioned value.

A run's facts and an audit of that run, refused where they speak of different runs or promises.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from audits.fact_types import Facts, unreadable
from audits.facts import GuaranteedFacts, ReportFacts
from audits.findings import AuditReport, Claim
from crypto.errors import IntegrityError

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_ID: Final = "urn:secure-fl:compliance:v1"
"""The name under which the JSON Schema of a compliance document is published."""


class ComplianceDocument(Facts):
    """Everything that the compliance report shows.

    Attributes:
        facts: what the run says of itself.
        audit: what an audit of that run found.
    """

    schema_tag: Literal["secure-fl.compliance.v1"] = Field(
        default="secure-fl.compliance.v1", alias="schema"
    )
    facts: ReportFacts
    audit: AuditReport

    @model_validator(mode="after")
    def _speak_of_one_run(self) -> Self:
        if self.audit.run_id != self.facts.run.run_id:
            raise ValueError("the audit is of another run")
        _check_claim(self.facts, self.audit.claim)
        return self

    def sha256(self) -> str:
        """Return the SHA-256 of `to_json()` in hexadecimal."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes) -> ComplianceDocument:
        """Return the document in `data`.

        Raises:
            IntegrityError: `data` is not a compliance document of this version.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(unreadable(cls.__name__, error)) from error


def json_schema() -> bytes:
    """Return the JSON Schema (2020-12) of a document's JSON: one schema, one sequence of bytes."""
    schema = {
        "$schema": _DIALECT,
        "$id": SCHEMA_ID,
        **ComplianceDocument.model_json_schema(by_alias=True),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def claim_of(facts: ReportFacts) -> Claim:
    """Return what a run promises, as an audit of it states the claim.

    The epsilon is the largest that any site was charged; in mode none the claim is empty.
    """
    privacy = facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return Claim(mode=privacy.mode, unit="none", relation="none", epsilon=None, delta=None)
    return Claim(
        mode=privacy.mode,
        unit=privacy.unit.value,
        relation=privacy.relation.value,
        epsilon=privacy.highest_charge,
        delta=privacy.delta,
    )


def _check_claim(facts: ReportFacts, claim: Claim) -> None:
    """Refuse an audit of another promise than the run's.

    The run states the plan's epsilon and, where noise was drawn again, the larger one that was
    charged: an audit may have tested either. In mode none there is nothing else to compare.
    """
    privacy, promised = facts.privacy, claim_of(facts)
    if claim.mode != promised.mode:
        raise ValueError("the audit tested another privacy mode than the run's")
    if not isinstance(privacy, GuaranteedFacts):
        if claim.epsilon is not None:
            raise ValueError("the audit tested an epsilon, and the run promises none")
        return
    if claim.epsilon not in {privacy.epsilon, privacy.highest_charge}:
        raise ValueError("the audit tested another epsilon than the run's")
    if claim.delta != promised.delta:
        raise ValueError("the audit tested another delta than the run's")
    if (claim.unit, claim.relation) != (promised.unit, promised.relation):
        raise ValueError("the audit tested another unit or relation than the run's")
