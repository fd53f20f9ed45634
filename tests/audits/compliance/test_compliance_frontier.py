"""Accuracy beside epsilon: what studies measured, and nothing where none were given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import compliance_samples as samples
import pytest
import report_samples
from pydantic import ValidationError

from audits.compliance.blocks import Figure, Paragraph, Section, Table
from audits.compliance.document import ComplianceDocument
from audits.compliance.drawing import WIDTH, Disc, Stroke
from audits.compliance.frontier_section import frontier_section
from audits.compliance.page import render_html
from audits.compliance.pdf import render_pdf
from audits.frontier import FrontierPoint

if TYPE_CHECKING:
    from audits.facts import ReportFacts


def point(
    row: str = "federated-dp", epsilon: float | None = 3.0, mean: float = 0.7
) -> FrontierPoint:
    return FrontierPoint(
        study="grid",
        row=row,
        epsilon=epsilon,
        delta=None if epsilon is None else 1e-5,
        mean=mean,
        spread=0.01,
        seeds=3,
        records=600,
        source=report_samples.digest("grid"),
    )


def section(*points: FrontierPoint, facts: ReportFacts | None = None) -> Section:
    return frontier_section(document(*points, facts=facts))


def document(*points: FrontierPoint, facts: ReportFacts | None = None) -> ComplianceDocument:
    given = report_samples.report() if facts is None else facts
    audit = samples.audit(given).model_copy(update={"frontier": points})
    return ComplianceDocument(facts=given, audit=audit)


def figures(found: Section) -> list[Figure]:
    return [block for block in found.blocks if isinstance(block, Figure)]


def test_without_a_study_it_says_that_nothing_was_measured() -> None:
    [told] = section().blocks
    assert isinstance(told, Paragraph)
    assert told.lead == "NOT MEASURED."


def test_every_point_stands_in_the_table_with_its_spread_and_its_file() -> None:
    found = section(point(), point("centralised", None, 0.8))
    points, files = [block for block in found.blocks if isinstance(block, Table)]
    rows = [[cell.lines[0] for cell in row.cells] for row in points.rows]
    assert rows == [
        ["grid", "federated-dp", "3.00", "0.00001", "70.0\u00a0% \u00b1 1.0", "3"],
        ["grid", "centralised", "no guarantee", "\u2013", "80.0\u00a0% \u00b1 1.0", "3"],
    ]
    assert [row.cells[1].lines[0] for row in files.rows] == [report_samples.digest("grid")]


def test_points_are_drawn_where_they_belong_and_levels_across() -> None:
    found = section(point(), point(epsilon=8.0, mean=0.75), point("centralised", None, 0.8))
    [figure] = figures(found)
    marks = figure.picture.marks
    for mark in marks:
        ends = mark.points if isinstance(mark, Stroke) else ((mark.x, mark.y),)
        assert all(0 <= x <= WIDTH and 0 <= y <= figure.picture.height for x, y in ends)
    assert any(isinstance(mark, Disc) for mark in marks)  # the run itself
    levels = [m for m in marks if isinstance(m, Stroke) and m.dash and len(m.points) == 2]
    assert any(m.points[0][1] == m.points[1][1] and m.points[1][0] > 400 for m in levels)
    assert "federated-dp at epsilon 3.00: 70.0\u00a0%" in figure.picture.description
    assert any(line.startswith("this run") for line in figure.picture.legend)


def test_a_run_without_a_guarantee_has_no_place_among_the_epsilons() -> None:
    facts = report_samples.report(private=False)
    [figure] = figures(section(point(), facts=facts))
    assert not any(line.startswith("this run") for line in figure.picture.legend)


def test_without_an_epsilon_there_is_a_table_and_no_plot() -> None:
    assert figures(section(point("majority", None))) == []


def test_page_and_pdf_hold_it() -> None:
    whole = document(point())
    assert "Privacy against utility" in render_html(whole)
    assert render_pdf(whole) != render_pdf(document())


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": None},
        {"delta": None},
        {"spread": None},
        {"seeds": 1},
        {"mean": 1.2},
        {"records": 0},
        {"source": "0" * 63},
    ],
)
def test_a_point_that_means_nothing_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        FrontierPoint.model_validate(point().model_dump() | wrong)
