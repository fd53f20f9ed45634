"""The command line of `secure-fl audit`: attack a finished run, and sign what came of it.

What the command needs is imported inside it, so that `--help` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import Annotated, Final

import typer

from secure_fl.attempt import Attempt
from secure_fl.failures import ExitCode

_AUDIT: Final = (
    "Attack the finished run RUN, and sign what was found into its folder."
    "\n\nEvery gate says not refuted, violated, inconclusive or not run, and why. The report is "
    "RUN/audits/N/report.html and .pdf, and `secure-fl verify` covers it. The run itself is not "
    "changed, and nothing is charged: rehearsals use canaries and invented notes. Ctrl-C keeps "
    "what was found; the same command goes on."
    "\n\nThe exit code is 7 if a gate is violated, or falls short of --gate."
)
_EPILOG: Final = (
    "Examples:\n\n  secure-fl audit runs/demo\n\n  secure-fl audit runs/demo --gate "
    "examples/audit-policy.toml --json"
)


def add_to(app: typer.Typer) -> None:
    """Make `audit` a command of `app`."""
    app.command(help=_AUDIT, epilog=_EPILOG)(audit)


def audit(  # noqa: PLR0913 - the command's options
    context: typer.Context,
    run: Annotated[Path, typer.Argument(metavar="RUN", show_default=False)],
    *,
    attacks: Annotated[
        list[str] | None,
        typer.Option(
            "--attack", metavar="NAME", help="Only this attack; may be repeated. All when absent."
        ),
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(metavar="POLICY.toml", help="What the audit has to show, for CI."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the coordinator's key is, which signs the audit.",
            show_default="RUN.state if it is there, else this user's state folder",
        ),
    ] = None,
    frontier: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What `secure-fl baselines` measured of this task at other epsilons, for the "
            "report to show; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The audit as one JSON object on stdout.")
    ] = False,
) -> None:
    """Audit a run."""
    from secure_fl.auditing.audit import work_beside  # noqa: PLC0415 - see above
    from secure_fl.auditing.command import AuditOptions, audit_run  # noqa: PLC0415 - likewise
    from secure_fl.auditing.display import display_for  # noqa: PLC0415 - likewise

    attempt = context.find_object(Attempt) or Attempt()
    attempt.audit_work = work_beside(run)
    display = display_for(sys.stderr if as_json else sys.stdout)
    options = AuditOptions(run, tuple(attacks or ()), gate, state, tuple(frontier or ()))
    with display:
        outcome = audit_run(options, display)
    if as_json:
        sys.stdout.write(outcome.report.to_json().decode())
    else:
        display.tell(outcome)
    if outcome.unmet:
        _say_unmet(outcome.unmet)
        raise typer.Exit(ExitCode.AUDIT)


def _say_unmet(unmet: tuple[str, ...]) -> None:
    for line in unmet:
        sys.stderr.write(f"The audit falls short: {line}\n")
