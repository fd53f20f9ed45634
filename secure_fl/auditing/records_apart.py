"""The attack that changes one record of a batch and watches its neighbours.

It runs the run's own base model, adapter and loss, on public sentences. What the run itself checked
before it trained is checked again where the audit is made: on this machine's libraries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from audits.findings import Basis, Finding, Measure, Verdict, Window
from crypto.errors import ConfigError
from secure_fl.config import SampledPrivacy
from secure_fl.sites.trainer import check_examples_stay_apart
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from secure_fl.auditing.subject import Subject

GATE: Final = "records-apart"
CLAIM: Final = "One record's loss and gradient do not depend on the records beside it."
_THREAT: Final = (
    "Where a batch is mixed before it is clipped, one record moves the clipped gradients of all, "
    "and the noise that was measured for one of them hides none."
)
_RECORDS: Final = 2


def run(subject: Subject, note: Callable[[int, int], None]) -> tuple[Finding, ...]:
    """Return whether the run's model keeps the records of a batch apart.

    Raises:
        ConfigError: the run clips no single records, or its base model is not here.
    """
    mechanism, runtime = subject.config.mechanism, subject.config.runtime
    if not isinstance(mechanism.privacy, SampledPrivacy):
        raise ConfigError(
            f"Mode {mechanism.privacy.mode} clips no single records: there are none to keep apart."
        )
    labels = subject.facts.data.labels
    task, adapted = build_task(mechanism, labels, runtime)
    note(0, 1)
    try:
        check_examples_stay_apart(task, adapted.model, mechanism.privacy.clip)
        verdict, moved = Verdict.NOT_REFUTED, 0
        reason = "Changing one record moved its neighbour's loss and gradient by rounding alone."
    except ConfigError as error:
        verdict, moved, reason = Verdict.VIOLATED, 1, str(error)
    note(1, 1)
    return (
        Finding(
            gate=GATE,
            window=Window.SERVER,
            basis=Basis.REHEARSAL,
            threat=_THREAT,
            claim=CLAIM,
            verdict=verdict,
            reason=reason,
            samples=_RECORDS,
            statistic=Measure(name="records that another's change moved", value=moved, limit=0.0),
        ),
    )
