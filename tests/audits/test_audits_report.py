from __future__ import annotations

import math
import re
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import jinja2
import pytest
import report_samples as samples
from justhtml import JustHTML

from audits import report as report_module
from audits import scrubbing_wording, trust, wording
from audits.facts import (
    Adversary,
    PlainSumFacts,
    ReportFacts,
    ReportWarning,
    Selection,
    Source,
    View,
)
from audits.report import render_report, render_site_report
from audits.report_warnings import caution
from privacy.events import Relation, Unit
from privacy.scrubbing import ScrubMode

if TYPE_CHECKING:
    from collections.abc import Callable

HOSTILE = "<script>alert('1')</script>\"&amp;<img src=x onerror=alert(1)>{{ 7*7 }}{% raw %}"
DRAWING = {"svg", "title", "desc", "path", "text", "circle", "rect"}
WORDS = """
html head meta style body header footer main section div p span h1 h2 h3 ul li dl dt dd a strong
code pre figure figcaption table caption thead tbody tr th td
"""
ELEMENTS = DRAWING.union(WORDS.split())

DISTRIBUTED = samples.distributed_privacy()
WHOLE_SITES = samples.site_privacy()

PAGES: dict[str, Callable[[], str]] = {
    "private": lambda: render_report(samples.report()),
    "deployed": lambda: render_report(samples.report(warnings=())),
    "noted": lambda: render_report(samples.report(notes=("69 texts were dropped.", "One more."))),
    "none": lambda: render_report(samples.report(private=False)),
    "distributed": lambda: render_report(samples.report(privacy=DISTRIBUTED, warnings=())),
    "whole-sites": lambda: render_report(samples.report(privacy=WHOLE_SITES, warnings=())),
    "few-scores": lambda: render_report(samples.report(finished=90, planned=100, every=7)),
    "no-scores": lambda: render_report(samples.report(finished=2, planned=100, every=7)),
    "partial": lambda: render_report(samples.report(finished=60, planned=100, extra=2)),
    "no-round": lambda: render_report(samples.report(finished=0)),
    "one-round": lambda: render_report(samples.report(finished=1, planned=1)),
    "site": lambda: render_site_report(samples.site_report()),
    "site-none": lambda: render_site_report(samples.site_report(private=False)),
    "harbor": lambda: render_report(samples.report(scrub_mode=ScrubMode.SAFE_HARBOR)),
    "expert": lambda: render_report(samples.report(scrub_mode=ScrubMode.EXPERT_DETERMINATION)),
    "site-harbor": lambda: render_site_report(
        samples.site_report(scrub_mode=ScrubMode.SAFE_HARBOR, measured=True)
    ),
    "site-expert": lambda: render_site_report(
        samples.site_report(scrub_mode=ScrubMode.EXPERT_DETERMINATION, expert=True)
    ),
}


