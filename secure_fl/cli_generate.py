"""The command line of `secure-fl generate`: a tuned language model writes.

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

    from secure_fl.generation import Written

_GENERATE: Final = (
    "Let the language model of the finished run RUN write after its prompt about each TEXT; "
    "without one, about each line of standard input."
    "\n\nThe likeliest token is taken each time, so that the same text gets the same answer. What "
    "is written can hold what was trained on: treat it as the sites' records are treated. RUN is "
    "not verified."
)
_EPILOG: Final = 'Example:\n\n  secure-fl generate RUN "Sales rose in the third quarter ."'


def add_to(app: typer.Typer) -> None:
    """Make `generate` a command of `app`."""
    app.command(help=_GENERATE, epilog=_EPILOG)(generate)


def generate(
    run: Annotated[Path, typer.Argument(metavar="RUN", show_default=False)],
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", show_default=False)] = None,
    *,
    most_tokens: Annotated[
        int, typer.Option(min=1, max=4096, help="Where to stop at the latest.")
    ] = 32,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Write after a prompt."""
    from secure_fl import generation  # noqa: PLC0415 - see the module's docstring

    texts = text or [line.rstrip("\r\n") for line in sys.stdin if line.strip()]
    written = generation.generate(run, texts, most_tokens)
    sys.stdout.write(_as_json(written) if as_json else _as_text(written))


def _as_json(written: Sequence[Written]) -> str:
    content = {
        "schema": "secure-fl.generation.v1",
        "written": [asdict(each) for each in written],
    }
    return json.dumps(content, allow_nan=False) + "\n"


def _as_text(written: Sequence[Written]) -> str:
    """Return each text and its answer; a text may hold what moves a terminal's cursor."""
    return "".join(f"{_shown(each.text)}\n  {_shown(each.answer)}\n" for each in written)


def _shown(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
