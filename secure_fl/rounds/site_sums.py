"""How a site takes part in a sum under each protection: its keys, its upload, its word at the end.

One class per protection, all of one shape, so that the site's machine asks and does not choose.
They keep nothing between requests: what must be remembered is returned, and stored by the caller.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from crypto.codec import encode
from crypto.digests import sha256
from crypto.errors import IntegrityError, PeerError
from crypto.homomorphic_keys import ChannelKeys
from crypto.masked_sum import MaskingSite, RoundBinding, SiteKeys
from crypto.ring import pack
from crypto.secrets import SecretBytes
from secure_fl.methods import SeenUpdates, method_of
from secure_fl.parameters import parameter_digest, vector_from_bytes, vector_to_bytes
from secure_fl.rounds.grids import grid_of
from secure_fl.rounds.homomorphic_site import HomomorphicParty
from secure_fl.rounds.messages import Applied, Released, SharesSent
from secure_fl.rounds.reading import expect, session_of, shares_digest
from secure_fl.views import Protection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crypto.codec import Message
    from crypto.ring import WidthBits
    from crypto.signatures import Signed
    from secure_fl.config import Mechanism
    from secure_fl.rounds.encoding import Noised
    from secure_fl.rounds.messages import (
        CloseRequest,
        Hello,
        OpenRequest,
        RoundClose,
        RoundHeader,
        ShareRequest,
    )
    from secure_fl.rounds.site_letters import SiteLetters
    from secure_fl.rounds.site_parts import SiteParts
    from secure_fl.rounds.site_state import SiteState


@dataclass(frozen=True)
class Dealt:
    """What a site says before a round: a statement, what it seals to others, what it keeps."""

    statement: Signed
    sealed: Mapping[str, bytes]
    secrets: bytes = field(repr=False)


@dataclass(frozen=True)
class Closed:
    """What a site says to a close, and what it keeps; under masks also its next shares."""

    statement: Signed
    data: bytes
    secrets: bytes = field(repr=False)
    next_sent: Signed | None = None
    next_shares: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class OpenSum(Protocol):
    """A site's part in one open round."""

    @property
    def unusable(self) -> tuple[str, ...]:
        """The sites whose shares for this one did not open."""

    def protect(self, noised: Noised) -> bytes:
        """Return what travels of the update; a share of noise alone leaves under masks only."""

    def next_keys(self) -> Message | None:
        """Return the keys to announce for the round after this one, where there are any."""

    def export(self) -> bytes:
        """Return what the site has to remember."""


class SiteSums(Protocol):
    """A site's part in the sums of one session."""

    def announce(
        self, hello: Hello, round_: int, before: SiteState | None
    ) -> tuple[Message | None, bytes]:
        """Return the keys to announce, where there are any, and what is kept of them."""

    def share(self, request: ShareRequest, state: SiteState) -> Dealt:
        """Return what is dealt before the first round."""

    def open(
        self, request: OpenRequest, header: RoundHeader, digest: bytes, state: SiteState
    ) -> OpenSum:
        """Return the open round, before anything is charged or trained."""

    def close(
        self, request: CloseRequest, close: RoundClose, state: SiteState, digest: bytes
    ) -> Closed:
        """Return the answer to the close; `digest` is that of the whole request."""


def sums_of(parts: SiteParts, letters: SiteLetters, mechanism: Mechanism) -> SiteSums:
    """Return how a site takes part under the protection of `mechanism`."""
    match mechanism.protection:
        case Protection.MASKED:
            return MaskedSums(parts, letters, mechanism)
        case Protection.HOMOMORPHIC:
            return HomomorphicSums(parts, letters, mechanism)
        case Protection.PLAIN:
            return PlainSums(parts, letters, mechanism)


# -- masks -----------------------------------------------------------------------------------------


def masking_of(state: SiteState) -> MaskingSite:
    """Return the masked sum's machine as it was stored."""
    return MaskingSite.import_state(SecretBytes(state.masking))


class _OpenMasked:
    """An open round under masks."""

    def __init__(
        self, sums: MaskedSums, machine: MaskingSite, round_: int, unusable: tuple[str, ...]
    ) -> None:
        self._sums = sums
        self._machine = machine
        self._round = round_
        self.unusable = unusable

    def protect(self, noised: Noised) -> bytes:
        masked = self._machine.mask(noised.vector)
        return bytes(pack(masked, self._sums.bits))

    def next_keys(self) -> Message | None:
        if self._sums.is_last(self._round):
            return None
        return self._machine.keys_for(self._round + 1, self._sums.parts.entropy)

    def export(self) -> bytes:
        return self._machine.export_state().reveal()


