"""What the site's own report says of its veto."""

from __future__ import annotations

import pytest
import report_samples

from audits.report import render_site_report
from audits.site_facts import VetoCheckFacts, VetoFacts


def test_the_sites_report_says_how_near_the_nearest_sum_came() -> None:
    page = render_site_report(report_samples.site_report())
    said = report_samples.text_of(page)
    assert "looked at 160 noised sums before they left, and refused to send 1." in said
    rows = [
        ["".join(cell.itertext()) for cell in row] for row in report_samples.parse(page).iter("tr")
    ]
    assert ["has less noise than the mechanism says", "160", "0.2171"] in rows
    too_long = "is longer than clipped contributions and their noise can be"
    assert [too_long, "0", "off by the site's policy"] in rows
    assert ["has the noise of an earlier one", "0", "none made"] in rows
    without = report_samples.text_of(render_site_report(report_samples.site_report(private=False)))
    assert "before it sent anything" not in without


def test_what_a_veto_found_has_to_add_up() -> None:
    row = VetoCheckFacts(kind="noise", on=True, checks=2, smallest_margin=1.2)
    for wrong in ({"checks": 0}, {"smallest_margin": None}, {"smallest_margin": -1.0}):
        with pytest.raises(ValueError, match=r"margin|greater"):
            VetoCheckFacts.model_validate(row.model_dump() | wrong)
    with pytest.raises(ValueError, match="more sums were refused than were looked at"):
        VetoFacts(sums=1, refused=2, checks=(row,))
    with pytest.raises(ValueError, match="listed twice"):
        VetoFacts(sums=2, refused=0, checks=(row, row))
