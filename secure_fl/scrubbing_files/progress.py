"""How far scrubbing is: a bar of bytes on a terminal, and nothing anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self, TextIO

    from rich.progress import Progress

    from secure_fl.scrubbing_files.plan import FileTask


class Watcher(Protocol):
    """Is told how far it is, within a `with` block."""

    def __enter__(self) -> Self:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def began(self, task: FileTask) -> None:
        """A file has begun."""

    def moved(self, task: FileTask, position_bytes: int) -> None:
        """What stands before this position of the file is written."""

    def ended(self, task: FileTask) -> None:
        """The file is whole."""


class Unwatched:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing to restore."""

    def began(self, task: FileTask) -> None:
        """Nothing."""

    def moved(self, task: FileTask, position_bytes: int) -> None:
        """Nothing."""

    def ended(self, task: FileTask) -> None:
        """Nothing."""


class Bar:
    """One bar over the bytes of all files, that disappears at the end."""

    def __init__(self, bar: Progress, total_bytes: int) -> None:
        self._bar = bar
        self._line = bar.add_task("loading the recognisers", total=total_bytes)
        self._done_bytes = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def began(self, task: FileTask) -> None:
        """Name the file."""
        self._bar.update(self._line, description=task.source.name)

    def moved(self, task: FileTask, position_bytes: int) -> None:
        """Move the bar."""
        within = min(position_bytes, task.size_bytes)
        self._bar.update(self._line, completed=self._done_bytes + within)

    def ended(self, task: FileTask) -> None:
        """Count the file as done."""
        self._done_bytes += task.size_bytes
        self._bar.update(self._line, completed=self._done_bytes)


def watcher_on(stream: TextIO, tasks: Sequence[FileTask]) -> Watcher:
    """Return a bar where `stream` is a terminal that can show one."""
    if not stream.isatty():
        return Unwatched()
    from rich.console import Console  # noqa: PLC0415 - for a terminal alone
    from rich.progress import (  # noqa: PLC0415 - likewise
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(file=stream)
    if console.is_dumb_terminal or console.encoding.lower().replace("-", "") != "utf8":
        return Unwatched()
    bar = Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(32, complete_style="cyan", finished_style="cyan"),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    return Bar(bar, sum(task.size_bytes for task in tasks))
