"""`[mechanism.canaries]`: records of the run's own, by which its release is attacked afterwards."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from audits.canaries import CanaryPlan
from crypto.errors import ConfigError
from secure_fl.config_sections import Count, Section


class CanarySection(Section):
    """Canaries that every site draws, commits itself to, and trains on where the coin says so.

    They count as records: they are sampled, clipped and charged like any other.
    """

    each: Count
    """How many of each number of repetitions every site draws; about half of them are members."""
    repetitions: Annotated[tuple[Count, ...], Field(min_length=1)] = (1,)
    """How often a member is among the records. The claimed epsilon is tested where it is once."""
    headline: Literal["loss", "calibrated-loss", "lira", "rmia"] = "calibrated-loss"
    """The attack whose figure counts, named before the run: the loss of the released model, by how
    much it is below that of the model before the first round, or what LiRA or RMIA make of it
    against four adapters that the audit trains itself."""
    answers: Annotated[
        Literal["labels", "secrets"], Field(exclude_if=lambda found: found == "labels")
    ] = "labels"
    """What a canary is answered by: a label at random, or, where a language model is asked, a
    number of its own that it can only have learned by heart."""
    number: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    """Drawn by the coordinator when it starts the run, so that no two runs share their canaries."""

    @model_validator(mode="after")
    def _tests_something(self) -> Self:
        try:
            CanaryPlan(self.each, self.repetitions)
        except ConfigError as error:
            raise ValueError(str(error).rstrip(".")) from None
        return self

    @property
    def most_records(self) -> int:
        """How many records a site may train on because of them: as if every one were a member."""
        return self.each * sum(self.repetitions)
