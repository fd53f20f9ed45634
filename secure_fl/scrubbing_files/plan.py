"""Which files are read and written, and all that can be refused before the first is read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from secure_fl.scrubbing_files import csv_table
from secure_fl.scrubbing_files.field_paths import field_path
from secure_fl.scrubbing_files.formats import (
    SUFFIXES,
    FormatName,
    JsonFormat,
    RowFormat,
    TableFormat,
    TextFormat,
)
from secure_fl.scrubbing_files.json_text import JsonRules, Missing
from secure_fl.scrubbing_files.rows import RowError
from secure_fl.scrubbing_files.window import TextWindow, encoding_of, known_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class NoChoiceError(ConfigError):
    """Nobody said which fields or columns to scrub."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What was asked for, for all files.

    Attributes:
        fields: paths of JSON fields.
        all_fields: every string of JSON instead.
        columns: columns of tables, by name, or by number from 1 without a header.
        all_columns: every column instead.
        each_line: each line of a text is a document of its own.
        format: what the files are, whatever their names end in.
        encoding: what their bytes mean; None for UTF-8.
        delimiter: what stands between cells; None for a tab in .tsv files, else a comma.
        header: whether tables begin with the names of their columns.
        missing: what becomes of a JSON row without a chosen field.
        unit: the field or column that says whose a row is, where dates depend on it.
    """

    fields: tuple[str, ...] = ()
    all_fields: bool = False
    columns: tuple[str, ...] = ()
    all_columns: bool = False
    each_line: bool = False
    format: FormatName | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool = True
    missing: Missing = Missing.REFUSE
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class FileTask:
    """One file to scrub.

    Attributes:
        source: where it is.
        target: where the scrubbed one goes.
        name: its format's name.
        format: its format, with what was chosen of it.
        encoding: Python's name of what its bytes mean, if it was asked for.
        size_bytes: how large it is.
        replace: whether a file at `target` may be replaced.
    """

    source: Path
    target: Path
    name: FormatName
    format: RowFormat
    encoding: str | None
    size_bytes: int
    replace: bool

    def place(self, first: int, last: int) -> str:
        """Return rows in words, counted from 1."""
        if self.format.whole:
            return "the whole file"
        return f"row {first}" if first == last else f"rows {first} to {last}"

    def place_of_damage(self, row: int, error: RowError) -> str:
        """Return in words where a row, or a line of a whole document, is damaged."""
        return f"line {error.lines_before + 1}" if self.format.whole else f"row {row}"


def plan(
    files: Sequence[Path], choices: Choices, out: Path | None, *, replace: bool
) -> tuple[FileTask, ...]:
    """Return what is to be done, in the order of `files`.

    Args:
        files: what to scrub.
        choices: what of it, and how it is read.
        out: a folder, or for one file the new file; None for NAME.scrubbed.EXT beside each.
        replace: whether files that exist may be replaced; never one that is read.

    Raises:
        ConfigError: a file cannot be read, is given twice, or is of no known format; its output
            exists, is one of the files that are read, or would be another file's too; or the
            choices do not fit any of the files. Nothing was written.
        NoChoiceError: nothing says which fields or columns to scrub.
    """
    encoding = _encoding(choices)
    sizes = _sizes(files)
    targets = _targets(files, out)
    _refuse_targets(files, targets, replace=replace)
    names = [_format_name(path, choices) for path in files]
    _refuse_useless(choices, set(names))
    formats = [
        _format(path, name, choices, encoding) for path, name in zip(files, names, strict=True)
    ]
    return tuple(
        FileTask(path, target, name, format_, encoding, size, replace)
        for path, target, name, format_, size in zip(
            files, targets, names, formats, sizes, strict=True
        )
    )


def _encoding(choices: Choices) -> str | None:
    if choices.encoding is None:
        return None
    try:
        return known_encoding(choices.encoding)
    except ValueError as error:
        raise ConfigError(f"--encoding {choices.encoding} cannot be honoured: {error}.") from None


def _sizes(files: Sequence[Path]) -> list[int]:
    """Return the files' sizes in bytes; refuse what is no file, or the same one twice."""
    sizes: list[int] = []
    seen: dict[tuple[int, int], Path] = {}
    for path in files:
        found = _looked_at(path)
        if not stat.S_ISREG(found.st_mode):
            kind = "a folder: name the files in it" if stat.S_ISDIR(found.st_mode) else "no file"
            raise ConfigError(f"{path} is {kind}. Nothing was scrubbed.")
        twin = seen.setdefault((found.st_dev, found.st_ino), path)
        if len(seen) == len(sizes):
            raise ConfigError(
                f"{path} is the same file as {twin}: it would be scrubbed twice. Name it once."
            )
        sizes.append(found.st_size)
    return sizes


def _looked_at(path: Path) -> os.stat_result:
    try:
        # Not to wait for whoever would write into a pipe of that name.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise ConfigError(f"There is no file {path}. Nothing was scrubbed.") from None
    except OSError as error:
        said = os.strerror(error.errno) if error.errno else "the system refused"
        raise ConfigError(f"{path} cannot be read ({said}). Nothing was scrubbed.") from None
    try:
        return os.fstat(handle)
    finally:
        os.close(handle)


