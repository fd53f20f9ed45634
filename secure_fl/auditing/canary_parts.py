"""What every attack by a run's canaries needs.

The canaries that were opened, what is claimed of them, how likely a model finds their answers, and
a model that knows them by heart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.canaries import canaries_of
from audits.privacy_facts import GuaranteedFacts
from audits.server.distinguish import Claimed
from crypto.errors import ConfigError
from crypto.roster import read_unverified_roster
from crypto.secrets import SecretBytes
from privacy.events import Unit
from privacy.noise import SystemNoise
from privacy.streams import fresh_stream
from secure_fl.canaries import plan_of
from secure_fl.config import NoPrivacy
from secure_fl.sites.losses import RecordLosses
from secure_fl.sites.trainer import LocalTrainer, TrainingParts
from secure_fl.sites.units import UnitRows
from secure_fl.transcript_check import read_transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from audits.canaries import Canary
    from domains.records import Record
    from domains.tasks import Task
    from secure_fl.auditing.subject import Subject
    from secure_fl.config import Mechanism
    from secure_fl.sites.adapted_model import AdaptedModel

_BATCH: Final = 16


@dataclass(frozen=True)
class Lesson:
    """How a positive control is taught its members, until it knows them.

    Attributes:
        passes: over the members.
        most_steps: if these are more than so many steps of 16 records, it is so many.
        rate: with which Adam begins; it falls to zero over the lesson.
        head_rate: likewise of a classifier's head.
    """

    passes: int
    most_steps: int
    rate: float
    head_rate: float


LESSON: Final = Lesson(passes=30, most_steps=240, rate=2e-3, head_rate=1e-2)
"""Of canaries with labels."""


def opened(subject: Subject) -> list[Canary]:
    """Return the canaries of every site that opened its seed, checked against its commitment.

    Raises:
        ConfigError: no site did.
        IntegrityError: the folder's log is damaged.
    """
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


def claimed(subject: Subject) -> Claimed | None:
    """Return what the run claims of one record that is there or not; None where it claims nothing.

    Where the unit is a site, what it gives with a record and without it are two steps apart, over
    zero in its place: (2 epsilon, (1 + e^epsilon) delta).
    """
    privacy = subject.facts.privacy
    if not isinstance(privacy, GuaranteedFacts):
        return None
    if privacy.unit is not Unit.SITE:
        return Claimed(privacy.epsilon, privacy.delta)
    twice = privacy.delta * (1 + math.exp(privacy.epsilon))
    return Claimed(2 * privacy.epsilon, min(1.0, twice))


def log_likelihoods(
    task: Task, adapted: AdaptedModel, records: Sequence[Record], micro_batch: int
) -> NDArray[np.float64]:
    """Return the log-likelihood in nats of each record's label among all, (n,).

    Of a record that has one answer alone, a secret, it is that of the answer among all texts.
    """
    scores = task.scores(adapted.model, task.encode(records), micro_batch)
    found = np.empty(len(records))
    for i, (own, record) in enumerate(zip(scores, records, strict=True)):
        rest = np.logaddexp.reduce(own) if own.size > 1 else 0.0
        found[i] = own[record.label] - rest
    return found


def learn(  # noqa: PLR0913 - what a training needs, each by its name
    mechanism: Mechanism,
    task: Task,
    adapted: AdaptedModel,
    members: list[Record],
    *,
    lesson: Lesson | None = None,
    name: str = "positive-control",
    cache_layers: bool = False,
) -> None:
    """Train `adapted`, without privacy, on the canaries that are members: the positive control.

    Args:
        mechanism: of the run.
        task: of the run.
        adapted: what is trained, from the parameters that it has.
        members: on which.
        lesson: how long, and at which rates; `LESSON` where it is left out.
        name: by which the order of the records is drawn.
        cache_layers: whether frozen layers are computed once; as the run's own `cache_layers`.
    """
    taught = LESSON if lesson is None else lesson
    steps = min(taught.most_steps, taught.passes * -(-len(members) // _BATCH))
    training = mechanism.training.model_copy(
        update={
            "rounds": 1,
            "local_steps": steps,
            "optimizer": "adam",
            "learning_rate": taught.rate,
            "head_learning_rate": None if mechanism.prompt is not None else taught.head_rate,
            "schedule": "linear",
            "momentum": 0.0,
            "head_rounds": 0,
            "averaged_rounds": None,
            "batch_size": _BATCH,
        }
    )
    plain = mechanism.model_copy(update={"training": training, "privacy": NoPrivacy(mode="none")})
    parts = TrainingParts(
        site=name,
        task=task,
        adapted=adapted,
        records=RecordLosses(
            task, adapted, task.encode(members), _BATCH, cache_layers=cache_layers
        ),
        units=UnitRows.of(members, Unit.RECORD, None),
        noise=SystemNoise(),
        streams=fresh_stream,
    )
    LocalTrainer(parts, plain).train(adapted.flat(), 0)
