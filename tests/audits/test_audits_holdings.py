"""Who holds what: drawn in a simulation, and refused wherever counts have to stay at a site."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from pydantic import ValidationError
from report_samples import SITES, report

from audits.facts import ReportFacts, Source
from audits.holdings import HoldingFacts, HoldingsFacts, holdings_chart
from audits.report import render_report
from audits.report_warnings import ReportWarning

LABELS = ("negative", "neutral", "positive")
COUNTS = ((120, 30, 2), (40, 200, 60), (0, 5, 0), (1, 1, 700))


def held(labels: tuple[str, ...] = LABELS) -> HoldingsFacts:
    return HoldingsFacts(
        rule="label",
        labels=labels,
        sites=tuple(
            HoldingFacts(site=site, records=sum(counts), labels=counts if labels else ())
            for site, counts in zip(SITES, COUNTS, strict=True)
        ),
    )


def with_holdings(holdings: HoldingsFacts, **changes: object) -> ReportFacts:
    return ReportFacts.model_validate(
        report().model_dump(by_alias=True) | {"holdings": holdings.model_dump()} | changes
    )


def test_the_picture_and_the_table_say_the_same() -> None:
    page = render_report(with_holdings(held()))
    section = page[page.index("Who holds what") : page.index("What was looked for")]
    svg = re.search(r"<svg.*?</svg>", section, re.DOTALL)
    assert svg is not None
    drawn = ET.fromstring(svg[0])  # noqa: S314 - our own page
    bars = [rect for rect in drawn.iter("rect") if rect.get("height") == "20"]
    assert len(bars) == sum(count > 0 for counts in COUNTS for count in counts)
    scale = max(sum(counts) for counts in COUNTS)
    widths = [float(rect.get("width", 0)) for rect in bars]
    wanted = [456 * count / scale for counts in COUNTS for count in counts if count]
    assert widths == pytest.approx(wanted, abs=0.006)
    for counts in COUNTS:
        assert f">{sum(counts)}<" in section
    assert "no epsilon covers them" in section
    assert "stays at that site.</caption>" not in page


def test_without_labels_in_common_whole_sites_are_drawn() -> None:
    chart = holdings_chart(held(()))
    assert chart.legend == ()
    assert [len(bar.parts) for bar in chart.bars] == [1, 1, 1, 1]
    assert chart.bars[3].parts[0].width == 1.0


def test_too_many_labels_are_not_told_apart_by_shades() -> None:
    labels = tuple(f"class-{n}" for n in range(9))
    facts = HoldingsFacts(
        rule="equal",
        labels=labels,
        sites=(HoldingFacts(site="a", records=45, labels=tuple(range(1, 10))),),
    )
    assert holdings_chart(facts).legend == ()


def test_a_report_without_them_says_that_counts_stay_at_the_sites() -> None:
    page = render_report(report())
    assert "Who holds what" not in page
    assert "stays at that site.</caption>" in page
    assert '"holdings"' not in report().to_json().decode()


def test_a_consortiums_report_cannot_hold_them() -> None:
    for changes in (
        {"warnings": (ReportWarning.BUDGET_NOT_CARRIED,)},
        {"data": report().data.model_dump() | {"source": Source.SITES_OWN}},
    ):
        with pytest.raises(ValidationError, match="stay at the sites"):
            with_holdings(held(), **changes)


def one_site(records: int, labels: tuple[int, ...]) -> HoldingsFacts:
    holding = HoldingFacts(site="a", records=records, labels=labels)
    return HoldingsFacts(rule="equal", labels=LABELS, sites=(holding,))


def test_holdings_that_do_not_fit_are_refused() -> None:
    facts = held()
    with pytest.raises(ValidationError, match="in their order"):
        with_holdings(facts.model_copy(update={"sites": facts.sites[::-1]}))
    with pytest.raises(ValidationError, match="other labels"):
        with_holdings(held(("a", "b", "c")))
    with pytest.raises(ValidationError, match="add up"):
        HoldingsFacts(
            rule="equal",
            labels=LABELS,
            sites=(HoldingFacts(site="a", records=9, labels=(1, 2, 3)),),
        )
    with pytest.raises(ValidationError, match="one for each label"):
        one_site(records=3, labels=(3,))
