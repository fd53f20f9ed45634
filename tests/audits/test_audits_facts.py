from __future__ import annotations

import json
from typing import Any

import pytest
import report_samples as samples
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from audits.fact_types import Line
from audits.facts import (
    Adversary,
    DistributedPrivacyFacts,
    LedgerHead,
    NoiseShareFacts,
    NoPrivacyFacts,
    Outcome,
    PlainSumFacts,
    ReportFacts,
    ReportWarning,
    ScrubbingFacts,
    Selection,
    SiteCharge,
    SitePrivacyFacts,
    smallest_openable_sum,
)
from audits.site_facts import SiteFacts
from crypto.errors import IntegrityError
from privacy.scrubbing import ScrubMode

LINE: TypeAdapter[str] = TypeAdapter(Line)


def changed(facts: ReportFacts, **parts: object) -> ReportFacts:
    """Return the facts with other parts, validated as if they had been given so."""
    fields = {name: getattr(facts, name) for name in ReportFacts.model_fields if name != "warnings"}
    fields.pop("schema_tag")
    return ReportFacts(**{**fields, **parts})


def as_json(facts: ReportFacts) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(facts.to_json())
    return value


@pytest.mark.parametrize(
    "facts",
    [
        samples.report(),
        samples.report(privacy=samples.distributed_privacy()),
        samples.report(privacy=samples.site_privacy(), every=3),
        samples.report(private=False),
        samples.report(finished=0),
    ],
    ids=["record", "distributed", "site", "none", "no-round"],
)
def test_facts_read_back_equal_and_have_one_encoding(facts: ReportFacts) -> None:
    again = ReportFacts.from_json(facts.to_json())
    assert again == facts
    assert again.to_json() == facts.to_json()
    assert again.sha256() == facts.sha256()
    assert as_json(facts)["schema"] == "secure-fl.report-facts.v1"


def test_site_facts_read_back_equal() -> None:
    facts = samples.site_report()
    assert SiteFacts.from_json(facts.to_json()) == facts


def test_facts_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        samples.report().run.name = "other"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "secure-fl.report-facts.v2"),
        (("surplus",), 1),
        (("run", "surplus"), 1),
        (("run", "planned_rounds"), "8"),
        (("run", "run_id"), "ab"),
        (("run", "started"), "2025-03-04T09:15:00"),
        (("run", "ended"), "2020-03-04T09:15:00Z"),
        (("privacy", "mode"), "site"),
        (("privacy", "delta"), 0.0),
        (("privacy", "noise_multiplier"), 0.0),
        (("privacy", "unit"), "village"),
        (("privacy", "sites", 0, "site"), "bank-nowhere"),
        (("privacy", "sites", 0, "charged_epsilon"), 1.0),
        (("utility", "majority_accuracy"), 1.01),
        (("rounds", 0, "round"), 2),
        (("rounds", 0, "epsilon"), None),
        (("rounds", 0, "sites_in_sum"), 5),
        (("run", "outcome"), "partial"),
        (("protection", "threshold"), 5),
        (("scrubbing", 1, "site"), "bank-aare"),
        (("digests", "config"), "AB" * 32),
        (("federation", "coordinator", "name"), "bank-aare"),
    ],
)
def test_contradicting_or_foreign_facts_are_refused(
    path: tuple[str | int, ...], value: object
) -> None:
    facts = as_json(samples.report())
    place: Any = facts
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(IntegrityError, match="no report was made"):
        ReportFacts.from_json(json.dumps(facts).encode())


@pytest.mark.parametrize("number", ["Infinity", "NaN", "-1.0"])
def test_an_epsilon_is_finite_and_not_negative(number: str) -> None:
    text = samples.report().to_json().decode().replace('"epsilon": 7.9968', f'"epsilon": {number}')
    with pytest.raises(IntegrityError):
        ReportFacts.from_json(text.encode())


def test_a_refusal_does_not_repeat_what_the_file_holds() -> None:
    text = samples.report().to_json().replace(b'"accuracy"', b'"Jane Doe, 1 High Street"')
    with pytest.raises(IntegrityError) as refused:
        SiteFacts.from_json(text)
    assert "High Street" not in str(refused.value)


@pytest.mark.parametrize(
    "hidden",
    [
        "a\x00b",
        "a\nb",
        "a\x1bb",
        "a\u202eb",
        "a\u2066b",
        "a\u200bb",
        "a\u00adb",
        "a\u2028b",
        "\ufeffa",
    ],
)
def test_characters_that_hide_or_reorder_text_are_refused(hidden: str) -> None:
    with pytest.raises(ValidationError, match="cannot be shown faithfully"):
        LINE.validate_python(hidden)


