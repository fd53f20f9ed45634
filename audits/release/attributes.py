"""Inference of labels and attributes: what does the model give away of a record's hidden column?

An attacker who knows the rest of a record tries every value of the hidden column and takes the one
that the model finds most plausible (Fredrikson, Jha and Ristenpart 2015; Yeom et al. 2018,
arXiv:1709.01604). A useful model is right more often than the best constant guess on records that
it never saw, too; what was memorised is what it is right about among members beyond that:
`above_controls`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from audits.release import chance
from audits.release.candidates import top_one
from audits.statistics import binomial
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Inference:
    """Guesses about many records.

    Attributes:
        records: how many.
        right: how many guesses are right.
        accuracy: their share.
        interval: of the accuracy; Clopper and Pearson's.
        baseline: the share that the baseline has right.
        paired: the exact sign test of the attack against the baseline.
    """

    records: int
    right: int
    accuracy: float
    interval: tuple[float, float]
    baseline: float
    paired: chance.Paired


def evidence(
    with_adapter: NDArray[np.float64],
    without: NDArray[np.float64] | None = None,
    log_prior: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return (n, V) how much speaks for each value of the hidden column; nats.

    log p with the adapter, less log p without it (what the adapter added), plus the log prior of
    the value (Fredrikson et al. weigh by the marginal).

    Args:
        with_adapter: (n, V) log-probabilities of each value; of an attribute, of the record's text
            or label with that value filled in.
        without: (n, V) likewise, with the adapter switched off; None for no calibration.
        log_prior: (V,) of the values, from public knowledge; None for all alike.

    Raises:
        ConfigError: shapes do not fit.
    """
    table = np.asarray(with_adapter, np.float64)
    fits = table.ndim == 2 and (without is None or without.shape == table.shape)  # noqa: PLR2004 - (n, V)
    if not fits or (log_prior is not None and log_prior.shape != table.shape[1:]):
        raise ConfigError(
            f"A table of shape {table.shape} and what it is compared with are not of the same "
            "records and values: nothing was guessed. Give (n, V) twice, and (V,) for the prior."
        )
    if without is not None:
        table = table - without
    return table if log_prior is None else table + log_prior


def infer(
    scores: NDArray[np.float64],
    truth: NDArray[np.integer[Any]],
    baseline: NDArray[np.integer[Any]] | None = None,
    confidence: float = 0.95,
) -> Inference:
    """Return how often the value with the most evidence is the true one, against a baseline.

    Ties count as wrong. The best constant guess is chosen by looking at the truth, which makes it
    better than an attacker's and the test the stricter.

    Args:
        scores: (n, V) of `evidence`.
        truth: (n,) the true value's index.
        baseline: (n,) what is guessed without the released model; None for the most frequent value.
        confidence: of the interval.

    Raises:
        ConfigError: shapes do not fit, or a score is not a number.
    """
    hits = top_one(scores, truth)
    guessed = np.bincount(truth).argmax() if baseline is None else baseline
    if baseline is not None and baseline.shape != truth.shape:
        raise ConfigError(
            f"A baseline of shape {baseline.shape} does not guess {truth.size} records: nothing "
            "was compared. Let it guess all of them."
        )
    baseline_hits = np.asarray(truth == guessed)
    right = int(hits.sum())
    return Inference(
        records=truth.size,
        right=right,
        accuracy=right / truth.size,
        interval=binomial.interval(right, truth.size, confidence),
        baseline=float(baseline_hits.mean()),
        paired=chance.paired(hits, baseline_hits),
    )


def above_controls(members: Inference, controls: Inference) -> float:
    """Return the p-value of members being guessed better than controls; Fisher's exact test.

    Members and controls have to come from one distribution, split by a coin.
    """
    return chance.larger_share(members.right, members.records, controls.right, controls.records)