def _targets(files: Sequence[Path], out: Path | None) -> list[Path]:
    if out is None:
        return [path.with_name(_new_name(path)) for path in files]
    if out.is_dir():
        return [out / _new_name(path) for path in files]
    if len(files) > 1:
        raise ConfigError(
            f"--out {out} is no folder, and {len(files)} files cannot become one. Make the folder "
            "first, or scrub the files one by one."
        )
    return [out]


def _new_name(path: Path) -> str:
    return f"{path.stem}.scrubbed{path.suffix}"


def _refuse_targets(files: Sequence[Path], targets: Sequence[Path], *, replace: bool) -> None:
    taken: dict[tuple[Path, str], Path] = {}
    for path, target in zip(files, targets, strict=True):
        if not target.parent.is_dir():
            raise ConfigError(f"There is no folder {target.parent} to write {target.name} into.")
        for read in files:
            if target.exists() and target.samefile(read):
                raise ConfigError(
                    f"The output {target} is {read} itself: an original is never touched. Choose "
                    "another --out."
                )
        if target.is_symlink() or (target.exists() and not target.is_file()):
            raise ConfigError(
                f"The output {target} is a link or no file: it stays as it is. Choose another "
                "--out."
            )
        if target.exists() and not replace:
            raise ConfigError(
                f"The output {target} exists: it stays as it is. Choose another --out, or --force."
            )
        twin = taken.setdefault((target.parent.resolve(), target.name), path)
        if twin is not path:
            raise ConfigError(
                f"{twin} and {path} would both become {target}. Scrub them one by one, or without "
                "--out."
            )


def _format_name(path: Path, choices: Choices) -> FormatName:
    name = choices.format or SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise ConfigError(
            f"What {path} is cannot be told from its name. Give --format: "
            f"{', '.join(known.value for known in FormatName)}."
        )
    return name


def _refuse_useless(choices: Choices, names: set[FormatName]) -> None:
    """Refuse a choice that fits no file: whoever made it expects more than would be done."""
    json = {FormatName.JSON, FormatName.JSON_LINES}
    for option, given, fitting in (
        ("--field", bool(choices.fields), json),
        ("--all-fields", choices.all_fields, json),
        ("--missing", choices.missing is not Missing.REFUSE, json),
        ("--column", bool(choices.columns), {FormatName.TABLE}),
        ("--all-columns", choices.all_columns, {FormatName.TABLE}),
        ("--delimiter", choices.delimiter is not None, {FormatName.TABLE}),
        ("--no-header", not choices.header, {FormatName.TABLE}),
        ("--each-line", choices.each_line, {FormatName.TEXT}),
        ("--unit", choices.unit is not None, json | {FormatName.TABLE}),
    ):
        if given and not names & fitting:
            kinds = " or ".join(sorted(name.value for name in fitting))
            raise ConfigError(f"{option} was given and no file is {kinds}. Nothing was scrubbed.")


def _format(path: Path, name: FormatName, choices: Choices, encoding: str | None) -> RowFormat:
    if name is FormatName.TEXT:
        return TextFormat(choices.each_line)
    if name is FormatName.TABLE:
        return _table(path, choices, encoding)
    if not choices.fields and not choices.all_fields:
        raise NoChoiceError(
            f"Which fields of {path} are to be scrubbed? Name them (--field note), or say "
            "--all-fields"
        )
    paths = None
    if choices.fields:
        try:
            paths = tuple(field_path(field) for field in dict.fromkeys(choices.fields))
        except ValueError as error:
            raise ConfigError(f"--field cannot be honoured: {error}.") from None
    rules = JsonRules(paths, choices.missing, _unit_keys(choices))
    return JsonFormat(rules, each_line=name is FormatName.JSON_LINES)


def _unit_keys(choices: Choices) -> tuple[str, ...]:
    if choices.unit is None:
        return ()
    try:
        steps = field_path(choices.unit).steps
    except ValueError as error:
        raise ConfigError(f"--unit cannot be honoured: {error}.") from None
    keys = tuple(step for step in steps if isinstance(step, str))
    if len(keys) < len(steps):
        raise ConfigError(
            f"--unit {choices.unit} cannot be honoured: a row is one person's, so neither [] nor * "
            "can lead to whose it is."
        )
    return keys


def _table(path: Path, choices: Choices, encoding: str | None) -> TableFormat:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    if choices.delimiter is not None:
        delimiter = choices.delimiter
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise ConfigError(
            "--delimiter cannot be honoured: what stands between cells is one character, and no "
            "quote or line end."
        )
    columns = tuple(dict.fromkeys(choices.columns))
    table = TableFormat(delimiter, columns or None, choices.header, choices.unit)
    if not columns and not choices.all_columns:
        names = _first_row(path, table, encoding)
        raise NoChoiceError(
            f"Which columns of {path} are to be scrubbed? Name them (--column remark), or say "
            f"--all-columns. {table.listed(names)}"
        )
    return table


def _first_row(path: Path, table: TableFormat, encoding: str | None) -> tuple[str, ...]:
    try:
        with path.open("rb") as stream:
            known = encoding_of(stream.read(4), encoding)
            stream.seek(len(known.mark))
            rows: Iterator[str] = csv_table.records(TextWindow(stream, known), table.delimiter)
            return csv_table.header_names(next(rows, ""), table.delimiter, distinct=False)
    except (RowError, OSError):
        # Whatever is wrong with it is told in full once there is a choice.
        return ()