@pytest.fixture(params=sorted(PAGES))
def page(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return PAGES[name]()


def test_the_same_facts_give_the_same_bytes() -> None:
    facts = samples.report()
    again = ReportFacts.from_json(facts.to_json())
    assert render_report(facts).encode() == render_report(again).encode()


def test_other_facts_give_another_page() -> None:
    assert render_report(samples.report()) != render_report(samples.report(extra=1))


def test_a_browsers_parser_finds_no_error_in_a_page(page: str) -> None:
    JustHTML(page, strict=True)


def test_a_page_is_well_formed_and_loads_and_runs_nothing(page: str) -> None:
    root = samples.parse(page)
    for element in root.iter():
        assert element.tag in ELEMENTS
        for name in element.attrib:
            assert name not in {"src", "srcset", "style", "action", "data"}
            assert not name.startswith("on")
    assert not re.search(r"https?:|//|@import|url\(|javascript:", page)
    policy = root.find("head/meta[@http-equiv='Content-Security-Policy']")
    assert policy is not None
    assert policy.get("content", "").startswith("default-src 'none';")


def test_links_lead_to_places_on_the_page(page: str) -> None:
    root = samples.parse(page)
    places = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(places) == len(set(places))
    for link in root.iter("a"):
        assert link.get("href", "").startswith("#")
        assert link.get("href", "")[1:] in places
    for element in root.iter():
        for place in element.get("aria-labelledby", "").split():
            assert place in places


def test_headings_follow_one_another_without_a_gap(page: str) -> None:
    levels = [int(e.tag[1]) for e in samples.parse(page).iter() if re.fullmatch(r"h[1-6]", e.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    for i in range(1, len(levels)):
        assert levels[i] - levels[i - 1] <= 1


def test_tables_and_charts_can_be_read_aloud(page: str) -> None:
    root = samples.parse(page)
    assert root.get("lang") == "en"
    for table in root.iter("table"):
        assert table.find("caption") is not None
    for cell in root.iter("th"):
        assert cell.get("scope") in {"row", "col"}
    for chart in root.iter("svg"):
        assert chart.get("role") == "img"
        assert (chart.findtext("title") or "").strip()
        assert (chart.findtext("desc") or "").strip()


def test_long_tables_repeat_their_heads_on_paper(page: str) -> None:
    assert "thead { display: table-header-group; }" in page
    assert "@page { size: A4;" in page


# Hostile text in names cannot become markup.


def hostile(facts: ReportFacts) -> ReportFacts:
    text = facts.to_json().decode()
    escaped = HOSTILE.replace('"', '\\"')
    words = ["finance-demo", "Demo consortium", "FedIT", "Apache-2.0", "Generated financial"]
    words += ["all-MiniLM-L6-v2", "x25519-hkdf-sha256-aes256ctr-z32", "neutral", "X_NEW", "fedit"]
    words += ["adapter.target_modules", "dp-accounting 0.6.0, Renyi", "torch", *samples.SITES]
    for word in words:
        assert word in text
        text = text.replace(word, f"{word} {escaped}")
    return ReportFacts.from_json(text.encode())


def test_hostile_text_stays_text() -> None:
    plain = samples.parse(render_report(samples.report()))
    attacked = samples.parse(render_report(hostile(samples.report())))
    assert Counter(e.tag for e in plain.iter()) == Counter(e.tag for e in attacked.iter())
    assert HOSTILE.split(maxsplit=1)[0] in "".join(attacked.itertext())


def test_without_escaping_the_same_text_would_be_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    made = report_module._environment

    def unescaped() -> jinja2.Environment:
        environment = made()
        environment.autoescape = False
        return environment

    monkeypatch.setattr(report_module, "_environment", unescaped)
    assert "<script>alert('1')</script>" in render_report(hostile(samples.report()))


def test_a_template_cannot_skip_a_missing_value() -> None:
    template = report_module._environment().from_string("{{ facts.privvacy.epsilon }}")
    with pytest.raises(jinja2.UndefinedError):
        template.render(facts=samples.report())


# What the page says.


def test_page_one_states_the_largest_charge_and_never_less() -> None:
    text = samples.text_of(PAGES["partial"]())
    assert "is bounded: epsilon 8.43." in text
    assert "epsilon 8.43 at delta 0.00001 (1 in 100 000)" in text


def test_a_run_without_a_guarantee_says_so_and_states_no_bound() -> None:
    text = samples.text_of(PAGES["none"]())
    assert "NO PRIVACY GUARANTEE" in text
    assert "is bounded" not in text
    assert "The privacy bound still holds" not in text
    assert "NO PRIVACY GUARANTEE" not in samples.text_of(PAGES["private"]())


def test_every_warning_stands_on_page_one_and_is_explained() -> None:
    facts = samples.report(warnings=tuple(ReportWarning))
    root = samples.parse(render_report(facts))
    text = " ".join("".join(root.itertext()).split())
    front = root.find(".//div[@class='front']")
    assert front is not None
    for warning in ReportWarning:
        words = caution(warning)
        assert words.title in "".join(front.itertext())
        assert words.text in text


def test_a_simulation_does_not_claim_that_parties_were_apart() -> None:
    simulated, deployed = samples.text_of(PAGES["private"]()), samples.text_of(PAGES["deployed"]())
    assert "whoever controlled the one computer" in simulated
    assert "everybody outside the site" not in simulated
    assert "whoever controlled the one computer" not in deployed
    assert "everybody outside the site" in deployed


def test_the_numbers_of_rounds_and_sites_are_on_the_page() -> None:
    facts = samples.report()
    text = samples.text_of(render_report(facts))
    assert "60.2 %" in text
    assert "75.4 %" in text
    assert "15.2 percentage points better" in text
    for party in facts.federation.sites:
        assert party.name in text
        assert party.key_fingerprint in text.replace(" ", "")
    assert facts.sha256() in text.replace(" ", "")
    assert "[PERSON]" in text
    assert "secure-fl verify RUN --trust ROOT.pub" in text


def without_f1(facts: ReportFacts) -> ReportFacts:
    """Return what a run on records with options of their own would state."""
    none = {"macro_f1": None, "weighted_f1": None}
    before = facts.utility.before
    rounds = tuple(
        row
        if row.scores is None
        else row.model_copy(update={"scores": row.scores.model_copy(update=none)})
        for row in facts.rounds
    )
    utility = facts.utility.model_copy(
        update={"before": None if before is None else before.model_copy(update=none)}
    )
    return facts.model_copy(update={"rounds": rounds, "utility": utility})


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize("classes", [True, False])
def test_records_with_options_have_no_f1_on_the_page(*, classes: bool, every: int) -> None:
    facts = samples.report(every=every)
    page = render_report(facts if classes else without_f1(facts))
    assert ("F1" in page) is classes
    assert "accuracy: " in page
    (table,) = (
        table
        for table in samples.parse(page).iter("table")
        if "Finished" in "".join(table.itertext())
    )
    assert {len(row) for row in table.iter("tr")} == {8 if classes else 6}


def test_a_long_run_shows_evenly_many_rounds_with_the_last() -> None:
    shown = report_module._shown(samples.rounds(95, 100))
    assert [row.round for row in shown] == [*range(3, 95, 3), 95]
    assert len(report_module._shown(samples.rounds(40, 40))) == 40
    assert report_module._shown(()) == ()


def test_a_plain_sum_names_the_coordinator_as_trusted_with_every_update() -> None:
    facts = samples.report(warnings=())
    plain = facts.model_copy(update={"protection": PlainSumFacts()})
    rows = [row.what for row in trust.trusts(plain)]
    assert any("it read each one" in what for what in rows)
    assert not any("it read each one" in row.what for row in trust.trusts(facts))


def test_a_homomorphic_sum_names_every_single_site_as_trusted_with_every_update() -> None:
    facts = samples.report(warnings=())
    encrypted = facts.model_copy(update={"protection": samples.homomorphic_sum()})
    rows = {row.who: row for row in trust.trusts(encrypted)}
    assert "One such site is enough" in rows["Every single site"].otherwise
    false_site = rows["The holder of the consortium's root key"].otherwise
    assert false_site.startswith("A single false site, with the coordinator")
    assert any("one site's encrypted update" in row.otherwise for row in trust.trusts(encrypted))
    assert "Every single site" not in {row.who for row in trust.trusts(facts)}


@pytest.mark.parametrize("private", [True, False])
def test_a_homomorphic_sum_is_not_called_masked_and_says_who_could_read_all(
    *, private: bool
) -> None:
    facts = samples.report(private=private)
    masked = samples.text_of(report_module.render_report(facts))
    facts = facts.model_copy(
        update={
            "protection": samples.homomorphic_sum(),
            "warnings": (ReportWarning.ONE_SITE_AND_COORDINATOR_READ_ALL,),
        }
    )
    text = samples.text_of(report_module.render_report(facts))
    assert "any one site together with the coordinator" in text
    assert "BFV, one key for all sites" in text
    assert "pdates were masked" not in text
    assert "masked updates" not in text
    assert "any one site together with the coordinator" not in masked


def test_a_malicious_coordinator_is_not_trusted_with_the_survivor_list() -> None:
    facts = samples.report(warnings=())
    safe = facts.model_copy(update={"adversary": Adversary.MALICIOUS})
    assert any("semi-honest" in row.what for row in trust.trusts(facts))
    assert not any("semi-honest" in row.what for row in trust.trusts(safe))


def test_the_sites_own_report_has_exact_counts_and_says_that_it_stays() -> None:
    text = samples.text_of(PAGES["site"]())
    for words in ("1 208 training records", "472 finds in 411 of 1 208", "must not leave it"):
        assert words in text
    assert "All runs: 8.00 of 10.00." in text
    assert "without bound" in samples.text_of(PAGES["site-none"]())


# What scrubbing wrote, and what that claims.


@pytest.mark.parametrize("name", ["harbor", "site-harbor"])
def test_safe_harbor_says_what_nobody_here_can_attest(name: str) -> None:
    text = samples.text_of(PAGES[name]())
    assert "Safe Harbor, 45 CFR 164.514(b)(2)(i)" in text
    assert "It cannot be attested here that all of them were found" in text
    assert "164.514(b)(2)(ii)" in text
    assert "no actual knowledge" in text


def test_the_site_reads_which_of_the_eighteen_were_looked_for_and_by_what() -> None:
    page = PAGES["site-harbor"]()
    rows = re.findall(r'<th scope="row">([A-R]): [^<]+</th><td>([^<]+)</td>', page)
    assert [letter for letter, _ in rows] == list("ABCDEFGHIJKLMNOPQR")
    by = dict(rows)
    names = samples.digest("names")[:16]
    assert f"PERSON by finder of PERSON (names model, model {names})" in by["A"]
    assert by["Q"] == "not looked for: text cannot hold one"
    assert "DEVICE_ID by finder of DEVICE_ID (pattern)" in by["M"]
    assert "nobody" not in "".join(by.values())


@pytest.mark.parametrize("name", ["expert", "site-expert"])
def test_an_experts_mode_is_never_called_safe_harbor(name: str) -> None:
    page = PAGES[name]()
    assert not re.search("safe.?harbou?r", page, re.IGNORECASE)
    assert "an expert has to determine, and to document" in samples.text_of(page)


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"harbor", "site-harbor"}))
def test_no_other_mode_is_called_safe_harbor(name: str) -> None:
    assert "Safe Harbor" not in PAGES[name]()