class MaskedSums:
    """Under masks: shares are dealt, and released for the survivors."""

    def __init__(self, parts: SiteParts, letters: SiteLetters, mechanism: Mechanism) -> None:
        self.parts = parts
        self.bits: WidthBits = mechanism.encoding.bits
        self._letters = letters
        self._rounds = mechanism.training.rounds

    def is_last(self, round_: int) -> bool:
        """Return whether no round follows."""
        return round_ + 1 >= self._rounds

    def announce(
        self, hello: Hello, round_: int, before: SiteState | None
    ) -> tuple[Message | None, bytes]:
        """Return the keys for the first round; a site that comes back keeps its channel key."""
        if before is not None and before.hello == hello and before.masking:
            machine = masking_of(before)
        else:
            machine = MaskingSite.start(session_of(hello), self.parts.name, self.parts.entropy)
        return machine.keys_for(round_, self.parts.entropy), machine.export_state().reveal()

    def share(self, request: ShareRequest, state: SiteState) -> Dealt:
        """Return this site's shares for the round that is next."""
        return self._deal(masking_of(state), state, request.keys, request.round)

    def open(
        self, request: OpenRequest, header: RoundHeader, digest: bytes, state: SiteState
    ) -> OpenSum:
        """Return the open round, with the shares that others dealt."""
        machine = masking_of(state)
        unusable = machine.open_round(_binding(header, digest), request.inbox)
        return _OpenMasked(self, machine, header.round, unusable)

    def close(
        self, request: CloseRequest, close: RoundClose, state: SiteState, digest: bytes
    ) -> Closed:
        """Return this site's shares for the survivors, and its shares for the next round."""
        del digest
        machine = masking_of(state)
        words = [self._letters.confirmation(signed) for signed in request.confirmations]
        release = encode(machine.release(close.survivors, words))
        released = _released(self.parts, self._letters, close, state, release)
        if self.is_last(state.round):
            return Closed(released, release, b"")
        dealt = self._deal(machine, state, request.next_keys, state.round + 1)
        return Closed(released, release, dealt.secrets, dealt.statement, dealt.sealed)

    def _deal(
        self, machine: MaskingSite, state: SiteState, signed: tuple[Signed, ...], round_: int
    ) -> Dealt:
        keys = self._letters.announced(signed, SiteKeys, state)
        shares = machine.shares_for(round_, keys, self.parts.entropy)
        sent = SharesSent(
            session=session_of(state.hello).digest(),
            round=round_,
            site=self.parts.name,
            heads=self._letters.heads(state),
            shares_digest=shares_digest(shares),
        )
        return Dealt(self._letters.sign(sent), shares, machine.export_state().reveal())


# -- ciphertexts -----------------------------------------------------------------------------------


class _OpenEncrypted:
    """An open round of homomorphic sums."""

    unusable: tuple[str, ...] = ()

    def __init__(self, party: HomomorphicParty, binding: RoundBinding, bits: int) -> None:
        self._party = party
        self._binding = binding
        self._bits = bits

    def protect(self, noised: Noised) -> bytes:
        _require_no_share(noised)
        return self._party.encrypt(self._binding, noised.vector, self._bits)

    def next_keys(self) -> Message | None:
        return None

    def export(self) -> bytes:
        return self._party.export()


