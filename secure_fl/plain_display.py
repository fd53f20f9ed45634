"""A run for those who do not watch a terminal: plain lines, or one JSON object per line."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from audits.facts import GuaranteedFacts, SharedNoiseFacts
from audits.numerals import GAP, bound, decimal, duration, thousands
from secure_fl.observing import RunObserver

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self, TextIO

    from audits.facts import Privacy
    from domains.scores import ClassificationScores
    from secure_fl.observing import RoundScored, RunBegan, RunEnded
    from secure_fl.rounds.steps import Phase
    from secure_fl.runfolder import RoundMetrics

EVENT_SCHEMA = "secure-fl.run-event.v1"

DOING = {
    "hello": "agreeing on the run",
    "share": "exchanging keys and shares",
    "open": "each site trains on its own records",
    "close": "opening the sum",
}
"""What the sites are asked for in each phase of a round."""


class Display(RunObserver, Protocol):
    """An observer that shows what it is told, within a `with` block."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""

    def note(self, line: str) -> None:
        """Show something that the reader should know and need not act on now."""


class PlainDisplay:
    """One line for each thing that happened; nothing moves, so it can go to a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._rounds = 0

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def note(self, line: str) -> None:
        """Write the line as it is."""
        self._line(line)

    def preparing(self, what: str) -> None:
        """Write what takes a while."""
        self._line(f"{capital(what)}.")

    def began(self, run: RunBegan) -> None:
        """Write what the run is."""
        self._rounds = run.rounds
        for line in opening_lines(run):
            self._line(line)

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        """Nothing: a log needs the result of a round, not its steps."""

    def replied(self, site: str) -> None:
        """Nothing, for the same reason."""

    def scored(self, result: RoundScored) -> None:
        """Write a round's result."""
        epsilon = "" if result.epsilon is None else f", epsilon {bound(result.epsilon)} spent"
        scores = "not scored"
        if result.scores is not None:
            shown = shown_scores(result.scores)
            scores = ", ".join(f"{name} {decimal(value, places=3)}" for name, value in shown)
        self._line(
            f"Round {result.round} of {self._rounds}: {scores}{epsilon}, "
            f"{counted(len(result.survivors), 'site')} in the sum, {duration(result.seconds)}."
        )

    def ended(self, run: RunEnded) -> None:
        """Write the result, and how to check it."""
        self._line(finished_line(run))
        for name, value in result_rows(run):
            self._line(f"  {name:<9} {value}")
        for line in run_warnings(run):
            self._line(line)
        self._line("Check it with:")
        self._line(f"  {verify_command(run.folder, run.trust)}")

    def _line(self, line: str) -> None:
        # A log is searched and copied from, so its spaces are plain ones.
        self._stream.write(line.replace(GAP, " ") + "\n")
        self._stream.flush()


class JsonDisplay:
    """One JSON object per line, with its schema and what happened under `event`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to restore."""

    def note(self, line: str) -> None:
        """Write a note."""
        self._event("note", said=line)

    def preparing(self, what: str) -> None:
        """Write what takes a while."""
        self._event("preparing", what=what)

    def began(self, run: RunBegan) -> None:
        """Write what the run is."""
        self._event("began", **{**asdict(run), "folder": str(run.folder)})

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        """Write that requests went out; `round` counts from 1."""
        self._event("exchanging", phase=phase.value, round=round_ + 1, sites=sites)

    def replied(self, site: str) -> None:
        """Write that a site answered."""
        self._event("replied", site=site)

    def scored(self, result: RoundScored) -> None:
        """Write a round's result."""
        self._event("scored", **asdict(result))

    def ended(self, run: RunEnded) -> None:
        """Write the result, and how to check it."""
        privacy = run.facts.privacy
        guarantee = privacy if isinstance(privacy, GuaranteedFacts) else None
        self._event(
            "ended",
            folder=str(run.folder),
            report=str(run.folder / "report.html"),
            trust=str(run.trust),
            rounds=run.last.round,
            accuracy=run.last.accuracy,
            macro_f1=run.last.macro_f1,
            weighted_f1=run.last.weighted_f1,
            majority_accuracy=run.facts.utility.majority_accuracy,
            epsilon=None if guarantee is None else guarantee.highest_charge,
            delta=None if guarantee is None else guarantee.delta,
            warnings=[warning.value for warning in run.facts.warnings],
            verify=verify_command(run.folder, run.trust),
        )

    def _event(self, event: str, **fields: object) -> None:
        line = json.dumps(
            {"schema": EVENT_SCHEMA, "event": event, **fields}, ensure_ascii=False, allow_nan=False
        )
        # One write for the whole line: two sites may answer at the same moment.
        self._stream.write(line + "\n")
        self._stream.flush()


