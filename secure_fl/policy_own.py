"""The tables of a site's policy that name recognisers of the site's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from crypto.errors import ConfigError
from privacy.scrubbing.own_models import OwnFunction, OwnModel, OwnModelKind
from privacy.scrubbing.own_models.description import SECONDS
from secure_fl.config_sections import Hex32, Positive, Rate, Section

if TYPE_CHECKING:
    from collections.abc import Iterable

    from privacy.scrubbing.own_models.description import Own


class OwnModelEntry(Section):
    """A model's folder on the site's disk: `[[own_models]]`."""

    kind: OwnModelKind
    folder: str
    """A relative one begins where the policy stands."""
    labels: dict[str, str] = Field(default_factory=dict)
    """The entity that a label of the model stands for, beside the usual labels. GLiNER is asked for
    the labels, in words."""
    ignored: tuple[str, ...] = ()
    """Labels that identify nobody."""
    threshold: Rate | None = None
    """A finding less likely is none; not for spaCy."""
    seconds: Positive = SECONDS
    """What an answer may take, for each 100,000 characters that a text begins."""
    sha256: Hex32 | None = None
    """The digest that the folder must have; the site's own report names the one that it has."""

    @model_validator(mode="after")
    def _can_be_honoured(self) -> Self:
        _refused_by_pydantic(self)
        return self

    def described(self, beside: Path) -> OwnModel:
        """Return the model; `beside` is the folder in which the policy stands."""
        return OwnModel(
            self.kind,
            beside / self.folder,
            tuple(self.labels.items()),
            self.ignored,
            self.threshold,
            self.seconds,
            self.sha256,
        )


class OwnFunctionEntry(Section):
    """A Python function of the site's: `[[own_functions]]`."""

    function: str
    """`package.module:function`."""
    entities: tuple[str, ...]
    """What it finds."""
    folder: str | None = None
    """Where its module is looked for after every other place; a relative one begins where the
    policy stands."""
    seconds: Positive = SECONDS
    """What an answer may take, for each 100,000 characters that a text begins."""

    @model_validator(mode="after")
    def _can_be_honoured(self) -> Self:
        _refused_by_pydantic(self)
        return self

    def described(self, beside: Path) -> OwnFunction:
        """Return the function; `beside` is the folder in which the policy stands."""
        folder = None if self.folder is None else beside / self.folder
        return OwnFunction(self.function, self.entities, folder, self.seconds)


def described(entries: Iterable[OwnModelEntry | OwnFunctionEntry], beside: Path) -> tuple[Own, ...]:
    """Return what a policy's entries name; `beside` is the folder in which the policy stands."""
    return tuple(entry.described(beside) for entry in entries)


def _refused_by_pydantic(entry: OwnModelEntry | OwnFunctionEntry) -> None:
    """Say in pydantic's way what the entry's value refuses, so that the file is named."""
    try:
        entry.described(Path())
    except ConfigError as error:
        raise ValueError(str(error).removesuffix(".")) from None
