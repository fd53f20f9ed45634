"""What a person and a machine see of a run."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError
from rich.console import Console

from domains.scores import ClassificationScores
from secure_fl.display import LiveDisplay, choose_display
from secure_fl.observing import RoundScored, RunBegan, RunEnded
from secure_fl.plain_display import JsonDisplay, PlainDisplay
from secure_fl.plain_log import LogObserver
from secure_fl.rounds.steps import Phase
from secure_fl.runfolder import RoundMetrics

sys.path.append(str(Path(__file__).parents[1] / "audits"))
import report_samples

if TYPE_CHECKING:
    from audits.facts import DistributedPrivacyFacts, SitePrivacyFacts
    from secure_fl.plain_display import Display

SITES = ("site-1", "site-2", "site-3", "site-4")
VERIFY = "secure-fl verify runs/demo --trust 'a state/root.pub'"


def began(*, private: bool = True, sites: tuple[str, ...] = SITES, done: int = 0) -> RunBegan:
    return RunBegan(
        name="finance",
        folder=Path("runs/demo"),
        method="fedit",
        sites=sites,
        rounds=2,
        rounds_done=done,
        evaluation_records=600,
        majority_accuracy=0.455,
        target_epsilon=7.9991 if private else None,
        delta=1e-5 if private else None,
        shared_parameters=111_747,
        budget_carried=False,
    )


def scored(
    round_: int,
    *,
    private: bool = True,
    survivors: tuple[str, ...] = SITES,
    measured: bool = True,
) -> RoundScored:
    scores = ClassificationScores(
        n=600, accuracy=0.7123, macro_f1=0.61, weighted_f1=0.7, majority_accuracy=0.455
    )
    epsilon = 5.601 if private else None
    return RoundScored(round_, survivors, scores if measured else None, epsilon, 9.44)


def ended(*, private: bool = True) -> RunEnded:
    return RunEnded(
        folder=Path("runs/demo"),
        trust=Path("a state/root.pub"),
        facts=report_samples.report(private=private),
        last=RoundMetrics(
            schema="secure-fl.round-metrics.v1",
            round=2,
            attempts=1,
            survivors=SITES,
            accuracy=0.781,
            macro_f1=0.744,
            weighted_f1=0.77,
            epsilon=7.99 if private else None,
            seconds=9.4,
        ),
    )


def watch(display: Display, *, private: bool = True) -> None:
    """Tell `display` a whole run, the sites' answers from threads of their own."""
    with display:
        display.preparing("calibrating the noise")
        display.began(began(private=private))
        for round_ in range(2):
            for phase in (Phase.OPEN, Phase.CLOSE):
                display.exchanging(phase, round_, len(SITES))
                threads = [threading.Thread(target=display.replied, args=(s,)) for s in SITES]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            display.scored(scored(round_ + 1, private=private))
        display.note("site-4 gave no reply")
        display.preparing("writing and signing the run folder")
        display.ended(ended(private=private))


def terminal(width: int = 80) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, force_terminal=True, width=width, color_system=None), stream


def shown(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue()).replace("\u00a0", " ")


