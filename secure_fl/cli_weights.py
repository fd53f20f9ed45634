"""The command line of a base model's digest: `secure-fl domains digest`."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated, Final

import typer

_DIGEST: Final = (
    "Print the `weights_sha256` of the model in FOLDER, as all members of a consortium pin it."
    "\n\nOf model.safetensors it is the SHA-256; of several files that of the list that sha256sum "
    "prints for the index and every shard."
)


def add_to(app: typer.Typer) -> None:
    """Make `digest` a command of `app`."""
    app.command(help=_DIGEST, epilog="Example:\n\n  secure-fl domains digest models/base")(digest)


def digest(folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)]) -> None:
    """Print the digest of a model's weights."""
    from domains.weight_files import digest_weights  # noqa: PLC0415 - `--help` answers at once

    sys.stdout.write(f"{digest_weights(folder).hex()}\n")
