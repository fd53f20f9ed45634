"""The coordinator's half of a masked sum: it adds uploads as they come and opens their sum."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn, final

import numpy as np

from crypto.agreement import AgreementKey
from crypto.errors import PeerError
from crypto.masked_sum_messages import (
    Release,
    RoundBinding,
    Session,
    ShareKind,
    SiteKeys,
    check_distinct,
    check_keys,
    commit_to_seed,
)
from crypto.masking import MaskTerm, PairEnd, add_masks, check_vector, pairwise_key, self_mask_key
from crypto.secrets import SecretBytes
from crypto.shamir import check_share_value, combine_weighted, weights_at_zero

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@final
class MaskingCoordinator:
    """The machine of the coordinator for the masked sums of one session.

    It takes messages that are verified already, holds one running sum, and raises PeerError for
    a message that does not belong; the message is then not used and the round goes on. Only
    `unmask` learns anything, and only the sum over the survivors.
    """

    __slots__ = ("_digest", "_keys", "_next", "_session", "_sum")

    def __init__(self, session: Session, *, first_round: int) -> None:
        """Take the session and the round it begins with (above zero when a run is resumed)."""
        self._session = session
        self._digest = session.digest()
        self._next = first_round
        self._keys: dict[int, dict[str, SiteKeys]] = {}
        self._sum: _RunningSum | None = None

    def accept_keys(self, keys: SiteKeys) -> None:
        """Take a site's keys for one of the next two rounds; the same keys again change nothing.

        Raises:
            PeerError: another session or round, a name outside the session, other keys than the
                site announced before, or a key that somebody else announced.
        """
        if keys.round not in {self._next, self._next + 1}:
            raise PeerError(
                f"{keys.site} announced keys for round {keys.round}, but rounds {self._next} and "
                f"{self._next + 1} are being prepared: they were not used."
            )
        check_keys(self._session, keys, keys.round)
        announced = self._keys.setdefault(keys.round, {})
        if keys.site in announced:
            if announced[keys.site] == keys:
                return
            raise PeerError(f"{keys.site} announced two different key sets: the second is refused.")
        check_distinct([*announced.values(), keys])
        announced[keys.site] = keys

    def keys(self, round_number: int) -> Mapping[str, SiteKeys]:
        """Return the keys that came so far for a round, by name in order."""
        announced = self._keys.get(round_number, {})
        return MappingProxyType({site: announced[site] for site in sorted(announced)})

    def begin(self, binding: RoundBinding, d: int) -> None:
        """Begin the sum of a round over vectors of `d` elements; an unfinished one is given up.

        Raises:
            PeerError: the cohort is below the threshold, or names a site that announced no keys
                for this round.
            ValueError: `d` is below 1.
        """
        if d < 1:
            raise ValueError(f"A sum of vectors with {d} elements was asked for.")
        announced = self._keys.get(binding.round, {})
        strangers = sorted(set(binding.cohort) - set(announced))
        if strangers:
            raise PeerError(
                f"Round {binding.round} cannot begin with {', '.join(strangers)} in its cohort, "
                "of whom no keys for it came."
            )
        self._require_threshold(len(binding.cohort), "are in the cohort")
        self._sum = _RunningSum(binding, {site: announced[site] for site in binding.cohort}, d)
        self._next = binding.round + 1
        for number in [number for number in self._keys if number < self._next]:
            del self._keys[number]

    def add(self, site: str, vector: NDArray[np.uint32]) -> None:
        """Add a site's masked vector, uint32 of shape `(d,)`; no reference to it is kept.

        Add nothing after the survivors were named to the sites: what they release then opens
        another sum, and `unmask` refuses it.

        Raises:
            PeerError: no round is under way, the site is not in the cohort or was added before,
                or the vector has another type or length.
        """
        self._running().add(site, vector)

    def survivors(self) -> tuple[str, ...]:
        """Return the sites whose uploads were added so far, sorted.

        Raises:
            PeerError: no round is under way.
        """
        return tuple(sorted(self._running().added))

    def check_release(self, release: Release) -> None:
        """Raise PeerError unless `release` fits the round, its survivors and its cohort."""
        running = self._running()
        survivors = self.survivors()
        number = running.binding.round
        if (release.session, release.round) != (self._digest, number):
            raise PeerError(
                f"{release.site} released shares of another session or round: they were not used."
            )
        if release.site not in survivors or release.survivors != survivors:
            raise PeerError(
                f"{release.site} released shares for other survivors than those of round {number}: "
                "they were not used."
            )
        expected = [(site, _kind(site, survivors)) for site in running.binding.cohort]
        if [(share.peer, share.kind) for share in release.shares] != expected:
            raise PeerError(
                f"{release.site} did not release exactly one share of the right kind per site: "
                "its release was not used."
            )
        for share in release.shares:
            check_share_value(SecretBytes(share.share))

    def unmask(self, releases: Mapping[str, Release]) -> NDArray[np.uint32]:
        """Open the sum over the survivors, uint32 of shape `(d,)`, and forget the round.

        Everything that the shares rebuild is compared with what its owner announced before the
        first mask is taken away, so a call that raised can be repeated with other releases.

        Args:
            releases: at least a threshold of the survivors' releases, by site.

        Raises:
            PeerError: no round is under way, too few releases, a release that does not fit, or
                shares that rebuild a secret other than the announced one (its owner is named).
        """
        running = self._running()
        for site, release in releases.items():
            if release.site != site:
                raise PeerError(f"{release.site}'s release came under {site}'s name: not used.")
            self.check_release(release)
        self._require_threshold(len(releases), "released shares")
        chosen = [releases[site] for site in sorted(releases)[: self._session.threshold]]
        terms = running.terms_to_remove(self._session, chosen)
        self._sum = None
        add_masks(running.total, terms)
        return running.total

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A masking coordinator is not pickled: a resumed run re-keys instead.")

    def _running(self) -> _RunningSum:
        if self._sum is None:
            raise PeerError("No round is under way: the message came early, late or twice.")
        return self._sum

    def _require_threshold(self, count: int, what: str) -> None:
        if count < self._session.threshold:
            raise PeerError(
                f"{count} sites {what}, fewer than the threshold of {self._session.threshold}: "
                "the sum cannot be opened. Wait for more, or start a new attempt."
            )


class _RunningSum:
    """The sum of one round so far."""

    def __init__(self, binding: RoundBinding, keys: dict[str, SiteKeys], d: int) -> None:
        self.binding = binding
        self.keys = keys
        self.added: set[str] = set()
        self.total: NDArray[np.uint32] = np.zeros(d, dtype=np.uint32)

    def add(self, site: str, vector: NDArray[np.uint32]) -> None:
        if site not in self.keys:
            raise PeerError(f"{site} is not in this round's cohort: its upload was not added.")
        if site in self.added:
            raise PeerError(f"{site} uploaded twice: the second upload was not added.")
        try:
            check_vector(vector)
        except ValueError as error:
            raise PeerError(f"{site}'s upload was not added. {error}") from error
        if vector.shape != self.total.shape:
            raise PeerError(
                f"{site} uploaded {vector.size} elements where the round sums {self.total.size}: "
                "its upload was not added. It runs another configuration."
            )
        np.add(self.total, vector, out=self.total)
        self.added.add(site)

    def terms_to_remove(self, session: Session, releases: list[Release]) -> list[MaskTerm]:
        """Rebuild and check every site's secret; return the masks left in the sum, negated."""
        weights = weights_at_zero([session.point(release.site) for release in releases])
        binding = self.binding.record(session.digest()).digest()
        terms = []
        for place, site in enumerate(self.binding.cohort):
            values = [SecretBytes(release.shares[place].share) for release in releases]
            secret = self._rebuild(site, values, weights)
            if site in self.added:
                terms.append(MaskTerm(self_mask_key(secret, site, binding), negative=True))
            else:
                terms += self._left_by(site, AgreementKey(secret), binding)
        return terms

    def _rebuild(
        self, site: str, values: list[SecretBytes], weights: tuple[int, ...]
    ) -> SecretBytes:
        keys = self.keys[site]
        survived = site in self.added
        what = "self-mask seed" if survived else "mask secret"
        refused = (
            f"The released shares of {site}'s {what} do not rebuild what {site} announced: the sum "
            f"was not opened. {site} dealt wrong shares, or a survivor released a wrong one."
        )
        try:
            secret = combine_weighted(values, weights)
        except PeerError as error:
            raise PeerError(refused) from error
        if survived:
            seed = secret.reveal()
            rebuilt = commit_to_seed(keys.session, keys.round, site, seed)
            announced = keys.self_mask_commitment
        else:
            rebuilt, announced = AgreementKey(secret).public, keys.mask
        if rebuilt != announced:
            raise PeerError(refused)
        return secret

    def _left_by(self, dropped: str, secret: AgreementKey, binding: bytes) -> list[MaskTerm]:
        """The pairwise masks that survivors share with a drop-out, as they are to be undone."""
        owner = PairEnd(dropped, secret.public)
        terms = []
        for site in sorted(self.added):
            key = pairwise_key(secret, owner, PairEnd(site, self.keys[site].mask), binding)
            # The survivor subtracted it where its own name is the greater: add it back there.
            terms.append(MaskTerm(key, negative=site < dropped))
        return terms


def _kind(site: str, survivors: tuple[str, ...]) -> ShareKind:
    return ShareKind.SELF_MASK if site in survivors else ShareKind.MASK_KEY
