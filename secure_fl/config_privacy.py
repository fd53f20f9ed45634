"""The four modes of `[mechanism.privacy]`: whose presence is hidden, and who adds the noise.

| mode                 | unit           | noise                                                  |
|----------------------|----------------|--------------------------------------------------------|
| `record`             | record, person | each site's own, every step: holds against everyone    |
| `record-distributed` | record, person | shares of all sites under the secure sum, a step a round |
| `site`               | a whole site   | shares of all sites under the secure sum               |
| `none`               | -              | none: NO PRIVACY GUARANTEE                             |

Where noise is shared, no single share protects anybody: the guarantee rests on the honest sites
that survive a round, and on a sum that nobody can open but whole.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from privacy.events import Relation, Unit
from secure_fl.config_sections import Count, CountOrNone, Positive, Probability, Rate, Section


def _accounted(relation: Relation) -> Relation:
    if relation is not Relation.ADD_REMOVE:
        raise ValueError(
            f"a Poisson sample is accounted for under add-remove, and {relation.value} would be "
            "a stronger claim than is computed: ask for add-remove"
        )
    return relation


def _of_records(unit: Unit) -> Unit:
    if unit is Unit.SITE:
        raise ValueError(
            "this mode hides a record or all records of one person, and a guarantee per site "
            'would be claimed falsely: ask for mode "site", or for another unit'
        )
    return unit


AccountedRelation = Annotated[Relation, AfterValidator(_accounted)]
RecordUnit = Annotated[Unit, AfterValidator(_of_records)]


class NoisedSection(Section):
    """What every private mode has: a clip, and noise in units of it."""

    delta: Probability
    epsilon: Positive | None = None
    """The target that sigma is calibrated to; this or `sigma` must be given."""
    sigma: Positive | None = None
    """Noise multiplier: standard deviation of the noise over the l2 sensitivity. Where noise is
    shared, it is that of the honest survivors' shares together, and the sensitivity is the clip and
    what rounding to the grid can add to it."""
    clip: Positive
    """Largest l2 norm of what one unit contributes to a sum."""
    selection: Literal["unstated", "other-data", "charged", "uncharged"] = "unstated"
    """How clip, rates, rounds and the like were chosen: fixed or tried on other records, tried on
    these in runs that the ledgers charged, or tried on these for nothing. The report says it."""

    @model_validator(mode="after")
    def _has_a_noise_scale(self) -> Self:
        if self.epsilon is None and self.sigma is None:
            raise ValueError(
                "give `epsilon` (a target that sigma is calibrated to) or `sigma`: without "
                "either, no noise scale follows and no guarantee could be stated"
            )
        return self


class SampledSection(NoisedSection):
    """What the modes have that sample records, or persons with all of their records."""

    unit: RecordUnit
    """Whose presence is hidden; of other units than records, the site's policy names the column
    that says whose a record is. All records of one unit are sampled together, and clipped as one
    row."""
    relation: AccountedRelation = Relation.ADD_REMOVE
    """Poisson sampling is accounted for under add/remove; no other relation is claimed."""
    clipping: Literal["flat", "per-layer", "automatic"] = "flat"
    """How a unit's gradient is made no longer than `clip`: as one row; each layer's part to an
    equal share of it; or as one row that is also made no shorter, so that the clip's size only
    scales the learning rate (Bu et al. 2022). The sensitivity is `clip` in all three."""
    sampling_rate: Rate
    divisor: Positive
    """What the noised sum is divided by: a constant of the run, never a count of the data."""


class SharedNoise(Section):
    """What the modes have in which every site adds a share of the noise under the secure sum."""

    colluders: Count
    """How many sites may tell each other, or the coordinator, their own shares of the noise; at
    least one, since every site knows its own."""
    drop_outs: CountOrNone | None = None
    """How many sites may drop out of a round without the noise getting too small: their shares are
    paid for in advance. All but the threshold when absent."""


class RecordPrivacy(SampledSection):
    """DP-SGD at each site on its own records; the guarantee holds against everyone."""

    mode: Literal["record"]


class DistributedPrivacy(SampledSection, SharedNoise):
    """One step of DP-SGD per round, over the records of all sites, with noise under the sum."""

    mode: Literal["record-distributed"]


class SitePrivacy(NoisedSection, SharedNoise):
    """Hides all that one site contributes; the sum's noise is shared. Nothing is sampled."""

    mode: Literal["site"]

    @property
    def unit(self) -> Unit:
        """A whole site."""
        return Unit.SITE

    @property
    def relation(self) -> Relation:
        """A site's contribution is there, or replaced by zero; that it took part is public."""
        return Relation.ZERO_OUT


class NoPrivacy(Section):
    """No privacy guarantee at all; has to be asked for by name."""

    mode: Literal["none"]


SampledPrivacy = RecordPrivacy | DistributedPrivacy
"""The modes whose unit is a record or a person."""

SharedNoisePrivacy = DistributedPrivacy | SitePrivacy
"""The modes whose noise is shared under the secure sum."""

Guaranteed = RecordPrivacy | DistributedPrivacy | SitePrivacy
"""The modes with a guarantee."""

Privacy = Annotated[
    RecordPrivacy | DistributedPrivacy | SitePrivacy | NoPrivacy, Field(discriminator="mode")
]

MODES: tuple[str, ...] = ("record", "record-distributed", "site", "none")