def test_the_site_reads_where_the_experts_statement_is_or_that_there_is_none() -> None:
    text = samples.text_of(PAGES["site-expert"]())
    assert "names a document as the expert's determination. It was not read here." in text
    without = samples.site_report(scrub_mode=ScrubMode.EXPERT_DETERMINATION)
    assert "names no expert's statement" in samples.text_of(render_site_report(without))


def test_the_site_reads_what_its_labelled_sample_shows() -> None:
    text = samples.text_of(PAGES["site-harbor"]())
    assert "Of 60 texts, 50 hold personal data that is labelled; of them, 47 were fully" in text
    assert "Of 1 500 letters and digits of labelled personal data, 21 stayed." in text
    assert "Of 140 findings, 6 were of nothing that is labelled." in text
    row = re.search(r"<tr><th[^>]*>Names of people \[PERSON\].*</tr>", PAGES["site-harbor"]())
    assert row is not None
    assert re.findall(r'"number">([^<]+)<', row[0]) == ["80", "77", "89.4\xa0% to 99.2\xa0%"]
    assert "was not measured" in samples.text_of(PAGES["site"]())


def test_records_that_were_not_scrubbed_are_of_no_mode() -> None:
    off = samples.report().model_copy(
        update={
            "scrubbing": tuple(
                entry.model_copy(update={"looked_for": ()}) for entry in samples.report().scrubbing
            )
        }
    )
    assert "replaced by its type" in samples.text_of(PAGES["private"]())
    assert "replaced by its type" not in samples.text_of(render_report(off))


