"""The model card beside a run's adapter, as the Hugging Face hub has them, from the run's facts."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from domains.card_head import card_head
from domains.catalogue import ENTRIES, kind_of
from domains.model_presets import seen_before
from domains.next_item import DECAY, WIDTH
from domains.task_kinds import TaskKind
from secure_fl.config import Guaranteed
from secure_fl.dataset_notes import on_card

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domains.records import Dataset
    from secure_fl.config import RunConfig
    from secure_fl.runfolder import RoundMetrics
    from secure_fl.runner import RunResult

_CARD: Final = """---
{head}
---
# Adapter of the run `{name}`

Tuned by a consortium with secure-fl; the report beside this folder says what was promised, and
`secure-fl verify` checks it. This card repeats parts of it and proves nothing by itself.

- Base model: {base}{revision}, weights SHA-256 `{digest}`
- Method: {method}, {shared} shared numbers, {sites} sites, {rounds} round{plural}
- Data: `{dataset}`, licence {licence}; {classes}
- Privacy: {privacy}

## Evaluation

{evaluation}

## How to use it

{use}
## What it does not promise

The guarantee is about what training reveals, not about what the model says: it can be wrong, and
biased as its base and its records are. It was evaluated on the set named above and nothing else.
"""

_ENCODER: Final = """Stock libraries load it; a sentence's logits are the mean of its tokens':

    from peft import PeftModel
    from transformers import AutoModelForTokenClassification
    base = AutoModelForTokenClassification.from_pretrained(BASE, num_labels={labels})
    model = PeftModel.from_pretrained(base, "adapter").eval()
    logits = model(**batch).logits                       # (B, T, {labels})
    mask = batch["attention_mask"].unsqueeze(-1)
    sentence = (logits * mask).sum(1) / mask.sum(1)      # (B, {labels}): {names}

BASE is a folder or name of {base}.
"""

_OUTPUTS: Final = MappingProxyType({TaskKind.MULTIPLE_CHOICE: 1, TaskKind.RANKING: WIDTH})
_MEANINGS: Final = MappingProxyType(
    {
        TaskKind.MULTIPLE_CHOICE: "an option behind the text; the largest is the answer",
        TaskKind.RANKING: f"a title; cosine with a history, whose titles weigh {DECAY} a step back",
    }
)

_CAUSAL: Final = """Stock libraries load it, and a record is put to it as in training:

    from peft import PeftModel
    from transformers import AutoModelForCausalLM
    base = AutoModelForCausalLM.from_pretrained(BASE)
    model = PeftModel.from_pretrained(base, "adapter").eval()

BASE is a folder or name of {base}. What is asked, and what may be answered:

{prompt}
"""
_OUTSIDE: Final = """
lm-evaluation-harness scores it on the same records, asked in the same words, with

    secure-fl domains export-task {dataset} --config config.toml --out TASK
    lm_eval --model hf --model_args pretrained=BASE,peft=adapter,dtype=float32 \\
        --tasks {dataset} --include_path TASK

