"""The command line of the data sets: `secure-fl domains list` and `show`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated, Final

import click
import typer

from domains.own_files import NAME as OWN
from domains.partition_kinds import Partition, PartitionKind
from domains.sentence_choices import Agreement, Split  # noqa: TC001 - typer reads them at run time

app = typer.Typer(help="The data sets that a run can be on, and what one of them holds.")

_LIST: Final = (
    "List every domain, with what to scrub, what its field reports and models to start from; and "
    "every data set: its labels, files, split and licence."
)
_MODELS: Final = (
    "List base models to start from, or print the tables of a run with the one called NAME."
    "\n\nA preset pins no weights: the members of a consortium agree on their digest."
)
_SHOW: Final = (
    "Say what the data set NAME holds: task, prompt, labels, lengths, repeated texts and a few "
    "scrubbed rows."
    "\n\nWith --sites, also who would hold what in a simulation. Counts are exact and rows are "
    "records: what is printed is for whoever may read the data. Nothing leaves this machine."
    "\n\nOf sites' own records, NAME is own and --config names the run, whose [data] says where "
    "they are and whose sites share them."
)


@app.callback(invoke_without_command=True)
def _begin(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        context.get_help()


@app.command("list", help=_LIST, epilog="Example:\n\n  secure-fl domains list")
def list_(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the catalogue."""
    from secure_fl.domains_account import write_list  # noqa: PLC0415 - `--help` answers at once

    write_list(sys.stdout, as_json=as_json)


@app.command(
    help=_MODELS,
    epilog="Examples:\n\n  secure-fl domains models\n\n  secure-fl domains models qwen2.5-0.5b",
)
def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Print this one's tables for a run.")
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the model presets, or print one's tables."""
    from domains.model_presets import model_preset  # noqa: PLC0415 - `--help` answers at once
    from secure_fl.domains_account import write_models  # noqa: PLC0415 - as above

    if name is not None and not as_json:
        sys.stdout.write(model_preset(name).tables())
        return
    write_models(sys.stdout, None if name is None else model_preset(name), as_json=as_json)


@app.command(
    help=_SHOW,
    epilog="Examples:"
    "\n\n  secure-fl domains show finance.generated --sites 8 --partition label --alpha 0.5"
    "\n\n  secure-fl domains show finance.phrasebank --data DIR --rows 0"
    "\n\n  secure-fl domains show own --config examples/own-data.toml",
)
def show(  # noqa: PLR0913 - one parameter per option
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of a published data set."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="RUN.toml", help="Of own records: the run on them.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of a generated data set, and of the shares.", show_default="0"),
    ] = None,
    rows: Annotated[int, typer.Option(min=0, help="Training records to show, scrubbed.")] = 3,
    sites: Annotated[
        int | None,
        typer.Option(min=1, help="Share the training records out among so many sites."),
    ] = None,
    partition: Annotated[
        PartitionKind | None,
        typer.Option(help="By what rule.", show_default="equal"),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Of label: the Dirichlet's concentration.")
    ] = None,
    sigma: Annotated[
        float | None, typer.Option(help="Of size: the spread of the sizes' logarithm.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Of key: equal values stay at one site."),
    ] = None,
    smallest_share: Annotated[
        int | None, typer.Option(min=1, help="Records of each site at least.", show_default="1")
    ] = None,
    users: Annotated[
        int | None,
        typer.Option(min=1, help="Of a data set of users: how many are loaded at most."),
    ] = None,
    agreement: Annotated[
        Agreement | None,
        typer.Option(help="Of the Financial PhraseBank: which file.", show_default="50Agree"),
    ] = None,
    split: Annotated[
        Split | None,
        typer.Option(
            help="Of the Financial PhraseBank: which rows are scored.", show_default="fingpt"
        ),
    ] = None,
    allow_hub: Annotated[
        bool,
        typer.Option(
            "--allow-hub",
            help="Download what neither a folder nor the Hugging Face cache has, at its commit.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what a data set holds."""
    from secure_fl.domains_account import (  # noqa: PLC0415 - `--help` answers at once
        DatasetAccount,
        Wanted,
        write_account,
    )

    given = (partition, alpha, sigma, key, smallest_share)
    chosen = (data, seed, sites, users, agreement, split, *given)
    if (name == OWN) != (config is not None):
        raise click.UsageError("Own records are shown as own, with the run that --config names")
    if config is not None and any(option is not None for option in chosen):
        raise click.UsageError("The run says all of its own records: leave the other options out")
    if sites is None and any(option is not None for option in given):
        raise click.UsageError("A partition is of records among sites: give their number (--sites)")
    if config is not None:
        from secure_fl.own_account import own_account  # noqa: PLC0415 - as above

        account = own_account(config, rows)
    else:
        wanted = Wanted(
            name,
            data,
            seed or 0,
            rows,
            sites,
            Partition(partition or PartitionKind.EQUAL, sigma, alpha, key, smallest_share or 1),
            users=users,
            agreement=agreement,
            split=split,
            allow_hub=allow_hub,
        )
        account = DatasetAccount.of(wanted)
    if as_json:
        sys.stdout.write(account.as_json())
    else:
        write_account(account, sys.stdout)
