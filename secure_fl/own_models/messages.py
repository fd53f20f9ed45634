"""What a process asks the one with the site's own recognisers, and what that one answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from crypto.codec import Message
from privacy.scrubbing.own_models import OwnFunction, OwnModel, OwnModelKind

if TYPE_CHECKING:
    from privacy.scrubbing.own_models.description import Own


class ModelToLoad(Message, frozen=True, tag="secure-fl.own-model.v1"):
    """An `OwnModel`."""

    kind: OwnModelKind
    folder: str
    labels: tuple[tuple[str, str], ...]
    ignored: tuple[str, ...]
    threshold: float | None


class FunctionToLoad(Message, frozen=True, tag="secure-fl.own-function.v1"):
    """An `OwnFunction`."""

    function: str
    entities: tuple[str, ...]
    folder: str | None


class Begin(Message, frozen=True, tag="secure-fl.own-begin.v1"):
    """Load these, within so many seconds."""

    own: tuple[ModelToLoad | FunctionToLoad, ...]
    seconds: float

    @classmethod
    def of(cls, own: tuple[Own, ...], seconds: float) -> Begin:
        """Return what to send, with absolute paths."""
        return cls(tuple(map(_to_load, own)), float(seconds))

    def described(self) -> tuple[Own, ...]:
        """Return what the site said of each."""
        return tuple(map(_described, self.own))


class Known(Message, frozen=True, tag="secure-fl.own-known.v1"):
    """One that is loaded: `loading.Loaded` without its function."""

    entities: tuple[str, ...]
    best_score: float
    digest: str | None


class Begun(Message, frozen=True, tag="secure-fl.own-begun.v1"):
    """All are loaded, in the order in which they were given."""

    own: tuple[Known, ...]


class Refused(Message, frozen=True, tag="secure-fl.own-refused.v1"):
    """They cannot be loaded; whole sentences. No record was read yet."""

    reason: str


class Ask(Message, frozen=True, tag="secure-fl.own-ask.v1"):
    """Ask one of them about a text, which nobody waits for after so many seconds."""

    number: int
    seconds: float
    text: bytes
    """UTF-8, lone surrogates too."""

    def __repr__(self) -> str:
        return f"<Ask: {len(self.text)} bytes>"


class Found(Message, frozen=True, tag="secure-fl.own-found.v1"):
    """Start, end, entity and score of each finding."""

    spans: tuple[tuple[int, int, str, float], ...]


class Raised(Message, frozen=True, tag="secure-fl.own-raised.v1"):
    """The recogniser failed; the name of what it raised, without its words."""

    failure: str


def _to_load(own: Own) -> ModelToLoad | FunctionToLoad:
    if isinstance(own, OwnFunction):
        folder = None if own.folder is None else str(own.folder.absolute())
        return FunctionToLoad(own.function, own.entities, folder)
    # A whole number would be encoded as one, and a decoder of floats takes no other encoding.
    threshold = None if own.threshold is None else float(own.threshold)
    return ModelToLoad(own.kind, str(own.folder.absolute()), own.labels, own.ignored, threshold)


def _described(message: ModelToLoad | FunctionToLoad) -> Own:
    if isinstance(message, FunctionToLoad):
        folder = None if message.folder is None else Path(message.folder)
        return OwnFunction(message.function, message.entities, folder)
    return OwnModel(
        message.kind, Path(message.folder), message.labels, message.ignored, message.threshold
    )
