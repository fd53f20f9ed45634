from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import mapping_samples as samples
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.compliance import mapping_section
from audits.compliance.content import report_of
from audits.compliance.page import render_html
from audits.fact_types import _visible
from audits.findings import Verdict
from audits.mappings import guarantee_answers, hipaa_164_514, run_answers
from audits.mappings.instrument import (
    Answer,
    Place,
    Status,
    answered,
    joined,
    left,
    needing,
    nothing,
    partly,
)
from audits.mappings.instruments import INSTRUMENTS
from privacy.scrubbing.modes.modes import SAFE_HARBOR_ENTITIES, SAFE_HARBOR_IDENTIFIERS, ScrubMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.compliance.document import ComplianceDocument

DOCUMENTS = samples.documents()
RECORD = DOCUMENTS["record"]
# What a run has to have for its document to answer a question, and a run without it.
LACKING = {
    "a guarantee": "none",
    "a score": "not scored",
    "masked sums": "plain",
    "sums that one site cannot open": "homomorphic",
    "software": "no software",
    "scrubbing": "no scrubbing",
    "attacks that could find something": "nothing tested",
    "claims that hold": "violated",
    "parties that were kept apart": "simulated",
}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_question_has_an_answer_in_every_document(name: str) -> None:
    for question, answer in samples.answers(DOCUMENTS[name]).items():
        for text in (answer.fact, answer.to_add):
            assert _visible(text) == text, question
            assert text == "" or text.endswith("."), question
            assert len(text) < 900, question
        assert bool(answer.to_add) is (answer.status is not Status.ANSWERED), question


@pytest.mark.parametrize("lacking", sorted(LACKING))
def test_what_a_run_lacks_answers_no_question(lacking: str) -> None:
    """An answer that is the same with and without the fact does not rest on it."""
    full, poor = samples.answers(RECORD), samples.answers(DOCUMENTS[LACKING[lacking]])
    changed = [name for name, answer in full.items() if answer.fact != poor[name].fact]
    assert changed
    if lacking == "a score":  # an unfinished run is another run: what it is called is in no doubt
        changed = [name for name in changed if "accuracy" in full[name].fact.lower()]
    assert [name for name in changed if poor[name].status is Status.ANSWERED] == []


def test_a_private_run_answers_what_a_run_without_a_guarantee_leaves() -> None:
    """By name, so that the test above is not true of nothing."""
    private, none = samples.answers(RECORD), samples.answers(DOCUMENTS["none"])
    gone = {name for name in private if private[name].status is Status.ANSWERED} - {
        name for name in none if none[name].status is Status.ANSWERED
    }
    assert {name.split(":")[0] for name in gone} == {
        "nist-sp-800-226 Parameters",
        "nist-sp-800-226 Unit of privacy (2.4)",
        "nist-sp-800-226 Mechanisms",
        "nist-sp-800-226 Trust and threats",
        "edpb-opinion-28-2024 Choice of method",
    }
    assert [none[name].status for name in gone] == [Status.LEFT] * len(gone)
    assert {name for name in none if none[name].status is Status.ANSWERED}


@pytest.mark.parametrize("answer", samples.GUARANTEE)
def test_without_a_guarantee_nothing_about_it_is_stated(
    answer: Callable[[ComplianceDocument], Answer],
) -> None:
    assert answer(DOCUMENTS["none"]).status is Status.LEFT
    for name in ("record", "distributed", "site"):
        assert answer(DOCUMENTS[name]).status is not Status.LEFT


def test_a_promise_that_the_audit_refutes_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    violated = DOCUMENTS["violated"]
    assert violated.audit.verdict is Verdict.VIOLATED
    for answer in (
        guarantee_answers.parameters,
        guarantee_answers.mechanism,
        guarantee_answers.trusted,
    ):
        found = answer(violated)
        assert found.status is Status.PARTLY
        assert "VIOLATED" in found.fact
    # Without that look at the verdict the refuted promise would read as answered.
    monkeypatch.setattr(guarantee_answers, "_promised", lambda _, told: answered(told))
    assert guarantee_answers.parameters(violated).status is Status.ANSWERED


