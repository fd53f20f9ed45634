"""What an attack came to: whether it did what it set out to do, and what was counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Outcome:
    """The end of an attack that nobody refused.

    Attributes:
        succeeded: whether the attacker has what it wanted.
        found: what was counted.
    """

    succeeded: bool
    found: str


def recovered(
    got: NDArray[np.floating[Any]], truth: NDArray[np.floating[Any]], step: float
) -> Outcome:
    """Return how many coordinates of `truth`, shape `(d,)`, were found to within one step."""
    # Twice the last bit of float32 is allowed for what the client computed itself.
    right = int(np.count_nonzero(np.abs(got - truth) <= step + 2.0**-22))
    return Outcome(right == truth.size, f"{right} of {truth.size} coordinates recovered")
