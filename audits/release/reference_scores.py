"""Scores of membership against reference models: LiRA and RMIA. Higher says "member".

Both ask whether the target model treats a record unlike models that were trained without it. LiRA
fits Gaussians to what the references say (with and without the record: online; without alone:
offline); RMIA compares the record's likelihood ratio with those of a population.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OWN_VARIANCE_FROM: Final = 64
"""References below which an example's own variance is too rough to divide by."""
_NEVER: Final = 1 << 31
"""More references than an example ever has."""


def lira_online(
    target: NDArray[np.float64],
    inside: Sequence[NDArray[np.float64]],
    outside: Sequence[NDArray[np.float64]],
    *,
    own_variance_from: int = OWN_VARIANCE_FROM,
    shared_variance: bool = False,
) -> NDArray[np.float64]:
    """Return (n,) log N(target | inside) - log N(target | outside); nats.

    Carlini et al. 2022, arXiv:2112.03570, algorithm 1, of statistics that are close to Gaussian,
    as `classifier_scores.scaled_confidence` and mean log-likelihoods are. Means are each
    example's own. Examples with few references share one variance inside and one outside, as
    there, but pooled around each example's own mean. A single reference gives a mean and adds
    nothing to the pool.

    Args:
        target: (n,) each example's statistic under the model that is attacked.
        inside: n arrays (K,), the same under models that were trained with the example; their
            numbers may differ.
        outside: n arrays (K,), under models that were trained without.
        own_variance_from: references from which an example has a variance of its own, unless they
            are all alike.
        shared_variance: whether one variance stands for all examples, inside and outside, however
            many references there are. The score then rises with the target wherever references
            with the example are above those without. With two variances it is a parabola: where a
            target knows more than its references, it can score high far below them, too.

    Raises:
        ConfigError: an example has no reference, a number is not finite, or no spread can be
            measured.
    """
    statistic = _finite(target)
    if shared_variance:
        both = _fitted([*inside, *outside], 2 * statistic.size, _NEVER)
        ends = slice(statistic.size), slice(statistic.size, None)
        high, low = (both.part(end).log_density(statistic) for end in ends)
        return np.asarray(high - low)
    ins = _fitted(inside, statistic.size, own_variance_from)
    outs = _fitted(outside, statistic.size, own_variance_from)
    return np.asarray(ins.log_density(statistic) - outs.log_density(statistic))


def lira_offline(
    target: NDArray[np.float64],
    outside: Sequence[NDArray[np.float64]],
    *,
    own_variance_from: int = OWN_VARIANCE_FROM,
) -> NDArray[np.float64]:
    """Return (n,) how many deviations the target lies above the references without the example.

    The offline attack of Carlini et al. 2022: the score there is Phi of it, which has the same
    order and rounds to 1.

    Raises:
        ConfigError: as `lira_online`.
    """
    statistic = _finite(target)
    outs = _fitted(outside, statistic.size, own_variance_from)
    return np.asarray((statistic - outs.mean) / outs.deviation)


@dataclass(frozen=True, eq=False)
class Confidences:
    """What the target and the references make of some records.

    Attributes:
        target: (n,) log-confidences under the model that is attacked; nats, at most 0. Of texts
            the mean log-likelihood per token, so that lengths compare and none vanishes.
        outside: n arrays (K,), the same under models that were trained without the record.

    Raises:
        ConfigError: a record has no reference, or a number is no log-confidence.
    """

    target: NDArray[np.float64] = field(repr=False)
    outside: Sequence[NDArray[np.float64]] = field(repr=False)

    def __post_init__(self) -> None:
        _check_references(self.outside, _finite(self.target).size)
        if any((part > 0).any() for part in (self.target, *self.outside)):
            raise ConfigError(
                "A log-confidence is above 0: no ratio of probabilities can be computed. Give "
                "logarithms of probabilities, not scaled confidences or logits."
            )

    def log_ratios(self, a: float) -> NDArray[np.float64]:
        """Return (n,) log Pr(x | target) - log Pr(x), with Pr(x) = ((1 + a) Pr_out + 1 - a) / 2."""
        outs = np.array([special.logsumexp(part) - np.log(part.size) for part in self.outside])
        rest = np.log((1 - a) / 2) if a < 1 else -np.inf
        return np.asarray(self.target - np.logaddexp(np.log((1 + a) / 2) + outs, rest))


def rmia(
    examples: Confidences, population: Confidences, *, a: float = 0.3, gamma: float = 2.0
) -> NDArray[np.float64]:
    """Return (n,) the share of the population that each example's likelihood ratio dominates.

    Zarifzadeh, Liu and Shokri 2024, arXiv:2312.03262, offline form: the share of z
    with (Pr(x | target) / Pr(x)) / (Pr(z | target) / Pr(z)) >= gamma. Pr(x) is half of what models
    with and half of what models without x would say; the first half is taken to be a Pr_out + 1 -
    a. Both x and z are treated so, as the authors' own code does: else a control x
    and a z would differ before anything leaked.

    Args:
        examples: whose membership is asked.
        population: records that neither the target nor a reference was trained on; scores are
            multiples of 1 over their number.
        a: how much a reference without x resembles one with it; 1 for no correction.
        gamma: by which factor an example has to dominate.

    Raises:
        ConfigError: `a` is not in [0, 1], or `gamma` not above 0.
    """
    if not 0 <= a <= 1 or not 0 < gamma < np.inf:
        raise ConfigError(
            f"With a = {a} and gamma = {gamma} there is no likelihood ratio to test: nothing was "
            "scored. Choose a between 0 and 1, and a gamma above 0."
        )
    ratios = np.sort(population.log_ratios(a))
    dominated = np.searchsorted(ratios, examples.log_ratios(a) - np.log(gamma), side="right")
    return np.asarray(dominated / ratios.size)


