"""The plots of the compliance report, from the series that the findings carry.

Every plot has a title and a description for whoever does not see it, its lines carry their names,
and a legend says in words how each is drawn. The same findings give the same picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits import numerals
from audits.compliance.drawing import (
    WIDTH,
    Ink,
    Mark,
    Picture,
    Scale,
    Stroke,
    Words,
    axes,
    chunks,
    linear_scale,
    rate_scale,
    segment,
)
from audits.compliance.heat import rank_plots
from audits.compliance.styles import STYLES, End, LineStyle, end_labels, line, marker
from audits.findings import SeriesKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from audits.compliance.document import ComplianceDocument
    from audits.findings import Finding, Point, Series

_LEFT = 54.0
_RIGHT = 392.0
_TOP = 40.0
_BOTTOM = 268.0
_FOOT = 44.0
_HEIGHT = _BOTTOM + _FOOT
_REFERENCE: Final = LineStyle("thin dashed line", Ink.SOFT, 1.2, (3, 3), "none")


def plots_of(document: ComplianceDocument) -> tuple[Picture, ...]:
    """Return every plot that the findings of `document` have series for, in a fixed order.

    ROC and exposure have a plot for each gate, epsilon and power one for all gates, the ranks one
    for each gate; more lines than a plot can tell apart go into a further plot.
    """
    findings = document.audit.findings
    pictures: list[Picture] = []
    for finding in findings:
        for number, series in enumerate(chunks(_of(finding, SeriesKind.ROC), len(STYLES))):
            pictures.append(_roc(finding, series, number))
    for finding in findings:
        kinds = (SeriesKind.EXPOSURE, SeriesKind.EXPOSURE_NULL)
        for number, series in enumerate(chunks(_of(finding, *kinds), len(STYLES))):
            pictures.append(_exposure(finding, series, number))
    pictures += _epsilons(document)
    for finding in findings:
        pictures += rank_plots(finding, _of(finding, SeriesKind.RANK_RATIO))
    powers = [
        (f"{finding.gate}: {series.name}", series)
        for finding in findings
        for series in _of(finding, SeriesKind.POWER)
    ]
    claimed = document.audit.claim.epsilon
    for number, chunk in enumerate(chunks(powers, len(STYLES))):
        pictures.append(_power(chunk, claimed, number))
    return tuple(pictures)


def _of(finding: Finding, *kinds: SeriesKind) -> tuple[Series, ...]:
    return tuple(series for series in finding.series if series.kind in kinds)


def _roc(finding: Finding, series: tuple[Series, ...], number: int) -> Picture:
    points = [point for entry in series for point in entry.points]
    x = rate_scale(_smallest(point.x for point in points), start=_LEFT, stop=_RIGHT)
    y = rate_scale(_smallest(point.y for point in points), start=_BOTTOM, stop=_TOP)
    reference = max(x.low, y.low)
    diagonal = Stroke(
        ((x.at(reference), y.at(reference)), (x.at(1.0), y.at(1.0))), Ink.SOFT, 1.2, (3, 3)
    )
    bands = [
        band
        for style, entry in zip(STYLES, series, strict=False)
        for band in _band(entry.points, style, x, y)
    ]
    marks: list[Mark] = [*sorted(bands, key=lambda band: band.fill is None)]  # edges last
    marks += [*axes(x, y, "false-positive rate", "true-positive rate"), diagonal]
    near = reference**0.8
    marks.append(Words(x.at(near) + 9, y.at(near) + 5, "guessing", ink=Ink.SOFT))
    marks += _lines([(entry.name, entry) for entry in series], x, y)
    legend = _legend(series)
    legend.append(f"guessing: {_REFERENCE.words}, where both rates are equal.")
    if bands:
        legend.append(
            "shaded, between thin lines dashed alike: the interval of the true-positive rate, "
            "point by point."
        )
    return Picture(
        slug=f"roc-{finding.gate}-{number}",
        title=f"{finding.gate}: how often the attack is right, at each rate of false alarms",
        description=". ".join(_roc_words(entry) for entry in series) + ".",
        caption="Both axes are logarithmic; a rate below an axis is drawn at its end. The further "
        "a line lies above the line of guessing at its left, the more the attack learns of single "
        f"canaries. Evidence: {finding.basis.value}.",
        legend=tuple(legend),
        height=_HEIGHT,
        marks=tuple(marks),
    )


def _roc_words(series: Series) -> str:
    first = min(series.points, key=lambda point: point.x)
    return (
        f"{series.name}: at a false-positive rate of {numerals.significant(first.x, digits=3)} the "
        f"true-positive rate is {numerals.significant(first.y, digits=3)}"
    )


def _smallest(values: Iterable[float]) -> float:
    return min((value for value in values if value > 0.0), default=0.1)


def _band(points: tuple[Point, ...], style: LineStyle, x: Scale, y: Scale) -> tuple[Stroke, ...]:
    """Return the area between the points' ends and its edges; nothing where they have no ends."""
    ends = [(point.x, point.low, point.high) for point in points]
    upper = tuple((x.at(at), y.at(high)) for at, _, high in ends if high is not None)
    lower = tuple((x.at(at), y.at(low)) for at, low, _ in ends if low is not None)
    if len(upper) != len(points) or len(lower) != len(points) or len(points) == 1:
        return ()
    area = Stroke((*upper, *reversed(lower)), None, fill=Ink.BAND, closed=True)
    edges = (Stroke(edge, style.ink, 0.6, style.dash) for edge in (upper, lower))
    return (area, *edges)


