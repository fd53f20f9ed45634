from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import mapping_samples as samples
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from audits.facts import GuaranteedFacts
from audits.mappings.deployment import OPEN, SCHEMA_COMMIT, registry_entry
from audits.mappings.deployment_yaml import render_yaml
from audits.report_warnings import ReportWarning, caution
from crypto.errors import ConfigError

DOCUMENTS = samples.documents()
PRIVATE = sorted(set(DOCUMENTS) - {"none"})
# The registry's fields, read from its schema of 15 July 2026: what an object holds, in its order.
FIELDS = {
    "": "url_slug status tier deployment",
    "deployment": "basic dp_variant privacy_loss deployment_model accounting implementation "
    "administrative",
    "deployment.basic": "name data_curators intended_use data_product_type data_product_region "
    "description publication_date",
    "deployment.dp_variant": "variant_name data_domain unprotected_quantities",
    "deployment.privacy_loss": "privacy_unit privacy_unit_details privacy_parameters "
    "privacy_parameters_details",
    "deployment.privacy_loss.privacy_parameters": "epsilon delta",
    "deployment.deployment_model": "model_name model_name_details actors release_type "
    "release_type_details data_source_type data_source_type_details access_type "
    "access_type_details",
    "deployment.accounting": "post_processing composition",
    "deployment.implementation": "preprocessing_and_hyperparameter_tuning mechanisms justification",
    "deployment.administrative": "sources notes registry_authors",
}
# And those whose values are fixed.
FIXED = {
    "status": "Draft",
    "tier": 3,
    "deployment.basic.data_product_type": "Machine learning model",
    "deployment.dp_variant.variant_name": "Approximate DP",
    "deployment.deployment_model.model_name": "Federated",
    "deployment.deployment_model.release_type": "One release",
    "deployment.deployment_model.data_source_type": "Static",
    "deployment.deployment_model.access_type": "Non-interactive",
}
NUMBERS = {"tier": int, "epsilon": float, "delta": float}
LISTS = {"data_curators", "registry_authors"}


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(render_yaml(DOCUMENTS[name]))
    return found


def objects(value: dict[str, Any], path: str = "") -> list[tuple[str, dict[str, Any]]]:
    found = [(path, value)]
    for name, inner in value.items():
        if isinstance(inner, dict):
            found += objects(inner, f"{path}.{name}".lstrip("."))
    return found


@pytest.mark.parametrize("name", PRIVATE)
def test_an_entry_has_the_registrys_fields_in_its_order(name: str) -> None:
    found = dict(objects(read(name)))
    assert {path: " ".join(value) for path, value in found.items()} == FIELDS
    for path, expected in FIXED.items():
        parent, _, field = path.rpartition(".")
        assert found[parent][field] == expected
    for value in found.values():
        for field, entry in value.items():
            if field in LISTS:
                assert entry
                assert all(isinstance(item, str) for item in entry)
            elif not isinstance(entry, dict):
                assert isinstance(entry, NUMBERS.get(field, str))
                assert entry


@pytest.mark.parametrize("name", PRIVATE)
def test_what_is_read_back_is_what_was_said(name: str) -> None:
    """Also the date, which YAML would take for no text, and the numbers, to the last digit."""
    entry = asdict(registry_entry(DOCUMENTS[name]))
    basic, administrative = entry["deployment"]["basic"], entry["deployment"]["administrative"]
    basic["data_curators"] = list(basic["data_curators"])
    administrative["registry_authors"] = list(administrative["registry_authors"])
    assert read(name) == entry
    privacy = DOCUMENTS[name].facts.privacy
    assert isinstance(privacy, GuaranteedFacts)
    assert entry["deployment"]["privacy_loss"]["privacy_parameters"] == {
        "epsilon": privacy.highest_charge,
        "delta": privacy.delta,
    }
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", basic["publication_date"])


def test_the_largest_charge_is_registered_and_not_the_plan() -> None:
    facts = samples.real(privacy=samples.report_samples.record_privacy(extra=2))
    entry = registry_entry(samples.samples.document(*samples.PASSES, facts=facts))
    assert entry.deployment.privacy_loss.privacy_parameters.epsilon == 8.4213


def test_a_run_without_a_guarantee_is_no_deployment() -> None:
    with pytest.raises(ConfigError, match="no differential privacy"):
        render_yaml(DOCUMENTS["none"])


def test_the_same_document_gives_the_same_bytes_and_says_what_it_follows() -> None:
    data = render_yaml(DOCUMENTS["record"])
    again = type(DOCUMENTS["record"]).from_json(DOCUMENTS["record"].to_json())
    assert render_yaml(again) == data
    assert data != render_yaml(DOCUMENTS["distributed"])
    head = data.decode().split("url_slug")[0]
    assert SCHEMA_COMMIT in head
    assert "was not validated against it" in head
    assert all(line.startswith("# ") for line in head.splitlines())


def test_what_no_run_can_know_is_left_to_the_organisation() -> None:
    deployment = registry_entry(DOCUMENTS["record"]).deployment
    for text in (
        deployment.basic.intended_use,
        deployment.basic.data_product_region,
        deployment.deployment_model.release_type_details,
        deployment.implementation.justification,
    ):
        assert OPEN in text


def test_a_simulation_and_a_violated_claim_stand_in_the_draft() -> None:
    simulated = registry_entry(DOCUMENTS["simulated"]).deployment
    held = caution(ReportWarning.ONE_PROCESS_HELD_ALL_KEYS)
    assert held.text in simulated.administrative.notes
    assert held.text not in registry_entry(DOCUMENTS["record"]).deployment.administrative.notes
    justified = registry_entry(DOCUMENTS["violated"]).deployment.implementation.justification
    assert justified.endswith("with the verdict: violated.")


HOSTILE = (
    "x\"'\\ : #no comment",
    "- [a, b] {c: d} &e *f !g | h > i",
    "%YAML 1.1 --- ...",
    "null",
    "yes",
    "2025-01-01",
    "1.0e-05",
    "\u05d0 \U0001f600 \u00e9\u200d",
    "status: Approved",
)


@given(st.sampled_from(HOSTILE), st.sampled_from(HOSTILE))
def test_hostile_names_stay_text(consortium: str, version: str) -> None:
    document = DOCUMENTS["record"]
    federation = document.facts.federation.model_copy(update={"consortium": consortium})
    software = tuple(
        entry.model_copy(update={"version": version}) for entry in document.facts.software
    )
    facts = document.facts.model_copy(update={"federation": federation, "software": software})
    found = yaml.safe_load(render_yaml(document.model_copy(update={"facts": facts})))
    assert found["deployment"]["basic"]["data_curators"] == [consortium]
    assert f"torch {version}." in found["deployment"]["implementation"]["mechanisms"]
    assert found["status"] == "Draft"


@given(st.text(max_size=90))
def test_an_address_holds_letters_digits_and_underscores(name: str) -> None:
    document = DOCUMENTS["record"]
    run = document.facts.run.model_copy(update={"name": name})
    facts = document.facts.model_copy(update={"run": run})
    slug = registry_entry(document.model_copy(update={"facts": facts})).url_slug
    assert re.fullmatch(r"[a-z0-9]+(_+[a-z0-9]+)*", slug)
    assert slug.endswith(run.run_id[:8])
    assert len(slug) <= 69
