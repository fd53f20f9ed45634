"""Data sets by name, and the two mistakes about folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, DatasetOptions, load_dataset
from domains.finance import phrasebank

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