def opening_lines(run: RunBegan) -> tuple[str, ...]:
    """Return what somebody should know before the first round, a sentence or two per line."""
    size = thousands(run.shared_parameters)
    lines = [
        (
            f"{run.name}: {counted(len(run.sites), 'site')} tune {size} shared parameters by "
            f"{run.method} in {counted(run.rounds, 'round')}."
        )
    ]
    if run.rounds_done:
        lines.append(f"It goes on after round {run.rounds_done} of {run.rounds}.")
    if run.target_epsilon is None or run.delta is None:
        lines.append("NO PRIVACY GUARANTEE: the run was asked for without one.")
    else:
        lines.append(
            f"All rounds together spend epsilon {bound(run.target_epsilon)} at delta "
            f"{exponent(run.delta)}, at every site."
        )
    if not run.budget_carried:
        lines.append("The budget is not carried: this run's ledgers are its own alone.")
    lines.append(
        f"Scored on {thousands(run.evaluation_records)} records held in common; the majority "
        f"class alone has {decimal(run.majority_accuracy, places=3)}."
    )
    return tuple(lines)


def score_names(run: RunBegan) -> tuple[str, ...]:
    """Return the scores that a round's line has room for: of a ranking, those of the first ten."""
    if run.ranked:
        return ("HR@10", "NDCG@10")
    return ("accuracy",) if run.of_options else ("accuracy", "macro-F1")


def shown_scores(scores: ClassificationScores) -> tuple[tuple[str, float], ...]:
    """Return the scores of a round's line, with their names, as `score_names` has them."""
    if scores.ranking is not None:
        return ("HR@10", scores.ranking.hit_rate), ("NDCG@10", scores.ranking.ndcg)
    if scores.macro_f1 is None:
        return (("accuracy", scores.accuracy),)
    return ("accuracy", scores.accuracy), ("macro-F1", scores.macro_f1)


def finished_line(run: RunEnded) -> str:
    """Return the sentence that a finished run ends with."""
    facts = run.facts
    took = (facts.run.ended - facts.run.started).total_seconds()
    return (
        f"{facts.run.name} is finished: {counted(len(facts.rounds), 'round')} in {duration(took)}."
    )


def result_rows(run: RunEnded) -> tuple[tuple[str, str], ...]:
    """Return the result as names and values."""
    utility, privacy = run.facts.utility, run.facts.privacy
    compared = f"majority class {decimal(utility.majority_accuracy, places=3)}"
    if utility.before is not None:
        compared += f", {decimal(utility.before.accuracy, places=3)} before the first round"
    accuracy = "not measured" if run.last.accuracy is None else decimal(run.last.accuracy, places=3)
    return (
        ("accuracy", f"{accuracy} ({compared})"),
        *_ranking_rows(run.last),
        ("epsilon", _claimed(privacy)),
        ("report", str(run.folder / "report.html")),
        ("adapter", str(run.folder / "adapter")),
    )


def _ranking_rows(last: RoundMetrics) -> tuple[tuple[str, str], ...]:
    if last.ranking is None:
        return ()
    hit, gain, auc = last.ranking.hit_rate_10, last.ranking.ndcg_10, last.ranking.auc
    said = f"HR@10 {decimal(hit, places=3)}, NDCG@10 {decimal(gain, places=3)}"
    return (("ranking", f"{said}, AUC {decimal(auc, places=3)}"),)


def _claimed(privacy: Privacy) -> str:
    if not isinstance(privacy, GuaranteedFacts):
        return "none: NO PRIVACY GUARANTEE"
    spent = (
        f"{bound(privacy.highest_charge)} at delta {exponent(privacy.delta)} per "
        f"{privacy.unit.value}, claimed for every site"
    )
    if isinstance(privacy, SharedNoiseFacts):
        return f"{spent} with {privacy.honest} or more honest in every sum"
    return spent


def run_warnings(run: RunEnded) -> tuple[str, ...]:
    """Return what the report warns of, as one sentence that points at it."""
    count = len(run.facts.warnings)
    if not count:
        return ()
    return (f"The report begins with {counted(count, 'thing')} to know before relying on it.",)


def verify_command(folder: Path, trust: Path) -> str:
    """Return the command line that checks a run folder."""
    return shlex.join(["secure-fl", "verify", str(folder), "--trust", str(trust)])


def counted(count: int, noun: str) -> str:
    """Return a number with its noun in the right form."""
    return f"{thousands(count)} {noun}" if count == 1 else f"{thousands(count)} {noun}s"


def exponent(value: float) -> str:
    """Return a small number as it is usually written, such as 1e-5."""
    return f"{value:g}".replace("e-0", "e-")


def capital(sentence: str) -> str:
    """Return `sentence` beginning with a capital, unless it begins with a name such as site-1."""
    first = sentence.split(maxsplit=1)[0] if sentence else ""
    return sentence if not first.isalpha() else sentence[:1].upper() + sentence[1:]
