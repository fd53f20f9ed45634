"""A site's machine: one request in, one reply out, in the only legal order.

The machine holds no socket, no clock and no file of its own. What it asks of the site's data and
model goes through a `Workbench`, what it must remember through a `SiteStore`, so that it runs
the same in one process with its peers and as a process per message behind a firewall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from crypto.codec import decode_one_of, encode
from crypto.digests import sha256
from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError, SecureFLError
from crypto.masked_sum import Adversary
from crypto.merkle import EMPTY_ROOT
from secure_fl.canaries import NONE, committed
from secure_fl.config import Mechanism, parse_mechanism
from secure_fl.parameters import parameter_digest, vector_from_bytes
from secure_fl.rounds import charging, journal, log_check, site_checks
from secure_fl.rounds.encoding import Encoded, Noised, encoded_update, noised_update
from secure_fl.rounds.messages import (
    REPLY_LIMIT_BYTES,
    REQUESTS,
    CloseReply,
    CloseRequest,
    ConfirmReply,
    ConfirmRequest,
    ExtractSent,
    Heads,
    Hello,
    HelloReply,
    HelloRequest,
    Joined,
    OpenReply,
    OpenRequest,
    Refusal,
    RefusalCode,
    Request,
    RoundClose,
    RoundHeader,
    ShareReply,
    ShareRequest,
    Uploaded,
)
from secure_fl.rounds.reading import (
    NO_DIGEST,
    expect,
    leaf_of,
    session_of,
    statement_digest,
)
from secure_fl.rounds.site_letters import SiteLetters
from secure_fl.rounds.site_state import NOTHING_SEEN, OpenedSum, SiteState, Stage
from secure_fl.rounds.site_sums import SiteSums, masking_of, sums_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from crypto.signatures import Signed
    from secure_fl.rounds.site_parts import SiteParts, Tap
    from secure_fl.rounds.veto import RoundVeto

LaterRequest = ShareRequest | OpenRequest | ConfirmRequest | CloseRequest
Reply = HelloReply | ShareReply | OpenReply | ConfirmReply | CloseReply


class Site:
    """One site of a consortium, as a function from request bytes to reply bytes.

    Formal guarantees:
        - nothing is answered before the state that the answer implies is stored;
        - the ledger is charged, durably, before noise is drawn;
        - what does not pass the site's own veto is not sent;
        - the same request is answered with the same bytes; any other request out of order is
          refused, so that one set of mask keys never hides two vectors;
        - a failure is answered by a code from a fixed list; its words stay at the site.
    """

    def __init__(self, parts: SiteParts) -> None:
        self._parts = parts
        self._letters = SiteLetters(parts)
        self._party = site_checks.Party(parts.name, parts.roster, parts.policy)

    def handle(self, data: bytes) -> bytes:
        """Return the reply to one request."""
        try:
            request: Request = decode_one_of(REQUESTS, data, limit_bytes=REPLY_LIMIT_BYTES)
            with self._parts.store.locked():
                return self._answer_once(request, sha256(data))
        except SecureFLError as error:
            self._parts.note(f"refused: {error}")
            return encode(Refusal(code=_code_of(error)))

    def _answer_once(self, request: Request, digest: bytes) -> bytes:
        if isinstance(request, HelloRequest):
            hello = self._letters.read(request.hello, Hello)
            return self._hello(request, hello, digest)
        state = self._parts.store.load(request.run_id)
        if state is None:
            self._parts.note(
                "refused: a request came for a run that this site never joined, or whose state it "
                "lost. It comes back with the coordinator's next invitation."
            )
            return encode(Refusal(code=RefusalCode.UNKNOWN_RUN))
        if state.request_digest == digest:
            return state.reply
        journal.check_ledger(self._parts.ledger, state.heads.ledger)
        reply, after = self._answer(request, state, digest)
        return self._store(after, digest, encode(reply))

    def _answer(
        self, request: LaterRequest, state: SiteState, digest: bytes
    ) -> tuple[Reply, SiteState]:
        if isinstance(request, ShareRequest):
            _expect_stage(state, Stage.JOINED)
            return self._share(request, state)
        if isinstance(request, OpenRequest):
            _expect_stage(state, Stage.READY)
            return self._open(request, state)
        if isinstance(request, ConfirmRequest):
            _expect_stage(state, Stage.UPLOADED)
            return self._confirm(request, state)
        _expect_stage(state, _stage_before_close(state))
        return self._close(request, state, digest)

    # -- exchange 1 of a session ---------------------------------------------------------------

    def _hello(self, request: HelloRequest, hello: Hello, digest: bytes) -> bytes:
        before = self._parts.store.load(hello.run_id)
        if before is not None:
            if before.request_digest == digest:
                return before.reply
            site_checks.check_attempt(hello, before)
        journal.check_heads(request.heads, before, self._party, self._parts.ledger)
        mechanism = site_checks.check_proposal(request.mechanism, hello, self._party)
        site_checks.check_target(request.round, hello, before, mechanism)
        seen = 0 if before is None else before.checkpoint_size
        heads = self._letters.heads(before)
        joined, heads = self._reserve(mechanism, hello, seen, heads)
        announced, secrets = self._sums(mechanism).announce(hello, request.round, before)
        keys = None if announced is None else self._letters.sign(announced)
        state = SiteState(
            hello=hello,
            mechanism=request.mechanism,
            stage=Stage.READY if keys is None else Stage.JOINED,
            round=request.round,
            masking=secrets,
            header_digest=NO_DIGEST,
            parameter_digest=NO_DIGEST,
            cohort=0,
            released=() if before is None else before.released,
            checkpoint_size=seen,
            checkpoint_root=EMPTY_ROOT if before is None else before.checkpoint_root,
            pending=tuple(leaf_of(signed) for signed in (joined, keys) if signed is not None),
            heads=heads,
            request_digest=b"",
            reply=b"",
            veto=NOTHING_SEEN if before is None else before.veto,
        )
        return self._store(state, digest, encode(HelloReply(joined=joined, keys=keys)))

    def _reserve(
        self, mechanism: Mechanism, hello: Hello, seen: int, heads: Heads
    ) -> tuple[Signed, Heads]:
        event, head = charging.reserve(self._parts, mechanism, hello)
        coverage = self._parts.workbench.coverage()
        heads = replace(heads, ledger=head)
        joined = Joined(
            session=session_of(hello).digest(),
            site=self._parts.name,
            event=event,
            heads=heads,
            looked_for=coverage.looked_for,
            not_looked_for=coverage.not_looked_for,
            checkpoint_size=seen,
            canaries=committed(mechanism, self._parts.workbench.canary_seed(mechanism)),
        )
        return self._letters.sign(joined), heads

    # -- exchange 2 of a session ---------------------------------------------------------------

    def _share(self, request: ShareRequest, state: SiteState) -> tuple[Reply, SiteState]:
        expect(
            request.round == state.round,
            f"Shares were asked for round {request.round}, and round {state.round} is next.",
        )
        mechanism = parse_mechanism(state.mechanism)
        dealt = self._sums(mechanism).share(request, state)
        after = replace(
            state,
            stage=Stage.READY,
            masking=dealt.secrets,
            pending=(*state.pending, leaf_of(dealt.statement)),
        )
        return ShareReply(sent=dealt.statement, shares=dict(dealt.sealed)), after

    # -- exchange 1 of a round -----------------------------------------------------------------

    def _open(self, request: OpenRequest, state: SiteState) -> tuple[Reply, SiteState]:
        mechanism = parse_mechanism(state.mechanism)
        header = self._letters.read(request.header, RoundHeader)
        spec = self._parts.workbench.spec(mechanism)
        site_checks.check_header(header, state, mechanism, self._party)
        expect(
            parameter_digest(spec, request.parameters) == header.parameter_digest,
            "The parameters are not the ones that the header was signed for.",
        )
        shared = vector_from_bytes(spec, request.parameters)
        log_check.verify(request, header, state, self._parts.roster)
        header_digest = statement_digest(request.header)
        opened = self._sums(mechanism).open(request, header, header_digest, state)
        self._note_unusable(opened.unusable, state)
        event, head = charging.charge(self._parts, mechanism, state)
        noised, veto = self._noised(mechanism, header, shared, state)
        raw = opened.protect(noised)
        heads = replace(self._letters.heads(state), ledger=head)
        uploaded = self._letters.sign(
            Uploaded(
                session=header.session,
                round=header.round,
                site=self._parts.name,
                heads=heads,
                header_digest=header_digest,
                vector_digest=sha256(raw),
                event=event,
                unusable=opened.unusable,
            )
        )
        announced = opened.next_keys()
        next_keys = None if announced is None else self._letters.sign(announced)
        own = [leaf_of(uploaded)] + ([leaf_of(next_keys)] if next_keys is not None else [])
        after = replace(
            state,
            stage=Stage.UPLOADED,
            masking=opened.export(),
            header_digest=header_digest,
            parameter_digest=header.parameter_digest,
            cohort=len(header.cohort),
            checkpoint_size=header.checkpoint_size,
            checkpoint_root=header.checkpoint_root,
            pending=tuple(own),
            heads=heads,
            veto=veto.memory,
        )
        return OpenReply(uploaded=uploaded, vector=raw, next_keys=next_keys), after

    def _note_unusable(self, dealers: tuple[str, ...], state: SiteState) -> None:
        if dealers:
            self._parts.note(
                f"round {state.round}: the shares of {', '.join(dealers)} for this site did not "
                "open; they dealt something else, or the coordinator altered it"
            )

    def _noised(
        self,
        mechanism: Mechanism,
        header: RoundHeader,
        shared: NDArray[np.float32],
        state: SiteState,
    ) -> tuple[Noised, RoundVeto]:
        """Return what is protected, and the veto that let it pass; a refusal is remembered."""
        from secure_fl.rounds.veto import RoundVeto  # noqa: PLC0415 - scipy is heavy

        units = self._parts.workbench.units(mechanism)
        veto = RoundVeto(self._parts.policy.veto, mechanism, header.round, units, state.veto)
        try:
            noised = noised_update(self._train_and_encode(mechanism, header, shared, veto.step))
            veto.contribution(noised, len(header.cohort))
        except IntegrityError:
            if veto.memory.refused > state.veto.refused:
                vetoed = replace(state, veto=veto.memory)
                self._parts.store.save(state.hello.run_id, vetoed)
            raise
        return noised, veto

    def _train_and_encode(
        self, mechanism: Mechanism, header: RoundHeader, shared: NDArray[np.float32], tap: Tap
    ) -> Encoded:
        spec = self._parts.workbench.spec(mechanism)
        update = self._parts.workbench.train(mechanism, shared, header.round, tap)
        if update.spec != spec:
            raise IntegrityError(
                "The trainer made an update of another shape than the one this run shares: "
                "nothing was sent. The model in memory is not the configured one."
            )
        encoded = encoded_update(mechanism, update.flat(), len(header.cohort), self._parts.entropy)
        if encoded.clamped:
            self._parts.note(
                f"round {header.round}: {encoded.clamped} of {update.flat().size} coordinates lay "
                "beyond the grid's range and were clamped to it"
            )
        return encoded

    # -- exchange 2 of a round, and the one before it against a malicious coordinator ----------

    def _confirm(self, request: ConfirmRequest, state: SiteState) -> tuple[Reply, SiteState]:
        mechanism = parse_mechanism(state.mechanism)
        close = self._letters.read(request.close, RoundClose)
        site_checks.check_close(close, state, mechanism, self._party)
        machine = masking_of(state)
        confirmed = self._letters.sign(machine.confirm(close.survivors))
        after = replace(
            state,
            stage=Stage.CONFIRMED,
            masking=machine.export_state().reveal(),
            pending=(*state.pending, leaf_of(confirmed)),
        )
        return ConfirmReply(confirmed=confirmed), after

    def _close(
        self, request: CloseRequest, state: SiteState, digest: bytes
    ) -> tuple[Reply, SiteState]:
        mechanism = parse_mechanism(state.mechanism)
        close = self._letters.read(request.close, RoundClose)
        site_checks.check_close(close, state, mechanism, self._party)
        last = state.round + 1 >= mechanism.training.rounds
        closed = self._sums(mechanism).close(request, close, state, digest)
        opened = OpenedSum(
            round=close.round, parameter_digest=state.parameter_digest, survivors=close.survivors
        )
        extract_sent, extract = self._extract(close, state, mechanism) if last else (None, b"")
        signed = (closed.statement, closed.next_sent, extract_sent)
        own = [leaf_of(statement) for statement in signed if statement is not None]
        after = replace(
            state,
            stage=Stage.FINISHED if last else Stage.READY,
            round=state.round + 1,
            masking=b"" if last else closed.secrets,
            header_digest=NO_DIGEST,
            parameter_digest=NO_DIGEST,
            cohort=0,
            released=(*state.released, opened),
            pending=(*state.pending, *own),
            veto=replace(state.veto, seen=()) if last else state.veto,
        )
        reply = CloseReply(
            released=closed.statement,
            release=closed.data,
            next_sent=closed.next_sent,
            next_shares=dict(closed.next_shares),
            extract_sent=extract_sent,
            extract=extract,
        )
        return reply, after

    def _extract(
        self, close: RoundClose, state: SiteState, mechanism: Mechanism
    ) -> tuple[Signed, bytes]:
        extract = charging.extract(self._parts, state)
        seed = self._parts.workbench.canary_seed(mechanism)
        sent = ExtractSent(
            session=close.session,
            site=self._parts.name,
            heads=self._letters.heads(state),
            extract_digest=sha256(extract),
            # Nothing is trained any more: who was a member may be known.
            canaries=NONE if seed is None else seed.reveal(),
        )
        return self._letters.sign(sent), extract

    # -- what every step needs -----------------------------------------------------------------

    def _sums(self, mechanism: Mechanism) -> SiteSums:
        return sums_of(self._parts, self._letters, mechanism)

    def _store(self, state: SiteState, digest: bytes, reply: bytes) -> bytes:
        heads = journal.extended(self._letters.heads(state), digest, reply)
        stored = replace(state, heads=heads, request_digest=digest, reply=reply)
        self._parts.store.save(state.hello.run_id, stored)
        return reply


def _stage_before_close(state: SiteState) -> Stage:
    # No configuration has homomorphic sums against this adversary.
    confirms = session_of(state.hello).adversary is Adversary.MALICIOUS and state.masking
    return Stage.CONFIRMED if confirms else Stage.UPLOADED


def _expect_stage(state: SiteState, stage: Stage) -> None:
    expect(
        state.stage is stage,
        f"A request out of order came: round {state.round} is {state.stage.value}, and this "
        "request belongs to another step. It was refused; no key was used twice.",
    )


def _code_of(error: SecureFLError) -> RefusalCode:
    if isinstance(error, BudgetError):
        return RefusalCode.POLICY
    if isinstance(error, PeerError):
        return RefusalCode.PROTOCOL
    if isinstance(error, ConfigError):
        return RefusalCode.CONFIG
    return RefusalCode.RECORD