def test_every_value_of_every_enumeration_has_words() -> None:
    assert all(caution(value).text for value in ReportWarning)
    assert all(wording.unit_phrase(value) for value in Unit)
    assert all(wording.relation_phrase(value) for value in Relation)
    assert all(wording.view_phrase(value) for value in View)
    assert all(wording.source_phrase(value) for value in Source)
    assert all(wording.adversary_phrase(value) for value in Adversary)
    assert all(scrubbing_wording.mode_sentence(value) for value in ScrubMode)
    assert scrubbing_wording.entity_phrase("X_NEW") == "X_NEW"


# What epsilon means.


def naive_best_guess(epsilon: float, delta: float) -> float:
    """The best even-chance guess against the worst (epsilon, delta) mechanism, by its outputs.

    With probability delta the mechanism tells the truth, otherwise it answers by randomised
    response, for which nothing beats believing the answer.
    """
    truthful = math.exp(epsilon) / (1 + math.exp(epsilon))
    return delta + (1 - delta) * truthful


@pytest.mark.parametrize("epsilon", [0.0, 0.5, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 0.01])
def test_the_worst_guess_is_that_of_the_worst_mechanism(epsilon: float, delta: float) -> None:
    shown = float(wording._worst_guess(epsilon, delta).rstrip("%").strip())
    assert 0.0 <= shown / 100 - naive_best_guess(epsilon, delta) < 1.01e-4


