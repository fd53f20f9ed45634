"""A site's check that its own statements are in the log, and that the log only grew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.checkpoint import Checkpoint
from crypto.errors import IntegrityError, PeerError
from crypto.merkle import verify_consistency, verify_inclusion
from secure_fl.rounds.reading import expect, read_statement

if TYPE_CHECKING:
    from crypto.roster import Roster
    from secure_fl.rounds.messages import OpenRequest, RoundHeader
    from secure_fl.rounds.site_state import SiteState


def verify(request: OpenRequest, header: RoundHeader, state: SiteState, roster: Roster) -> None:
    """Return if the checkpoint in `header` extends the last one and holds `state.pending`.

    A coordinator that shows different logs to different sites signs different roots; the root
    is in the header, the header's digest in every mask, so their masks do not cancel.

    Raises:
        PeerError: the checkpoint is not the coordinator's, or does not match the header; a
            statement of this site is missing; or the log was rewritten.
    """
    coordinator = roster.coordinator().name
    checkpoint = read_statement(request.checkpoint, Checkpoint, coordinator, roster)
    expect(
        checkpoint.run_id == state.hello.run_id
        and checkpoint.size == header.checkpoint_size
        and checkpoint.root == header.checkpoint_root,
        "The signed checkpoint is not the one that the round's header names.",
    )
    expect(
        len(request.proof.inclusion) == len(state.pending),
        f"{len(state.pending)} statements of this site must be in the log, and "
        f"{len(request.proof.inclusion)} proofs came.",
    )
    try:
        verify_consistency(
            state.checkpoint_size,
            state.checkpoint_root,
            checkpoint.size,
            checkpoint.root,
            request.proof.consistency,
        )
        for leaf, (index, path) in zip(state.pending, request.proof.inclusion, strict=True):
            verify_inclusion(leaf, index, checkpoint.size, path, checkpoint.root)
    except IntegrityError as error:
        # The log is the coordinator's: no record of this site's own is broken.
        raise PeerError(f"The coordinator's log does not check out. {error}") from error
