"""The table that says which records are trained on, and what is taken out of them before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, field_validator, model_validator

from privacy.scrubbing.modes.modes import ScrubMode, entities_of
from secure_fl.config_sections import Section

if TYPE_CHECKING:
    from pydantic import ValidationInfo


class DataSection(Section):
    """Which data set every site's records are of, and what becomes of it before training."""

    dataset: str
    """A name of the catalogue, for example `finance.generated`."""
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
    def _scrubs_something(self) -> Self:
        if self.scrub_mode is ScrubMode.EXPERT_DETERMINATION and not self.scrub:
            raise ValueError(
                "`mechanism.data.scrub_mode` is expert-determination and `scrub` names nothing: "
                "no text would change. Name the entities that the expert's determination counts on"
            )
        return self
