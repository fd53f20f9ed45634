"""Who holds what, in a simulation: counts that a consortium's report never shows.

In a consortium the exact counts of a site's records stay at that site. Where one process plays all
sites on a published or generated data set, what each was given is part of the experiment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import model_validator

from audits import numerals
from audits.fact_types import Count, Facts, Line

if TYPE_CHECKING:
    from typing import Self

MOST_LABELS = 6
"""Labels that a picture can tell apart; of more, only whole sites are drawn."""
_WIDE_ENOUGH = 0.07
"""Share of the picture's width from which on a part has room for its number."""


class HoldingFacts(Facts):
    """How many records a simulated site was given, and how many of each label."""

    site: Line
    records: Count
    labels: tuple[Count, ...]


class HoldingsFacts(Facts):
    """What all simulated sites were given, by which rule; `labels` are the columns' names.

    Without labels in common there are none.
    """

    rule: Line
    labels: tuple[Line, ...]
    sites: tuple[HoldingFacts, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for holding in self.sites:
            if len(holding.labels) != len(self.labels):
                raise ValueError("a site's counts are not one for each label")
            if self.labels and sum(holding.labels) != holding.records:
                raise ValueError("a site's counts do not add up to its records")
        return self


@dataclass(frozen=True)
class Part:
    """One label's part of a site's bar; places are fractions of the whole width."""

    label: str
    start: float
    width: float
    number: str
    """What is written into it; empty where it is too narrow."""
    shade: int


@dataclass(frozen=True)
class HeldBar:
    """One site's bar."""

    site: str
    total: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class HoldingsChart:
    """A stacked bar for each site, all to one scale, and what says the same in words."""

    description: str
    bars: tuple[HeldBar, ...]
    legend: tuple[tuple[int, str], ...]


def holdings_chart(facts: HoldingsFacts) -> HoldingsChart:
    """Return the picture of who holds what."""
    split = 1 < len(facts.labels) <= MOST_LABELS
    largest = max((holding.records for holding in facts.sites), default=0)
    sizes = [holding.records for holding in facts.sites]
    described = (
        f"{len(sizes)} sites hold {numerals.thousands(min(sizes, default=0))} to "
        f"{numerals.thousands(largest)} records each."
    )
    legend = tuple(enumerate(facts.labels)) if split else ()
    bars = tuple(_bar(holding, facts.labels if split else (), largest) for holding in facts.sites)
    return HoldingsChart(described, bars, legend)


def _bar(holding: HoldingFacts, labels: tuple[str, ...], largest: int) -> HeldBar:
    counts = holding.labels if labels else (holding.records,)
    parts, start = [], 0.0
    for shade, count in enumerate(counts):
        width = count / largest if largest else 0.0
        number = numerals.thousands(count) if labels and width >= _WIDE_ENOUGH else ""
        parts.append(Part(labels[shade] if labels else "records", start, width, number, shade))
        start += width
    return HeldBar(holding.site, numerals.thousands(holding.records), tuple(parts))
