"""TFNS, FiQA-SA, NWGI and PubMedQA: files in the published formats, written here and real."""

from __future__ import annotations

import csv
import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from published_files import (
    FIQA_HEADER,
    fiqa_files,
    nwgi_files,
    pubmedqa_files,
    tfns_files,
    write_csv,
    write_lines,
)

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES, load_dataset
from domains.finance import fiqa, tfns

if TYPE_CHECKING:
    from pathlib import Path

    from domains.records import Dataset


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_dataset(name, data=folder, seed=0)
    assert "Secret" not in str(caught.value)
    return str(caught.value)


def balance(dataset: Dataset) -> tuple[dict[str, int], dict[str, int]]:
    train, evaluation = (
        dict(Counter(dataset.labels[record.label] for record in side))
        for side in (dataset.train, dataset.evaluation)
    )
    return train, evaluation


def test_tfns_is_loaded_by_name_from_its_published_files(tmp_path: Path) -> None:
    tfns_files(tmp_path)
    dataset = load_dataset("finance.tfns", data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (9543, 2388)
    assert dataset.evaluation[1].id == "tfns-sent_valid-00002"
    assert dataset.evaluation[1].text == "$va1 up,\nagain https://t.co/1"
    assert dataset.labels[dataset.evaluation[1].label] == "bullish"


def test_tfns_tweets_that_differ_in_a_link_are_one(tmp_path: Path) -> None:
    tfns_files(tmp_path)
    with (tmp_path / "sent_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    rows[5][0] = "$va1 UP, again  https://t.co/other"
    write_csv(tmp_path / "sent_train.csv", rows)
    dataset = tfns.load(tmp_path)
    assert len(dataset.train) == 9542
    assert dataset.notes[0].startswith("1 texts stand on both sides")
    assert len(tfns.load(tmp_path, drop_overlap=False).train) == 9543


@pytest.mark.parametrize(
    ("row", "named"),
    [
        (("Secret tweet", "3"), "unknown label"),
        (("Secret tweet", "bullish"), "unknown label"),
        (("Secret tweet", ""), "unknown label"),
        ((" ", "1"), "empty text"),
    ],
)
def test_a_bad_tfns_row_is_named(row: tuple[str, str], named: str, tmp_path: Path) -> None:
    tfns_files(tmp_path)
    path = write_csv(tmp_path / "sent_train.csv", [("text", "label"), ("fine", "0"), row])
    message = refusal("finance.tfns", tmp_path)
    assert message.startswith(f"Row 2 (to line 3) of {path}")
    assert named in message


def test_tfns_cut_between_two_rows_is_refused(tmp_path: Path) -> None:
    tfns_files(tmp_path, evaluation=2387)
    assert "2387 rows, the published file 2388" in refusal("finance.tfns", tmp_path)


def test_fiqa_has_the_published_split_with_the_validation_rows_in_training(tmp_path: Path) -> None:
    fiqa_files(tmp_path)
    dataset = load_dataset("finance.fiqa", data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (822 + 117, 234)
    assert [dataset.labels[record.label] for record in dataset.train[:3]] == list(fiqa.LABELS)
    assert dataset.train[0].columns == {"target": "ACME", "type": "post"}


@pytest.mark.parametrize(
    ("score", "label"),
    [(-1, 0), (-0.101, 0), (-0.1, 1), (0, 1), (0.0999, 1), (0.1, 2), (1, 2)],
)
def test_fiqa_scores_become_labels_at_fingpts_thresholds(score: float, label: int) -> None:
    assert fiqa.label_of(score) == label


@pytest.mark.parametrize("score", ["nan", "inf", "1.5", "Secret", ""])
def test_a_fiqa_score_that_is_none_is_named(score: str, tmp_path: Path) -> None:
    fiqa_files(tmp_path, first=("1", "Secret", "ACME", "[]", score, "post"))
    assert refusal("finance.fiqa", tmp_path).startswith("Row 1 (to line 2)")


def test_a_fiqa_id_of_two_sentences_is_refused_and_of_two_targets_is_not(tmp_path: Path) -> None:
    rows = [("7", "Secret", target, "[]", 0.5, "post") for target in ("ACME", "Initech")]
    path = write_csv(tmp_path / "train.csv", [FIQA_HEADER, *rows])
    assert len(fiqa.read_rows(path)) == 2
    write_csv(path, [FIQA_HEADER, *rows, ("7", "Secret other", "ACME", "[]", 0.5, "headline")])
    assert len(fiqa.read_rows(path)) == 3
    write_csv(path, [FIQA_HEADER, *rows, ("7", "Secret other", "ACME", "[]", 0.5, "post")])
    with pytest.raises(ConfigError, match=r"Row 3 .* the id of another sentence") as caught:
        fiqa.read_rows(path)
    assert "Secret" not in str(caught.value)


def test_a_fiqa_sentence_on_both_sides_leaves_training(tmp_path: Path) -> None:
    fiqa_files(tmp_path, first=("1", "test.csv sentence 3", "ACME", "[]", 0.5, "post"))
    assert len(fiqa.load(tmp_path).train) == 938


def test_nwgi_has_the_three_classes_of_fingpt(tmp_path: Path) -> None:
    nwgi_files(tmp_path)
    dataset = load_dataset("finance.nwgi", data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (16_184, 4047)
    assert [record.label for record in dataset.train[:7]] == [0, 0, 1, 1, 1, 2, 2]


def test_nwgi_of_another_length_is_refused(tmp_path: Path) -> None:
    nwgi_files(tmp_path, evaluation=4046)
    assert "16184 + 4046 rows" in refusal("finance.nwgi", tmp_path)


@pytest.mark.parametrize(
    "row",
    [
        {"news": "Secret", "label": "positive"},
        {"news": "Secret", "label": 3},
        {"news": "", "label": "neutral"},
        {"news": None, "label": "neutral"},
        {"news": "Secret"},
    ],
)
def test_a_bad_nwgi_row_is_named(row: dict[str, object], tmp_path: Path) -> None:
    nwgi_files(tmp_path)
    path = write_lines(tmp_path / "test.jsonl", [{"news": "fine", "label": "neutral"}, row])
    assert refusal("finance.nwgi", tmp_path).startswith(f"Row 2 of {path}")


def test_pubmedqa_reads_question_and_contexts_and_never_the_conclusion(tmp_path: Path) -> None:
    pubmedqa_files(tmp_path)
    dataset = load_dataset("biomedical.pubmedqa", data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (500, 500)
    assert dataset.train[0].text == "Does drug 0 help?\nHalf were given it. 0 recovered."
    assert dataset.evaluation[0].id == "pubmedqa-1999"
    assert not any("conclusion." in record.text for record in dataset.train)


@pytest.mark.parametrize(
    "changed",
    [
        {"QUESTION": " "},
        {"QUESTION": None},
        {"CONTEXTS": []},
        {"CONTEXTS": "Secret"},
        {"CONTEXTS": ["Secret", ""]},
        {"CONTEXTS": ["Secret", 3]},
        {"final_decision": "Secret"},
    ],
)
def test_a_bad_pubmedqa_article_is_named(changed: dict[str, object], tmp_path: Path) -> None:
    pubmedqa_files(tmp_path, **changed)
    message = refusal("biomedical.pubmedqa", tmp_path)
    assert message.startswith(f"Row 1 of {tmp_path / 'ori_pqal.json'}")


def test_pubmedqa_files_that_disagree_or_are_cut_are_refused(tmp_path: Path) -> None:
    pubmedqa_files(tmp_path)
    test_file, articles = tmp_path / "test_ground_truth.json", tmp_path / "ori_pqal.json"
    whole = test_file.read_text()
    answers = json.loads(whole)
    test_file.write_text(json.dumps(answers | {"1999": "maybe"}))
    assert "disagree on PMID 1999" in refusal("biomedical.pubmedqa", tmp_path)
    del answers["1999"]
    test_file.write_text(json.dumps(answers | {"7": "no"}))
    assert "disagree on PMID 7" in refusal("biomedical.pubmedqa", tmp_path)
    test_file.write_text(json.dumps(answers | {"Secret": "no"}))
    assert "no PMID" in refusal("biomedical.pubmedqa", tmp_path)
    test_file.write_text(json.dumps(answers))
    assert "499 rows" in refusal("biomedical.pubmedqa", tmp_path)
    test_file.write_text(whole)
    articles.write_text(articles.read_text()[:-2000])
    assert "was cut there" in refusal("biomedical.pubmedqa", tmp_path)


@pytest.mark.parametrize(
    "name", ["finance.tfns", "finance.fiqa", "finance.nwgi", "biomedical.pubmedqa"]
)
def test_a_wrong_folder_is_answered_with_the_files_that_belong_in_it(
    name: str, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        message = refusal(name, folder)
        assert all(file in message for file in ENTRIES[name].files)


@pytest.mark.realdata
def test_the_published_tfns(tfns_folder: Path) -> None:
    kept = tfns.load(tfns_folder, drop_overlap=False)
    assert (len(kept.train), len(kept.evaluation)) == (9543, 2388)
    assert balance(kept) == (
        {"bearish": 1442, "bullish": 1923, "neutral": 6178},
        {"bearish": 347, "bullish": 475, "neutral": 1566},
    )
    dataset = load_dataset("finance.tfns", data=tfns_folder, seed=0)
    assert len(dataset.train) == 9543 - 69
    assert dataset.notes[0].startswith("32 texts stand on both sides of the split; 69 training")


@pytest.mark.realdata
def test_the_published_pubmedqa(pubmedqa_folder: Path) -> None:
    dataset = load_dataset("biomedical.pubmedqa", data=pubmedqa_folder, seed=0)
    answers = json.loads((pubmedqa_folder / "test_ground_truth.json").read_text())
    assert [record.id for record in dataset.evaluation] == [f"pubmedqa-{pmid}" for pmid in answers]
    assert balance(dataset) == ({"yes": 276, "no": 169, "maybe": 55},) * 2
    assert dataset.notes[0].startswith("0 texts stand on both sides")
