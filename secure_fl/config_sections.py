"""What every table of a configuration or policy is made of: the strict section, and its numbers."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# Strict: "8" and true are not numbers. Counts stay whole in every JSON reader (RFC 8785).
Probability = Annotated[float, Field(gt=0, lt=1, strict=True)]
Rate = Annotated[float, Field(gt=0, le=1, strict=True)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)]
Count = Annotated[int, Field(ge=1, lt=2**31, strict=True)]
CountOrNone = Annotated[int, Field(ge=0, lt=2**31, strict=True)]
"""A count that may be zero."""


class Section(BaseModel):
    """A frozen table of the file in which an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
