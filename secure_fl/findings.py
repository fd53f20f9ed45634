"""What `secure-fl doctor` found, as data and as lines for a person."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from crypto.errors import SecureFLError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TextIO


class Health(Enum):
    """How one thing stands."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; a run does not fail of it."""
    BAD = "mend"
    """A run would fail of it."""


@dataclass(frozen=True)
class Finding:
    """How one thing stands on this machine, with the mend where there is one to do."""

    topic: str
    health: Health
    said: str

    @property
    def faulty(self) -> bool:
        """Whether a run would fail of it."""
        return self.health is Health.BAD


def ok(topic: str, said: str) -> Finding:
    """Return a finding that nobody has to act on."""
    return Finding(topic, Health.OK, said)


def note(topic: str, said: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(topic, Health.NOTE, said)


def bad(topic: str, said: str) -> Finding:
    """Return a finding that a run would fail of."""
    return Finding(topic, Health.BAD, said)


def checked(topic: str, check: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    """Return what `check` finds; an error of the platform's own is a finding like any other."""
    try:
        return tuple(check())
    except SecureFLError as error:
        return (bad(topic, str(error)),)


def write_findings(findings: Sequence[Finding], stream: TextIO, *, as_json: bool) -> bool:
    """Write the findings to `stream` and return whether a run would not fail of any."""
    faults = sum(finding.faulty for finding in findings)
    if as_json:
        stream.write(json.dumps(_as_json(findings, healthy=not faults), ensure_ascii=False) + "\n")
    else:
        _write_lines(findings, faults, stream)
    return not faults


def _as_json(findings: Sequence[Finding], *, healthy: bool) -> dict[str, object]:
    return {
        "schema": "secure-fl.doctor.v1",
        "healthy": healthy,
        "findings": [
            {"topic": finding.topic, "health": finding.health.value, "said": finding.said}
            for finding in findings
        ],
    }


def _write_lines(findings: Sequence[Finding], faults: int, stream: TextIO) -> None:
    from rich.console import Console  # noqa: PLC0415 - a machine that reads JSON needs none
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    styles = {Health.OK: "green", Health.NOTE: "yellow", Health.BAD: "bold red"}
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        mark = Text(finding.health.value, style=styles[finding.health])
        table.add_row(mark, finding.topic, Text(finding.said))
    console = Console(file=stream, highlight=False)
    console.print(table)
    console.print()
    if not faults:
        console.print(Text("This machine can run it.", style="bold green"))
    else:
        things = "One thing has" if faults == 1 else f"{faults} things have"
        console.print(Text(f"{things} to be mended before a run.", style="bold red"))
