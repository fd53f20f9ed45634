"""Workers are processes: what hangs is killed, what dies is named, and the order is the files'."""

from __future__ import annotations

import multiprocessing
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from scrub_workplace import (
    CANARY,
    BrokenRecipe,
    DyingRecipe,
    LocalCrew,
    RefusedRecipe,
    ToyRecipe,
    ToyScrubber,
)

from crypto.errors import ConfigError
from secure_fl.scrubbing_files import job, stream
from secure_fl.scrubbing_files.crew import Crew
from secure_fl.scrubbing_files.plan import Choices, plan
from secure_fl.scrubbing_files.progress import Unwatched

if TYPE_CHECKING:
    from pathlib import Path

    from secure_fl.scrubbing_files.recipe import Recipe

EACH_LINE = Choices(each_line=True)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_BATCH_ROWS", 3)


def files(tmp_path: Path, *texts: str) -> list[Path]:
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / f"f{number}.txt")
        paths[-1].write_text(text)
    return paths


def scrub(
    paths: list[Path],
    *,
    workers: int = 2,
    recipe: Recipe | None = None,
    choices: Choices = EACH_LINE,
    deadline_seconds: float = 60.0,
) -> None:
    tasks = plan(paths, choices, None, replace=False)
    with Crew(recipe or ToyRecipe(), workers=workers, deadline_seconds=deadline_seconds) as crew:
        crew.ready()
        job.scrub_files(tasks, crew, Unwatched())


def refused(paths: list[Path], **options: object) -> str:
    with pytest.raises(ConfigError) as caught:
        scrub(paths, **options)  # type: ignore[arg-type]
    assert multiprocessing.active_children() == []
    assert CANARY not in str(caught.value)
    assert not [path for path in paths[0].parent.iterdir() if "scrub-part" in path.name]
    return str(caught.value)


def outputs(paths: list[Path]) -> list[str | None]:
    found = [path.with_name(f"{path.stem}.scrubbed.txt") for path in paths]
    return [path.read_text() if path.exists() else None for path in found]


def test_many_batches_of_many_files_come_back_in_order(tmp_path: Path) -> None:
    """Batches that take longest stand first, so that later ones are finished before them."""
    texts = [
        "".join(f"{'SLOW' if row == 0 else ''} {number} {row} 12345\n" for row in range(20))
        for number in range(3)
    ]
    paths = files(tmp_path, *texts, "", "\n")
    scrub(paths)
    expected = [text.replace("12345", "<ACCOUNT_NUMBER>") for text in texts]
    assert outputs(paths) == [*expected, "", "\n"]
    assert multiprocessing.active_children() == []


def test_a_crew_says_what_its_twin_says(tmp_path: Path) -> None:
    paths = files(tmp_path, *("Anna 12345\nx\n" * count for count in range(4)))
    tasks = plan(paths, EACH_LINE, None, replace=True)
    with Crew(ToyRecipe(), workers=2, deadline_seconds=60) as crew:
        assert crew.ready().coverage == ToyScrubber.coverage
        many = job.scrub_files(tasks, crew, Unwatched())
    alone = job.scrub_files(tasks, LocalCrew(), Unwatched())  # type: ignore[arg-type]
    assert many == alone


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("RAISE", "f1.txt, row 5: scrubbing it failed (ValueError)"),
        ("REFUSE", "f1.txt, row 5: The recogniser 'toy' failed on the document"),
        ("DIE", "f1.txt, rows 4 to 6: the process that scrubs was ended by signal 9"),
        ("EXIT", "f1.txt, rows 4 to 6: the process that scrubs ended by itself (exit code 3)"),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_row_that_cannot_be_scrubbed_stops_all_after_it(
    tmp_path: Path, word: str, said: str, workers: int
) -> None:
    bad = [f"{CANARY}\n"] * 12
    bad[4] = f"{word} {CANARY}\n"
    bad[8] = f"RAISE {CANARY}\n"
    paths = files(tmp_path, "fine\n" * 7, "".join(bad), "never\n")
    told = refused(paths, workers=workers)
    assert said in told
    assert "f1.scrubbed.txt is not written, nor is any file after it" in told
    assert outputs(paths) == ["fine\n" * 7, None, None]