@dataclass(frozen=True, eq=False)
class References:
    """What some reference models make of the examples that they were trained on in part.

    Attributes:
        inside: (K, n) whether a reference was trained with an example; every example is in some
            and out of some.
        scaled: (K, n) scaled confidences; nats.
        confidences: (K, n) log-confidences, at most 0; nats.

    Raises:
        ConfigError: shapes differ, or an example is in all references, or in none.
    """

    inside: NDArray[np.bool_] = field(repr=False)
    scaled: NDArray[np.float64] = field(repr=False)
    confidences: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        shapes = {self.inside.shape, self.scaled.shape, self.confidences.shape}
        if len(shapes) != 1 or self.inside.ndim != 2:  # noqa: PLR2004 - (K, n)
            raise ConfigError(
                "References and what they say differ in number: nothing was scored. Give one row "
                "for each reference and one column for each example."
            )
        if not self.inside.any(axis=0).all() or self.inside.all(axis=0).any():
            raise ConfigError(
                "An example is in all references or in none: nothing tells what training on it "
                "does. Train at least one with each, and one without."
            )

    def lira(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n,) LiRA's scores of (n,) scaled confidences, with one shared variance.

        Raises:
            ConfigError: as `lira_online`.
        """
        ins = _where(self.scaled, self.inside)
        outs = _where(self.scaled, ~self.inside)
        return lira_online(target, ins, outs, shared_variance=True)

    def rmia(self, target: NDArray[np.float64], *, a: float = 0.3) -> NDArray[np.float64]:
        """Return (n,) the likelihood ratios of RMIA, in nats, of (n,) log-confidences.

        `rmia` says which share of a population a ratio dominates, which is a step function of it:
        this has the order of a population as large as wanted, without its ties.

        Args:
            target: log-confidences under the model that is attacked.
            a: as `rmia`; 0.3 is what its authors take for images, 1 takes references as they are.

        Raises:
            ConfigError: a number is no log-confidence.
        """
        return Confidences(target, _where(self.confidences, ~self.inside)).log_ratios(a)


def balanced_halves(references: int, examples: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return (K, n) which examples each reference is trained with: a random half, and its rest.

    Every example is in one of each two, and so in half of them all. One left over where n is odd
    goes to the rest.

    Raises:
        ConfigError: the references are not of an even number, or a half would be empty.
    """
    if references < 2 or references % 2 or examples < 2:  # noqa: PLR2004 - one with, one without
        raise ConfigError(
            f"{references} references over {examples} examples leave some in all or in none: take "
            "an even number of references, and two examples at least."
        )
    halves = np.zeros((references, examples), np.bool_)
    for row in range(0, references, 2):
        halves[row, rng.permutation(examples)[: examples // 2]] = True
        halves[row + 1] = ~halves[row]
    return halves


def _where(table: NDArray[np.float64], chosen: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """Return n arrays of those rows of (K, n) `table` that are chosen for each example."""
    return [column[own] for column, own in zip(table.T, chosen.T, strict=True)]


@dataclass(frozen=True, eq=False)
class _Gaussians:
    """One Gaussian per example: (n,) means and deviations."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def part(self, chosen: slice) -> _Gaussians:
        """Return those of some examples."""
        return _Gaussians(self.mean[chosen], self.deviation[chosen])

    def log_density(self, at: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (n,) log densities, up to the constant that all share."""
        return np.asarray(-(((at - self.mean) / self.deviation) ** 2) / 2 - np.log(self.deviation))


def _fitted(references: Sequence[NDArray[np.float64]], examples: int, own_from: int) -> _Gaussians:
    _check_references(references, examples)
    counts = np.array([part.size for part in references])
    means = np.array([part.mean() for part in references])
    squares = np.array([_squares(part) for part in references])
    own = (counts >= max(2, own_from)) & (squares > 0)
    variances = squares / np.maximum(counts - 1, 1)
    if not own.all():
        variances[~own] = _pooled(squares, counts)
    return _Gaussians(means, np.sqrt(variances))


def _squares(references: NDArray[np.float64]) -> float:
    """Return the sum of squares around the mean; 0, not what the mean rounds by, if all alike."""
    if references.min() == references.max():
        return 0.0
    return float(((references - references.mean()) ** 2).sum())


def _pooled(squares: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """Return the variance around each example's own mean, over all examples."""
    if squares.sum() == 0:
        raise ConfigError(
            f"{counts.sum()} scores of reference models over {counts.size} examples do not vary "
            "around their examples' means: no distance can be measured in deviations. Train at "
            "least two references for some examples, from different seeds."
        )
    return float(squares.sum() / (counts - 1).sum())


def _check_references(references: Sequence[NDArray[np.float64]], examples: int) -> None:
    if len(references) != examples or any(part.ndim != 1 or not part.size for part in references):
        raise ConfigError(
            f"{examples} examples and {len(references)} lists of references, or an example without "
            "any: nothing was scored. Give each example a list of at least one reference."
        )
    for part in references:
        _finite(part)


def _finite(values: NDArray[np.float64]) -> NDArray[np.float64]:
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ConfigError(
            f"Statistics of shape {values.shape} are none, or hold NaN or infinity: nothing was "
            "scored. Give one finite number per example; clip confidences that are infinite."
        )
    return values
