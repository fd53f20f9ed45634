"""The command line of outside evaluation: `secure-fl domains export-task`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import TYPE_CHECKING, Annotated, Final

import click
import typer

if TYPE_CHECKING:
    from secure_fl.evaluation_export import Exported

_EXPORT: Final = (
    "Write the evaluation records of the data set NAME as a task of lm-evaluation-harness."
    "\n\nFOLDER gets NAME.yaml and NAME.jsonl. With --config, every record is asked about in the "
    "run's words, cut to its length, and given its tokens; without, in the data set's own words. "
    "The records stand there in plain words, so a site's own are refused."
)
_EPILOG: Final = (
    "Example:\n\n  secure-fl domains export-task finance.phrasebank --data DIR --config RUN.toml "
    "--out FOLDER"
    "\n\n  lm_eval --model hf --model_args pretrained=BASE,peft=RUN/adapter,dtype=float32 --tasks "
    "finance.phrasebank --include_path FOLDER"
)


def add_to(app: typer.Typer) -> None:
    """Make `export-task` a command of `app`."""
    app.command("export-task", help=_EXPORT, epilog=_EPILOG)(export)


def export(
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    *,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where the two files go.")],
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The folder of a published data set."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="RUN.toml", help="Ask as this run; its base model has to be here."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Of a generated data set, without --config.", show_default="0"),
    ] = None,
) -> None:
    """Write a task."""
    from secure_fl.evaluation_export import export_task  # noqa: PLC0415 - `--help` answers at once

    if config is not None and seed is not None:
        raise click.UsageError("The run has a seed of its own: leave --seed or --config out")
    done = export_task(name, data=data, out=out, run=config, seed=seed or 0)
    sys.stdout.write(_told(done))


def _told(done: Exported) -> str:
    lines = [str(done.task), f"{done.lines}: {done.records} records"]
    if done.alike is None:
        lines.append(
            "No run was named: texts were not cut, and tokens not compared with a run's (--config)."
        )
    else:
        lines.append(f"Texts cut to the run's max_length: {done.shortened} of {done.records}.")
        lines.append(f"Asked in the run's very tokens: {done.alike} of {done.records}.")
    return "\n".join((*lines, ""))
