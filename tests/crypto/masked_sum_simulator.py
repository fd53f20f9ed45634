"""An in-memory run of a masked sum, so that an attack is a few lines. Only tests use it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from crypto.masked_sum import (
    CipherSuite,
    MaskingCoordinator,
    MaskingSite,
    Release,
    RoundBinding,
    Session,
    default_threshold,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crypto.masked_sum import SiteKeys
    from crypto.secrets import Entropy


def entropy_of(seed: str) -> Entropy:
    """A repeatable source for tests; a deployed site uses the operating system's."""
    counter = iter(range(1 << 30))

    def entropy(length_bytes: int) -> bytes:
        return hashlib.shake_256(f"{seed}/{next(counter)}".encode()).digest(length_bytes)

    return entropy


def session_of(n: int, *, threshold: int | None = None, attempt: int = 0) -> Session:
    return Session(
        run_id=b"r" * 16,
        attempt=attempt,
        roster_digest=b"o" * 32,
        config_digest=b"c" * 32,
        suite=CipherSuite.X25519_HKDF_AES256CTR_Z32,
        sites=tuple(f"site-{index:03d}" for index in range(n)),
        threshold=default_threshold(n) if threshold is None else threshold,
    )


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

    def inbox(self, receiver: str, binding: RoundBinding) -> dict[str, bytes]:
        dealt = self.dealt[binding.round]
        return {peer: dealt[peer][receiver] for peer in binding.cohort if peer != receiver}

    def open(self, binding: RoundBinding, d: int) -> None:
        self.coordinator.begin(binding, d)
        for name in binding.cohort:
            self.sites[name].open_round(binding, self.inbox(name, binding))

    def upload(self, name: str, vector: NDArray[np.uint32]) -> None:
        self.coordinator.add(name, self.sites[name].mask(vector.copy()))

    def release(self, who: Iterable[str] | None = None) -> dict[str, Release]:
        survivors = self.coordinator.survivors()
        return {
            name: self.sites[name].release(survivors)
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


def sum_of(vectors: Iterable[NDArray[np.uint32]]) -> list[int]:
    """The plaintext sum modulo 2^32, in Python's integers."""
    return [sum(column) % 2**32 for column in zip(*(v.tolist() for v in vectors), strict=True)]


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