class HomomorphicSums:
    """Under homomorphic sums: one site makes the key, and each decrypts and applies the rule."""

    def __init__(self, parts: SiteParts, letters: SiteLetters, mechanism: Mechanism) -> None:
        self._parts = parts
        self._letters = letters
        self._mechanism = mechanism
        self._spec = parts.workbench.spec(mechanism)

    def announce(
        self, hello: Hello, round_: int, before: SiteState | None
    ) -> tuple[Message | None, bytes]:
        """Return channel keys for the whole session; an earlier session's key is forgotten."""
        del round_, before
        party = HomomorphicParty.start(
            self._parts.name, hello, self._mechanism, self._spec, self._parts.entropy
        )
        return party.announce(), party.export()

    def share(self, request: ShareRequest, state: SiteState) -> Dealt:
        """Return the sum's key, sealed to the others, if this site makes it; else nothing."""
        announced = self._letters.announced(request.keys, ChannelKeys, state)
        party = self._party(state)
        heads = self._letters.heads(state)
        statement, sealed = party.share(announced, heads, request.round, self._parts.entropy)
        return Dealt(self._letters.sign(statement), sealed, party.export())

    def open(
        self, request: OpenRequest, header: RoundHeader, digest: bytes, state: SiteState
    ) -> OpenSum:
        """Return the open round, with the key in hand."""
        party = self._party(state)
        party.open_round(header, request.inbox, request.parameters)
        return _OpenEncrypted(party, _binding(header, digest), self._mechanism.encoding.bits)

    def close(
        self, request: CloseRequest, close: RoundClose, state: SiteState, digest: bytes
    ) -> Closed:
        """Decrypt the sum once, apply the method's rule, and return what follows (HE.7, HE.8)."""
        summed = sha256(request.sum)
        expect(
            summed == close.sum_digest,
            "The encrypted sum is not the one that the close was signed for: it was altered on the "
            "way, and not decrypted.",
        )
        party = self._party(state)
        party.ask(digest)
        # Before the answer is known: a crash or a failure must not earn a second question.
        self._parts.store.save(state.hello.run_id, replace(state, masking=party.export()))
        encoding, survivors = self._mechanism.encoding, close.survivors
        total = party.decrypt(state, survivors, request.sum, encoding.bits)
        grid = grid_of(self._mechanism)
        seen = SeenUpdates(grid.decode_sum(total, len(survivors)), len(survivors))
        method = method_of(self._mechanism)
        shared = vector_from_bytes(self._spec, party.shared)
        parameters = vector_to_bytes(method.server_rule(shared, seen))
        after = parameter_digest(self._spec, parameters)
        applied = Applied(
            session=close.session,
            round=close.round,
            site=self._parts.name,
            heads=self._letters.heads(state),
            header_digest=close.header_digest,
            survivors=survivors,
            sum_digest=summed,
            parameter_digest=after,
        )
        party.close(after)
        last = state.round + 1 >= self._mechanism.training.rounds
        return Closed(self._letters.sign(applied), parameters, b"" if last else party.export())

    def _party(self, state: SiteState) -> HomomorphicParty:
        return HomomorphicParty.restore(self._parts.name, state, self._mechanism, self._spec)


# -- in clear --------------------------------------------------------------------------------------


class _OpenPlain:
    """An open round in clear."""

    unusable: tuple[str, ...] = ()

    def __init__(self, bits: WidthBits) -> None:
        self._bits = bits

    def protect(self, noised: Noised) -> bytes:
        _require_no_share(noised)
        return bytes(pack(noised.vector, self._bits))

    def next_keys(self) -> Message | None:
        return None

    def export(self) -> bytes:
        return b""


class PlainSums:
    """In clear: there is nothing to announce, to deal or to release."""

    def __init__(self, parts: SiteParts, letters: SiteLetters, mechanism: Mechanism) -> None:
        self._parts = parts
        self._letters = letters
        self._bits: WidthBits = mechanism.encoding.bits

    def announce(
        self, hello: Hello, round_: int, before: SiteState | None
    ) -> tuple[Message | None, bytes]:
        """Return nothing."""
        del hello, round_, before
        return None, b""

    def share(self, request: ShareRequest, state: SiteState) -> Dealt:
        """Refuse."""
        del request
        raise PeerError(f"Shares were asked for in round {state.round} of a run in clear.")

    def open(
        self, request: OpenRequest, header: RoundHeader, digest: bytes, state: SiteState
    ) -> OpenSum:
        """Return the open round."""
        del request, header, digest, state
        return _OpenPlain(self._bits)

    def close(
        self, request: CloseRequest, close: RoundClose, state: SiteState, digest: bytes
    ) -> Closed:
        """Return that this site is part of the sum."""
        del request, digest
        return Closed(_released(self._parts, self._letters, close, state, b""), b"", b"")


# -- what they share -------------------------------------------------------------------------------


def _require_no_share(noised: Noised) -> None:
    """Refuse an update that needs others' noise, where it could be read without theirs."""
    if noised.share:
        raise IntegrityError(
            "An update with only this site's share of the noise was about to leave without masks: "
            "nothing was sent. Report it with the run's configuration."
        )


def _binding(header: RoundHeader, digest: bytes) -> RoundBinding:
    return RoundBinding(header.round, digest, header.cohort, header.parameter_digest)


def _released(
    parts: SiteParts, letters: SiteLetters, close: RoundClose, state: SiteState, release: bytes
) -> Signed:
    """Return the signed statement that this site released `release` for the survivors."""
    released = Released(
        session=close.session,
        round=close.round,
        site=parts.name,
        heads=letters.heads(state),
        header_digest=close.header_digest,
        survivors=close.survivors,
        shares_digest=sha256(release),
    )
    return letters.sign(released)
