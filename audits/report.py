"""Renders a run's facts as one HTML page that needs nothing else: no script, no other file.

The same facts give the same bytes. Every value is escaped; the markup is also well-formed XML.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from audits import numerals, wording
from audits.charts import (
    Axis,
    Bar,
    LineChart,
    Marker,
    Series,
    Stroke,
    line_chart,
    nice_range,
    round_ticks,
)
from audits.facts import Outcome, RecordPrivacyFacts

if TYPE_CHECKING:
    from audits.facts import ReportFacts, RoundFacts, ScrubbingFacts
    from audits.site_facts import SiteFacts

_MOST_ROWS = 40


@dataclass(frozen=True)
class _Coverage:
    """Sites that looked for the same types of personal data."""

    sites: tuple[str, ...]
    looked_for: tuple[str, ...]
    not_looked_for: tuple[str, ...]


def render_report(facts: ReportFacts) -> str:
    """Return the released report as one self-contained HTML page."""
    interval = _final_interval(facts)
    private = isinstance(facts.privacy, RecordPrivacyFacts)
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            facts=facts,
            facts_sha256=facts.sha256(),
            holds_against=wording.holds_against(facts) if private else "",
            privacy_trust=wording.privacy_trust(facts) if private else "",
            meaning=_meaning(facts),
            bars=_bars(facts, interval),
            bars_text=_bars_text(facts, interval),
            utility=_utility(facts, interval),
            not_shown=wording.not_shown(facts),
            trusts=wording.trusts(facts),
            scrubbing=_grouped(facts.scrubbing),
            duration=numerals.duration((facts.run.ended - facts.run.started).total_seconds()),
            epsilon_chart=_epsilon_chart(facts),
            utility_chart=_utility_chart(facts),
            utility_caption=_utility_caption(facts),
            shown_rounds=_shown(facts.rounds),
        )
    )


def render_site_report(facts: SiteFacts) -> str:
    """Return the site's own report, with exact counts, as one self-contained HTML page."""
    return (
        _environment()
        .get_template("site_report.html.j2")
        .render(
            facts=facts,
            duration=numerals.duration((facts.run.ended - facts.run.started).total_seconds()),
            spans=sum(entry.spans for entry in facts.pii),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        adversary=wording.adversary_phrase,
        bound=numerals.bound,
        caution=wording.caution,
        date=numerals.date,
        duration=numerals.duration,
        entity=wording.entity_phrase,
        groups=numerals.groups,
        one_in=wording.one_in,
        percent=numerals.percent,
        plain=numerals.plain,
        relation=wording.relation_phrase,
        stamp=numerals.stamp,
        significant=numerals.significant,
        source=wording.source_phrase,
        thousands=numerals.thousands,
        unit=wording.unit_phrase,
        view=wording.view_phrase,
    )
    return environment


def _meaning(facts: ReportFacts) -> tuple[str, ...]:
    if isinstance(facts.privacy, RecordPrivacyFacts):
        return wording.epsilon_sentences(facts.privacy)
    return ()


def _final_interval(facts: ReportFacts) -> tuple[float, float] | None:
    """Return the 95 % interval of the final accuracy; None before the first round is finished."""
    if not facts.rounds:
        return None
    accuracy = facts.rounds[-1].scores.accuracy
    return numerals.wilson_interval(accuracy, facts.data.evaluation_records)


def _utility(facts: ReportFacts, interval: tuple[float, float] | None) -> str:
    if interval is None:
        return ""
    accuracy = facts.rounds[-1].scores.accuracy
    return wording.utility_sentence(accuracy, interval[0], facts.utility.majority_accuracy)


def _bars(facts: ReportFacts, interval: tuple[float, float] | None) -> tuple[Bar, ...]:
    if interval is None:
        return ()
    majority = facts.utility.majority_accuracy
    bars = [
        Bar("Most frequent label", majority, numerals.percent(majority), None, None, main=False)
    ]
    if facts.utility.before is not None:
        before = facts.utility.before.accuracy
        bars.append(
            Bar("Before the first round", before, numerals.percent(before), None, None, main=False)
        )
    accuracy = facts.rounds[-1].scores.accuracy
    bars.append(Bar("The final model", accuracy, numerals.percent(accuracy), *interval, main=True))
    return tuple(bars)


def _model_name(facts: ReportFacts) -> str:
    if facts.run.outcome is Outcome.FINISHED:
        return "The final model"
    return f"After round {len(facts.rounds)}"


def _bars_text(facts: ReportFacts, interval: tuple[float, float] | None) -> str:
    parts = [f"{bar.name}: {bar.label}" for bar in _bars(facts, interval)]
    if interval is not None:
        low, high = (numerals.percent(end) for end in interval)
        parts.append(f"95 % interval of the last: {low} to {high}")
    return "; ".join(parts)


def _rounds_axis(rounds: int) -> Axis:
    ticks = tuple((float(number), str(number)) for number in round_ticks(rounds))
    return Axis("round", 0.0, float(rounds), ((0.0, "start"), *ticks))


def _epsilon_chart(facts: ReportFacts) -> LineChart | None:
    if not isinstance(facts.privacy, RecordPrivacyFacts):
        return None
    spent = [(0.0, 0.0)]
    spent += [(float(row.round), row.epsilon) for row in facts.rounds if row.epsilon is not None]
    charged = facts.privacy.highest_charge
    last = float(facts.run.planned_rounds)
    top = max([charged, *(epsilon for _, epsilon in spent)])
    low, high, step = nice_range(0.0, top * 1.02)
    ticks = _value_ticks(low, high, step)
    return line_chart(
        "epsilon",
        "Epsilon of the plan over the rounds",
        f"The plan's epsilon rises from 0 to {numerals.bound(spent[-1][1])} after round "
        f"{len(facts.rounds)} of {facts.run.planned_rounds}; "
        f"{numerals.bound(charged)} was charged.",
        x=_rounds_axis(facts.run.planned_rounds),
        y=Axis("epsilon", low, high, tuple((at, numerals.plain(at)) for at in ticks)),
        series=(
            Series(
                f"charged: {numerals.bound(charged)}",
                ((0.0, charged), (last, charged)),
                Stroke.REFERENCE,
                Marker.NONE,
            ),
            Series(
                f"plan so far: {numerals.bound(spent[-1][1])}",
                tuple(spent),
                Stroke.MAIN,
                Marker.DISC,
            ),
        ),
    )


def _value_ticks(low: float, high: float, step: float) -> tuple[float, ...]:
    count = round((high - low) / step)
    # Through decimals, so that 3 * 0.1 is marked as 0.3.
    return tuple(float(f"{low + index * step:.10g}") for index in range(count + 1))


def _utility_chart(facts: ReportFacts) -> LineChart | None:
    if not facts.rounds:
        return None
    accuracy = [(float(row.round), row.scores.accuracy) for row in facts.rounds]
    macro = [(float(row.round), row.scores.macro_f1) for row in facts.rounds]
    if facts.utility.before is not None:
        accuracy.insert(0, (0.0, facts.utility.before.accuracy))
        macro.insert(0, (0.0, facts.utility.before.macro_f1))
    majority = facts.utility.majority_accuracy
    low, high, step = _utility_range(facts)
    last = float(facts.run.planned_rounds)
    final, final_macro = accuracy[-1][1], macro[-1][1]
    return line_chart(
        "utility-lines",
        "Accuracy and macro F1 over the rounds, beside the most frequent label",
        f"After round {len(facts.rounds)} the accuracy is {numerals.percent(final)} and macro F1 "
        f"{numerals.percent(final_macro)}; the most frequent label reaches an accuracy of "
        f"{numerals.percent(majority)}.",
        x=_rounds_axis(facts.run.planned_rounds),
        y=Axis(
            "score",
            low,
            high,
            tuple((at, numerals.percent(at, places=0)) for at in _value_ticks(low, high, step)),
        ),
        series=(
            Series(
                f"accuracy: {numerals.percent(final)}", tuple(accuracy), Stroke.MAIN, Marker.DISC
            ),
            Series(
                f"macro F1: {numerals.percent(final_macro)}",
                tuple(macro),
                Stroke.SECOND,
                Marker.SQUARE,
            ),
            Series(
                f"most frequent label: {numerals.percent(majority)}",
                ((0.0, majority), (last, majority)),
                Stroke.REFERENCE,
                Marker.NONE,
            ),
        ),
    )


def _utility_range(facts: ReportFacts) -> tuple[float, float, float]:
    """Return the shown range of scores: all of them, a tenth at least, marked at whole percents."""
    scores = [row.scores for row in facts.rounds]
    if facts.utility.before is not None:
        scores.append(facts.utility.before)
    values = [facts.utility.majority_accuracy]
    values += [value for entry in scores for value in (entry.accuracy, entry.macro_f1)]
    low, high = min(values), max(values)
    middle = (low + high) / 2
    low, high = min(low, middle - 0.05), max(high, middle + 0.05)
    start, stop, step = nice_range(max(0.0, low), min(1.0, high))
    return max(0.0, start), min(1.0, stop), step


def _utility_caption(facts: ReportFacts) -> str:
    if not facts.rounds:
        return ""
    low, high, _ = _utility_range(facts)
    return (
        "Scores on the common evaluation set after each round. The scale shows "
        f"{numerals.percent(low, places=0)} to {numerals.percent(high, places=0)}."
    )


def _shown(rounds: tuple[RoundFacts, ...]) -> tuple[RoundFacts, ...]:
    """Return the rounds that the table shows: all, or evenly many with the last."""
    every = -(-len(rounds) // _MOST_ROWS)
    return tuple(row for row in rounds if row.round % every == 0 or row.round == len(rounds))


def _grouped(scrubbing: tuple[ScrubbingFacts, ...]) -> tuple[_Coverage, ...]:
    """Return the coverages that differ, each with its sites, in the order of first appearance."""
    groups: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for entry in scrubbing:
        groups.setdefault((entry.looked_for, entry.not_looked_for), []).append(entry.site)
    return tuple(_Coverage(tuple(sites), *kinds) for kinds, sites in groups.items())
