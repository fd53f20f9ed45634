"""The command line of the baselines: `secure-fl baselines`.

What the command needs is imported inside it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.core import TyperCommand

from secure_fl.baselines.names import Row
from secure_fl.shown_warnings import shown_warnings

if TYPE_CHECKING:
    import click

_BASELINES: Final = (
    "Measure what the run CONFIG.toml has to beat; print and save one table."
    "\n\nmajority: always the commonest label. frozen-head: logistic regression on the untuned "
    "model's features. dp-head: the run with the method linear-head. site-alone: each site without "
    "sums, the mean over sites. centralised: all records at one place. federated: the run in mode "
    "none. federated-dp: the run as it is. Scores are means over seeds, with sample standard "
    "deviations."
    "\n\nA result is saved as soon as it is there, and not measured again. Runs get ledgers of "
    "their own and nothing is charged: settings that are chosen from this table are `uncharged`."
)
_EPILOG: Final = (
    "Examples:"
    "\n\n  secure-fl baselines examples/finance.toml --rows majority federated federated-dp"
    "\n\n  secure-fl baselines examples/finance-fpb.toml --data DIR --seeds 0 1 2 --validation"
)


class _ManyWords(TyperCommand):
    """Lets `--seeds 0 1 2` and `--rows a b` stand for the option before each of the words."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line after each such option was written out."""
        return super().parse_args(ctx, _written_out(args))


def _written_out(args: list[str]) -> list[str]:
    written: list[str] = []
    option = None
    for word in args:
        goes_on = written[-2:-1] == [option] and (
            (option == "--seeds" and word.isdecimal()) or (option == "--rows" and word in set(Row))
        )
        if goes_on and option is not None:
            written.append(option)
        elif word.startswith("-"):
            option = word if word in {"--seeds", "--rows"} else None
        written.append(word)
    return written


def add_to(app: typer.Typer) -> None:
    """Make `baselines` a command of `app`."""
    app.command(help=_BASELINES, epilog=_EPILOG, cls=_ManyWords)(baselines)


def baselines(  # noqa: PLR0913 - one parameter per option
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", show_default=False)],
    *,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of a published data set."),
    ] = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option(metavar="N...", min=0, help="One or more seeds.", show_default="0 1 2"),
    ] = None,
    rows: Annotated[
        list[Row] | None,
        typer.Option(help="One or more rows.", show_default="all that the run can have"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Where results are saved, and known ones read.",
            show_default="runs/NAME-baselines.json, with --validation NAME-validation.json",
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="What the sites allow; rows without privacy need it to allow mode none.",
            show_default="policy.toml beside CONFIG.toml",
        ),
    ] = None,
    validation: Annotated[
        bool,
        typer.Option(
            "--validation",
            help="Score on a seeded fifth of the training records, and leave the evaluation set "
            "alone: to choose settings with.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Measure the baselines of a run."""
    from domains.catalogue import kind_of  # noqa: PLC0415 - see the module's docstring
    from secure_fl.baselines.rows import rows_of  # noqa: PLC0415 - likewise
    from secure_fl.baselines.table import write_table  # noqa: PLC0415 - likewise
    from secure_fl.config import load_config  # noqa: PLC0415 - likewise
    from secure_fl.launch import POLICY_NAME  # noqa: PLC0415 - likewise
    from secure_fl.policy import load_policy  # noqa: PLC0415 - likewise

    run = load_config(config)
    rules = policy or config.parent / POLICY_NAME
    load_policy(rules)
    # Imports torch and transformers: seconds, and what can be refused is refused by now.
    from secure_fl.baselines.study import Study, measure  # noqa: PLC0415 - as said

    kind = "validation" if validation else "baselines"
    with shown_warnings(_note):
        outcome = measure(
            Study(run, config, rules, data, validation, _note),
            rows or rows_of(run),
            (0, 1, 2) if seeds is None else seeds,
            out or Path("runs") / f"{run.name}-{kind}.json",
        )
    form = kind_of(run.mechanism.data.dataset)
    write_table(outcome.kept, outcome.lines, form, sys.stdout, as_json=as_json)
    raise typer.Exit(outcome.code)


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
