"""The running sum of one round, and what has to be taken away from it to open it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from crypto.codec import encode
from crypto.errors import PeerError
from crypto.kem import unwrap
from crypto.masked_sum_keys import KeyContext, KeyRole, PairHalfContext, PartyKey, pair_half
from crypto.masked_sum_messages import CulpritError, ShareKind, commit_to_seed
from crypto.masked_sum_shares import BundleContext
from crypto.masking import MaskTerm, PairEnd, pairwise_key, self_mask_key
from crypto.ring import PackedSum
from crypto.secrets import SecretBytes
from crypto.shamir import combine_weighted, weights_at_zero

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.masked_sum_messages import Release, RoundBinding, SiteKeys
    from crypto.masked_sum_session import Session
    from crypto.masked_sum_shares import DealtShares


@dataclass(frozen=True)
class Prepared:
    """What a round's cohort exchanged before it.

    Attributes:
        keys: what each site of the cohort announced.
        dealt: what each site of the cohort dealt, by dealer and holder.
        announced: the digest of everything that was announced for the round, 32 bytes.
    """

    keys: Mapping[str, SiteKeys]
    dealt: Mapping[str, Mapping[str, DealtShares]]
    announced: bytes


class RunningSum:
    """The sum of one round so far."""

    def __init__(self, session: Session, binding: RoundBinding, before: Prepared, d: int) -> None:
        """Begin at zero, over vectors of `d` elements."""
        self.binding = binding
        self.binding_digest = binding.record(session.digest()).digest()
        self.added: set[str] = set()
        self._sum = PackedSum(d, session.width_bits)
        self._session = session
        self._keys = before.keys
        self._dealt = before.dealt
        self._announced = before.announced

    def inbox(self, site: str) -> dict[str, bytes]:
        """Return what the others of the cohort dealt to `site`, by dealer."""
        return {
            dealer: encode(holders[site])
            for dealer, holders in self._dealt.items()
            if dealer != site and site in holders
        }

    def add(self, site: str, data: bytes | memoryview) -> None:
        """Add a packed vector.

        Raises:
            PeerError: the site is not in the cohort or was added before, or the length is another.
        """
        if site not in self._keys:
            raise PeerError(f"{site} is not in this round's cohort: its upload was not added.")
        if site in self.added:
            raise PeerError(f"{site} uploaded twice: the second upload was not added.")
        try:
            self._sum.add(data)
        except PeerError as error:
            raise PeerError(f"{site}'s upload was not added. {error}") from error
        self.added.add(site)

    def total(self) -> NDArray[np.uint32]:
        """Return the sum of what was added, still masked; nothing may be added after it."""
        return self._sum.total()

    def deals(self, dealer: str, holder: str) -> bool:
        """Whether `dealer` is of the cohort and dealt shares to `holder`."""
        return holder in self._dealt.get(dealer, {})

    def commitment(self, dealer: str, holder: str) -> bytes:
        """Return the commitment to the share that `holder` may release of `dealer`'s secrets."""
        kind = ShareKind.SELF_MASK if dealer in self.added else ShareKind.MASK_KEY
        return self._dealt[dealer][holder].commitment(kind)

    def terms_to_remove(self, releases: Mapping[str, Release]) -> list[MaskTerm]:
        """Rebuild and check every site's secret; return the masks left in the sum, negated.

        Raises:
            CulpritError: a dealer's shares do not rebuild what it announced.
            PeerError: too few shares of one secret.
        """
        values = self._values(releases)
        terms = []
        for site in self.binding.cohort:
            secret = self._rebuild(site, values.get(site, {}))
            if site in self.added:
                key = self_mask_key(secret, site, self.binding_digest)
                terms.append(MaskTerm(key, negative=True))
            else:
                terms += self._left_by(site, secret)
        return terms

    def _values(self, releases: Mapping[str, Release]) -> dict[str, dict[str, SecretBytes]]:
        """Return the released shares of each site's secret, by site and holder in order."""
        values: dict[str, dict[str, SecretBytes]] = {}
        for holder in sorted(releases):
            for share in releases[holder].shares:
                values.setdefault(share.peer, {})[holder] = SecretBytes(share.share)
        return values

    def _rebuild(self, site: str, values: Mapping[str, SecretBytes]) -> SecretBytes:
        keys, session = self._keys[site], self._session
        survived = site in self.added
        what = "self-mask seed" if survived else "mask secret"
        chosen = sorted(values)[: session.threshold]
        if len(chosen) < session.threshold:
            raise PeerError(
                f"{len(chosen)} shares of {site}'s {what} were released, and {session.threshold} "
                "rebuild it: the sum cannot be opened. Wait for more, or start a new attempt."
            )
        refused = (
            f"The shares of {site}'s {what} are those that {site} dealt, and do not rebuild what "
            f"it announced: the sum was not opened. {site} dealt wrong shares; go on without it."
        )
        weights = _weights(tuple(session.point(holder) for holder in chosen))
        try:
            secret = combine_weighted([values[holder] for holder in chosen], weights)
        except PeerError as error:
            raise CulpritError(site, refused) from error
        if survived:
            rebuilt = commit_to_seed(keys.session, keys.round, site, secret.reveal())
            announced = keys.self_mask_commitment
        else:
            rebuilt, announced = self._mask_key(site, secret).agreement.public, keys.mask
        if rebuilt != announced:
            raise CulpritError(site, refused)
        return secret

    def _left_by(self, dropped: str, secret: SecretBytes) -> list[MaskTerm]:
        """The pairwise masks that survivors share with a drop-out, as they are to be undone."""
        mask = self._mask_key(dropped, secret)
        terms = []
        for site in sorted(self.added):
            if not (self.deals(dropped, site) or self.deals(site, dropped)):
                continue
            owner = self._end(dropped, self._half_of(dropped, site, secret))
            peer = self._end(site, self._half_sent(site, dropped, mask))
            key = pairwise_key(mask.agreement, owner, peer, self.binding_digest)
            # The survivor subtracted it where its own name is the greater: add it back there.
            terms.append(MaskTerm(key, negative=site < dropped))
        return terms

    def _half_of(self, dropped: str, peer: str, secret: SecretBytes) -> SecretBytes | None:
        """What the drop-out sent to `peer`, derived again from its mask secret."""
        if not (self._session.suite.is_hybrid and self.deals(dropped, peer)):
            return None
        context = PairHalfContext(self._session.digest(), self.binding.round, dropped, peer)
        return pair_half(secret, context)

    def _half_sent(self, sender: str, dropped: str, mask: PartyKey) -> SecretBytes | None:
        """What `sender` sent to the drop-out, opened with the drop-out's mask key."""
        if mask.kem is None or not self.deals(sender, dropped):
            return None
        sent, received = self._keys[sender], self._keys[dropped]
        context = BundleContext(
            self._session.digest(),
            self.binding.round,
            sender,
            dropped,
            sent.digest(),
            received.digest(),
            self._announced,
        )
        return unwrap(mask.kem, self._dealt[sender][dropped].pair_half, encode(context))

    def _mask_key(self, site: str, secret: SecretBytes) -> PartyKey:
        context = KeyContext(self._session.digest(), site, KeyRole.MASK)
        return PartyKey(secret, context, self._session.suite)

    def _end(self, site: str, half: SecretBytes | None) -> PairEnd:
        return PairEnd(site, self._keys[site].mask, self._keys[site].digest(), half)


@lru_cache(maxsize=1024)
def _weights(points: tuple[int, ...]) -> tuple[int, ...]:
    return weights_at_zero(points)
