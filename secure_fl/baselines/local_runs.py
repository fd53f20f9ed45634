"""Training without sums: one share alone, or all records at one place.

The trainer, the scrubbing and the batches are those of a run's site in mode none.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

import torch

from domains.catalogue import kind_of
from domains.partition import share_out
from privacy.events import Unit
from privacy.noise import SystemNoise
from privacy.streams import fresh_stream
from secure_fl.baselines.rows import (
    Score,
    at_one_place,
    mean_if_all,
    mean_ranking,
    ranking_metrics,
)
from secure_fl.consortium import open_consortium
from secure_fl.iterates import Iterates
from secure_fl.runner import Evaluator
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.scrubbing import scrub_records
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from domains.records import Dataset, Record
    from domains.scores import ClassificationScores
    from secure_fl.baselines.held import Held
    from secure_fl.config import RunConfig


@dataclass(frozen=True)
class Share:
    """What one party trains on, scrubbed; `repr` shows none of it."""

    name: str
    records: tuple[Record, ...]

    def __repr__(self) -> str:
        return f"<share of {self.name}>"


def scrubbed_shares(config: RunConfig, held: Held, policy: Path) -> tuple[Share, ...]:
    """Return every site's share of the training records as the run would train on it.

    The sites are made for this alone, in a folder that is gone afterwards: nothing is charged.

    Raises:
        BudgetError: the policy refuses `config`.
        ConfigError: the records cannot be shared out, or what has to be scrubbed has no provider.
    """
    mechanism, dataset = config.mechanism, held.dataset
    shares = held.shares or share_out(
        dataset.train, mechanism.sites, mechanism.seed, mechanism.data.rule()
    )
    with tempfile.TemporaryDirectory(prefix="secure-fl-baselines-") as folder:
        consortium = open_consortium(Path(folder), mechanism.sites, policy)
        try:
            for home in consortium.sites:
                home.policy.check(mechanism)
            return tuple(
                Share(
                    home.name,
                    scrub_records(
                        share, mechanism, home.record_facts(dataset.name), home.scrub_secrets()
                    )[0],
                )
                for home, share in zip(consortium.sites, shares, strict=True)
            )
        finally:
            consortium.close()


def site_alone(
    config: RunConfig, dataset: Dataset, shares: tuple[Share, ...], note: Callable[[str], None]
) -> Score:
    """Return the mean over sites of what each reaches on its own share, steps as in the run.

    Args:
        config: in mode none.
        dataset: its evaluation records are scored.
        shares: of the sites, scrubbed.
        note: is told of every round.

    Raises:
        ConfigError: the base model is not here.
    """
    place = _Place.of(config, dataset, note)
    scores = [place.trained(share) for share in shares]
    return Score(
        n=scores[0].n,
        accuracy=mean(score.accuracy for score in scores),
        macro_f1=mean_if_all([score.macro_f1 for score in scores]),
        weighted_f1=mean_if_all([score.weighted_f1 for score in scores]),
        ranking=mean_ranking([ranking_metrics(score.ranking) for score in scores]),
        batch_size=config.mechanism.training.batch_size,
        auc=mean_if_all([score.auc for score in scores]),
    )


def centralised(
    config: RunConfig, dataset: Dataset, shares: tuple[Share, ...], note: Callable[[str], None]
) -> Score:
    """Return what is reached on all shares at one place, seeing as many records as the run.

    Args:
        config: in mode none.
        dataset: its evaluation records are scored.
        shares: of the sites, scrubbed.
        note: is told of every round.

    Raises:
        ConfigError: the base model is not here.
    """
    place = _Place.of(at_one_place(config), dataset, note)
    together = tuple(record for share in shares for record in share.records)
    scores = place.trained(Share("all records", together))
    return Score.of(scores, config.mechanism.training.batch_size)


@dataclass(frozen=True)
class _Place:
    """One model and the evaluation records, for one party after another."""

    config: RunConfig
    evaluator: Evaluator
    note: Callable[[str], None]

    @classmethod
    def of(cls, config: RunConfig, dataset: Dataset, note: Callable[[str], None]) -> _Place:
        torch.set_num_threads(config.runtime.threads)
        task, adapted = build_task(config.mechanism, dataset.labels, config.runtime)
        encoded = task.encode(dataset.evaluation)
        cached, kind = config.runtime.cache_layers, kind_of(config.mechanism.data.dataset)
        return cls(
            config,
            Evaluator(task, adapted, encoded, cached, kind),
            note,
        )

    def trained(self, share: Share) -> ClassificationScores:
        """Return the scores after training on `share` from the run's initial values."""
        mechanism, adapted = self.config.mechanism, self.evaluator.adapted
        trainer = self._trainer(share)
        start = parameters = adapted.flat()
        kept = Iterates.begin(mechanism, start.size)
        rounds = mechanism.training.rounds
        for round_ in range(rounds):
            trainer.train(parameters, round_)
            parameters = adapted.flat()
            kept = kept.after(round_, parameters, b"")
            self.note(f"{share.name}: round {round_ + 1} of {rounds}")
        scores = self.evaluator.score(kept.released(parameters))
        self.note(f"{share.name}: accuracy {scores.accuracy:.4f}")
        adapted.load(start)
        return scores

    def _trainer(self, share: Share) -> LocalTrainer:
        runtime, task = self.config.runtime, self.evaluator.task
        adapted = self.evaluator.adapted
        records = RecordLosses(
            task,
            adapted,
            task.encode(share.records),
            runtime.micro_batch,
            cache_layers=runtime.cache_layers,
        )
        parts = TrainingParts(
            site=share.name,
            task=task,
            adapted=adapted,
            records=records,
            units=UnitRows.of(share.records, Unit.RECORD, None),
            noise=SystemNoise(),
            streams=fresh_stream,
        )
        return LocalTrainer(parts, self.config.mechanism)
