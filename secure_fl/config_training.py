"""The tables that say what is trained, and how each party optimises."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from secure_fl.config_sections import Count, CountOrNone, Positive, Section


class AdapterSection(Section):
    """The low-rank adapter that is trained."""

    rank: Annotated[int, Field(ge=1, le=256, strict=True)] = 8
    alpha: Count = 16
    target_modules: tuple[str, ...]
    layers: Annotated[tuple[CountOrNone, ...], Field(min_length=1)] | None = None
    """Which of the model's layers are adapted, counted from 0; all when absent. Few shared
    parameters gather less noise."""


class WeightingSection(Section):
    """How much more a site with many records moves the mean than one with few."""

    typical_records: Count
    """A site with so many counts as one site; with another number in proportion. The sum is divided
    by the number of sites whatever they hold, so that no count is sent: McMahan et al. 2018
    (arXiv:1710.06963), the estimator with a fixed denominator."""
    largest: Annotated[float, Field(ge=1, le=100, strict=True)] = 2.0
    """No site counts as more sites than this."""

    def weight_of(self, records: int) -> float:
        """Return as how many sites one with so many `records` counts."""
        return min(records / self.typical_records, self.largest)


class TrainingSection(Section):
    """How each site optimises between two sums."""

    rounds: Annotated[int, Field(ge=1, le=10_000, strict=True)]
    local_steps: Count
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Positive
    head_learning_rate: Positive | None = None
    """For the classifier, which starts from nothing where the adapter starts from the identity;
    `learning_rate` when absent."""
    schedule: Literal["constant", "linear"] = "constant"
    """Whether the learning rate falls to zero over the run's steps."""
    momentum: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    """Of SGD; under `record-distributed` over the whole run, else within a site's round."""
    head_rounds: CountOrNone = 0
    """So many rounds at the start train the classifier alone: a warm start, charged like any."""
    averaged_rounds: Count | None = None
    """The parameters that the run ends with are the mean of those after each of its last so many
    rounds, which evens out noise; those after the last one when absent."""
    batch_size: Count | None = None
    """Records per step where nothing is sampled: in modes `site` and `none`."""
    weighting: Annotated[WeightingSection | None, Field(exclude_if=lambda found: found is None)] = (
        None
    )
    """Every site counts alike when absent; not part of what is signed then. In modes `site` and
    `none`."""
