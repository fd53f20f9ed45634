"""Reference adapters: what the canaries look like to models that the audit trained itself.

Each is trained without privacy, from the run's start, on a random half of all canaries, members and
controls alike: who was a member of the run decides nothing here. What the references do not have is
the sites' records, so that they know canaries and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.release.reference_scores import References, balanced_halves
from secure_fl.auditing.canary_parts import learn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from domains.records import Record
    from domains.tasks import Task
    from secure_fl.config import Mechanism, Runtime
    from secure_fl.sites.adapted_model import AdaptedModel

REFERENCES: Final = 4
"""Each takes as long as the positive control; two with every canary give a spread."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What one model says of the canaries.

    Attributes:
        confidences: log p of each one's answer among all, in nats, (n,).
        scaled: log p / (1 - p) of it, which does not saturate, in nats, (n,).
    """

    confidences: NDArray[np.float64] = field(repr=False)
    scaled: NDArray[np.float64] = field(repr=False)


def seen_by(task: Task, adapted: AdaptedModel, records: Sequence[Record], micro_batch: int) -> Seen:
    """Return what `adapted`, as it is now, says of `records`.

    1 - p is added up from the other answers, so that nothing is lost where p rounds to 1; of a
    record that has one answer alone, a secret among all texts, it is what p leaves.
    """
    confidences, scaled = np.empty(len(records)), np.empty(len(records))
    scores = task.scores(adapted.model, task.encode(records), micro_batch)
    for i, (own, record) in enumerate(zip(scores, records, strict=True)):
        if own.size > 1:
            rest = np.logaddexp.reduce(np.delete(own, record.label))
            scaled[i] = own[record.label] - rest
            confidences[i] = -np.logaddexp(0.0, -scaled[i])
        else:
            # Tokens' logarithms may add up to a rounding above 0.
            confidences[i] = min(own[0], 0.0)
            scaled[i] = own[0] - np.log(-np.expm1(min(own[0], -np.finfo(np.float64).tiny)))
    return Seen(confidences, scaled)


def reference_adapters(  # noqa: PLR0913, PLR0917 - what a training needs
    mechanism: Mechanism,
    runtime: Runtime,
    task: Task,
    adapted: AdaptedModel,
    records: Sequence[Record],
    note: Callable[[int], None],
) -> References:
    """Return what `REFERENCES` models say of the canaries, each trained with half of them.

    Args:
        mechanism: of the run.
        runtime: of the run.
        task: of the run.
        adapted: the model that the run starts with, with which it is left.
        records: all canaries, members and controls.
        note: is told how many references are done.

    Raises:
        ConfigError: there are fewer than two canaries.
    """
    start = adapted.flat()
    # Drawn apart from texts, labels and coins, and the same whenever the audit is repeated.
    halves = balanced_halves(REFERENCES, len(records), np.random.default_rng(1))
    seen = []
    for number, half in enumerate(halves):
        inside = [record for record, own in zip(records, half.tolist(), strict=True) if own]
        name = f"reference-{number}"
        learn(mechanism, task, adapted, inside, name=name, cache_layers=runtime.cache_layers)
        seen.append(seen_by(task, adapted, records, runtime.micro_batch))
        adapted.load(start)
        note(number + 1)
    return References(
        halves,
        np.stack([each.scaled for each in seen]),
        np.stack([each.confidences for each in seen]),
    )
