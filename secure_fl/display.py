"""A run in a terminal: finished rounds stay as lines of a table, below them what goes on now.

What moves is at the bottom and redrawn four times a second; nothing blinks. When the run ends or
is stopped, the moving part disappears and the lines stay.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from audits.numerals import bound, decimal, duration
from secure_fl.plain_display import (
    DOING,
    JsonDisplay,
    PlainDisplay,
    capital,
    finished_line,
    opening_lines,
    result_rows,
    run_warnings,
    score_names,
    shown_scores,
    verify_command,
)

if TYPE_CHECKING:
    from typing import Self, TextIO

    from rich.console import Console, RenderableType

    from secure_fl.observing import RoundScored, RunBegan, RunEnded
    from secure_fl.plain_display import Display
    from secure_fl.rounds.steps import Phase

_REDRAWS_PER_SECOND: Final = 4
_BAR_COLUMNS: Final = 32
_NAMED_SITES: Final = 12
"""More sites than this are counted, not named."""
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_SHOWN_SCORES: Final = 24
_ACCENT: Final = "cyan"


def choose_display(stream: TextIO, console: Console, *, as_json: bool) -> Display:
    """Return the display for `stream`: JSON when asked for, moving only where it can be seen.

    Args:
        stream: where lines go when nothing moves.
        console: the terminal on the same stream.
        as_json: whether a machine reads along.
    """
    if as_json:
        return JsonDisplay(stream)
    utf8 = console.encoding.lower().replace("-", "") == "utf8"
    if console.is_terminal and not console.is_dumb_terminal and utf8:
        return LiveDisplay(console)
    return PlainDisplay(stream)


class LiveDisplay:
    """Rounds, sites, evaluation score and epsilon spent, as they come.

    Sites answer from threads of their own, so a lock stands around what they change. A second one
    makes each drawing whole: rich computes and writes in two steps, and a line that is kept
    between them would be drawn over.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._drawing = threading.Lock()
        self._over = threading.Event()
        self._began = time.monotonic()
        self._doing = "starting"
        self._run: RunBegan | None = None
        self._results: list[RoundScored] = []
        self._answered: set[str] = set()
        self._in_exchange = False
        self._spinner = Spinner("dots", style=_ACCENT)
        self._live = Live(
            get_renderable=self._now,
            console=console,
            auto_refresh=False,
            transient=True,
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.start()
        threading.Thread(target=self._redraw, name="display", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take away what moves and give the cursor back."""
        self._over.set()
        with self._drawing:
            self._live.stop()

    def note(self, line: str) -> None:
        """Keep a line above what moves."""
        self._keep(Padding(Text(line, style="yellow"), (0, 0, 0, 2)))

    def preparing(self, what: str) -> None:
        """Show what takes a while."""
        with self._lock:
            self._doing = capital(what)
            self._in_exchange = False

    def began(self, run: RunBegan) -> None:
        """Keep what the run is, and the head of the table of rounds."""
        with self._lock:
            self._run = run
        first, *others = opening_lines(run)
        name, _, rest = first.partition(":")
        self._keep(Text())
        self._keep(_indented(Text.assemble((name, f"bold {_ACCENT}"), ":", rest)))
        for line in others:
            style = "bold red" if line.startswith("NO PRIVACY") else "dim"
            self._keep(_indented(Text(line, style=style)))
        self._keep(Text())
        head = _row("round", score_names(run), "epsilon", "sites", "time")
        self._keep(_indented(Text(head, style="dim")))

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        """Show what the sites were asked for."""
        del sites
        doing = DOING[phase.value]
        with self._lock:
            rounds = self._run.rounds if self._run is not None else 0
            opening = phase.value in {"hello", "share"}
            self._doing = capital(doing) if opening else f"Round {round_ + 1} of {rounds}: {doing}"
            self._answered = set()
            self._in_exchange = True

    def replied(self, site: str) -> None:
        """Mark a site as done with its part."""
        with self._lock:
            self._answered.add(site)

    def scored(self, result: RoundScored) -> None:
        """Keep a line of the table."""
        with self._lock:
            self._results.append(result)
            sites = 0 if self._run is None else len(self._run.sites)
            names = () if self._run is None else score_names(self._run)
            self._doing = "Opening the next round"
            self._in_exchange = False
        measured = {} if result.scores is None else dict(shown_scores(result.scores))
        row = _row(
            str(result.round),
            tuple(_score(measured.get(name)) for name in names),
            "none" if result.epsilon is None else bound(result.epsilon),
            f"{len(result.survivors)}/{sites}",
            duration(result.seconds),
        )
        self._keep(_indented(Text(row)))

    def ended(self, run: RunEnded) -> None:
        """Replace what moves by the result, and how to check it."""
        self.__exit__()
        self._keep(Text())
        self._keep(_indented(Text(finished_line(run), style="bold green")))
        self._keep(Text())
        for name, value in result_rows(run):
            style = "bold red" if "NO PRIVACY" in value else ""
            self._keep(_indented(Text.assemble((f"{name:<10}", "dim"), (value, style))))
        self._keep(Text())
        for line in run_warnings(run):
            self._keep(_indented(Text(line, style="dim")))
        self._keep(_indented(Text("Check the folder with:", style="dim")))
        # Not wrapped: the line is there to be copied.
        self._console.print(
            Text(f"  {verify_command(run.folder, run.trust)}\n", style=_ACCENT), soft_wrap=True
        )

    def _keep(self, line: RenderableType) -> None:
        with self._drawing:
            self._console.print(line, highlight=False)

    def _redraw(self) -> None:
        while not self._over.wait(1 / _REDRAWS_PER_SECOND):
            with self._drawing:
                if not self._over.is_set():
                    self._live.refresh()

    def _now(self) -> RenderableType:
        """Return the part that moves."""
        with self._lock:
            run, results = self._run, tuple(self._results)
            answered, doing = frozenset(self._answered), self._doing
            in_exchange = self._in_exchange
        elapsed = _clock(time.monotonic() - self._began)
        self._spinner.update(text=Text.assemble(doing, ("  " + elapsed, "dim")))
        parts: list[RenderableType] = [Text(), _indented(self._spinner)]
        if run is not None:
            parts.append(_indented(_gauges(run, results), left=4))
            if in_exchange:
                parts.append(_indented(_sites(run.sites, answered), left=4))
        return Group(*parts)


def _gauges(run: RunBegan, results: tuple[RoundScored, ...]) -> Table:
    done = run.rounds_done if not results else results[-1].round
    table = Table.grid(padding=(0, 2))
    table.add_row(_label("rounds"), _bar(done, run.rounds), f"{done} of {run.rounds}")
    if run.target_epsilon is not None and results and results[-1].epsilon is not None:
        spent = results[-1].epsilon
        table.add_row(
            _label("epsilon"),
            _bar(spent, run.target_epsilon),
            f"{bound(spent)} of {bound(run.target_epsilon)} spent",
        )
    scores = [result.scores.accuracy for result in results if result.scores is not None]
    if scores:
        table.add_row(
            _label("accuracy"),
            Text(_sparkline(scores, run.majority_accuracy), style=_ACCENT),
            f"{decimal(scores[-1], places=3)}, majority class "
            f"{decimal(run.majority_accuracy, places=3)}",
        )
    return table


def _sites(names: tuple[str, ...], answered: frozenset[str]) -> RenderableType:
    table = Table.grid(padding=(0, 2))
    if len(names) > _NAMED_SITES:
        done = len(answered)
        table.add_row(_label("sites"), _bar(done, len(names)), f"{done} of {len(names)} answered")
        return table
    marks = Text()
    for name in names:
        done = name in answered
        marks.append("● " if done else "○ ", style="green" if done else "dim")
        marks.append(f"{name}  ", style="" if done else "dim")
    table.add_row(_label("sites"), marks)
    return table


def _sparkline(scores: list[float], floor: float) -> str:
    """Return the last scores as blocks between the lowest value, or `floor`, and the highest."""
    shown = scores[-_SHOWN_SCORES:]
    low, high = min(*shown, floor), max(*shown, floor)
    span = (high - low) or 1.0
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((score - low) / span * top)] for score in shown)


def _bar(done: float, total: float) -> ProgressBar:
    return ProgressBar(
        total=total,
        completed=min(done, total),
        width=_BAR_COLUMNS,
        complete_style=_ACCENT,
        finished_style=_ACCENT,
    )


def _score(value: float | None) -> str:
    """Return a score, or a dash after a round that was not scored."""
    return "\u2013" if value is None else decimal(value, places=3)


def _label(name: str) -> Text:
    return Text(f"{name:<8}", style="dim")


def _row(round_: str, scores: tuple[str, ...], *others: str) -> str:
    cells = (round_, *scores, *others)
    widths = (5, *(9 for _ in scores), 8, 7, 11)
    return " ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _indented(line: RenderableType, left: int = 2) -> Padding:
    return Padding(line, (0, 0, 0, left))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
