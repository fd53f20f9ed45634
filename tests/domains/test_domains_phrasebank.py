"""The published files' format, its split, and every way a copy of them can be broken."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from published_files import as_file, invented

from crypto.errors import ConfigError
from domains.finance.phrasebank import (
    EXPECTED_FILES,
    LABELS,
    Agreement,
    Split,
    evaluation_rows,
    load,
    read_rows,
)

if TYPE_CHECKING:
    from pathlib import Path

# Sentences of this project's own in the published format; `ä` is one byte there.
LINES = (
    "Osakeyhti\u00f6 M\u00e4kel\u00e4 sold fewer pumps than planned .@negative",
    "The meeting starts at noon .@neutral",
    "Write to ir@example.com for the report .@neutral",
    "Brantholm won an order worth EUR 4 mn .@positive",
)


def written(folder: Path, content: bytes, name: str = "Sentences_50Agree.txt") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_file_in_the_published_format_is_read(tmp_path: Path) -> None:
    records = read_rows(written(tmp_path, as_file(LINES)), rows=4, prefix="fpb")
    assert [record.id for record in records] == [f"fpb-0000{row}" for row in (1, 2, 3, 4)]
    assert [LABELS[r.label] for r in records] == ["negative", "neutral", "neutral", "positive"]
    assert records[0].text == "Osakeyhti\u00f6 M\u00e4kel\u00e4 sold fewer pumps than planned ."
    assert records[2].text == "Write to ir@example.com for the report ."


def test_a_copy_with_windows_line_ends_reads_the_same(tmp_path: Path) -> None:
    unix = read_rows(written(tmp_path, as_file(LINES)), rows=4, prefix="fpb")
    windows = as_file(LINES).replace(b"\n", b"\r\n")
    assert read_rows(written(tmp_path, windows), rows=4, prefix="fpb") == unix


GOOD = b"A first row that is fine .@neutral\n"

BROKEN = {
    "no @": (b"Secret Person sold all shares neutral\n", "no '@'"),
    "blank line": (b"\n", "no '@'"),
    "unknown label": (b"Secret Person sold all shares .@bullish\n", "unknown label"),
    "label in capitals": (b"Secret Person sold all shares .@Neutral\n", "unknown label"),
    "no label": (b"Secret Person sold all shares .@\n", "unknown label"),
    "label cut": (b"Secret Person sold all shares .@neut\n", "unknown label"),
    "no sentence": (b"@neutral\n", "no sentence"),
    "blank sentence": (b" \xa0 @neutral\n", "no sentence"),
    "utf-8": ("Secret Person, M\u00e4kel\u00e4 .@neutral\n".encode(), "ISO-8859-1"),
    "utf-8 mark": (b"\xef\xbb\xbfSecret Person .@neutral\n", "ISO-8859-1"),
    "utf-16": ("Secret Person .@neutral\n".encode("utf-16-le"), "ISO-8859-1"),
    "windows quotes": (b"Secret Person said \x93sell\x94 .@neutral\n", "ISO-8859-1"),
    "a zero byte": (b"Secret Person\x00 sold .@neutral\n", "ISO-8859-1"),
    "cut in a sentence": (b"Secret Person sold all sh", "was cut"),
    "cut after a label": (b"Secret Person sold all shares .@neutral", "was cut"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_row_is_named_by_file_and_number_and_never_shown(
    case: str, tmp_path: Path
) -> None:
    broken, reason = BROKEN[case]
    path = written(tmp_path, GOOD + GOOD + broken)
    with pytest.raises(ConfigError) as refusal:
        read_rows(path, rows=None, prefix="fpb")
    message = str(refusal.value)
    assert message.startswith(f"Row 3 of {path}")
    assert reason in message
    for word in ("Secret", "Person", "shares", "bullish"):
        assert word not in message


def test_a_file_cut_between_two_rows_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, as_file(invented(4846)[:4000]))
    with pytest.raises(ConfigError, match="4000 rows, the published file 4846"):
        load(tmp_path)
    assert len(read_rows(path, rows=None, prefix="fpb")) == 4000


def test_a_wrong_folder_is_answered_with_the_files_that_belong_in_it(tmp_path: Path) -> None:
    (tmp_path / "sent_train.csv").write_text("text,label\n")
    for folder in (tmp_path, tmp_path / "absent", tmp_path / "sent_train.csv"):
        with pytest.raises(ConfigError) as refusal:
            load(folder)
        assert all(name in str(refusal.value) for name in EXPECTED_FILES)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Sentences_50Agree.txt"
    path.mkdir()
    with pytest.raises(ConfigError, match=r"Sentences_50Agree\.txt could not be read"):
        read_rows(path, rows=None, prefix="fpb")


def test_the_split_is_numpys_permutation_and_the_first_quarter() -> None:
    naive = np.random.default_rng(42).permutation(4846)[:1212]
    assert list(evaluation_rows(4846)) == naive.tolist()


def test_every_row_is_on_one_side_of_the_split(tmp_path: Path) -> None:
    written(tmp_path, as_file(invented(4846)))
    dataset = load(tmp_path)
    assert len(dataset.evaluation) == 1212
    assert len(dataset.train) == 3634
    assert len({record.id for record in (*dataset.train, *dataset.evaluation)}) == 4846
    assert dataset.evaluation[0].id == f"fpb-50Agree-{evaluation_rows(4846)[0] + 1:05d}"
    assert "FinGPT" in dataset.notes[-1]


def with_overlap(folder: Path) -> None:
    lines = list(invented(4846))
    tested = evaluation_rows(4846)
    trained = sorted(set(range(4846)) - set(tested))
    # One sentence of the test set twice in training, another once, under another label too.
    lines[trained[0]] = lines[trained[1]] = lines[tested[0]]
    lines[trained[2]] = lines[tested[1]].rpartition("@")[0] + "@neutral"
    lines[trained[4]] = lines[trained[3]]
    written(folder, as_file(tuple(lines)))


def test_sentences_on_both_sides_leave_the_training_side_and_are_counted(tmp_path: Path) -> None:
    with_overlap(tmp_path)
    dataset = load(tmp_path)
    assert len(dataset.train) == 3634 - 3
    assert len(dataset.evaluation) == 1212
    assert not {r.text for r in dataset.train} & {r.text for r in dataset.evaluation}
    assert dataset.notes[0].startswith("2 sentences stand on both sides")
    assert "3 training rows with them were dropped" in dataset.notes[0]
    assert dataset.notes[1].startswith("1 training rows repeat")


def test_kept_overlap_is_said_to_flatter_the_score(tmp_path: Path) -> None:
    with_overlap(tmp_path)
    dataset = load(tmp_path, drop_overlap=False)
    assert len(dataset.train) == 3634
    assert "flattered" in dataset.notes[0]
    assert dataset.version != load(tmp_path).version


def test_the_published_split_exists_for_one_file_only(tmp_path: Path) -> None:
    written(tmp_path, as_file(invented(2264)), "Sentences_AllAgree.txt")
    with pytest.raises(ConfigError, match=r"Sentences_50Agree\.txt only"):
        load(tmp_path, agreement=Agreement.ALL)
    dataset = load(tmp_path, agreement=Agreement.ALL, split=Split.QUARTER)
    assert len(dataset.evaluation) == 566
    assert "not comparable" in dataset.notes[-1]


@pytest.mark.realdata
def test_the_published_files_load(phrasebank_folder: Path) -> None:
    for agreement in Agreement:
        path = phrasebank_folder / agreement.file_name
        records = read_rows(path, rows=agreement.rows, prefix="fpb")
        assert len(records) == agreement.rows


@pytest.mark.realdata
def test_the_test_split_is_the_one_of_the_literature(phrasebank_folder: Path) -> None:
    split = json.loads((phrasebank_folder / "fingpt_split.json").read_text())
    assert list(evaluation_rows(4846)) == split["test"]
    kept = load(phrasebank_folder, drop_overlap=False)
    trained = [int(record.id.rpartition("-")[2]) - 1 for record in kept.train]
    assert sorted(trained) == sorted(split["train"])


@pytest.mark.realdata
def test_five_published_sentences_stand_on_both_sides(phrasebank_folder: Path) -> None:
    dataset = load(phrasebank_folder)
    assert dataset.notes[0].startswith("5 sentences stand on both sides")
    assert len(dataset.train) == 3634 - 5
    counts = Counter(LABELS[record.label] for record in dataset.evaluation)
    assert counts.most_common(1)[0][0] == "neutral"
    assert counts["neutral"] / 1212 == pytest.approx(0.602, abs=0.001)
