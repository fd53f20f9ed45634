"""The command line of a site's policy: `secure-fl policy check`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Final

import click
import typer

from secure_fl.failures import ExitCode

app = typer.Typer(help="The compliance officer's file: what it says of a run, beforehand.")

_CHECK: Final = (
    "Say what a site's policy would refuse of RUN.toml, and what the run would cost."
    "\n\nEvery point is listed, and nothing is spent. With --site or --ledger, also whether the "
    "data set can still afford it. The exit code is 0 if the run is allowed, 4 if it is refused."
)


@app.callback(invoke_without_command=True)
def _begin(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        context.get_help()


@app.command(
    help=_CHECK,
    epilog="Examples:"
    "\n\n  secure-fl policy check run.toml --policy policy.toml"
    "\n\n  secure-fl policy check run.toml --site state/sites/site-1",
)
def check(
    config: Annotated[Path, typer.Argument(metavar="RUN.toml")],
    *,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The policy.", show_default="the site's"),
    ] = None,
    site: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="A site's own folder, with its policy and ledger."),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A ledger, instead of a site's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what would be refused."""
    from secure_fl.config import load_config  # noqa: PLC0415 - `--help` answers at once
    from secure_fl.policy import load_policy  # noqa: PLC0415 - likewise
    from secure_fl.policy_check import examine, write_answer  # noqa: PLC0415 - likewise
    from secure_fl.site_ledger import ledger_of, open_ledger  # noqa: PLC0415 - likewise

    if policy is None and site is None:
        raise click.UsageError("Give the policy (--policy FILE), or a site's folder (--site)")
    if site is not None and ledger is not None:
        raise click.UsageError("--site has a ledger of its own, so --ledger cannot name another")
    run = load_config(config)
    with contextlib.ExitStack() as stack:
        place = ledger
        if site is not None:
            of_site = ledger_of(site)
            # A site has no ledger before its first run, and has spent nothing then.
            place = of_site if of_site.exists() else None
            policy = site / "policy.toml" if policy is None else policy
        opened = None if place is None else stack.enter_context(open_ledger(place))
        answer = examine(run, load_policy(policy or Path()), opened)
    write_answer(answer, sys.stdout, as_json=as_json)
    raise typer.Exit(ExitCode.OK if answer.allowed else ExitCode.BUDGET)
