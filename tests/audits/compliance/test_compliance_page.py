from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter
from typing import TYPE_CHECKING

import compliance_samples as samples
import jinja2
import pytest
import report_samples
from justhtml import JustHTML, StrictModeError

from audits import trust, wording
from audits.compliance import page as page_module
from audits.compliance import words
from audits.compliance.content import report_of
from audits.compliance.document import ComplianceDocument
from audits.compliance.drawing import Ink
from audits.compliance.page import render_html
from audits.compliance.styles import VERDICT_INKS
from audits.findings import Verdict, Window
from audits.report_warnings import caution

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "<script>alert('1')</script>\"&amp;<img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}"
DRAWING = {"svg", "title", "desc", "path", "text", "circle"}
WORDS = """
html head meta style body header footer main section div p span h1 h2 h3 ul li dl dt dd a strong
pre figure figcaption table caption colgroup col thead tbody tr th td
"""
ELEMENTS = DRAWING.union(WORDS.split())
PASSES = (samples.distinguish(), samples.noise_scale(Verdict.NOT_REFUTED))

DOCUMENTS: dict[str, Callable[[], ComplianceDocument]] = {
    "all-verdicts": samples.document,
    "passes": lambda: samples.document(*PASSES),
    "not-run": lambda: samples.document(samples.inversion()),
    "noted": lambda: samples.document(facts=report_samples.report(notes=("69 texts dropped.",))),
    "none": lambda: samples.document(facts=report_samples.report(private=False)),
    "no-round": lambda: samples.document(facts=report_samples.report(finished=0)),
    "distributed": lambda: samples.document(
        facts=report_samples.report(privacy=report_samples.distributed_privacy(), warnings=())
    ),
}


def parse(page: str) -> ET.Element:
    start = "<!DOCTYPE html>\n"
    assert page.startswith(start)
    return ET.fromstring(page.removeprefix(start))  # noqa: S314 - the page is our own


def words_of(element: ET.Element | None) -> str:
    assert element is not None
    return " ".join(" ".join(element.itertext()).split())


def text_of(page: str) -> str:
    return words_of(parse(page).find("body"))


def front_of(page: str) -> str:
    return words_of(parse(page).find(".//div[@class='front']"))


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    return {name: render_html(make()) for name, make in DOCUMENTS.items()}


@pytest.fixture(params=sorted(DOCUMENTS))
def page(request: pytest.FixtureRequest, pages: dict[str, str]) -> str:
    return pages[request.param]


def test_a_browsers_parser_finds_no_error_in_a_page(page: str) -> None:
    """By the algorithm of the HTML standard, which repairs what it does not refuse."""
    JustHTML(page, strict=True)
    with pytest.raises(StrictModeError):
        JustHTML(page.replace("</table>", "</p></table>", 1), strict=True)


def test_the_same_document_gives_the_same_bytes(pages: dict[str, str]) -> None:
    again = ComplianceDocument.from_json(samples.document().to_json())
    assert render_html(again) == pages["all-verdicts"]
    assert pages["passes"] != pages["all-verdicts"]


def test_a_page_is_well_formed_and_loads_and_runs_nothing(page: str) -> None:
    root = parse(page)
    for element in root.iter():
        assert element.tag in ELEMENTS
        for name in element.attrib:
            assert name not in {"src", "srcset", "style", "action", "data"}
            assert not name.startswith("on")
    assert not re.search(r"https?:|//|@import|url\(|javascript:", page)
    policy = root.find("head/meta[@http-equiv='Content-Security-Policy']")
    assert policy is not None
    assert policy.get("content", "").startswith("default-src 'none';")


def test_links_and_names_lead_to_places_on_the_page(page: str) -> None:
    root = parse(page)
    places = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(places) == len(set(places))
    for link in root.iter("a"):
        assert link.get("href", "").startswith("#")
        assert link.get("href", "")[1:] in places
    for element in root.iter():
        for place in element.get("aria-labelledby", "").split():
            assert place in places