@pytest.mark.parametrize("name", ["Spital Zürich", "Clínica № 4", "कखग", "<b>&\"'", "病院"])
def test_ordinary_text_of_any_script_is_kept(name: str) -> None:
    assert LINE.validate_python(name) == name


def test_moments_are_kept_in_utc_to_the_second() -> None:
    facts = as_json(samples.report())
    facts["run"]["started"] = "2025-03-04T10:15:00.987+01:00"
    again = ReportFacts.from_json(json.dumps(facts).encode())
    assert as_json(again)["run"]["started"] == "2025-03-04T09:15:00Z"


# Warnings complete themselves: whoever fills or edits the facts cannot leave one out.


def test_a_private_run_warns_of_its_noise_and_of_the_common_set() -> None:
    assert samples.report(warnings=()).warnings == (
        ReportWarning.NAMES_NOT_LOOKED_FOR,
        ReportWarning.UTILITY_MEASURED_ON_COMMON_SET,
        ReportWarning.FLOATING_POINT_NOISE,
    )


@pytest.mark.parametrize(
    ("facts", "warning"),
    [
        (samples.report(private=False), ReportWarning.NO_PRIVACY_GUARANTEE),
        (samples.report(finished=3), ReportWarning.RUN_NOT_FINISHED),
        (samples.report(extra=1), ReportWarning.ROUNDS_REPEATED),
        (changed(samples.report(), protection=PlainSumFacts()), ReportWarning.EACH_UPDATE_REVEALED),
        (
            changed(samples.report(), protection=samples.homomorphic_sum()),
            ReportWarning.ONE_SITE_AND_COORDINATOR_READ_ALL,
        ),
    ],
)
def test_what_follows_from_the_facts_is_warned_of(
    facts: ReportFacts, warning: ReportWarning
) -> None:
    assert warning in facts.warnings
    assert warning not in samples.report().warnings


def test_homomorphic_sums_are_not_claimed_against_a_malicious_coordinator() -> None:
    facts = changed(samples.report(), protection=samples.homomorphic_sum())
    with pytest.raises(ValidationError, match="do not hold against a malicious coordinator"):
        changed(facts, adversary=Adversary.MALICIOUS)
    with pytest.raises(ValidationError, match="threshold exceeds the number of sites"):
        changed(facts, protection=samples.homomorphic_sum(threshold=5))


def test_a_site_that_does_not_scrub_is_warned_of() -> None:
    off = ScrubbingFacts(
        site=samples.SITES[0],
        mode=ScrubMode.PLACEHOLDERS,
        looked_for=(),
        not_looked_for=("PERSON",),
    )
    facts = changed(samples.report(), scrubbing=(off, *samples.report().scrubbing[1:]))
    assert ReportWarning.SCRUBBING_OFF in facts.warnings


def test_names_are_not_warned_of_where_every_site_looks_for_them() -> None:
    facts = changed(
        samples.report(),
        scrubbing=tuple(
            ScrubbingFacts(
                site=site,
                mode=ScrubMode.PLACEHOLDERS,
                looked_for=("PERSON",),
                not_looked_for=(),
            )
            for site in samples.SITES
        ),
    )
    assert ReportWarning.NAMES_NOT_LOOKED_FOR not in facts.warnings


def test_a_warning_removed_from_the_file_comes_back() -> None:
    facts = as_json(samples.report(private=False))
    facts["warnings"] = []
    again = ReportFacts.from_json(json.dumps(facts).encode())
    assert ReportWarning.NO_PRIVACY_GUARANTEE in again.warnings


def test_a_run_without_noise_cannot_claim_an_epsilon() -> None:
    none = NoPrivacyFacts(
        sites=tuple(
            LedgerHead(site=site, ledger_head=samples.digest(site)) for site in samples.SITES
        )
    )
    with pytest.raises(ValidationError, match="if and only if private"):
        changed(samples.report(), privacy=none)


def test_the_promise_is_the_largest_charge() -> None:
    assert samples.record_privacy(extra=1).highest_charge == pytest.approx(8.4213)


def test_a_site_cannot_be_charged_less_than_it_drew() -> None:
    with pytest.raises(ValidationError, match="charged less"):
        SiteCharge(
            site="a",
            reserved_epsilon=1.0,
            drawn_epsilon=2.0,
            charged_epsilon=1.0,
            extra_draws=1,
            ledger_head=samples.digest("a"),
        )


def test_finished_means_every_planned_round() -> None:
    facts = samples.report(finished=3)
    assert facts.run.outcome is Outcome.PARTIAL
    with pytest.raises(ValidationError, match="outcome"):
        changed(facts, rounds=samples.rounds(8))


ALLOWED_COUNTS = {
    "attempts",
    "cohort",
    "colluders",
    "drop_outs",
    "evaluation_records",
    "extra_draws",
    "planned_rounds",
    "resumes",
    "round",
    "shared_parameters",
    "sites_in_sum",
    "steps",
    "threshold",
    "transcript_size",
}


