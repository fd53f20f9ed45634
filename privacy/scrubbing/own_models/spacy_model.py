"""A spaCy pipeline of the site's own.

`spacy.load` of a folder imports no code from it. Its `config.cfg` names functions that installed
packages registered, so what is trusted is the installation, and the folder to name the right ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import spacy

from privacy.scrubbing.own_models.labels import meaning
from privacy.scrubbing.own_models.loading import Finding, Loaded, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spacy.language import Language

    from privacy.scrubbing.own_models.description import OwnModel

_SCORE: Final = 0.85
"""What Presidio (2.2.362, `NerModelConfiguration.default_score`) gives spaCy's findings."""
_SIZE: Final = 20_000
_OVERLAP: Final = 400


def load_spacy(model: OwnModel) -> Loaded:
    """Load a pipeline; it finds what its components write to `doc.ents` and `doc.spans`.

    Raises:
        ConfigError: a label is unknown, or there is none.
    """
    pipeline = spacy.load(model.folder)
    reader = Reader(
        meaning(model, _labels(pipeline)), lambda text: _read(pipeline, text), _SIZE, _OVERLAP
    )
    return Loaded(reader.entities, reader.find, _SCORE)


def _labels(pipeline: Language) -> Iterator[str]:
    """Yield the labels of the components that write entities; a tagger's are no entities."""
    for name, labels in pipeline.pipe_labels.items():
        if {"doc.ents", "doc.spans"} & set(pipeline.get_pipe_meta(name).assigns):
            yield from labels


def _read(pipeline: Language, text: str) -> Iterator[Finding]:
    doc = pipeline(text)
    for span in (*doc.ents, *(span for group in doc.spans.values() for span in group)):
        # A span without a label is what one component proposes to the next.
        if span.label_:
            yield Finding(span.start_char, span.end_char, span.label_, _SCORE)
