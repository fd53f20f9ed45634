"""The command line of `secure-fl evaluate`: one adapter on the data sets of a whole domain.

What the command needs is imported inside it, so that `--help` answers at once.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from secure_fl.evaluation import Scored

_EVALUATE: Final = (
    "Score the adapter of the finished run RUN on other data sets with the same classes."
    "\n\nClasses are matched by what the packs call them, whatever their order. The figures are of "
    "this machine: they are no part of the signed run, and RUN is not verified."
)
_EPILOG: Final = (
    "Example:\n\n  secure-fl evaluate RUN --on finance.phrasebank --data FPB --on finance.tfns "
    "--data TFNS"
)
_NOTE: Final = (
    "Measured on this machine; not part of the signed run, which was not verified here "
    "(secure-fl verify does)."
)


def add_to(app: typer.Typer) -> None:
    """Make `evaluate` a command of `app`."""
    app.command(help=_EVALUATE, epilog=_EPILOG)(evaluate)


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", show_default=False)],
    *,
    on: Annotated[list[str], typer.Option(metavar="DATASET", help="May be repeated.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="One for each published data set, in the order of --on."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Score a run's adapter."""
    from secure_fl import evaluation  # noqa: PLC0415 - see the module's docstring

    scored = evaluation.evaluate(run, evaluation.asked_of(on, data or ()))
    sys.stdout.write(_as_json(scored) if as_json else _as_table(scored))


def _as_json(scored: Sequence[Scored]) -> str:
    content = {
        "schema": "secure-fl.evaluation.v1",
        "note": _NOTE,
        "table": [{"dataset": each.dataset, **asdict(each.scores)} for each in scored],
    }
    return json.dumps(content, allow_nan=False) + "\n"


def _as_table(scored: Sequence[Scored]) -> str:
    lines = [f"{'data set':<24}{'accuracy':>10}{'weighted F1':>13}{'macro F1':>10}{'n':>8}"]
    for each in scored:
        s = each.scores
        lines.append(
            f"{each.dataset:<24}{s.accuracy:>10.4f}{s.weighted_f1:>13.4f}{s.macro_f1:>10.4f}"
            f"{s.n:>8}"
        )
    return "\n".join((*lines, _NOTE, ""))
