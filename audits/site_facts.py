"""What a site's own report says: exact counts, which never leave the site."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, ValidationError, model_validator

from audits.fact_types import (
    Count,
    Delta,
    Epsilon,
    Facts,
    Fraction,
    Hex256,
    Line,
    Moment,
    Positive,
    unreadable,
)
from audits.facts import (
    RunFacts,
    ScrubbingFacts,
    SiteCharge,
)
from crypto.errors import IntegrityError
from privacy.events import Relation, Unit


class LabelCount(Facts):
    """How many of a site's training records carry one label."""

    label: Line
    records: Count


class PiiCount(Facts):
    """How many spans of one type of personal data were found and replaced."""

    entity: Line
    spans: Count


class ProviderFacts(Facts):
    """One recogniser that looked for one type: its name, its kind, and its model's digest."""

    entity: Line
    name: Line
    kind: Line
    digest: Hex256 | None = None


class ResidualRow(Facts):
    """Of one type in the labelled sample: how many there are, and how many went completely.

    `low` and `high` are the ends of the 95 % Clopper-Pearson interval of the share that goes.
    """

    entity: Line
    labelled: Count
    removed: Count
    low: Fraction
    high: Fraction

    @model_validator(mode="after")
    def _within(self) -> Self:
        if not (self.removed <= self.labelled and self.low <= self.high):
            raise ValueError("more was removed than was there, or the interval is none")
        return self


class ResidualFacts(Facts):
    """What scrubbing left of the personal data in a labelled sample that the site gave.

    `characters` are the letters and digits of what is labelled; of `texts_with_data`, a text is
    clean where none of them stays. A finding is false where nothing labelled is.
    """

    sample_sha256: Hex256
    texts: Count
    texts_with_data: Count
    clean_texts: Count
    characters: Count
    characters_left: Count
    findings: Count
    false_findings: Count
    rows: tuple[ResidualRow, ...]

    @model_validator(mode="after")
    def _within(self) -> Self:
        if not (
            self.clean_texts <= self.texts_with_data <= self.texts
            and self.characters_left <= self.characters
            and self.false_findings <= self.findings
        ):
            raise ValueError("more is left or false than there was")
        return self


class LedgerEntryFacts(Facts):
    """One entry of the site's ledger, oldest first. `event` says in words what was charged.

    `run` is None for an officer's act, such as declaring a data set.
    """

    number: Count
    recorded: Moment
    kind: Line
    run: Line | None
    event: Line
    digest: Hex256


class BudgetFacts(Facts):
    """The policy's ceiling for the site's named data set, and what all runs were charged.

    `spent_epsilon` is None when a run without any guarantee was charged, so that no bound is left.
    `renyi_order` is that of the filter that adds up runs which were chosen one after another; None
    where all runs were planned together.
    """

    unit: Unit
    relation: Relation
    delta: Delta
    ceiling_epsilon: Epsilon
    spent_epsilon: Epsilon | None
    renyi_order: Positive | None = None


class VetoCheckFacts(Facts):
    """Of one kind of check on a noised sum: how many were made, and how near the nearest came.

    `smallest_margin` is statistic over limit, or limit over statistic where the limit is an upper
    one: below 1 the sum is not sent. It is None where no check was made.
    """

    kind: Literal["noise", "size", "fresh"]
    on: bool
    checks: Count
    smallest_margin: Annotated[FiniteFloat, Field(ge=0)] | None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.smallest_margin is None) != (self.checks == 0):
            raise ValueError("a margin belongs to checks that were made")
        return self


class VetoFacts(Facts):
    """How often the site looked at a noised sum of its own before it left, and what it saw."""

    sums: Count
    refused: Count
    checks: tuple[VetoCheckFacts, ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.refused > self.sums:
            raise ValueError("more sums were refused than were looked at")
        kinds = [entry.kind for entry in self.checks]
        if len(set(kinds)) != len(kinds):
            raise ValueError("a kind of check is listed twice")
        return self


class SiteFacts(Facts):
    """The site's own report: exact counts of its records and its ledger. It never leaves the site.

    `charge` is None in mode none. `dataset_version` is the plain digest of the site's records,
    `records_changed` counts records in which scrubbing replaced anything (None: not counted),
    `providers` says who looked for what, `expert_statement` is the digest of an expert's
    determination (of that mode alone), `residual` what a labelled sample shows, if one was given,
    `veto` what the site saw of its noised sums (None in mode none, where nothing is claimed);
    `report_sha256` is the digest of the released report's facts, where this site has them.
    """

    schema_tag: Literal["secure-fl.site-facts.v1"] = Field(
        default="secure-fl.site-facts.v1", alias="schema"
    )
    site: Line
    consortium: Line
    run: RunFacts
    dataset: Line
    dataset_version: Hex256
    training_records: Count
    records_changed: Count | None
    labels: tuple[LabelCount, ...]
    pii: tuple[PiiCount, ...]
    scrubbing: ScrubbingFacts
    providers: tuple[ProviderFacts, ...]
    expert_statement: Hex256 | None = None
    residual: ResidualFacts | None = None
    charge: SiteCharge | None
    budget: BudgetFacts
    ledger: tuple[LedgerEntryFacts, ...]
    ledger_head: Hex256
    report_sha256: Hex256 | None = None
    veto: VetoFacts | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        counted = sum(entry.records for entry in self.labels)
        if self.labels and counted != self.training_records:
            raise ValueError("the labels' counts do not add up to the training records")
        if self.records_changed is not None and self.records_changed > self.training_records:
            raise ValueError("more records changed than there are")
        if self.scrubbing.site != self.site:
            raise ValueError("the scrubbing is another site's")
        if {entry.entity for entry in self.providers} != set(self.scrubbing.looked_for):
            raise ValueError("what was looked for is not what there are providers for")
        if self.charge is not None and self.charge.site != self.site:
            raise ValueError("the charge is another site's")
        return self

    @classmethod
    def from_json(cls, data: bytes) -> SiteFacts:
        """Return the facts in `data`.

        Raises:
            IntegrityError: `data` is not a site report's facts of this version.
        """
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise IntegrityError(unreadable(cls.__name__, error)) from error
