"""A run whose folder lies on a small disk that fills up after the first round.

Started in a mount namespace of its own: `unshare --map-root-user --mount python THIS WORKPLACE`.
Prints one JSON object: the exit codes, and what was said on stderr when the disk was full.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli_workplace import few_records

import secure_fl.embedded
from secure_fl.cli import main
from secure_fl.plain_display import JsonDisplay

if TYPE_CHECKING:
    from secure_fl.observing import RoundScored

DISK_BYTES = 4 * 2**20
NO_SUCH_RIGHT = 77


def fill(filler: Path) -> None:
    """Take all the room that is left."""
    with filler.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass


def told(*words: str | Path) -> tuple[int, str]:
    """Return the exit code of a command line and what it said on stderr."""
    errors = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
        code = main([str(word) for word in words])
    return code, errors.getvalue()


def tried(work: Path) -> dict[str, object]:
    """Return how a run ends on the full disk, how with room again, and whether it verifies."""
    out, state, filler = work / "disk" / "out", work / "state", work / "disk" / "filler"
    scored = JsonDisplay.scored

    def then_fill(display: JsonDisplay, result: RoundScored) -> None:
        scored(display, result)
        if not filler.exists():
            fill(filler)

    JsonDisplay.scored = then_fill  # type: ignore[method-assign] # as somebody else's files would
    code, said = told("run", work / "run.toml", "--out", out, "--state", state, "--json")
    try:
        (work / "disk" / "more").write_bytes(b"x" * 2**16)
    except OSError as error:
        full = error.errno == errno.ENOSPC
    filler.unlink()
    resumed = told("run", "--resume", out, "--state", state)
    verified = told("verify", out, "--trust", state / "consortium" / "root.pub")
    return {"full": full, "code": code, "said": said, "resumed": resumed, "verified": verified}


def begin() -> int:
    work = Path(sys.argv[1])
    (work / "disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(work / "disk")]
    if subprocess.run(mount, check=False).returncode:
        return NO_SUCH_RIGHT
    secure_fl.embedded.load_dataset = few_records
    sys.stdout.write(json.dumps(tried(work)))
    return 0


if __name__ == "__main__":
    raise SystemExit(begin())
