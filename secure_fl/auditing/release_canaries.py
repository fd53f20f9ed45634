"""The attack that asks of the released adapter which canaries were trained on.

It is made from what the run folder holds: each site's seed, opened with its last statement and
checked against what the site signed before the first round, gives the canaries and the coin.
Reference adapters take as long as all the rest together, so they are trained only where the run
named LiRA or RMIA as the attack that counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.release.canary_gates import CanaryEvidence, Exploratory, canary_findings
from crypto.errors import ConfigError
from secure_fl.auditing.canary_parts import claimed, learn, opened
from secure_fl.auditing.reference_adapters import REFERENCES, Seen, reference_adapters, seen_by
from secure_fl.canaries import record_of
from secure_fl.evaluation import load_adapter
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from audits.findings import Finding
    from audits.release.reference_scores import References
    from secure_fl.auditing.subject import Subject

_ATTACKS: Final = {
    "loss": "the loss of the released model",
    "calibrated-loss": "the loss below that of the model before the first round",
    "lira": f"LiRA against {REFERENCES} reference adapters",
    "rmia": f"RMIA against {REFERENCES} reference adapters",
}
_NEED_REFERENCES: Final = frozenset({"lira", "rmia"})
_LIKENESS: Final = {"labels": 0.3, "secrets": 1.0}
"""As the authors of RMIA have it for labels. Beside a secret's probability, which is that of eight
digits, the rest that a smaller one adds would drown what references say."""


@dataclass(frozen=True, eq=False)
class _Scorer:
    """Scores by every attack that can be made."""

    before: Seen
    references: References | None = field(repr=False)
    likeness: float
    """RMIA's a: how much a reference without a record is like one with it."""

    def scores(self, seen: Seen) -> dict[str, NDArray[np.float64]]:
        """Return each attack's scores of a model, (n,); a higher one says "member"."""
        found = {
            "loss": seen.confidences,
            "calibrated-loss": seen.confidences - self.before.confidences,
        }
        if self.references is not None:
            found["lira"] = self.references.lira(seen.scaled)
            found["rmia"] = self.references.rmia(seen.confidences, a=self.likeness)
        return found


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
    with_references = section.headline in _NEED_REFERENCES
    steps = 3 + REFERENCES * with_references
    note(0, steps)
    task, adapted = build_task(mechanism, labels, runtime)
    before = seen_by(task, adapted, records, runtime.micro_batch)
    start = adapted.flat()
    load_adapter(adapted, subject.folder.path)
    after = seen_by(task, adapted, records, runtime.micro_batch)
    note(1, steps)
    adapted.load(start)
    references = None
    if with_references:
        references = reference_adapters(
            mechanism, runtime, task, adapted, records, lambda done: note(1 + done, steps)
        )
    inside = [record for record, own in zip(records, members, strict=True) if own]
    learn(mechanism, task, adapted, inside, cache_layers=runtime.cache_layers)
    known = seen_by(task, adapted, records, runtime.micro_batch)
    note(steps - 1, steps)
    scorer = _Scorer(before, references, _LIKENESS[section.answers])
    scores = scorer.scores(after)
    evidence = CanaryEvidence(
        scores=scores[section.headline],
        control=scorer.scores(known)[section.headline],
        members=members,
        repetitions=np.array([canary.repetitions for canary in canaries], np.int64),
        texts=tuple(canary.text for canary in canaries),
        attack=_ATTACKS[section.headline],
        exploratory=tuple(
            Exploratory(_ATTACKS[name], other)
            for name, other in scores.items()
            if name != section.headline
        ),
    )
    found = canary_findings(evidence, claimed(subject), np.random.default_rng(0))
    note(steps, steps)
    return found
