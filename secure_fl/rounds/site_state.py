"""The one serialisable state of a site's machine, and the store that keeps it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Final, Protocol

import msgspec

from crypto.codec import Digest, Message
from secure_fl.rounds.messages import Heads, Hello, Names, Number

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from crypto.checkpoint import RunId


class Stage(Enum):
    """Which request a site answers next."""

    JOINED = "joined"
    """Next: the peers' keys."""
    READY = "ready"
    """Next: the header of a round."""
    UPLOADED = "uploaded"
    """Next: the survivors, to be confirmed if the adversary is malicious."""
    CONFIRMED = "confirmed"
    """Next: what the survivors confirmed."""
    FINISHED = "finished"
    """Next: nothing but a new attempt."""


class OpenedSum(Message, frozen=True, tag="secure-fl.opened-sum.v1"):
    """A sum for which this site released shares, or which it decrypted."""

    round: Number
    parameter_digest: Digest
    survivors: Names


class CheckedKind(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """Of one kind of check (`audits.site.veto`): how many were made, and the smallest margin."""

    kind: str
    made: Number
    smallest_margin: float


class VetoMemory(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """What a site remembers of the noised vectors that it looked at in a run.

    Attributes:
        vectors: how many it looked at.
        refused: how many of them it did not send.
        checked: the checks of each kind.
        seen: of the last ones that passed, some coordinates each, as float64 in little-endian
            order. They are sealed with the state, and dropped when the run is finished.
    """

    vectors: Number = 0
    refused: Number = 0
    checked: tuple[CheckedKind, ...] = ()
    seen: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        # `seen` is noised with this site's share alone.
        return f"<{self.vectors} noised vectors, {self.refused} refused>"


NOTHING_SEEN: Final = VetoMemory()


class SiteState(Message, frozen=True, tag="secure-fl.site-state.v4"):
    """Everything a site remembers of a run between two requests.

    Attributes:
        hello: the session this site joined.
        mechanism: the canonical JSON that the session's configuration digest binds.
        stage: which request is answered next.
        round: the round that the next `open` must name, or that is open.
        masking: the state of the masked or the homomorphic sum; empty under the plain protection.
        header_digest: of the open round's header; zeros outside a round.
        parameter_digest: of the open round's parameters; zeros outside a round.
        cohort: how many sites the open round's header names; zero outside a round.
        released: the sums of this run that this site released shares for, over all attempts.
        checkpoint_size: leaves under the last checkpoint that this site has seen.
        checkpoint_root: that checkpoint's Merkle root.
        pending: this site's own statements that the next checkpoint must include.
        heads: how many requests of the run were answered, the hash chain over them, and the
            ledger's head after the last.
        request_digest: of the last request answered.
        reply: the bytes it was answered with; the same request gets the same bytes.
        veto: what the site looked at before it sent it, in all attempts.
    """

    hello: Hello
    mechanism: bytes
    stage: Stage
    round: Number
    masking: bytes
    header_digest: Digest
    parameter_digest: Digest
    cohort: Number
    released: tuple[OpenedSum, ...]
    checkpoint_size: Number
    checkpoint_root: Digest
    pending: tuple[bytes, ...]
    heads: Heads
    request_digest: Annotated[bytes, msgspec.Meta(max_length=32)]
    reply: bytes
    veto: VetoMemory = NOTHING_SEEN

    def __repr__(self) -> str:
        # `masking` holds secrets.
        return f"<state of a site in round {self.round}, {self.stage.value}>"


class SiteStore(Protocol):
    """Where a site keeps its state; one store per site identity."""

    def locked(self) -> AbstractContextManager[None]:
        """Hold the one lock of this identity: two processes never answer for one site."""

    def load(self, run_id: RunId) -> SiteState | None:
        """Return what was saved for a run, or None if this site has never seen it."""

    def save(self, run_id: RunId, state: SiteState) -> None:
        """Replace what was saved, atomically and durably, before a reply leaves."""