def test_a_bound_is_rounded_up_and_is_the_largest_charge() -> None:
    assert guarantee_answers.parameters(RECORD).fact.startswith("Epsilon 8.00 at delta 0.00001,")
    facts = samples.real(privacy=samples.report_samples.record_privacy(extra=2))
    charged = samples.samples.document(*samples.PASSES, facts=facts)
    assert "Epsilon 8.43 " in guarantee_answers.parameters(charged).fact


def test_attacks_that_could_refute_nothing_are_left_and_none_is_ever_enough() -> None:
    assert run_answers.attacks(DOCUMENTS["nothing tested"]).status is Status.LEFT
    assert run_answers.release_attacks(DOCUMENTS["violated"]).status is Status.LEFT
    for document in DOCUMENTS.values():
        assert run_answers.attacks(document).status is not Status.ANSWERED
    assert "VIOLATED: noise-scale." in run_answers.attacks(DOCUMENTS["violated"]).fact
    assert "no proof" in run_answers.attacks(RECORD).fact


def test_sums_that_somebody_can_open_are_not_answered() -> None:
    found = {name: run_answers.sums(document).status for name, document in DOCUMENTS.items()}
    assert found["record"] is Status.ANSWERED
    assert found["simulated"] is found["homomorphic"] is Status.PARTLY
    assert found["plain"] is Status.LEFT


# Safe Harbor.


def test_the_eighteen_identifiers_stand_in_order_and_none_is_ever_answered() -> None:
    clauses = [
        question.clause
        for question in hipaa_164_514.HIPAA_164_514.questions
        if "(2)(i)" in question.clause
    ]
    assert clauses == [f"(b)(2)(i)({letter})" for letter in "ABCDEFGHIJKLMNOPQR"]
    found = samples.answers(DOCUMENTS["safe harbor"])
    statuses = {n.split()[1][-3:]: a.status for n, a in found.items() if "(2)(i)(" in n}
    assert {letter for letter, status in statuses.items() if status is Status.LEFT} == {"Q):"}
    assert Status.ANSWERED not in statuses.values()


@given(
    st.sampled_from([entry for entry in SAFE_HARBOR_IDENTIFIERS if entry.entities]),
    st.lists(st.sets(st.sampled_from(SAFE_HARBOR_ENTITIES)), min_size=4, max_size=4),
)
def test_an_identifier_is_partly_taken_out_where_anybody_looked(
    entry: hipaa_164_514.Identifier, looked_for: list[set[str]]
) -> None:
    sites = [tuple(sorted(found)) for found in looked_for]
    facts = RECORD.facts.model_copy(
        update={"scrubbing": samples.scrubbed(*sites, mode=ScrubMode.PLACEHOLDERS)}
    )
    document = RECORD.model_copy(update={"facts": facts})
    answer = hipaa_164_514.identifier(entry)(document)
    anybody = any(name in site for name in entry.entities for site in sites)
    assert answer.status is (Status.PARTLY if anybody else Status.LEFT)
    head, _, tail = answer.fact.partition("not at every site:")
    for name in entry.entities:
        everywhere = all(name in site for site in sites)
        assert name in (head if everywhere or not anybody else tail)


@pytest.mark.parametrize(
    ("name", "expert", "said"),
    [
        ("record", Status.LEFT, "No site wrote surrogates"),
        ("safe harbor", Status.LEFT, "drawn at random"),
        ("expert", Status.PARTLY, "a secret of the site"),
    ],
)
def test_surrogates_are_told_by_mode(name: str, expert: Status, said: str) -> None:
    assert hipaa_164_514.expert(DOCUMENTS[name]).status is expert
    assert said in hipaa_164_514.codes(DOCUMENTS[name]).fact


# How answers are put together.

STATUSES = st.lists(st.sampled_from(Status), min_size=1, max_size=5)


def of(status: Status, number: int) -> Callable[[ComplianceDocument], Answer]:
    to_add = "" if status is Status.ANSWERED else f"Add {number}."
    return lambda _: Answer(status, f"Fact {number}.", to_add)


