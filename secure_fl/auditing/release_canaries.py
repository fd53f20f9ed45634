"""The attack that asks of the released adapter which canaries were trained on.

It is made from what the run folder holds: each site's seed, opened with its last statement and
checked against what the site signed before the first round, gives the canaries and the coin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from audits.release.canary_gates import CanaryEvidence, canary_findings
from crypto.errors import ConfigError
from secure_fl.auditing.canary_parts import claimed, learn, log_likelihoods, opened
from secure_fl.canaries import record_of
from secure_fl.evaluation import load_adapter
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from audits.findings import Finding
    from secure_fl.auditing.subject import Subject

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
    canaries = opened(subject)
    labels = subject.facts.data.labels
    records = [record_of(canary, f"canary-{i}", len(labels)) for i, canary in enumerate(canaries)]
    members = np.array([canary.member for canary in canaries])
    note(0, 3)
    task, adapted = build_task(mechanism, labels, runtime)
    before = log_likelihoods(task, adapted, records, runtime.micro_batch)
    start = adapted.flat()
    load_adapter(adapted, subject.folder.path)
    after = log_likelihoods(task, adapted, records, runtime.micro_batch)
    note(1, 3)
    adapted.load(start)
    learn(mechanism, task, adapted, [r for r, m in zip(records, members, strict=True) if m])
    known = log_likelihoods(task, adapted, records, runtime.micro_batch)
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
    found = canary_findings(evidence, claimed(subject), np.random.default_rng(0))
    note(3, 3)
    return found
