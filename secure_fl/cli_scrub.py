"""The command line that scrubs files: `secure-fl scrub`.

What the command needs is imported inside it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import click
import typer

from privacy.scrubbing.modes.modes import DateOrder, ScrubMode
from secure_fl.scrubbing_files.formats import (
    FormatName,  # noqa: TC001 - typer reads it at run time
)
from secure_fl.scrubbing_files.json_text import Missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from privacy.scrubbing.own_models import OwnModel
    from secure_fl.scrubbing_files.plan import FileTask
    from secure_fl.scrubbing_files.progress import Watcher

_SCRUB: Final = (
    "Replace what identifies people in FILES, and leave the originals as they are."
    "\n\nText (.txt, .md) is one document per file, or per line with --each-line. Of JSON (.json, "
    ".jsonl, .ndjson) the fields that --field names are scrubbed, of tables (.csv, .tsv) the "
    "columns that --column names. Everything else stays byte for byte; names of fields and columns "
    "and numbers in JSON are never scrubbed. A string of JSON in which something was replaced is "
    "written anew: characters that were escaped without need are not, and the other way round."
    "\n\nNAME.scrubbed.EXT is written beside each file, for your eyes only, whole or not at all. "
    "A damaged row is named and stops the command (exit code 2); files before it are finished. "
    "Nothing leaves this machine, and no message holds text of a file."
)


def add_to(app: typer.Typer) -> None:
    """Make `scrub` a command of `app`."""
    app.command(
        help=_SCRUB,
        epilog="Examples:"
        "\n\n  secure-fl scrub letter.txt"
        "\n\n  secure-fl scrub visits.jsonl --field note --field 'history[].text'"
        "\n\n  secure-fl scrub customers.csv --column remark --report report.json",
    )(scrub)


def scrub(  # noqa: PLR0913 - one parameter per option
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", show_default=False)],
    *,
    field: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="A field of JSON rows: note, patient.note, history\\[].text; * is every key. May "
            "be repeated.",
        ),
    ] = None,
    all_fields: Annotated[
        bool, typer.Option("--all-fields", help="Every string of JSON, at any depth.")
    ] = False,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A column of tables. May be repeated."),
    ] = None,
    all_columns: Annotated[
        bool, typer.Option("--all-columns", help="Every column of tables.")
    ] = False,
    each_line: Annotated[
        bool, typer.Option("--each-line", help="Each line of a text is a document of its own.")
    ] = False,
    format_: Annotated[
        FormatName | None,
        typer.Option("--format", help="What the files are.", show_default="by their names"),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The files' encoding.", show_default="utf-8"),
    ] = None,
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            help="What stands between a table's cells.",
            show_default="a comma; a tab in .tsv",
        ),
    ] = None,
    no_header: Annotated[
        bool,
        typer.Option(
            "--no-header", help="Tables begin with a record; --column takes numbers from 1."
        ),
    ] = False,
    missing: Annotated[
        Missing,
        typer.Option(help="What to do with a JSON row without a chosen field, or with null there."),
    ] = Missing.REFUSE,
    mode: Annotated[
        ScrubMode,
        typer.Option(help="What is written in the place of what is found."),
    ] = ScrubMode.PLACEHOLDERS,
    site: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A site's own folder: its policy holds, and expert-determination uses its key.",
        ),
    ] = None,
    unit: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The field or column that says whose a row is: their dates move together in "
            "expert-determination.",
        ),
    ] = None,
    date_order: Annotated[
        DateOrder | None,
        typer.Option(
            help="How texts mean 03/04/2019; such dates become placeholders without it.",
            show_default=False,
        ),
    ] = None,
    entities: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Look for these types alone; refuse if one cannot be looked for.",
            show_default="every type that can be looked for",
        ),
    ] = None,
    require: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Refuse if one of these types cannot be looked for."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A site's policy: require the types that it requires, and ask its own models too.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND:FOLDER",
            help="A model of your own: spacy:FOLDER or hugging-face:FOLDER. May be repeated. One "
            "whose labels need explaining, or a GLiNER model, is named in a policy.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="A folder for the outputs, or the one output.",
            show_default="beside each file",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace outputs that exist; never an original.")
    ] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the report as JSON. It counts exactly: keep it here."
        ),
    ] = None,
    labelled: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Labelled texts, JSON lines of text and spans: the report then says what "
            "scrubbing leaves of them.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes that scrub.",
            show_default="one for small files, else one per core, at most 8",
        ),
    ] = None,
    deadline_seconds: Annotated[
        float,
        typer.Option(
            min=0.1,
            help="Longest time for a million characters before a recogniser counts as hung.",
        ),
    ] = 120.0,
    as_json: Annotated[
        bool, typer.Option("--json", help="The report as JSON on stdout, instead of a table.")
    ] = False,
) -> None:
    """Scrub files."""
    from secure_fl.scrubbing_files.command import (  # noqa: PLC0415 - see the docstring
        Mode,
        Order,
        Wanted,
        carry_out,
    )
    from secure_fl.scrubbing_files.plan import Choices, NoChoiceError  # noqa: PLC0415 - likewise

    if field and all_fields:
        raise click.UsageError("--all-fields is every field, so --field goes without it")
    if column and all_columns:
        raise click.UsageError("--all-columns is every column, so --column goes without it")
    if unit is not None and mode is not ScrubMode.EXPERT_DETERMINATION:
        raise click.UsageError(f"--unit goes with --mode {ScrubMode.EXPERT_DETERMINATION}")
    choices = Choices(
        fields=tuple(field or ()),
        all_fields=all_fields,
        columns=tuple(column or ()),
        all_columns=all_columns,
        each_line=each_line,
        format=format_,
        encoding=encoding,
        delimiter=delimiter,
        header=not no_header,
        missing=missing,
        unit=unit,
    )
    order = Order(
        files=tuple(files),
        choices=choices,
        wanted=Wanted(
            _names("--entities", entities), _names("--require", require), policy, _models(model)
        ),
        mode=Mode(mode, site, date_order),
        out=out,
        replace=force,
        report=report,
        labelled=labelled,
        workers=workers,
        deadline_seconds=deadline_seconds,
    )
    try:
        told = carry_out(order, _watched)
    except NoChoiceError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        sys.stdout.write(told.as_json())
        return
    from secure_fl.scrubbing_files.account import write_account  # noqa: PLC0415 - likewise

    write_account(told, sys.stdout)


def _names(option: str, given: str | None) -> tuple[str, ...]:
    """Return the names in a list with commas."""
    if given is None:
        return ()
    names = [name.strip() for name in given.split(",")]
    if not all(names):
        raise click.UsageError(f"{option} takes names with commas between them")
    return tuple(dict.fromkeys(names))


def _models(given: Sequence[str] | None) -> tuple[OwnModel, ...]:
    """Return the models that `KIND:FOLDER` name."""
    if not given:
        return ()
    from privacy.scrubbing.own_models import OwnModel, OwnModelKind  # noqa: PLC0415 - as said

    models = []
    for one in given:
        kind, _, folder = one.partition(":")
        if kind not in set(OwnModelKind) or not folder:
            kinds = " or ".join(f"{known}:FOLDER" for known in OwnModelKind)
            raise click.UsageError(f"--model {one} names no model: write {kinds}")
        models.append(OwnModel(OwnModelKind(kind), Path(folder)))
    return tuple(models)


def _watched(tasks: Sequence[FileTask]) -> Watcher:
    from secure_fl.scrubbing_files.progress import watcher_on  # noqa: PLC0415 - likewise

    return watcher_on(sys.stderr, tasks)
