"""What a run may choose of the Financial PhraseBank. Imports nothing heavy."""

from __future__ import annotations

import enum
from typing import Final


class Agreement(enum.Enum):
    """The smallest share of annotators that agreed on a sentence's label."""

    HALF = "50Agree"
    TWO_THIRDS = "66Agree"
    THREE_QUARTERS = "75Agree"
    ALL = "AllAgree"

    @property
    def file_name(self) -> str:
        """The published file's name."""
        return f"Sentences_{self.value}.txt"

    @property
    def rows(self) -> int:
        """How many sentences the published file holds."""
        return _PUBLISHED_ROWS[self]


_PUBLISHED_ROWS: Final = {
    Agreement.HALF: 4846,
    Agreement.TWO_THIRDS: 4217,
    Agreement.THREE_QUARTERS: 3453,
    Agreement.ALL: 2264,
}


class Split(enum.Enum):
    """Which sentences are the evaluation set."""

    FINGPT = "fingpt"
    """The published papers' test set; exists for the 50 % file only."""

    QUARTER = "quarter"
    """The same rule on any of the four files; not comparable with published scores."""
