"""Drives one run from its first exchange to the signed folder, over any transport.

The order in which things are kept is what makes a run resumable: leaves of the transcript before
the requests that follow from them, parameters and scores of a round before the next one opens,
the manifest last.
"""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.digests import sha256
from crypto.errors import PeerError
from crypto.masked_sum import CulpritError
from domains.ranking_scores import ranking_scores
from domains.scores import classification_scores, margins_of, option_scores
from domains.sentence_head import best_of
from domains.task_kinds import TaskKind
from secure_fl.config import Guaranteed
from secure_fl.guarantee import claimed_epsilon
from secure_fl.iterates import Iterates
from secure_fl.kept_rounds import KeptRounds
from secure_fl.observing import RoundScored, RunBegan
from secure_fl.opened_ranks import opened_ranks
from secure_fl.parameters import parameter_digest, vector_to_bytes
from secure_fl.rounds.coordinator import Coordinator
from secure_fl.rounds.own_log import times_opened
from secure_fl.rounds.steps import Phase, Proposal
from secure_fl.runfolder import Progress, RankingMetrics, RoundMetrics
from secure_fl.sites.losses import RecordLosses
from secure_fl.transcript import Transcript

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from audits.holdings import HoldingsFacts
    from crypto.roster import Roster
    from crypto.signatures import SigningKey
    from domains.encoding import EncodedRecords
    from domains.records import Dataset
    from domains.scores import ClassificationScores
    from domains.tasks import Task
    from secure_fl.config import RunConfig
    from secure_fl.observing import RunObserver
    from secure_fl.rounds.steps import OpenedRound, Step
    from secure_fl.runfolder import RunFolder
    from secure_fl.sites.adapted_model import AdaptedModel
    from secure_fl.transport import Transport

_EVALUATION_BATCH: Final = 64


@dataclass(frozen=True)
class Evaluator:
    """Scores shared parameters on the evaluation set that the consortium holds in common."""

    task: Task
    adapted: AdaptedModel
    encoded: EncodedRecords
    cache_layers: bool = False
    kind: TaskKind = TaskKind.CLASSIFICATION
    """The form of the records; those of a ranking are scored as one, too."""

    @cached_property
    def _records(self) -> RecordLosses:
        return RecordLosses(
            self.task,
            self.adapted,
            self.encoded,
            _EVALUATION_BATCH,
            cache_layers=self.cache_layers,
        )

    def score(self, parameters: NDArray[np.float32]) -> ClassificationScores:
        """Return the scores of the shared `parameters`, shape (d,)."""
        self.adapted.load(parameters)
        scores = self._records.scores(head_only=self.adapted.trains_head_only)
        labels = self.encoded.labels
        classes = max(len(self.task.labels), *(row.size for row in scores))
        if self.kind is TaskKind.CLASSIFICATION:
            return classification_scores(labels, best_of(scores), classes, margins_of(scores))
        found = option_scores(labels, best_of(scores), classes)
        if self.kind is not TaskKind.RANKING:
            return found
        return replace(found, ranking=ranking_scores(scores, labels))


@dataclass(frozen=True)
class CoordinatorParts:
    """What a coordinator needs to drive a run."""

    config: RunConfig
    roster: Roster
    key: SigningKey
    evaluator: Evaluator
    folder: RunFolder
    transport: Transport
    observer: RunObserver
    dataset: Dataset
    published: bool
    """Whether the records are a published data set's, or generated ones."""
    one_process: bool
    """Whether this process holds the sites' keys too, as an embedded run does."""
    holdings: HoldingsFacts | None = None
    """What each site was given, where it is a simulation's to tell."""


@dataclass(frozen=True)
class RunResult:
    """What a run came to, for the report and the manifest."""

    progress: Progress
    transcript: Transcript
    parameters: NDArray[np.float32]
    parameters_digest: bytes
    shared_parameters: int
    majority_accuracy: float


