"""What is refused before the first file is read, so that nothing is half done."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from scrub_workplace import CANARY

from crypto.errors import ConfigError
from secure_fl.scrubbing_files.command import BYTES_PER_WORKER, workers_for
from secure_fl.scrubbing_files.plan import Choices, FileTask, NoChoiceError, plan

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text(CANARY)
    return path


def refusal(*files: Path, out: Path | None = None, force: bool = False, **asked: object) -> str:
    with pytest.raises(ConfigError) as caught:
        plan(files, Choices(**asked), out, replace=force)  # type: ignore[arg-type]
    assert CANARY not in str(caught.value)
    return str(caught.value)


def target(path: Path, out: Path | None = None, *, force: bool = False) -> Path:
    (task,) = plan([path], Choices(), out, replace=force)
    return task.target


def test_outputs_stand_beside_their_files_or_where_they_are_asked_for(
    tmp_path: Path, note: Path
) -> None:
    assert target(note) == tmp_path / "note.scrubbed.txt"
    (tmp_path / "out").mkdir()
    assert target(note, tmp_path / "out") == tmp_path / "out" / "note.scrubbed.txt"
    assert target(note, tmp_path / "new.txt") == tmp_path / "new.txt"


def test_what_is_no_file_is_refused(tmp_path: Path, note: Path) -> None:
    assert "There is no file" in refusal(tmp_path / "none.txt")
    assert "is a folder: name the files in it" in refusal(tmp_path)
    os.mkfifo(tmp_path / "pipe.txt")
    assert "is no file" in refusal(tmp_path / "pipe.txt")
    (tmp_path / "dangling.txt").symlink_to(tmp_path / "nowhere")
    assert "There is no file" in refusal(tmp_path / "dangling.txt")
    assert "cannot be told from its name" in refusal(note.rename(tmp_path / "note.doc"))


def test_a_file_that_may_not_be_read_is_refused(
    note: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(os, "open", denied)
    assert "cannot be read (Permission denied)" in refusal(note)


def test_the_same_file_twice_is_refused_also_through_a_link(tmp_path: Path, note: Path) -> None:
    assert "is the same file as" in refusal(note, note)
    (tmp_path / "link.txt").symlink_to(note)
    assert "is the same file as" in refusal(note, tmp_path / "link.txt")
    (tmp_path / "hard.txt").hardlink_to(note)
    assert "is the same file as" in refusal(note, tmp_path / "hard.txt")


def test_two_files_cannot_become_one(tmp_path: Path, note: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "note.txt").write_text("b")
    (tmp_path / "out").mkdir()
    assert "would both become" in refusal(note, other / "note.txt", out=tmp_path / "out")
    assert "is no folder, and 2 files" in refusal(note, other / "note.txt", out=tmp_path / "x.txt")


def test_an_original_is_never_an_output_whatever_leads_there(tmp_path: Path, note: Path) -> None:
    for force in (False, True):
        assert "an original is never touched" in refusal(note, out=note, force=force)
        link = tmp_path / f"link-{force}.txt"
        link.symlink_to(note)
        assert "an original is never touched" in refusal(note, out=link, force=force)
        assert "an original is never touched" in refusal(link, out=note, force=force)
        hard = tmp_path / f"hard-{force}.txt"
        hard.hardlink_to(note)
        assert "an original is never touched" in refusal(note, out=hard, force=force)
    second = tmp_path / "note.scrubbed.txt"
    second.write_text("another input")
    assert "an original is never touched" in refusal(note, second, force=True)


def test_what_exists_stays_unless_it_is_forced_and_a_link_always(
    tmp_path: Path, note: Path
) -> None:
    (tmp_path / "note.scrubbed.txt").write_text("earlier")
    assert "exists: it stays as it is" in refusal(note)
    assert target(note, force=True) == tmp_path / "note.scrubbed.txt"
    (tmp_path / "link.txt").symlink_to(tmp_path / "elsewhere.txt")
    assert "is a link or no file" in refusal(note, out=tmp_path / "link.txt", force=True)
    assert "There is no folder" in refusal(note, out=tmp_path / "none" / "x.txt")


def test_a_choice_that_fits_no_file_is_refused(note: Path) -> None:
    for asked, option in (
        ({"fields": ("a",)}, "--field"),
        ({"all_fields": True}, "--all-fields"),
        ({"columns": ("a",)}, "--column"),
        ({"all_columns": True}, "--all-columns"),
        ({"delimiter": ";"}, "--delimiter"),
        ({"header": False}, "--no-header"),
    ):
        assert refusal(note, **asked).startswith(f"{option} was given and no file is")


def test_fields_and_delimiters_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("")
    assert "is no path of a field" in refusal(tmp_path / "a.jsonl", fields=("a..b",))
    assert "--each-line was given" in refusal(tmp_path / "a.jsonl", each_line=True)
    with pytest.raises(NoChoiceError, match="Which fields of"):
        plan([tmp_path / "a.jsonl"], Choices(), None, replace=False)
    (tmp_path / "a.csv").write_text("a,b\n")
    for delimiter in ('"', "\n", "ab", ""):
        said = refusal(tmp_path / "a.csv", columns=("a",), delimiter=delimiter)
        assert "one character" in said


def test_workers_are_started_where_they_are_worth_it(note: Path) -> None:
    (whole,) = plan([note], Choices(), None, replace=False)
    (lines,) = plan([note], Choices(each_line=True), None, replace=False)

    def sized(task: FileTask, size_bytes: int) -> FileTask:
        return FileTask(
            task.source, task.target, task.name, task.format, None, size_bytes, replace=False
        )

    assert workers_for([lines]) == 1
    assert workers_for([sized(whole, 100 * BYTES_PER_WORKER)]) == 1
    cores = len(os.sched_getaffinity(0))
    assert workers_for([sized(lines, 100 * BYTES_PER_WORKER)]) == min(cores, 8)
    assert workers_for([sized(whole, BYTES_PER_WORKER)] * 2) == min(cores, 2)
