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
        threshold: the least score that is called a member's.
        true_positives: members that are called so.
        false_positives: controls that are.
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

    def with_guesses(self, guesses: int) -> Counts:
        """Return what calling the highest `guesses` canaries members comes to.

        Where a tie is cut, its controls are called members first: the number of guesses is the one
        that was asked for, whatever the scores are, and whoever broke the tie without knowing
        membership was right at least as often.

        Raises:
            ConfigError: `guesses` is negative, or more than there are canaries.
        """
        if not 0 <= guesses <= self.total:
            raise ConfigError(
                f"{guesses} guesses over {self.total} canaries cannot be made: nothing was "
                "computed. Choose a number of guesses between none and all."
            )
        if guesses == 0:
            return Counts(float("inf"), 0, 0)
        both = np.sort(np.concatenate([self.members, self.controls]))
        threshold = float(both[-guesses])
        all_of_it = self.at(threshold)
        too_many = all_of_it.guesses - guesses
        tied_members = int(np.count_nonzero(self.members == threshold))
        wrongly_left = min(too_many, tied_members)
        return Counts(
            threshold,
            all_of_it.true_positives - wrongly_left,
            all_of_it.false_positives - (too_many - wrongly_left),
        )

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
