"""A blind baseline: who can tell members from controls by their texts alone, without the model?

Das, Zhang and Tramer 2024, "Blind Baselines Beat Membership Inference Attacks for Foundation
Models", arXiv:2406.16201: where members and controls differ in date, style or length, an attack
that reads no model wins, and a score of the model shows nothing. So this one must stay near an
area of 0.5, or no other number counts.

Naive Bayes on which character n-grams a text has (hashed to buckets) and on its length; each text
is scored by a fit that never saw it. A weight is a log odds ratio, drawn towards 0 by its own
standard error, so that the many n-grams that say nothing do not drown the one that says all. A
stronger blind attack may exist: a baseline that finds nothing is no proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import stats

from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_BUCKETS_LOG2: Final = {1: 9, 2: 11, 3: 12}
"""Of n-grams of each size: apart, so that a sole letter is not lost among the many longer ones."""

_AT_ONCE: Final = 32
"""Permutations that are scored together: a few MB of weights."""

_EDGE: Final = 1e-12

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, with mixed bits: 2^64 over the golden ratio, of Fibonacci hashing (Knuth, volume 3)."""


@dataclass(frozen=True)
class BlindTest:
    """Whether the texts alone give members away.

    Attributes:
        area: under the ROC curve; 0.5 if they do not.
        p_value: the share of dealings of "member" among the same texts that reach the area, this
            one with them: exact whatever the texts, if the coin was fair.
        permutations: how many dealings were tried; no p-value is below 1 over one more.
    """

    area: float
    p_value: float
    permutations: int


def blind_scores(
    members: Sequence[str], controls: Sequence[str], rng: np.random.Generator, folds: int = 5
) -> CanaryScores:
    """Return scores of the different texts of either side by fits on the other folds.

    Copies of a text on one side count once, and copies on both sides are in one fold: else a
    record that was trained on k times would be found by its own copies. Scores are taken from
    their fold's mean, as each fit has its own origin. Scores of one fold hang together, so that an
    interval for independent scores is too narrow: `blind_test` is what a gate should ask.

    Args:
        members: texts that were trained on.
        controls: texts that were not.
        rng: that deals the folds; the same state gives the same scores.
        folds: into which the texts are dealt.

    Raises:
        ConfigError: there are fewer than two folds, or fewer different texts on a side than folds.
    """
    dealt = _Dealt.of(members, controls, rng, folds)
    scores = dealt.scores(dealt.sides[None])[0]
    return CanaryScores.of(scores[dealt.sides], scores[~dealt.sides])


def blind_test(
    members: Sequence[str],
    controls: Sequence[str],
    rng: np.random.Generator,
    folds: int = 5,
    permutations: int = 999,
) -> BlindTest:
    """Return the area of `blind_scores`, tested by dealing "member" anew within each fold.

    A permutation test (Phipson and Smyth 2010, arXiv:1603.05766): the whole of the fitting is
    repeated each time, so what the folds have in common is in the null, too.

    Args:
        members: as `blind_scores`.
        controls: as `blind_scores`.
        rng: that deals folds and sides.
        folds: as `blind_scores`.
        permutations: how often sides are dealt; a gate at 1e-4 needs 9999 or more.

    Raises:
        ConfigError: as `blind_scores`, or no permutation was asked for.
    """
    if permutations < 1:
        raise ConfigError(
            f"{permutations} permutations give no p-value: nothing was tested. Ask for 999 or more."
        )
    dealt = _Dealt.of(members, controls, rng, folds)
    area = float(_areas(dealt.scores(dealt.sides[None]), dealt.sides[None])[0])
    reached = 1
    for start in range(0, permutations, _AT_ONCE):
        count = min(_AT_ONCE, permutations - start)
        sides = np.stack([dealt.permuted(rng) for _ in range(count)])
        reached += int((_areas(dealt.scores(sides), sides) >= area - _EDGE).sum())
    return BlindTest(area, reached / (permutations + 1), permutations)