@pytest.mark.parametrize("word", ["HANG", "STUCK"])
def test_a_recogniser_that_hangs_is_stopped_also_where_it_holds_the_interpreter(
    tmp_path: Path, word: str
) -> None:
    paths = files(tmp_path, "fine\n", f"{CANARY}\nx\nx\n{word} {CANARY}\n", "never\n")
    began = time.monotonic()
    said = refused(paths, deadline_seconds=1.0)
    assert "f1.txt, row 4: it took longer than 1 seconds and was stopped" in said
    assert outputs(paths) == ["fine\n", None, None]
    assert time.monotonic() - began < 60


def test_a_whole_document_that_hangs_is_named_as_such(tmp_path: Path) -> None:
    said = refused(files(tmp_path, "HANG"), deadline_seconds=0.5, choices=Choices())
    assert "f0.txt, the whole file: it took longer than 0.5 seconds" in said


def test_long_batches_have_longer(tmp_path: Path) -> None:
    """Half a second for each million characters is two for four: SLOW twice is no hang."""
    paths = files(tmp_path, "SLOW" + "x" * 4_000_000 + "\nSLOW\n")
    scrub(paths, deadline_seconds=0.5)
    assert outputs(paths) != [None]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (RefusedRecipe(), "requires PERSON, and no provider is loaded"),
        (BrokenRecipe(), "The scrubber could not be made (OSError: no such model)"),
        (DyingRecipe(), "no scrubber could be made: the process that scrubs was ended by signal 9"),
    ],
)
def test_without_a_scrubber_nothing_is_written(tmp_path: Path, recipe: Recipe, said: str) -> None:
    paths = files(tmp_path, "a\n")
    assert said in refused(paths, recipe=recipe)
    assert outputs(paths) == [None]


def test_the_first_failure_of_the_files_is_told_not_the_first_in_time(tmp_path: Path) -> None:
    """The reader finds the broken byte long before the slow row fails."""
    paths = files(tmp_path, "x\nSLOW RAISE\nx\n")
    paths[0].write_bytes(paths[0].read_bytes() + b"\xff\n")
    assert "row 2: scrubbing it failed" in refused(paths)


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = files(tmp_path, "a\n", "b\n" * 10)
    tasks = plan(paths, EACH_LINE, None, replace=False)
    read = stream.TextWindow.more

    def more(window: stream.TextWindow) -> bool:
        if window.text.startswith("b") and paths[1].stat().st_size == 20:
            paths[1].write_text("c\n" * 11)
        return read(window)

    monkeypatch.setattr(stream.TextWindow, "more", more)
    with pytest.raises(ConfigError, match=r"f1\.txt changed while it was read"):
        job.scrub_files(tasks, LocalCrew(), Unwatched())  # type: ignore[arg-type]
    assert outputs(paths) == ["a\n", None]


def test_files_are_read_no_further_ahead_than_a_few_batches(tmp_path: Path) -> None:
    paths = files(tmp_path, "SLOW\n" + "x\n" * 3000)
    tasks = plan(paths, EACH_LINE, None, replace=False)
    ahead = 0
    with Crew(ToyRecipe(), workers=2, deadline_seconds=60) as crew:
        pulled = 0

        def counted() -> object:
            nonlocal pulled
            for item in stream.read_files(tasks):
                pulled += 1
                yield item

        with closing(crew.in_order(counted())) as settled:  # type: ignore[arg-type]
            for taken, _ in enumerate(settled, start=1):
                ahead = max(ahead, pulled - taken)
    assert pulled == taken == 1003
    assert ahead <= 6


def test_leaving_ends_workers_that_hang(tmp_path: Path) -> None:
    tasks = plan(files(tmp_path, "x\n" * 6 + "STUCK\n" * 3), EACH_LINE, None, replace=False)
    with Crew(ToyRecipe(), workers=2, deadline_seconds=600) as crew:
        with closing(crew.in_order(stream.read_files(tasks))) as settled:
            for _ in range(3):
                next(settled)
        assert len(multiprocessing.active_children()) == 2
    assert multiprocessing.active_children() == []
