"""Counts of what was scrubbed: exact, so they stay at the site that made them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from privacy.scrubbing.spans import Scrubbed


@dataclass(frozen=True, slots=True)
class ScrubTally:
    """How many placeholders of each entity stand in how many documents.

    An immutable sum: `ScrubTally() + ScrubTally.of(a) + ScrubTally.of(b)`. `counts` is sorted by
    entity and holds no zero. Exact counts of private records never leave a site.
    """

    documents: int = 0
    documents_changed: int = 0
    counts: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        names = [entity for entity, _ in self.counts]
        if names != sorted(set(names)) or any(count < 1 for _, count in self.counts):
            raise ConfigError(
                "A scrub tally's counts are not sorted, distinct and positive: the site report "
                "would misstate what was scrubbed. Build it with ScrubTally.of and addition."
            )
        if not 0 <= self.documents_changed <= self.documents:
            raise ConfigError(
                f"A scrub tally claims {self.documents_changed} changed documents of "
                f"{self.documents}: the site report would misstate what was scrubbed. Build it "
                "with ScrubTally.of and addition."
            )

    @classmethod
    def of(cls, scrubbed: Scrubbed) -> ScrubTally:
        """Return the tally of one document."""
        counts = Counter(span.entity for span in scrubbed.spans)
        return cls(1, int(bool(scrubbed.spans)), tuple(sorted(counts.items())))

    def __add__(self, other: ScrubTally) -> ScrubTally:
        counts = Counter(dict(self.counts)) + Counter(dict(other.counts))
        return ScrubTally(
            self.documents + other.documents,
            self.documents_changed + other.documents_changed,
            tuple(sorted(counts.items())),
        )

    def count(self, entity: str) -> int:
        """Return how many placeholders of `entity` were written."""
        return dict(self.counts).get(entity, 0)

    @property
    def total(self) -> int:
        """How many placeholders were written."""
        return sum(count for _, count in self.counts)
