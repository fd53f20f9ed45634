from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import compliance_samples as samples
import pytest
import report_samples
from pydantic import ValidationError

from audits.compliance import schema
from audits.compliance.document import ComplianceDocument, claim_of, json_schema
from crypto.errors import IntegrityError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_document_is_one_value_and_one_sequence_of_bytes() -> None:
    document = samples.document()
    again = ComplianceDocument.from_json(document.to_json())
    assert again == document
    assert again.to_json() == document.to_json()
    assert again.sha256() == document.sha256()
    assert json.loads(document.to_json())["schema"] == "secure-fl.compliance.v1"


def test_an_audit_of_another_run_is_refused() -> None:
    facts = report_samples.report()
    other = samples.audit(facts).model_copy(update={"run_id": "0" * 32})
    with pytest.raises(ValidationError, match="another run"):
        ComplianceDocument(facts=facts, audit=other)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mode", "site", "another privacy mode"),
        ("epsilon", 7.9967, "another epsilon"),
        ("epsilon", None, "another epsilon"),
        ("delta", 1e-6, "another delta"),
        ("unit", "patient", "another unit"),
        ("relation", "zero-out", "another unit or relation"),
    ],
)
def test_an_audit_of_another_promise_is_refused(name: str, value: object, words: str) -> None:
    facts = report_samples.report()
    claim = claim_of(facts).model_copy(update={name: value})
    audit = samples.audit(facts).model_copy(update={"claim": claim})
    with pytest.raises(ValidationError, match=words):
        ComplianceDocument(facts=facts, audit=audit)


def test_the_plan_and_the_charge_are_both_promises_of_the_run() -> None:
    facts = report_samples.report(extra=2)
    promised = claim_of(facts)
    assert promised.epsilon == 8.4213
    for epsilon in (8.4213, 7.9968):
        claim = promised.model_copy(update={"epsilon": epsilon})
        audit = samples.audit(facts).model_copy(update={"claim": claim})
        assert ComplianceDocument(facts=facts, audit=audit).audit.claim.epsilon == epsilon


def test_a_run_that_promises_nothing_has_no_epsilon_to_test() -> None:
    facts = report_samples.report(private=False)
    assert samples.document(facts=facts).audit.claim.epsilon is None
    claim = claim_of(report_samples.report()).model_copy(update={"mode": "none"})
    audit = samples.audit(facts).model_copy(update={"claim": claim})
    with pytest.raises(ValidationError, match="the run promises none"):
        ComplianceDocument(facts=facts, audit=audit)


def test_a_file_that_is_no_document_is_refused_without_repeating_it() -> None:
    data = samples.document().to_json().replace(b'"headline": "', b'"headline": "SECRET ')
    with pytest.raises(IntegrityError, match=r"ComplianceDocument.*audit\.headline") as caught:
        ComplianceDocument.from_json(data)
    assert "SECRET" not in str(caught.value)


# The published schema.


def test_the_published_schema_is_what_the_code_says() -> None:
    """`python -m audits.compliance.schema` writes it again."""
    assert schema.PUBLISHED.read_bytes() == json_schema()


def test_the_command_writes_the_schema(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(schema, "PUBLISHED", tmp_path / "made.json")
    schema.main()
    assert (tmp_path / "made.json").read_bytes() == json_schema()


KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
    "object": (),
    "array": (),
}


def fits(value: object, rule: dict[str, Any], defs: dict[str, Any]) -> bool:
    """A naive reader of the part of JSON Schema that says which fields there are, and which kinds.

    Lengths, patterns and ranges are left out.
    """
    if "$ref" in rule:
        return fits(value, defs[rule["$ref"].rsplit("/", 1)[1]], defs)
    for several in ("anyOf", "oneOf"):
        if several in rule:
            return any(fits(value, choice, defs) for choice in rule[several])
    if "const" in rule or "enum" in rule:
        return value in rule.get("enum", [rule.get("const")])
    if isinstance(value, dict):
        return rule["type"] == "object" and fields_fit(value, rule, defs)
    if isinstance(value, list):
        return rule["type"] == "array" and items_fit(value, rule, defs)
    return isinstance(value, KINDS[rule["type"]])


def items_fit(values: list[object], rule: dict[str, Any], defs: dict[str, Any]) -> bool:
    rules = rule["prefixItems"] if "prefixItems" in rule else [rule["items"]] * len(values)
    return len(rules) == len(values) and all(
        fits(value, own, defs) for value, own in zip(values, rules, strict=True)
    )


def fields_fit(value: dict[str, Any], rule: dict[str, Any], defs: dict[str, Any]) -> bool:
    known = rule["properties"]
    return (
        set(rule.get("required", ())) <= set(value) <= set(known)
        and rule["additionalProperties"] is False
        and all(fits(value[name], known[name], defs) for name in value)
    )


@pytest.mark.parametrize("private", [True, False])
def test_a_document_fits_the_published_schema_and_an_altered_one_does_not(*, private: bool) -> None:
    published = json.loads(schema.PUBLISHED.read_bytes())
    facts = report_samples.report(private=private)
    value = json.loads(samples.document(facts=facts).to_json())
    assert fits(value, published, published["$defs"])
    value["audit"]["findings"][0]["verdict"] = "passed"
    assert not fits(value, published, published["$defs"])
    del value["audit"]["findings"][0]["verdict"]
    assert not fits(value, published, published["$defs"])
