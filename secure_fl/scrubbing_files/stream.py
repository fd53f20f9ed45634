"""Files as one stream: a file begins, batches of its rows come, it ends, the next one begins.

One stream over all files keeps every worker busy where files are small, and gives failures an
order: the first in the stream is the one that counts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from secure_fl.scrubbing_files.rows import RowError
from secure_fl.scrubbing_files.window import TextWindow, encoding_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from typing import BinaryIO

    from secure_fl.scrubbing_files.formats import Begun
    from secure_fl.scrubbing_files.plan import FileTask
    from secure_fl.scrubbing_files.rows import RowRules
    from secure_fl.scrubbing_files.window import Encoding

_BATCH_CHARACTERS: Final = 2**16
_BATCH_ROWS: Final = 1024
_LONGEST_MARK_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Began:
    """A file whose batches follow.

    Attributes:
        task: the file.
        encoding: what its bytes mean.
        head: its first row, where that is a header; it stays as it is.
        columns: the names in it.
    """

    task: FileTask
    encoding: Encoding
    head: str = field(default="", repr=False)
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of the file that began last.

    Attributes:
        task: the file.
        first: the number of the first row, from 1.
        rows: their source, line ends included.
        rules: how they are read and written.
        position_bytes: about where in the file the batch ends.
        before: how many rows of all files come before it.
    """

    task: FileTask
    first: int
    rows: tuple[str, ...] = field(repr=False)
    rules: RowRules
    position_bytes: int = 0
    before: int = 0

    @property
    def last(self) -> int:
        """The number of the last row."""
        return self.first + len(self.rows) - 1


@dataclass(frozen=True, slots=True)
class Ended:
    """All of the file has been read, and it did not change meanwhile."""

    task: FileTask


Item = Began | Batch | Ended


def refused(task: FileTask, place: str, reason: str) -> ConfigError:
    """Return the error of rows that cannot be scrubbed."""
    return ConfigError(
        f"{task.source}, {place}: {reason}. {task.target} is not written, nor is any file after it."
    )


def read_files(tasks: Iterable[FileTask]) -> Generator[Item, None, None]:
    """Yield what the files hold, one file after the other.

    Raises:
        ConfigError: a file is damaged, cannot be read, or changed while it was read; names the
            file and the row, and holds nothing of its text.
    """
    rows = 0
    for task in tasks:
        failed: OSError | None = None
        try:
            with task.source.open("rb") as stream:
                before = os.fstat(stream.fileno())
                for item in _read_file(task, stream, rows):
                    rows += len(item.rows) if isinstance(item, Batch) else 0
                    yield item
                after = os.fstat(stream.fileno())
        except OSError as error:
            failed = error
        if failed is not None:
            raise unreadable(task, failed)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise ConfigError(
                f"{task.source} changed while it was read: {task.target} is not written, nor is "
                "any file after it. Scrub it again when nobody writes to it."
            )
        yield Ended(task)


def unreadable(task: FileTask, error: OSError) -> ConfigError:
    """Return the error of a file that the system does not let be read."""
    said = os.strerror(error.errno) if error.errno else "the system refused"
    return ConfigError(f"{task.source} cannot be read ({said}): nothing is written for it.")


def _read_file(task: FileTask, stream: BinaryIO, before: int) -> Iterator[Item]:
    failed: RowError | None = None
    try:
        encoding = encoding_of(stream.read(_LONGEST_MARK_BYTES), task.encoding)
        stream.seek(len(encoding.mark))
        window = TextWindow(stream, encoding)
        begun = task.format.begin(window)
    except RowError as error:
        failed = error
    if failed is not None:
        raise refused(task, task.place_of_damage(1, failed), str(failed))
    yield Began(task, encoding, begun.head, begun.columns)
    yield from _batches(task, window, begun, before)


def _batches(task: FileTask, window: TextWindow, begun: Begun, before: int) -> Iterator[Batch]:
    first = begun.first
    rows: list[str] = []
    characters = 0
    failed: RowError | None = None
    while True:
        try:
            row = next(begun.rows, None)
        except RowError as error:
            # The rows before it come first: one of them may be what has to be told.
            row, failed = None, error
        if row is not None:
            rows.append(row)
            characters += len(row)
        if rows and (row is None or characters >= _BATCH_CHARACTERS or len(rows) == _BATCH_ROWS):
            yield Batch(task, first, tuple(rows), begun.rules, window.position_bytes, before)
            first += len(rows)
            before += len(rows)
            rows, characters = [], 0
        if row is None:
            break
    if failed is not None:
        raise refused(task, task.place_of_damage(first, failed), str(failed))
