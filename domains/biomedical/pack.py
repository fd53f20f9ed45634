"""The biomedical domain: questions on research and from medical exams.

The prompts are those of lm-evaluation-harness (`lm_eval/tasks/{pubmedqa,medqa,medmcqa}`), but that
PubMedQA's question stands before the abstract, as in its records.
"""

from __future__ import annotations

from typing import Final

from domains.biomedical import medmcqa, medqa, pubmedqa
from domains.domain import Domain, Entry, Published
from domains.prompts import TaskPrompt
from domains.task_kinds import TaskKind

_EXAM: Final = "Question: {text}\n{options}\nAnswer:"

_ENTRIES: Final = (
    Entry(
        name=pubmedqa.NAME,
        summary="PubMedQA (PQA-L): yes, no or maybe from an abstract, official test set. JSON.",
        licence=pubmedqa.LICENCE,
        labels=pubmedqa.LABELS,
        split="as published: the 500 of test_ground_truth.json",
        kind=TaskKind.CLASSIFICATION,
        prompt=TaskPrompt("Question: {text}\nAnswer:", answers=pubmedqa.LABELS),
        source=Published(pubmedqa.EXPECTED_FILES, lambda folder, _: pubmedqa.load(folder)),
    ),
    Entry(
        name=medqa.NAME,
        summary="MedQA-USMLE with four options, official test set. JSON lines.",
        licence=medqa.LICENCE,
        labels=medqa.LABELS,
        split="as published: the test file",
        kind=TaskKind.MULTIPLE_CHOICE,
        prompt=TaskPrompt(_EXAM, answers=medqa.LABELS),
        source=Published(medqa.EXPECTED_FILES, lambda folder, _: medqa.load(folder), medqa.HUB),
    ),
    Entry(
        name=medqa.NAME_FIVE,
        summary="MedQA-USMLE with five options, official test set. JSON lines.",
        licence=medqa.LICENCE,
        labels=medqa.LABELS_FIVE,
        split="as published: the test file",
        kind=TaskKind.MULTIPLE_CHOICE,
        prompt=TaskPrompt(_EXAM, answers=medqa.LABELS_FIVE),
        source=Published(medqa.EXPECTED_FILES_FIVE, lambda folder, _: medqa.load_five(folder)),
    ),
    Entry(
        name=medmcqa.NAME,
        summary=(
            "MedMCQA from train.json and dev.json, as published; or from validation.jsonl, the "
            "dev file as it is often converted, where neither of them is there. JSON lines."
        ),
        licence=medmcqa.LICENCE,
        labels=medmcqa.LABELS,
        split="as published: the dev file; of validation.jsonl alone a quarter, seed 42",
        kind=TaskKind.MULTIPLE_CHOICE,
        prompt=TaskPrompt("Question: {text}\nChoices:\n{options}\nAnswer:", answers=medmcqa.LABELS),
        source=Published(
            medmcqa.EXPECTED_FILES, lambda folder, _: medmcqa.load(folder), medmcqa.HUB
        ),
    ),
)

BIOMEDICAL: Final = Domain(
    name="biomedical",
    summary="Questions on research abstracts and from medical exams.",
    entries=_ENTRIES,
    scrub=("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "DATE_TIME", "LOCATION", "UNIQUE_ID"),
    metrics=("accuracy", "macro_f1"),
    models=("minilm", "biobert", "pubmedbert", "qwen2.5-0.5b", "mistral-7b"),
)