def test_no_whole_number_of_the_released_report_counts_a_sites_records() -> None:
    schema = ReportFacts.model_json_schema()
    # A simulation's holdings alone may count records, and are refused in any other report.
    simulated = {"HoldingFacts", "HoldingsFacts"}
    defined = schema["$defs"].items()
    parts = [schema, *(part for name, part in defined if name not in simulated)]
    counts = {
        name
        for part in parts
        for name, field in part.get("properties", {}).items()
        if '"integer"' in json.dumps(field)
    }
    assert counts == ALLOWED_COUNTS


def test_site_facts_must_add_up() -> None:
    facts = json.loads(samples.site_report().to_json())
    facts["labels"][0]["records"] += 1
    with pytest.raises(IntegrityError):
        SiteFacts.from_json(json.dumps(facts).encode())
    facts["labels"][0]["records"] -= 1
    facts["charge"]["site"] = "bank-rhine"
    with pytest.raises(IntegrityError):
        SiteFacts.from_json(json.dumps(facts).encode())


def test_safe_harbor_is_not_claimed_of_a_site_that_looked_for_less() -> None:
    facts = as_json(samples.report(scrub_mode=ScrubMode.SAFE_HARBOR))
    assert ReportFacts.from_json(json.dumps(facts).encode())
    facts["scrubbing"][2]["looked_for"].remove("VEHICLE_ID")
    with pytest.raises(IntegrityError, match="no report was made"):
        ReportFacts.from_json(json.dumps(facts).encode())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("providers",), []),
        (("providers", 0, "entity"), "X_NEW"),
        (("residual", "clean_texts"), 51),
        (("residual", "characters_left"), 1501),
        (("residual", "false_findings"), 141),
        (("residual", "rows", 0, "removed"), 81),
        (("residual", "rows", 0, "low"), 0.999),
        (("expert_statement",), "a statement"),
    ],
)
def test_a_sites_scrubbing_must_add_up(path: tuple[str | int, ...], value: object) -> None:
    facts: Any = json.loads(samples.site_report(measured=True).to_json())
    assert SiteFacts.from_json(json.dumps(facts).encode())
    place = facts
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(IntegrityError):
        SiteFacts.from_json(json.dumps(facts).encode())


def naive_smallest_sum(sites: int, threshold: int) -> int:
    """Remove one site after another while the mask-secret shares that can exist last."""
    shares = sum(sites - threshold for _ in range(sites))
    left = sites
    while shares >= threshold and left > 1:
        shares -= threshold
        left -= 1
    return left


@given(st.integers(1, 100), st.data())
def test_the_smallest_sum_that_can_be_opened_matches_its_naive_twin(
    sites: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, sites))
    assert smallest_openable_sum(sites, threshold) == naive_smallest_sum(sites, threshold)


def test_the_smallest_sum_for_four_sites_and_three() -> None:
    assert smallest_openable_sum(4, 3) == 3
    assert smallest_openable_sum(100, 67) == 51


# Noise that sites share: whom the bound counts on, and what cannot be claimed with it.


def shared(**parts: object) -> ReportFacts:
    return changed(samples.report(privacy=samples.distributed_privacy()), **parts)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("privacy", "mode"), "site"),
        (("privacy", "mode"), "record"),
        (("privacy", "unit"), "site"),
        (("privacy", "sampling_rate"), 1.5),
        (("privacy", "shares"), []),
        (("privacy", "shares", 0, "cohort"), 5),
        (("privacy", "shares", 0, "colluders"), 0),
        (("privacy", "shares", 0, "colluders"), 3),
        (("privacy", "shares", 0, "drop_outs"), 2),
        (("privacy", "selection"), "by-hand"),
        (("protection",), {"kind": "plain-sum", "view_revealed": "each"}),
        (("rounds", 2, "sites_in_sum"), 2),
        (("rounds", 2, "epsilon"), None),
        (("rounds", 7, "scores"), None),
    ],
)
def test_shared_noise_is_not_claimed_where_it_cannot_hold(
    path: tuple[str | int, ...], value: object
) -> None:
    facts = as_json(shared())
    place: Any = facts
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(IntegrityError, match="no report was made"):
        ReportFacts.from_json(json.dumps(facts).encode())


@pytest.mark.parametrize(("field", "value"), [("unit", "record"), ("relation", "add-remove")])
def test_the_site_mode_hides_a_site_and_compares_it_with_zero(field: str, value: str) -> None:
    facts = as_json(samples.report(privacy=samples.site_privacy()))
    facts["privacy"][field] = value
    with pytest.raises(IntegrityError):
        ReportFacts.from_json(json.dumps(facts).encode())


