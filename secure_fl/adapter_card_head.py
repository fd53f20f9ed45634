"""The YAML head of an adapter's model card, as the Hugging Face hub and PEFT read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from huggingface_hub import EvalResult, ModelCardData

from domains.catalogue import ENTRIES, kind_of
from domains.model_presets import seen_before
from domains.task_kinds import TaskKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from secure_fl.config import RunConfig
    from secure_fl.runfolder import RoundMetrics

_TAGS: Final = ("federated-learning", "secure-fl")
_GENERATION: Final = "text-generation"
_PIPELINES: Final[Mapping[TaskKind, str]] = {
    TaskKind.CLASSIFICATION: "text-classification",
    TaskKind.MULTIPLE_CHOICE: "multiple-choice",
    TaskKind.RANKING: "sentence-similarity",
}


def head(config: RunConfig, last: RoundMetrics | None) -> str:
    """Return the head's lines, with the last round's scores where it was scored.

    Scores of a base model that may have seen the records are left out: what reads the head cannot
    read the note about them.
    """
    data = config.mechanism.data
    entry = ENTRIES.get(data.dataset)
    hub = None if entry is None else entry.hub
    kind = kind_of(data.dataset)
    task = _PIPELINES[kind] if config.mechanism.prompt is None else _GENERATION
    seen = seen_before(config.mechanism.model.name, data.dataset)
    results = [
        EvalResult(
            task_type=task,
            dataset_type=data.dataset if hub is None else hub.repository,
            dataset_name=data.dataset,
            dataset_revision=None if hub is None else hub.revision,
            metric_type=name,
            metric_value=round(value, 4),
        )
        for name, value in _scores(last).items()
        if seen is None
    ]
    card = ModelCardData(
        library_name="peft",
        base_model=config.mechanism.model.name,
        tags=list(_TAGS),
        pipeline_tag=task,
        datasets=None if hub is None else [hub.repository],
        model_name=config.name if results else None,
        eval_results=results or None,
    )
    return str(card.to_yaml())


def _scores(last: RoundMetrics | None) -> dict[str, float]:
    """Return what was scored, by the name that the hub's `evaluate` has for it."""
    if last is None or last.accuracy is None:
        return {}
    if last.ranking is not None:
        found = last.ranking
        return {"hit_rate@10": found.hit_rate_10, "ndcg@10": found.ndcg_10, "auc": found.auc}
    scores = {"accuracy": last.accuracy}
    if last.macro_f1 is not None and last.weighted_f1 is not None:
        scores |= {"f1_macro": last.macro_f1, "f1_weighted": last.weighted_f1}
    return scores
