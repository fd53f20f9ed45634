"""Checkpoints of a transcript: how long the log is, and its root, signed in `Signed`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from crypto.codec import Digest, Message
from crypto.errors import IntegrityError
from crypto.merkle import verify_consistency

if TYPE_CHECKING:
    from collections.abc import Sequence

RunId = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
"""What tells one run from every other: 16 random bytes."""

LogSize = Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)]
"""A number of leaves."""


class Checkpoint(Message, frozen=True, tag="secure-fl.checkpoint.v1"):
    """One state of a run's transcript.

    Attributes:
        run_id: the run; 16 bytes.
        size: how many leaves the log has.
        root: the log's Merkle root over them.
    """

    run_id: RunId
    size: LogSize
    root: Digest


def verify_extension(older: Checkpoint, newer: Checkpoint, proof: Sequence[bytes]) -> None:
    """Return if the log under `newer` extends the log under `older`, in the same run.

    Raises:
        IntegrityError: they are of different runs, or `proof` does not prove it.
    """
    if older.run_id != newer.run_id:
        raise IntegrityError(
            "A checkpoint of another run came: it says nothing about this run's log. "
            "Check which run's folder or coordinator this is."
        )
    verify_consistency(older.size, older.root, newer.size, newer.root, proof)
