"""The attack that asks of the released adapter which canaries were trained on.

It is made from what the run folder holds: each site's seed, opened with its last statement and
checked against what the site signed before the first round, gives the canaries and the coin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audits.canaries import canaries_of
from audits.privacy_facts import GuaranteedFacts
from audits.release.canary_gates import CanaryEvidence, canary_findings
from audits.server.distinguish import Claimed
from crypto.errors import ConfigError
from crypto.roster import read_unverified_roster
from crypto.secrets import SecretBytes
from domains.records import Record
from privacy.events import Unit
from privacy.noise import SystemNoise
from privacy.streams import fresh_stream
from secure_fl.canaries import plan_of
from secure_fl.config import NoPrivacy
from secure_fl.evaluation import load_adapter
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows
from secure_fl.sites.workbench import build_task
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from audits.canaries import Canary
    from audits.findings import Finding
    from domains.tasks import Task
    from secure_fl.auditing.subject import Subject
    from secure_fl.config import Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel

_PASSES: Final = 30
"""Over the members, until the positive control knows them."""
_MOST_STEPS: Final = 240
_BATCH: Final = 16
_RATE, _HEAD_RATE = 2e-3, 1e-2
_ATTACKS: Final = {
    "loss": "the loss of the released model",
    "calibrated-loss": "the loss below that of the model before the first round",
}


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return what the run's canaries say of its release.

    Raises:
        ConfigError: the run has no canaries, or not enough; its base model is not here.
        IntegrityError: the folder's log or adapter is damaged.
    """
    mechanism, runtime = subject.config.mechanism, subject.config.runtime
    section = mechanism.canaries
    if section is None:
        raise ConfigError(
            "The run had no canaries (`mechanism.canaries`), and who else was trained on is for "
            "the sites to know: what the release gives away was not tested."
        )
    canaries = _opened(subject)
    labels = subject.facts.data.labels
    records = [
        Record(f"canary-{i}", canary.text, canary.label(len(labels)))
        for i, canary in enumerate(canaries)
    ]
    members = np.array([canary.member for canary in canaries])
    note(0, 3)
    task, adapted = build_task(mechanism, labels, runtime)
    before = _log_likelihoods(task, adapted, records, runtime.micro_batch)
    start = adapted.flat()
    load_adapter(adapted, subject.folder.path)
    after = _log_likelihoods(task, adapted, records, runtime.micro_batch)
    note(1, 3)
    adapted.load(start)
    _learn(mechanism, task, adapted, [r for r, m in zip(records, members, strict=True) if m])
    known = _log_likelihoods(task, adapted, records, runtime.micro_batch)
    note(2, 3)
    base = before if section.headline == "calibrated-loss" else np.zeros_like(before)
    evidence = CanaryEvidence(
        scores=after - base,
        control=known - base,
        members=members,
        repetitions=np.array([canary.repetitions for canary in canaries], np.int64),
        texts=tuple(canary.text for canary in canaries),
        attack=_ATTACKS[section.headline],
    )
    found = canary_findings(evidence, _claimed(subject), np.random.default_rng(0))
    note(3, 3)
    return found


def _opened(subject: Subject) -> list[Canary]:
    """Return the canaries of every site that opened its seed, checked against its commitment."""
    mechanism, folder = subject.config.mechanism, subject.folder
    plan = plan_of(mechanism)
    roster = read_unverified_roster(folder.read("transcript/roster.json"))
    run_id = bytes.fromhex(subject.facts.run.run_id)
    checked = read_transcript(folder.leaves(), roster, mechanism, run_id)
    if plan is None or not checked.extracts:
        raise ConfigError(
            "No site opened its canaries: the run ended before its last round, and nobody can say "
            "which were trained on."
        )
    return [
        canary
        for _, sent in sorted(checked.extracts.items())
        for canary in canaries_of(SecretBytes(sent.canaries), plan)
    ]


def _claimed(subject: Subject) -> Claimed | None:
    privacy = subject.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return None
    return Claimed(privacy.epsilon, privacy.delta)


def _log_likelihoods(
    task: Task, adapted: AdaptedModel, records: Sequence[Record], micro_batch: int
) -> NDArray[np.float64]:
    """Return the log-likelihood in nats of each record's label among all, (n,)."""
    scores = task.scores(adapted.model, task.encode(records), micro_batch)
    found = np.empty(len(records))
    for i, (own, record) in enumerate(zip(scores, records, strict=True)):
        found[i] = own[record.label] - np.logaddexp.reduce(own)
    return found


def _learn(mechanism: Mechanism, task: Task, adapted: AdaptedModel, members: list[Record]) -> None:
    """Train `adapted`, without privacy, on the canaries that are members: the positive control."""
    steps = min(_MOST_STEPS, _PASSES * -(-len(members) // _BATCH))
    training = mechanism.training.model_copy(
        update={
            "rounds": 1,
            "local_steps": steps,
            "optimizer": "adam",
            "learning_rate": _RATE,
            "head_learning_rate": None if mechanism.prompt is not None else _HEAD_RATE,
            "schedule": "linear",
            "momentum": 0.0,
            "head_rounds": 0,
            "averaged_rounds": None,
            "batch_size": _BATCH,
        }
    )
    plain = mechanism.model_copy(update={"training": training, "privacy": NoPrivacy(mode="none")})
    parts = TrainingParts(
        site="positive-control",
        task=task,
        adapted=adapted,
        records=RecordLosses(task, adapted, task.encode(members), _BATCH),
        units=UnitRows.of(members, Unit.RECORD, None),
        noise=SystemNoise(),
        streams=fresh_stream,
    )
    LocalTrainer(parts, plain).train(adapted.flat(), 0)
