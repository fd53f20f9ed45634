"""Inference of personal data among candidates: which of C names stood in the masked place?

Lukas et al. 2023, "Analyzing Leakage of Personally Identifiable Information in Language Models",
arXiv:2302.00539: the attacker fills each candidate in and takes the text that the model finds most
likely. Guessing gets 1 / C right if the true one was drawn uniformly among the candidates; where it
was not (real names in real records), compare with the model before the run: `against`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audits.release import chance
from audits.statistics import binomial
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class CandidateAccuracy:
    """Over many masked texts.

    Attributes:
        texts: how many.
        right: in how many the true candidate scored above all others.
        accuracy: their share.
        interval: of the accuracy; Clopper and Pearson's, which is too wide rather than too narrow
            where texts have different chances (Hoeffding 1956).
        chance: the mean of 1 / C.
        p_value: the chance of as many right, or more, by guessing; binomial where every text has
            as many candidates, else Poisson-binomial.
    """

    texts: int
    right: int
    accuracy: float
    interval: tuple[float, float]
    chance: float
    p_value: float


def top_one(
    scores: Sequence[NDArray[np.float64]] | NDArray[np.float64], truth: NDArray[np.integer[Any]]
) -> NDArray[np.bool_]:
    """Return (n,) whether the true candidate scores strictly above all others.

    A tie counts as wrong: else a model that scores all alike would be right every time.

    Args:
        scores: n arrays (C,), or (n, C): log-likelihoods of each text with each candidate filled
            in; higher says more likely. C may differ.
        truth: (n,) the index of the candidate that stood there.

    Raises:
        ConfigError: shapes do not fit, a text has no choice, or a score is not a number.
    """
    whole = np.issubdtype(truth.dtype, np.integer)
    if not whole or truth.shape != (len(scores),) or truth.size == 0:
        raise ConfigError(
            f"{len(scores)} texts and true candidates of shape {truth.shape} do not belong "
            "together: nothing was guessed. Give the index of one candidate per text."
        )
    return np.array(
        [_above_all(each, index) for each, index in zip(scores, truth.tolist(), strict=True)]
    )


def candidate_accuracy(
    scores: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    truth: NDArray[np.integer[Any]],
    confidence: float = 0.95,
) -> CandidateAccuracy:
    """Return how often the most likely candidate is the true one, against guessing.

    Args:
        scores: as `top_one`.
        truth: as `top_one`.
        confidence: of the interval.

    Raises:
        ConfigError: as `top_one`.
    """
    right = int(top_one(scores, truth).sum())
    chances = np.array([1 / each.size for each in scores])
    return CandidateAccuracy(
        texts=truth.size,
        right=right,
        accuracy=right / truth.size,
        interval=binomial.interval(right, truth.size, confidence),
        chance=float(chances.mean()),
        p_value=chance.at_least(right, chances),
    )


def against(
    with_adapter: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    without: Sequence[NDArray[np.float64]] | NDArray[np.float64],
    truth: NDArray[np.integer[Any]],
) -> chance.Paired:
    """Return whether the released adapter is right more often than the model before the run.

    What the base model, which saw no record, guesses right is no leakage of the run.

    Raises:
        ConfigError: as `top_one`.
    """
    return chance.paired(top_one(with_adapter, truth), top_one(without, truth))


def _above_all(scores: NDArray[np.float64], index: int) -> bool:
    if scores.ndim != 1 or scores.size < 2 or not 0 <= index < scores.size:  # noqa: PLR2004 - a choice
        raise ConfigError(
            f"Scores of shape {scores.shape} leave no choice, or the true candidate is not among "
            "them: nothing was guessed. Give two candidates or more, with the true one."
        )
    if np.isnan(scores).any():
        raise ConfigError(
            "A candidate's score is not a number: its rank would be anything. Mend the attack."
        )
    return bool((np.delete(scores, index) < scores[index]).all())
