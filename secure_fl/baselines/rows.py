"""The rows of the table, and the settings that each of them is measured with.

A variant differs from the run in the privacy, the method or the number of steps, and in nothing
else, so that a difference between two rows has one cause.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from crypto.errors import ConfigError
from domains.catalogue import kind_of
from domains.model_presets import seen_before
from domains.task_kinds import TaskKind
from secure_fl.baselines.names import OF_CLASSES, OF_RANKINGS, PRIVATE, Row
from secure_fl.config import (
    DistributedPrivacy,
    Guaranteed,
    NoPrivacy,
    RunConfig,
    SampledPrivacy,
    explain,
)
from secure_fl.runfolder import RankingMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domains.ranking_scores import RankingScores
    from domains.scores import ClassificationScores


HEAD_METHOD: Final = "linear-head"


@dataclass(frozen=True)
class Score:
    """What one row came to under one seed.

    Attributes:
        n: evaluation records.
        accuracy: between 0 and 1, as the other scores.
        macro_f1: unweighted mean of the classes' F1; None where records bring their own options.
        weighted_f1: weighted by how often each class is the label; None likewise.
        epsilon: what a private run claims, at `delta`; None without a guarantee.
        delta: as configured.
        batch_size: records of a step, where it is fixed.
        ranking: where options are ranked.
        auc: area under the ROC curve, where there are two classes.
    """

    n: int
    accuracy: float
    macro_f1: float | None
    weighted_f1: float | None
    epsilon: float | None = None
    delta: float | None = None
    batch_size: int | None = None
    ranking: RankingMetrics | None = None
    auc: float | None = None

    @classmethod
    def of(cls, scores: ClassificationScores, batch_size: int | None = None) -> Score:
        """Return scores without a guarantee."""
        return cls(
            scores.n,
            scores.accuracy,
            scores.macro_f1,
            scores.weighted_f1,
            batch_size=batch_size,
            ranking=ranking_metrics(scores.ranking),
            auc=scores.auc,
        )


def is_private(config: RunConfig) -> bool:
    """Return whether the run has a guarantee."""
    return isinstance(config.mechanism.privacy, Guaranteed)


def rows_of(config: RunConfig) -> tuple[Row, ...]:
    """Return the rows that a run can have."""
    kind = kind_of(config.mechanism.data.dataset)
    left_out = set() if is_private(config) else set(PRIVATE)
    if kind is not TaskKind.CLASSIFICATION:
        left_out |= OF_CLASSES
    if kind is not TaskKind.RANKING:
        left_out |= OF_RANKINGS
    return tuple(row for row in Row if row not in left_out)


def ranking_metrics(found: RankingScores | None) -> RankingMetrics | None:
    """Return scores of a ranking in the form in which they are kept."""
    if found is None:
        return None
    return RankingMetrics(hit_rate_10=found.hit_rate, ndcg_10=found.ndcg, auc=found.auc)


def mean_if_all(found: Sequence[float | None]) -> float | None:
    """Return the mean of scores; None where one is missing, or there are none."""
    each = [score for score in found if score is not None]
    return mean(each) if each and len(each) == len(found) else None


def mean_ranking(found: Sequence[RankingMetrics | None]) -> RankingMetrics | None:
    """Return the mean of several rankings; None if there are none."""
    each = [ranking for ranking in found if ranking is not None]
    if not each:
        return None
    return RankingMetrics(
        hit_rate_10=mean(ranking.hit_rate_10 for ranking in each),
        ndcg_10=mean(ranking.ndcg_10 for ranking in each),
        auc=mean(ranking.auc for ranking in each),
    )


def private(config: RunConfig, row: Row) -> RunConfig:
    """Return `config` for a row of `PRIVATE`.

    Raises:
        ConfigError: the run has no guarantee, so the row has no meaning.
    """
    if not is_private(config):
        raise ConfigError(
            f"The run is in mode none, and the row {row.value} is measured with the run's privacy: "
            "there is none. Leave the row out, or give the run a guarantee."
        )
    if row is Row.DP_HEAD:
        return _changed(config, {"method": HEAD_METHOD}, {})
    return config


def without_privacy(config: RunConfig, records: int) -> RunConfig:
    """Return `config` in mode none, everything else alike; itself if it is in that mode.

    A step that sampled its records reads as many as it was expected to: the sampling rate times
    the records that a site holds in the mean, rounded, and at least one.

    Args:
        config: the run.
        records: training records of all sites together.

    Raises:
        ConfigError: a setting has no meaning in mode none.
    """
    privacy, training = config.mechanism.privacy, config.mechanism.training
    if isinstance(privacy, NoPrivacy):
        return config
    batch = training.batch_size
    if batch is None and isinstance(privacy, SampledPrivacy):
        batch = max(1, round(privacy.sampling_rate * records / config.mechanism.sites))
    return _changed(config, {"privacy": {"mode": "none"}}, {"batch_size": batch})


def at_one_place(config: RunConfig) -> RunConfig:
    """Return a variant in mode none with the steps of all sites, so that as many records are seen.

    The size of a batch stays, and the rounds: the optimiser starts anew as often as in the run.

    Raises:
        ConfigError: the steps are more than a run can have.
    """
    mechanism = config.mechanism
    steps = mechanism.training.local_steps * mechanism.sites
    return _changed(config, {}, {"local_steps": steps})


def notes_of(config: RunConfig, records: int) -> tuple[str, ...]:
    """Return what a reader of the table has to know of the settings, one sentence each."""
    mechanism = config.mechanism
    rounds, steps = mechanism.training.rounds, mechanism.training.local_steps
    seen = (
        f"site-alone and centralised see as many records as the run: {rounds} x {steps} steps at "
        f"each site alone, {mechanism.sites} times as many at one place."
    )
    notes = [seen]
    known = seen_before(mechanism.model.name, mechanism.data.dataset)
    if known is not None:
        notes.append(known)
    privacy = mechanism.privacy
    if isinstance(privacy, Guaranteed):
        batch = without_privacy(config, records).mechanism.training.batch_size
        notes.append(
            "site-alone, centralised and federated have NO PRIVACY GUARANTEE: the run in mode "
            f"none with {batch} records in a step, everything else alike."
        )
        notes.append("dp-head has the run's privacy and rates; they were not chosen for it.")
    if isinstance(privacy, DistributedPrivacy):
        notes.append(
            "In mode none each site's optimiser starts anew in every round; under "
            "record-distributed the sum's keeps its memory over the run."
        )
    return tuple(notes)


def _changed(
    config: RunConfig, mechanism: dict[str, object], training: dict[str, object]
) -> RunConfig:
    table = config.model_dump(mode="json", by_alias=True)
    table["mechanism"].update(mechanism)
    table["mechanism"]["training"].update(training)
    try:
        return RunConfig.model_validate(table)
    except ValidationError as error:
        raise ConfigError(explain(error, f"{config.name}, changed for a baseline,")) from None