def test_no_sampling_rate_can_be_claimed_for_whole_sites() -> None:
    facts = as_json(samples.report(privacy=samples.site_privacy()))
    facts["privacy"]["sampling_rate"] = 0.1
    with pytest.raises(IntegrityError):
        ReportFacts.from_json(json.dumps(facts).encode())


def test_homomorphic_sums_share_no_noise() -> None:
    with pytest.raises(ValidationError, match="updates were not masked"):
        shared(protection=samples.homomorphic_sum())


@pytest.mark.parametrize(
    "cohorts", [((3, 0), (4, 1)), ((4, 1), (4, 1))], ids=["rising", "repeated"]
)
def test_each_cohort_stands_once_and_the_largest_first(
    cohorts: tuple[tuple[int, int], ...],
) -> None:
    shares = tuple(
        NoiseShareFacts(cohort=cohort, drop_outs=lost, colluders=1) for cohort, lost in cohorts
    )
    with pytest.raises(ValidationError, match="largest first"):
        samples.distributed_privacy(shares=shares)


def test_so_many_honest_sites_are_named_as_the_most_demanding_round_needs() -> None:
    shares = tuple(
        NoiseShareFacts(cohort=cohort, drop_outs=2, colluders=1) for cohort in (10, 9, 8)
    )
    privacy = samples.distributed_privacy(shares=shares)
    assert [entry.honest for entry in shares] == [7, 6, 5]
    assert privacy.honest == 7


@pytest.mark.parametrize(
    "privacy", [samples.distributed_privacy(), samples.site_privacy()], ids=["distributed", "site"]
)
@pytest.mark.parametrize("adversary", Adversary)
def test_shared_noise_warns_of_whom_it_counts_on(
    privacy: DistributedPrivacyFacts | SitePrivacyFacts, adversary: Adversary
) -> None:
    warnings = samples.report(privacy=privacy, adversary=adversary, warnings=()).warnings
    assert ReportWarning.HONEST_SITES_NEEDED in warnings
    trusted = adversary is Adversary.SEMI_HONEST
    assert (ReportWarning.COORDINATOR_TRUSTED in warnings) is trusted
    # Whole numbers were drawn: Mironov's attack is on floating-point noise.
    assert ReportWarning.FLOATING_POINT_NOISE not in warnings
    assert ReportWarning.HONEST_SITES_NEEDED not in samples.report(adversary=adversary).warnings
    assert ReportWarning.COORDINATOR_TRUSTED not in samples.report(adversary=adversary).warnings


@pytest.mark.parametrize(
    ("selection", "warned"),
    [
        (Selection.UNSTATED, {ReportWarning.SELECTION_UNSTATED}),
        (Selection.UNCHARGED, {ReportWarning.SELECTION_UNCHARGED}),
        (Selection.OTHER_DATA, set()),
        (Selection.CHARGED, set()),
    ],
)
def test_a_choice_of_settings_that_was_not_charged_is_warned_of(
    selection: Selection, warned: set[ReportWarning]
) -> None:
    both = {ReportWarning.SELECTION_UNSTATED, ReportWarning.SELECTION_UNCHARGED}
    for privacy in (
        samples.record_privacy(selection=selection),
        samples.distributed_privacy(selection=selection),
    ):
        assert both & set(samples.report(privacy=privacy).warnings) == warned
    assert not both & set(samples.report(private=False).warnings)


# Rounds that were not scored.


def test_a_finished_run_was_scored_at_its_end() -> None:
    facts = samples.report(every=3)
    assert [row.scores is not None for row in facts.rounds] == [
        False, False, True, False, False, True, False, True,
    ]  # fmt: skip
    last = facts.rounds[-1].model_copy(update={"scores": None})
    with pytest.raises(ValidationError, match="last round was not scored"):
        changed(facts, rounds=(*facts.rounds[:-1], last))


def test_an_unfinished_run_may_end_without_scores() -> None:
    assert samples.report(finished=2, every=3).rounds[-1].scores is None


def test_all_rounds_are_scored_by_f1_or_none_is() -> None:
    facts = as_json(samples.report())
    entries = [facts["utility"]["before"], *(row["scores"] for row in facts["rounds"])]
    without = {"macro_f1": None, "weighted_f1": None}
    entries[1] |= without
    with pytest.raises(IntegrityError):
        ReportFacts.from_json(json.dumps(facts).encode())
    for entry in entries:
        entry.update(without)
    read = ReportFacts.from_json(json.dumps(facts).encode())
    assert {row.scores.macro_f1 for row in read.rounds if row.scores is not None} == {None}


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "weighted_f1"])
def test_scores_are_all_there_or_none(name: str) -> None:
    facts = as_json(samples.report())
    facts["rounds"][0]["scores"][name] = None
    with pytest.raises(IntegrityError):
        ReportFacts.from_json(json.dumps(facts).encode())
