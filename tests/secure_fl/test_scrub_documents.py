"""Which document a text is, and whose: what surrogates and shifted dates depend on."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from scrub_workplace import CANARY, LocalCrew, ToyScrubber, refused

from privacy.scrubbing import Document, Scrubbed, Scrubber, ScrubMode, ScrubProfile
from secure_fl.scrubbing_files import job, stream
from secure_fl.scrubbing_files.plan import Choices, plan
from secure_fl.scrubbing_files.progress import Unwatched
from secure_fl.scrubbing_files.recipe import Writing

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from secure_fl.scrubbing_files.recipe import Scrubs


class Recorder(ToyScrubber):
    """Remembers which documents it was asked for."""

    def __init__(self) -> None:
        self.documents: list[Document | None] = []

    def scrub(self, text: str, document: Document | None = None) -> Scrubbed:
        self.documents.append(document)
        return super().scrub(text)


def scrub(scrubber: Scrubs, paths: list[Path], choices: Choices) -> None:
    tasks = plan(paths, choices, None, replace=False)
    job.scrub_files(tasks, LocalCrew(scrubber), Unwatched())  # type: ignore[arg-type]


def test_no_two_texts_of_a_run_are_one_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_BATCH_ROWS", 2)
    (tmp_path / "a.jsonl").write_text('{"p":7,"n":["x","y"]}\n{"p":"8","n":["z"]}\n' * 3)
    (tmp_path / "b.jsonl").write_text('\n{"p":7.50,"n":["x"]}\n')
    recorder = Recorder()
    paths = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    scrub(recorder, paths, Choices(fields=("n[]",), unit="p"))
    documents = [document for document in recorder.documents if document is not None]
    assert len(documents) == 10
    assert len({document.number for document in documents}) == 10
    assert [document.unit for document in documents[:3]] == ["7", "7", "8"]
    assert documents[-1].unit == "7.50"


def test_rows_that_do_not_say_whose_they_are_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for row in ('{"n":"%s"}', '{"n":"%s","p":null}', '{"n":"%s","p":["7"]}', '{"n":"%s","p":""}'):
        path.write_text(row % CANARY)
        said = refused(path, Choices(fields=("n",), unit="p"))
        assert "row 1: its p does not say whose it is" in said
    path = tmp_path / "a.csv"
    path.write_text(f"p,n\n7,x\n,{CANARY}\n")
    assert "row 3: cell 1 does not say" in refused(path, Choices(columns=("n",), unit="p"))
    assert "there is no column q" in refused(path, Choices(columns=("n",), unit="q"))
    path = tmp_path / "b.jsonl"
    path.write_text("")
    for unit in ("p[]", "*.p", "p..q"):
        assert "--unit" in refused(path, Choices(fields=("n",), unit=unit))


def test_an_experts_surrogates_follow_a_person_through_a_table(tmp_path: Path) -> None:
    path = tmp_path / "visits.csv"
    path.write_text(
        "patient,note\n"
        "7,seen 2021-03-04 and 2021-03-14; a.berg@example.com\n"
        "8,seen 2021-03-04\n"
        "7,again 2021-04-04; a.berg@example.com\n"
    )
    writing = Writing(ScrubMode.EXPERT_DETERMINATION, bytes(range(32)))
    scrubber = Scrubber(
        ScrubProfile(("DATE_TIME", "EMAIL_ADDRESS")), replacement=writing.replacement()
    )
    scrub(scrubber, [path], Choices(columns=("note",), unit="patient"))
    rows = (tmp_path / "visits.scrubbed.csv").read_text().splitlines()[1:]
    dates = [date.fromisoformat(text) for text in re.findall(r"\d{4}-\d\d-\d\d", "\n".join(rows))]
    assert (dates[1] - dates[0]).days == 10
    assert (dates[3] - dates[0]).days == 31
    assert dates[0] != date(2021, 3, 4)
    assert dates[2] != dates[0]
    codes = re.findall(r"<EMAIL_ADDRESS [0-9a-f]{12}>", "\n".join(rows))
    assert len(codes) == 2
    assert len(set(codes)) == 1
