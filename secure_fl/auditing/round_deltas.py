"""The attack of a site that keeps the parameters it is sent before every round.

It is made from what the coordinator kept of them, each checked against the digest in the round's
signed header. The parameters after the last round are no more sent; they are those of the release,
or follow from it where that is the mean of the last rounds. Whose canaries they are makes no
difference to a site that has none itself: all sites' are asked for at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.site.round_delta_gates import RoundDeltas, round_delta_finding
from crypto.errors import ConfigError
from crypto.roster import read_unverified_roster
from secure_fl.auditing.canary_parts import claimed, learn, log_likelihoods, opened
from secure_fl.canaries import record_of
from secure_fl.evaluation import load_adapter
from secure_fl.kept_rounds import KeptRounds
from secure_fl.sites.workbench import build_task
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from audits.findings import Finding
    from domains.records import Record
    from domains.tasks import Task
    from secure_fl.auditing.subject import Subject
    from secure_fl.config import RunConfig
    from secure_fl.sites.adapted_model import AdaptedModel

MOST_READINGS: Final = 128
"""Parameters that are asked; of a longer run they are as many, evenly spaced."""


@dataclass(frozen=True)
class _Sent:
    """The parameters of a run's rounds, from the first to those after the last."""

    kept: KeptRounds
    digests: Mapping[int, bytes]
    adapted: AdaptedModel
    released: NDArray[np.float32]
    averaged: int
    """How many of the last rounds the release is the mean of; 1 where it is the last one's."""

    def chosen(self) -> Iterator[NDArray[np.float32]]:
        """Yield at most `MOST_READINGS` of them in order, shape (d,) each."""
        for place in self.places():
            yield self._last() if place == len(self.digests) else self._read(place)

    def places(self) -> list[int]:
        """Return which those are; the parameters after the last of R rounds are number R."""
        rounds = len(self.digests)
        count = min(rounds + 1, MOST_READINGS)
        return sorted({round(place) for place in np.linspace(0, rounds, count).tolist()})

    def _read(self, round_: int) -> NDArray[np.float32]:
        return self.kept.read(round_, self.adapted.spec, self.digests[round_])

    def _last(self) -> NDArray[np.float32]:
        """Return the parameters after the last round: what a mean says beside what was sent."""
        rounds = len(self.digests)
        total = self.released.astype(np.float64) * self.averaged
        for round_ in range(rounds - self.averaged + 1, rounds):
            total -= self._read(round_)
        last: NDArray[np.float32] = total.astype(np.float32)
        return last


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return what the rounds of the run say of its canaries.

    Raises:
        ConfigError: the run has no canaries, or not enough; its rounds were not kept; its base
            model is not here.
        IntegrityError: the folder's log or adapter is damaged, or a round that was kept.
    """
    mechanism, runtime = subject.config.mechanism, subject.config.runtime
    if mechanism.canaries is None:
        raise ConfigError(
            "The run had no canaries (`mechanism.canaries`), and who else was trained on is for "
            "the sites to know: what a site sees from round to round was not tested."
        )
    kept = KeptRounds.beside(subject.folder.path)
    kept.required()
    canaries = opened(subject)
    labels = subject.facts.data.labels
    records = [record_of(canary, f"canary-{i}", len(labels)) for i, canary in enumerate(canaries)]
    members = np.array([canary.member for canary in canaries])
    task, adapted = build_task(mechanism, labels, runtime)
    asked = _Asked(task, adapted, records, subject.config)
    start = adapted.flat()
    load_adapter(adapted, subject.folder.path)
    sent = _Sent(
        kept, _digests(subject), adapted, adapted.flat(), mechanism.training.averaged_rounds or 1
    )
    steps = len(sent.places()) + 1
    note(0, steps)
    confidences: list[NDArray[np.float64]] = []
    for parameters in sent.chosen():
        confidences.append(asked.under(parameters))
        note(len(confidences), steps)
    control = [asked.under(start)]
    learn(mechanism, task, adapted, [r for r, m in zip(records, members, strict=True) if m])
    control.append(asked.now())
    deltas = RoundDeltas(
        confidences=np.stack(confidences),
        control=np.stack(control),
        released=asked.under(sent.released) - confidences[0],
        labels=np.array([record.label for record in records], np.int64),
        members=members,
        repetitions=np.array([canary.repetitions for canary in canaries], np.int64),
        texts=tuple(canary.text for canary in canaries),
    )
    note(steps, steps)
    return (round_delta_finding(deltas, claimed(subject), np.random.default_rng(0)),)


@dataclass(frozen=True)
class _Asked:
    """The model that is asked for the canaries."""

    task: Task
    adapted: AdaptedModel
    records: list[Record]
    config: RunConfig

    def under(self, parameters: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the log-likelihood of each canary's answer under `parameters`, (k,)."""
        self.adapted.load(parameters)
        return self.now()

    def now(self) -> NDArray[np.float64]:
        """Return the same under the parameters that the model has."""
        batch = self.config.runtime.micro_batch
        return log_likelihoods(self.task, self.adapted, self.records, batch)


def _digests(subject: Subject) -> dict[int, bytes]:
    """Return the digest of the parameters with which each round began, as its header has it."""
    folder = subject.folder
    roster = read_unverified_roster(folder.read("transcript/roster.json"))
    run_id = bytes.fromhex(subject.facts.run.run_id)
    return read_transcript(folder.leaves(), roster, subject.config.mechanism, run_id).began
