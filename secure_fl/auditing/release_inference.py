"""The attacks that guess a canary's label from its text, or a word of it from the rest and label.

Labels and words follow from the seeds that the sites opened. The words beside a hidden one are
drawn as it was, from the canary's salt, which is apart from text, label and coin: whoever sees all
of them, and no release, cannot tell which stood there; whoever repeats the audit asks the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from audits.canaries import SYLLABLES, invented_words
from audits.release.attributes import evidence
from audits.release.inference_gates import (
    ATTRIBUTES,
    LABELS,
    NONE_ONCE,
    GuessEvidence,
    inference_finding,
    not_run,
)
from crypto.errors import ConfigError
from secure_fl.auditing.canary_parts import claimed, learn, opened
from secure_fl.auditing.reference_adapters import seen_by
from secure_fl.canaries import record_of
from secure_fl.evaluation import load_adapter
from secure_fl.sites.workbench import build_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from audits.canaries import Canary
    from audits.findings import Finding
    from audits.server.distinguish import Claimed
    from domains.records import Record
    from domains.tasks import Task
    from secure_fl.auditing.subject import Subject
    from secure_fl.sites.adapted_model import AdaptedModel

    Note = Callable[[int, int], None]

_CANDIDATES: Final = 16
"""Words in a gap, the canary's own among them."""
_PLACE: Final = 3
"""Which word is hidden, from 0: neither the first, which has a capital, nor the last."""
_DRAW_BITS: Final = 53
_STEPS: Final = 3


def run(subject: Subject, note: Note) -> tuple[Finding, ...]:
    """Return what the release gives away of labels and of words of the run's canaries.

    All three models are asked for both, so that the positive control is trained once. Words are
    asked for of canaries of one repetition alone: each is read with every word in the gap.

    Raises:
        ConfigError: the run has no canaries with labels; its base model is not here.
        IntegrityError: the folder's log or adapter is damaged.
    """
    canaries, records = _labelled(subject)
    once = [i for i, canary in enumerate(canaries) if canary.repetitions == 1]
    if not once:
        return tuple(not_run(gate, NONE_ONCE) for gate in (LABELS, ATTRIBUTES))
    gaps = tuple(gap_of(canaries[i], records[i]) for i in once)
    games: dict[str, _Game] = {
        LABELS: _Labels(np.arange(len(records)), tuple(records)),
        ATTRIBUTES: _Words(np.array(once), gaps),
    }
    members = [record for each, record in zip(canaries, records, strict=True) if each.member]
    told = _told(subject, tuple(games.values()), members, note)
    claim = claimed(subject)
    found = tuple(
        _judged(gate, canaries, game, answers, claim)
        for (gate, game), answers in zip(games.items(), told, strict=True)
    )
    note(_STEPS, _STEPS)
    return found


@dataclass(frozen=True)
class Gap:
    """A canary with each of some words in the place of a hidden one.

    Attributes:
        filled: one record per word.
        place: which of them is the canary.
    """

    filled: tuple[Record, ...] = field(repr=False)
    place: int


def gap_of(canary: Canary, record: Record) -> Gap:
    """Return `record`, which is `canary`, with its own and fifteen other words in one place."""
    rng = np.random.default_rng(canary.salt)
    draws = rng.integers(1 << _DRAW_BITS, size=_CANDIDATES * SYLLABLES, dtype=np.uint64)
    words, place = invented_words(draws), int(rng.integers(_CANDIDATES))
    own = record.text.split(" ")
    words[place] = own[_PLACE]
    filled = tuple(
        replace(
            record, id=f"{record.id}-{i}", text=" ".join([*own[:_PLACE], word, *own[_PLACE + 1 :]])
        )
        for i, word in enumerate(words)
    )
    return Gap(filled, place)


