"""What a run tells those who watch it. Nothing here is private: all of it will be in the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from audits.facts import ReportFacts
    from domains.scores import ClassificationScores
    from secure_fl.rounds.steps import Phase
    from secure_fl.runfolder import RoundMetrics


@dataclass(frozen=True)
class RunBegan:
    """The run is about to exchange its first message."""

    name: str
    folder: Path
    method: str
    sites: tuple[str, ...]
    rounds: int
    rounds_done: int
    evaluation_records: int
    majority_accuracy: float
    target_epsilon: float | None
    delta: float | None
    shared_parameters: int
    budget_carried: bool
    ranked: bool = False
    """Whether each record's options are put in order, and scored so."""
    of_options: bool = False
    """Whether records bring options of their own, so that no classes are common to all."""


@dataclass(frozen=True)
class RoundScored:
    """A round's sum was opened, applied and kept, and evaluated where the run says so.

    `round` counts from 1.
    """

    round: int
    survivors: tuple[str, ...]
    scores: ClassificationScores | None
    epsilon: float | None
    seconds: float


@dataclass(frozen=True)
class RunEnded:
    """The run folder is complete and signed."""

    folder: Path
    trust: Path
    facts: ReportFacts
    last: RoundMetrics


class RunObserver(Protocol):
    """Somebody who watches a run."""

    def preparing(self, what: str) -> None:
        """Something that takes a while began, before or after the rounds."""

    def began(self, run: RunBegan) -> None:
        """The rounds begin."""

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        """Requests went out to this many sites."""

    def replied(self, site: str) -> None:
        """One site finished its part of the exchange."""

    def scored(self, result: RoundScored) -> None:
        """A round is over."""

    def ended(self, run: RunEnded) -> None:
        """The run is over."""
