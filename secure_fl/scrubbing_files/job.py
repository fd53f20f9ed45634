"""Scrubs the files of a plan: what comes back from the workers is written, file by file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from secure_fl.scrubbing_files.count import Count
from secure_fl.scrubbing_files.crew import Lost
from secure_fl.scrubbing_files.formats import JsonFormat
from secure_fl.scrubbing_files.json_text import Missing
from secure_fl.scrubbing_files.output import OutputFile
from secure_fl.scrubbing_files.stream import Batch, Began, Ended, read_files, refused
from secure_fl.scrubbing_files.worker import Done, Failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from secure_fl.scrubbing_files.crew import Answer, Crew
    from secure_fl.scrubbing_files.plan import FileTask
    from secure_fl.scrubbing_files.progress import Watcher
    from secure_fl.scrubbing_files.stream import Item


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A file that was scrubbed.

    Attributes:
        task: the file.
        columns: the names of a table's columns.
        count: what was scrubbed.
        written_bytes: how large the output is.
        sha256: the output's SHA-256 in hexadecimal.
    """

    task: FileTask
    columns: tuple[str, ...]
    count: Count
    written_bytes: int
    sha256: str


def scrub_files(tasks: Sequence[FileTask], crew: Crew, watcher: Watcher) -> tuple[Scrubbed, ...]:
    """Scrub each file into its target.

    On a failure, what was finished before stays, and nothing is left of the file that failed.

    Raises:
        ConfigError: a file or row cannot be read, scrubbed or written; names both, and no text.
    """
    done: list[Scrubbed] = []
    with contextlib.ExitStack() as opened:
        items = opened.enter_context(contextlib.closing(read_files(tasks)))
        settled = opened.enter_context(contextlib.closing(crew.in_order(items)))
        for item, _ in settled:
            if not isinstance(item, Began):
                raise TypeError("a file has to begin before its rows come")
            done.append(_scrub_file(item, settled, watcher))
    return tuple(done)


def _scrub_file(
    began: Began, settled: Iterable[tuple[Item, Answer | None]], watcher: Watcher
) -> Scrubbed:
    task = began.task
    watcher.began(task)
    count = Count()
    with OutputFile(task.target, replace=task.replace) as output:
        output.write(began.encoding.mark + began.head.encode(began.encoding.codec))
        for item, answer in settled:
            if isinstance(item, Ended):
                break
            if not isinstance(item, Batch):
                raise TypeError("a file has to end before the next one begins")
            if not isinstance(answer, Done):
                raise _failure(item, answer)
            output.write(_encoded(item, answer, began.encoding.codec))
            count += answer.count
            watcher.moved(task, item.position_bytes)
        _refuse_never_found(task, count)
        digest = output.commit()
    watcher.ended(task)
    return Scrubbed(task, began.columns, count, output.written_bytes, digest)


def _failure(batch: Batch, answer: Answer | None) -> ConfigError:
    if isinstance(answer, Failed):
        row = batch.first + answer.index
        return refused(batch.task, batch.task.place(row, row), answer.reason)
    reason = answer.reason if isinstance(answer, Lost) else "nobody scrubbed it"
    return refused(batch.task, batch.task.place(batch.first, batch.last), reason)


def _encoded(batch: Batch, done: Done, codec: str) -> bytes:
    """Return the rows as bytes of the file's encoding."""
    parts: list[bytes] = []
    for number, (source, scrubbed) in enumerate(
        zip(batch.rows, done.rows, strict=True), start=batch.first
    ):
        failed = False
        try:
            parts.append((source if scrubbed is None else scrubbed).encode(codec))
        except UnicodeEncodeError:
            failed = True
        if failed:
            raise refused(
                batch.task,
                batch.task.place(number, number),
                f"what it became cannot be written in {codec}: convert the file to UTF-8 first",
            )
    return b"".join(parts)


def _refuse_never_found(task: FileTask, count: Count) -> None:
    """Refuse a field that every row lacks: most likely its name is mistyped."""
    if not isinstance(task.format, JsonFormat) or task.format.rules.missing is Missing.REFUSE:
        return
    for number, name in enumerate(task.format.chosen):
        if count.rows and number not in count.choices_found:
            raise ConfigError(
                f"No row of {task.source} has anything at {name}, so nothing would be scrubbed "
                f"there: {task.target} is not written, nor is any file after it. Look for a typing "
                "error."
            )