def _lines(named: list[tuple[str, Series]], x: Scale, y: Scale) -> list[Mark]:
    marks: list[Mark] = []
    ends = []
    for style, (name, series) in zip(STYLES, named, strict=False):
        placed = [(x.at(point.x), y.at(point.y)) for point in series.points]
        marks += line(placed, style)
        ends.append(End(*placed[-1], name, style))
    return [*marks, *end_labels(ends, left=_RIGHT, right=WIDTH, bottom=_BOTTOM)]


def _legend(series: Iterable[Series]) -> list[str]:
    return [f"{entry.name}: {style.words}." for style, entry in zip(STYLES, series, strict=False)]


def _exposure(finding: Finding, series: tuple[Series, ...], number: int) -> Picture:
    """Return the shares of canaries by exposure, trained ones before those of the null."""
    series = tuple(sorted(series, key=lambda entry: entry.kind is SeriesKind.EXPOSURE_NULL))
    points = [point for entry in series for point in entry.points]
    x = linear_scale(0.0, max([1.0, *(point.x for point in points)]), start=_LEFT, stop=_RIGHT)
    y = linear_scale(0.0, 1.0, start=_BOTTOM, stop=_TOP)
    named = [(_exposure_name(entry), entry) for entry in series]
    marks = [*axes(x, y, "exposure in bits", "share of canaries at or above"), *_lines(named, x, y)]
    highest = [
        f"{name}: the most exposed canary has {numerals.significant(most, digits=3)} bits"
        for name, entry in named
        for most in [max(point.x for point in entry.points)]
    ]
    return Picture(
        slug=f"exposure-{finding.gate}-{number}",
        title=f"{finding.gate}: how exposed the canaries are, beside secrets that nobody trained "
        "on",
        description=". ".join(highest) + ".",
        caption="The share of canaries whose exposure is so high or higher. A model that did not "
        "remember them gives the line of the null. "
        f"Evidence: {finding.basis.value}.",
        legend=tuple(
            f"{name}: {style.words}." for style, (name, _) in zip(STYLES, named, strict=False)
        ),
        height=_HEIGHT,
        marks=tuple(marks),
    )


def _exposure_name(series: Series) -> str:
    if series.kind is SeriesKind.EXPOSURE_NULL:
        return f"null: {series.name}"
    return series.name


def _power(chunk: tuple[tuple[str, Series], ...], claimed: float | None, number: int) -> Picture:
    points = [point for _, series in chunk for point in series.points]
    furthest = max([1.0, *(point.x for point in points)] + ([] if claimed is None else [claimed]))
    x = linear_scale(0.0, furthest, start=_LEFT, stop=_RIGHT)
    y = linear_scale(0.0, 1.0, start=_BOTTOM, stop=_TOP)
    marks = [*axes(x, y, "true epsilon", "probability that the gate notices")]
    legend = [f"{name}: {style.words}." for style, (name, _) in zip(STYLES, chunk, strict=False)]
    if claimed is not None:
        at = x.at(claimed)
        marks.append(segment((at, _BOTTOM), (at, _TOP), Ink.SOFT, 1.2, (3, 3)))
        words = f"claimed {numerals.bound(claimed)}"
        marks.append(Words(at, _TOP - 5, words, "middle", ink=Ink.SOFT))
        legend.append(f"claimed epsilon, {numerals.bound(claimed)}: {_REFERENCE.words}, upright.")
    marks += _lines(list(chunk), x, y)
    return Picture(
        slug=f"power-{number}",
        title="Which true epsilon the gates would notice",
        description=". ".join(
            f"{name}: at a true epsilon of {numerals.significant(last.x, digits=3)} it is noticed "
            f"with a probability of {numerals.significant(last.y, digits=3)}"
            for name, series in chunk
            for last in series.points[-1:]
        )
        + ".",
        caption="The power of each gate at the number of canaries that it had. Left of where its "
        "line rises a gate would notice nothing: that it is not refuted says nothing there.",
        legend=tuple(legend),
        height=_HEIGHT,
        marks=tuple(marks),
    )


