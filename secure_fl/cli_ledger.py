"""The command line of a site's ledger: `secure-fl ledger show`, `verify`, `export` and so on.

What a command needs is imported inside it, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import click
import typer

from privacy.events import NoGuarantee

if TYPE_CHECKING:
    from privacy.ledger_backup import Restored

app = typer.Typer(
    help="What a site's records have given away: read, check, export, back up and restore it."
)

_SHOW: Final = (
    "Show what was spent of each data set, over all runs, per year and per run."
    "\n\nEvery epsilon is computed anew from the recorded events. Epsilons do not add up: all runs "
    "together spend less than their sum. Counts and names stay at the site."
)
_VERIFY: Final = (
    "Check the site's ledger: silent if every entry is as it was written."
    "\n\nOtherwise the first entry that does not check out is named (exit code 6). A ledger that "
    "was cut, or is an old backup, checks out by itself: --known-head finds it."
)
_EXPORT: Final = (
    "Write the ledger as canonical JSON to stdout, for an auditor."
    "\n\nAll of it names data sets and runs, and is for whom the compliance officer trusts. With "
    "--run, only that run's entries, with data sets as commitments: what is sent with a run."
)
_BACKUP: Final = (
    "Copy the ledger to FILE, as it is at one instant, and print its head."
    "\n\nA run may be writing meanwhile. Write the head down where the disk's failure does not "
    "reach it: it shows later whether a backup is the newest."
)
_RESTORE: Final = (
    "Put the backup FILE in the place of the site's ledger. Stop the site first."
    "\n\nRefused unless FILE holds all that was charged, as the ledger it replaces or --known-head "
    "shows. --accept-loss restores an older one: every data set of the policy is then charged "
    "infinity, or what --charge states, and the ledger says so for ever."
)

_Site = Annotated[
    Path,
    typer.Option("--site", metavar="FOLDER", help="The site's own folder: STATE/sites/NAME."),
]
_KnownHead = Annotated[
    str | None,
    typer.Option("--known-head", metavar="HEX", help="A head of this ledger that was seen before."),
]


def _example(*lines: str) -> str:
    return "\n\n".join([f"Example{'s' if len(lines) > 1 else ''}:", *(f"  {x}" for x in lines)])


@app.callback(invoke_without_command=True)
def _begin(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        context.get_help()


@app.command(help=_SHOW, epilog=_example("secure-fl ledger show --site state/sites/site-1"))
def show(
    site: _Site,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Show what was spent."""
    from secure_fl.ledger_account import write_accounts  # noqa: PLC0415 - see the docstring
    from secure_fl.site_ledger import ledger_of, open_ledger, policy_of  # noqa: PLC0415 - likewise

    with open_ledger(ledger_of(site)) as ledger:
        write_accounts(ledger, policy_of(site), sys.stdout, as_json=as_json)


@app.command(help=_VERIFY, epilog=_example("secure-fl ledger verify --site state/sites/site-1"))
def verify(site: _Site, *, known_head: _KnownHead = None) -> None:
    """Check every entry."""
    from secure_fl.site_ledger import ledger_of, open_ledger, read_head  # noqa: PLC0415 - see above

    head = read_head(known_head)
    with open_ledger(ledger_of(site)) as ledger:
        ledger.verify(known_head=head)


@app.command(
    help=_EXPORT,
    epilog=_example("secure-fl ledger export --site state/sites/site-1 > ledger.json"),
)
def export(
    site: _Site,
    *,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Only this run's entries, data sets as commitments."),
    ] = None,
) -> None:
    """Write entries as JSON."""
    from secure_fl.ledger_transfer import export_json, export_run  # noqa: PLC0415 - see above
    from secure_fl.site_ledger import ledger_of, open_ledger  # noqa: PLC0415 - likewise

    with open_ledger(ledger_of(site)) as ledger:
        written = export_json(ledger) if run is None else export_run(ledger, site, run)
    sys.stdout.write(written.decode() + "\n")


@app.command(
    help=_BACKUP,
    epilog=_example("secure-fl ledger backup /mnt/safe/2026-11-25.sqlite --site /srv/site"),
)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    site: _Site,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Copy the ledger."""
    from secure_fl.site_ledger import ledger_of, open_ledger  # noqa: PLC0415 - see above

    with open_ledger(ledger_of(site)) as ledger:
        head = ledger.copy_to(file).hex()
    if as_json:
        said = {"schema": "secure-fl.ledger-backup.v1", "file": str(file), "head": head}
        sys.stdout.write(json.dumps(said) + "\n")
    else:
        sys.stdout.write(f"Wrote {file}. Write its head down:\n{head}\n")


@app.command(
    help=_RESTORE,
    epilog=_example(
        "secure-fl ledger restore backup.sqlite --site /srv/site --known-head HEX",
        "secure-fl ledger restore backup.sqlite --site /srv/site --accept-loss "
        "--charge archive=none",
    ),
)
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    site: _Site,
    *,
    known_head: _KnownHead = None,
    accept_loss: Annotated[
        bool,
        typer.Option("--accept-loss", help="Restore FILE although entries after it are lost."),
    ] = False,
    charge: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=WHAT",
            help="With --accept-loss: what was charged to this data set since FILE was made: "
            "`none`, `infinity`, or a file with a JSON list of events. May be repeated.",
        ),
    ] = None,
) -> None:
    """Put a backup back."""
    from secure_fl.ledger_transfer import put_back, read_stated  # noqa: PLC0415 - see above
    from secure_fl.site_ledger import read_head  # noqa: PLC0415 - likewise

    if charge and not accept_loss:
        raise click.UsageError("--charge states what was lost, so it goes with --accept-loss")
    head = read_head(known_head)
    stated = read_stated(charge or ()) if accept_loss else None
    restored = put_back(site, file, known_head=head, stated=stated)
    for line in _said(restored):
        sys.stdout.write(f"{line}\n")


def _said(restored: Restored) -> list[str]:
    lines = [f"The ledger is restored. Its head: {restored.head.hex()}"]
    if restored.aside is not None:
        lines.append(f"What was in its place is kept as {restored.aside}.")
    for charge in restored.charges:
        what = f"what was stated (events: {len(charge.events)})"
        if NoGuarantee() in charge.events:
            what = "infinity: no private run can use it any more"
        lines.append(f"{charge.dataset} is charged {what}.")
    return lines
