"""The command line: `secure-fl run`, `verify`, `init`, `doctor`, and the groups beside it.

What a command needs is imported inside it, so that `--help` answers at once. `main` is the one
place that catches everything: it turns any failure into a sentence and an exit code.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import click
import typer

from crypto.errors import SecureFLError
from secure_fl import (
    cli_audit,
    cli_baselines,
    cli_domains,
    cli_evaluate,
    cli_evaluation_task,
    cli_generate,
    cli_ledger,
    cli_policy,
    cli_scrub,
    cli_weights,
)
from secure_fl.attempt import Attempt, StopRequestedError
from secure_fl.failures import ExitCode, Failure

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from secure_fl.plain_display import Display

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_ABOUT: Final = (
    "Hospitals and banks tune one language model together without showing anyone their records."
    "\n\nEach site trains on its own records, and what leaves it is clipped, noised and masked. "
    "A run ends with a signed folder that says what happened and that anybody can check."
)
_RUN: Final = (
    "Run CONFIG.toml, with every site in this process."
    "\n\nKeys and ledgers live in --state and outlive the run: what it spent of a data set's "
    "privacy budget stays spent. Ctrl-C keeps the run, and --resume goes on with it."
)
_VERIFY: Final = (
    "Check the run folder RUN: silent if all of it is as it was signed."
    "\n\nOtherwise the first thing that does not check out is named. Nothing but the folder and "
    "the key is read, and no network is used. The key comes from the consortium, never from the "
    "folder: without --trust the most that can be said is that the folder is consistent (exit "
    "code 3)."
)
_INIT: Final = (
    "Write a commented configuration and a site policy to begin with."
    "\n\nThey are called run.toml and policy.toml, and they work as they are. They go into DIR, "
    "or into this folder; a file that is there already is never overwritten. With --dataset they "
    "begin a consortium of that data set's domain."
)
_DOCTOR: Final = (
    "Say whether this machine can run CONFIG.toml, and what to mend."
    "\n\nWithout CONFIG.toml, whether it can run the examples. Looks at libraries, base model, "
    "scrubbing, clock, disk, keys and ledgers. No request leaves the machine. The exit code is 0 "
    "if it can run, 2 if not."
)


def _example(*lines: str) -> str:
    return "\n\n".join([f"Example{'s' if len(lines) > 1 else ''}:", *(f"  {x}" for x in lines)])


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - the form of an option's callback
    if wanted:
        from secure_fl import __version__  # noqa: PLC0415 - for this option alone

        sys.stdout.write(f"secure-fl {__version__}\n")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    help=_ABOUT,
    epilog=_example(
        "secure-fl init trial", "secure-fl doctor trial/run.toml", "secure-fl run trial/run.toml"
    ),
)
def _begin(
    context: typer.Context,
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_show_version, help="Print the version."),
    ] = False,
) -> None:
    del version
    if context.invoked_subcommand is None:
        context.get_help()


@app.command(
    help=_RUN,
    epilog=_example(
        "secure-fl run examples/finance.toml --rounds 2 --fresh-state",
        "secure-fl run --resume runs/finance-20260101-120000",
    ),
)
def run(  # noqa: PLR0913 - one parameter per option
    context: typer.Context,
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG.toml")] = None,
    *,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="Go on with this unfinished run instead."),
    ] = None,
    readmit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE",
            help="With --resume: take back this site, which was left out because an earlier "
            "attempt showed that it broke the protocol. May be repeated.",
        ),
    ] = None,
    rounds: Annotated[int | None, typer.Option(help="Rounds, instead of the file's.")] = None,
    sites: Annotated[int | None, typer.Option(help="Sites, instead of the file's.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed, instead of the file's. Never the source of privacy noise."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The new run folder.", show_default="runs/NAME-YYYYmmdd-HHMMSS"
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keys, policies and ledgers, which outlive runs.",
            show_default="this user's state folder; in a resume, OUT.state if it is there",
        ),
    ] = None,
    fresh_state: Annotated[
        bool,
        typer.Option(
            "--fresh-state",
            help="Make new keys and ledgers in OUT.state. The privacy budget is then not carried "
            "from other runs, nor to them, and the report says so.",
        ),
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of a published data set."),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The policy of sites that have none yet.",
            show_default="policy.toml beside CONFIG.toml",
        ),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object per line on stdout; a failure is one on stderr."
        ),
    ] = False,
) -> None:
    """Start a run, or go on with one."""
    from secure_fl import launch  # noqa: PLC0415 - see the module's docstring

    overrides = launch.Overrides(rounds=rounds, sites=sites, seed=seed)
    if (config is None) == (resume is None):
        raise click.UsageError(
            "Give a configuration to start (secure-fl run CONFIG.toml), or an unfinished run to "
            "go on with (secure-fl run --resume RUN)"
        )
    if fresh_state and state is not None:
        raise click.UsageError("--fresh-state makes a new folder, so --state cannot name one")
    if readmit and resume is None:
        raise click.UsageError("--readmit takes a site back into a run that --resume goes on with")
    attempt = context.find_object(Attempt) or Attempt()
    display = _display(as_json=as_json)
    if config is not None:
        options = launch.StartOptions(config, overrides, out, state, fresh_state, data, policy)
        launch.start(options, attempt, display)
    elif resume is not None:
        if overrides.given() or fresh_state or out is not None or policy is not None:
            raise click.UsageError(
                "--resume goes on with a run as it was begun: only --state, --data, --readmit and "
                "--json go with it"
            )
        again = launch.ResumeOptions(resume, state, data, tuple(readmit or ()))
        launch.resume(again, attempt, display)


@app.command(
    help=_VERIFY,
    epilog=_example("secure-fl verify runs/demo --trust runs/demo.state/consortium/root.pub"),
)
def verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN")],
    *,
    trust: Annotated[
        Path | None,
        typer.Option(metavar="ROOT.pub", help="The consortium's public root key."),
    ] = None,
) -> None:
    """Check a run folder."""
    from crypto.keyfiles import read_public  # noqa: PLC0415 - see the module's docstring
    from secure_fl.verification import (  # noqa: PLC0415 - see the module's docstring
        SignerUnknownError,
        verify_run,
    )

    try:
        verify_run(folder, None if trust is None else read_public(trust))
    except SignerUnknownError as error:
        Failure("SignerUnknownError", ExitCode.SIGNER_UNKNOWN, str(error)).tell(
            sys.stderr, as_json=False
        )
        raise typer.Exit(ExitCode.SIGNER_UNKNOWN) from None


@app.command(help=_INIT, epilog=_example("secure-fl init trial --dataset biomedical.pubmedqa"))
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR")] = Path(),
    *,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of `secure-fl domains list`: with its domain's scrubbing, and its unit.",
            show_default="finance.generated",
        ),
    ] = None,
) -> None:
    """Write a configuration and a policy."""
    from secure_fl.initialise import initialise  # noqa: PLC0415 - see the module's docstring

    for line in initialise(folder, dataset):
        sys.stdout.write(f"{line}\n")


@app.command(
    help=_DOCTOR,
    epilog=_example("secure-fl doctor examples/finance.toml"),
)
def doctor(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.toml"),
    ] = None,
    *,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Keys and ledgers.", show_default="this user's state folder"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Examine this machine."""
    from secure_fl.doctor import examine  # noqa: PLC0415 - see the module's docstring
    from secure_fl.findings import write_findings  # noqa: PLC0415 - likewise

    findings = examine(config, state)
    healthy = write_findings(findings, sys.stdout, as_json=as_json)
    raise typer.Exit(ExitCode.OK if healthy else ExitCode.CONFIG)