class Runner:
    """One attempt at a run: from the start, or from the last finished round."""

    def __init__(self, parts: CoordinatorParts, progress: Progress) -> None:
        self._parts = parts
        self._progress = progress
        self._mechanism = parts.config.mechanism
        run_id = bytes.fromhex(progress.run_id)
        coordinator = parts.roster.coordinator().name
        self._transcript = Transcript(run_id, coordinator, parts.key)
        self._transcript.restore(parts.folder.leaves())
        kept = parts.folder.parameters(progress)
        self._parameters = parts.evaluator.adapted.flat() if kept is None else kept
        self._iterates = Iterates.begin(self._mechanism, self._parameters.size)
        remembered = parts.folder.kept(progress)
        if remembered is not None:
            self._iterates = self._iterates.restored(remembered)
        self._kept_leaves = self._transcript.size
        self._majority = 0.0

    def run(self) -> RunResult:
        """Finish every round that is not finished yet.

        Raises:
            CulpritError: one site spoilt a sum; it is left out when the run is resumed.
            PeerError: too few sites remain; the run stays resumable.
        """
        before = self._progress.before or self._score_start()
        self._progress = self._progress.model_copy(update={"before": before})
        self._majority = self._majority_accuracy()
        self._began()
        if self._progress.rounds_done < self._mechanism.training.rounds:
            self._rounds()
        spec = self._parts.evaluator.adapted.spec
        released = self._iterates.released(self._parameters)
        return RunResult(
            progress=self._progress,
            transcript=self._transcript,
            parameters=released,
            parameters_digest=parameter_digest(spec, vector_to_bytes(released)),
            shared_parameters=spec.size,
            majority_accuracy=self._majority,
        )

    def _rounds(self) -> None:
        attempt = self._progress.attempt + 1
        tries = self._progress.tries + 1
        self._progress = self._progress.model_copy(update={"attempt": attempt, "tries": tries})
        self._parts.folder.write_progress(self._progress, None)
        self._keep_sent(self._progress.rounds_done, self._parameters)
        coordinator = Coordinator(
            Proposal(
                run_id=bytes.fromhex(self._progress.run_id),
                attempt=attempt,
                first_round=self._progress.rounds_done,
                mechanism=self._mechanism,
                roster=self._parts.roster,
                spec=self._parts.evaluator.adapted.spec,
                left_out=frozenset(self._progress.left_out),
                memory=self._iterates.rule,
            ),
            self._parameters,
            self._parts.key,
            self._transcript,
        )
        step = coordinator.begin()
        started = time.monotonic()
        while True:
            self._keep_leaves()
            if step.opened is not None:
                self._keep_round(step.opened, time.monotonic() - started)
                started = time.monotonic()
            if step.exchange is None:
                return
            step = self._exchange(coordinator, step)

    def _exchange(self, coordinator: Coordinator, step: Step) -> Step:
        exchange = step.exchange
        if exchange is None:
            return step
        self._parts.observer.exchanging(
            exchange.phase, self._progress.rounds_done, len(exchange.requests)
        )
        if exchange.phase is Phase.HELLO:
            replies = self._parts.transport.broadcast(next(iter(exchange.requests.values())))
        else:
            replies = self._parts.transport.exchange(exchange.requests)
        try:
            return coordinator.advance(replies)
        except PeerError as error:
            # What was signed before it failed is evidence, and tells a site where it stands.
            self._keep_leaves()
            if isinstance(error, CulpritError):
                raise self._leaving_out(error) from error
            if self._progress.left_out:
                raise self._without_left_out(error) from error
            raise

    def _leaving_out(self, error: CulpritError) -> CulpritError:
        """Return the error that ends this attempt, after its culprit was remembered."""
        culprit = error.culprit
        self._progress = self._progress.without(culprit)
        self._parts.folder.write_progress(self._progress, None)
        return CulpritError(
            culprit,
            f"{error} It is left out when the run is resumed; once its operator has found out "
            f"why, --readmit {culprit} takes it back.",
        )

    def _without_left_out(self, error: PeerError) -> PeerError:
        """Return the same error with the names of who is missing because it is left out."""
        left = ", ".join(self._progress.left_out)
        return PeerError(
            f"{error} Left out, since an earlier attempt showed that it broke the protocol: "
            f"{left}. --readmit takes a site back."
        )

    def _keep_leaves(self) -> None:
        self._parts.folder.append_leaves(self._transcript.leaves[self._kept_leaves :])
        self._kept_leaves = self._transcript.size

    def _keep_round(self, opened: OpenedRound, seconds: float) -> None:
        before, self._parameters = self._parameters, opened.parameters
        done = opened.round + 1
        self._iterates = self._iterates.after(opened.round, opened.parameters, opened.memory)
        scores = self._scores_after(done)
        private = self._mechanism.privacy.mode != "none"
        epsilon = claimed_epsilon(self._mechanism, done) if private else None
        # A header that was logged just before a crash counts, though the record of the round
        # before it, and so `tries`, was not kept yet.
        attempts = max(self._progress.tries, times_opened(self._transcript.leaves, opened.round))
        spec = self._parts.evaluator.adapted.spec
        ranks = opened_ranks(
            self._mechanism, spec, before, opened.parameters, len(opened.survivors)
        )
        metrics = _metrics(done, attempts, opened.survivors, scores, epsilon, seconds)
        self._parts.folder.append_metrics(metrics.model_copy(update={"opened": ranks}))
        # Before the record that the round is done, which a resume goes on from.
        self._keep_sent(done, opened.parameters)
        kept = self._iterates.export()
        extracts = {
            site: base64.b64encode(extract).decode()
            for site, extract in sorted(opened.extracts.items())
        }
        self._progress = self._progress.model_copy(
            update={
                "rounds_done": done,
                "tries": 1,
                "parameters_sha256": sha256(vector_to_bytes(opened.parameters)).hex(),
                "kept_sha256": sha256(kept).hex(),
                "extracts": extracts,
            }
        )
        self._parts.folder.write_progress(self._progress, opened.parameters, kept)
        self._parts.observer.scored(RoundScored(done, opened.survivors, scores, epsilon, seconds))

    def _keep_sent(self, round_: int, parameters: NDArray[np.float32]) -> None:
        """Keep the parameters with which `round_` begins, counted from 0, if the run asks it."""
        if not self._parts.config.runtime.keep_rounds:
            return
        kept = KeptRounds.beside(self._parts.folder.path)
        if round_ == 0:
            kept.begin()
        if round_ < self._mechanism.training.rounds:
            kept.keep(round_, parameters)

    def _scores_after(self, done: int) -> ClassificationScores | None:
        """Return the scores after `done` rounds, where they are to be measured."""
        rounds, every = self._mechanism.training.rounds, self._parts.config.runtime.evaluate_every
        if done % every and done < rounds:
            return None
        return self._parts.evaluator.score(self._iterates.released(self._parameters))

    def _score_start(self) -> RoundMetrics:
        scores = self._parts.evaluator.score(self._parameters)
        return _metrics(0, 0, (), scores, None, 0.0)

    def _majority_accuracy(self) -> float:
        labels = self._parts.evaluator.encoded.labels
        return float(np.bincount(labels).max() / labels.size)

    def _began(self) -> None:
        mechanism = self._mechanism
        privacy = mechanism.privacy
        private = isinstance(privacy, Guaranteed)
        self._parts.observer.began(
            RunBegan(
                name=self._parts.config.name,
                folder=self._parts.folder.path,
                method=mechanism.method,
                sites=tuple(member.name for member in self._parts.roster.sites()),
                rounds=mechanism.training.rounds,
                rounds_done=self._progress.rounds_done,
                evaluation_records=len(self._parts.evaluator.encoded),
                majority_accuracy=self._majority,
                target_epsilon=claimed_epsilon(mechanism, mechanism.training.rounds)
                if private
                else None,
                delta=privacy.delta if isinstance(privacy, Guaranteed) else None,
                shared_parameters=self._parts.evaluator.adapted.spec.size,
                budget_carried=self._progress.budget_carried,
                ranked=self._parts.evaluator.kind is TaskKind.RANKING,
                of_options=self._parts.evaluator.kind is not TaskKind.CLASSIFICATION,
            )
        )