def test_a_large_epsilon_is_not_dressed_up() -> None:
    assert wording._factor(800.0) == "more than a million"
    assert wording._worst_guess(800.0, 1e-5) == "nearly 100\u00a0%"


@pytest.mark.parametrize(
    ("accuracy", "low", "words"),
    [
        (0.60, 0.57, "does not do better"),
        (0.62, 0.59, "does not show that it learned"),
        (0.75, 0.72, "more than chance explains"),
    ],
)
def test_utility_is_claimed_only_beyond_chance(accuracy: float, low: float, words: str) -> None:
    assert words in wording.utility_sentence(accuracy, low, 0.602)


def luminance(colour: str) -> float:
    """Relative luminance of a hexadecimal colour (WCAG 2.2)."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_has_the_contrast_that_aa_asks_for() -> None:
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", PAGES["private"]()))
    for ink in ("ink", "soft", "accent"):
        for ground in ("paper", "tint"):
            light, dark = luminance(colours[ground]), luminance(colours[ink])
            assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_rendering_needs_no_heavy_library() -> None:
    code = (
        "import sys, audits.report\n"
        "print(sorted({'torch', 'matplotlib', 'transformers', 'dp_accounting', 'scipy'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


def test_how_the_settings_were_chosen_is_on_the_page() -> None:
    for selection in Selection:
        facts = samples.report(privacy=samples.record_privacy(selection=selection))
        assert wording.selection_sentence(selection) in samples.text_of(render_report(facts))


# Rounds that were not scored.


def test_a_round_without_scores_has_a_dash_and_no_point_in_the_chart() -> None:
    page = render_report(samples.report(every=3))
    rows = [[cell.text for cell in row] for row in samples.parse(page).iter("tr")]
    third, fourth = (next(r for r in rows if len(r) == 8 and r[0] == n) for n in ("3", "4"))
    assert third[3] == "72.2\u00a0%"
    assert fourth[3:6] == ["\u2013"] * 3
    assert fourth[6] is not None
    chart = next(
        svg
        for svg in samples.parse(page).iter("svg")
        if svg.get("aria-labelledby", "").startswith("util")
    )
    assert len(list(chart.iter("circle"))) == 1 + 3  # before the first round, and rounds 3, 6, 8
    assert "a dash where a round was not scored" in samples.text_of(page)
    assert "a dash where" not in samples.text_of(PAGES["private"]())


def test_an_unfinished_run_shows_the_last_score_under_its_round() -> None:
    text = samples.text_of(PAGES["few-scores"]())
    assert "After round 84" in text
    assert "The final model" not in text
    none = samples.text_of(PAGES["no-scores"]())
    assert "No finished round was scored." in none
    assert "No round was scored yet." in none
    assert "there is no model to measure" not in none


def test_a_long_run_shows_the_rounds_that_were_scored() -> None:
    shown = report_module._shown(samples.rounds(95, 100, every=7))
    assert [row.round for row in shown] == [*range(7, 95, 7), 95]
    shown = report_module._shown(samples.rounds(995, 1000, every=3))
    assert len(shown) <= 40
    assert all(row.scores is not None for row in shown[:-1])
