"""A GLiNER model of the site's own, loaded by Presidio.

Presidio's recogniser itself is not asked (read in presidio-analyzer 2.2.362): of two findings in
the overlap of its chunks it drops the longer one, and GLiNER cuts off what exceeds its words.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from presidio_analyzer.predefined_recognizers import GLiNERRecognizer

from crypto.errors import ConfigError
from privacy.scrubbing.own_models.labels import meaning
from privacy.scrubbing.own_models.loading import Finding, Loaded, Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privacy.scrubbing.own_models.description import OwnModel

_MOST_WORDS: Final = 384
"""What GLiNER is trained on; with the labels before them still below 512 tokens."""
_SHARE_OF_OVERLAP: Final = 5


def load_gliner(model: OwnModel) -> Loaded:
    """Load a model that is asked for the site's labels, on the processor.

    Raises:
        ConfigError: the `gliner` package cannot be imported.
    """
    prompts = [label for label, _ in model.labels]
    try:
        # Presidio's constructor loads. Without `strict`, random weights would stand in for those
        # that are missing.
        frame = GLiNERRecognizer(
            entity_mapping=dict(model.labels),
            model_name=str(model.folder),
            map_location="cpu",
            local_files_only=True,
            strict=True,
        )
    except ImportError:
        raise ConfigError(
            f"The package `gliner` cannot be imported, and the model {model.name} needs it: the "
            "site refuses to train. Install it where secure-fl is installed, if its requirements "
            "can be met there, or use a spaCy or Hugging Face model."
        ) from None
    # A word has at least one character, so a piece of as many is never cut off.
    size = _words(model)
    reader = Reader(
        meaning(model, prompts),
        lambda text: _read(frame.gliner, prompts, model.least_likely, text),
        size,
        size // _SHARE_OF_OVERLAP,
        model.least_likely,
    )
    return Loaded(reader.entities, reader.find)


def _words(model: OwnModel) -> int:
    config = json.loads((model.folder / "gliner_config.json").read_text("utf-8"))
    return min(_MOST_WORDS, int(config.get("max_len", _MOST_WORDS)))


def _read(
    gliner: Any,  # noqa: ANN401 - the package may be absent
    prompts: list[str],
    threshold: float,
    text: str,
) -> Iterator[Finding]:
    for found in gliner.predict_entities(text, prompts, threshold=threshold):
        yield Finding(found["start"], found["end"], found["label"], float(found["score"]))