def first_progress(run_id: bytes, started: datetime, *, budget_carried: bool) -> Progress:
    """Return where a run stands before its first exchange."""
    return Progress(
        schema="secure-fl.progress.v1",
        run_id=run_id.hex(),
        started=started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        attempt=0,
        tries=0,
        rounds_done=0,
        parameters_sha256=None,
        kept_sha256=None,
        before=None,
        extracts={},
        budget_carried=budget_carried,
    )


def _metrics(  # noqa: PLR0913, PLR0917 - one argument per column
    round_: int,
    attempts: int,
    survivors: tuple[str, ...],
    scores: ClassificationScores | None,
    epsilon: float | None,
    seconds: float,
) -> RoundMetrics:
    return RoundMetrics(
        schema="secure-fl.round-metrics.v1",
        round=round_,
        attempts=attempts,
        survivors=survivors,
        accuracy=None if scores is None else scores.accuracy,
        macro_f1=None if scores is None else scores.macro_f1,
        weighted_f1=None if scores is None else scores.weighted_f1,
        epsilon=epsilon,
        seconds=round(seconds, 3),
        ranking=_ranking(scores),
    )


def _ranking(scores: ClassificationScores | None) -> RankingMetrics | None:
    if scores is None or scores.ranking is None:
        return None
    found = scores.ranking
    return RankingMetrics(hit_rate_10=found.hit_rate, ndcg_10=found.ndcg, auc=found.auc)
