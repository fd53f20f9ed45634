"""Scores of membership from what a classifier says of a record's label. Higher says "member"."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy import special

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SLACK: Final = 1e-3
"""By how much a row of log-probabilities in half precision may miss the total of 1, in nats."""


def checked_log_probs(log_probs: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return (n, L) log-probabilities as float64.

    Raises:
        ConfigError: they are no table of distributions over two or more labels.
    """
    table = np.asarray(log_probs, np.float64)
    if table.ndim != 2 or table.shape[0] == 0 or table.shape[1] < 2:  # noqa: PLR2004 - (n, L), L >= 2
        raise ConfigError(
            f"Log-probabilities of shape {table.shape} are not of records over labels: nothing was "
            "scored. Give one row per record and one column per label, of which there are two."
        )
    if np.isnan(table).any() or (table == np.inf).any():
        raise ConfigError(
            "A log-probability is NaN or plus infinity: nothing was scored. Look for an overflow "
            "in the model."
        )
    totals = np.asarray(special.logsumexp(table, axis=1))
    if np.abs(totals).max() > _SLACK:
        raise ConfigError(
            "Probabilities of a record do not add up to 1: the scores would not be what they are "
            "called. Give log-softmax, not logits."
        )
    return table


def loss_score(
    log_probs: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return (n,) log p of each record's label; nats (Yeom et al. 2018, arXiv:1709.01604).

    Args:
        log_probs: (n, L) of the classifier.
        labels: (n,) of the records, from 0.

    Raises:
        ConfigError: shapes do not fit, a label has no column, or a row is no distribution.
    """
    table = _with_labels(log_probs, labels)
    return np.asarray(table[np.arange(labels.size), labels])


def scaled_confidence(
    log_probs: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """Return (n,) log(p_y / (1 - p_y)), which is close to Gaussian over models; nats.

    The scaling of Carlini et al. 2022, arXiv:2112.03570. 1 - p_y is added up from the other
    labels, so nothing is lost where p_y rounds to 1. Infinite where the model bars the label, or
    all others.

    Raises:
        ConfigError: as `loss_score`.
    """
    table = _with_labels(log_probs, labels)
    rows = np.arange(labels.size)
    own = table[rows, labels]
    others = table.copy()
    others[rows, labels] = -np.inf
    return np.asarray(own - special.logsumexp(others, axis=1))


def calibrated_confidence(
    with_adapter: NDArray[np.floating[Any]],
    without: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
) -> NDArray[np.float64]:
    """Return (n,) by how much the adapter raised the scaled confidence of each record's label.

    Difficulty calibration (Watson et al. 2022, arXiv:2111.08440) with the model before the run as
    the reference.

    Args:
        with_adapter: (n, L) log-probabilities of the released model.
        without: (n, L) of the same model with the adapter switched off.
        labels: (n,) of the records.

    Raises:
        ConfigError: as `loss_score`; or both models bar the same, so that there is no difference.
    """
    after, before = scaled_confidence(with_adapter, labels), scaled_confidence(without, labels)
    if with_adapter.shape != without.shape or (np.isinf(after) & np.isinf(before)).any():
        raise ConfigError(
            f"Tables of shapes {with_adapter.shape} and {without.shape} have no difference for "
            "every record: nothing was calibrated. Give the same records and labels, with finite "
            "logits."
        )
    return np.asarray(after - before)


def _with_labels(
    log_probs: NDArray[np.floating[Any]], labels: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    table = checked_log_probs(log_probs)
    whole = np.issubdtype(labels.dtype, np.integer)
    fits = labels.shape == table.shape[:1]
    if not whole or not fits or labels.min() < 0 or labels.max() >= table.shape[1]:
        raise ConfigError(
            f"Labels of shape {labels.shape} do not belong to a table of shape {table.shape}: "
            "nothing was scored. Give one whole number per record, from 0 and below the number "
            "of columns."
        )
    return table
