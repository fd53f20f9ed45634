"""The parties of a homomorphic sum in one process, so that an attack takes three lines."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crypto.homomorphic import (
    HomomorphicCoordinator,
    HomomorphicSite,
    RoundBinding,
    SumKey,
    SumPlan,
    SumTerms,
    public_context,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crypto.homomorphic import Scheme

SESSION = hashlib.sha256(b"a session").digest()
_KEYS: dict[tuple[Scheme, int], SumKey] = {}


def key_for(plan: SumPlan) -> SumKey:
    """One key per set of parameters: tests that need another one make it."""
    name = (plan.scheme, plan.parameters[0].plain_modulus * len(plan.parameters))
    if name not in _KEYS:
        _KEYS[name] = SumKey.generate(plan)
    return _KEYS[name]


def binding_of(names: Sequence[str], number: int = 0) -> RoundBinding:
    header = hashlib.sha256(b"header %d" % number).digest()
    return RoundBinding(number, header, tuple(names), hashlib.sha256(b"parameters").digest())


@dataclass
class Parties:
    """Sites bank-a, bank-b, ... with one key, a coordinator without, and round 0 begun."""

    plan: SumPlan
    names: tuple[str, ...]
    terms: SumTerms
    key: SumKey
    binding: RoundBinding
    coordinator: HomomorphicCoordinator

    @classmethod
    def of(cls, plan: SumPlan, sites: int = 3) -> Parties:
        names = tuple(f"bank-{chr(97 + place)}" for place in range(min(sites, 26)))
        names += tuple(f"clinic-{place:03}" for place in range(26, sites))
        key = key_for(plan)
        terms = SumTerms(SESSION, plan, key.digest)
        coordinator = HomomorphicCoordinator(terms, public_context(plan), first_round=0)
        binding = binding_of(names)
        coordinator.begin(binding)
        return cls(plan, names, terms, key, binding, coordinator)

    def site(self, name: str) -> HomomorphicSite:
        return HomomorphicSite(name, self.terms, self.key, first_round=0)

    def upload(
        self, name: str, vector: NDArray[np.int64], binding: RoundBinding | None = None
    ) -> list[bytes]:
        return list(self.site(name).encrypt(binding or self.binding, vector))

    def sum_of(self, *vectors: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add the vectors of the first sites; return what the last site decrypts."""
        for name, vector in zip(self.names, vectors, strict=False):
            self.coordinator.add(name, self.upload(name, vector))
        return self.opened()

    def opened(self) -> NDArray[np.int64]:
        survivors = self.coordinator.survivors()
        blocks = list(self.coordinator.close())
        return self.site(self.names[-1]).decrypt(self.binding, survivors, blocks)


def vectors_for(plan: SumPlan, sites: int, seed: int = 0) -> list[NDArray[np.int64]]:
    """Uniform vectors over the whole range, with both extremes at every site."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(sites):
        vector = generator.integers(-plan.largest, plan.largest, plan.values, endpoint=True)
        vector[0] = plan.largest
        vector[-1] = -plan.largest
        found.append(vector)
    return found
