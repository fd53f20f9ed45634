"""What a coordinator holds of an open round, and how each protection comes to its result.

Under masks the coordinator opens the sum, under plain it has every update, and from either it
computes the next parameters. Under homomorphic sums the sites do that, and it compares.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from crypto.errors import PeerError
from crypto.masked_sum import CulpritError
from secure_fl.methods import SeenUpdates
from secure_fl.parameters import vector_from_bytes
from secure_fl.rounds.messages import Applied, Released
from secure_fl.rounds.reply_checks import (
    Awaited,
    check_applied,
    check_released,
    open_release,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crypto.masked_sum import MaskingCoordinator, Release, Session
    from crypto.signatures import Signed
    from privacy.update import UpdateSpec
    from secure_fl.methods.server_rule import ServerRule
    from secure_fl.rounds.correspondence import Correspondence
    from secure_fl.rounds.grids import SumGrid
    from secure_fl.rounds.messages import CloseReply, RoundHeader, Uploaded
    from secure_fl.rounds.plain_sum import PlainSum


@dataclass
class OpenRound:
    """What the coordinator holds while a round is open."""

    header: RoundHeader
    header_digest: bytes
    absent: tuple[str, ...] = ()
    """Who was asked back for the next round."""
    back: tuple[str, ...] = ()
    """Who of them came."""
    uploads: dict[str, Uploaded] = field(default_factory=dict)
    survivors: tuple[str, ...] = ()
    close: Signed | None = None
    confirmations: dict[str, Signed] = field(default_factory=dict)
    sum: bytes = b""
    """The encrypted sum that every survivor is sent, under homomorphic sums."""

    def asked_to_release(self) -> tuple[str, ...]:
        """Return the survivors that are still there after they confirmed, if they had to."""
        return tuple(sorted(self.confirmations)) if self.confirmations else self.survivors

    def accused(self) -> Counter[str]:
        """Return how many sites could not open the shares that a site dealt to them."""
        # A site says it once, however often it writes the name.
        return Counter(site for upload in self.uploads.values() for site in set(upload.unusable))

    def awaited(self) -> Awaited:
        """Return what replies must be about."""
        return Awaited(self.header.round, self.header_digest, self.survivors)


class Opening(Protocol):
    """Takes the survivors' replies to the close of one round, and comes to its result."""

    @property
    def did(self) -> str:
        """What a survivor does that replies as it must, as a phrase."""

    def take(self, site: str, reply: CloseReply, current: OpenRound) -> bool:
        """Return whether the reply of `site` is what the close asks for; if not, drop the site."""

    def parameters(self, shared: NDArray[np.float32], current: OpenRound) -> NDArray[np.float32]:
        """Return the parameters after the round, shape (d,), from `shared` before it.

        Raises:
            CulpritError: the round came to nothing, because of one site.
            PeerError: the round came to nothing.
        """


class MaskedOpening:
    """Under masks: the sum is opened from what the survivors release."""

    did = "released their shares"

    def __init__(
        self,
        letters: Correspondence,
        session: Session,
        sums: MaskingCoordinator,
        grid: SumGrid,
        rule: ServerRule,
    ) -> None:
        self._letters = letters
        self._session = session
        self._sums = sums
        self._grid = grid
        self._rule = rule
        self._releases: dict[str, Release] = {}

    def take(self, site: str, reply: CloseReply, current: OpenRound) -> bool:
        """Return whether `site` released what the close asks for."""
        released = self._letters.accept(reply.released, Released, site)
        if released is None:
            return False
        try:
            check_released(released, reply, current.awaited())
            release = open_release(reply, site)
            self._sums.check_release(release)
        except PeerError:
            return self._letters.refuse(site)
        self._releases[site] = release
        return True

    def parameters(self, shared: NDArray[np.float32], current: OpenRound) -> NDArray[np.float32]:
        """Return what the method's rule makes of the opened sum."""
        survivors = len(current.survivors)
        total = self._grid.decode_sum(self._unmasked(current), survivors)
        return self._rule.apply(shared, SeenUpdates(total, survivors), current.header.round)

    def _unmasked(self, current: OpenRound) -> NDArray[np.uint32]:
        try:
            return self._sums.unmask(self._releases)
        except CulpritError:
            raise
        except PeerError as error:
            # More sites than may be corrupted say so: one of them at least is honest.
            risk = self._session.risk
            bearable = (
                len(current.header.cohort) - self._session.threshold
                if risk is None
                else risk.corrupted
            )
            accused = sorted(site for site, count in current.accused().items() if count > bearable)
            if not accused:
                raise
            raise CulpritError(
                accused[0],
                f"{error} The shares that {accused[0]} dealt did not open at more sites than may "
                "be corrupted: go on without it.",
            ) from error


class PlainOpening:
    """In clear: every update is here already."""

    did = "closed the round"

    def __init__(self, letters: Correspondence, sums: PlainSum, rule: ServerRule) -> None:
        self._letters = letters
        self._sums = sums
        self._rule = rule

    def take(self, site: str, reply: CloseReply, current: OpenRound) -> bool:
        """Return whether `site` says that it is part of the sum."""
        released = self._letters.accept(reply.released, Released, site)
        if released is None:
            return False
        try:
            check_released(released, reply, current.awaited())
        except PeerError:
            return self._letters.refuse(site)
        return True

    def parameters(self, shared: NDArray[np.float32], current: OpenRound) -> NDArray[np.float32]:
        """Return what the method's rule makes of the single updates."""
        each = np.stack(self._sums.vectors())
        seen = SeenUpdates(each.sum(axis=0), len(current.survivors), each)
        return self._rule.apply(shared, seen, current.header.round)


class HomomorphicOpening:
    """Under homomorphic sums: the survivors state what they came to, and must agree (HE.8)."""

    did = "decrypted the sum"

    def __init__(self, letters: Correspondence, spec: UpdateSpec) -> None:
        self._letters = letters
        self._spec = spec
        self._stated: dict[tuple[bytes, bytes], list[str]] = defaultdict(list)
        self._parameters: dict[bytes, NDArray[np.float32]] = {}

    def take(self, site: str, reply: CloseReply, current: OpenRound) -> bool:
        """Return whether `site` states which parameters follow from which sum, and sends them."""
        applied = self._letters.accept(reply.released, Applied, site)
        if applied is None:
            return False
        try:
            check_applied(applied, reply, current.awaited(), self._spec)
            parameters = vector_from_bytes(self._spec, reply.release)
        except PeerError:
            return self._letters.refuse(site)
        self._stated[applied.sum_digest, applied.parameter_digest].append(site)
        self._parameters[applied.parameter_digest] = parameters
        return True

    def parameters(self, shared: NDArray[np.float32], current: OpenRound) -> NDArray[np.float32]:
        """Return the parameters that every survivor came to."""
        del shared
        groups = sorted(self._stated.items(), key=lambda entry: (-len(entry[1]), entry[1]))
        (_, agreed), others = groups[0][0], groups[1:]
        if not others:
            return self._parameters[agreed]
        minority = sorted(site for _, sites in others for site in sites)
        message = (
            f"The sites do not agree on the parameters after round {current.header.round}: "
            f"{', '.join(minority)} decrypted another sum or came to other parameters than "
            f"{', '.join(groups[0][1])}. The round was discarded. They were handed different "
            "bytes, or a site runs another version or computes wrongly: compare their logs."
        )
        if len(minority) == 1 < len(groups[0][1]):
            raise CulpritError(minority[0], message)
        raise PeerError(message)
