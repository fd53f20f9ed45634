"""Watches a run where nobody sits in front of it: lines to the program's log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from secure_fl.observing import RoundScored, RunBegan, RunEnded
    from secure_fl.rounds.steps import Phase

_LOG = logging.getLogger(__name__)


class LogObserver:
    """A run's observer that only logs."""

    def preparing(self, what: str) -> None:
        """Log what takes a while."""
        _LOG.info("%s", what)

    def began(self, run: RunBegan) -> None:
        """Log the start."""
        _LOG.info("run %s begins with round %s of %s", run.name, run.rounds_done + 1, run.rounds)

    def exchanging(self, phase: Phase, round_: int, sites: int) -> None:
        """Log an exchange."""
        _LOG.info("round %s: %s to %s sites", round_ + 1, phase.value, sites)

    def replied(self, site: str) -> None:
        """Log nothing: the transport says who answered."""

    def scored(self, result: RoundScored) -> None:
        """Log a round's scores."""
        if result.scores is None:
            _LOG.info("round %s: not scored", result.round)
        else:
            _LOG.info("round %s: accuracy %.4f", result.round, result.scores.accuracy)

    def ended(self, run: RunEnded) -> None:
        """Log the end."""
        _LOG.info("the run is in %s", run.folder)
