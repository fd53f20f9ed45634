"""Measured accuracy beside epsilon: what other privacy on the same task cost, or would have paid.

Points come from studies, each a file of means over seeds that names itself by its digest. They are
context for a reader of an audit, and no claim of the audited run.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, FiniteFloat, model_validator

from audits.fact_types import Delta, Epsilon, Facts, Fraction, Hex256, Line

MOST_POINTS = 200
"""More than anybody would read."""


class FrontierPoint(Facts):
    """One measured mean.

    Attributes:
        study: what its file calls itself.
        row: what was trained: a name of the table of baselines.
        epsilon: claimed, the largest over the seeds; None without a guarantee.
        delta: beside it.
        mean: accuracy over the seeds.
        spread: its sample standard deviation; None of one seed.
        seeds: how many there are.
        records: how many evaluation records each accuracy is of.
        source: SHA-256 of the file.
    """

    study: Line
    row: Line
    epsilon: Epsilon | None
    delta: Delta | None
    mean: Fraction
    spread: Annotated[FiniteFloat, Field(ge=0.0)] | None
    seeds: Annotated[int, Field(ge=1)]
    records: Annotated[int, Field(ge=1)]
    source: Hex256

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.epsilon is None) != (self.delta is None):
            raise ValueError("an epsilon means something only beside its delta")
        if (self.seeds == 1) != (self.spread is None):
            raise ValueError("a spread is of two seeds or more, and two or more have one")
        return self
