"""Homomorphic sums at the coordinator: it relays a key that it cannot read, and adds ciphertexts.

The steps HE.n that comments cite stand in docs/homomorphic-sums.md. TenSEAL is loaded with the
first key, so that a run under another protection never loads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.codec import decode, encode
from crypto.errors import PeerError
from crypto.homomorphic_keys import check_announced, key_maker
from crypto.homomorphic_messages import SumTerms
from crypto.homomorphic_plan import SumPlan
from secure_fl.rounds.grids import grid_of
from secure_fl.rounds.messages import EncryptedBlocks
from secure_fl.rounds.reading import expect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crypto.homomorphic import HomomorphicCoordinator
    from crypto.homomorphic_keys import ChannelKeys
    from crypto.masked_sum import RoundBinding, Session
    from secure_fl.config import Mechanism
    from secure_fl.rounds.messages import KeyMade

_BLOCK_EXTRA_BYTES = 8


def plan_of(mechanism: Mechanism, size: int) -> SumPlan:
    """Return the plan of a sum of `size` values: the grid's largest integer, for all sites."""
    grid = grid_of(mechanism)
    return SumPlan(size, grid.largest, mechanism.sites, mechanism.scheme)


def read_blocks(data: bytes, plan: SumPlan) -> tuple[bytes, ...]:
    """Return the blocks of one vector or sum.

    Raises:
        PeerError: it is longer than a vector of the plan, or no list of blocks.
    """
    limit = (plan.blocks + 1) * (plan.block_limit_bytes + _BLOCK_EXTRA_BYTES)
    return decode(EncryptedBlocks, data, limit_bytes=limit).blocks


class HomomorphicSum:
    """The encrypted sums of one session.

    It takes messages that are verified already, holds one running sum and no key, and opens
    nothing. Every method that takes a message raises PeerError for one that does not belong.
    """

    def __init__(self, session: Session, plan: SumPlan, *, first_round: int) -> None:
        """Begin without keys."""
        self._session = session
        self._plan = plan
        self._first_round = first_round
        self._keys: dict[str, ChannelKeys] = {}
        self._ready: set[str] = set()
        self._sealed: dict[str, bytes] = {}
        self._key: bytes | None = None
        self._adder: HomomorphicCoordinator | None = None
        self._round = first_round

    # -- before the first round ----------------------------------------------------------------

    def accept_keys(self, keys: ChannelKeys) -> None:
        """Take a site's channel keys (HE.2)."""
        check_announced(self._session, {**self._keys, keys.site: keys})
        self._keys[keys.site] = keys

    def makes_key(self, site: str) -> bool:
        """Return whether `site` is the one that makes the key."""
        return site == key_maker(self._keys)

    def accept_shares(self, site: str, round_: int, shares: Mapping[str, bytes]) -> None:
        """Note that `site` has the announcements; it has nothing to deal."""
        expect(
            round_ == self._first_round and site in self._keys and not shares,
            f"{site} dealt shares where one site makes the key: they were not used.",
        )
        self._ready.add(site)

    def accept_key(self, made: KeyMade, sealed: Mapping[str, bytes]) -> None:
        """Take the keyless parameters, and the key as it was sealed to each other site (HE.3).

        Raises:
            PeerError: another site makes the key, it was made before, it was not sealed to
                everybody else, or it is for other parameters.
            IntegrityError: a secret key came with the parameters.
        """
        from crypto.homomorphic import HomomorphicCoordinator  # noqa: PLC0415 - loads TenSEAL

        expect(
            self.makes_key(made.site) and self._key is None,
            f"{made.site} made a key, and another site makes it, or it was made: it was not used.",
        )
        expect(
            set(sealed) == set(self._keys) - {made.site},
            f"{made.site} did not seal its key to exactly the other sites: it was not used.",
        )
        terms = SumTerms(self._session.digest(), self._plan, made.key)
        self._adder = HomomorphicCoordinator(terms, made.context, first_round=self._first_round)
        self._key = made.key
        self._sealed = dict(sealed)
        self._ready.add(made.site)

    def dealers(self, round_: int) -> tuple[str, ...]:
        """Return the cohort of the first round: who has the announcements, if the key was made.

        Raises:
            PeerError: the site that was to make the key did not.
        """
        del round_
        if self._key is None:
            raise PeerError(
                f"{key_maker(self._keys)} was to make the key of the sum and did not: no round was "
                "opened. Resume the run: the first of the sites that join then makes it."
            )
        return tuple(sorted(self._ready))

    # -- a round -------------------------------------------------------------------------------

    @property
    def key(self) -> bytes | None:
        """The digest of the key that the sites share, 32 bytes."""
        return self._key

    def begin(self, binding: RoundBinding, size: int) -> None:
        """Begin the sum of a round."""
        del size  # the plan has it
        self._round = binding.round
        self._adding().begin(binding)

    def inbox(self, site: str) -> dict[str, bytes]:
        """Return the key as it was sealed to `site`, by its maker: with the first round alone."""
        if self._round != self._first_round or site not in self._sealed:
            return {}
        return {key_maker(self._keys): self._sealed[site]}

    def add(self, site: str, data: bytes) -> None:
        """Add a site's upload, whole or not at all (HE.5)."""
        self._adding().add(site, read_blocks(data, self._plan))

    def close(self) -> bytes:
        """End the round and return its encrypted sum, one `EncryptedBlocks` (HE.6)."""
        return encode(EncryptedBlocks(tuple(self._adding().close())))

    def _adding(self) -> HomomorphicCoordinator:
        if self._adder is None:
            raise PeerError("No key was made: nothing can be added.")
        return self._adder
