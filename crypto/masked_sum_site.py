"""The site's half of a masked sum: a pure state machine that masks and releases once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, TypeVar, final

from crypto.agreement import SECRET_BYTES
from crypto.errors import ConfigError, PeerError
from crypto.masked_sum_checks import (
    check_announced,
    check_cohort,
    check_confirmations,
    check_neighbourhoods,
    check_survivors,
)
from crypto.masked_sum_dealing import Dealer
from crypto.masked_sum_keys import KeyContext, KeyRole, PartyKey
from crypto.masked_sum_messages import (
    Confirmation,
    Release,
    ReleasedShare,
    RoundBinding,
    ShareKind,
    SiteKeys,
    commit_to_seed,
)
from crypto.masked_sum_session import Adversary, Session
from crypto.masked_sum_state import (
    Confirmed,
    Dealt,
    Keyed,
    Masked,
    Opened,
    SiteState,
    export,
    restore,
)
from crypto.masking import MaskTerm, PairEnd, add_masks, pairwise_term, self_mask_key
from crypto.ring import check_vector
from crypto.secrets import SecretBytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from crypto.masked_sum_shares import HeldShares
    from crypto.masked_sum_state import Phase
    from crypto.ring import IntegerNoise
    from crypto.secrets import Entropy

P = TypeVar("P", Keyed, Dealt, Opened, Masked, Confirmed)


@final
class MaskingSite:
    """One site's machine for the masked sums of one session.

    Formal guarantees: a key set masks at most one vector; for each peer and round at most one of
    its two shares is released, and against a malicious coordinator only for survivors that a
    quorum of them confirmed; a call in another order than keys, shares, open, mask, (confirm,)
    release raises PeerError and changes nothing; secrets are forgotten as soon as no later step of
    their round needs them. They hold as long as the newest exported state is the one imported.
    """

    __slots__ = ("_dealer", "_digest", "_latest", "_rounds", "_session", "_site")

    def __init__(self, state: SiteState, session: Session) -> None:
        """Use `start` or `import_state`."""
        self._session = session
        self._digest = session.digest()
        self._site = state.site
        context = KeyContext(self._digest, state.site, KeyRole.CHANNEL)
        channel = PartyKey(state.channel, context, session.suite)
        self._dealer = Dealer(session, state.site, channel)
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
                self._session.record(),
                self._site,
                self._dealer.channel.secret,
                self._latest,
                rounds,
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

        Step MS.3.

        Raises:
            PeerError: keys for this round or a later one were made before.
        """
        if not self._latest < round_number < 2**32:
            raise PeerError(
                f"Keys for round {round_number} were refused: keys up to round {self._latest} "
                "were made, and a key set is used once. A new attempt needs a new session."
            )
        mask = self._dealer.mask_key(SecretBytes(entropy(SECRET_BYTES)))
        seed = SecretBytes(entropy(SECRET_BYTES))
        keys = SiteKeys(
            session=self._digest,
            site=self._site,
            round=round_number,
            channel=self._dealer.channel.agreement.public,
            channel_kem=self._dealer.channel.kem_public,
            mask=mask.agreement.public,
            mask_kem=mask.kem_public,
            self_mask_commitment=commit_to_seed(
                self._digest, round_number, self._site, seed.reveal()
            ),
        )
        self._forget_before(round_number - 1)
        self._rounds[round_number] = Keyed(keys, mask.secret, seed)
        self._latest = round_number
        return keys

    def shares_for(
        self, round_number: int, keys: Mapping[str, SiteKeys], entropy: Entropy
    ) -> dict[str, bytes]:
        """Deal shares of this round's two secrets; return what goes to each holder, by name.

        Step MS.4.

        The site itself is one of the holders: what stands under its own name holds the commitments
        to its own shares. Above 100 sites the other holders are drawn now, from a fresh seed.

        Args:
            round_number: the round.
            keys: the announced keys of everybody who takes part, this site's among them, each
                verified against the roster by the caller.
            entropy: the source of the polynomials, the nonces and the graph's seed.

        Raises:
            PeerError: out of order or a second time; keys of another session, round or site,
                altered own keys, one key twice, a key of low order, fewer sites than the quorum.
        """
        phase = self._phase(round_number, Keyed, "deal shares")
        check_announced(self._session, round_number, phase.keys, keys)
        dealing = self._dealer.deal(phase, keys, entropy)
        others = tuple(keys[name] for name in sorted(keys) if name != self._site)
        self._rounds[round_number] = Dealt(
            phase.keys, phase.mask_secret, phase.seed, others, dealing.drawn, dealing.own
        )
        return dict(dealing.messages)

    def open_round(self, binding: RoundBinding, inbox: Mapping[str, bytes]) -> tuple[str, ...]:
        """Take the cohort and its shares for this site; secrets of earlier rounds are forgotten.

        Step MS.5.

        Shares that do not open are left out and their dealers returned, sorted: the dealer sent
        something else, or the coordinator altered it. The sum needs `threshold` holders of each
        site's shares, not every one.

        Args:
            binding: what this round's masks are bound to.
            inbox: what each dealer of the cohort sent to this site, by dealer.

        Raises:
            PeerError: out of order or a second time; a cohort without this site, below the
                quorum or with a site that announced no keys; bundles that are missing or too many,
                or so many that do not open that no sum could be; in the hybrid suite, a half of a
                pair's secret that does not open. The round can then still be opened.
        """
        phase = self._phase(binding.round, Dealt, "open")
        others = {keys.site for keys in phase.others}
        check_cohort(self._session, self._site, binding, others, inbox.keys())
        received = self._dealer.receive(phase, inbox)
        held = {**received.held, self._site: phase.own}
        unusable = tuple(sorted(inbox.keys() - held.keys()))
        if self._session.is_complete and len(held) < self._session.threshold:
            raise PeerError(
                f"The shares of {', '.join(unusable)} for {self._site} do not open: too few are "
                "left for any sum. Nothing was masked; they, or the coordinator, altered them."
            )
        self._forget_before(binding.round)
        self._rounds[binding.round] = Opened(
            phase.keys,
            phase.mask_secret,
            phase.seed,
            self._dealer.peers(phase, binding.cohort, received),
            binding.record(self._digest),
            {site: held[site] for site in sorted(held)},
            () if self._session.is_complete else tuple(sorted({self._site, *others})),
        )
        return unusable

    def mask(
        self, vector: NDArray[np.uint32], noise: IntegerNoise | None = None
    ) -> NDArray[np.uint32]:
        """Mask the open round's vector in place and return it; the plaintext is overwritten.

        Step MS.6.

        Args:
            vector: this site's ring elements, writable, contiguous, uint32 of shape `(d,)`.
            noise: integers to add first, this site's share of distributed noise. That the sum
                then stays in its ring is `crypto.ring.SumRange`'s to check, before the round.

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
        self._rounds[phase.keys.round] = Masked(
            phase.keys, phase.binding, phase.held, phase.announced
        )
        add_masks(vector, terms, noise)
        return vector

    def confirm(self, survivors: tuple[str, ...]) -> Confirmation:
        """Return this site's word that it was told of `survivors`, for the caller to sign.

        Step MS.8.

        Raises:
            PeerError: the session's adversary is semi-honest; nothing was masked, or survivors
                were confirmed already; survivors for which nothing would be released.
        """
        if self._session.adversary is not Adversary.MALICIOUS:
            raise PeerError(
                f"{self._site} was asked to confirm survivors in a session that has no such "
                "exchange: nothing was signed."
            )
        phase = self._phase(self._under_way(), Masked, "confirm survivors")
        self._check_release(phase, survivors)
        self._rounds[phase.keys.round] = Confirmed(phase.keys, phase.binding, phase.held, survivors)
        return self._confirmation(phase.binding.digest(), phase.keys.round, survivors)

    def release(
        self, survivors: tuple[str, ...], confirmations: Iterable[Confirmation] = ()
    ) -> Release:
        """Release one share of each site whose shares it holds, then forget the round.

        Step MS.9.

        Of a survivor it is the share of the self-mask seed, of a drop-out that of the mask
        secret; nobody ever gets both from this site.

        Args:
            survivors: sorted names.
            confirmations: against a malicious coordinator, the survivors' signed words, each
                verified against the roster by the caller.

        Raises:
            PeerError: nothing was masked (or confirmed) or shares were released already; survivors
                unsorted, repeated, outside the cohort, fewer than the quorum, or without this
                site; fewer than a quorum of confirmations, or others than this site's own.
                Nothing was released then.
        """
        phase: Masked | Confirmed
        if self._session.adversary is Adversary.MALICIOUS:
            phase = self._phase(self._under_way(), Confirmed, "release shares")
            expected = self._confirmation(phase.binding.digest(), phase.keys.round, phase.survivors)
            check_confirmations(self._session, survivors, confirmations, expected)
        else:
            phase = self._phase(self._under_way(), Masked, "release shares")
            self._check_release(phase, survivors)
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
        """Return the masks of this site's vector: its own, and one per neighbour."""
        binding = phase.binding.digest()
        secret = self._dealer.mask_key(phase.mask_secret).agreement
        announced = phase.keys.digest()
        terms = [MaskTerm(self_mask_key(phase.seed, self._site, binding), negative=False)]
        for peer in phase.peers:
            keys, sent = peer.keys, None
            if peer.is_sent:
                sent = self._dealer.half_for(phase.mask_secret, phase.keys.round, keys.site)
            own = PairEnd(self._site, secret.public, announced, sent)
            other = PairEnd(keys.site, keys.mask, keys.digest(), peer.half or None)
            terms.append(pairwise_term(secret, own, other, binding))
        return terms

    def _check_release(self, phase: Masked, survivors: tuple[str, ...]) -> None:
        check_survivors(self._session, self._site, survivors, phase.binding.cohort)
        if not self._session.is_complete:
            drawn = {
                site: self._dealer.draw(held.graph_seed, site, phase.announced)
                for site, held in phase.held.items()
                if site in survivors
            }
            check_neighbourhoods(self._session.threshold, survivors, drawn)

    def _confirmation(
        self, binding: bytes, round_number: int, survivors: tuple[str, ...]
    ) -> Confirmation:
        return Confirmation(
            self._digest, round_number, self._site, binding, survivors, self._session.threshold
        )

    # -- the rounds that are held --------------------------------------------------------------

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
            if isinstance(phase, Opened | Masked | Confirmed):
                return number
        return None

    def _forget_before(self, round_number: int) -> None:
        for number in [number for number in self._rounds if number < round_number]:
            del self._rounds[number]


def _choose(peer: str, held: HeldShares, survivors: tuple[str, ...]) -> ReleasedShare:
    if peer in survivors:
        return ReleasedShare(peer, ShareKind.SELF_MASK, held.self_mask.reveal())
    return ReleasedShare(peer, ShareKind.MASK_KEY, held.mask_key.reveal())
