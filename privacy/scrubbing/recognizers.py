"""What a recogniser is, and the cheap test that says when one cannot match."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from privacy.scrubbing.spans import Span

Find = Callable[[str], Iterable[Span]]
"""Returns the spans of one text. It keeps no state and never logs."""


CONTEXT_BOOST = 0.35
"""What a context word adds to a score."""

LEAST_WITH_CONTEXT = 0.4
"""The least score of a finding beside a context word."""


def with_context(score: float) -> float:
    """Return what a score becomes beside a context word, to two places so that 0.1 gives 0.45."""
    return min(1.0, max(round(score + CONTEXT_BOOST, 2), LEAST_WITH_CONTEXT))


class RecognizerFailedError(Exception):
    """A recogniser raised or returned what is no finding; names it and holds no text."""

    def __init__(self, name: str, failure: str) -> None:
        super().__init__(name, failure)
        self.name = name
        self.failure = failure


class Trigger(enum.Enum):
    """A pattern that occurs in every text in which a recogniser finds something.

    Each is free of look-around, so a match inside a found span is a match in the whole text: where
    the trigger does not match, leaving the recogniser out changes nothing.
    """

    ALWAYS = re.compile("")
    AT_SIGN = re.compile("@")
    DOT_OR_SCHEME = re.compile(r"\w\.\w|://")
    DIGIT = re.compile(r"\d")
    SIX_DIGITS = re.compile(r"\d(?:\W{0,4}\d){5}")
    COUNTRY_AND_CHECK = re.compile(r"[A-Za-z]{2}[ -]?\d\d")
    SIX_CAPITALS = re.compile("[A-Z]{6}")
    SEVEN_CAPITALS_OR_DIGITS = re.compile("[A-Z0-9]{7}")
    FIVE_CAPITALS_AND_DIGIT = re.compile("[A-Z]{5}[0-9]")
    CAPITAL_AND_DIGIT = re.compile("[A-Z][0-9]")
    TWENTY_FIVE_CHARACTERS = re.compile("[0-9A-Za-z]{25}")
    DEVICE_PREFIX = re.compile(r"\(01\)")
    ADDRESS_PUNCTUATION = re.compile(r"\d\.\d|:[0-9A-Fa-f]{0,4}:")

    def fires(self, text: str) -> bool:
        """Say whether a recogniser with this trigger can find anything in `text`."""
        return self.value.search(text) is not None


class ProviderKind(enum.StrEnum):
    """By what means a recogniser finds an entity."""

    PATTERN = "pattern"
    """Its form, and a checksum where there is one."""
    CUE = "cue"
    """A word or a label beside it."""
    NAMES_MODEL = "names model"
    """The model for names and places that comes with this package."""
    OWN = "the site's own"
    """What the site brought itself."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One recogniser as what looks for one entity; `digest` is of its model, if it has one."""

    entity: str
    name: str
    kind: ProviderKind
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Recognizer:
    """Finds entities of the named types in one text.

    Built-in recognisers read the folded text (`folding.readings`). A score below the profile's
    threshold becomes a placeholder only when a `context` word stands near: whole words, lower
    case, compared with the five words before and the three after.
    """

    name: str
    entities: tuple[str, ...]
    find: Find
    context: tuple[str, ...] = ()
    trigger: Trigger = Trigger.ALWAYS
    best_score: float = 1.0
    """The highest score that `find` gives, without context."""
    kind: ProviderKind = ProviderKind.PATTERN
    digest: str | None = None
    """SHA-256 of its model's files in hexadecimal, where it has a model."""

    @property
    def reach(self) -> float:
        """The highest score that a finding can have, with context where it counts."""
        if not self.context:
            return self.best_score
        return with_context(self.best_score)
