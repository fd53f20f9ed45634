"""Scores of membership from how likely a model finds a text. A higher one says "member".

A score is a function of `TextEvidence`; `calibrated` and `canary_scores` take any of them.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.release.token_evidence import TextEvidence
from audits.statistics.scores import CanaryScores
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

TextScore = Callable[[TextEvidence], float]
"""Of one text under one model."""

_LEAST_DEVIATION: Final = 1e-9
"""Below it a deviation is rounding: of a uniform p it is 0, and so is what it would divide."""

_EDGE: Final = 1e-9


def loss_score(evidence: TextEvidence) -> float:
    """Return the mean log-likelihood per token; nats (Yeom et al. 2018, arXiv:1709.01604)."""
    return float(evidence.log_likelihoods.mean())


def min_k_score(share: float) -> TextScore:
    """Return the score that averages the `share` of least likely tokens, at least one.

    Min-K% (Shi et al. 2024, arXiv:2310.16789): a text that was not seen has a few tokens that come
    as a surprise.

    Raises:
        ConfigError: the share is not in (0, 1].
    """
    _check(share)

    def score(evidence: TextEvidence) -> float:
        return _mean_of_lowest(evidence.log_likelihoods, share)

    return score


def min_k_plus_plus_score(share: float) -> TextScore:
    """Return the score that does so after standardising each token by what p itself expects.

    Min-K%++ (Zhang et al. 2025, arXiv:2404.02936): (log p(x_t) - mean) / deviation,
    both of log p under p. It is 0 where p is uniform over the tokens that are not barred.

    Raises:
        ConfigError: the share is not in (0, 1].
    """
    _check(share)

    def score(evidence: TextEvidence) -> float:
        deviation = np.maximum(evidence.deviation, _LEAST_DEVIATION)
        standard = (evidence.log_likelihoods - evidence.expected) / deviation
        return _mean_of_lowest(standard, share)

    return score


def zlib_score(evidence: TextEvidence) -> float:
    """Return the log-likelihood of the whole text per byte of its zlib compression.

    Carlini et al. 2021, arXiv:2012.07805, to tell memorised texts from texts that
    anybody finds likely. They divide the mean over tokens, of texts that all have the same number
    of them, so that the two are proportional; over texts of different lengths only the sum grows
    as the bytes do.

    Raises:
        ConfigError: the text is empty.
    """
    if not evidence.text:
        raise ConfigError(
            "A text is empty, though tokens were scored: its compressed length says nothing. Give "
            "each evidence the text that it is of."
        )
    compressed = zlib.compress(evidence.text.encode("utf-8", "surrogatepass"))
    return float(evidence.log_likelihoods.sum() / len(compressed))


def calibrated(
    with_adapter: TextEvidence, without: TextEvidence, score: TextScore = loss_score
) -> float:
    """Return by how much the adapter raised the score of one text.

    The base model is a reference that never saw the run's records: what it finds likely too is no
    memory of the run (difficulty calibration: Watson et al. 2022, arXiv:2111.08440; the base as
    the reference of a fine-tuned model: Mireshghallah et al. 2022, arXiv:2205.12506).

    Args:
        with_adapter: the text under the released model.
        without: the same text, cut into the same tokens, with the adapter switched off.
        score: of which the difference is taken.

    Raises:
        ConfigError: the two are of different texts, or were cut differently.
    """
    if with_adapter.text != without.text or with_adapter.tokens != without.tokens:
        raise ConfigError(
            f"Evidence of {with_adapter.tokens} and {without.tokens} tokens is of two texts or two "
            "tokenizers: their difference is no calibration. Score the same text twice."
        )
    return score(with_adapter) - score(without)


def canary_scores(
    score: TextScore, members: Sequence[TextEvidence], controls: Sequence[TextEvidence]
) -> CanaryScores:
    """Return the scores of all members and controls.

    Raises:
        ConfigError: one of the two is empty.
    """
    return CanaryScores.of([score(text) for text in members], [score(text) for text in controls])


def _mean_of_lowest(values: NDArray[np.float64], share: float) -> float:
    count = max(1, int(values.size * share + _EDGE))
    return float(np.sort(values)[:count].mean())


def _check(share: float) -> None:
    if not 0 < share <= 1:
        raise ConfigError(
            f"A share of {share} of the tokens cannot be averaged: nothing was scored. Choose one "
            "above 0 and up to 1; the papers take 0.2."
        )
