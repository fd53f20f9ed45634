"""What sites' own records hold is shown to whoever may read them, by the run that names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from secure_fl.cli import main

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "own-data.toml"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The example's run on a folder with a file for each of its three sites."""
    held = tmp_path / "held"
    held.mkdir()
    for number in (1, 2, 3):
        rows = [
            f"write to anna.berg@example.org on day {row} of {number},"
            f"{('routine', 'urgent')[row % 2]},c{number}-{row}"
            for row in range(10 * number)
        ]
        (held / f"site-{number}.csv").write_text("\n".join(["text,label,customer", *rows, ""]))
    text = EXAMPLE.read_text("utf-8").replace('path = "own-data.csv"', f'path = "{held}"')
    text = text.replace('partition = "key"', "").replace('key = "customer"', "")
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    code = main(["domains", "show", "own", *map(str, words)])
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def test_each_sites_own_file_is_counted_and_rows_are_scrubbed(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(told(capsys, "--config", run, "--json"))
    assert found["site_records"] == [8, 16, 24]
    assert [sum(labels) for labels in found["sites"]] == [8, 16, 24]
    assert found["partition"] is None
    assert found["labels"] == ["routine", "urgent"]
    assert (found["train"]["records"], found["evaluation"]["records"]) == (48, 12)
    assert "0 texts stand at more than one site and were kept at each." in found["notes"]
    assert all("<EMAIL_ADDRESS>" in row["text"] for row in found["rows"])
    printed = told(capsys, "--config", run, "--rows", "1")
    assert "Who holds what (each site's own file)" in printed
    assert "anna.berg" not in printed


def test_one_file_is_shared_out_as_the_run_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(told(capsys, "--config", EXAMPLE, "--rows", "0", "--json"))
    assert sum(found["site_records"]) == found["train"]["records"]
    assert found["partition"]["kind"] == "key"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("own",), "with the run that --config names"),
        (("finance.generated", "--config", str(EXAMPLE)), "with the run that --config names"),
        (("own", "--config", str(EXAMPLE), "--sites", "3"), "leave the other options out"),
        (("own", "--config", str(EXAMPLE), "--seed", "1"), "leave the other options out"),
        (
            ("own", "--config", str(EXAMPLE.with_name("finance.toml"))),
            "secure-fl domains show finance.generated",
        ),
    ],
)
def test_what_would_be_ignored_is_refused(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["domains", "show", *words]) == 2
    assert said in capsys.readouterr().err
