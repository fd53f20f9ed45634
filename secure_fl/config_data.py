"""The table that says which records are trained on, and what is taken out of them before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, field_validator, model_validator

from crypto.errors import ConfigError
from domains.partition_kinds import Partition, PartitionKind
from privacy.scrubbing.modes.modes import ScrubMode, entities_of
from secure_fl.config_sections import Count, Section

if TYPE_CHECKING:
    from pydantic import ValidationInfo


class DataSection(Section):
    """Which data set every site's records are of, and what becomes of it before training."""

    dataset: str
    """A name of the catalogue, for example `finance.generated`."""
    partition: PartitionKind = PartitionKind.EQUAL
    """By what rule a simulation shares the records out. In a deployment every site has its own, and
    only the default is accepted."""
    alpha: Annotated[float, Field(strict=True)] | None = None
    """Of the partition `label`: the Dirichlet's concentration."""
    sigma: Annotated[float, Field(strict=True)] | None = None
    """Of the partition `size`: the standard deviation of the logarithm of a site's size."""
    key: str | None = None
    """Of the partition `key`: the column whose equal values stay at one site."""
    smallest_share: Count = 1
    """Records that the partition gives every site at least, or the run is refused."""
    scrub_mode: ScrubMode = ScrubMode.PLACEHOLDERS
    """What stands in the place of what is found."""
    scrub: Annotated[tuple[str, ...], Field(validate_default=True)] = ()
    """PII entities that every site must remove; a site without a provider for one refuses. Safe
    Harbor adds all of its own."""

    @field_validator("scrub")
    @classmethod
    def _whole(cls, chosen: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        """Add what the mode asks for, so that the signed configuration shows all of it."""
        mode = info.data.get("scrub_mode")
        return chosen if mode is None else entities_of(mode, chosen)

    @model_validator(mode="after")
    def _shares_out(self) -> Self:
        try:
            self.rule()
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    def rule(self) -> Partition:
        """Return by what rule the records are shared out."""
        return Partition(self.partition, self.sigma, self.alpha, self.key, self.smallest_share)

    @model_validator(mode="after")
    def _scrubs_something(self) -> Self:
        if self.scrub_mode is ScrubMode.EXPERT_DETERMINATION and not self.scrub:
            raise ValueError(
                "`mechanism.data.scrub_mode` is expert-determination and `scrub` names nothing: "
                "no text would change. Name the entities that the expert's determination counts on"
            )
        return self
