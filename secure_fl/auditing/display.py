"""How an audit is shown: what goes on now, and a line for every gate when it is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from audits.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self, TextIO

    from rich.progress import TaskID

    from audits.findings import Finding
    from secure_fl.auditing.command import AuditOutcome

_STYLES: Final = {
    Verdict.NOT_REFUTED: "green",
    Verdict.VIOLATED: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_RUN: "yellow",
}
_MARKS: Final = {
    Verdict.NOT_REFUTED: "ok",
    Verdict.VIOLATED: "!!",
    Verdict.INCONCLUSIVE: "??",
    Verdict.NOT_RUN: "--",
}
_FILE_WIDTH: Final = 100


class AuditDisplay:
    """An audit on a terminal, or as plain lines where nothing can move."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def began(self, about: str, name: str) -> None:
        """Show what goes on now."""
        self._end()
        self._task = self._progress.add_task(f"{name}: {about}", total=None)
        if not self._console.is_terminal:
            self._console.print(f"{name}: {about}", highlight=False)

    def stepped(self, done: int, total: int) -> None:
        """Show how far it is."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total)

    def found(self, name: str, findings: Sequence[Finding], *, again: bool) -> None:
        """Show a line for each gate."""
        self._end()
        if again:
            self._console.print(f"{name}: kept from before", style="dim", highlight=False)
        for finding in findings:
            line = Text(f"  {_MARKS[finding.verdict]} ", style=_STYLES[finding.verdict])
            line.append(f"{finding.gate}: {finding.verdict.value}", style="bold")
            self._console.print(line)

    def tell(self, outcome: AuditOutcome) -> None:
        """Show the whole, and where it is."""
        report = outcome.report
        table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
        for heading in ("gate", "verdict", "why"):
            table.add_column(heading, overflow="fold")
        for finding in report.findings:
            verdict = Text(finding.verdict.value, style=_STYLES[finding.verdict])
            table.add_row(finding.gate, verdict, finding.reason)
        self._console.print()
        self._console.print(table)
        self._console.print()
        whole = Text("The audit: ")
        whole.append(report.verdict.value, style=_STYLES[report.verdict])
        self._console.print(whole)
        for name in ("report.html", "report.pdf"):
            self._console.print(f"  {outcome.folder / name}", soft_wrap=True, highlight=False)

    def _end(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None


def display_for(stream: TextIO) -> AuditDisplay:
    """Return the display for `stream`."""
    console = Console(file=stream)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    return AuditDisplay(console)
