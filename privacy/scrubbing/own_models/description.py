"""What a site says of a recogniser of its own: small values that can travel to another process."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from privacy.scrubbing.profile import DEFAULT_THRESHOLD

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SECONDS: Final = 30.0
"""What an answer may take, for each hundred thousand characters that a text begins."""

_CHARACTERS_PER_SHARE: Final = 100_000
_ENTITY: Final = re.compile("[A-Z][A-Z0-9_]*")
_FUNCTION: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


class OwnModelKind(enum.StrEnum):
    """Which library reads a model's folder."""

    SPACY = "spacy"
    HUGGING_FACE = "hugging-face"
    GLINER = "gliner"


@dataclass(frozen=True, slots=True)
class OwnModel:
    """A folder with a named-entity model on the site's own disk; nothing is ever downloaded.

    Attributes:
        kind: which library reads it.
        folder: where it is.
        labels: pairs of a label of the model and the entity that it stands for, beside the usual
            ones (`labels.USUAL`). For GLiNER a label is what the model is asked for, in words.
        ignored: labels that stand for nobody who could be identified.
        threshold: in (0, 1]; a finding less likely is none, one as likely counts as found. A spaCy
            pipeline says nothing of how likely a finding is, so there it has to be None.
        seconds: what an answer may take, for each 100,000 characters that a text begins.
        sha256: the digest that the folder must have, in hexadecimal; None for any.

    Raises:
        ConfigError: a value cannot be honoured.
    """

    kind: OwnModelKind
    folder: Path
    labels: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    threshold: float | None = None
    seconds: float = SECONDS
    sha256: str | None = None

    def __post_init__(self) -> None:
        _require_seconds(self.name, self.seconds)
        _require_entities(self.name, (entity for _, entity in self.labels))
        named = [*(label for label, _ in self.labels), *self.ignored]
        twice = sorted({label for label in named if named.count(label) > 1})
        if twice:
            raise ConfigError(
                f"The model {self.name} is told twice what its label {twice[0]!r} stands for: one "
                "of them would be ignored, so the site refuses to train. Keep one."
            )
        if self.kind is OwnModelKind.GLINER and not self.labels:
            raise ConfigError(
                f"The model {self.name} is asked for nothing, so the site refuses to train. Say in "
                'words what to look for, and which entity it is (`labels`): person = "PERSON".'
            )
        if self.threshold is None:
            return
        if not 0 < self.threshold <= 1:
            raise ConfigError(
                f"The threshold {self.threshold} of the model {self.name} is not in (0, 1]: "
                f"everything or nothing would be found. The default is {DEFAULT_THRESHOLD}."
            )
        if self.kind is OwnModelKind.SPACY:
            raise ConfigError(
                f"The model {self.name} has a threshold, and a spaCy pipeline does not say how "
                "likely its findings are: it would be without effect. Leave it out."
            )

    @property
    def name(self) -> str:
        """What reports and errors call it."""
        return f"{self.kind.value} {self.folder.name}"

    @property
    def entities_named(self) -> tuple[str, ...]:
        """The entities that the site named; the usual labels stand for others."""
        return tuple(sorted({entity for _, entity in self.labels}))

    @property
    def least_likely(self) -> float:
        """The threshold, or the default one."""
        return DEFAULT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True, slots=True)
class OwnFunction:
    """A function of the site's own that finds entities: `def find(text: str) -> Iterable[Span]`.

    Attributes:
        function: where it is, as `package.module:function`.
        entities: what it finds; a span of anything else is a failure.
        folder: a folder in which the module is looked for after every other place, or None.
        seconds: what an answer may take, for each 100,000 characters that a text begins.

    Raises:
        ConfigError: a value cannot be honoured.
    """

    function: str
    entities: tuple[str, ...]
    folder: Path | None = None
    seconds: float = SECONDS

    def __post_init__(self) -> None:
        _require_seconds(self.name, self.seconds)
        if not _FUNCTION.fullmatch(self.function):
            raise ConfigError(
                f"{self.function!r} names no function of the site's own, so the site refuses to "
                "train. Write it as package.module:function."
            )
        if self.function.startswith("__main__:"):
            raise ConfigError(
                "A function in __main__ cannot be found by another process, so the site refuses "
                "to train. Put it into a module."
            )
        if not self.entities:
            raise ConfigError(
                f"The recogniser {self.name} says of no entity that it finds it: nothing would "
                "be scrubbed. Name the entities."
            )
        _require_entities(self.name, self.entities)

    @property
    def name(self) -> str:
        """What reports and errors call it."""
        return self.function

    @property
    def entities_named(self) -> tuple[str, ...]:
        """The entities that the site named: all."""
        return self.entities


Own = OwnModel | OwnFunction


def seconds_for(own: Own, text: str) -> float:
    """Return how many seconds an answer about `text` may take."""
    return own.seconds * (len(text) // _CHARACTERS_PER_SHARE + 1)


def _require_seconds(name: str, seconds: float) -> None:
    if not 0 < seconds < float("inf"):
        raise ConfigError(
            f"The recogniser {name} may take {seconds} seconds, which is no time to wait: the site "
            f"refuses to train. The default is {SECONDS:g}."
        )


def _require_entities(name: str, entities: Iterable[str]) -> None:
    for entity in entities:
        if not _ENTITY.fullmatch(entity):
            raise ConfigError(
                f"The recogniser {name} is to find {entity!r}, which cannot stand as a placeholder "
                "in a text. An entity's name is capitals, digits and underscores, such as PERSON."
            )
