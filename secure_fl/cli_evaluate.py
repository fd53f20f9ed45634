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
    "Score the adapter of the finished run RUN on other data sets of the same kind."
    "\n\nClasses are matched by what the packs call them, whatever their order; multiple choice "
    "and ranking have none to match. The figures are of this machine: they are no part of the "
    "signed run, and RUN is not verified."
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
        "table": [
            {
                "dataset": each.dataset,
                "kind": each.kind.value,
                **asdict(each.scores),
                "seen_before": each.seen,
            }
            for each in scored
        ],
    }
    return json.dumps(content, allow_nan=False) + "\n"


def _as_table(scored: Sequence[Scored]) -> str:
    """Return a line for each data set; all are of the run's kind, so that one heading fits.

    A score that none of them has is no column, and `-` where one has none.
    """
    width = max(24, *(len(each.dataset) + 2 for each in scored))
    rows = [_cells(each) for each in scored]
    names = [name for name in rows[0] if any(cells[name] is not None for cells in rows)]
    heading = "".join(f"{name:>{_wide(name)}}" for name in names)
    lines = [f"{'data set':<{width}}{heading}{'n':>8}"]
    for each, cells in zip(scored, rows, strict=True):
        numbers = "".join(f"{_shown(cells[name]):>{_wide(name)}}" for name in names)
        lines.append(f"{each.dataset:<{width}}{numbers}{each.scores.n:>8}")
    seen = [each.seen for each in scored if each.seen is not None]
    return "\n".join((*lines, *seen, _NOTE, ""))


def _cells(scored: Scored) -> dict[str, float | None]:
    """Return what the field reports of records of this kind; None where it is undefined."""
    found, ranking = scored.scores, scored.scores.ranking
    if ranking is not None:
        return {"HR@10": ranking.hit_rate, "NDCG@10": ranking.ndcg, "AUC": ranking.auc}
    if found.weighted_f1 is None or found.macro_f1 is None:
        return {"accuracy": found.accuracy}
    return {
        "accuracy": found.accuracy,
        "weighted F1": found.weighted_f1,
        "macro F1": found.macro_f1,
        "AUC": found.auc,
    }


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _wide(name: str) -> int:
    return max(10, len(name) + 2)
