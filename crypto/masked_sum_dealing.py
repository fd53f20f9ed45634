"""How a site deals the shares of its secrets to its holders, and takes what others dealt to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec.structs import replace

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.kem import unwrap, wrap
from crypto.masked_sum_graph import GRAPH_SEED_BYTES, draw_neighbours
from crypto.masked_sum_keys import KeyContext, KeyRole, PairHalfContext, PartyKey, pair_half
from crypto.masked_sum_messages import announced_digest
from crypto.masked_sum_shares import (
    LARGEST_DEALT_BYTES,
    BundleContext,
    DealtShares,
    HeldShares,
    commitments_to,
    open_shares,
    seal_shares,
)
from crypto.masked_sum_state import Peer
from crypto.secrets import SecretBytes
from crypto.shamir import split

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crypto.masked_sum_messages import SiteKeys
    from crypto.masked_sum_session import Session
    from crypto.masked_sum_state import Dealt, Keyed
    from crypto.secrets import Entropy


@dataclass(frozen=True)
class Dealing:
    """What a site dealt in a round.

    Attributes:
        messages: what goes to each holder, by name; the site itself is one.
        drawn: the other holders, sorted.
        own: the shares that the site keeps of its own secrets.
    """

    messages: Mapping[str, bytes]
    drawn: tuple[str, ...]
    own: HeldShares


@dataclass(frozen=True)
class Received:
    """What a site took of what the cohort dealt to it.

    Attributes:
        dealers: who sent anything.
        held: the shares that open, by dealer.
        halves: in the hybrid suite, each dealer's half of the pair's secret.
    """

    dealers: frozenset[str]
    held: Mapping[str, HeldShares]
    halves: Mapping[str, SecretBytes]


@dataclass(frozen=True, eq=False)
class Dealer:
    """One site of a session, as dealer and as holder of shares."""

    session: Session
    site: str
    channel: PartyKey

    def mask_key(self, secret: SecretBytes) -> PartyKey:
        """Return the mask key pairs that follow from a round's mask secret."""
        context = KeyContext(self.session.digest(), self.site, KeyRole.MASK)
        return PartyKey(secret, context, self.session.suite)

    def draw(self, seed: bytes, site: str, names: Collection[str]) -> tuple[str, ...]:
        """Return the holders, apart from itself, that `site` draws among `names`."""
        others = tuple(sorted(name for name in names if name != site))
        if self.session.degree is None:
            return others
        return draw_neighbours(seed, site, others, min(self.session.degree, len(others)))

    def half_for(self, mask_secret: SecretBytes, round_number: int, peer: str) -> SecretBytes:
        """Return this site's half of the secret of its pair with `peer`."""
        context = PairHalfContext(self.session.digest(), round_number, self.site, peer)
        return pair_half(mask_secret, context)

    def deal(self, phase: Keyed, keys: Mapping[str, SiteKeys], entropy: Entropy) -> Dealing:
        """Return shares of both secrets of `phase`, sealed for each holder.

        Raises:
            PeerError: a holder's key cannot be used.
        """
        seed = b"" if self.session.is_complete else entropy(GRAPH_SEED_BYTES)
        drawn = self.draw(seed, self.site, keys.keys())
        held = self._split(phase, drawn, seed, entropy)
        announced = announced_digest(keys)
        messages = {}
        for holder in sorted(held):
            context = self._context(phase.keys, keys[holder], announced)
            message = DealtShares(*commitments_to(context, held[holder]), b"", b"", b"")
            if holder != self.site:
                message = self._sealed(phase, keys[holder], held[holder], context, entropy)
            messages[holder] = encode(message)
        return Dealing(messages, drawn, held[self.site])

    def receive(self, phase: Dealt, inbox: Mapping[str, bytes]) -> Received:
        """Return what opens of what each dealer sent to this site.

        Raises:
            PeerError: in the hybrid suite, a half of a pair's secret does not open: the pair's
                masks would not cancel. The dealer is named.
        """
        keys = {entry.site: entry for entry in (*phase.others, phase.keys)}
        announced = announced_digest(keys)
        mask = self.mask_key(phase.mask_secret)
        held, halves = {}, {}
        for sender in sorted(inbox):
            context = self._context(keys[sender], phase.keys, announced)
            message = _decoded(inbox[sender])
            if mask.kem is not None:
                wrapped = b"" if message is None else message.pair_half
                halves[sender] = unwrap(mask.kem, wrapped, encode(context))
            shares = self._opened(message, context, keys)
            if shares is not None:
                held[sender] = shares
        return Received(frozenset(inbox), held, halves)

    def peers(self, phase: Dealt, cohort: Collection[str], received: Received) -> tuple[Peer, ...]:
        """Return the neighbours in the cohort: those dealt to, and the dealers of `received`."""
        hybrid, drawn = self.session.suite.is_hybrid, set(phase.drawn)
        return tuple(
            Peer(
                entry,
                hybrid and entry.site in drawn,
                received.halves.get(entry.site, SecretBytes(b"")),
            )
            for entry in phase.others
            if entry.site in cohort and (entry.site in drawn or entry.site in received.dealers)
        )

    def _split(
        self, phase: Keyed, drawn: tuple[str, ...], seed: bytes, entropy: Entropy
    ) -> dict[str, HeldShares]:
        """Return the shares of both secrets for each holder, this site among them."""
        holders = sorted((*drawn, self.site))
        points = [self.session.point(site) for site in holders]
        masks = split(phase.mask_secret, self.session.threshold, points, entropy)
        seeds = split(phase.seed, self.session.threshold, points, entropy)
        return {
            site: HeldShares(mask.value, own.value, seed)
            for site, mask, own in zip(holders, masks, seeds, strict=True)
        }

    def _sealed(
        self,
        phase: Keyed,
        holder: SiteKeys,
        shares: HeldShares,
        context: BundleContext,
        entropy: Entropy,
    ) -> DealtShares:
        dealt = seal_shares(shares, self.channel, holder, context, entropy)
        if not self.session.suite.is_hybrid:
            return dealt
        half = self.half_for(phase.mask_secret, phase.keys.round, holder.site)
        return replace(dealt, pair_half=wrap(holder.mask_kem, half, encode(context)))

    def _context(self, sender: SiteKeys, receiver: SiteKeys, announced: bytes) -> BundleContext:
        return BundleContext(
            self.session.digest(),
            sender.round,
            sender.site,
            receiver.site,
            sender.digest(),
            receiver.digest(),
            announced,
        )

    def _opened(
        self, message: DealtShares | None, context: BundleContext, keys: Mapping[str, SiteKeys]
    ) -> HeldShares | None:
        """Return the shares in `message`, or None if they cannot be used."""
        if message is None:
            return None
        try:
            shares = open_shares(message, self.channel, keys[context.sender], context)
        except PeerError:
            return None
        if self.session.is_complete:
            return shares if shares.graph_seed == b"" else None
        if len(shares.graph_seed) != GRAPH_SEED_BYTES:
            return None
        drawn = self.draw(shares.graph_seed, context.sender, keys.keys())
        return shares if self.site in drawn else None


def _decoded(data: bytes) -> DealtShares | None:
    """Return the message in `data`, or None if it is none."""
    try:
        return decode(DealtShares, data, limit_bytes=LARGEST_DEALT_BYTES)
    except PeerError:
        return None
