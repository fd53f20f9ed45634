"""What the report says of noise that sites share, and of whom its bound counts on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import report_samples as samples

from audits import trust
from audits.facts import Adversary, MaskedSumFacts, NoiseShareFacts, smallest_openable_sum
from audits.report import render_report

if TYPE_CHECKING:
    from collections.abc import Callable

DISTRIBUTED = samples.distributed_privacy()
PAGES: dict[str, Callable[[], str]] = {
    "private": lambda: render_report(samples.report()),
    "deployed": lambda: render_report(samples.report(warnings=())),
    "distributed": lambda: render_report(samples.report(privacy=DISTRIBUTED, warnings=())),
    "whole-sites": lambda: render_report(
        samples.report(privacy=samples.site_privacy(), warnings=())
    ),
}


def front_of(page: str) -> str:
    front = samples.parse(page).find(".//div[@class='front']")
    assert front is not None
    return " ".join("".join(front.itertext()).split())


@pytest.mark.parametrize("name", ["distributed", "whole-sites"])
def test_page_one_names_the_honest_sites_and_the_coordinator_that_the_bound_counts_on(
    name: str,
) -> None:
    front = front_of(PAGES[name]())
    assert "is bounded, with at least 2 honest sites in each: epsilon 8.00." in front
    assert "at least 2 honest sites in every sum" in front
    assert "the coordinator, to follow the protocol" in front
    assert "any one of the other sites, alone or with the coordinator" in front
    assert "no other party" not in front
    assert "left its site is bounded" not in front


def test_a_record_mode_counts_on_nobody() -> None:
    front = front_of(PAGES["deployed"]())
    assert "no other party" in front
    assert "honest sites" not in front


def test_a_malicious_coordinator_is_not_trusted_with_shared_noise() -> None:
    facts = samples.report(privacy=DISTRIBUTED, adversary=Adversary.MALICIOUS, warnings=())
    front = front_of(render_report(facts))
    assert "to follow the protocol" not in front
    assert "The bound counts on the coordinator" not in front
    assert "the coordinator, even if it departs from the protocol" in front
    assert "2 honest sites" in front


def test_a_simulation_with_shared_noise_claims_nothing_against_its_computer() -> None:
    front = front_of(render_report(samples.report(privacy=DISTRIBUTED)))
    assert "anybody who sees the opened sums or the final model; not against whoever" in front


def test_unmasked_shares_of_noise_are_not_said_to_keep_the_bound() -> None:
    facts = samples.report(privacy=DISTRIBUTED, warnings=())
    rows = {row.what: row.otherwise for row in trust.trusts(facts)}
    pooled = rows["Not to pool their secrets with the coordinator's records."]
    assert "The bound would not hold" in pooled
    assert not any("still holds" in text for text in rows.values())
    own = [row.otherwise for row in trust.trusts(samples.report(warnings=()))]
    assert any("still holds" in text for text in own)


@pytest.mark.parametrize(
    ("cohort", "lost", "threshold", "words"),
    [(4, 1, 3, "still hold as much noise"), (10, 1, 7, "hold less noise than the bound counts on")],
)
def test_a_smaller_sum_is_said_to_hold_the_noise_that_it_holds(
    cohort: int, lost: int, threshold: int, words: str
) -> None:
    sites = tuple(f"site-{number:02d}" for number in range(cohort))
    shares = (NoiseShareFacts(cohort=cohort, drop_outs=lost, colluders=1),)
    privacy = samples.distributed_privacy(shares=shares)
    privacy = privacy.model_copy(update={"sites": samples.charges(sites)})
    facts = samples.report(sites=sites, warnings=()).model_copy(
        update={
            "privacy": privacy,
            "protection": MaskedSumFacts(cipher_suite="s", threshold=threshold),
        }
    )
    opened = smallest_openable_sum(cohort, threshold)
    assert (opened >= cohort - lost) is ("still" in words)
    assert any(words in row.otherwise for row in trust.trusts(facts))


def test_each_cohort_has_its_row_of_shares() -> None:
    shares = (
        NoiseShareFacts(cohort=4, drop_outs=1, colluders=1),
        NoiseShareFacts(cohort=3, drop_outs=0, colluders=2),
    )
    with pytest.raises(ValueError, match="colluders differs"):
        samples.site_privacy(shares=shares)
    shares = (shares[0], NoiseShareFacts(cohort=3, drop_outs=0, colluders=1))
    page = render_report(samples.report(privacy=samples.site_privacy(shares=shares)))
    tables = [
        table
        for table in samples.parse(page).iter("table")
        if "noise was shared" in (table.findtext("caption") or "")
    ]
    rows = [[cell.text for cell in row] for row in tables[0].iter("tr")][1:]
    assert rows == [
        ["4", "1", "1", "2", "1/2 of what is counted on"],
        ["3", "0", "1", "2", "1/2 of what is counted on"],
    ]


def test_the_mechanism_is_told_as_it_was() -> None:
    own, steps, whole = (
        samples.text_of(PAGES[n]()) for n in ("private", "distributed", "whole-sites")
    )
    assert "normally distributed noise" in own
    assert "every record took part by chance, with probability 0.1" in own
    for text in (steps, whole):
        assert "normally distributed" not in text
        assert "The noise is discrete Gaussian, drawn and added as whole numbers" in text
        assert "approximation, not a bound" in text
    assert "every patient, with all records at a site together, took part by chance" in steps
    assert "Whoever has records at k sites spends at each of them" in steps
    assert "by chance" not in whole
    assert "zero stands in its place" in whole
    assert "as likely as with zero in its place" in whole
    assert "up to twice the epsilon" in whole