from the run's folder; a published data set needs its folder as --data.
"""


def model_card(
    config: RunConfig,
    dataset: Dataset,
    result: RunResult,
    metrics: Sequence[RoundMetrics],
    weights_sha256: str,
) -> str:
    """Return the card of a finished run's adapter, in Markdown with the hub's YAML head."""
    mechanism = config.mechanism
    return _CARD.format(
        head=_head(config, metrics[-1] if metrics else None),
        plural="" if mechanism.training.rounds == 1 else "s",
        base=mechanism.model.name,
        revision=f" at {mechanism.model.revision}" if mechanism.model.revision else "",
        name=config.name,
        digest=weights_sha256,
        method=mechanism.method,
        shared=result.shared_parameters,
        sites=mechanism.sites,
        rounds=mechanism.training.rounds,
        dataset=dataset.name,
        licence=dataset.licence,
        classes=", ".join(dataset.labels) or "every record brings its own options",
        privacy=_privacy(config, metrics),
        evaluation=_evaluation(mechanism.model.name, dataset, result, metrics),
        use=_use(config, dataset),
    )


def _head(config: RunConfig, last: RoundMetrics | None) -> str:
    mechanism = config.mechanism
    return card_head(
        config.name,
        mechanism.model.name,
        mechanism.data.dataset,
        _measured(last),
        asked=mechanism.prompt is not None,
    ).strip()


def _measured(last: RoundMetrics | None) -> dict[str, float]:
    """Return what was scored, by the names that the hub has for the measures."""
    if last is None or last.accuracy is None:
        return {}
    if last.ranking is not None:
        found = last.ranking
        return {"hit_rate@10": found.hit_rate_10, "ndcg@10": found.ndcg_10, "auc": found.auc}
    scores = {"accuracy": last.accuracy}
    if last.macro_f1 is not None and last.weighted_f1 is not None:
        scores |= {"f1_macro": last.macro_f1, "f1_weighted": last.weighted_f1}
    return scores


def _privacy(config: RunConfig, metrics: Sequence[RoundMetrics]) -> str:
    privacy = config.mechanism.privacy
    if not isinstance(privacy, Guaranteed):
        return "NO PRIVACY GUARANTEE (mode none)"
    spent = metrics[-1].epsilon if metrics else None
    claimed = "unknown" if spent is None else f"{spent:.2f}"
    unit = privacy.unit.value
    return f"mode {privacy.mode}, epsilon {claimed} at delta {privacy.delta:g} for each {unit}"


def _evaluation(
    model: str, dataset: Dataset, result: RunResult, metrics: Sequence[RoundMetrics]
) -> str:
    last = metrics[-1] if metrics else None
    if last is None or last.accuracy is None:
        return "The run's last round was not scored."
    rows = (
        ("records", f"{len(dataset.evaluation)}"),
        ("accuracy", f"{last.accuracy:.4f}"),
        *_f1(last),
        ("accuracy of the commonest answer", f"{result.majority_accuracy:.4f}"),
        *_ranking(last),
    )
    table = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    seen = seen_before(model, dataset.name)
    noted = on_card(dataset)
    notes = noted if seen is None else (seen, *noted)
    return "\n".join([*table, "", *(f"- {note}" for note in notes)])


def _f1(last: RoundMetrics) -> tuple[tuple[str, str], ...]:
    if last.macro_f1 is None or last.weighted_f1 is None:
        return ()
    return ("macro F1", f"{last.macro_f1:.4f}"), ("weighted F1", f"{last.weighted_f1:.4f}")


def _ranking(last: RoundMetrics) -> tuple[tuple[str, str], ...]:
    if last.ranking is None:
        return ()
    found = last.ranking
    return (
        ("HR@10", f"{found.hit_rate_10:.4f}"),
        ("NDCG@10", f"{found.ndcg_10:.4f}"),
        ("AUC", f"{found.auc:.4f}"),
    )


def _use(config: RunConfig, dataset: Dataset) -> str:
    mechanism = config.mechanism
    if mechanism.prompt is None:
        kind = kind_of(mechanism.data.dataset)
        outputs = _OUTPUTS.get(kind, len(dataset.labels))
        names = _MEANINGS.get(kind) or ", ".join(dataset.labels)
        return _ENCODER.format(labels=outputs, names=names, base=mechanism.model.name)
    asked = mechanism.prompt.model_form.replace("{prompt}", mechanism.prompt.template)
    lines = [*asked.split("\n"), "", f"answers: {', '.join(mechanism.prompt.answers) or 'options'}"]
    prompt = "\n".join(f"    {line}".rstrip() for line in lines)
    used = _CAUSAL.format(base=mechanism.model.name, prompt=prompt)
    # A site's own records are never written out for another program.
    known = mechanism.data.dataset in ENTRIES
    return used + _OUTSIDE.format(dataset=mechanism.data.dataset) if known else used
