"""The site's half of a masked sum: a pure state machine that masks and releases once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar, final

from crypto.agreement import SECRET_BYTES, AgreementKey
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum_messages import (
    Release,
    ReleasedShare,
    RoundBinding,
    Session,
    ShareKind,
    SiteKeys,
    check_distinct,
    check_keys,
    commit_to_seed,
)
from crypto.masked_sum_shares import BundleContext, HeldShares, open_shares, seal_shares
from crypto.masked_sum_state import (
    Dealt,
    Keyed,
    Masked,
    Opened,
    SiteState,
    export,
    restore,
)
from crypto.masking import MaskTerm, PairEnd, add_masks, check_vector, pairwise_term, self_mask_key
from crypto.secrets import SecretBytes
from crypto.shamir import split

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.masked_sum_state import Phase
    from crypto.secrets import Entropy

P = TypeVar("P", Keyed, Dealt, Opened, Masked)


@final
class MaskingSite:
    """One site's machine for the masked sums of one session.

    Formal guarantees: a key set masks at most one vector; for each peer and round at most one of
    its two shares is released; a call in another order than keys, shares, open, mask, release
    raises PeerError and changes nothing; secrets are forgotten as soon as no later step of their
    round needs them. They hold as long as the newest exported state is the one imported.
    """

    __slots__ = ("_channel", "_digest", "_latest", "_rounds", "_session", "_site")

    def __init__(self, state: SiteState, session: Session) -> None:
        """Use `start` or `import_state`."""
        self._session = session
        self._digest = session.digest()
        self._site = state.site
        self._channel = AgreementKey(state.channel)
        self._latest = state.latest
        self._rounds: dict[int, Phase] = {phase.keys.round: phase for phase in state.rounds}

    @classmethod
    def start(cls, session: Session, site: str, entropy: Entropy) -> MaskingSite:
        """Return the machine of `site` with a fresh channel key for this session.

        Raises:
            ConfigError: the session has no such site.
        """
        if site not in session.sites:
            raise ConfigError(f"{site} is not in the session's roster: it cannot take part.")
        secret = SecretBytes(entropy(SECRET_BYTES))
        return cls(SiteState(session.record(), site, secret, -1, ()), session)

    @classmethod
    def import_state(cls, data: SecretBytes) -> MaskingSite:
        """Return the machine that `export_state` described.

        Raises:
            IntegrityError: `data` is not the one encoding of a consistent state.
        """
        state, session = restore(data)
        return cls(state, session)

    def export_state(self) -> SecretBytes:
        """Return everything this machine is; use either the result or this object from here on."""
        rounds = tuple(self._rounds[number] for number in sorted(self._rounds))
        return export(
            SiteState(
                self._session.record(), self._site, self._channel.secret, self._latest, rounds
            )
        )

    @property
    def session(self) -> Session:
        """The session that this machine belongs to."""
        return self._session

    @property
    def site(self) -> str:
        """The site's name."""
        return self._site

    def keys_for(self, round_number: int, entropy: Entropy) -> SiteKeys:
        """Return fresh keys for a round; secrets of rounds before the one under way are forgotten.

        Raises:
            PeerError: keys for this round or a later one were made before.
        """
        if not self._latest < round_number < 2**32:
            raise PeerError(
                f"Keys for round {round_number} were refused: keys up to round {self._latest} "
                "were made, and a key set is used once. A new attempt needs a new session."
            )
        mask, seed = AgreementKey.generate(entropy), SecretBytes(entropy(SECRET_BYTES))
        commitment = commit_to_seed(self._digest, round_number, self._site, seed.reveal())
        keys = SiteKeys(
            self._digest, self._site, round_number, self._channel.public, mask.public, commitment
        )
        self._forget_before(round_number - 1)
        self._rounds[round_number] = Keyed(keys, mask.secret, seed)
        self._latest = round_number
        return keys

    def shares_for(
        self, round_number: int, keys: Mapping[str, SiteKeys], entropy: Entropy
    ) -> dict[str, bytes]:
        """Deal shares of this round's two secrets; return one sealed bundle per peer, by name.

        Args:
            round_number: the round.
            keys: the announced keys of everybody who takes part, this site's among them, each
                verified against the roster by the caller.
            entropy: the source of the polynomials and nonces.

        Raises:
            PeerError: out of order or a second time; keys of another session, round or site,
                altered own keys, one key twice, a key of low order, fewer sites than the threshold.
        """
        phase = self._phase(round_number, Keyed, "deal shares")
        self._check_announced(round_number, phase.keys, keys)
        points = [self._session.point(site) for site in sorted(keys)]
        masks = split(phase.mask_secret, self._session.threshold, points, entropy)
        seeds = split(phase.seed, self._session.threshold, points, entropy)
        held = {
            site: HeldShares(mask.value, seed.value)
            for site, mask, seed in zip(sorted(keys), masks, seeds, strict=True)
        }
        own = held.pop(self._site)
        bundles = {
            peer: seal_shares(
                shares,
                self._channel,
                keys[peer].channel,
                self._context(phase.keys, keys[peer]),
                entropy,
            )
            for peer, shares in held.items()
        }
        peers = tuple(keys[peer] for peer in bundles)
        self._rounds[round_number] = Dealt(phase.keys, phase.mask_secret, phase.seed, peers, own)
        return bundles

    def open_round(self, binding: RoundBinding, inbox: Mapping[str, bytes]) -> None:
        """Take the cohort and its shares for this site; secrets of earlier rounds are forgotten.

        Args:
            binding: what this round's masks are bound to.
            inbox: the sealed bundle of each peer in the cohort, by sender.

        Raises:
            PeerError: out of order or a second time; a cohort without this site, below the
                threshold or with a site that announced no keys; bundles that are missing, too
                many, or do not open (their sender is named). The round can then still be opened.
        """
        phase = self._phase(binding.round, Dealt, "open")
        peers = {keys.site: keys for keys in phase.peers}
        self._check_cohort(binding, set(peers), set(inbox))
        held = {self._site: phase.own}
        for sender in inbox:
            context = self._context(peers[sender], phase.keys)
            held[sender] = open_shares(inbox[sender], self._channel, peers[sender].channel, context)
        self._forget_before(binding.round)
        self._rounds[binding.round] = Opened(
            phase.keys,
            phase.mask_secret,
            phase.seed,
            tuple(peers[peer] for peer in binding.cohort if peer != self._site),
            binding.record(self._digest),
            {site: held[site] for site in binding.cohort},
        )

    def mask(self, vector: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Mask the open round's vector in place and return it; the plaintext is overwritten.

        Args:
            vector: this site's ring elements, writable, contiguous, uint32 of shape `(d,)`.

        Raises:
            PeerError: no round is open, or its vector was masked already.
            ValueError: the vector has another type, shape or layout, or is read-only.
        """
        check_vector(vector)
        if not vector.flags.writeable:
            raise ValueError("A vector is masked in place: it must be writable.")
        phase = self._phase(self._under_way(), Opened, "mask")
        terms = self._terms(phase)
        # The secrets are gone before the first element changes: whatever fails, none is reused.
        self._rounds[phase.keys.round] = Masked(phase.keys, phase.binding, phase.held)
        add_masks(vector, terms)
        return vector

    def release(self, survivors: tuple[str, ...]) -> Release:
        """Release one share per site of the cohort, then forget the round.

        Of a survivor it is the share of the self-mask seed, of a drop-out that of the mask
        secret; nobody ever gets both from this site.

        Raises:
            PeerError: nothing was masked or shares were released already; survivors unsorted,
                repeated, outside the cohort, fewer than the threshold, or without this site.
                Nothing was released then.
        """
        phase = self._phase(self._under_way(), Masked, "release shares")
        self._check_survivors(survivors, phase.binding.cohort)
        shares = tuple(_choose(site, held, survivors) for site, held in phase.held.items())
        del self._rounds[phase.keys.round]
        return Release(self._digest, phase.keys.round, self._site, survivors, shares)

    def end(self) -> None:
        """Forget the secrets of all rounds: the session is over, or given up."""
        self._rounds.clear()
        self._latest = 2**32 - 1

    def __repr__(self) -> str:
        return f"<masking site {self._site}, rounds {sorted(self._rounds)}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A masking site is not pickled or copied: it would mask twice.")

    def _terms(self, phase: Opened) -> list[MaskTerm]:
        binding = phase.binding.digest()
        secret = AgreementKey(phase.mask_secret)
        own = PairEnd(self._site, secret.public)
        terms = [MaskTerm(self_mask_key(phase.seed, self._site, binding), negative=False)]
        terms += [
            pairwise_term(secret, own, PairEnd(peer.site, peer.mask), binding)
            for peer in phase.peers
        ]
        return terms

    def _context(self, sender: SiteKeys, receiver: SiteKeys) -> BundleContext:
        return BundleContext(
            self._digest,
            sender.round,
            sender.site,
            receiver.site,
            sender.digest(),
            receiver.digest(),
        )

    def _check_announced(
        self, round_number: int, own: SiteKeys, keys: Mapping[str, SiteKeys]
    ) -> None:
        for name, entry in keys.items():
            check_keys(self._session, entry, round_number)
            if entry.site != name:
                raise PeerError(f"{entry.site}'s keys came under {name}'s name: no shares dealt.")
        if keys.get(self._site) != own:
            raise PeerError(
                f"The list of round {round_number} does not hold the keys that {self._site} "
                "announced: no shares were dealt, since the coordinator altered or dropped them."
            )
        check_distinct(keys.values())
        if len(keys) < self._session.threshold:
            raise PeerError(
                f"{len(keys)} sites announced keys for round {round_number}, the threshold is "
                f"{self._session.threshold}: no shares were dealt. Wait for more sites."
            )

    def _check_cohort(self, binding: RoundBinding, peers: set[str], senders: set[str]) -> None:
        cohort = set(binding.cohort)
        if self._site not in cohort:
            raise PeerError(f"{self._site} is not in the cohort: it masks nothing this round.")
        if len(cohort) < self._session.threshold:
            raise PeerError(
                f"A cohort of {len(cohort)} below the threshold of {self._session.threshold} was "
                "refused: its sum could never be opened."
            )
        strangers = sorted(cohort - peers - {self._site})
        if strangers:
            raise PeerError(
                f"The cohort names {', '.join(strangers)}, to whom no shares were dealt: nothing "
                "was masked."
            )
        odd = sorted(senders ^ (cohort - {self._site}))
        if odd:
            raise PeerError(
                f"The shares that came are not the cohort's: {', '.join(odd)} differ. A cohort is "
                "exactly the sites whose shares arrived; nothing was masked."
            )

    def _check_survivors(self, survivors: tuple[str, ...], cohort: tuple[str, ...]) -> None:
        if list(survivors) != sorted(set(survivors)):
            raise PeerError("Survivors that are not sorted and distinct: nothing was released.")
        strangers = sorted(set(survivors) - set(cohort))
        if strangers:
            raise PeerError(
                f"{', '.join(strangers)} cannot have survived, not being in the cohort: nothing "
                "was released."
            )
        if self._site not in survivors:
            raise PeerError(
                f"The survivors leave out {self._site}, which sent its vector: nothing was "
                "released, since its own masks would fall."
            )
        if len(survivors) < self._session.threshold:
            raise PeerError(
                f"{len(survivors)} survivors are fewer than the threshold of "
                f"{self._session.threshold}: nothing was released. The round is lost."
            )

    def _phase(self, round_number: int | None, kind: type[P], verb: str) -> P:
        phase = None if round_number is None else self._rounds.get(round_number)
        if not isinstance(phase, kind):
            state = "not under way" if phase is None else type(phase).__name__.lower()
            number = "its round" if round_number is None else f"round {round_number}"
            raise PeerError(
                f"{self._site} was asked to {verb}, but {number} is {state} here: the request came "
                "twice, out of order, or after a re-key, and nothing was done."
            )
        return phase

    def _under_way(self) -> int | None:
        """The round that is open or masked; opening one forgets those before, so there is one."""
        for number, phase in self._rounds.items():
            if isinstance(phase, Opened | Masked):
                return number
        return None

    def _forget_before(self, round_number: int) -> None:
        for number in [number for number in self._rounds if number < round_number]:
            del self._rounds[number]


def _choose(peer: str, held: HeldShares, survivors: tuple[str, ...]) -> ReleasedShare:
    if peer in survivors:
        return ReleasedShare(peer, ShareKind.SELF_MASK, held.self_mask.reveal())
    return ReleasedShare(peer, ShareKind.MASK_KEY, held.mask_key.reveal())