@given(STATUSES)
def test_answers_are_joined_without_gaining_anything(statuses: list[Status]) -> None:
    given_ = [of(status, number) for number, status in enumerate(statuses)]
    whole = joined(*given_)(RECORD)
    for status in (Status.ANSWERED, Status.LEFT):
        assert (whole.status is status) == (statuses.count(status) == len(statuses))
    for number, status in enumerate(statuses):
        assert f"Fact {number}." in whole.fact
        assert (f"Add {number}." in whole.to_add) == (status is not Status.ANSWERED)
    needy = needing(joined(*given_), "Add more.")(RECORD)
    assert needy.status is (Status.PARTLY if whole.status is Status.ANSWERED else whole.status)
    assert needy.to_add.endswith("Add more.")


def test_what_is_left_has_to_be_named() -> None:
    assert nothing("Add it.")(RECORD).status is Status.LEFT
    assert {answered("x").status, partly("x", "y").status, left("x", "y").status} == set(Status)
    for status, fact, to_add in [
        (Status.ANSWERED, "x", "y"),
        (Status.PARTLY, "x", ""),
        (Status.LEFT, "x", ""),
        (Status.LEFT, "", "y"),
    ]:
        with pytest.raises(ValueError, match=r"left|none"):
            Answer(status, fact, to_add)


# The section of the report.


def test_instruments_say_who_published_which_version_when() -> None:
    slugs = [instrument.slug for instrument in INSTRUMENTS]
    assert len(set(slugs)) == len(slugs) == 6
    for instrument in INSTRUMENTS:
        assert date(2000, 1, 1) < instrument.dated < date(2026, 12, 31)
        for text in (instrument.name, instrument.version, instrument.publisher):
            assert _visible(text)
        assert instrument.wording.how.endswith(".")
        clauses = [(question.clause, question.asks) for question in instrument.questions]
        assert len(set(clauses)) == len(clauses)


@pytest.mark.parametrize("name", ["record", "none", "not scored", "violated"])
def test_the_section_stands_before_the_limits_and_points_at_sections(name: str) -> None:
    report = report_of(DOCUMENTS[name])
    slugs = [section.slug for section in report.sections]
    assert slugs.index("mappings") + 1 == slugs.index("limits")
    titles = {section.title for section in (*report.front, *report.sections)}
    assert {place.value for place in Place} <= titles


def words_of(page: str) -> str:
    body = page[page.index('aria-labelledby="mappings"') : page.index('aria-labelledby="limits"')]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())


def test_the_page_says_of_each_instrument_whether_its_wording_was_checked() -> None:
    text = words_of(render_html(RECORD))
    compared = [instrument.slug for instrument in INSTRUMENTS if instrument.wording.compared]
    assert compared == ["gdpr-article-35", "ai-act-annex-iv", "hipaa-164-514"]
    assert text.count(mapping_section.NOT_COMPARED) == len(INSTRUMENTS) - len(compared)
    assert text.count(mapping_section.COMPARED) == len(compared)
    for instrument in INSTRUMENTS:
        start = text.index(instrument.name)
        said = text[start : text.index("What is asked", start)]
        assert (mapping_section.NOT_COMPARED in said) is not instrument.wording.compared
        assert instrument.dated.isoformat() in said


@pytest.mark.parametrize("name", ["record", "none"])
def test_the_section_is_no_opinion_and_claims_no_conformity(name: str) -> None:
    text = words_of(render_html(DOCUMENTS[name]))
    assert text.index("NO LEGAL OPINION.") < text.index(INSTRUMENTS[0].name)
    assert "claims no conformity" in text
    claims = r"\b(compl(y|ies|iant|iance)|conforms?|satisf(y|ies)|fulfils?|meets|passe[sd])\b"
    assert re.search(claims, text.lower()) is None


def test_a_question_is_shown_with_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    only = replace(
        INSTRUMENTS[0],
        questions=(replace(INSTRUMENTS[0].questions[0], answer=nothing("Add the thing.")),),
    )
    monkeypatch.setattr(mapping_section, "INSTRUMENTS", (only,))
    text = words_of(render_html(RECORD))
    assert "left to the organisation Add the thing." in text
    assert "See:" not in text
