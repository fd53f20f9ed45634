"""The strict building blocks of a report's facts.

A fact is refused when it holds an unknown field, a number of another type, or a character that
could hide or reorder text on the page.
"""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    PlainSerializer,
    ValidationError,
)

_LONGEST_LINE = 2000
# Marks that reorder text, and characters of no width that make two names look alike.
_DECEIVING = frozenset(
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    "\u00ad\u200b\u2060\ufeff\ufffe\uffff"
)


def _visible(line: str) -> str:
    """Refuse characters that no reader sees, or that make a line read otherwise than it is."""
    for character in line:
        if unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} or character in _DECEIVING:
            raise ValueError(
                f"the character U+{ord(character):04X} cannot be shown faithfully in a report"
            )
    return line


def _to_utc(moment: datetime) -> datetime:
    """Return `moment` in UTC and to the second, so that equal facts have equal bytes."""
    return moment.astimezone(UTC).replace(microsecond=0)


def _write_moment(moment: datetime) -> str:
    """Return `moment` (UTC) in RFC 3339 form, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


Line = Annotated[str, Field(min_length=1, max_length=_LONGEST_LINE), AfterValidator(_visible)]
"""One line of text as a person wrote it: no control, no reordering characters."""

Hex256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lower-case hexadecimal."""

Moment = Annotated[
    AwareDatetime, AfterValidator(_to_utc), PlainSerializer(_write_moment, when_used="json")
]
"""A moment with its time zone; kept and written in UTC, to the second."""

Fraction = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
Epsilon = Annotated[FiniteFloat, Field(ge=0.0)]
Delta = Annotated[FiniteFloat, Field(gt=0.0, lt=1.0)]
Positive = Annotated[FiniteFloat, Field(gt=0.0)]
Count = Annotated[int, Field(ge=0)]


class Facts(BaseModel):
    """Base of every fact: frozen, strict, and without unknown fields."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    def to_json(self) -> bytes:
        """Return the facts as JSON (UTF-8, indented): one value, one sequence of bytes."""
        return self.model_dump_json(by_alias=True, indent=2).encode() + b"\n"


def unreadable(kind: str, error: ValidationError) -> str:
    """Say that a file of facts was refused, and where, without repeating what it holds."""
    places = ", ".join(
        ".".join(str(part) for part in detail["loc"]) or "the whole"
        for detail in error.errors()[:3]
    )
    return (
        f"This file does not hold {kind} of this version (at {places}): no report was made from "
        "it. It was altered, or written by another version; take the run folder's own copy."
    )
