"""MedMCQA and MedQA: files in the published formats, written here and real."""

from __future__ import annotations

from pathlib import Path

import pytest
from published_files import (
    converted_file,
    few_medmcqa,
    medmcqa_files,
    medmcqa_row,
    medqa_files,
    write_lines,
)

from crypto.errors import ConfigError
from domains.biomedical import medmcqa, medqa
from domains.catalogue import ENTRIES, load_dataset
from domains.task_kinds import TaskKind

_MEDMCQA_FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "medmcqa"


def refusal(name: str, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_dataset(name, data=folder, seed=0)
    assert "Secret" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def few_medmcqa_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    few_medmcqa(monkeypatch)


@pytest.mark.usefixtures("few_medmcqa_rows")
def test_medmcqa_is_loaded_from_its_published_files(tmp_path: Path) -> None:
    medmcqa_files(tmp_path)
    dataset = load_dataset("biomedical.medmcqa", data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (6, 8)
    record = dataset.evaluation[6]
    assert (record.id, record.text) == ("medmcqa-dev-6", "Which is dev number 6?")
    assert record.options[record.label] == "three"
    assert record.columns["subject"] == "Pathology"
    assert any("as the literature reports" in note for note in dataset.notes)


@pytest.mark.usefixtures("few_medmcqa_rows")
def test_a_converted_medmcqa_alone_is_split_the_same_way_each_time(tmp_path: Path) -> None:
    converted_file(tmp_path)
    dataset = load_dataset("biomedical.medmcqa", data=tmp_path, seed=0)
    again = load_dataset("biomedical.medmcqa", data=tmp_path, seed=1)
    assert (len(dataset.train), len(dataset.evaluation)) == (6, 2)
    assert dataset.version == again.version
    assert {record.options[0] for record in dataset.train} == {"A. baumannii"}
    assert any("Not comparable with the literature" in note for note in dataset.notes)


@pytest.mark.usefixtures("few_medmcqa_rows")
def test_the_published_medmcqa_is_preferred_to_a_converted_one(tmp_path: Path) -> None:
    converted_file(tmp_path)
    medmcqa_files(tmp_path)
    assert medmcqa.load(tmp_path).evaluation[0].id == "medmcqa-dev-0"
    (tmp_path / medmcqa.DEV_FILE).unlink()
    assert "has no dev.json" in refusal("biomedical.medmcqa", tmp_path)


@pytest.mark.usefixtures("few_medmcqa_rows")
def test_a_training_row_with_an_empty_option_is_dropped_and_counted(tmp_path: Path) -> None:
    medmcqa_files(tmp_path)
    rows = [medmcqa_row("train", row) for row in range(6)]
    rows[2]["opd"] = " "
    write_lines(tmp_path / medmcqa.TRAIN_FILE, rows)
    dataset = medmcqa.load(tmp_path)
    assert len(dataset.train) == 5
    assert "1 training rows with an empty option were dropped." in dataset.notes
    write_lines(tmp_path / medmcqa.DEV_FILE, rows)
    message = refusal("biomedical.medmcqa", tmp_path)
    assert message.startswith(f"Row 3 of {tmp_path / medmcqa.DEV_FILE} has an empty text in 'opd'")


@pytest.mark.usefixtures("few_medmcqa_rows")
@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"cop": 0}, "no option's number, 1 to 4"),
        ({"cop": 5}, "no option's number"),
        ({"cop": "1"}, "no option's number"),
        ({"cop": True}, "no option's number"),
        ({"question": " ", "opa": "Secret"}, "empty text in 'question'"),
        ({"opb": None, "question": "Secret"}, "no text in 'opb'"),
        ({"subject_name": 3}, "no text in 'subject_name'"),
    ],
)
def test_a_bad_medmcqa_row_is_named(cells: dict[str, object], named: str, tmp_path: Path) -> None:
    medmcqa_files(tmp_path, first=cells)
    message = refusal("biomedical.medmcqa", tmp_path)
    assert message.startswith(f"Row 1 of {tmp_path / medmcqa.TRAIN_FILE} has")
    assert named in message


