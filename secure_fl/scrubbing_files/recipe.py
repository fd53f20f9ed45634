"""How a worker makes its scrubber; what is sent to it instead of the scrubber itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from crypto.secrets import SecretBytes
from privacy.scrubbing import (
    ExpertDetermination,
    Placeholders,
    SafeHarbor,
    Scrubber,
    ScrubMode,
)
from secure_fl.own_models import OwnRecognizers

if TYPE_CHECKING:
    from privacy.scrubbing import (
        Coverage,
        DateOrder,
        Document,
        Provider,
        Replacement,
        Scrubbed,
        ScrubProfile,
    )
    from privacy.scrubbing.own_models.description import Own


class Scrubs(Protocol):
    """What a worker needs of a scrubber."""

    @property
    def coverage(self) -> Coverage:
        """What is looked for, and what is not."""

    @property
    def providers(self) -> tuple[Provider, ...]:
        """Who looks for what."""

    def scrub(self, text: str, document: Document) -> Scrubbed:
        """Return one document scrubbed."""


class Recipe(Protocol):
    """Makes a scrubber in a process that has just begun; small, and pickled by reference."""

    def build(self) -> Scrubs:
        """Return the scrubber.

        Raises:
            ConfigError: an entity that is required cannot be looked for.
        """


@dataclass(frozen=True, slots=True)
class Writing:
    """What is written in the place of a finding, with what it is drawn by.

    Attributes:
        mode: by which rule.
        secret: 32 bytes: random for Safe Harbor, the site's key for experts, none for placeholders.
        year: the present one.
        date_order: how the texts mean 03/04/2019, where that is known.
    """

    mode: ScrubMode = ScrubMode.PLACEHOLDERS
    secret: bytes = field(default=b"", repr=False)
    year: int = 0
    date_order: DateOrder | None = None

    def replacement(self) -> Replacement:
        """Return what writes."""
        from secure_fl.sites.scrub_secrets import (  # noqa: PLC0415 - placeholders need no cipher
            drawn_by,
            keyed_by,
        )

        secret = SecretBytes(self.secret)
        match self.mode:
            case ScrubMode.PLACEHOLDERS:
                return Placeholders()
            case ScrubMode.SAFE_HARBOR:
                return SafeHarbor(drawn_by(secret), this_year=self.year)
            case ScrubMode.EXPERT_DETERMINATION:
                return ExpertDetermination(keyed_by(secret), date_order=self.date_order)


@dataclass(frozen=True, slots=True)
class ScrubberRecipe:
    """The scrubber of a profile, writing as one mode asks, with recognisers of the site's own."""

    profile: ScrubProfile
    writing: Writing
    own: tuple[Own, ...] = ()

    def build(self) -> Scrubs:
        """Return the scrubber; the process of the site's own recognisers ends with it."""
        own = OwnRecognizers(self.own)
        return Scrubber(self.profile, own.recognizers, self.writing.replacement())
