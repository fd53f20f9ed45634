"""The section on privacy and utility: this run's accuracy beside that of other epsilons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits import numerals
from audits.compliance.blocks import Column, Figure, Paragraph, Section, Table, digest, pairs, table
from audits.compliance.drawing import WIDTH, Ink, Picture, axes, linear_scale, segment
from audits.compliance.styles import STYLES, End, end_labels, marker
from audits.facts import GuaranteedFacts

if TYPE_CHECKING:
    from audits.compliance.blocks import Block
    from audits.compliance.document import ComplianceDocument
    from audits.compliance.drawing import Mark, Scale
    from audits.compliance.styles import LineStyle
    from audits.frontier import FrontierPoint

_DASH = "\u2013"
_LEFT, _RIGHT, _TOP, _BOTTOM, _FOOT = 54.0, 430.0, 40.0, 268.0, 44.0
_OWN = "this run"
_WITHOUT: Final = ("federated", "centralised", "majority")
"""Rows without a guarantee that are drawn, as levels: what privacy is measured against."""
_MOST_STUDIES = len(STYLES) - 1 - len(_WITHOUT)


def frontier_section(document: ComplianceDocument) -> Section:
    """Return what other privacy on this task cost, where studies were given."""
    points = document.audit.frontier
    if not points:
        told = Paragraph(
            "No study was given to this audit: what another epsilon would have cost, or paid, in "
            "accuracy is not known from this report.",
            lead="NOT MEASURED.",
        )
        return Section("frontier", "Privacy against utility", (told,))
    blocks: list[Block] = [
        Paragraph(
            "Means over seeds that studies measured, each on as many evaluation records as this "
            "run. They are context: no gate of the audit tested them."
        ),
        _table(points),
        *(Figure(picture) for picture in _pictures(document)),
        _files(points),
    ]
    return Section("frontier", "Privacy against utility", tuple(blocks))


def _table(points: tuple[FrontierPoint, ...]) -> Table:
    columns = (
        Column("Study", 0.36),
        Column("Row", 0.16),
        Column("Epsilon", 0.16, number=True),
        Column("Delta", 0.1, number=True),
        Column("Accuracy", 0.14, number=True),
        Column("Seeds", 0.08, number=True),
    )
    rows = tuple(
        (point.study, point.row, *_claimed(point), _accuracy(point), str(point.seeds))
        for point in points
    )
    return table(
        "Accuracy at other epsilons: mean and standard deviation over seeds", columns, rows
    )


def _files(points: tuple[FrontierPoint, ...]) -> Table:
    known = dict.fromkeys((point.study, point.source) for point in points)
    return pairs(
        "SHA-256 of the studies' files",
        tuple((study, digest(source)) for study, source in known),
        name=0.36,
    )


def _claimed(point: FrontierPoint) -> tuple[str, str]:
    if point.epsilon is None or point.delta is None:
        return ("no guarantee", _DASH)
    return (numerals.bound(point.epsilon), numerals.plain(point.delta))


def _accuracy(point: FrontierPoint) -> str:
    mean = numerals.percent(point.mean)
    return mean if point.spread is None else f"{mean} \u00b1 {100 * point.spread:.1f}"


# -- the plot ----------------------------------------------------------------------------------


def _pictures(document: ComplianceDocument) -> tuple[Picture, ...]:
    """Return the plot of the points with an epsilon; none where there is none."""
    private = [point for point in document.audit.frontier if point.epsilon is not None]
    names = tuple(dict.fromkeys(point.row for point in private))[:_MOST_STUDIES]
    if not names:
        return ()
    levels = [point for point in document.audit.frontier if point.row in _WITHOUT]
    shown = [point for point in private if point.row in names]
    own = _own(document)
    x = linear_scale(0.0, max([at for at, _ in own] + _epsilons(shown)), start=_LEFT, stop=_RIGHT)
    y = _accuracies(shown + levels, [value for _, value in own])
    ends: list[End] = []
    marks: list[Mark] = [*axes(x, y, "epsilon", "accuracy")]
    legend: list[str] = []
    for style, name in zip(STYLES[1:], names, strict=False):
        drawn = [point for point in shown if point.row == name]
        marks += [mark for point in drawn for mark in _dot(point, x, y, style)]
        last = max(drawn, key=lambda point: point.epsilon or 0.0)
        ends.append(End(x.at(last.epsilon or 0.0), y.at(last.mean), name, style))
        legend.append(f"{name}: {_marker_words(style)}, a bar of one standard deviation each way.")
    for style, point in zip(STYLES[1 + len(names) :], levels, strict=False):
        level = y.at(point.mean)
        marks.append(segment((_LEFT, level), (_RIGHT, level), style.ink, 1.2, style.dash))
        ends.append(End(_RIGHT, level, point.row, style))
        legend.append(f"{point.row}, without a guarantee: a level, {style.words}.")
    for at, value in own:
        marks.append(marker(x.at(at), y.at(value), STYLES[0]))
        ends.append(End(x.at(at), y.at(value), _OWN, STYLES[0]))
        legend.append(f"{_OWN}: {_marker_words(STYLES[0])}.")
    marks += end_labels(ends, left=_RIGHT, right=WIDTH, bottom=_BOTTOM)
    return (
        Picture(
            slug="frontier",
            title="Accuracy at each epsilon",
            description=". ".join(_words(point) for point in shown) + ".",
            caption="Further left is more private, further up more accurate. Points of different "
            "deltas, units or settings are not to be joined.",
            legend=tuple(legend),
            height=_BOTTOM + _FOOT,
            marks=tuple(marks),
        ),
    )


def _own(document: ComplianceDocument) -> list[tuple[float, float]]:
    """Return the run's epsilon and its last accuracy, if it has both."""
    privacy = document.facts.privacy
    scored = [row.scores.accuracy for row in document.facts.rounds if row.scores is not None]
    if not isinstance(privacy, GuaranteedFacts) or not scored:
        return []
    return [(privacy.highest_charge, scored[-1])]


def _epsilons(points: list[FrontierPoint]) -> list[float]:
    return [point.epsilon for point in points if point.epsilon is not None]


def _accuracies(points: list[FrontierPoint], own: list[float]) -> Scale:
    low = [point.mean - (point.spread or 0.0) for point in points]
    high = [point.mean + (point.spread or 0.0) for point in points]
    return linear_scale(min(low + own), max(high + own), start=_BOTTOM, stop=_TOP)


def _dot(point: FrontierPoint, x: Scale, y: Scale, style: LineStyle) -> tuple[Mark, ...]:
    at, spread = x.at(point.epsilon or 0.0), point.spread or 0.0
    bar = segment((at, y.at(point.mean - spread)), (at, y.at(point.mean + spread)), Ink.SOFT, 1.4)
    return (bar, marker(at, y.at(point.mean), style))


def _marker_words(style: LineStyle) -> str:
    return style.words.split(", ")[-1]


def _words(point: FrontierPoint) -> str:
    epsilon = numerals.bound(point.epsilon or 0.0)
    return f"{point.row} at epsilon {epsilon}: {numerals.percent(point.mean)}"
