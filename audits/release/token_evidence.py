"""What a language model says of one text, token by token: all that the likelihood attacks read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import special

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ROWS: Final = 64
"""Positions at a time: float64 copies of all logits of a long text would fill the memory."""


@dataclass(frozen=True, eq=False)
class TextEvidence:
    """One text under one model; only its length is shown.

    Attributes:
        text: as it was before it was cut into tokens.
        log_likelihoods: (T,) log p of each next token, given those before it; nats.
        expected: (T,) the mean of log p over all tokens that might have come, drawn from p; nats.
        deviation: (T,) its standard deviation; nats.

    Raises:
        ConfigError: shapes differ, nothing was scored, or a number cannot be what it is named.
    """

    text: str = field(repr=False)
    log_likelihoods: NDArray[np.float64] = field(repr=False)
    expected: NDArray[np.float64] = field(repr=False)
    deviation: NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        parts = (self.log_likelihoods, self.expected, self.deviation)
        shape = parts[0].shape
        if len(shape) != 1 or shape[0] == 0 or any(part.shape != shape for part in parts):
            raise ConfigError(
                f"Log-likelihoods, means and deviations have the shapes "
                f"{[part.shape for part in parts]}: no score can be computed. Give one number of "
                "each per token, and a text of at least one token beyond the first."
            )
        if not all(np.isfinite(part).all() for part in parts):
            raise ConfigError(
                "A token's log-likelihood, mean or deviation is not finite: every mean over it "
                "would be worthless. Look for logits that overflowed."
            )
        if (self.log_likelihoods > 0).any() or (self.deviation < 0).any():
            raise ConfigError(
                "A log-likelihood is above 0 or a deviation below it: these are no such numbers. "
                "Give logarithms of probabilities, and standard deviations."
            )

    @property
    def tokens(self) -> int:
        """How many tokens were scored."""
        return int(self.log_likelihoods.size)


def text_evidence(
    text: str, logits: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]]
) -> TextEvidence:
    """Return the evidence that the logits hold, computed in float64.

    With p = softmax(logits): log p of the target, the mean sum_v p_v log p_v and the deviation of
    log p under p (Zhang et al. 2025, arXiv:2404.02936). 0 log 0 counts as 0.

    Args:
        text: that was scored.
        logits: (T, V) at the positions that predict the targets; -inf bars a token.
        targets: (T,) the tokens that came.

    Raises:
        ConfigError: shapes do not fit, a target is no token, or the logits are no distribution.
    """
    _check(logits, targets)
    parts = [
        _moments(logits[start : start + _ROWS], targets[start : start + _ROWS])
        for start in range(0, targets.size, _ROWS)
    ]
    own, expected, deviation = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return TextEvidence(text, own, expected, deviation)


def _moments(
    logits: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    log_p = special.log_softmax(np.asarray(logits, np.float64), axis=1)
    own = np.minimum(log_p[np.arange(targets.size), targets], 0.0)
    p = np.exp(log_p)
    log_p[p == 0] = 0.0
    expected = (p * log_p).sum(axis=1)
    # Around the mean: the difference of two squares would cancel where p is nearly uniform.
    deviation = np.sqrt((p * (log_p - expected[:, None]) ** 2).sum(axis=1))
    return own, expected, deviation


def _check(logits: NDArray[np.floating[Any]], targets: NDArray[np.integer[Any]]) -> None:
    if logits.ndim != 2 or targets.shape != logits.shape[:1] or targets.size == 0:  # noqa: PLR2004 - (T, V)
        raise ConfigError(
            f"Logits of shape {logits.shape} and targets of shape {targets.shape} do not belong "
            "together: nothing was scored. Give (T, V) logits and the T tokens that they predict."
        )
    vocabulary = logits.shape[1]
    whole = np.issubdtype(targets.dtype, np.integer)
    if not whole or targets.min() < 0 or targets.max() >= vocabulary:
        raise ConfigError(
            f"A target is no index into a vocabulary of {vocabulary}: nothing was scored. Leave "
            "out padding, and give whole numbers."
        )
    highest = logits.max(axis=1)
    if not np.isfinite(highest).all():
        raise ConfigError(
            "Logits hold NaN or infinity, or bar every token at a position: they are no "
            "distribution, and nothing was scored. Look for an overflow in the model."
        )