def test_headings_follow_one_another_without_a_gap(page: str) -> None:
    levels = [int(e.tag[1]) for e in parse(page).iter() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    for i in range(1, len(levels)):
        assert levels[i] - levels[i - 1] <= 1


def test_tables_and_plots_can_be_read_aloud(page: str) -> None:
    root = parse(page)
    assert root.get("lang") == "en"
    for table in root.iter("table"):
        assert words_of(table.find("caption"))
        columns = len(list(table.iter("col")))
        assert {len(row) for row in table.iter("tr")} == {columns}
    for cell in root.iter("th"):
        assert cell.get("scope") in {"row", "col"}
        assert words_of(cell)
    for chart in root.iter("svg"):
        assert chart.get("role") == "img"
        assert (chart.findtext("title") or "").strip()
        assert (chart.findtext("desc") or "").strip()


# What the page says.


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_finding_stands_on_the_page_with_all_that_it_says(
    name: str, pages: dict[str, str]
) -> None:
    text = text_of(pages[name])
    for found in DOCUMENTS[name]().audit.findings:
        for part in (found.gate, found.reason, found.claim, found.threat):
            assert part in text
        assert f"{found.gate} {words.sign(found.verdict)} {words.label(found.verdict)}" in text
        for measure in found.details:
            assert measure.name in text
        basis = words.basis_sentence(found.basis)
        measured = found.verdict is not Verdict.NOT_RUN
        told = f"Evidence {basis}" if measured else f"It would have tested: {found.claim}"
        assert told in text


def test_page_one_counts_the_verdicts_and_names_what_is_no_pass(pages: dict[str, str]) -> None:
    root = parse(pages["all-verdicts"])
    tallies = [words_of(item) for item in root.findall(".//ul[@class='tallies']/li")]
    assert [tally[:18] for tally in tallies] == [
        "1 \u00d7 VIOLATED The c"[:18],
        "1 ? INCONCLUSIVE W"[:18],
        "1 \u2013 NOT RUN Nothing"[:18],
        "1 \u25cb not refuted Co"[:18],
    ]
    assert "noise-scale" in tallies[0]
    assert "canary-exposure" in tallies[1]
    assert "update-inversion" in tallies[2]
    front = front_of(pages["all-verdicts"])
    assert "Headline gate, named in advance: gradient-canaries." in front
    assert "\u00d7 VIOLATED At least one claim is refuted" in front


def test_page_one_has_the_privacy_label(pages: dict[str, str]) -> None:
    front = front_of(pages["distributed"])
    facts = DOCUMENTS["distributed"]().facts
    assert "epsilon 8.00 at delta 0.00001 (1 in 100 000)" in front
    assert "all records of one patient at one site" in front
    assert "Neighbouring relation the unit is there, or it is not (add or remove one)" in front
    assert trust.holds_against(facts) in front
    assert trust.privacy_trust(facts) in front
    assert "Composition this run alone: 8 noised steps in all 8 planned rounds" in front
    assert "Each site's ledger adds it to what other runs" in front
    assert "The ledgers began empty and are not kept" in front_of(pages["all-verdicts"])


def test_page_one_says_what_is_not_shown_and_never_that_nobody_attacked(
    pages: dict[str, str],
) -> None:
    for name, page in pages.items():
        front = front_of(page)
        for point in (*samples.LIMITS, *wording.not_shown_by_an_audit(DOCUMENTS[name]().facts)):
            assert point in front
        assert "no attack" not in front


def test_a_window_that_no_gate_looked_through_stands_out(pages: dict[str, str]) -> None:
    assert "NOT COVERED" not in text_of(pages["all-verdicts"])
    assert "NOT COVERED: the release." in front_of(pages["passes"])
    assert text_of(pages["passes"]).count("NOT COVERED") == 2


def test_a_run_without_a_guarantee_says_so_before_all_else(pages: dict[str, str]) -> None:
    text = text_of(pages["none"])
    assert text.index("NO PRIVACY GUARANTEE") < text.index("Verdict of the audit")
    assert "The run promises no epsilon" in text
    assert "NO PRIVACY GUARANTEE" not in text_of(pages["all-verdicts"])


@pytest.mark.parametrize(
    ("findings", "verdict", "phrase"),
    [
        (PASSES, Verdict.NOT_REFUTED, "no proof that the claims hold"),
        ((*PASSES, samples.inversion()), Verdict.INCONCLUSIVE, "This is not a pass."),
        ((samples.inversion(),), Verdict.NOT_RUN, "This is not a pass."),
        ((samples.noise_scale(), samples.inversion()), Verdict.VIOLATED, "Do not rely"),
    ],
)
def test_the_whole_is_never_rounded_to_a_pass(
    findings: tuple[object, ...], verdict: Verdict, phrase: str
) -> None:
    document = samples.document(*findings)
    assert document.audit.verdict is verdict
    root = parse(render_html(document))
    whole = words_of(root.find(".//p[@class='whole']"))
    assert whole == f"{words.sign(verdict)} {words.label(verdict)}"
    assert phrase in words_of(root.find(".//p[@class='whole-words']"))


def test_what_is_no_pass_is_marked_and_filled_and_what_passes_is_not(
    pages: dict[str, str],
) -> None:
    page = pages["all-verdicts"]
    rows = {row.get("class") for row in parse(page).iter("tr") if row.get("class")}
    assert rows == {"row-violated", "row-inconclusive", "row-not-run", "row-not-refuted"}
    for verdict, ink in VERDICT_INKS.items():
        slug = verdict.value.replace(" ", "-")
        rule = re.search(rf"\.badge\.{slug} {{([^}}]*)}}", page)
        assert rule is not None
        filled = Ink.PAPER if ink is None else ink
        assert f"background: {filled.value};" in rule[1]
        bar = re.search(rf"\.row-{slug} > :first-child {{ border-left-color: (#\w+)", page)
        assert (None if bar is None else bar[1]) == (None if ink is None else ink.value)
    borders = re.findall(r"\.row-[\w-]+ > :first-child {[^}]*border-left-style: (\w+)", page)
    assert borders == ["dashed", "dotted"]


def test_a_ceiling_below_the_claim_is_said_aloud(pages: dict[str, str]) -> None:
    text = text_of(pages["all-verdicts"])
    assert "ceiling 3.10: CANNOT REACH the claim" in text
    assert "ceiling 11.20: reaches the claim" in text
    assert "NOT MEASURED." in text_of(render_html(samples.document(samples.noise_scale())))


def test_limits_digests_and_the_command_are_on_the_page(pages: dict[str, str]) -> None:
    document = samples.document()
    text = text_of(pages["all-verdicts"])
    for warning in document.facts.warnings:
        assert caution(warning).text in text
    joined = text.replace(" ", "")
    audit = document.audit
    for digest in (audit.run_manifest, audit.sha256(), document.sha256(), document.facts.sha256()):
        assert digest in joined
    for party in document.facts.federation.sites:
        assert party.key_fingerprint in joined
    assert "secure-fl verify RUN --trust ROOT.pub" in text


def test_a_run_that_was_never_scored_has_no_utility(pages: dict[str, str]) -> None:
    assert "No finished round was scored" in text_of(pages["no-round"])


def test_what_was_noted_of_the_data_is_on_the_page(pages: dict[str, str]) -> None:
    noted = text_of(pages["noted"])
    assert "No site claims these notes" in noted
    assert "69 texts dropped." in noted
    assert "What was noted of the data" not in text_of(pages["all-verdicts"])
    assert "15.2 percentage points better" in text_of(pages["all-verdicts"])


def test_every_verdict_and_window_has_words() -> None:
    for verdict in Verdict:
        assert words.meaning(verdict)
        assert words.whole(verdict)
    assert len({words.label(verdict) for verdict in Verdict}) == len(Verdict)
    assert len({words.sign(verdict) for verdict in Verdict}) == len(Verdict)
    assert all(words.window_sentence(window) for window in Window)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.70714, "0.7071"),
        (1e-4, "1 \u00d7 10\u207b\u2074"),
        (-2.5e-12, "-2.5 \u00d7 10\u207b\u00b9\u00b2"),
        (123456.0, "123500"),
    ],
)
def test_numbers_are_short_and_never_nought_when_they_are_not(value: float, shown: str) -> None:
    assert words.number(value) == shown


