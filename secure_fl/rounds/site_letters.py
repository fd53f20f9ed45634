"""What a site signs, what it reads of others, and where its own records stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec.structs import replace

from crypto.homomorphic_keys import ChannelKeys
from crypto.masked_sum import Confirmation, SiteKeys
from crypto.signatures import Signed, sign_message
from secure_fl.rounds import journal
from secure_fl.rounds.reading import expect, read_statement

if TYPE_CHECKING:
    from crypto.codec import Message
    from secure_fl.rounds.messages import Heads
    from secure_fl.rounds.site_parts import SiteParts
    from secure_fl.rounds.site_state import SiteState

M = TypeVar("M", bound="Message")
K = TypeVar("K", SiteKeys, ChannelKeys)


class SiteLetters:
    """Signs as one site, and opens statements under the roster pinned there."""

    def __init__(self, parts: SiteParts) -> None:
        self._parts = parts
        self._coordinator = parts.roster.coordinator().name

    def read(self, signed: Signed, kind: type[M]) -> M:
        """Return the coordinator's statement.

        Raises:
            PeerError: it is not the coordinator's, or another one.
        """
        return read_statement(signed, kind, self._coordinator, self._parts.roster)

    def sign(self, message: Message) -> Signed:
        """Return `message`, signed by this site."""
        return sign_message(self._parts.key, self._parts.name, message)

    def heads(self, state: SiteState | None) -> Heads:
        """Return where this site's own records stand now."""
        ledger = self._parts.ledger.head()
        return journal.empty(ledger) if state is None else replace(state.heads, ledger=ledger)

    def announced(
        self, signed: tuple[Signed, ...], kind: type[K], state: SiteState
    ) -> dict[str, K]:
        """Return the announced keys of the session's sites, each signed by its owner.

        Raises:
            PeerError: there are fewer than this site's smallest cohort, or some do not belong.
        """
        smallest = self._parts.policy.smallest_cohort
        expect(
            len(signed) >= smallest,
            f"Shares among {len(signed)} sites were asked for, and this site's smallest cohort is "
            f"{smallest}: none were dealt.",
        )
        keys: dict[str, K] = {}
        for envelope in signed:
            expect(
                envelope.signer in state.hello.sites,
                f"Keys of {envelope.signer} came, which is not in this session.",
            )
            expect(envelope.signer not in keys, f"Two sets of keys of {envelope.signer} came.")
            keys[envelope.signer] = read_statement(
                envelope, kind, envelope.signer, self._parts.roster
            )
        return keys

    def confirmation(self, signed: Signed) -> Confirmation:
        """Return what a survivor confirmed, in its own name."""
        word = read_statement(signed, Confirmation, signed.signer, self._parts.roster)
        expect(
            word.site == signed.signer,
            f"{signed.signer} confirmed survivors in the name of another: nothing was released, "
            "since one key would be enough for all of them.",
        )
        return word
