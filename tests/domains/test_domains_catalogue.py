"""Data sets by name, and the two mistakes about folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crypto.errors import ConfigError
from domains.catalogue import DOMAINS, ENTRIES, DatasetOptions, load_dataset
from domains.finance import phrasebank
from domains.model_presets import MODEL_PRESETS
from domains.records import Record
from domains.task_kinds import TaskKind
from privacy.scrubbing.profile import KNOWN_ENTITIES

if TYPE_CHECKING:
    from pathlib import Path

SMALL = DatasetOptions(train=20, evaluation=10)


def test_generated_data_needs_no_folder() -> None:
    dataset = load_dataset("finance.generated", data=None, seed=3, options=SMALL)
    assert (len(dataset.train), len(dataset.evaluation)) == (20, 10)
    assert dataset.name == "finance.generated"


def test_what_the_catalogue_says_is_what_is_loaded() -> None:
    dataset = load_dataset("finance.generated", data=None, seed=3, options=SMALL)
    entry = ENTRIES[dataset.name]
    assert (entry.labels, entry.licence) == (dataset.labels, dataset.licence)


def test_published_data_is_loaded_from_its_folder(tmp_path: Path) -> None:
    rows = (f"Sentence number {row} .@{phrasebank.LABELS[row % 3]}\n" for row in range(2264))
    (tmp_path / "Sentences_AllAgree.txt").write_text("".join(rows), encoding="latin-1")
    options = DatasetOptions(agreement=phrasebank.Agreement.ALL, split=phrasebank.Split.QUARTER)
    dataset = load_dataset("finance.phrasebank", data=tmp_path, seed=0, options=options)
    assert dataset.name == "finance.phrasebank"
    assert dataset.labels == ENTRIES[dataset.name].labels


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(ConfigError) as refusal:
        load_dataset("finance.phrasebnak", data=None, seed=0)
    assert all(name in str(refusal.value) for name in ENTRIES)


def test_a_folder_for_generated_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ask for finance\.phrasebank"):
        load_dataset("finance.generated", data=tmp_path, seed=0)


def test_published_data_without_a_folder_is_refused_with_its_files() -> None:
    with pytest.raises(ConfigError) as refusal:
        load_dataset("finance.phrasebank", data=None, seed=0)
    assert "--data" in str(refusal.value)
    assert all(name in str(refusal.value) for name in phrasebank.EXPECTED_FILES)


def test_every_data_set_is_in_the_domain_that_its_name_says() -> None:
    for domain in DOMAINS.values():
        assert all(entry.name.startswith(f"{domain.name}.") for entry in domain.entries)
    assert sum(len(domain.entries) for domain in DOMAINS.values()) == len(ENTRIES)


def test_a_domain_names_entities_and_models_that_exist() -> None:
    for domain in DOMAINS.values():
        assert domain.scrub
        assert set(domain.scrub) <= set(KNOWN_ENTITIES)
        assert set(domain.models) <= set(MODEL_PRESETS)


def test_a_prompt_fits_the_form_of_the_records() -> None:
    for entry in ENTRIES.values():
        assert len(entry.prompt.answers) == len(entry.labels)
        assert (entry.kind is TaskKind.RANKING) == (not entry.labels)
        assert ("{options}" in entry.prompt.template) == (entry.kind is TaskKind.MULTIPLE_CHOICE)


def test_finance_is_asked_about_as_fingpt_does() -> None:
    prompt = ENTRIES["finance.phrasebank"].prompt
    assert prompt.ask(Record("r1", "Sales rose {text} .", 2)) == (
        "Instruction: What is the sentiment of this news? Please choose an answer from "
        "{negative/neutral/positive}.\nInput: Sales rose {text} .\nAnswer:"
    )
    assert prompt.choices(Record("r1", "Sales rose .", 2))[2] == "positive"
    bullish = Record("r2", "$A up", ENTRIES["finance.tfns"].labels.index("bullish"))
    assert ENTRIES["finance.tfns"].prompt.choices(bullish)[bullish.label] == "positive"