@pytest.mark.usefixtures("few_medmcqa_rows")
@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"answer": 4}, "no option's number, 0 to 3"),
        ({"choices": ["A. Secret", "B. 2", "C. 3"]}, "no list of 4 texts"),
        ({"choices": "A. Secret"}, "no list of 4 texts"),
        ({"choices": ["A. Secret", "C. 2", "B. 3", "D. 4"]}, "no option B after 'B. '"),
        ({"choices": ["A. Secret", "B. ", "C. 3", "D. 4"]}, "no option B"),
        ({"choices": ["A. Secret", 2, "C. 3", "D. 4"]}, "no text in 'choices'"),
    ],
)
def test_a_bad_converted_row_is_named(cells: dict[str, object], named: str, tmp_path: Path) -> None:
    path = converted_file(tmp_path, first=cells)
    message = refusal("biomedical.medmcqa", tmp_path)
    assert message.startswith(f"Row 1 of {path} has")
    assert named in message


def test_another_number_of_rows_than_published_is_refused(tmp_path: Path) -> None:
    converted_file(tmp_path)
    assert "8 rows, the published file 4183" in refusal("biomedical.medmcqa", tmp_path)
    medmcqa_files(tmp_path)
    assert "6 rows, the published file 182822" in refusal("biomedical.medmcqa", tmp_path)


@pytest.mark.parametrize("name", ["biomedical.medqa", "biomedical.medqa5"])
def test_medqa_is_loaded_by_name_from_its_published_files(name: str, tmp_path: Path) -> None:
    medqa_files(tmp_path, name)
    dataset = load_dataset(name, data=tmp_path, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (10_178, 1273)
    assert (dataset.name, dataset.labels) == (name, ENTRIES[name].labels)
    record = dataset.evaluation[2]
    assert (record.id, record.label, record.options[2]) == ("medqa-test-00003", 2, "drug c2")
    assert len(record.options) == len(dataset.labels)
    assert record.columns["exam"] == "step1"


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        ({"answer": "Secret"}, "an 'answer' that is not the option"),
        ({"answer_idx": "E"}, "unknown label in 'answer_idx'"),
        ({"options": {"A": "Secret", "B": "b", "C": "c"}}, "other options than A to D"),
        ({"options": ["Secret"]}, "other options than A to D"),
        ({"options": {"A": "Secret", "B": "", "C": "c", "D": "d"}}, "empty text in 'B'"),
        ({"question": ""}, "empty text in 'question'"),
    ],
)
def test_a_bad_medqa_row_is_named(cells: dict[str, object], named: str, tmp_path: Path) -> None:
    path = medqa_files(tmp_path, "biomedical.medqa", first=cells)
    message = refusal("biomedical.medqa", tmp_path)
    assert message.startswith(f"Row 1 of {path} has")
    assert named in message


@pytest.mark.parametrize("name", ["biomedical.medqa", "biomedical.medqa5", "biomedical.medmcqa"])
def test_a_wrong_folder_is_answered_with_the_files_that_belong_in_it(
    name: str, tmp_path: Path
) -> None:
    message = refusal(name, tmp_path)
    assert all(file in message for file in ENTRIES[name].files)


def test_exam_questions_are_asked_as_the_evaluation_harness_does(tmp_path: Path) -> None:
    medqa_files(tmp_path, "biomedical.medqa")
    prompt = ENTRIES["biomedical.medqa"].prompt
    record = medqa.load(tmp_path).evaluation[0]
    assert prompt.ask(record) == (
        f"Question: {record.text}\nA. drug a0\nB. drug b0\nC. drug c0\nD. drug d0\nAnswer:"
    )
    assert prompt.choices(record) == ("A", "B", "C", "D")


@pytest.mark.realdata
def test_the_converted_medmcqa_as_published() -> None:
    if not _MEDMCQA_FOLDER.is_dir():
        pytest.skip(f"the published files are not at {_MEDMCQA_FOLDER}")
    dataset = load_dataset("biomedical.medmcqa", data=_MEDMCQA_FOLDER, seed=0)
    assert (len(dataset.train), len(dataset.evaluation)) == (3138, 1045)
    answers = [record.label for record in (*dataset.train, *dataset.evaluation)]
    assert [answers.count(label) for label in range(4)] == [1348, 1085, 925, 825]
    assert ENTRIES[dataset.name].kind is TaskKind.MULTIPLE_CHOICE