app.add_typer(cli_ledger.app, name="ledger")
app.add_typer(cli_policy.app, name="policy")
app.add_typer(cli_domains.app, name="domains")
cli_weights.add_to(cli_domains.app)
cli_evaluation_task.add_to(cli_domains.app)
cli_scrub.add_to(app)
cli_baselines.add_to(app)
cli_evaluate.add_to(app)
cli_generate.add_to(app)
cli_audit.add_to(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Args:
        arguments: the words after the program's name; those of this process when absent.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Read here, since a command line that cannot be parsed must be answered too.
    as_json = "--json" in words
    attempt = Attempt()
    with _stoppable():
        try:
            code = typer.main.get_command(app).main(
                words, prog_name="secure-fl", standalone_mode=False, obj=attempt
            )
            sys.stdout.flush()
            return int(code or ExitCode.OK)
        except StopRequestedError:
            failure = Failure("Stopped", ExitCode.STOPPED, attempt.stopped(), attempt.resume())
        except click.ClickException as error:
            failure = Failure.usage(_usage_sentence(error))
        except SecureFLError as error:
            failure = Failure.of(error, attempt.resume())
        except (BrokenPipeError, SystemExit):
            # Typer turns a closed pipe into a SystemExit, and nothing else into one here.
            _forget_stdout()
            said = "Whoever read the output went away."
            failure = Failure("Stopped", ExitCode.STOPPED, said, attempt.resume())
        except OSError as error:
            failure = _failure_of_the_system(error, attempt.resume())
        except Exception as error:  # noqa: BLE001 - the last resort, see the module's docstring
            failure = Failure.defect(error, attempt.resume())
    attempt.clean()
    failure.tell(sys.stderr, as_json=as_json)
    _leave_threads_behind(failure.code)
    return failure.code


def _display(*, as_json: bool) -> Display:
    from rich.console import Console  # noqa: PLC0415 - see the module's docstring

    from secure_fl.display import choose_display  # noqa: PLC0415 - likewise

    return choose_display(sys.stdout, Console(file=sys.stdout), as_json=as_json)


def _usage_sentence(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = "secure-fl" if context is None else context.command_path
    return f"{error.format_message().rstrip('.')}. See: {command} --help"


def _failure_of_the_system(error: OSError, resume: str | None) -> Failure:
    """Return a full disk's failure as the operator's to mend, and any other as a defect."""
    if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
        return Failure.defect(error, resume)
    from secure_fl.storage import refused  # noqa: PLC0415 - see the module's docstring

    return Failure.of(refused(Path(error.filename or Path.cwd()), error), resume)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Within the block, let Ctrl-C and a request to terminate raise StopRequestedError."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise StopRequestedError

    kept = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _forget_stdout() -> None:
    """Keep the interpreter from writing what is left to a pipe that nobody reads."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave_threads_behind(code: int) -> None:
    """End the process now where sites still train in threads that nobody waits for.

    What they were about to write is written as after a crash: whole or not at all.
    """
    others = [thread for thread in threading.enumerate() if not thread.daemon]
    if len(others) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    raise SystemExit(main())