def _epsilons(document: ComplianceDocument) -> list[Picture]:
    """Return the claimed epsilon over the rounds, with what was measured as points."""
    claimed = [
        series for finding in document.audit.findings for series in _of(finding, SeriesKind.EPSILON)
    ][:1]
    measured = [
        (f"{finding.gate}: {series.name}", series)
        for finding in document.audit.findings
        for series in _of(finding, SeriesKind.EPSILON_MEASURED)
    ]
    plan = claimed[0].points if claimed else ()
    spent = [(point.x, point.y) for point in plan] or [
        (float(row.round), row.epsilon) for row in document.facts.rounds if row.epsilon is not None
    ]
    if not spent and not measured:
        return []
    parts = list(chunks(measured, len(STYLES) - 1)) or [()]
    return [_epsilon(document, spent, part, number) for number, part in enumerate(parts)]


def _epsilon(
    document: ComplianceDocument,
    spent: list[tuple[float, float]],
    measured: tuple[tuple[str, Series], ...],
    number: int,
) -> Picture:
    points = [point for _, series in measured for point in series.points]
    rounds = max([document.facts.run.planned_rounds, *(point.x for point in points)])
    tops = [y for _, y in spent] + [p.y if p.high is None else p.high for p in points]
    x = linear_scale(0.0, float(rounds), start=_LEFT, stop=_RIGHT)
    y = linear_scale(0.0, max([1e-3, *tops]), start=_BOTTOM, stop=_TOP)
    marks = [*axes(x, y, "round", "epsilon")]
    ends, legend, words = [], [], []
    if spent:
        placed = [(x.at(at), y.at(value)) for at, value in spent]
        marks += line(placed, STYLES[0])
        name = f"claimed: {numerals.bound(spent[-1][1])}"
        ends.append(End(*placed[-1], name, STYLES[0]))
        legend.append(f"claimed, what the plan spends up to the round: {STYLES[0].words}.")
        words.append(f"The claimed epsilon rises to {numerals.bound(spent[-1][1])}")
    for style, (name, series) in zip(STYLES[1:], measured, strict=False):
        marks += [mark for point in series.points for mark in _measured(point, x, y, style)]
        last = series.points[-1]
        ends.append(End(x.at(last.x), y.at(last.y), name, style))
        estimate = last.low is not None
        kind = "estimate and its 95 % interval" if estimate else "measured lower bound"
        legend.append(f"{name}: {kind}, {_points_words(style)}.")
        least = "about" if estimate else "at least"
        words.append(f"{name}: {least} {numerals.significant(last.y, digits=3)} was measured")
    if not measured:
        legend.append("No gate measured an epsilon.")
        words.append("No gate measured an epsilon")
    marks += end_labels(ends, left=_RIGHT, right=WIDTH, bottom=_BOTTOM)
    return Picture(
        slug=f"epsilon-{number}",
        title="Claimed epsilon over the rounds, and what was measured of it",
        description=". ".join(words) + ".",
        caption="The claim is an upper bound. An estimate, drawn with its interval, lies above a "
        "tight claim as often as below it, and its gate's verdict says whether chance explains "
        "that; a measured lower bound above the line contradicts the claim. A point far below "
        "the line does not prove it. Points are joined by no line.",
        legend=tuple(legend),
        height=_HEIGHT,
        marks=tuple(marks),
    )


def _points_words(style: LineStyle) -> str:
    return style.words.split(", ")[-1]


def _measured(point: Point, x: Scale, y: Scale, style: LineStyle) -> list[Mark]:
    across, up = x.at(point.x), y.at(point.y)
    marks: list[Mark] = []
    if point.low is not None and point.high is not None:
        low, high = y.at(point.low), y.at(point.high)
        marks.append(segment((across, low), (across, high), style.ink, 1.4))
        marks += [
            segment((across - 4, end), (across + 4, end), style.ink, 1.4) for end in (low, high)
        ]
    return [*marks, marker(across, up, style)]
