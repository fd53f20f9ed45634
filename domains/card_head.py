"""The YAML head of a model card, as the Hugging Face hub and PEFT read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from huggingface_hub import EvalResult, ModelCardData

from domains.catalogue import ENTRIES, kind_of
from domains.model_presets import seen_before
from domains.task_kinds import TaskKind

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAGS: Final = ("federated-learning", "secure-fl")
_GENERATION: Final = "text-generation"
_PIPELINES: Final[Mapping[TaskKind, str]] = {
    TaskKind.CLASSIFICATION: "text-classification",
    TaskKind.MULTIPLE_CHOICE: "multiple-choice",
    TaskKind.RANKING: "sentence-similarity",
}


def card_head(
    name: str, base_model: str, dataset: str, scores: Mapping[str, float], *, asked: bool
) -> str:
    """Return the head's lines.

    Scores of a base model that may have seen the records are left out: what reads the head cannot
    read the note about them.

    Args:
        name: of the adapter.
        base_model: as the hub has it.
        dataset: that it was tuned and scored on, as the catalogue lists it.
        scores: by the name of the measure; none where it was not scored.
        asked: whether the base is a language model that is asked in words.
    """
    entry = ENTRIES.get(dataset)
    hub = None if entry is None else entry.hub
    task = _GENERATION if asked else _PIPELINES[kind_of(dataset)]
    results = [
        EvalResult(
            task_type=task,
            dataset_type=dataset if hub is None else hub.repository,
            dataset_name=dataset,
            dataset_revision=None if hub is None else hub.revision,
            metric_type=measure,
            metric_value=round(value, 4),
        )
        for measure, value in scores.items()
        if seen_before(base_model, dataset) is None
    ]
    card = ModelCardData(
        library_name="peft",
        base_model=base_model,
        tags=list(_TAGS),
        pipeline_tag=task,
        datasets=None if hub is None else [hub.repository],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return str(card.to_yaml())
