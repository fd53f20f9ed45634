"""Which tokens of a vocabulary lie in the visible span: the test of DAGER.

Petrov, Dimitrov, Baader, Mueller and Vechev 2024, "DAGER: Exact gradient inversion for large
language models", arXiv:2405.15586, applied to the first layer whose inputs can be computed from a
token and its position alone: what enters the first attention. While fewer distinct inputs are
summed than the rank, the visible span is the span of the inputs, and other tokens lie outside it.

At the rank and above it the span is only a part of theirs, and no input lies in it exactly. That
ends the exact test, not every leak: just above the rank inputs are still nearer to the span than
others, which `calibrated_threshold` finds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from audits.statistics import binomial
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from numpy.typing import NDArray

    from audits.inversion.row_space import Subspace

RARE: Final = 1e-6
"""How rarely a random direction may pass the exact test."""

_OWN_ROUNDING: Final = 10 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Recovery:
    """What was found, held against what was there.

    A trial is a pair of a position and a token of the vocabulary. All trials of a sum share one
    span, and tokens whose inputs point alike are found together: the intervals and the p-value
    take them for independent. Beyond what is exact, hold a result against a blind baseline, the
    same count out of sums without these texts.

    Attributes:
        members: pairs that were in the texts.
        controls: the others.
        true_positives: members that were found.
        false_positives: controls that were.
    """

    members: int
    controls: int
    true_positives: int
    false_positives: int

    @property
    def exact(self) -> bool:
        """Whether all members were found and nothing else."""
        return self.true_positives == self.members and not self.false_positives

    @property
    def chance_p_value(self) -> float:
        """How likely as many members are among as many pairs drawn blindly (Fisher, one-sided)."""
        drawn = self.true_positives + self.false_positives
        tail = stats.hypergeom(self.members + self.controls, self.members, drawn)
        return float(tail.sf(self.true_positives - 1))

    def true_positive_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Clopper-Pearson interval of the share of members that are found."""
        return binomial.interval(self.true_positives, self.members, confidence)

    def false_positive_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the same of the controls."""
        return binomial.interval(self.false_positives, self.controls, confidence)


@dataclass(frozen=True)
class InvertedTokens:
    """The tokens that lie in the visible span; not shown, as they are words of somebody's records.

    Attributes:
        found: for each position the numbers of the tokens, upwards. Where the input does not
            depend on the position there is one entry, for the texts as a whole.
        vocabulary: how many tokens were tried at each position.
        threshold: what residual they had to stay below.
    """

    found: tuple[tuple[int, ...], ...] = field(repr=False)
    vocabulary: int
    threshold: float

    def against(self, truth: Sequence[Collection[int]]) -> Recovery:
        """Return how much of the `truth` was found.

        Args:
            truth: for each entry of `found`, the tokens that any text of the sum has there.

        Raises:
            ConfigError: the truth has other positions, or tokens outside the vocabulary.
        """
        there = [set(tokens) for tokens in truth]
        known = all(0 <= token < self.vocabulary for tokens in there for token in tokens)
        if len(there) != len(self.found) or not known:
            raise ConfigError(
                f"The truth is of {len(there)} positions, and {len(self.found)} were inverted over "
                f"{self.vocabulary} tokens: nothing can be counted. Give one set of tokens of the "
                "same vocabulary for each position."
            )
        hits = sum(len(now & set(then)) for now, then in zip(there, self.found, strict=True))
        members = sum(map(len, there))
        return Recovery(
            members=members,
            controls=len(there) * self.vocabulary - members,
            true_positives=hits,
            false_positives=sum(map(len, self.found)) - hits,
        )


def exact_threshold(subspace: Subspace, chance: float = RARE) -> float:
    """Return the residual that only rounding, or the noise that was allowed for, can explain.

    Errors of up to the cutoff turn the span by at most cutoff / sigma_k, sigma_k being the least
    singular value that counts (Wedin 1972). The decomposition's own rounding, taken as ten times
    d sigma_1 times float64's precision, is added to the cutoff. The result is never above the
    residual that a random direction stays below with probability `chance`, so that where noise
    allows for much, chance still does not pass. It is 0, which finds nothing, where the span is
    everything or nothing.

    Raises:
        ConfigError: `chance` is not in (0, 1).
    """
    rare = subspace.chance_threshold(chance)
    if not subspace.dimension:
        return 0.0
    values = subspace.singular_values
    own = _OWN_ROUNDING * subspace.ambient * float(values[0])
    return min(rare, (subspace.cutoff + own) / float(values[subspace.dimension - 1]))


def calibrated_threshold(
    subspace: Subspace, controls: NDArray[np.floating], false_positive_rate: float
) -> float:
    """Return the largest residual that at most this share of the controls stays below.

    For what is not exact: inputs near the span. What holds for these controls holds for other
    candidates of their kind up to sampling error, so count on fresh ones. Of their kind: frequent
    words point more alike than rare pieces, and come near even a span of pure noise in greater
    numbers. Against pure noise, `Subspace.chance_threshold` is right for every kind.

    Args:
        subspace: the visible span.
        controls: inputs (m, d) known not to be in the sum, of words as likely as those that are.
        false_positive_rate: in [0, 1).

    Raises:
        ConfigError: there is no control, or the rate is out of range.
    """
    if not controls.size or not 0 <= false_positive_rate < 1:
        raise ConfigError(
            f"{len(controls)} controls at a false-positive rate of {false_positive_rate} calibrate "
            "nothing: any threshold would be a guess. Give inputs that are not in the sum, and a "
            "rate from 0 to below 1."
        )
    residuals = np.sort(subspace.residual(controls))
    return float(residuals[math.floor(false_positive_rate * residuals.size)])


def invert_anywhere(
    subspace: Subspace, candidates: NDArray[np.floating], threshold: float
) -> InvertedTokens:
    """Return the tokens in the span where a layer's input does not depend on the position.

    Args:
        subspace: the visible span in R^d.
        candidates: (V, d), what enters the layer for each token: of RMSNorm(word) for the first
            layer of a Llama under grad A, and their images under A (V, r) under grad B.
        threshold: tokens whose residual is below it are found.

    Raises:
        ConfigError: the candidates are not of this layer.
    """
    return invert_positions(subspace, lambda _: candidates, 1, threshold)


def invert_positions(
    subspace: Subspace,
    candidates: Callable[[int], NDArray[np.floating]],
    positions: int,
    threshold: float,
) -> InvertedTokens:
    """Return the tokens in the span at each position from 0 on.

    Args:
        subspace: the visible span in R^d.
        candidates: gives for a position the (V, d) array of what enters the layer there, as
            LayerNorm(word + position + type) for the first layer of a BERT. Without the norm's
            bias they would be ambiguous: v + p = (v + q) - (w + q) + (w + p). With it, two words
            that both stand at p and at q still complete the pair of any third at q.
        positions: how many there are.
        threshold: as for `invert_anywhere`.

    Raises:
        ConfigError: there are no positions, or the candidates are not of this layer, or of
            another number of tokens at some position.
    """
    if positions < 1:
        raise ConfigError(
            f"{positions} positions leave nothing to invert. Give the length of the longest text."
        )
    residuals = [subspace.residual(candidates(position)) for position in range(positions)]
    sizes = {residual.size for residual in residuals}
    if len(sizes) != 1:
        raise ConfigError(
            f"The positions have {sorted(sizes)} candidates: the counts would not compare. Give "
            "every token of the vocabulary at every position."
        )
    found = tuple(tuple(np.flatnonzero(row < threshold).tolist()) for row in residuals)
    return InvertedTokens(found, sizes.pop(), threshold)
