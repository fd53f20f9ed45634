"""A Hugging Face token classifier of the site's own, loaded by Presidio.

Presidio's recogniser itself is not asked (read in presidio-analyzer 2.2.362): a piece on which the
model fails is logged with its text and passes as one without a finding, a label without an entity
becomes an entity of its own, and transformers cuts off what exceeds the model's window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from presidio_analyzer.predefined_recognizers import HuggingFaceNerRecognizer

from crypto.errors import ConfigError
from privacy.scrubbing.own_models.labels import OUTSIDE, meaning, without_prefix
from privacy.scrubbing.own_models.loading import Finding, Loaded, Reader
from privacy.scrubbing.own_models.windows import windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from privacy.scrubbing.own_models.description import OwnModel

_SIZE: Final = 1200
_OVERLAP: Final = 120
_MOST_TOKENS: Final = 512
_POSITIONS_KEPT_FREE: Final = 2
"""RoBERTa counts positions from its padding index plus one."""


def load_hugging_face(model: OwnModel) -> Loaded:
    """Load a token classifier, on the processor, so that every machine finds the same.

    Raises:
        ConfigError: a weight is missing, the tokeniser does not say where its tokens stand, a label
            is unknown, or there is none.
    """
    # Presidio's constructor loads.
    frame = HuggingFaceNerRecognizer(
        model_name=str(model.folder), device="cpu", aggregation_strategy="simple"
    )
    pipeline: Any = frame.ner_pipeline
    _refuse_unfinished(model, pipeline)
    declared = {without_prefix(label) for label in pipeline.model.config.id2label.values()}
    reader = Reader(
        meaning(model, declared - {OUTSIDE}),
        lambda text: _read(pipeline, _token_limit(pipeline), text),
        _SIZE,
        _OVERLAP,
        model.least_likely,
    )
    return Loaded(reader.entities, reader.find)


def _refuse_unfinished(model: OwnModel, pipeline: Any) -> None:  # noqa: ANN401 - no types
    if not pipeline.tokenizer.is_fast:
        raise ConfigError(
            f"The tokeniser of the model {model.name} does not say where its tokens stand: no "
            "finding could be replaced, so the site refuses to train. Save a fast tokeniser."
        )
    # transformers fills what a file lacks with random numbers, and only logs it.
    _, told = type(pipeline.model).from_pretrained(
        str(model.folder), output_loading_info=True, local_files_only=True, use_safetensors=True
    )
    lacking = sorted({*told["missing_keys"], *(key for key, *_ in told["mismatched_keys"])})
    if lacking:
        raise ConfigError(
            f"The folder of the model {model.name} has no weights for {', '.join(lacking[:5])}: "
            "random ones would stand in for them, so the site refuses to train. Tune the model to "
            "find entities first, or copy it again."
        )


def _token_limit(pipeline: Any) -> int:  # noqa: ANN401 - no types
    """Return how many tokens the model reads at once, with those that mark begin and end."""
    positions = getattr(pipeline.model.config, "max_position_embeddings", None) or _MOST_TOKENS
    longest: int = pipeline.tokenizer.model_max_length
    return min(_MOST_TOKENS, longest, int(positions) - _POSITIONS_KEPT_FREE)


def _read(pipeline: Any, limit: int, text: str) -> Iterator[Finding]:  # noqa: ANN401 - no types
    """Yield the findings in `text`, in halves where it has too many tokens.

    Raises:
        ValueError: a few characters have more tokens than the model can read.
    """
    if len(pipeline.tokenizer(text)["input_ids"]) > limit:
        size = len(text) // 2 + 1
        if size == len(text):
            raise ValueError("a character has more tokens than the model can read")
        for start, end in windows(text, size, size // 5):
            for found in _read(pipeline, limit, text[start:end]):
                yield Finding(found.start + start, found.end + start, found.label, found.score)
        return
    for found in pipeline(text):
        yield Finding(
            found["start"],
            found["end"],
            found["entity_group"],
            float(found["score"]),
        )