class _Game(Protocol):
    """What is asked of a model about some of the canaries."""

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Which canaries, (m,)."""

    @property
    def truth(self) -> NDArray[np.int64]:
        """The true value of each, (m,)."""

    def scores(self, task: Task, adapted: AdaptedModel, micro_batch: int) -> NDArray[np.float64]:
        """Return how likely the model finds each value, in nats, (m, R)."""


@dataclass(frozen=True, eq=False)
class _Labels:
    """Which label a text has."""

    chosen: NDArray[np.int64]
    records: tuple[Record, ...] = field(repr=False)

    @property
    def truth(self) -> NDArray[np.int64]:
        return np.array([record.label for record in self.records], np.int64)

    def scores(self, task: Task, adapted: AdaptedModel, micro_batch: int) -> NDArray[np.float64]:
        found = np.stack(task.scores(adapted.model, task.encode(self.records), micro_batch))
        return np.asarray(found - np.logaddexp.reduce(found, axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class _Words:
    """Which word stood in a text of a label: under which the label is likelier than all others."""

    chosen: NDArray[np.int64]
    gaps: tuple[Gap, ...]

    @property
    def truth(self) -> NDArray[np.int64]:
        return np.array([gap.place for gap in self.gaps], np.int64)

    def scores(self, task: Task, adapted: AdaptedModel, micro_batch: int) -> NDArray[np.float64]:
        filled = [record for gap in self.gaps for record in gap.filled]
        return seen_by(task, adapted, filled, micro_batch).scaled.reshape(-1, _CANDIDATES)


def _labelled(subject: Subject) -> tuple[list[Canary], list[Record]]:
    """Return the run's canaries and their records, if they have labels."""
    section = subject.config.mechanism.canaries
    if section is None or section.answers != "labels":
        raise ConfigError(
            "The run had no canaries with labels (`mechanism.canaries`), and what else it was "
            "trained on is for the sites to know: what the release gives away of a label or a word "
            "was not tested."
        )
    canaries, labels = opened(subject), len(subject.facts.data.labels)
    return canaries, [record_of(each, f"canary-{i}", labels) for i, each in enumerate(canaries)]


@dataclass(frozen=True, eq=False)
class _Told:
    """How likely three models find each value in one game, in nats, (m, R) each."""

    before: NDArray[np.float64] = field(repr=False)
    """The model before the first round."""
    released: NDArray[np.float64] = field(repr=False)
    known: NDArray[np.float64] = field(repr=False)
    """The positive control."""


def _told(
    subject: Subject, games: Sequence[_Game], members: list[Record], note: Note
) -> list[_Told]:
    """Return what the models make of each game; `members` are what the positive control learns."""
    mechanism, runtime = subject.config.mechanism, subject.config.runtime
    note(0, _STEPS)
    task, adapted = build_task(mechanism, subject.facts.data.labels, runtime)

    def asked() -> list[NDArray[np.float64]]:
        return [game.scores(task, adapted, runtime.micro_batch) for game in games]

    before, start = asked(), adapted.flat()
    load_adapter(adapted, subject.folder.path)
    released = asked()
    note(1, _STEPS)
    adapted.load(start)
    learn(mechanism, task, adapted, members, cache_layers=runtime.cache_layers)
    note(2, _STEPS)
    return [_Told(*tables) for tables in zip(before, released, asked(), strict=True)]


def _judged(
    gate: str, canaries: Sequence[Canary], game: _Game, told: _Told, claim: Claimed | None
) -> Finding:
    """Return one gate's finding; where it fails, one that says so, so that the other's is kept."""
    asked = [canaries[int(i)] for i in game.chosen]
    try:
        guesses = GuessEvidence(
            released=evidence(told.released, told.before),
            control=evidence(told.known, told.before),
            truth=game.truth,
            members=np.array([canary.member for canary in asked]),
            repetitions=np.array([canary.repetitions for canary in asked], np.int64),
        )
        return inference_finding(gate, guesses, claim)
    except ConfigError as error:
        return not_run(gate, str(error))
