"""The coordinator's machine: it says what to send next, and is told what came back.

`begin` and `advance` return a `Step`. The caller moves the bytes, over whatever transport, and
keeps what a step says must be kept before the next requests go out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.codec import encode
from crypto.digests import sha256
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import Adversary, Confirmation, MaskingCoordinator, RoundBinding
from crypto.ring import packed_bytes
from secure_fl.canaries import NONE, check_opened
from secure_fl.config import NoPrivacy
from secure_fl.methods.server_rule import server_rule_of
from secure_fl.parameters import parameter_digest, vector_to_bytes
from secure_fl.rounds.correspondence import Correspondence
from secure_fl.rounds.gathering import Gathering
from secure_fl.rounds.grids import grid_of, sum_grid_of
from secure_fl.rounds.homomorphic_sum import HomomorphicSum, plan_of
from secure_fl.rounds.messages import (
    CloseReply,
    CloseRequest,
    ConfirmReply,
    ConfirmRequest,
    ExtractSent,
    Joined,
    OpenReply,
    OpenRequest,
    RoundClose,
    RoundHeader,
    Uploaded,
)
from secure_fl.rounds.opening import (
    HomomorphicOpening,
    MaskedOpening,
    Opening,
    OpenRound,
    PlainOpening,
)
from secure_fl.rounds.own_log import repeatable_cohort, uploads_taken
from secure_fl.rounds.plain_sum import PlainSum
from secure_fl.rounds.proposing import hello_of
from secure_fl.rounds.reading import (
    session_of,
    statement_digest,
)
from secure_fl.rounds.reply_checks import Plan, check_extract, check_upload
from secure_fl.rounds.steps import Exchange, OpenedRound, Phase, Proposal, Step
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.signatures import Signed, SigningKey
    from secure_fl.transcript import Transcript


class Coordinator:
    """Runs the rounds of one run; learns the sum of each and nothing else under masks.

    A reply that breaks the protocol drops its sender, and nobody else: no single site can stop a
    round by what it sends.

    Raises:
        ConfigError: the roster has fewer sites than the run needs.
        PeerError: from `advance`, when too few sites remain to open a sum. What was opened
            before stands, and the run can be resumed.
    """

    def __init__(
        self,
        proposal: Proposal,
        parameters: NDArray[np.float32],
        key: SigningKey,
        transcript: Transcript,
    ) -> None:
        self._proposal = proposal
        self._mechanism = proposal.mechanism
        self._transcript = transcript
        self._rule = server_rule_of(self._mechanism, proposal.spec, proposal.memory)
        names = tuple(sorted(member.name for member in proposal.roster.sites()))
        if len(names) < self._mechanism.sites:
            raise ConfigError(
                f"The run needs {self._mechanism.sites} sites and the roster has {len(names)}: "
                "nothing was started. Lower `mechanism.sites`, or put more sites on the roster."
            )
        self._plan = Plan.of(self._mechanism)
        self._hello = hello_of(proposal, names[: self._mechanism.sites])
        self._session = session_of(self._hello)
        self._letters = Correspondence(self._session, proposal.roster, key, transcript)
        for site in proposal.left_out:
            self._letters.refuse(site)
        self._sums = self._new_sums()
        self._upload_bytes = (
            None
            if isinstance(self._sums, HomomorphicSum)
            else packed_bytes(proposal.spec.size, self._mechanism.encoding.bits)
        )
        self._gathering = Gathering(proposal, self._hello, self._letters, self._sums)
        self._parameters = parameters
        self._phase = Phase.HELLO
        self._lost: PeerError | None = None
        self._round_number = proposal.first_round
        self._round: OpenRound | None = None
        self._opening: Opening | None = None
        self._cohort: tuple[str, ...] = ()
        self._extracts: dict[str, bytes] = {}

    def _new_sums(self) -> MaskingCoordinator | HomomorphicSum | PlainSum:
        first_round = self._proposal.first_round
        match self._mechanism.protection:
            case Protection.MASKED:
                return MaskingCoordinator(self._session, first_round=first_round)
            case Protection.HOMOMORPHIC:
                plan = plan_of(self._mechanism, self._proposal.spec.size)
                return HomomorphicSum(self._session, plan, first_round=first_round)
            case Protection.PLAIN:
                return PlainSum(grid_of(self._mechanism), self._mechanism.encoding.bits)

    def _new_opening(self) -> Opening:
        sums = self._sums
        if isinstance(sums, MaskingCoordinator):
            grid = sum_grid_of(self._mechanism, len(self._cohort), self._proposal.spec.size)
            return MaskedOpening(self._letters, self._session, sums, grid, self._rule)
        if isinstance(sums, HomomorphicSum):
            return HomomorphicOpening(self._letters, self._proposal.spec)
        return PlainOpening(self._letters, sums, self._rule)

    def begin(self) -> Step:
        """Return the first exchange."""
        self._letters.log(self._gathering.hello)
        requests = dict.fromkeys(self._hello.sites, self._gathering.invitation(self._round_number))
        self._letters.asked = frozenset(requests)
        return Step(Exchange(Phase.HELLO, requests, to_all=True))

    def advance(self, replies: Mapping[str, bytes]) -> Step:
        """Return what follows from the replies to the last exchange; absent sites dropped out.

        Raises:
            PeerError: too few sites remain.
        """
        if self._lost is not None:
            raise self._lost
        step = self._follow(replies)
        if step.exchange is not None:
            self._letters.asked = frozenset(step.exchange.requests)
        return step

    def _follow(self, replies: Mapping[str, bytes]) -> Step:
        follow = {
            Phase.HELLO: self._after_hello,
            Phase.SHARE: self._after_share,
            Phase.OPEN: self._after_open,
            Phase.CONFIRM: self._after_confirm,
            Phase.CLOSE: self._after_close,
        }
        return follow[self._phase](replies)

    # -- the session ---------------------------------------------------------------------------

    def _after_hello(self, replies: Mapping[str, bytes]) -> Step:
        joined = self._gathering.take_joined(replies, self._hello.sites, self._round_number)
        self._letters.require(tuple(joined), "joined", self._round_number)
        if isinstance(self._sums, PlainSum):
            self._cohort = tuple(sorted(joined))
            return self._open(joined=joined)
        self._phase = Phase.SHARE
        request = self._gathering.share_request(self._round_number)
        return Step(
            Exchange(Phase.SHARE, dict.fromkeys(sorted(joined), request)),
            joined=joined,
            refused=dict(self._letters.refused),
        )

    def _after_share(self, replies: Mapping[str, bytes]) -> Step:
        self._gathering.take_dealt(replies, self._hello.sites, self._round_number)
        senders = self._gathering.dealers(self._round_number)
        noiseless = isinstance(self._mechanism.privacy, NoPrivacy)
        self._cohort = (
            repeatable_cohort(self._transcript.leaves, self._round_number, senders)
            if noiseless
            else senders
        )
        return self._open()

    # -- a round -------------------------------------------------------------------------------

    def _open(
        self, opened: OpenedRound | None = None, joined: Mapping[str, Joined] | None = None
    ) -> Step:
        """Return the exchange that opens the next round for the present cohort."""
        self._letters.require(self._cohort, "are left", self._round_number)
        checkpoint = self._transcript.checkpoint()
        parameters = vector_to_bytes(self._parameters)
        header = RoundHeader(
            session=self._session.digest(),
            round=self._round_number,
            config_digest=self._hello.config_digest,
            cohort=self._cohort,
            parameter_digest=parameter_digest(self._proposal.spec, parameters),
            checkpoint_size=self._transcript.size,
            checkpoint_root=self._transcript.root(),
            sum_key=self._sums.key if isinstance(self._sums, HomomorphicSum) else None,
        )
        signed = self._letters.sign(header)
        digest = statement_digest(signed)
        self._round = OpenRound(header, digest, absent=self._to_invite())
        self._opening = self._new_opening()
        binding = RoundBinding(self._round_number, digest, self._cohort, header.parameter_digest)
        self._sums.begin(binding, self._proposal.spec.size)
        invitation = (
            self._gathering.invitation(self._round_number + 1) if self._round.absent else b""
        )
        requests = dict.fromkeys(self._round.absent, invitation)
        for site in self._cohort:
            inbox = {} if isinstance(self._sums, PlainSum) else self._sums.inbox(site)
            requests[site] = encode(
                OpenRequest(
                    run_id=self._proposal.run_id,
                    header=signed,
                    checkpoint=checkpoint,
                    parameters=parameters,
                    inbox=inbox,
                    proof=self._transcript.proof(
                        self._letters.pending[site], self._gathering.seen[site]
                    ),
                )
            )
            self._letters.pending[site] = []
            self._gathering.seen[site] = header.checkpoint_size
        self._gathering.keys = {}
        self._letters.log(signed)
        self._phase = Phase.OPEN
        return Step(
            Exchange(Phase.OPEN, requests),
            opened=opened,
            joined=dict(joined or {}),
            refused=dict(self._letters.refused),
        )

    def _to_invite(self) -> tuple[str, ...]:
        """Return the sites that may come back for the next round, if there is one.

        Under homomorphic sums none: they would need the session's key from a site again.
        """
        if self._is_last or isinstance(self._sums, HomomorphicSum):
            return ()
        return self._letters.absent(self._cohort)

    def _after_open(self, replies: Mapping[str, bytes]) -> Step:
        current = self._current()
        for site, reply in self._letters.decoded(OpenReply, replies, self._cohort).items():
            self._take_upload(site, reply, current)
        current.survivors = tuple(sorted(current.uploads))
        self._letters.require(current.survivors, "sent an update", self._round_number)
        back = self._gathering.take_joined(replies, current.absent, self._round_number + 1)
        current.back = tuple(sorted(back))
        if isinstance(self._sums, HomomorphicSum):
            current.sum = self._sums.close()
        close = self._letters.sign(
            RoundClose(
                session=self._session.digest(),
                round=self._round_number,
                header_digest=current.header_digest,
                survivors=current.survivors,
                threshold=self._hello.threshold,
                sum_digest=sha256(current.sum) if current.sum else None,
            )
        )
        self._letters.log(close)
        current.close = close
        if (
            isinstance(self._sums, MaskingCoordinator)
            and self._session.adversary is Adversary.MALICIOUS
        ):
            self._phase = Phase.CONFIRM
            request = encode(ConfirmRequest(run_id=self._proposal.run_id, close=close))
            exchange = Exchange(Phase.CONFIRM, dict.fromkeys(current.survivors, request))
            return Step(exchange, joined=back, refused=dict(self._letters.refused))
        return self._closing(current, close, joined=back)

    def _after_confirm(self, replies: Mapping[str, bytes]) -> Step:
        current = self._current()
        for site, reply in self._letters.decoded(ConfirmReply, replies, current.survivors).items():
            confirmation = self._letters.accept(reply.confirmed, Confirmation, site)
            if confirmation is None or not isinstance(self._sums, MaskingCoordinator):
                continue
            try:
                self._sums.check_confirmation(confirmation)
            except PeerError:
                self._letters.refuse(site)
                continue
            self._letters.log_of(site, reply.confirmed)
            current.confirmations[site] = reply.confirmed
        confirmed = tuple(sorted(current.confirmations))
        self._letters.require(confirmed, "confirmed the survivors", self._round_number)
        if current.close is None:
            raise PeerError("Survivors were confirmed before they were named.")
        return self._closing(current, current.close, joined={})

    def _closing(self, current: OpenRound, close: Signed, joined: Mapping[str, Joined]) -> Step:
        """Return the exchange that asks for the survivors' shares, or for what they decrypt."""
        request = encode(
            CloseRequest(
                run_id=self._proposal.run_id,
                close=close,
                confirmations=tuple(
                    current.confirmations[site] for site in sorted(current.confirmations)
                ),
                next_keys=tuple(
                    self._gathering.keys[site] for site in sorted(self._gathering.keys)
                ),
                sum=current.sum,
            )
        )
        requests = dict.fromkeys(current.asked_to_release(), request)
        if isinstance(self._sums, MaskingCoordinator):
            share = self._gathering.share_request(self._round_number + 1)
            requests |= dict.fromkeys(current.back, share)
        self._phase = Phase.CLOSE
        return Step(
            Exchange(Phase.CLOSE, requests),
            joined=joined,
            refused=dict(self._letters.refused),
        )

    def _take_upload(self, site: str, reply: OpenReply, current: OpenRound) -> None:
        uploaded = self._letters.accept(reply.uploaded, Uploaded, site)
        if uploaded is None:
            return
        more = isinstance(self._sums, MaskingCoordinator) and not self._is_last
        try:
            check_upload(uploaded, reply, current.awaited(), self._plan, self._upload_bytes)
            if more and not self._gathering.take_keys(
                reply.next_keys, site, self._round_number + 1
            ):
                return
            # Only now: an upload is added once its signature was verified, and freed then.
            self._sums.add(site, reply.vector)
        except PeerError:
            self._gathering.keys.pop(site, None)
            self._letters.refuse(site)
            return
        current.uploads[site] = uploaded
        self._letters.log_of(site, reply.uploaded)
        if more and reply.next_keys is not None:
            self._letters.log_of(site, reply.next_keys)

    def _after_close(self, replies: Mapping[str, bytes]) -> Step:
        current, opening = self._current(), self._opening or self._new_opening()
        closed: list[str] = []
        taken = uploads_taken(self._transcript.leaves) if self._is_last else None
        for site, reply in self._letters.decoded(CloseReply, replies, current.survivors).items():
            if not opening.take(site, reply, current):
                continue
            closed.append(site)
            self._letters.log_of(site, reply.released)
            self._gathering.take_shares(
                site, reply.next_sent, reply.next_shares, self._round_number + 1
            )
            if taken is not None:
                self._take_extract(site, reply.extract_sent, reply.extract, taken[site])
        self._letters.require(tuple(closed), opening.did, self._round_number)
        self._gathering.take_dealt(replies, current.back, self._round_number + 1)
        self._parameters = opening.parameters(self._parameters, current)
        opened = OpenedRound(
            self._round_number,
            self._parameters,
            current.survivors,
            dict(self._extracts),
            self._rule.export(),
        )
        last = self._is_last
        self._round_number += 1
        self._round = None
        if last:
            return Step(None, opened=opened, refused=dict(self._letters.refused))
        self._cohort = (
            self._gathering.dealers(self._round_number)
            if isinstance(self._sums, MaskingCoordinator)
            else tuple(sorted((*closed, *current.back)))
        )
        try:
            return self._open(opened=opened)
        except PeerError as error:
            # The round that was opened is kept first; the next `advance` says what went wrong.
            self._lost = error
            return Step(
                Exchange(Phase.OPEN, {}), opened=opened, refused=dict(self._letters.refused)
            )

    def _take_extract(
        self, site: str, signed: Signed | None, extract: bytes, drawn: set[tuple[int, int]]
    ) -> None:
        if signed is None:
            return
        sent = self._letters.accept(signed, ExtractSent, site)
        if sent is None:
            return
        try:
            check_extract(sent, extract, self._plan, drawn, self._proposal.run_id.hex())
            committed = self._gathering.canaries.get(site, NONE)
            check_opened(self._mechanism, site, committed, sent.canaries)
        except PeerError:
            self._letters.refuse(site)
            return
        self._letters.log_of(site, signed)
        self._extracts[site] = extract

    # -- what every phase needs ----------------------------------------------------------------

    @property
    def _is_last(self) -> bool:
        return self._round_number + 1 >= self._mechanism.training.rounds

    def _current(self) -> OpenRound:
        if self._round is None:
            raise PeerError("Replies came and no round is open: they were not used.")
        return self._round
