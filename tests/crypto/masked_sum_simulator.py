"""An in-memory run of a masked sum, so that an attack is a few lines. Only tests use it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crypto.codec import decode
from crypto.masked_sum import (
    Adversary,
    CipherSuite,
    CohortRisk,
    MaskingCoordinator,
    MaskingSite,
    Release,
    RoundBinding,
    Session,
    choose_neighbourhood,
    default_threshold,
)
from crypto.masked_sum_shares import LARGEST_DEALT_BYTES, DealtShares
from crypto.ring import pack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crypto.masked_sum import Confirmation, SiteKeys
    from crypto.secrets import Entropy


def entropy_of(seed: str) -> Entropy:
    """A repeatable source for tests; a deployed site uses the operating system's."""
    counter = iter(range(1 << 30))

    def entropy(length_bytes: int) -> bytes:
        return hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(length_bytes)

    return entropy


def session_of(n: int, **changes: Any) -> Session:  # noqa: ANN401 - fields of a session
    """A session of `n` sites, in the complete graph unless `risk` is given."""
    fields: dict[str, Any] = {
        "run_id": b"r" * 16,
        "attempt": 0,
        "roster_digest": b"o" * 32,
        "config_digest": b"c" * 32,
        "suite": CipherSuite.X25519_HKDF_AES256CTR_Z32,
        "adversary": Adversary.SEMI_HONEST,
        "sites": tuple(f"site-{index:03d}" for index in range(n)),
        "threshold": default_threshold(n),
    }
    risk = changes.get("risk")
    if isinstance(risk, CohortRisk):
        drawn = choose_neighbourhood(n, risk)
        fields |= {"threshold": drawn.threshold, "degree": drawn.degree}
    return Session(**(fields | changes))


def binding_of(
    cohort: Iterable[str], round_number: int = 0, parameters: bytes = b"p" * 32
) -> RoundBinding:
    return RoundBinding(round_number, b"h" * 32, tuple(sorted(cohort)), parameters)


@dataclass
class Simulation:
    """All parties of one session; each method is one exchange, and leaves its messages behind."""

    session: Session
    seed: str = "simulation"
    first_round: int = 0
    keys: dict[int, dict[str, SiteKeys]] = field(default_factory=dict)
    dealt: dict[int, dict[str, dict[str, bytes]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.entropy = entropy_of(self.seed)
        self.coordinator = MaskingCoordinator(self.session, first_round=self.first_round)
        self.sites = {
            name: MaskingSite.start(self.session, name, self.entropy) for name in self.session.sites
        }

    def announce(self, round_number: int = 0, who: Iterable[str] | None = None) -> None:
        for name in sorted(self.sites if who is None else who):
            self.coordinator.accept_keys(self.sites[name].keys_for(round_number, self.entropy))
        self.keys[round_number] = dict(self.coordinator.keys(round_number))

    def deal(self, round_number: int = 0, who: Iterable[str] | None = None) -> None:
        keys = self.keys[round_number]
        self.dealt[round_number] = {
            name: self.sites[name].shares_for(round_number, keys, self.entropy)
            for name in (keys if who is None else sorted(who))
        }
        for name, dealt in self.dealt[round_number].items():
            self.coordinator.accept_shares(name, round_number, dealt)

    def inbox(self, receiver: str, binding: RoundBinding) -> dict[str, bytes]:
        dealt = self.dealt[binding.round]
        return {
            peer: dealt[peer][receiver]
            for peer in binding.cohort
            if peer != receiver and receiver in dealt[peer]
        }

    def message(self, dealer: str, holder: str, round_number: int = 0) -> DealtShares:
        data = self.dealt[round_number][dealer][holder]
        return decode(DealtShares, data, limit_bytes=LARGEST_DEALT_BYTES)

    def open(self, binding: RoundBinding, d: int) -> None:
        self.coordinator.begin(binding, d)
        for name in binding.cohort:
            self.sites[name].open_round(binding, self.inbox(name, binding))

    def upload(self, name: str, vector: NDArray[np.uint32]) -> None:
        masked = self.sites[name].mask(vector.copy())
        self.coordinator.add(name, pack(masked, self.session.width_bits))

    def confirm(self, who: Iterable[str] | None = None) -> list[Confirmation]:
        survivors = self.coordinator.survivors()
        confirmations = [
            self.sites[name].confirm(survivors) for name in (survivors if who is None else who)
        ]
        for confirmation in confirmations:
            self.coordinator.check_confirmation(confirmation)
        return confirmations

    def release(self, who: Iterable[str] | None = None) -> dict[str, Release]:
        """What the survivors release; against a malicious coordinator all confirm first."""
        survivors = self.coordinator.survivors()
        confirmations: list[Confirmation] = []
        if self.session.adversary is Adversary.MALICIOUS:
            confirmations = self.confirm()
        return {
            name: self.sites[name].release(survivors, confirmations)
            for name in (survivors if who is None else who)
        }

    def to_masked(self, d: int = 5, dropped: Iterable[str] = ()) -> dict[str, NDArray[np.uint32]]:
        """Run round 0 up to the last upload; return the survivors' plaintext vectors."""
        self.announce()
        self.deal()
        self.open(binding_of(self.session.sites), d)
        vectors = vectors_of(set(self.session.sites) - set(dropped), d)
        for name, vector in vectors.items():
            self.upload(name, vector)
        return vectors


def vectors_of(names: Iterable[str], d: int, seed: int = 0) -> dict[str, NDArray[np.uint32]]:
    """Uniform ring elements, among them the ring's edges."""
    generator = np.random.default_rng(seed)
    vectors = {}
    for name in sorted(names):
        vector = generator.integers(0, 2**32, size=d, dtype=np.uint32)
        vector[0] = 2**32 - 1
        vectors[name] = vector
    return vectors


def sum_of(vectors: Iterable[NDArray[np.uint32]], width_bits: int = 32) -> list[int]:
    """The plaintext sum modulo 2^width, in Python's integers."""
    columns = zip(*(v.tolist() for v in vectors), strict=True)
    return [sum(column) % 2**width_bits for column in columns]


def keyed() -> Simulation:
    """Four sites that announced their keys for round 0."""
    run = Simulation(session_of(4))
    run.announce()
    return run


def dealt() -> Simulation:
    """Four sites that dealt their shares for round 0."""
    run = keyed()
    run.deal()
    return run


def opened(d: int = 5) -> Simulation:
    """Four sites that opened round 0."""
    run = dealt()
    run.open(binding_of(run.session.sites), d)
    return run


def masked(dropped: Iterable[str] = ()) -> tuple[Simulation, dict[str, NDArray[np.uint32]]]:
    """Four sites whose uploads were added, but for the dropped; and the plaintext vectors."""
    run = Simulation(session_of(4))
    return run, run.to_masked(dropped=dropped)
