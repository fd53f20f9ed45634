"""The report of a scrubbing as a person reads it: a table per question, on stdout."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audits.numerals import GAP, decimal, percent, thousands
from audits.scrubbing_wording import mode_sentence

if TYPE_CHECKING:
    from typing import TextIO

    from audits.site_facts import ResidualFacts
    from secure_fl.scrubbing_files.report import ScrubReport

_NARROW_COLUMNS = 100


def write_account(report: ScrubReport, stream: TextIO) -> None:
    """Write what was scrubbed, what was looked for and what was not."""
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        # A log is searched and copied from, so its lines are not broken at eighty columns.
        console = Console(file=stream, highlight=False, width=10 * _NARROW_COLUMNS)
    console.print(_files(report))
    console.print()
    console.print(_findings(report))
    console.print()
    if report.residual is not None:
        console.print(_residual(report.residual))
        console.print()
    coverage = report.coverage
    console.print(_listed("Looked for", coverage.looked_for))
    console.print(_listed("Not looked for", coverage.not_looked_for, style="yellow"))
    kept = sorted({name for file in report.files for name in file.kept})
    if kept:
        console.print(_listed("Columns left as they were", tuple(kept)))
    console.print(Text(mode_sentence(report.mode)))
    console.print(
        Text(
            "Looked for is not found, and fields, columns and numbers that were not chosen were "
            "not looked at: read some of the output before anybody else does."
        )
    )


def _files(report: ScrubReport) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("output", overflow="fold")
    for name in ("rows", "changed", "replaced"):
        table.add_column(name, justify="right", no_wrap=True)
    for file in report.files:
        numbers = (file.rows, file.rows_changed, sum(file.replaced.values()))
        table.add_row(Text(file.output), *map(_count, numbers))
    return table


def _findings(report: ScrubReport) -> Table | Text:
    total: Counter[str] = Counter()
    for file in report.files:
        total.update(file.replaced)
    if not total:
        return Text("Nothing was found to replace.")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("type", no_wrap=True)
    table.add_column("replaced", justify="right", no_wrap=True)
    for entity, count in sorted(total.items(), key=lambda pair: (-pair[1], pair[0])):
        table.add_row(entity, _count(count))
    return table


def _residual(residual: ResidualFacts) -> Table:
    left = percent(residual.characters_left / residual.characters) if residual.characters else "-"
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        title_justify="left",
        title_style="",
        title=f"Of the labelled texts {_count(residual.clean_texts)} of "
        f"{_count(residual.texts_with_data)} with personal data are clean; "
        f"{left.replace(GAP, ' ')} of its letters and digits are left.",
    )
    table.add_column("type in the labelled texts", no_wrap=True)
    for name in ("labelled", "removed", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in residual.rows:
        interval = f"{decimal(row.low, places=3)} to {decimal(row.high, places=3)}"
        table.add_row(Text(row.entity), _count(row.labelled), _count(row.removed), interval)
    return table


def _listed(what: str, names: tuple[str, ...], style: str = "") -> Text:
    return Text.assemble((f"{what}: ", "bold"), (", ".join(names) or "nothing", style))


def _count(number: int) -> str:
    return thousands(number).replace(GAP, " ")
