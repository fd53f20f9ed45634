"""The coordinator's half of a masked sum: it adds uploads as they come and opens their sum."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn, final

from crypto.codec import decode
from crypto.errors import PeerError
from crypto.masked_sum_messages import (
    Confirmation,
    CulpritError,
    Release,
    RoundBinding,
    ShareKind,
    SiteKeys,
    announced_digest,
    check_distinct,
    check_keys,
)
from crypto.masked_sum_opening import Prepared, RunningSum
from crypto.masked_sum_shares import (
    LARGEST_DEALT_BYTES,
    CommitmentContext,
    DealtShares,
    commit_to_share,
)
from crypto.masking import add_masks
from crypto.ring import reduce_to_width
from crypto.secrets import SecretBytes
from crypto.shamir import check_share_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.masked_sum_messages import ReleasedShare
    from crypto.masked_sum_session import Session


@final
class MaskingCoordinator:
    """The machine of the coordinator for the masked sums of one session.

    It takes messages that are verified already, holds one running sum, and raises PeerError for
    a message that does not belong; the message is then not used and the round goes on. Only
    `unmask` learns anything, and only the sum over the survivors.
    """

    __slots__ = ("_dealt", "_digest", "_keys", "_next", "_session", "_sum")

    def __init__(self, session: Session, *, first_round: int) -> None:
        """Take the session and the round it begins with (above zero when a run is resumed)."""
        self._session = session
        self._digest = session.digest()
        self._next = first_round
        self._keys: dict[int, dict[str, SiteKeys]] = {}
        self._dealt: dict[int, dict[str, dict[str, DealtShares]]] = {}
        self._sum: RunningSum | None = None

    # -- before a round ------------------------------------------------------------------------

    def accept_keys(self, keys: SiteKeys) -> None:
        """Take a site's keys for one of the next two rounds; the same keys again change nothing.

        Step MS.3.

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

    def accept_shares(self, site: str, round_number: int, dealt: Mapping[str, bytes]) -> None:
        """Take what `site` dealt to its holders, by holder; the commitments in it are kept.

        Step MS.4.

        Raises:
            PeerError: the site announced no keys for this round, dealt before, or its holders are
                not everybody who announced (or, above 100 sites, its degree of them and itself),
                or what it dealt is no message.
        """
        announced = self._keys.get(round_number, {})
        if site not in announced or site in self._dealt.get(round_number, {}):
            raise PeerError(
                f"{site} dealt shares for round {round_number} twice, or without announcing keys "
                "for it: they were not used."
            )
        needed = len(announced)
        if self._session.degree is not None:
            needed = min(self._session.degree, needed - 1) + 1
        if site not in dealt or not set(dealt) <= set(announced) or len(dealt) != needed:
            raise PeerError(
                f"{site} dealt shares to other holders than those of round {round_number}: they "
                "were not used. It saw other announcements, or leaves somebody out."
            )
        messages = {
            holder: decode(DealtShares, data, limit_bytes=LARGEST_DEALT_BYTES)
            for holder, data in dealt.items()
        }
        self._dealt.setdefault(round_number, {})[site] = messages

    def dealers(self, round_number: int) -> tuple[str, ...]:
        """Return the sites whose shares for a round arrived, sorted: its cohort, if it begins."""
        return tuple(sorted(self._dealt.get(round_number, {})))

    def begin(self, binding: RoundBinding, d: int) -> None:
        """Begin the sum of a round over vectors of `d` elements; an unfinished one is given up.

        Step MS.5.

        Raises:
            PeerError: the cohort is below the quorum, or names a site that announced no keys for
                this round or whose shares did not arrive.
            ValueError: `d` is below 1.
        """
        if d < 1:
            raise ValueError(f"A sum of vectors with {d} elements was asked for.")
        announced = self._keys.get(binding.round, {})
        dealt = self._dealt.get(binding.round, {})
        strangers = sorted(set(binding.cohort) - (announced.keys() & dealt.keys()))
        if strangers:
            raise PeerError(
                f"Round {binding.round} cannot begin with {', '.join(strangers)} in its cohort, "
                "of whom no keys or no shares for it came."
            )
        self._require_quorum(len(binding.cohort), "are in the cohort")
        before = Prepared(
            {site: announced[site] for site in binding.cohort},
            {site: dealt[site] for site in binding.cohort},
            announced_digest(announced),
        )
        self._sum = RunningSum(self._session, binding, before, d)
        self._next = binding.round + 1
        for waiting in (self._keys, self._dealt):
            for number in [number for number in waiting if number < self._next]:
                del waiting[number]

    # -- a round -------------------------------------------------------------------------------

    def inbox(self, site: str) -> dict[str, bytes]:
        """Return what the cohort of the round under way dealt to `site`, by dealer.

        Raises:
            PeerError: no round is under way.
        """
        return self._running().inbox(site)

    def add(self, site: str, data: bytes | memoryview) -> None:
        """Add a site's masked vector, packed as `crypto.ring.pack` does; no reference is kept.

        Step MS.6.

        Add nothing after the survivors were named to the sites: what they release then opens
        another sum, and `unmask` refuses it.

        Raises:
            PeerError: no round is under way, the site is not in the cohort or was added before,
                or the vector has another length.
        """
        self._running().add(site, data)

    def survivors(self) -> tuple[str, ...]:
        """Return the sites whose uploads were added so far, sorted.

        Step MS.7.

        Raises:
            PeerError: no round is under way.
        """
        return tuple(sorted(self._running().added))

    def check_confirmation(self, confirmation: Confirmation) -> None:
        """Raise PeerError unless `confirmation` is of this round and of these survivors.

        Step MS.8.
        """
        running, survivors = self._running(), self.survivors()
        expected = Confirmation(
            self._digest,
            running.binding.round,
            confirmation.site,
            running.binding_digest,
            survivors,
            self._session.threshold,
        )
        if confirmation.site not in survivors or confirmation != expected:
            raise PeerError(
                f"{confirmation.site} confirmed other survivors, or another round, than asked: its "
                "word was not used."
            )

    def check_release(self, release: Release) -> None:
        """Raise PeerError unless `release` fits the round and each share what was committed to.

        Step MS.9.

        Raises:
            CulpritError: a share is not the one that was dealt to the releasing site.
            PeerError: the release is of another round or for other survivors, or its shares are
                not of the right kinds and in order.
        """
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
        peers = [share.peer for share in release.shares]
        if peers != sorted(set(peers)) or any(
            share.kind is not _kind(share.peer, survivors)
            or not running.deals(share.peer, release.site)
            for share in release.shares
        ):
            raise PeerError(
                f"{release.site} did not release at most one share of the right kind per site, of "
                "those dealt to it: its release was not used."
            )
        for share in release.shares:
            self._check_share(running, release, share)

    def unmask(self, releases: Mapping[str, Release]) -> NDArray[np.uint32]:
        """Open the sum over the survivors, uint32 of shape `(d,)`, and forget the round.

        Step MS.10.

        Everything that the shares rebuild is compared with what its owner announced before the
        first mask is taken away, so a call that raised can be repeated with other releases.

        Args:
            releases: the survivors' releases, by site; a threshold of shares of every secret.

        Raises:
            CulpritError: shares that are all as they were dealt rebuild another secret than the
                announced one: their dealer is the culprit. Or a share is not as it was dealt.
            PeerError: no round is under way, too few releases or too few shares of one secret, or a
                release that does not fit.
        """
        running = self._running()
        for site, release in releases.items():
            if release.site != site:
                raise PeerError(f"{release.site}'s release came under {site}'s name: not used.")
            self.check_release(release)
        if self._session.is_complete:
            self._require_quorum(len(releases), "released shares")
        terms = running.terms_to_remove(releases)
        self._sum = None
        total = running.total()
        add_masks(total, terms)
        reduce_to_width(total, self._session.width_bits)
        return total

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A masking coordinator is not pickled: a resumed run re-keys instead.")

    def _check_share(self, running: RunningSum, release: Release, share: ReleasedShare) -> None:
        value = SecretBytes(share.share)
        check_share_value(value)
        context = CommitmentContext(
            self._digest, release.round, share.peer, release.site, share.kind
        )
        if commit_to_share(context, value) != running.commitment(share.peer, release.site):
            raise CulpritError(
                release.site,
                f"{release.site} released another share of {share.peer}'s {share.kind.value} than "
                "the one it was dealt: its release was not used. It lies, or its disk does.",
            )

    def _running(self) -> RunningSum:
        if self._sum is None:
            raise PeerError("No round is under way: the message came early, late or twice.")
        return self._sum

    def _require_quorum(self, count: int, what: str) -> None:
        if count < self._session.quorum:
            raise PeerError(
                f"{count} sites {what}, fewer than the threshold of {self._session.quorum}: the "
                "sum cannot be opened. Wait for more, or start a new attempt."
            )


def _kind(site: str, survivors: tuple[str, ...]) -> ShareKind:
    return ShareKind.SELF_MASK if site in survivors else ShareKind.MASK_KEY
