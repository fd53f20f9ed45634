"""How a worker makes its scrubber; what is sent to it instead of the scrubber itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from privacy.scrubbing import Coverage, Scrubbed, ScrubProfile


class Scrubs(Protocol):
    """What a worker needs of a scrubber."""

    @property
    def coverage(self) -> Coverage:
        """What is looked for, and what is not."""

    def scrub(self, text: str) -> Scrubbed:
        """Return one document scrubbed."""


class Recipe(Protocol):
    """Makes a scrubber in a process that has just begun; small, and pickled by reference."""

    def build(self) -> Scrubs:
        """Return the scrubber.

        Raises:
            ConfigError: an entity that is required cannot be looked for.
        """


@dataclass(frozen=True, slots=True)
class ScrubberRecipe:
    """The scrubber of a profile."""

    profile: ScrubProfile

    def build(self) -> Scrubs:
        """Return the scrubber."""
        from privacy.scrubbing import Scrubber  # noqa: PLC0415 - presidio is heavy

        return Scrubber(self.profile)
