"""What the coordinator keeps between rounds besides the parameters: all of it from opened sums.

The parameters that a run ends with may be the mean of those after its last rounds (Polyak and
Juditsky 1992): under noise it lies nearer to where the rounds wander about than the last of them.
Whatever is computed from opened sums alone costs no privacy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crypto.codec import Message, decode, encode
from crypto.errors import IntegrityError, PeerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from secure_fl.config import Mechanism

_LIMIT_BYTES = 1 << 34


class Remembered(Message, frozen=True, tag="secure-fl.remembered.v1"):
    """What lies in the run folder beside the parameters of the last finished round.

    Attributes:
        rule: what the server's rule exported.
        total: the sum of the parameters after the averaged rounds so far, float64, little-endian.
        count: how many rounds that are.
    """

    rule: bytes
    total: bytes
    count: int


@dataclass(frozen=True, eq=False)
class Iterates:
    """The mean of the parameters after the last rounds of the plan, as far as they are done.

    Attributes:
        first: the first round, counted from 0, that is averaged; None where none is.
        total: the sum over those done so far, float64 of shape (d,).
        count: how many they are.
        rule: what the server's rule remembers.
    """

    first: int | None
    total: NDArray[np.float64]
    count: int
    rule: bytes

    @classmethod
    def begin(cls, mechanism: Mechanism, size: int) -> Iterates:
        """Return what is kept before the first round of a run with `size` parameters."""
        rounds, averaged = mechanism.training.rounds, mechanism.training.averaged_rounds
        first = None if averaged is None else rounds - averaged
        return cls(first, np.zeros(0 if first is None else size), 0, b"")

    def restored(self, data: bytes) -> Iterates:
        """Return what `export` of an earlier attempt wrote down.

        Raises:
            IntegrityError: `data` is something else.
        """
        try:
            kept = decode(Remembered, data, limit_bytes=_LIMIT_BYTES)
        except PeerError as error:
            raise IntegrityError(
                "What the run folder keeps of the rounds that are done does not read: restore it "
                "from a copy, or start a new run."
            ) from error
        total = np.frombuffer(kept.total, "<f8").astype(np.float64)
        if total.shape != self.total.shape:
            raise IntegrityError(
                "What the run folder keeps of the rounds that are done belongs to another model: "
                "restore it from a copy, or start a new run."
            )
        return Iterates(self.first, total, kept.count, kept.rule)

    def after(self, round_: int, parameters: NDArray[np.float32], rule: bytes) -> Iterates:
        """Return the same with the parameters after `round_`, counted from 0."""
        if self.first is None or round_ < self.first:
            return Iterates(self.first, self.total, self.count, rule)
        return Iterates(self.first, self.total + parameters, self.count + 1, rule)

    def released(self, parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the run would end with now, where `parameters` are those of the last round.

        Shape (d,).
        """
        if not self.count:
            return parameters
        mean: NDArray[np.float32] = (self.total / self.count).astype(np.float32)
        return mean

    def export(self) -> bytes:
        """Return it for the run folder."""
        total = self.total.astype("<f8", copy=False).tobytes()
        return encode(Remembered(rule=self.rule, total=total, count=self.count))
