"""Refuses to run when one of the rooms is not the one that was installed with this package.

A `crypto` in site-packages, or an `audits/` in the working folder, would win over the
installed room without a sound; a submitted application bundle could do it on purpose.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOMS = ("audits", "crypto", "domains", "privacy")


def _home() -> tuple[Path, ...]:
    """Return the folders a room may live in: beside this package, or the wheel's own folder."""
    beside = Path(__file__).resolve().parent.parent
    return (beside, beside / "secure_fl_rooms")


def check_rooms() -> None:
    """Raise IntegrityError unless every room resolves inside this installation.

    Raises:
        ImportError: as `crypto.errors.IntegrityError` cannot be trusted to be ours here when
            `crypto` itself is foreign, the plain ImportError names the foreign room.
    """
    foreign = []
    for room in ROOMS:
        spec = importlib.util.find_spec(room)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin is None or origin.parent.parent not in _home():
            foreign.append(f"{room} from {origin}")
    if not foreign:
        return
    message = (
        f"Another package stands in the place of {', '.join(foreign)}: code that is not this "
        "installation's would handle records and keys. Run from another folder, or install "
        "secure-fl into an environment of its own."
    )
    if any(entry.startswith("crypto ") for entry in foreign):
        raise ImportError(message)
    from crypto.errors import IntegrityError  # noqa: PLC0415 - only now known to be ours

    raise IntegrityError(message)
