"""Loads a site's own recogniser, in the process that is there for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crypto.errors import ConfigError
from privacy.scrubbing.own_models.description import OwnFunction, OwnModelKind
from privacy.scrubbing.own_models.windows import whole_words, windows
from privacy.scrubbing.profile import DEFAULT_THRESHOLD
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from privacy.scrubbing.own_models.description import Own, OwnModel
    from privacy.scrubbing.recognizers import Find

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A recogniser that can be asked.

    Attributes:
        entities: what it finds, sorted.
        find: finds it.
        best_score: the highest score that it gives.
        digest: of the code of a function, in hexadecimal; None for a model, whose folder has one.
    """

    entities: tuple[str, ...]
    find: Find
    best_score: float = 1.0
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """What a model found in one piece of a text: code points [`start`, `end`), its own label."""

    start: int
    end: int
    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Reader:
    """A model that reads pieces of a text.

    Attributes:
        means: the entity that each label stands for, None for nobody's.
        read: returns the findings in one piece.
        size: code points of the longest piece.
        overlap: code points that neighbouring pieces share at least.
        least_likely: the least score of a finding.
    """

    means: dict[str, str | None]
    read: Callable[[str], Iterable[Finding]]
    size: int
    overlap: int
    least_likely: float = 0.0

    @property
    def entities(self) -> tuple[str, ...]:
        """What it finds, sorted."""
        return tuple(sorted({entity for entity in self.means.values() if entity is not None}))

    def find(self, text: str) -> Iterator[Span]:
        """Yield the spans of `text`; they may overlap.

        A finding that the model's own threshold lets pass counts, so its score is raised to the
        default threshold of a profile.

        Raises:
            ValueError: a finding has a label that the model did not declare, or lies outside.
        """
        # A lone surrogate is no character, and no tokeniser takes one.
        text = _SURROGATES.sub("\ufffd", text)
        for start, end in windows(text, self.size, self.overlap):
            piece = text[start:end]
            if piece.isspace() or not piece:
                continue
            for found in self.read(piece):
                span = self._span(piece, found)
                if span is not None:
                    yield Span(span.start + start, span.end + start, span.entity, span.score)

    def _span(self, piece: str, found: Finding) -> Span | None:
        if found.label not in self.means:
            raise ValueError("a label that the model did not declare")
        if not 0 <= found.start < found.end <= len(piece) or not 0 <= found.score <= 1:
            raise ValueError("a finding outside of the text")
        entity = self.means[found.label]
        if entity is None or found.score < self.least_likely:
            return None
        first, last = whole_words(piece, found.start, found.end)
        return Span(first, last, entity, max(found.score, DEFAULT_THRESHOLD))


def load(own: Own) -> Loaded:
    """Return the recogniser that the site described.

    Raises:
        ConfigError: it cannot be loaded; nothing was read of any record.
    """
    if isinstance(own, OwnFunction):
        from privacy.scrubbing.own_models.functions import load_function  # noqa: PLC0415 - it imports this

        return load_function(own)
    return _load_model(own)


def _load_model(model: OwnModel) -> Loaded:
    """Import what reads the model's folder, and nothing else: each takes seconds."""
    said = None
    try:
        if model.kind is OwnModelKind.SPACY:
            from privacy.scrubbing.own_models import spacy_model  # noqa: PLC0415 - heavy

            return spacy_model.load_spacy(model)
        if model.kind is OwnModelKind.HUGGING_FACE:
            from privacy.scrubbing.own_models import hugging_face  # noqa: PLC0415 - heavy

            return hugging_face.load_hugging_face(model)
        from privacy.scrubbing.own_models import gliner_model  # noqa: PLC0415 - heavy

        return gliner_model.load_gliner(model)
    except ConfigError:
        raise
    except Exception as error:  # noqa: BLE001 - a library may fail in any manner
        said = f"{type(error).__name__}: {error}"
    # No record was read yet, so what the library says quotes none.
    raise ConfigError(
        f"The model {model.name} cannot be loaded from {model.folder} ({said}), so the site "
        "refuses to train. Examine the folder with the library that wrote it."
    )
