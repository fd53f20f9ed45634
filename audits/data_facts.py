"""What the released report says of the task's data: no count of any site's records.

Where the records are the sites' own, what was dropped from their files is a count of those files.
A report travels, so it says only that such counts stayed where they were told.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from audits.fact_types import Facts, Line

OWN_FILES_NOTE: Final = (
    "What was dropped from sites' own files, and what stands in them twice, was told with its "
    "counts to whoever started the run or the site; the counts stay there, since a report travels."
)
"""The one note of a data set that is the sites' own."""


class Source(StrEnum):
    """Where training records come from."""

    SITES_OWN = "sites-own"
    PUBLISHED = "published"
    GENERATED = "generated"


class DataFacts(Facts):
    """The task's data, without any count of a site's records.

    `evaluation_records` counts the evaluation set that the consortium holds in common. `labels` is
    empty where every record brings its own options in any number.

    `notes` are what was noted of a published or generated data set as it was loaded, such as how
    many texts stood on both sides of its split and what became of them. They come from whoever
    coordinated the run, who loaded the whole set: no site claims them, and nothing that a site
    signed shows them. Of the sites' own records there is `OWN_FILES_NOTE` alone. Reports of before
    there were notes have none.
    """

    name: Line
    licence: Line
    source: Source
    labels: tuple[Line, ...]
    evaluation_records: Annotated[int, Field(ge=1)]
    notes: Annotated[tuple[Line, ...], Field(exclude_if=lambda notes: not notes)] = ()

    @model_validator(mode="after")
    def _is_a_choice(self) -> Self:
        if len(self.labels) == 1:
            raise ValueError("one label is no choice")
        return self

    @model_validator(mode="after")
    def _counts_nobodys_own_files(self) -> Self:
        if self.source is Source.SITES_OWN and set(self.notes) - {OWN_FILES_NOTE}:
            raise ValueError("counts of what was dropped from sites' own files stay at the sites")
        return self
