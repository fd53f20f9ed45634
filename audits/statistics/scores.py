"""The scores of members and controls, and what a threshold makes of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Counts:
    """What guessing "member" from a threshold on comes to.

    Attributes:
        threshold: the least score that is called a member's; ties are called so too.
        true_positives: members that score as high.
        false_positives: controls that do.
    """

    threshold: float
    true_positives: int
    false_positives: int

    @property
    def guesses(self) -> int:
        """How many were called members."""
        return self.true_positives + self.false_positives


@dataclass(frozen=True, eq=False)
class CanaryScores:
    """Scores of members and of controls, sorted upwards, float64, neither empty; not shown.

    Build it with `CanaryScores.of`.
    """

    members: NDArray[np.float64] = field(repr=False)
    controls: NDArray[np.float64] = field(repr=False)

    @classmethod
    def of(
        cls,
        members: Sequence[float] | NDArray[np.float64],
        controls: Sequence[float] | NDArray[np.float64],
    ) -> Self:
        """Return the two lists, sorted.

        Args:
            members: scores of canaries that were trained on; higher says "member".
            controls: of those that were not.

        Raises:
            ConfigError: one is empty, or a score is not a number.
        """
        both = [np.sort(np.asarray(part, np.float64).ravel()) for part in (members, controls)]
        if not all(part.size for part in both):
            raise ConfigError(
                f"{both[0].size} members and {both[1].size} controls have scores: without both "
                "there is nothing to compare, and no bound. Score every canary."
            )
        if any(np.isnan(part).any() for part in both):
            raise ConfigError(
                "A canary's score is not a number: its rank would be anything. Mend the attack."
            )
        return cls(*both)

    @property
    def total(self) -> int:
        """How many canaries there are."""
        return int(self.members.size + self.controls.size)

    def at(self, threshold: float) -> Counts:
        """Return what calling every score from `threshold` on a member's comes to."""
        return Counts(
            float(threshold),
            int(self.members.size - np.searchsorted(self.members, threshold, side="left")),
            int(self.controls.size - np.searchsorted(self.controls, threshold, side="left")),
        )

    def with_guesses(self, most: int) -> Counts:
        """Return the lowest threshold at which no more than `most` canaries are called members.

        Ties go together, so there may be fewer; none where a tie at the top is of more.

        Raises:
            ConfigError: `most` is negative, or more than there are canaries.
        """
        if not 0 <= most <= self.total:
            raise ConfigError(
                f"{most} guesses over {self.total} canaries cannot be made: nothing was computed. "
                "Choose a number of guesses between none and all."
            )
        both = np.sort(np.concatenate([self.members, self.controls]))
        if most == both.size:
            return self.at(float(both[0]))
        left_out = both[both.size - most - 1]
        above = both[both > left_out]
        return self.at(float(above[0]) if above.size else float("inf"))

    def thresholds(self) -> NDArray[np.float64]:
        """Return every threshold that makes a difference, upwards, and one above all scores."""
        return np.append(np.union1d(self.members, self.controls), np.inf)

    def split(
        self, rng: np.random.Generator, share: float = 0.5
    ) -> tuple[CanaryScores, CanaryScores]:
        """Return a random `share` of either list, and the rest: to choose with, and to test with.

        Raises:
            ConfigError: a part would be empty.
        """
        parts = [_parted(part, rng, share) for part in (self.members, self.controls)]
        return (
            CanaryScores.of(parts[0][0], parts[1][0]),
            CanaryScores.of(parts[0][1], parts[1][1]),
        )


def _parted(
    scores: NDArray[np.float64], rng: np.random.Generator, share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = rng.permutation(scores.size)
    cut = round(scores.size * share)
    return scores[order[:cut]], scores[order[cut:]]
