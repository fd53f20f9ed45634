"""A site's machine: one request in, one reply out, in the only legal order.

The machine holds no socket, no clock and no file of its own. What it asks of the site's data and
model goes through a `Workbench`, what it must remember through a `SiteStore`, so that it runs
the same in one process with its peers and as a process per message behind a firewall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from crypto.agreement import hkdf
from crypto.codec import decode_one_of, encode
from crypto.digests import canonical_json, sha256
from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError, SecureFLError
from crypto.keystream import KeyStream
from crypto.masked_sum import Adversary, Confirmation, MaskingSite, RoundBinding, SiteKeys
from crypto.merkle import EMPTY_ROOT
from crypto.ring import pack
from crypto.secrets import SecretBytes
from crypto.signatures import Signed, sign_message
from privacy.events import to_json as event_to_json
from privacy.fixed_point import NEAREST, Grid, Rounding, Stochastic
from secure_fl.config import Mechanism, NoPrivacy, parse_mechanism
from secure_fl.guarantee import planned_event, round_event
from secure_fl.parameters import parameter_digest, vector_from_bytes
from secure_fl.rounds import journal, log_check, site_checks
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
    Released,
    Request,
    RoundClose,
    RoundHeader,
    ShareReply,
    ShareRequest,
    SharesSent,
    Uploaded,
)
from secure_fl.rounds.reading import (
    NO_DIGEST,
    expect,
    leaf_of,
    read_statement,
    session_of,
    shares_digest,
    statement_digest,
)
from secure_fl.rounds.site_state import OpenedSum, SiteState, Stage
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.codec import Message
    from secure_fl.rounds.site_parts import SiteParts

M = TypeVar("M", bound="Message")

LaterRequest = ShareRequest | OpenRequest | ConfirmRequest | CloseRequest
Reply = HelloReply | ShareReply | OpenReply | ConfirmReply | CloseReply


class Site:
    """One site of a consortium, as a function from request bytes to reply bytes.

    Formal guarantees:
        - nothing is answered before the state that the answer implies is stored;
        - the ledger is charged, durably, before noise is drawn;
        - the same request is answered with the same bytes; any other request out of order is
          refused, so that one set of mask keys never hides two vectors;
        - a failure is answered by a code from a fixed list; its words stay at the site.
    """

    def __init__(self, parts: SiteParts) -> None:
        self._parts = parts
        self._coordinator = parts.roster.coordinator().name
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
            hello = self._read(request.hello, Hello)
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
        reply, after = self._answer(request, state)
        return self._store(after, digest, encode(reply))

    def _answer(self, request: LaterRequest, state: SiteState) -> tuple[Reply, SiteState]:
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
        return self._close(request, state)

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
        heads = self._heads(before)
        joined, heads = self._reserve(mechanism, hello, seen, heads)
        keys: Signed | None = None
        masking = b""
        if mechanism.protection is Protection.MASKED:
            machine = self._masking_for(hello, before)
            keys = self._sign(machine.keys_for(request.round, self._parts.entropy))
            masking = machine.export_state().reveal()
        state = SiteState(
            hello=hello,
            mechanism=request.mechanism,
            stage=Stage.READY if keys is None else Stage.JOINED,
            round=request.round,
            masking=masking,
            header_digest=NO_DIGEST,
            parameter_digest=NO_DIGEST,
            released=() if before is None else before.released,
            checkpoint_size=seen,
            checkpoint_root=EMPTY_ROOT if before is None else before.checkpoint_root,
            pending=tuple(leaf_of(signed) for signed in (joined, keys) if signed is not None),
            heads=heads,
            request_digest=b"",
            reply=b"",
        )
        return self._store(state, digest, encode(HelloReply(joined=joined, keys=keys)))

    def _masking_for(self, hello: Hello, before: SiteState | None) -> MaskingSite:
        """Return the machine of the session: a site that comes back keeps its channel key."""
        if before is not None and before.hello == hello and before.masking:
            return _machine(before)
        return MaskingSite.start(session_of(hello), self._parts.name, self._parts.entropy)

    def _reserve(
        self, mechanism: Mechanism, hello: Hello, seen: int, heads: Heads
    ) -> tuple[Signed, Heads]:
        version = self._parts.workbench.prepare(mechanism)
        coverage = self._parts.workbench.coverage()
        dataset, budget = self._parts.policy.budget_for(mechanism)
        event = planned_event(mechanism)
        head = self._parts.ledger.reserve(dataset, version, hello.run_id.hex(), event, budget)
        heads = replace(heads, ledger=head)
        joined = Joined(
            session=session_of(hello).digest(),
            site=self._parts.name,
            event=canonical_json(event_to_json(event)),
            heads=heads,
            looked_for=coverage.looked_for,
            not_looked_for=coverage.not_looked_for,
            checkpoint_size=seen,
        )
        return self._sign(joined), heads

    # -- exchange 2 of a session ---------------------------------------------------------------

    def _share(self, request: ShareRequest, state: SiteState) -> tuple[Reply, SiteState]:
        expect(
            request.round == state.round,
            f"Shares were asked for round {request.round}, and round {state.round} is next.",
        )
        machine = _machine(state)
        sent, shares = self._make_shares(machine, state, request.keys, request.round)
        after = replace(
            state,
            stage=Stage.READY,
            masking=machine.export_state().reveal(),
            pending=(*state.pending, leaf_of(sent)),
        )
        return ShareReply(sent=sent, shares=shares), after

    def _make_shares(
        self, machine: MaskingSite, state: SiteState, signed: tuple[Signed, ...], round_: int
    ) -> tuple[Signed, dict[str, bytes]]:
        smallest = self._parts.policy.smallest_cohort
        expect(
            len(signed) >= smallest,
            f"Shares among {len(signed)} sites were asked for, and this site's smallest cohort is "
            f"{smallest}: none were dealt.",
        )
        keys: dict[str, SiteKeys] = {}
        for envelope in signed:
            expect(
                envelope.signer in state.hello.sites,
                f"Keys of {envelope.signer} came, which is not in this session.",
            )
            expect(envelope.signer not in keys, f"Two sets of keys of {envelope.signer} came.")
            keys[envelope.signer] = read_statement(
                envelope, SiteKeys, envelope.signer, self._parts.roster
            )
        shares = machine.shares_for(round_, keys, self._parts.entropy)
        sent = SharesSent(
            session=session_of(state.hello).digest(),
            round=round_,
            site=self._parts.name,
            heads=self._heads(state),
            shares_digest=shares_digest(shares),
        )
        return self._sign(sent), shares

    # -- exchange 1 of a round -----------------------------------------------------------------

    def _open(self, request: OpenRequest, state: SiteState) -> tuple[Reply, SiteState]:
        mechanism = parse_mechanism(state.mechanism)
        header = self._read(request.header, RoundHeader)
        spec = self._parts.workbench.spec(mechanism)
        site_checks.check_header(header, state, mechanism, self._party)
        expect(
            parameter_digest(spec, request.parameters) == header.parameter_digest,
            "The parameters are not the ones that the header was signed for.",
        )
        shared = vector_from_bytes(spec, request.parameters)
        log_check.verify(request, header, state, self._parts.roster)
        header_digest = statement_digest(request.header)
        machine = _machine(state) if state.masking else None
        unusable: tuple[str, ...] = ()
        if machine is not None:
            unusable = machine.open_round(
                RoundBinding(header.round, header_digest, header.cohort, header.parameter_digest),
                request.inbox,
            )
        self._note_unusable(unusable, state)
        event, head = self._charge(mechanism, state)
        vector = self._train_and_encode(mechanism, state, shared)
        protected = vector if machine is None else machine.mask(vector)
        raw = pack(protected, mechanism.encoding.bits)
        heads = replace(self._heads(state), ledger=head)
        uploaded = self._sign(
            Uploaded(
                session=header.session,
                round=header.round,
                site=self._parts.name,
                heads=heads,
                header_digest=header_digest,
                vector_digest=sha256(raw),
                event=event,
                unusable=unusable,
            )
        )
        next_keys = self._next_keys(machine, mechanism, state)
        own = [leaf_of(uploaded)] + ([leaf_of(next_keys)] if next_keys is not None else [])
        after = replace(
            state,
            stage=Stage.UPLOADED,
            masking=b"" if machine is None else machine.export_state().reveal(),
            header_digest=header_digest,
            parameter_digest=header.parameter_digest,
            checkpoint_size=header.checkpoint_size,
            checkpoint_root=header.checkpoint_root,
            pending=tuple(own),
            heads=heads,
        )
        return OpenReply(uploaded=uploaded, vector=raw, next_keys=next_keys), after

    def _note_unusable(self, dealers: tuple[str, ...], state: SiteState) -> None:
        if dealers:
            self._parts.note(
                f"round {state.round}: the shares of {', '.join(dealers)} for this site did not "
                "open; they dealt something else, or the coordinator altered it"
            )

    def _charge(self, mechanism: Mechanism, state: SiteState) -> tuple[bytes, bytes]:
        """Return the event of this round and the ledger's head after it was charged."""
        dataset, budget = self._parts.policy.budget_for(mechanism)
        event = round_event(mechanism)
        head = self._parts.ledger.draw(
            dataset,
            state.hello.run_id.hex(),
            state.round,
            state.hello.attempt,
            event,
            budget,
        )
        return canonical_json(event_to_json(event)), head

    def _train_and_encode(
        self, mechanism: Mechanism, state: SiteState, shared: NDArray[np.float32]
    ) -> NDArray[np.uint32]:
        spec = self._parts.workbench.spec(mechanism)
        update = self._parts.workbench.train(mechanism, shared, state.round)
        if update.spec != spec:
            raise IntegrityError(
                "The trainer made an update of another shape than the one this run shares: "
                "nothing was sent. The model in memory is not the configured one."
            )
        grid = Grid(mechanism.encoding.clip_range, mechanism.sites, mechanism.encoding.bits)
        # To nearest in mode none, so that a resumed run repeats itself to the bit.
        rounding: Rounding = NEAREST
        if not isinstance(mechanism.privacy, NoPrivacy):
            rounding = Stochastic(KeyStream(SecretBytes(self._parts.entropy(32))))
        encoded, clamped = grid.encode_clamped(update.flat(), rounding)
        if clamped:
            self._parts.note(
                f"round {state.round}: {clamped} of {encoded.size} coordinates exceeded "
                f"{mechanism.encoding.clip_range} and were clamped"
            )
        return encoded

    def _next_keys(
        self, machine: MaskingSite | None, mechanism: Mechanism, state: SiteState
    ) -> Signed | None:
        if machine is None or state.round + 1 >= mechanism.training.rounds:
            return None
        return self._sign(machine.keys_for(state.round + 1, self._parts.entropy))

    # -- exchange 2 of a round, and the one before it against a malicious coordinator ----------

    def _confirm(self, request: ConfirmRequest, state: SiteState) -> tuple[Reply, SiteState]:
        mechanism = parse_mechanism(state.mechanism)
        close = self._read(request.close, RoundClose)
        site_checks.check_close(close, state, mechanism, self._party)
        machine = _machine(state)
        confirmed = self._sign(machine.confirm(close.survivors))
        after = replace(
            state,
            stage=Stage.CONFIRMED,
            masking=machine.export_state().reveal(),
            pending=(*state.pending, leaf_of(confirmed)),
        )
        return ConfirmReply(confirmed=confirmed), after

    def _close(self, request: CloseRequest, state: SiteState) -> tuple[Reply, SiteState]:
        mechanism = parse_mechanism(state.mechanism)
        close = self._read(request.close, RoundClose)
        site_checks.check_close(close, state, mechanism, self._party)
        machine = _machine(state) if state.masking else None
        release = b""
        if machine is not None:
            words = [self._read_confirmation(signed) for signed in request.confirmations]
            release = encode(machine.release(close.survivors, words))
        released = self._sign(
            Released(
                session=close.session,
                round=close.round,
                site=self._parts.name,
                heads=self._heads(state),
                header_digest=close.header_digest,
                survivors=close.survivors,
                shares_digest=sha256(release),
            )
        )
        opened = OpenedSum(
            round=close.round, parameter_digest=state.parameter_digest, survivors=close.survivors
        )
        last = state.round + 1 >= mechanism.training.rounds
        sent: Signed | None = None
        shares: Mapping[str, bytes] = {}
        if machine is not None and not last:
            sent, shares = self._make_shares(machine, state, request.next_keys, state.round + 1)
        extract_sent, extract = self._extract(close, state) if last else (None, b"")
        own = [leaf_of(signed) for signed in (released, sent, extract_sent) if signed is not None]
        after = replace(
            state,
            stage=Stage.FINISHED if last else Stage.READY,
            round=state.round + 1,
            masking=b"" if machine is None or last else machine.export_state().reveal(),
            header_digest=NO_DIGEST,
            parameter_digest=NO_DIGEST,
            released=(*state.released, opened),
            pending=(*state.pending, *own),
        )
        reply = CloseReply(
            released=released,
            release=release,
            next_sent=sent,
            next_shares=dict(shares),
            extract_sent=extract_sent,
            extract=extract,
        )
        return reply, after

    def _extract(self, close: RoundClose, state: SiteState) -> tuple[Signed, bytes]:
        """Return the ledger's entries of this run, with data sets as commitments."""
        key = hkdf(self._parts.key.seed(), "ledger-commitment", b"", 32)
        entries = self._parts.ledger.extract(state.hello.run_id.hex(), key)
        extract = canonical_json([entry.to_json() for entry in entries])
        sent = ExtractSent(
            session=close.session,
            site=self._parts.name,
            heads=self._heads(state),
            extract_digest=sha256(extract),
        )
        return self._sign(sent), extract

    # -- what every step needs -----------------------------------------------------------------

    def _read(self, signed: Signed, kind: type[M]) -> M:
        return read_statement(signed, kind, self._coordinator, self._parts.roster)

    def _sign(self, message: Message) -> Signed:
        return sign_message(self._parts.key, self._parts.name, message)

    def _read_confirmation(self, signed: Signed) -> Confirmation:
        word = read_statement(signed, Confirmation, signed.signer, self._parts.roster)
        expect(
            word.site == signed.signer,
            f"{signed.signer} confirmed survivors in the name of another: nothing was released, "
            "since one key would be enough for all of them.",
        )
        return word

    def _heads(self, state: SiteState | None) -> Heads:
        """Return where this site's own records stand now."""
        ledger = self._parts.ledger.head()
        return journal.empty(ledger) if state is None else replace(state.heads, ledger=ledger)

    def _store(self, state: SiteState, digest: bytes, reply: bytes) -> bytes:
        heads = journal.extended(self._heads(state), digest, reply)
        stored = replace(state, heads=heads, request_digest=digest, reply=reply)
        self._parts.store.save(state.hello.run_id, stored)
        return reply


def _machine(state: SiteState) -> MaskingSite:
    return MaskingSite.import_state(SecretBytes(state.masking))


def _stage_before_close(state: SiteState) -> Stage:
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
