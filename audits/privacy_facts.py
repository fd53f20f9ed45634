"""What the report says of the privacy mechanism: one class of facts for each mode.

`record` adds its noise at each site, and its bound counts on no other party. In
`record-distributed` and `site` all sites share the noise under a secure sum, so that the bound
counts on honest sites: `NoiseShareFacts` says on how many.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, model_validator

from audits.fact_types import Count, Delta, Epsilon, Facts, Hex256, Line, Positive
from privacy.events import Relation, Unit


class Selection(StrEnum):
    """How clip, rates, rounds and the other settings were chosen, as the configuration declares it.

    Nothing can check it: whoever wrote the configuration answers for it.
    """

    UNSTATED = "unstated"
    """Nothing is declared."""

    OTHER_DATA = "other-data"
    """Fixed beforehand, or tried out on other records than those that trained the model."""

    CHARGED = "charged"
    """Tried out on the same records, in runs that the sites' ledgers charged."""

    UNCHARGED = "uncharged"
    """Tried out on the same records, and what that revealed is charged nowhere."""


class SiteCharge(Facts):
    """What one site's ledger charged for this run, as epsilons at the run's delta.

    `reserved_epsilon`: the whole plan, set aside before the first round.
    `drawn_epsilon`: the noise that was drawn, rounds repeated after a crash included.
    `charged_epsilon`: the plan and every extra draw together; it is what this run cost.
    `extra_draws`: rounds whose noise was drawn again after a crash.
    `ledger_head`: digest of the ledger's last entry when the extract was made.
    """

    site: Line
    reserved_epsilon: Epsilon
    drawn_epsilon: Epsilon
    charged_epsilon: Epsilon
    extra_draws: Count
    ledger_head: Hex256

    @model_validator(mode="after")
    def _charges_cover(self) -> Self:
        # Each epsilon is its own numerical bound, so allow for the accountant's discretisation.
        covered = self.charged_epsilon * 1.01 + 1e-6
        if self.reserved_epsilon > covered or self.drawn_epsilon > covered:
            raise ValueError("a site was charged less than it reserved or drew")
        return self


class CrossCheck(Facts):
    """The plan's epsilon by a calculation that is not the one claimed.

    `approximation` where it takes the noise for another than was drawn, so that it bounds nothing.
    """

    accountant: Line
    epsilon: Epsilon
    approximation: bool = False


class GuaranteedFacts(Facts):
    """What every mode with a guarantee states.

    `epsilon` is the whole plan's at `delta`, by `accountant`; `target_epsilon` is what the
    configuration asked for, absent when it gave `noise_multiplier` itself. `clip` is the l2 norm
    to which what one unit contributes to a sum is cut; the noise is `noise_multiplier` times what
    one unit can move the sum by, and was drawn `steps` times.
    """

    mode: Literal["record", "record-distributed", "site"]
    unit: Unit
    relation: Relation
    target_epsilon: Epsilon | None
    epsilon: Epsilon
    delta: Delta
    noise_multiplier: Positive
    clip: Positive
    steps: Annotated[int, Field(ge=1)]
    accountant: Line
    cross_checks: tuple[CrossCheck, ...]
    selection: Selection = Selection.UNSTATED
    sites: Annotated[tuple[SiteCharge, ...], Field(min_length=1)]

    @property
    def highest_charge(self) -> float:
        """The largest epsilon that any site was charged for this run: what the run promises."""
        return max(charge.charged_epsilon for charge in self.sites)


def _within_a_site(unit: Unit) -> Unit:
    if unit is Unit.SITE:
        raise ValueError("a mode that samples records does not hide a whole site")
    return unit


UnitOfRecords = Annotated[Unit, AfterValidator(_within_a_site)]
SamplingRate = Annotated[FiniteFloat, Field(gt=0.0, le=1.0)]


class RecordPrivacyFacts(GuaranteedFacts):
    """Differential privacy at each site, by DP-SGD on the site's own records.

    Each step sums over a Poisson sample taken at `sampling_rate`. The noise's standard deviation
    is `noise_multiplier` times `clip`.
    """

    mode: Literal["record"] = "record"
    unit: UnitOfRecords
    sampling_rate: SamplingRate


class NoiseShareFacts(Facts):
    """How the noise was shared in the rounds that began with `cohort` sites.

    `drop_outs` of them may be missing from the sum, and `colluders` may tell each other, or the
    coordinator, what they drew, or add nothing: both are paid for in advance.
    """

    cohort: Annotated[int, Field(ge=2)]
    drop_outs: Count
    colluders: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _somebody_counts(self) -> Self:
        if self.honest < 1:
            raise ValueError("drop-outs and colluders leave nobody whose noise counts")
        return self

    @property
    def honest(self) -> int:
        """The fewest honest sites in a sum, n - T - c: each adds 1 / honest of the variance."""
        return self.cohort - self.drop_outs - self.colluders

    @property
    def survivors(self) -> int:
        """The fewest sites in a sum that holds enough noise, n - T."""
        return self.cohort - self.drop_outs


class SharedNoiseFacts(GuaranteedFacts):
    """A guarantee whose noise all sites share under the secure sum.

    The noise is discrete Gaussian. `noise_multiplier` is the standard deviation of the honest
    sites' shares together, over what one unit can move the sum by: `clip`, and what rounding to
    the grid can add. `shares` has one entry for each number of sites that a round began with, the
    largest first.
    """

    shares: Annotated[tuple[NoiseShareFacts, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _shares_differ(self) -> Self:
        cohorts = [entry.cohort for entry in self.shares]
        if cohorts != sorted(set(cohorts), reverse=True):
            raise ValueError("shares are not listed once for each cohort, the largest first")
        if len({entry.colluders for entry in self.shares}) != 1:
            raise ValueError("the number of colluders differs from round to round")
        return self

    @property
    def honest(self) -> int:
        """So many honest sites in every sum are enough for the bound, whatever the round."""
        return max(entry.honest for entry in self.shares)

    @property
    def colluders(self) -> int:
        """How many sites may be dishonest about their share of the noise."""
        return self.shares[0].colluders


class DistributedPrivacyFacts(SharedNoiseFacts):
    """One step of DP-SGD in each round, over a Poisson sample of the records of all sites."""

    mode: Literal["record-distributed"] = "record-distributed"
    unit: UnitOfRecords
    sampling_rate: SamplingRate


class SitePrivacyFacts(SharedNoiseFacts):
    """Hides all that one site contributes: its change of a round, clipped as a whole."""

    mode: Literal["site"] = "site"
    unit: Unit = Unit.SITE
    relation: Relation = Relation.ZERO_OUT

    @model_validator(mode="after")
    def _hides_a_site(self) -> Self:
        if self.unit is not Unit.SITE or self.relation is not Relation.ZERO_OUT:
            raise ValueError("this mode hides a site, and compares it with zero in its place")
        return self


class LedgerHead(Facts):
    """The digest of the last entry of one site's ledger."""

    site: Line
    ledger_head: Hex256


class NoPrivacyFacts(Facts):
    """No differential privacy: every site's ledger was charged without bound."""

    mode: Literal["none"] = "none"
    sites: tuple[LedgerHead, ...]


Privacy = Annotated[
    RecordPrivacyFacts | DistributedPrivacyFacts | SitePrivacyFacts | NoPrivacyFacts,
    Field(discriminator="mode"),
]
