"""What the coordinator asked of whom, what of the replies stands, and who dropped out."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from crypto.codec import decode_one_of
from crypto.errors import PeerError
from crypto.homomorphic_keys import ChannelKeys
from crypto.masked_sum import Confirmation, SiteKeys
from crypto.signatures import Signed, SigningKey, sign_message
from secure_fl.rounds.messages import (
    REPLY_LIMIT_BYTES,
    Applied,
    CloseReply,
    ConfirmReply,
    ExtractSent,
    HelloReply,
    Joined,
    KeyMade,
    OpenReply,
    Refusal,
    RefusalCode,
    Released,
    ShareReply,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import expect, leaf_of, read_statement

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crypto.codec import Message
    from crypto.masked_sum import Session
    from crypto.roster import Roster
    from secure_fl.transcript import Transcript

S = TypeVar(
    "S",
    Joined,
    SiteKeys,
    ChannelKeys,
    SharesSent,
    KeyMade,
    Uploaded,
    Confirmation,
    Released,
    Applied,
    ExtractSent,
)
R = TypeVar("R", HelloReply, ShareReply, OpenReply, ConfirmReply, CloseReply)


class Correspondence:
    """One session's letters: signed on the way out, checked and logged on the way in.

    A reply that breaks the protocol drops its sender, and nobody else.
    """

    def __init__(
        self, session: Session, roster: Roster, key: SigningKey, transcript: Transcript
    ) -> None:
        self._session = session
        self._roster = roster
        self._name = roster.coordinator().name
        self._key = key
        self.transcript = transcript
        self.asked: frozenset[str] = frozenset()
        self.refused: dict[str, RefusalCode] = {}
        self.pending: dict[str, list[bytes]] = {name: [] for name in session.sites}
        """Per site, its own statements that the next checkpoint has to include."""

    def decoded(
        self, kind: type[R], replies: Mapping[str, bytes], sites: Collection[str]
    ) -> dict[str, R]:
        """Return the replies of the expected kind of `sites`; refusals and nonsense drop a sender.

        What a site sent that was not asked is not looked at: it may belong to another cohort.
        """
        good: dict[str, R] = {}
        for site, data in sorted(replies.items()):
            if site not in self.asked or site not in sites:
                continue
            try:
                reply: R | Refusal = cast(
                    "R | Refusal",
                    decode_one_of((kind, Refusal), data, limit_bytes=REPLY_LIMIT_BYTES),
                )
            except PeerError:
                self.refuse(site)
                continue
            if isinstance(reply, Refusal):
                self.refused[site] = reply.code
            else:
                good[site] = reply
        return good

    def accept(self, signed: Signed, kind: type[S], site: str) -> S | None:
        """Return the statement of `site`, or None when it is not one of this session."""
        try:
            statement = read_statement(signed, kind, site, self._roster)
            expect(
                statement.session == self._session.digest() and statement.site == site,
                "The statement is of another session or speaks for another site.",
            )
        except PeerError:
            self.refuse(site)
            return None
        return statement

    def absent(self, cohort: Collection[str]) -> tuple[str, ...]:
        """Return the session's sites outside `cohort` that were silent, or lost their state."""
        return tuple(
            site
            for site in self._session.sites
            if site not in cohort
            and self.refused.get(site, RefusalCode.UNKNOWN_RUN) is RefusalCode.UNKNOWN_RUN
        )

    def readmit(self, site: str) -> None:
        """Take back a site that was absent: what it has to see in the log starts anew."""
        self.refused.pop(site, None)
        self.pending[site] = []

    def refuse(self, site: str) -> bool:
        """Note that `site` broke the protocol; return False: what it sent is not used."""
        self.refused[site] = RefusalCode.PROTOCOL
        return False

    def require(self, sites: tuple[str, ...], did: str, round_: int) -> None:
        """Return if enough `sites` are left to open a sum.

        Raises:
            PeerError: there are fewer than the threshold.
        """
        if len(sites) >= self._session.quorum:
            return
        said = ", ".join(f"{site}: {code.value}" for site, code in sorted(self.refused.items()))
        raise PeerError(
            f"Only {len(sites)} of {len(self._session.sites)} sites {did} in round "
            f"{round_}, and a sum needs {self._session.quorum}: the round was given "
            f"up, nothing of it was opened. Refusals: {said or 'none, the others were silent'}. "
            "Each site's own log says why; resume the run when they are back."
        )

    def sign(self, message: Message) -> Signed:
        """Return `message`, signed by the coordinator."""
        return sign_message(self._key, self._name, message)

    def log(self, signed: Signed) -> None:
        """Append the coordinator's own statement to the transcript."""
        self.transcript.append(signed)

    def log_of(self, site: str, signed: Signed) -> None:
        """Append a statement of `site` to the transcript."""
        self.transcript.append(signed)
        self.pending[site].append(leaf_of(signed))