def test_plain_lines_tell_the_run_from_start_to_end() -> None:
    stream = io.StringIO()
    watch(PlainDisplay(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Calibrating the noise."
    assert "finance: 4 sites tune 111 747 shared parameters by fedit in 2 rounds." in lines
    assert "All rounds together spend epsilon 8.00 at delta 1e-5, at every site." in lines
    assert "The budget is not carried: this run's ledgers are its own alone." in lines
    assert (
        "Round 2 of 2: accuracy 0.712, macro-F1 0.610, epsilon 5.61 spent, 4 sites in the sum, "
        "9.4 s." in lines
    )
    assert lines[-1].strip() == VERIFY
    assert "\u00a0" not in stream.getvalue()


def test_no_guarantee_is_said_at_the_start_and_at_the_end() -> None:
    stream = io.StringIO()
    watch(PlainDisplay(stream), private=False)
    lines = stream.getvalue().splitlines()
    assert "NO PRIVACY GUARANTEE: the run was asked for without one." in lines
    assert any(line.split() == ["epsilon", "none:", "NO", "PRIVACY", "GUARANTEE"] for line in lines)
    assert not any("spent" in line for line in lines)


def test_a_resumed_run_says_where_it_goes_on() -> None:
    stream = io.StringIO()
    PlainDisplay(stream).began(began(done=1))
    assert "It goes on after round 1 of 2." in stream.getvalue()


def test_what_is_shown_of_epsilon_is_what_the_worst_site_was_charged() -> None:
    """A round that was drawn twice costs more than the plan."""
    facts = report_samples.report(extra=1)
    assert facts.privacy.mode == "record"
    assert facts.privacy.highest_charge > facts.privacy.epsilon
    stream = io.StringIO()
    last = ended().last
    JsonDisplay(stream).ended(RunEnded(Path("r"), Path("t"), facts, last))
    assert json.loads(stream.getvalue())["epsilon"] == facts.privacy.highest_charge


def test_json_is_one_object_per_line_and_each_names_schema_and_event() -> None:
    stream = io.StringIO()
    watch(JsonDisplay(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {event["schema"] for event in events} == {"secure-fl.run-event.v1"}
    kinds = [event["event"] for event in events]
    assert kinds[:3] == ["preparing", "began", "exchanging"]
    assert kinds.count("replied") == 2 * 2 * len(SITES)
    assert kinds[-1] == "ended"
    assert events[1]["folder"] == "runs/demo"
    assert events[2]["round"] == 1
    assert events[-1]["verify"] == VERIFY
    assert events[-1]["warnings"]


def test_json_never_holds_a_number_that_is_not_json() -> None:
    stream = io.StringIO()
    watch(JsonDisplay(stream), private=False)
    assert "NaN" not in stream.getvalue()
    assert "Infinity" not in stream.getvalue()
    assert json.loads(stream.getvalue().splitlines()[-1])["epsilon"] is None


def test_a_terminal_keeps_a_line_for_each_round_and_the_command_unbroken() -> None:
    console, stream = terminal(width=60)
    watch(LiveDisplay(console))
    text = shown(stream)
    assert re.search(r"1\s+0\.712\s+0\.610\s+5\.61\s+4/4\s+9\.4 s", text)
    assert f"  {VERIFY}\n" in text
    assert "site-4 gave no reply" in text
    assert stream.getvalue().rstrip().endswith(VERIFY) or "\x1b[?25h" in stream.getvalue()


def test_what_moves_shows_rounds_sites_score_and_epsilon() -> None:
    console, _ = terminal()
    display = LiveDisplay(console)
    display.began(began())
    display.scored(scored(1))
    display.exchanging(Phase.OPEN, 1, 4)
    display.replied("site-2")
    with console.capture() as capture:
        console.print(display._now())
    text = capture.get().replace("\u00a0", " ")
    assert "Round 2 of 2: each site trains on its own records" in text
    assert re.search(r"rounds .* 1 of 2", text)
    assert re.search(r"epsilon .* 5\.61 of 8\.00 spent", text)
    assert "0.712, majority class 0.455" in text
    assert "○ site-1  ● site-2  ○ site-3" in text


def test_many_sites_are_counted() -> None:
    console, _ = terminal()
    display = LiveDisplay(console)
    sites = tuple(f"site-{number:02d}" for number in range(40))
    display.began(began(sites=sites))
    display.exchanging(Phase.OPEN, 0, 40)
    for site in sites[:23]:
        display.replied(site)
    with console.capture() as capture:
        console.print(display._now())
    assert "23 of 40 answered" in capture.get()
    assert "site-01" not in capture.get()


def test_the_cursor_comes_back_when_a_run_is_stopped() -> None:
    console, stream = terminal()
    with pytest.raises(KeyboardInterrupt), LiveDisplay(console):
        raise KeyboardInterrupt
    assert stream.getvalue().rfind("\x1b[?25h") > stream.getvalue().rfind("\x1b[?25l") >= 0


def test_lines_kept_from_many_threads_are_all_there() -> None:
    console, stream = terminal()
    with LiveDisplay(console) as display:
        display.began(began())
        threads = [
            threading.Thread(target=display.note, args=(f"line {number}.",)) for number in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(f"line {number}." in shown(stream) for number in range(50))


def test_a_line_is_kept_only_while_nothing_else_is_drawn() -> None:
    """Rich computes and writes in two steps: a line kept between them would be drawn over."""
    console, _ = terminal()
    display = LiveDisplay(console)
    with display._drawing:
        keeping = threading.Thread(target=display.note, args=("kept",))
        keeping.start()
        keeping.join(timeout=0.2)
        assert keeping.is_alive()
    keeping.join(timeout=5)
    assert not keeping.is_alive()


@pytest.mark.parametrize(
    ("seen", "asked", "kind"),
    [("terminal", "", LiveDisplay), ("file", "", PlainDisplay), ("terminal", "json", JsonDisplay)],
)
def test_nothing_moves_where_nobody_watches(
    seen: str, asked: str, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=seen == "terminal")
    assert type(choose_display(stream, console, as_json=asked == "json")) is kind


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True)
    assert type(choose_display(stream, console, as_json=False)) is PlainDisplay


# -- rounds that were not scored, and noise that sites share ---------------------------------------


def test_a_round_without_scores_is_said_to_be_so_in_a_line() -> None:
    stream = io.StringIO()
    display = PlainDisplay(stream)
    display.began(began())
    display.scored(scored(1, measured=False))
    assert (
        "Round 1 of 2: not scored, epsilon 5.61 spent, 4 sites in the sum, 9.4 s."
        in stream.getvalue()
    )


def test_a_round_without_scores_is_null_in_json() -> None:
    stream = io.StringIO()
    JsonDisplay(stream).scored(scored(1, measured=False))
    event = json.loads(stream.getvalue())
    assert event["scores"] is None
    assert event["round"] == 1
    assert event["epsilon"] == 5.601


def test_a_round_without_scores_has_dashes_and_the_curve_skips_it() -> None:
    console, stream = terminal()
    display = LiveDisplay(console)
    with display:
        display.began(began())
        display.scored(scored(1, measured=False))
        with console.capture() as capture:
            console.print(display._now())
        assert "majority class" not in capture.get()
        assert re.search(r"rounds .* 1 of 2", capture.get())
        display.scored(scored(2))
        display.scored(scored(3, measured=False))
        with console.capture() as capture:
            console.print(display._now())
    assert "0.712, majority class 0.455" in capture.get().replace("\u00a0", " ")
    assert re.search(r"1\s+\u2013\s+\u2013\s+5\.61\s+4/4", shown(stream))


def test_a_log_says_that_a_round_was_not_scored(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        LogObserver().scored(scored(1, measured=False))
        LogObserver().scored(scored(2))
    assert [record.getMessage() for record in caplog.records] == [
        "round 1: not scored",
        "round 2: accuracy 0.7123",
    ]


@pytest.mark.parametrize(
    ("privacy", "unit"),
    [
        (report_samples.distributed_privacy(), "patient"),
        (report_samples.site_privacy(), "site"),
    ],
)
def test_a_claim_that_counts_on_honest_sites_says_how_many(
    privacy: DistributedPrivacyFacts | SitePrivacyFacts, unit: str
) -> None:
    facts = report_samples.report(privacy=privacy)
    stream = io.StringIO()
    PlainDisplay(stream).ended(RunEnded(Path("r"), Path("t"), facts, ended().last))
    claim = f"8.00 at delta 1e-5 per {unit}, claimed for every site with 2 or more honest in every"
    assert claim in stream.getvalue()
    stream = io.StringIO()
    JsonDisplay(stream).ended(RunEnded(Path("r"), Path("t"), facts, ended().last))
    event = json.loads(stream.getvalue())
    assert event["epsilon"] == privacy.highest_charge
    assert "honest-sites-needed" in event["warnings"]


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "weighted_f1"])
def test_metrics_hold_both_f1_or_neither_and_none_without_accuracy(name: str) -> None:
    row = json.loads(ended().last.model_dump_json(by_alias=True))
    none = row | {"accuracy": None, "macro_f1": None, "weighted_f1": None}
    assert RoundMetrics.model_validate(none).accuracy is None
    options = row | {"macro_f1": None, "weighted_f1": None}
    assert RoundMetrics.model_validate(options).accuracy == row["accuracy"]
    with pytest.raises(ValidationError, match="F1"):
        RoundMetrics.model_validate(row | {name: None})


OPTIONS = replace(began(), of_options=True)
CHOSEN = replace(
    scored(1),
    scores=ClassificationScores(
        n=600, accuracy=0.7123, macro_f1=None, weighted_f1=None, majority_accuracy=0.455
    ),
)


def test_records_with_options_have_no_f1_in_a_log() -> None:
    stream = io.StringIO()
    with PlainDisplay(stream) as display:
        display.began(OPTIONS)
        display.scored(CHOSEN)
    assert "Round 1 of 2: accuracy 0.712, epsilon 5.61 spent" in stream.getvalue()
    assert "F1" not in stream.getvalue()


def test_records_with_options_have_no_f1_in_a_terminal_either() -> None:
    console, stream = terminal()
    with LiveDisplay(console) as display:
        display.began(OPTIONS)
        display.scored(CHOSEN)
        display.scored(replace(CHOSEN, round=2, scores=None))
    lines = [line.split() for line in shown(stream).splitlines()]
    assert ["round", "accuracy", "epsilon", "sites", "time"] in lines
    first, second = (next(row for row in lines if row[:1] == [str(n)]) for n in (1, 2))
    assert first[:3] == ["1", "0.712", "5.61"]
    assert second[:3] == ["2", "\u2013", "5.61"]


def test_records_with_options_say_null_for_f1_to_a_machine() -> None:
    stream = io.StringIO()
    JsonDisplay(stream).scored(CHOSEN)
    scores = json.loads(stream.getvalue())["scores"]
    assert (scores["accuracy"], scores["macro_f1"], scores["weighted_f1"]) == (0.7123, None, None)
