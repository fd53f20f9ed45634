"""The coordinator's machine: it says what to send next, and is told what came back.

`begin` and `advance` return a `Step`. The caller moves the bytes, over whatever transport, and
keeps what a step says must be kept before the next requests go out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crypto.codec import encode
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum import CipherSuite, MaskingCoordinator, Release, RoundBinding, SiteKeys
from privacy.fixed_point import Grid
from secure_fl.config import NoPrivacy
from secure_fl.methods import SeenUpdates, find_method
from secure_fl.parameters import parameter_digest, vector_to_bytes
from secure_fl.rounds.correspondence import Correspondence
from secure_fl.rounds.messages import (
    CloseReply,
    CloseRequest,
    ExtractSent,
    Hello,
    HelloReply,
    HelloRequest,
    Joined,
    OpenReply,
    OpenRequest,
    Released,
    RoundClose,
    RoundHeader,
    ShareReply,
    ShareRequest,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.own_log import repeatable_cohort, uploads_taken
from secure_fl.rounds.plain_sum import PlainSum
from secure_fl.rounds.reading import (
    expect,
    session_of,
    statement_digest,
)
from secure_fl.rounds.reply_checks import (
    Awaited,
    Plan,
    check_extract,
    check_joined,
    check_released,
    check_shares,
    check_upload,
    open_release,
)
from secure_fl.rounds.steps import Exchange, OpenedRound, Phase, Proposal, Step
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crypto.signatures import Signed, SigningKey
    from secure_fl.transcript import Transcript


@dataclass
class _Round:
    """What the coordinator holds while a round is open."""

    header: RoundHeader
    header_digest: bytes
    uploads: dict[str, Uploaded] = field(default_factory=dict)
    next_keys: dict[str, Signed] = field(default_factory=dict)
    survivors: tuple[str, ...] = ()

    def awaited(self) -> Awaited:
        """Return what replies must be about."""
        return Awaited(self.header.round, self.header_digest, self.survivors)


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
        self._method = find_method(self._mechanism.method, self._mechanism.protection)
        self._grid = Grid(
            self._mechanism.encoding.clip_range,
            self._mechanism.sites,
            self._mechanism.encoding.bits,
        )
        names = tuple(sorted(member.name for member in proposal.roster.sites()))
        if len(names) < self._mechanism.sites:
            raise ConfigError(
                f"The run needs {self._mechanism.sites} sites and the roster has {len(names)}: "
                "nothing was started. Lower `mechanism.sites`, or put more sites on the roster."
            )
        self._plan = Plan.of(self._mechanism)
        self._hello = Hello(
            run_id=proposal.run_id,
            attempt=proposal.attempt,
            first_round=proposal.first_round,
            config_digest=self._mechanism.digest(),
            roster_digest=proposal.roster.digest(),
            suite=CipherSuite.X25519_HKDF_AES256CTR_Z32.value,
            sites=names[: self._mechanism.sites],
            threshold=self._mechanism.needed_survivors(),
        )
        self._session = session_of(self._hello)
        self._letters = Correspondence(self._session, proposal.roster, key, transcript)
        self._masked = self._mechanism.protection is Protection.MASKED
        self._sums: MaskingCoordinator | PlainSum = (
            MaskingCoordinator(self._session, first_round=proposal.first_round)
            if self._masked
            else PlainSum()
        )
        self._parameters = parameters
        self._phase = Phase.HELLO
        self._lost: PeerError | None = None
        self._round_number = proposal.first_round
        self._round: _Round | None = None
        self._cohort: tuple[str, ...] = ()
        self._keys: dict[str, Signed] = {}
        self._inboxes: dict[str, dict[str, bytes]] = {}
        self._seen: dict[str, int] = dict.fromkeys(self._hello.sites, 0)
        self._extracts: dict[str, bytes] = {}

    def begin(self) -> Step:
        """Return the first exchange."""
        hello = self._letters.sign(self._hello)
        self._letters.log(hello)
        request = encode(HelloRequest(hello=hello, mechanism=self._mechanism.to_json()))
        self._letters.asked = frozenset(self._hello.sites)
        return Step(Exchange(Phase.HELLO, dict.fromkeys(self._hello.sites, request), to_all=True))

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
            Phase.CLOSE: self._after_close,
        }
        return follow[self._phase](replies)

    # -- the session ---------------------------------------------------------------------------

    def _after_hello(self, replies: Mapping[str, bytes]) -> Step:
        joined: dict[str, Joined] = {}
        for site, reply in self._letters.decoded(HelloReply, replies).items():
            statement = self._letters.accept(reply.joined, Joined, site)
            if statement is None:
                continue
            try:
                check_joined(statement, self._plan, self._transcript.size)
            except PeerError:
                self._letters.refuse(site)
                continue
            if self._masked and not self._take_keys(reply.keys, site, self._round_number):
                continue
            self._letters.log_of(site, reply.joined)
            if reply.keys is not None:
                self._letters.log_of(site, reply.keys)
            self._seen[site] = statement.checkpoint_size
            joined[site] = statement
        self._letters.require(tuple(joined), "joined", self._round_number)
        if not self._masked:
            self._cohort = tuple(sorted(joined))
            return self._open(joined=joined)
        self._phase = Phase.SHARE
        request = encode(
            ShareRequest(
                run_id=self._proposal.run_id,
                round=self._round_number,
                keys=tuple(self._keys[site] for site in sorted(joined)),
            )
        )
        return Step(
            Exchange(Phase.SHARE, dict.fromkeys(sorted(joined), request)),
            joined=joined,
            refused=dict(self._letters.refused),
        )

    def _take_keys(self, signed: Signed | None, site: str, round_: int) -> bool:
        """Return whether `signed` holds keys of `site` for round `round_`."""
        if signed is None or not isinstance(self._sums, MaskingCoordinator):
            return self._letters.refuse(site)
        keys = self._letters.accept(signed, SiteKeys, site)
        if keys is None:
            return False
        try:
            expect(keys.round == round_, "The keys are for another round.")
            self._sums.accept_keys(keys)
        except PeerError:
            return self._letters.refuse(site)
        self._keys[site] = signed
        return True

    def _after_share(self, replies: Mapping[str, bytes]) -> Step:
        for site, reply in self._letters.decoded(ShareReply, replies).items():
            self._take_shares(site, reply.sent, reply.shares, self._round_number)
        senders = _senders(self._inboxes)
        noiseless = isinstance(self._mechanism.privacy, NoPrivacy)
        self._cohort = (
            repeatable_cohort(self._transcript.leaves, self._round_number, senders)
            if noiseless
            else senders
        )
        return self._open()

    def _take_shares(
        self, site: str, signed: Signed | None, shares: Mapping[str, bytes], round_: int
    ) -> None:
        if signed is None:
            return
        sent = self._letters.accept(signed, SharesSent, site)
        if sent is None:
            return
        try:
            check_shares(sent, shares, round_, self._keys.keys() - {site})
        except PeerError:
            self._letters.refuse(site)
            return
        self._letters.log_of(site, signed)
        for addressee, share in shares.items():
            self._inboxes.setdefault(addressee, {})[site] = share

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
        )
        signed = self._letters.sign(header)
        digest = statement_digest(signed)
        self._round = _Round(header, digest)
        binding = RoundBinding(self._round_number, digest, self._cohort, header.parameter_digest)
        self._sums.begin(binding, self._proposal.spec.size)
        requests = {
            site: encode(
                OpenRequest(
                    run_id=self._proposal.run_id,
                    header=signed,
                    checkpoint=checkpoint,
                    parameters=parameters,
                    inbox={
                        sender: share
                        for sender, share in self._inboxes.get(site, {}).items()
                        if sender in self._cohort
                    },
                    proof=self._transcript.proof(self._letters.pending[site], self._seen[site]),
                )
            )
            for site in self._cohort
        }
        for site in self._cohort:
            self._letters.pending[site] = []
            self._seen[site] = header.checkpoint_size
        self._inboxes = {}
        self._keys = {}
        self._letters.log(signed)
        self._phase = Phase.OPEN
        return Step(
            Exchange(Phase.OPEN, requests),
            opened=opened,
            joined=dict(joined or {}),
            refused=dict(self._letters.refused),
        )

    def _after_open(self, replies: Mapping[str, bytes]) -> Step:
        current = self._current()
        for site, reply in self._letters.decoded(OpenReply, replies).items():
            self._take_upload(site, reply, current)
        current.survivors = tuple(sorted(current.uploads))
        self._letters.require(current.survivors, "sent an update", self._round_number)
        close = self._letters.sign(
            RoundClose(
                session=self._session.digest(),
                round=self._round_number,
                header_digest=current.header_digest,
                survivors=current.survivors,
                threshold=self._hello.threshold,
            )
        )
        self._letters.log(close)
        keys = tuple(self._keys[site] for site in sorted(self._keys))
        request = encode(CloseRequest(run_id=self._proposal.run_id, close=close, next_keys=keys))
        self._phase = Phase.CLOSE
        return Step(
            Exchange(Phase.CLOSE, dict.fromkeys(current.survivors, request)),
            refused=dict(self._letters.refused),
        )

    def _take_upload(self, site: str, reply: OpenReply, current: _Round) -> None:
        uploaded = self._letters.accept(reply.uploaded, Uploaded, site)
        if uploaded is None:
            return
        more = self._masked and self._round_number + 1 < self._mechanism.training.rounds
        try:
            check_upload(uploaded, reply, current.awaited(), self._plan)
            if more and not self._take_keys(reply.next_keys, site, self._round_number + 1):
                return
            self._add(site, reply.vector)
        except PeerError:
            self._keys.pop(site, None)
            self._letters.refuse(site)
            return
        current.uploads[site] = uploaded
        self._letters.log_of(site, reply.uploaded)
        if more and reply.next_keys is not None:
            self._letters.log_of(site, reply.next_keys)

    def _add(self, site: str, raw: bytes) -> None:
        """Add an upload whose signature was verified; it is freed once it is added."""
        expect(len(raw) == 4 * self._proposal.spec.size, "The vector has another length.")
        vector = np.frombuffer(raw, "<u4")
        if not self._masked:
            # In clear, what no honest site sends can be traced to its sender.
            self._grid.decode_sum(vector, 1)
        self._sums.add(site, vector)

    def _after_close(self, replies: Mapping[str, bytes]) -> Step:
        current = self._current()
        releases: dict[str, Release] = {}
        closed: list[str] = []
        last = self._round_number + 1 >= self._mechanism.training.rounds
        taken = uploads_taken(self._transcript.leaves) if last else None
        for site, reply in self._letters.decoded(CloseReply, replies).items():
            if not self._take_release(site, reply, current, releases):
                continue
            closed.append(site)
            self._letters.log_of(site, reply.released)
            self._take_shares(site, reply.next_sent, reply.next_shares, self._round_number + 1)
            if taken is not None:
                self._take_extract(site, reply.extract_sent, reply.extract, taken[site])
        self._letters.require(tuple(closed), "released their shares", self._round_number)
        opened = self._apply(current, releases)
        self._round_number += 1
        self._round = None
        if last:
            return Step(None, opened=opened, refused=dict(self._letters.refused))
        self._cohort = _senders(self._inboxes) if self._masked else tuple(closed)
        try:
            return self._open(opened=opened)
        except PeerError as error:
            # The round that was opened is kept first; the next `advance` says what went wrong.
            self._lost = error
            return Step(
                Exchange(Phase.OPEN, {}), opened=opened, refused=dict(self._letters.refused)
            )

    def _take_release(
        self, site: str, reply: CloseReply, current: _Round, releases: dict[str, Release]
    ) -> bool:
        """Return whether `site` released what the close asks for; it is then in `releases`."""
        released = self._letters.accept(reply.released, Released, site)
        if released is None:
            return False
        try:
            check_released(released, reply, current.awaited())
            if isinstance(self._sums, MaskingCoordinator):
                release = open_release(reply, site)
                self._sums.check_release(release)
                releases[site] = release
        except PeerError:
            return self._letters.refuse(site)
        return True

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
        except PeerError:
            self._letters.refuse(site)
            return
        self._letters.log_of(site, signed)
        self._extracts[site] = extract

    def _apply(self, current: _Round, releases: Mapping[str, Release]) -> OpenedRound:
        """Open the sum, apply the method's rule, and return the round's result."""
        survivors = len(current.survivors)
        each: NDArray[np.float64] | None = None
        if isinstance(self._sums, MaskingCoordinator):
            total = self._grid.decode_sum(self._sums.unmask(releases), survivors)
        else:
            each = np.stack([self._grid.decode_sum(v, 1) for v in self._sums.vectors()])
            total = each.sum(axis=0)
        seen = SeenUpdates(total=total, survivors=survivors, each=each)
        self._parameters = self._method.server_rule(self._parameters, seen)
        return OpenedRound(
            self._round_number, self._parameters, current.survivors, dict(self._extracts)
        )

    # -- what every phase needs ----------------------------------------------------------------

    def _current(self) -> _Round:
        if self._round is None:
            raise PeerError("Replies came and no round is open: they were not used.")
        return self._round


def _senders(inboxes: Mapping[str, Mapping[str, bytes]]) -> tuple[str, ...]:
    """Return the sites whose shares arrived: the next cohort."""
    return tuple(sorted({sender for inbox in inboxes.values() for sender in inbox}))
