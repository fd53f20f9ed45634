"""This platform's masked sums in one process: the machines of `crypto.masked_sum`, in memory.

The same parties as in `benchmarks.secagg_flower`: real machines on both sides, every message
handed over in memory, signatures and sealed state left out on both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from benchmarks.stopwatch import Stopwatch
from crypto.keystream import KEY_BYTES, KeyStream
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    MaskingCoordinator,
    MaskingSite,
    RoundBinding,
    Session,
    choose_neighbourhood,
    default_threshold,
)
from crypto.ring import pack
from crypto.secrets import SecretBytes, system_entropy
from privacy.fixed_point import NEAREST, Grid, Stochastic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from crypto.masked_sum import CohortRisk, Release, SiteKeys
    from crypto.ring import WidthBits
    from privacy.fixed_point import Rounding

CLIP: Final = 8.0
"""As Flower's default."""


def session_of(
    n: int,
    *,
    width_bits: WidthBits = 32,
    threshold: int | None = None,
    risk: CohortRisk | None = None,
) -> Session:
    """Return the session of `n` sites: over the complete graph, or one that bears `risk`.

    Raises:
        ConfigError: such a session is not on offer.
    """
    drawn = None if risk is None else choose_neighbourhood(n, risk)
    fewest = default_threshold(n) if threshold is None else threshold
    return Session(
        run_id=system_entropy(16),
        attempt=0,
        roster_digest=bytes(32),
        config_digest=bytes(32),
        suite=CipherSuite.X25519_HKDF_AES256CTR_Z32,
        adversary=Adversary.SEMI_HONEST,
        sites=tuple(f"site-{index:04d}" for index in range(n)),
        threshold=fewest if drawn is None else drawn.threshold,
        width_bits=width_bits,
        degree=None if drawn is None else drawn.degree,
        risk=risk,
    )


def binding_of(
    session: Session, round_number: int = 0, parameters: bytes = bytes(32)
) -> RoundBinding:
    """Return what a round over all sites is bound to."""
    return RoundBinding(round_number, bytes(32), session.sites, parameters)


class Watch(Protocol):
    """Looks at what happens in a block: a stopwatch, or what measures memory."""

    def running(self) -> AbstractContextManager[None]:
        """Look until the block ends."""


@dataclass
class MaskedRound:
    """One round of a session, step by step; the first site's and the coordinator's work is timed.

    Attributes:
        session: the parties.
        vector: what a site sends, float32 of shape `(d,)`, by its place.
        d: how many parameters.
        dropped: sites that deal shares and then upload nothing.
        stochastic: round at random, as a site does in private runs; to nearest otherwise.
        site: process time of the first site's whole work.
        server: process time of the coordinator's.
        masking: the part of both within the calls that add and take away masks.
        uploaded_bytes: of one site's packed vector.
    """

    session: Session
    vector: Callable[[int], NDArray[np.float32]]
    d: int
    dropped: frozenset[str] = frozenset()
    stochastic: bool = True
    site: Stopwatch = field(default_factory=Stopwatch)
    server: Watch = field(default_factory=Stopwatch)
    masking: Stopwatch = field(default_factory=Stopwatch)
    uploaded_bytes: int = 0

    def __post_init__(self) -> None:
        self.grid = Grid(CLIP, len(self.session.sites), self.session.width_bits)
        self.coordinator = MaskingCoordinator(self.session, first_round=0)
        self.machines: dict[str, MaskingSite] = {}
        self.announced: dict[str, SiteKeys] = {}

    def run(self) -> NDArray[np.float64]:
        """Return the sum over the survivors, float64 of shape `(d,)`.

        Raises:
            SecureFLError: a party refused.
        """
        self.prepare()
        self.upload()
        releases = self.release()
        with self.server.running():
            with self.masking.running():
                total = self.coordinator.unmask(releases)
            return self.grid.decode_sum(total, len(releases))

    def prepare(self, bindings: Mapping[str, RoundBinding] | None = None) -> None:
        """Announce keys, deal shares and open the round at every site.

        Args:
            bindings: what sites are told instead of the round's binding, by name.
        """
        for name in self.session.sites:
            with self._timed(name).running():
                self.machines[name] = MaskingSite.start(self.session, name, system_entropy)
                keys = self.machines[name].keys_for(0, system_entropy)
            with self.server.running():
                self.coordinator.accept_keys(keys)
        self.announced = dict(self.coordinator.keys(0))
        for name in self.session.sites:
            with self._timed(name).running():
                dealt = self.machines[name].shares_for(0, self.announced, system_entropy)
            with self.server.running():
                self.coordinator.accept_shares(name, 0, dealt)
        binding = binding_of(self.session)
        with self.server.running():
            self.coordinator.begin(binding, self.d)
        for name in self.session.sites:
            with self.server.running():
                inbox = self.coordinator.inbox(name)
            with self._timed(name).running():
                self.machines[name].open_round((bindings or {}).get(name, binding), inbox)

    def upload(self) -> None:
        """Let every site that does not drop out encode, mask and pack its vector; add each."""
        for place, name in enumerate(self.session.sites):
            if name in self.dropped:
                continue
            data = self._upload_of(place, name)
            self.uploaded_bytes = len(data)
            with self.server.running():
                self.coordinator.add(name, data)

    def packed(self, name: str, flat: NDArray[np.float32]) -> bytes:
        """Return what the site uploads for `flat`, float32 of shape `(d,)`."""
        rounding: Rounding = NEAREST
        if self.stochastic:
            rounding = Stochastic(KeyStream(SecretBytes(system_entropy(KEY_BYTES))))
        vector, _ = self.grid.encode_clamped(flat, rounding)
        with (self.masking if name == self.session.sites[0] else Stopwatch()).running():
            masked = self.machines[name].mask(vector)
        return pack(masked, self.session.width_bits)

    def release(self) -> Mapping[str, Release]:
        """Return what every survivor releases."""
        with self.server.running():
            survivors = self.coordinator.survivors()
        releases = {}
        for name in survivors:
            with self._timed(name).running():
                releases[name] = self.machines[name].release(survivors)
        return releases

    def _upload_of(self, place: int, name: str) -> bytes:
        flat = self.vector(place)
        with self._timed(name).running():
            return self.packed(name, flat)

    def _timed(self, name: str) -> Stopwatch:
        return self.site if name == self.session.sites[0] else Stopwatch()
