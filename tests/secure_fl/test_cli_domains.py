"""`secure-fl domains`: every data set is listed, one is described, and no raw row is shown."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from cli_workplace import Outcome, few_records

from domains.catalogue import DOMAINS, ENTRIES, DatasetOptions
from domains.partition import by_label
from domains.records import Dataset, Record
from domains.sentence_choices import Agreement, Split
from secure_fl import domains_account
from secure_fl.cli import main

if TYPE_CHECKING:
    from pathlib import Path

NAME = "finance.generated"
RANKED = "recommendation.amazon-games"
BANK = "finance.phrasebank"
Call = Any


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    """Return the command line over a small generated data set."""
    monkeypatch.setattr(domains_account, "load_dataset", few_records)

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main(["domains", *map(str, words)])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


def told(call: Call, *words: str) -> dict[str, Any]:
    outcome = call("show", NAME, "--rows", "0", "--json", *words)
    assert (outcome.code, outcome.err) == (0, "")
    found: dict[str, Any] = json.loads(outcome.out)
    return found


def test_every_data_set_is_listed_with_what_it_needs(call: Call) -> None:
    outcome = call("list")
    assert (outcome.code, outcome.err) == (0, "")
    for entry in ENTRIES.values():
        for said in (entry.name, entry.summary, entry.split, entry.licence, *entry.files):
            assert said in outcome.out
        if entry.hub is not None:
            assert f"{entry.hub.repository} at {entry.hub.revision}" in outcome.out


def test_the_list_is_data_too(call: Call) -> None:
    found = json.loads(call("list", "--json").out)
    assert found["schema"] == "secure-fl.datasets.v1"
    assert [one["name"] for one in found["datasets"]] == list(ENTRIES)
    assert all(one["split"] and one["licence"] for one in found["datasets"])
    hubs = {one["name"]: one["hub"] for one in found["datasets"]}
    assert len(hubs["finance.tfns"]["revision"]) == 40
    assert hubs["biomedical.pubmedqa"] is None


def test_a_data_set_is_described(call: Call) -> None:
    found = told(call)
    dataset = few_records(NAME, data=None, seed=0)
    assert found["schema"] == "secure-fl.dataset.v1"
    assert found["version"] == dataset.version.hex()
    assert (found["train"]["records"], found["evaluation"]["records"]) == (120, 40)
    assert sum(found["train"]["labels"]) == 120
    assert (found["partition"], found["sites"], found["rows"]) == (None, None, [])
    assert found["site_records"] is None
    assert isinstance(found["train"]["contradicted"], int)
    assert "... with another label" in call("show", NAME, "--rows", "0").out


def test_who_would_hold_what_is_what_a_run_would_share_out(call: Call) -> None:
    words = ("--sites", "3", "--partition", "label", "--alpha", "0.5", "--seed", "4")
    found = told(call, *words)
    shares = by_label(few_records(NAME, data=None, seed=4).train, 3, 4, alpha=0.5)
    assert found["sites"] == [
        [sum(record.label == label for record in share) for label in range(3)] for share in shares
    ]
    assert found["site_records"] == [len(share) for share in shares]
    assert found["partition"]["kind"] == "label"
    printed = call("show", NAME, "--rows", "0", *words).out
    assert "Who would hold what (label, alpha 0.5)" in printed
    assert all(
        re.search(rf"^site-{n} +{len(s)} ", printed, re.MULTILINE) for n, s in enumerate(shares, 1)
    )


def test_rows_are_shown_scrubbed_and_without_what_moves_a_cursor(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["Write to anna.berg@example.org\x1b[2Jtoday [bold]now[/bold]", "x" * 400, "third"]

    def invented(name: str, **_: object) -> Dataset:
        return Dataset.of(
            name=name,
            labels=("no", "yes"),
            train=tuple(Record(f"t{n}", text, 1) for n, text in enumerate(texts)),
            evaluation=(Record("e0", "held out", 0),),
            licence="none",
            notes=(),
        )

    monkeypatch.setattr(domains_account, "load_dataset", invented)
    outcome = call("show", NAME, "--rows", "2")
    assert outcome.code == 0
    assert "<EMAIL_ADDRESS>" in outcome.out
    assert "anna.berg" not in outcome.out
    assert "\x1b" not in outcome.out
    assert "[bold]now[/bold]" in outcome.out
    assert "x [...]" in outcome.out
    assert "third" not in outcome.out
    rows = json.loads(call("show", NAME, "--rows", "9", "--json").out)["rows"]
    assert [row["id"] for row in rows] == ["t0", "t1", "t2"]
    assert len(rows[1]["text"]) == 400
    assert all("anna.berg" not in row["text"] for row in rows)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "finance.nothing"), "No data set is called 'finance.nothing'"),
        (("show", "finance.phrasebank"), "needs its published files, and no folder was named"),
        (("show", NAME, "--partition", "equal"), "give their number (--sites)"),
        (("show", NAME, "--sites", "3", "--partition", "label"), "needs `alpha`"),
        (("show", NAME, "--sites", "3", "--alpha", "1"), "`alpha` has no meaning"),
        (("show", NAME, "--sites", "900"), "120 records do not reach 900 sites"),
        (("show", NAME, "--sites", "0"), "Invalid value for '--sites'"),
        (("show", NAME, "--rows", "-1"), "Invalid value for '--rows'"),
        (("show", NAME, "--sites", "2", "--partition", "odd"), "Invalid value for '--partition'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(
    call: Call, words: tuple[str, ...], said: str
) -> None:
    outcome = call(*words)
    assert outcome.out == ""
    assert said in outcome.refused(2)


def test_the_published_phrasebank_is_described_as_its_source_says(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "fpb"
    words = ["domains", "show", "finance.phrasebank", "--data", str(folder), "--rows", "0"]
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["train"]["records"], found["evaluation"]["records"]) == (3629, 1212)
    assert found["evaluation"]["labels"] == [145, 729, 338]
    assert found["shared"] == 0


def test_the_model_presets_are_listed_and_one_prints_its_tables(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["domains", "models"]) == 0
    assert "Qwen/Qwen2.5-0.5B-Instruct" in capsys.readouterr().out
    assert main(["domains", "models", "tinyllama"]) == 0
    assert 'target_modules = ["q_proj"' in capsys.readouterr().out
    assert main(["domains", "models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {model["name"] for model in listed["models"]} >= {"bert", "mistral-7b"}
    assert main(["domains", "models", "nothing"]) == 2


def test_records_that_share_no_labels_are_shown_by_the_place_of_the_right_option(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def ranked(number: int) -> Record:
        return Record(f"r-{number}", f"chess {number}", number % 3, options=("go", "dice", "cards"))

    dataset = Dataset.of(
        name=RANKED,
        labels=(),
        train=tuple(ranked(n) for n in range(7)),
        evaluation=tuple(ranked(n) for n in range(7, 10)),
        licence="none",
        notes=(),
    )
    monkeypatch.setattr(domains_account, "load_dataset", lambda *_, **__: dataset)
    assert main(["domains", "show", RANKED, "--rows", "2", "--sites", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in found["rows"]] == ["option 1", "option 2"]
    assert found["train"]["labels"] == []
    assert (found["sites"], found["site_records"]) == ([[], []], [4, 3])
    assert (found["train"]["contradicted"], found["evaluation"]["contradicted"]) == (None, None)
    assert main(["domains", "show", RANKED, "--rows", "0", "--sites", "2"]) == 0
    printed = capsys.readouterr().out
    assert [line.split() for line in printed.splitlines()[-2:]] == [
        ["site-1", "4"],
        ["site-2", "3"],
    ]
    assert "\nWho would hold what (equal)\n" in printed
    assert "with another label" not in printed


def test_every_domain_is_listed_with_what_to_start_from(call: Call) -> None:
    printed = call("list").out
    found = json.loads(call("list", "--json").out)["domains"]
    assert [one["name"] for one in found] == list(DOMAINS)
    for one, domain in zip(found, DOMAINS.values(), strict=True):
        assert f"The domain {domain.name}" in printed
        assert one["datasets"] == [entry.name for entry in domain.entries]
        parts = {"scrub": domain.scrub, "metrics": domain.metrics, "models": domain.models}
        for key, names in parts.items():
            assert one[key] == list(names)
            assert ", ".join(names) in printed


def test_what_is_asked_about_a_record_is_shown(call: Call) -> None:
    entry = ENTRIES[NAME]
    found = told(call)
    assert (found["kind"], found["files"], found["choices"]) == ("classification", [], [])
    assert found["prompt"] == {
        "template": entry.prompt.template,
        "answers": list(entry.prompt.answers),
    }
    printed = call("show", NAME, "--rows", "0").out
    assert all(line in printed for line in entry.prompt.template.splitlines())
    assert "none: it is generated" in printed


def test_users_are_chosen_where_there_are_users(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DatasetOptions] = []

    def watched(name: str, *, options: DatasetOptions, **_: object) -> Dataset:
        asked.append(options)
        return few_records(NAME, data=None, seed=0) if name == RANKED else pytest.fail(name)

    monkeypatch.setattr(domains_account, "load_dataset", watched)
    assert main(["domains", "show", RANKED, "--rows", "0", "--users", "7", "--json"]) == 0
    assert [options.users for options in asked] == [7]
    capsys.readouterr()
    assert main(["domains", "show", NAME, "--users", "7"]) == 2
    assert f"{NAME} has no such choice" in capsys.readouterr().err


@pytest.mark.parametrize("words", [(), ("--allow-hub",)])
def test_the_hub_is_asked_only_where_it_is_allowed(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def watched(_: str, *, allow_hub: bool, **__: object) -> Dataset:
        asked.append(allow_hub)
        return few_records(NAME, data=None, seed=0)

    monkeypatch.setattr(domains_account, "load_dataset", watched)
    assert main(["domains", "show", BANK, "--rows", "0", *words]) == 0
    assert asked == [bool(words)]


def test_file_and_split_of_the_phrasebank_are_chosen_as_in_a_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[DatasetOptions] = []

    def watched(name: str, *, options: DatasetOptions, **_: object) -> Dataset:
        asked.append(options)
        return few_records(NAME, data=None, seed=0) if name == BANK else pytest.fail(name)

    monkeypatch.setattr(domains_account, "load_dataset", watched)
    words = ["domains", "show", BANK, "--rows", "0", "--json"]
    assert main([*words, "--agreement", "75Agree", "--split", "quarter"]) == 0
    assert main(words) == 0
    assert [(options.agreement, options.split) for options in asked] == [
        (Agreement.THREE_QUARTERS, Split.QUARTER),
        (Agreement.HALF, Split.FINGPT),
    ]
    capsys.readouterr()
    for option, value in (("agreement", "75Agree"), ("split", "quarter")):
        assert main(["domains", "show", NAME, f"--{option}", value]) == 2
        said = capsys.readouterr().err
        assert f"`{option}` is chosen, and {NAME} has no such choice" in said
        assert main([*words, f"--{option}", "other"]) == 2
        assert f"Invalid value for '--{option}'" in capsys.readouterr().err


def test_it_is_said_which_format_files_have_and_when_not_all_are_needed(call: Call) -> None:
    formats = ("CSV", "JSON", "JSON lines", "Parquet", "Text")
    for entry in ENTRIES.values():
        if entry.files:
            assert any(f". {name}" in entry.summary for name in formats), entry.name
    listed, shown = call("list").out, call("show", NAME, "--rows", "0").out
    assert "train.json and dev.json, as published; or from validation.jsonl" in listed
    assert ENTRIES[NAME].summary in shown
    assert told(call)["summary"] == ENTRIES[NAME].summary
