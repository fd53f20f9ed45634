"""Noised sums drawn here, of a mechanism that does what it says or of one that does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from audits.server.evidence import NoisedSums

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 300
"""How often a gate is asked for its false alarms."""


@dataclass(frozen=True)
class Mechanism:
    """What the sums are drawn by, and what is said of them.

    Attributes:
        sums: how many.
        canaries: how many; the even ones are members.
        alone: coordinates without a canary.
        rate: of sampling, said and done.
        deviation: of the noise, said.
        noise: what it is multiplied by before it is added.
        part: of a sampled member.
        control_part: of a control, in every sum.
    """

    sums: int = 20
    canaries: int = 200
    alone: int = 100
    rate: float = 0.5
    deviation: float = 0.2
    noise: float = 1.0
    part: float = 1.0
    control_part: float = 0.0

    def draw(self, seed: int = 0) -> NoisedSums:
        rng = np.random.default_rng(seed)
        members = np.arange(self.canaries) % 2 == 0
        shape = (self.sums, self.canaries + self.alone)
        drawn = rng.normal(0.0, self.deviation, shape) * self.noise
        sampled = (rng.random((self.sums, self.canaries)) < self.rate) & members
        drawn[:, : self.canaries] += self.part * sampled + self.control_part * ~members
        return NoisedSums(
            sums=drawn,
            observed=np.ones((self.sums, self.canaries), bool),
            members=members,
            coordinates=np.arange(self.canaries),
            rate=self.rate,
            deviation=self.deviation,
        )

    def drawn_often(self, runs: int = RUNS) -> Iterator[NoisedSums]:
        return (self.draw(seed) for seed in range(runs))
