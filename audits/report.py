"""Renders a run's facts as one HTML page that needs nothing else: no script, no other file.

The same facts give the same bytes. Every value is escaped; the markup is also well-formed XML.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from audits import numerals, scrubbing_wording, trust, wording
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
from audits.facts import GuaranteedFacts, Outcome, SharedNoiseFacts
from audits.holdings import holdings_chart
from audits.report_warnings import caution

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.facts import RankingFacts, ReportFacts, RoundFacts, ScoreFacts, ScrubbingFacts
    from audits.site_facts import SiteFacts
    from privacy.scrubbing.modes.modes import ScrubMode

_MOST_ROWS = 40


@dataclass(frozen=True)
class _Coverage:
    """Sites that looked for the same types of personal data."""

    sites: tuple[str, ...]
    mode: ScrubMode
    looked_for: tuple[str, ...]
    not_looked_for: tuple[str, ...]


def render_report(facts: ReportFacts) -> str:
    """Return the released report as one self-contained HTML page."""
    interval = _final_interval(facts)
    private = facts.privacy if isinstance(facts.privacy, GuaranteedFacts) else None
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            facts=facts,
            facts_sha256=facts.sha256(),
            promise="" if private is None else trust.promise(private),
            holds_against="" if private is None else trust.holds_against(facts),
            privacy_trust="" if private is None else trust.privacy_trust(facts),
            meaning=() if private is None else wording.epsilon_sentences(private),
            how_noised=() if private is None else wording.how_noised(private),
            shares=private.shares if isinstance(private, SharedNoiseFacts) else (),
            bars=_bars(facts, interval),
            bars_text=_bars_text(facts, interval),
            utility=_utility(facts, interval),
            not_shown=wording.not_shown(facts),
            trusts=trust.trusts(facts),
            scrubbing=_grouped(facts.scrubbing),
            scrub_modes=_modes(facts.scrubbing),
            duration=numerals.duration((facts.run.ended - facts.run.started).total_seconds()),
            epsilon_chart=_epsilon_chart(facts),
            utility_chart=_utility_chart(facts),
            utility_caption=_utility_caption(facts),
            with_f1=bool(_points(facts, _macro_f1)),
            ranked_rounds=_ranked_rounds(facts),
            holdings=None if facts.holdings is None else holdings_chart(facts.holdings),
            shown_rounds=_shown(facts.rounds),
            unscored=any(row.scores is None for row in facts.rounds),
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
            scrub_modes=_modes((facts.scrubbing,)),
            expert=scrubbing_wording.expert_sentence(facts),
            identifiers=scrubbing_wording.identifier_rows(facts),
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
        caution=caution,
        date=numerals.date,
        duration=numerals.duration,
        entity=scrubbing_wording.entity_phrase,
        groups=numerals.groups,
        one_in=wording.one_in,
        percent=numerals.percent,
        plain=numerals.plain,
        provider=scrubbing_wording.provider_phrase,
        relation=wording.relation_phrase,
        selection=wording.selection_sentence,
        stamp=numerals.stamp,
        significant=numerals.significant,
        source=wording.source_phrase,
        thousands=numerals.thousands,
        unit=wording.unit_phrase,
        view=wording.view_phrase,
    )
    return environment


def _last_scored(facts: ReportFacts) -> tuple[RoundFacts, ScoreFacts] | None:
    """Return the last round that was scored, if there is one, with its scores."""
    scored = _scored(facts.rounds)
    return scored[-1] if scored else None


def _scored(rounds: tuple[RoundFacts, ...]) -> tuple[tuple[RoundFacts, ScoreFacts], ...]:
    return tuple((row, row.scores) for row in rounds if row.scores is not None)


def _final_interval(facts: ReportFacts) -> tuple[float, float] | None:
    """Return the 95 % interval of the last measured accuracy; None before a round was scored."""
    last = _last_scored(facts)
    if last is None:
        return None
    return numerals.wilson_interval(last[1].accuracy, facts.data.evaluation_records)


def _utility(facts: ReportFacts, interval: tuple[float, float] | None) -> str:
    last = _last_scored(facts)
    if last is None or interval is None:
        return ""
    majority = facts.utility.majority_accuracy
    return wording.utility_sentence(last[1].accuracy, interval[0], majority)


def _bars(facts: ReportFacts, interval: tuple[float, float] | None) -> tuple[Bar, ...]:
    last = _last_scored(facts)
    if last is None or interval is None:
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
    row, scores = last
    label = numerals.percent(scores.accuracy)
    bars.append(Bar(_model_name(facts, row), scores.accuracy, label, *interval, main=True))
    return tuple(bars)


def _model_name(facts: ReportFacts, scored: RoundFacts) -> str:
    if facts.run.outcome is Outcome.FINISHED:
        return "The final model"
    return f"After round {scored.round}"


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
    if not isinstance(facts.privacy, GuaranteedFacts):
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
    scored = _scored(facts.rounds)
    if not scored:
        return None
    accuracy, macro = _points(facts, _accuracy), _points(facts, _macro_f1)
    majority = facts.utility.majority_accuracy
    low, high, step = _utility_range(facts)
    last = float(facts.run.planned_rounds)
    final = numerals.percent(accuracy[-1][1])
    final_macro = numerals.percent(macro[-1][1]) if macro else ""
    return line_chart(
        "utility-lines",
        f"Accuracy {'and macro F1 ' if macro else ''}over the rounds, beside the most frequent "
        "label",
        f"After round {scored[-1][0].round} the accuracy is {final}"
        f"{f' and macro F1 {final_macro}' if macro else ''}; the most frequent label reaches an "
        f"accuracy of {numerals.percent(majority)}.",
        x=_rounds_axis(facts.run.planned_rounds),
        y=Axis(
            "score",
            low,
            high,
            tuple((at, numerals.percent(at, places=0)) for at in _value_ticks(low, high, step)),
        ),
        series=(
            Series(f"accuracy: {final}", accuracy, Stroke.MAIN, Marker.DISC),
            *(
                (Series(f"macro F1: {final_macro}", macro, Stroke.SECOND, Marker.SQUARE),)
                if macro
                else ()
            ),
            Series(
                f"most frequent label: {numerals.percent(majority)}",
                ((0.0, majority), (last, majority)),
                Stroke.REFERENCE,
                Marker.NONE,
            ),
        ),
    )


def _accuracy(scores: ScoreFacts) -> float | None:
    return scores.accuracy


def _macro_f1(scores: ScoreFacts) -> float | None:
    return scores.macro_f1


def _points(
    facts: ReportFacts, score: Callable[[ScoreFacts], float | None]
) -> tuple[tuple[float, float], ...]:
    """Return (round, score), round 0 first where it was measured; none where there is no such."""
    before = facts.utility.before
    found = [] if before is None else [(0.0, score(before))]
    found += [(float(row.round), score(scores)) for row, scores in _scored(facts.rounds)]
    return tuple((at, value) for at, value in found if value is not None)


def _utility_range(facts: ReportFacts) -> tuple[float, float, float]:
    """Return the shown range of scores: all of them, a tenth at least, marked at whole percents."""
    values = [facts.utility.majority_accuracy]
    values += [value for score in (_accuracy, _macro_f1) for _, value in _points(facts, score)]
    low, high = min(values), max(values)
    middle = (low + high) / 2
    low, high = min(low, middle - 0.05), max(high, middle + 0.05)
    start, stop, step = nice_range(max(0.0, low), min(1.0, high))
    return max(0.0, start), min(1.0, stop), step


def _ranked_rounds(facts: ReportFacts) -> list[tuple[str, RankingFacts]]:
    """Return what the rounds that are shown were ranked at, with what they are called."""
    before = facts.utility.before
    rows = [] if before is None else [("before", before.ranking)]
    rows += [
        (str(row.round), row.scores.ranking)
        for row in _shown(facts.rounds)
        if row.scores is not None
    ]
    return [(name, ranking) for name, ranking in rows if ranking is not None]


def _utility_caption(facts: ReportFacts) -> str:
    scored = _scored(facts.rounds)
    if not scored:
        return ""
    low, high, _ = _utility_range(facts)
    when = "each round" if len(scored) == len(facts.rounds) else "each round that was scored"
    return (
        f"Scores on the common evaluation set after {when}. The scale shows "
        f"{numerals.percent(low, places=0)} to {numerals.percent(high, places=0)}."
    )


def _shown(rounds: tuple[RoundFacts, ...]) -> tuple[RoundFacts, ...]:
    """Return the rounds that the table shows: all, or evenly many that were scored, and the last.

    Rounds without scores are left out first.
    """
    if len(rounds) <= _MOST_ROWS:
        return rounds
    scored = tuple(row for row in rounds[:-1] if row.scores is not None)
    every = -(-(len(scored) + 1) // _MOST_ROWS)
    return (*scored[every - 1 :: every], rounds[-1])


def _grouped(scrubbing: tuple[ScrubbingFacts, ...]) -> tuple[_Coverage, ...]:
    """Return the coverages that differ, each with its sites, in the order of first appearance."""
    groups: dict[tuple[ScrubMode, tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for entry in scrubbing:
        kind = (entry.mode, entry.looked_for, entry.not_looked_for)
        groups.setdefault(kind, []).append(entry.site)
    return tuple(_Coverage(tuple(sites), *kinds) for kinds, sites in groups.items())


def _modes(scrubbing: tuple[ScrubbingFacts, ...]) -> tuple[str, ...]:
    """Return what each mode in which anything was looked for writes, a sentence or more each."""
    modes = dict.fromkeys(entry.mode for entry in scrubbing if entry.looked_for)
    return tuple(scrubbing_wording.mode_sentence(mode) for mode in modes)
