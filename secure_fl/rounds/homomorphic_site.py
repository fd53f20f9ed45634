"""Homomorphic sums at a site: how it comes to the shared key, encrypts, and decrypts once a round.

The steps HE.n that comments cite stand in docs/homomorphic-sums.md. TenSEAL is loaded with the
first key, so that a run under another protection never loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn, final

import msgspec
import numpy as np
from msgspec.structs import replace

from crypto.agreement import SECRET_BYTES
from crypto.codec import Digest, Message, decode, encode
from crypto.errors import IntegrityError, PeerError
from crypto.homomorphic_keys import (
    LARGEST_EXPORTED_BYTES,
    ChannelKeys,
    KeyChannels,
    announcement,
    channel_key,
    check_announced,
    key_maker,
)
from crypto.homomorphic_messages import SumTerms
from crypto.masked_sum import RoundBinding
from crypto.secrets import SecretBytes
from secure_fl.rounds.homomorphic_sum import plan_of, read_blocks
from secure_fl.rounds.messages import EncryptedBlocks, KeyMade, Names, SharesSent
from secure_fl.rounds.reading import NO_DIGEST, expect, session_of, shares_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crypto.homomorphic import HomomorphicSite, SumKey
    from crypto.homomorphic_plan import SumPlan
    from crypto.masked_sum import Session
    from crypto.secrets import Entropy
    from privacy.update import UpdateSpec
    from secure_fl.config import Mechanism
    from secure_fl.rounds.messages import Heads, Hello, RoundHeader
    from secure_fl.rounds.site_state import SiteState

_RING_BITS = 32
_LARGEST_STATE_BYTES = 1 << 30


class HomomorphicState(Message, frozen=True, tag="secure-fl.homomorphic-state.v1"):
    """What a site of a homomorphic sum remembers between messages. It does not print.

    Attributes:
        channel: the secret of its channel keys, 32 bytes; empty once it holds the sum's key.
        announced: every site's channel keys; empty before they came.
        key: the exported key of the sum; empty before it came.
        cohort: of the open round; empty outside one.
        shared: the parameters that the open round began with, 4 bytes each; empty outside one.
        asked: of the request for which the open round's sum is decrypted; zeros before it.
        applied: of the parameters that the last round came to; zeros before the first.
    """

    channel: Annotated[bytes, msgspec.Meta(max_length=SECRET_BYTES)]
    announced: tuple[ChannelKeys, ...]
    key: Annotated[bytes, msgspec.Meta(max_length=LARGEST_EXPORTED_BYTES)]
    cohort: Names
    shared: bytes
    asked: Digest
    applied: Digest

    def __repr__(self) -> str:
        return "<state of a site of homomorphic sums>"


@final
class HomomorphicParty:
    """One site in the homomorphic sums of one session.

    Formal guarantees: a round is decrypted for one request, whether that succeeds or not, also
    after a crash: `ask` is stored before `decrypt` is called. A round begins from the parameters
    that this site came to itself in the round before. What is encrypted, and what is taken for a
    sum, is bound to the round's header, cohort and parameters.
    """

    __slots__ = ("_key", "_plan", "_session", "_site", "_state")

    def __init__(self, site: str, session: Session, plan: SumPlan, state: HomomorphicState) -> None:
        """Take a state; `start` and `restore` are the ways to one."""
        self._site = site
        self._session = session
        self._plan = plan
        self._state = state
        self._key: SumKey | None = None

    @classmethod
    def start(
        cls, site: str, hello: Hello, mechanism: Mechanism, spec: UpdateSpec, entropy: Entropy
    ) -> HomomorphicParty:
        """Begin a session with fresh channel keys."""
        state = HomomorphicState(entropy(SECRET_BYTES), (), b"", (), b"", NO_DIGEST, NO_DIGEST)
        return cls(site, session_of(hello), plan_of(mechanism, spec.size), state)

    @classmethod
    def restore(
        cls, site: str, state: SiteState, mechanism: Mechanism, spec: UpdateSpec
    ) -> HomomorphicParty:
        """Go on from what `export` returned.

        Raises:
            IntegrityError: the site's state holds something else.
        """
        try:
            own = decode(HomomorphicState, state.masking, limit_bytes=_LARGEST_STATE_BYTES)
        except PeerError as error:
            raise IntegrityError(
                "The stored state holds no homomorphic sum: nothing was answered. Move the run's "
                "state file away; the site then comes back with the next attempt."
            ) from error
        return cls(site, session_of(state.hello), plan_of(mechanism, spec.size), own)

    def export(self) -> bytes:
        """Return the state for the site's store, which seals it."""
        return encode(self._state)

    # -- before the first round ----------------------------------------------------------------

    def announce(self) -> ChannelKeys:
        """Return this site's channel keys (HE.2)."""
        channel = channel_key(SecretBytes(self._state.channel), self._session, self._site)
        return announcement(channel, self._session, self._site)

    def share(
        self, announced: Mapping[str, ChannelKeys], heads: Heads, round_: int, entropy: Entropy
    ) -> tuple[SharesSent | KeyMade, dict[str, bytes]]:
        """Return the statement, and what is sealed to the others: the key (HE.1, HE.2) or nothing.

        Raises:
            PeerError: the announcements are not sound, or lack this site's own.
        """
        check_announced(self._session, announced)
        expect(
            announced.get(self._site) == self.announce(),
            "The announced channel keys lack this site's own: no key was made or awaited.",
        )
        ordered = tuple(announced[site] for site in sorted(announced))
        self._state = replace(self._state, announced=ordered)
        digest = self._session.digest()
        if key_maker(announced) != self._site:
            nothing = shares_digest({})
            return SharesSent(digest, round_, self._site, heads, nothing), {}
        from crypto.homomorphic import SumKey, public_context  # noqa: PLC0415 - loads TenSEAL

        self._key = SumKey.generate(self._plan)
        channels = self._channels()
        sealed = {
            site: channels.seal(site, self._key.export(), self._key.digest, entropy)
            for site in sorted(announced)
            if site != self._site
        }
        self._keep_key()
        context = public_context(self._plan)
        made = KeyMade(
            session=digest,
            round=round_,
            site=self._site,
            heads=heads,
            key=self._key.digest,
            context=context,
            shares_digest=shares_digest(sealed),
        )
        return made, sealed

    # -- a round -------------------------------------------------------------------------------

    def open_round(self, header: RoundHeader, inbox: Mapping[str, bytes], shared: bytes) -> None:
        """Take the key in the first round, and what the open round is about.

        Raises:
            PeerError: the header names another key than this site holds or was sealed, other
                parameters than the last round came to, or a site that announced no keys.
        """
        expect(
            self._state.applied in {NO_DIGEST, header.parameter_digest},
            f"The header opens round {header.round} over other parameters than those this site "
            "came to in the round before: it was refused. The sites decrypted different sums.",
        )
        announced = {keys.site for keys in self._state.announced}
        expect(
            set(header.cohort) <= announced,
            "The round's cohort names a site that announced no channel keys: it has no key.",
        )
        if header.sum_key is None:
            raise PeerError("The round's header names no key of a homomorphic sum: refused.")
        if not self._state.key:
            self._take_key(inbox, header.sum_key)
        else:
            expect(not inbox, "A key came where this site holds one: the round was refused.")
        expect(
            self._sum_key().digest == header.sum_key,
            "The round's header names another key than the one this site holds: nothing was "
            "encrypted. The coordinator mixed two sessions, or its key maker made two.",
        )
        self._state = replace(self._state, cohort=header.cohort, shared=shared, asked=NO_DIGEST)

    def encrypt(self, binding: RoundBinding, vector: NDArray[np.uint32], bits: int) -> bytes:
        """Return the encrypted residues modulo 2^bits `vector`, shape (d,) (HE.4)."""
        blocks = self._machine(binding.round).encrypt(binding, _integers(vector, bits))
        return encode(EncryptedBlocks(tuple(blocks)))

    def ask(self, request_digest: bytes) -> None:
        """Begin to decrypt the open round's sum for one request; store `export` before going on.

        Raises:
            PeerError: it was decrypted for another request, successfully or not.
        """
        expect(
            self._state.asked in {NO_DIGEST, request_digest},
            "The round's sum was decrypted for another request before: this one was refused, "
            "since two sums show single sites, and repeated tries answer questions.",
        )
        self._state = replace(self._state, asked=request_digest)

    def decrypt(
        self, state: SiteState, survivors: tuple[str, ...], data: bytes, bits: int
    ) -> NDArray[np.uint32]:
        """Return the sum over `survivors` modulo 2^bits, shape (d,), of one round (HE.7).

        Raises:
            PeerError: it is of another round, key or survivors, or beyond what they can reach.
        """
        expect(self._state.asked != NO_DIGEST, "A sum came to be decrypted that nobody asked for.")
        binding = RoundBinding(
            state.round, state.header_digest, self._state.cohort, state.parameter_digest
        )
        blocks = read_blocks(data, self._plan)
        total = self._machine(state.round).decrypt(binding, survivors, blocks)
        residues: NDArray[np.uint32] = (total & (2**bits - 1)).astype(np.uint32)
        return residues

    @property
    def shared(self) -> bytes:
        """The parameters that the open round began with, as they came."""
        return self._state.shared

    def close(self, parameter_digest: bytes) -> None:
        """Forget the round; the next one begins from the parameters of `parameter_digest`."""
        self._state = replace(
            self._state, cohort=(), shared=b"", asked=NO_DIGEST, applied=parameter_digest
        )

    # -- what every step needs -----------------------------------------------------------------

    def _take_key(self, inbox: Mapping[str, bytes], digest: bytes) -> None:
        from crypto.homomorphic import SumKey  # noqa: PLC0415 - loads TenSEAL

        maker = key_maker({keys.site: keys for keys in self._state.announced})
        expect(
            set(inbox) == {maker} and maker != self._site,
            f"The sum's key has to come from {maker}, the first of the sites that joined, and did "
            "not: the round was refused. A key of another origin may be the coordinator's own.",
        )
        exported = self._channels().open(maker, inbox[maker], digest)
        self._key = SumKey.restore(self._plan, exported)
        self._keep_key()

    def _keep_key(self) -> None:
        """Put the key into the state; the channel has served."""
        exported = self._sum_key().export().reveal()
        self._state = replace(self._state, key=exported, channel=b"")

    def _channels(self) -> KeyChannels:
        channel = channel_key(SecretBytes(self._state.channel), self._session, self._site)
        announced = {keys.site: keys for keys in self._state.announced}
        return KeyChannels(self._session, self._site, channel, announced)

    def _sum_key(self) -> SumKey:
        from crypto.homomorphic import SumKey  # noqa: PLC0415 - loads TenSEAL

        if self._key is None:
            self._key = SumKey.restore(self._plan, SecretBytes(self._state.key))
        return self._key

    def _machine(self, round_: int) -> HomomorphicSite:
        from crypto.homomorphic import HomomorphicSite  # noqa: PLC0415 - loads TenSEAL

        key = self._sum_key()
        terms = SumTerms(self._session.digest(), self._plan, key.digest)
        return HomomorphicSite(self._site, terms, key, first_round=round_)

    def __repr__(self) -> str:
        return f"<{self._site} in homomorphic sums>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A site's secrets are not pickled: seal what `export` returns instead.")


def _integers(residues: NDArray[np.uint32], bits: int) -> NDArray[np.int32]:
    """Return the integers in [-2^(bits-1), 2^(bits-1)) that `residues` modulo 2^bits stand for."""
    unused = _RING_BITS - bits
    # Shifting left drops what lies above the ring, shifting right restores value and sign.
    integers: NDArray[np.int32] = (residues << np.uint32(unused)).view(np.int32) >> np.int32(unused)
    return integers