# Hostile text in names cannot become markup.


def hostile() -> ComplianceDocument:
    text = samples.document().to_json().decode()
    escaped = HOSTILE.replace('"', '\\"')
    names = ["finance-demo", "Demo consortium", "FedIT", "Apache-2.0", "neutral", "X_NEW"]
    names += ["gradient canaries", "median exposure", "more canaries", "Whoever has the released"]
    for word in (*names, *report_samples.SITES):
        assert word in text
        text = text.replace(word, f"{word} {escaped}")
    return ComplianceDocument.from_json(text.encode())


def test_hostile_text_stays_text(pages: dict[str, str]) -> None:
    attacked = parse(render_html(hostile()))
    plain = Counter(e.tag for e in parse(pages["all-verdicts"]).iter())
    assert plain == Counter(e.tag for e in attacked.iter())
    assert HOSTILE.split(maxsplit=1)[0] in "".join(attacked.itertext())


def test_without_escaping_the_same_text_would_be_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    made = page_module._environment

    def unescaped() -> jinja2.Environment:
        environment = made()
        environment.autoescape = False
        return environment

    monkeypatch.setattr(page_module, "_environment", unescaped)
    assert "<script>alert('1')</script>" in render_html(hostile())


def test_a_template_cannot_skip_a_missing_value() -> None:
    template = page_module._environment().from_string("{{ report.verdikt }}")
    with pytest.raises(jinja2.UndefinedError):
        template.render(report=report_of(samples.document()))