@dataclass(frozen=True, eq=False)
class _Dealt:
    """Different texts as numbers, dealt into folds.

    Attributes:
        present: (n, d) 1 where a text has an n-gram of the bucket, else 0.
        lengths: (n, 2) logarithms of 1 + characters and 1 + words.
        sides: (n,) which are members.
        folds: each the indices of its texts.
    """

    present: NDArray[np.float64]
    lengths: NDArray[np.float64]
    sides: NDArray[np.bool_]
    folds: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(
        cls, members: Sequence[str], controls: Sequence[str], rng: np.random.Generator, folds: int
    ) -> _Dealt:
        mine, others = sorted(set(members)), sorted(set(controls))
        if folds < 2 or min(len(mine), len(others)) < folds:  # noqa: PLR2004 - one to fit, one to score
            raise ConfigError(
                f"{len(mine)} different members and {len(others)} controls cannot be dealt into "
                f"{folds} folds: a blind baseline would fit what it scores. Give more texts, or "
                "fewer folds but at least two."
            )
        texts = [*mine, *others]
        fold_of = np.concatenate([rng.permutation(len(part)) % folds for part in (mine, others)])
        where = dict(zip(mine, fold_of.tolist(), strict=False))
        fold_of = np.array(
            [where.get(text, fold) for text, fold in zip(texts, fold_of.tolist(), strict=True)]
        )
        return cls(
            np.stack([_grams(text) for text in texts]),
            np.log1p([[len(text), len(text.split())] for text in texts]),
            np.repeat([True, False], [len(mine), len(others)]),
            tuple(np.flatnonzero(fold_of == fold) for fold in range(folds)),
        )

    def permuted(self, rng: np.random.Generator) -> NDArray[np.bool_]:
        """Return (n,) sides, shuffled within each fold."""
        sides = self.sides.copy()
        for held in self.folds:
            sides[held] = rng.permutation(sides[held])
        return sides

    def scores(self, sides: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return (p, n) scores, had `sides` (p, n) been the members."""
        scores = np.zeros(sides.shape)
        for held in self.folds:
            rest = np.setdiff1d(np.arange(self.sides.size), held)
            own = sides[:, rest].astype(np.float64)
            found = _gram_weights(own, self.present[rest]) @ self.present[held].T
            found += _length_weights(own, self.lengths[rest]) @ self.lengths[held].T
            scores[:, held] = found - found.mean(axis=1, keepdims=True)
        return scores


def _gram_weights(own: NDArray[np.float64], present: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (p, d) log odds ratios of a bucket in members (p, n) against controls, shrunk.

    With 1 added to each cell of the 2 x 2 table; the squared standard error is the sum of the
    cells' inverses (Woolf 1955).
    """
    members = own.sum(axis=1, keepdims=True)
    having = own @ present
    others = present.sum(axis=0) - having
    controls = own.shape[1] - members
    cells = [having + 1, controls - others + 1, others + 1, members - having + 1]
    odds = np.log(cells[0] * cells[1] / (cells[2] * cells[3]))
    return _shrunk(odds, np.sqrt(sum(1 / cell for cell in cells)))


def _length_weights(own: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (p, 2) the weights of two Gaussians that share their variance, shrunk."""
    members = own.sum(axis=1, keepdims=True)
    controls = own.shape[1] - members
    spread = lengths.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    sums = own @ lengths
    apart = sums / members - (lengths.sum(axis=0) - sums) / controls
    return _shrunk(apart / spread, np.sqrt(1 / members + 1 / controls)) / spread


def _shrunk(weights: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights, each drawn towards 0 by its standard error."""
    return np.asarray(np.sign(weights) * np.maximum(np.abs(weights) - errors, 0.0))


def _areas(scores: NDArray[np.float64], sides: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return (p,) the Mann-Whitney shares of (p, n) scores; a tie counts a half."""
    members = sides.sum(axis=1)
    ranks = np.where(sides, stats.rankdata(scores, axis=1), 0.0).sum(axis=1)
    pairs = members * (sides.shape[1] - members)
    return np.asarray((ranks - members * (members + 1) / 2) / pairs)


def _grams(text: str) -> NDArray[np.float64]:
    """Return (d,) 1 where an n-gram of the bucket occurs, else 0; the same in every process."""
    letters = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    parts = []
    for size, bits in _BUCKETS_LOG2.items():
        hashed = np.zeros(max(0, letters.size - size + 1), np.uint64)
        for offset in range(size):
            hashed = (hashed ^ letters[offset : offset + hashed.size]) * _STEP
            hashed ^= hashed >> np.uint64(29)
        part = np.zeros(2**bits)
        part[(hashed * _STEP) >> np.uint64(64 - bits)] = 1.0
        parts.append(part)
    return np.concatenate(parts)
