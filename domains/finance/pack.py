"""The finance domain: what is published of financial sentiment, as FinGPT scores it.

The prompts are FinGPT's (`FinGPT_Benchmark/benchmarks`). FiQA-SA asks of its posts as of tweets
there, and here of all its texts as of news: a record does not say which it is.
"""

from __future__ import annotations

from typing import Final

from domains.domain import Domain, Entry, Generated, Published
from domains.finance import fiqa, fiqa_fingpt, generator, nwgi, phrasebank, tfns
from domains.prompts import TaskPrompt
from domains.task_kinds import TaskKind

_ASKED: Final = (
    "Instruction: What is the sentiment of this {kind}? Please choose an answer from "
    "{negative/neutral/positive}.\nInput: {text}\nAnswer:"
)
_NEWS: Final = TaskPrompt(
    _ASKED.replace("{kind}", "news"), answers=("negative", "neutral", "positive")
)
_TWEET: Final = TaskPrompt(
    _ASKED.replace("{kind}", "tweet"), answers=("negative", "positive", "neutral")
)
"""In the order of TFNS's labels: bearish, bullish, neutral."""

_ENTRIES: Final = (
    Entry(
        name=generator.NAME,
        summary="Generated financial sentences with invented people and accounts.",
        licence=generator.LICENCE,
        labels=generator.LABELS,
        split="generated apart: no template, name or place in common",
        kind=TaskKind.CLASSIFICATION,
        prompt=_NEWS,
        source=Generated(
            lambda seed, options: generator.generate(
                seed, train=options.train, evaluation=options.evaluation
            )
        ),
    ),
    Entry(
        name=phrasebank.NAME,
        summary=(
            "Financial PhraseBank v1.0, scored on FinGPT's test split unless another is chosen. "
            "Text, a line each: sentence@label, ISO-8859-1; of the four files the one of the "
            "chosen agreement is read."
        ),
        licence=phrasebank.LICENCE,
        labels=phrasebank.LABELS,
        split="FinGPT's quarter of the 50 % file (1212 of 4846), seed 42",
        kind=TaskKind.CLASSIFICATION,
        prompt=_NEWS,
        source=Published(
            phrasebank.EXPECTED_FILES,
            lambda folder, options: phrasebank.load(
                folder, agreement=options.agreement, split=options.split
            ),
            phrasebank.HUB,
        ),
        choices=("agreement", "split"),
    ),
    Entry(
        name=tfns.NAME,
        summary="Twitter Financial News Sentiment, scored on its validation file. CSV.",
        licence=tfns.LICENCE,
        labels=tfns.LABELS,
        split="as published: the validation file",
        kind=TaskKind.CLASSIFICATION,
        prompt=_TWEET,
        source=Published(tfns.EXPECTED_FILES, lambda folder, _: tfns.load(folder), tfns.HUB),
    ),
    Entry(
        name=fiqa.NAME,
        summary="FiQA-SA headlines and posts, with the published test split. CSV.",
        licence=fiqa.LICENCE,
        labels=fiqa.LABELS,
        split="as published: the test file",
        kind=TaskKind.CLASSIFICATION,
        prompt=_NEWS,
        source=Published(fiqa.EXPECTED_FILES, lambda folder, _: fiqa.load(folder)),
    ),
    Entry(
        name=fiqa_fingpt.NAME,
        summary="FiQA-SA as FinGPT and OpenFedLLM score it: another copy, another split. CSV.",
        licence=fiqa_fingpt.LICENCE,
        labels=fiqa_fingpt.LABELS,
        split="FinGPT's 22.6 % of all rows, seed 42",
        kind=TaskKind.CLASSIFICATION,
        prompt=_NEWS,
        source=Published(
            fiqa_fingpt.EXPECTED_FILES,
            lambda folder, _: fiqa_fingpt.load(folder),
            fiqa_fingpt.HUB,
        ),
    ),
    Entry(
        name=nwgi.NAME,
        summary=(
            "News With GPT Instructions in the three classes of FinGPT. Parquet as published, in "
            "`data`; or the JSON lines that `to_json` of the library datasets writes from it."
        ),
        licence=nwgi.LICENCE,
        labels=nwgi.LABELS,
        split="as published: the test file",
        kind=TaskKind.CLASSIFICATION,
        prompt=_NEWS,
        source=Published(nwgi.EXPECTED_FILES, lambda folder, _: nwgi.load(folder), nwgi.HUB),
    ),
)

FINANCE: Final = Domain(
    name="finance",
    summary="Sentiment of financial news, headlines and posts.",
    entries=_ENTRIES,
    scrub=("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "IBAN_CODE", "CREDIT_CARD", "UNIQUE_ID"),
    metrics=("accuracy", "weighted_f1", "macro_f1"),
    models=("minilm", "finbert", "smollm2-135m", "qwen2.5-0.5b", "llama2-7b"),
)
