"""`secure-fl scrub` from its words to its report, and what nobody may ever read in a message."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_workplace import TEMPLATES, Outcome
from scrub_workplace import CANARY, ToyRecipe

from crypto.keyfiles import write_secret
from crypto.secrets import SecretBytes, system_entropy
from crypto.signatures import SigningKey
from privacy.scrubbing import (
    KNOWN_ENTITIES,
    PATTERN_ENTITIES,
    SAFE_HARBOR_ENTITIES,
    DateOrder,
    ScrubMode,
)
from secure_fl.cli import main
from secure_fl.policy import load_policy
from secure_fl.scrubbing_files import command, output, progress
from secure_fl.scrubbing_files.command import Mode, Order, Wanted, profile_of, writing_of
from secure_fl.scrubbing_files.plan import Choices
from secure_fl.scrubbing_files.report import ScrubReport
from secure_fl.sites.scrub_secrets import ScrubSecrets, keyed_by

if TYPE_CHECKING:
    from collections.abc import Callable

    Call = Callable[..., Outcome]

HERE = Path(__file__).parent


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scrub with the toy, which is there at once."""
    monkeypatch.setattr(command, "ScrubberRecipe", lambda *_: ToyRecipe())


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs `secure-fl scrub` in this process."""

    def scrub(*words: str | Path) -> Outcome:
        capfd.readouterr()
        code = main(["scrub", *map(str, words)])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return scrub


def small_files(folder: Path) -> list[Path]:
    files = {
        "notes.txt": f"{CANARY} Anna\n12345\n",
        "visits.jsonl": f'{{"note":"12345 {CANARY}","id":99999}}\n',
        "customers.csv": f"id,remark\n99999,Anna {CANARY}\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text)
    return [folder / name for name in files]


CHOICES = ("--field", "note", "--column", "remark")


@pytest.mark.usefixtures("toys")
def test_three_formats_at_once_with_a_report(tmp_path: Path, call: Call) -> None:
    files = small_files(tmp_path)
    before = [path.read_bytes() for path in files]
    report = tmp_path / "report.json"
    done = call(*files, *CHOICES, "--report", report)
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "notes.scrubbed.txt").read_text() == (
        f"{CANARY} <PERSON>\n<ACCOUNT_NUMBER>\n"
    )
    assert (tmp_path / "visits.scrubbed.jsonl").read_text() == (
        f'{{"note":"<ACCOUNT_NUMBER> {CANARY}","id":99999}}\n'
    )
    assert (tmp_path / "customers.scrubbed.csv").read_text() == (
        f"id,remark\n99999,<PERSON> {CANARY}\n"
    )
    assert [path.read_bytes() for path in files] == before
    assert CANARY not in done.out + report.read_text()
    for line in ("ACCOUNT_NUMBER         2", "Looked for: ACCOUNT_NUMBER, PERSON",
                 "Not looked for: LOCATION", "Columns left as they were: id"):  # fmt: skip
        assert line in done.out
    facts = ScrubReport.model_validate_json(report.read_text())
    assert facts.files[2].kept == ("id",)
    assert facts.files[0].replaced == {"ACCOUNT_NUMBER": 1, "PERSON": 1}
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


@pytest.mark.usefixtures("toys")
def test_the_report_on_stdout_is_the_one_in_the_file(tmp_path: Path, call: Call) -> None:
    files = small_files(tmp_path)
    done = call(*files, *CHOICES, "--json", "--report", tmp_path / "r.json")
    assert done.out == (tmp_path / "r.json").read_text()
    facts: dict[str, Any] = json.loads(done.out)
    assert facts["schema"] == "secure-fl.scrub-report.v1"
    assert facts["coverage"]["looked_for"] == ["ACCOUNT_NUMBER", "PERSON"]
    (first, *_) = facts["files"]
    assert (first["rows"], first["texts"]) == (1, 1)
    assert first["characters_in"] == len(files[0].read_text().rstrip())
    assert first["characters_out"] == len((tmp_path / "notes.scrubbed.txt").read_text().rstrip())


@pytest.mark.usefixtures("toys")
def test_what_is_left_of_labelled_texts_is_reported(tmp_path: Path, call: Call) -> None:
    (notes, *_) = small_files(tmp_path)
    sample = tmp_path / "sample.jsonl"
    rows: list[tuple[str, list[tuple[int, int, str]]]] = [
        ("Anna 12345", [(0, 4, "PERSON"), (5, 10, "ACCOUNT_NUMBER")]),
        (f"{CANARY} Anna", [(0, len(CANARY), "PERSON")]),
    ]
    with sample.open("w") as file:
        for text, spans in rows:
            labels = [{"start": a, "end": b, "entity": entity} for a, b, entity in spans]
            file.write(json.dumps({"text": text, "spans": labels}) + "\n")
    done = call(notes, "--labelled", sample, "--report", tmp_path / "r.json")
    assert done.code == 0, done.err
    assert "1 of 2 with personal data are clean" in done.out
    assert CANARY not in done.out
    residual = ScrubReport.model_validate_json((tmp_path / "r.json").read_text()).residual
    assert residual is not None
    assert (residual.characters, residual.characters_left) == (9 + len(CANARY), len(CANARY))
    assert [(row.entity, row.labelled, row.removed) for row in residual.rows] == [
        ("ACCOUNT_NUMBER", 1, 1),
        ("PERSON", 2, 1),
    ]
    sample.write_text(f'{{"text":"{CANARY}"}}\n')
    for words, said in (
        (("--labelled", sample), "sample.jsonl, line 1, is no labelled text"),
        (("--labelled", sample, "--report", sample), "holds the labelled texts"),
        (("--labelled", sample, "--out", sample), "holds the labelled texts"),
        (("--labelled", tmp_path / "none"), "with labelled texts"),
    ):
        done = call(notes, "--force", *words)
        assert done.code == 2
        assert said in done.err
        assert CANARY not in done.err


BAD = {
    "bytes.txt": b"fine\nCANARY \xff\n",
    "nul.txt": b"CANARY\0",
    "utf16.txt": "CANARY".encode("utf-16"),
    "raise.txt": b"CANARY RAISE",
    "die.txt": b"CANARY DIE",
    "print.txt": b"CANARY PRINT RAISE",
    "cut.jsonl": b'{"note":"CANARY',
    "cut2.jsonl": b'{"note":"fine"}\n{"note":"CANARY"',
    "nan.jsonl": b'{"note":"CANARY","x":NaN}\n',
    "twice.jsonl": b'{"CANARY":1,"CANARY":2}\n',
    "deep.jsonl": b'{"note":' + b"[" * 10_000 + b'"CANARY"' + b"]" * 10_000 + b"}\n",
    "lone.jsonl": b'{"note":"CANARY \\ud800 RAISE"}\n',
    "field.jsonl": b'{"nota":"CANARY"}\n',
    "cut.csv": b'id,remark\n1,"CANARY',
    "few.csv": b"id,remark\nCANARY\n",
    "many.csv": b"id,remark\nCANARY,CANARY,CANARY\n",
    "column.csv": b"4711,CANARY\n",
    "twice.csv": b"CANARY,CANARY\n",
    "empty.csv": b"",
}


@pytest.mark.usefixtures("toys")
def test_no_bad_file_shows_its_text_and_nothing_is_half_written(
    tmp_path: Path, call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    good = tmp_path / "good.txt"
    good.write_text("12345")
    for name, data in BAD.items():
        folder = tmp_path / name
        folder.mkdir()
        bad = folder / name
        bad.write_bytes(data.replace(b"CANARY", CANARY.encode()))
        words = ("--field", "note") if bad.suffix == ".jsonl" else ()
        words += ("--column", "remark") if bad.suffix == ".csv" else ()
        words += ("--json",) if bad.suffix == ".txt" else ()
        done = call(
            good, bad, "--force", "--out", folder, "--report", folder / "report.json", *words
        )
        assert done.code == 2, (name, done)
        assert str(bad) in done.err, name
        assert "Traceback" not in done.err
        assert CANARY not in done.out + done.err + caplog.text, name
        assert {path.name for path in folder.iterdir()} == {name, "good.scrubbed.txt"}
        assert (folder / "good.scrubbed.txt").read_text() == "<ACCOUNT_NUMBER>"


@pytest.mark.usefixtures("toys")
def test_what_is_found_before_anything_is_read_leaves_no_output(tmp_path: Path, call: Call) -> None:
    notes, visits, customers = small_files(tmp_path)
    there = sorted(tmp_path.iterdir())
    for words, said in (
        ((notes, tmp_path / "none.txt"), "There is no file"),
        ((notes, tmp_path), "is a folder"),
        ((notes, notes), "is the same file as"),
        ((notes, visits), "Which fields of"),
        ((notes, customers), "The columns are: id, remark. See: secure-fl scrub --help"),
        ((notes, "--report", notes), "The report would replace"),
        ((notes, "--report", tmp_path / "notes.scrubbed.txt"), "The report would replace"),
        ((notes, "--report", tmp_path / "none" / "r.json"), "There is no folder"),
        ((visits, "--field", "a", "--all-fields"), "--field goes without it"),
        ((customers, "--column", "a", "--all-columns"), "--column goes without it"),
        ((notes, "--entities", "PERSON,,URL"), "--entities takes names with commas"),
        ((notes, "--entities", "person"), "cannot stand as a placeholder"),
        ((notes, "--policy", tmp_path / "none.toml"), "There is no site policy"),
        ((notes, "--format", "docx"), "Invalid value for '--format'"),
        ((notes, "--workers", "0"), "Invalid value for '--workers'"),
        ((), "Missing argument"),
    ):
        done = call(*words)
        assert done.code == 2
        assert said in done.err, (words, done.err)
        assert CANARY not in done.out + done.err
        assert sorted(tmp_path.iterdir()) == there


@pytest.mark.usefixtures("toys")
def test_a_defect_of_the_program_shows_no_text_either(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError(CANARY)

    monkeypatch.setattr(command, "report_of", broken)
    (notes, *_) = small_files(tmp_path)
    done = call(notes)
    assert done.code == 1
    assert "KeyError at test_scrub_command.py:" in done.err
    assert CANARY not in done.err


@pytest.mark.usefixtures("toys")
def test_a_full_disk_is_the_operators_to_mend(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    notes, visits, _ = small_files(tmp_path)
    there = sorted(tmp_path.iterdir())
    monkeypatch.setattr(os, "fsync", full)
    done = call(notes, visits, "--field", "note")
    assert done.code == 2
    assert "notes.scrubbed.txt could not be written, the disk is full" in done.err
    assert sorted(tmp_path.iterdir()) == there


# -- which entities --------------------------------------------------------------------------------


def policy_file(tmp_path: Path, *required: str) -> Path:
    text = (TEMPLATES / "policy.toml").read_text()
    start = text.index("required_scrubbing = [")
    end = text.index("]", start) + 1
    path = tmp_path / "policy.toml"
    path.write_text(f"{text[:start]}required_scrubbing = {json.dumps(required)}{text[end:]}")
    return path


def test_what_is_looked_for(tmp_path: Path) -> None:
    plain = ScrubMode.PLACEHOLDERS
    assert profile_of(Wanted(), plain, None).required == ()
    assert profile_of(Wanted(), plain, None).entities == KNOWN_ENTITIES
    some = profile_of(Wanted(required=("URL",)), plain, None)
    assert (some.required, some.entities) == (("URL",), KNOWN_ENTITIES)
    only = profile_of(Wanted(entities=("URL", "US_SSN")), plain, None)
    assert (only.required, only.optional) == (("URL", "US_SSN"), ())
    by_policy = profile_of(Wanted(), plain, load_policy(policy_file(tmp_path, "IBAN_CODE")))
    assert (by_policy.required, by_policy.entities) == (("IBAN_CODE",), KNOWN_ENTITIES)
    harbor = profile_of(Wanted(entities=("CRYPTO",)), ScrubMode.SAFE_HARBOR, None)
    assert set(harbor.required) == {*SAFE_HARBOR_ENTITIES, "CRYPTO"}


@pytest.mark.usefixtures("toys")
def test_a_policy_that_asks_for_more_says_no(tmp_path: Path, call: Call) -> None:
    (notes, *_) = small_files(tmp_path)
    policy = policy_file(tmp_path, "IBAN_CODE", "URL")
    done = call(notes, "--entities", "URL", "--policy", policy)
    assert done.code == 4
    assert "requires that IBAN_CODE be scrubbed" in done.err
    policy.write_text(policy.read_text() + "\n")
    text = policy.read_text().replace(
        "required_scrubbing", 'required_scrub_mode = "safe-harbor"\nrequired_scrubbing', 1
    )
    policy.write_text(text)
    done = call(notes, "--policy", policy)
    assert done.code == 4
    assert "Give --mode safe-harbor" in done.err
    assert not (tmp_path / "notes.scrubbed.txt").exists()


def test_a_sites_folder_brings_its_policy_and_its_key(tmp_path: Path) -> None:
    policy_file(tmp_path, "IBAN_CODE")
    identity = SigningKey.generate(system_entropy)
    write_secret(tmp_path / "identity.key", identity.seed())
    mode = Mode(ScrubMode.EXPERT_DETERMINATION, tmp_path, DateOrder.DAY_FIRST)
    order = Order((), Choices(), Wanted(), mode)
    policy = command._policy(order)
    assert policy is not None
    assert policy.required_scrubbing == ("IBAN_CODE",)
    writing = writing_of(mode)
    secrets = ScrubSecrets(tmp_path, identity, system_entropy, lambda: datetime.now(UTC))
    assert keyed_by(SecretBytes(writing.secret))(b"Anna") == secrets.keyed()(b"Anna")
    assert writing.replacement().mode is ScrubMode.EXPERT_DETERMINATION
    assert writing.secret.hex() not in repr(writing)
    assert repr(writing.secret)[2:-1] not in repr(writing)


def test_safe_harbor_draws_anew_each_time() -> None:
    first, second = (writing_of(Mode(ScrubMode.SAFE_HARBOR)) for _ in range(2))
    assert len(first.secret) == 32
    assert first.secret != second.secret
    assert first.replacement().mode is ScrubMode.SAFE_HARBOR
    assert writing_of(Mode()).replacement().mode is ScrubMode.PLACEHOLDERS


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--mode", "expert-determination"), "Give the site's own folder"),
        (("--date-order", "day-first"), "--date-order goes with --mode expert-determination"),
        (("--unit", "id"), "--unit goes with --mode expert-determination"),
        (("--mode", "expert-determination", "--unit", "id"), "--unit was given and no file is"),
    ],
)
def test_what_a_mode_needs_is_named(
    tmp_path: Path, call: Call, words: tuple[str, ...], said: str
) -> None:
    policy_file(tmp_path)
    write_secret(tmp_path / "identity.key", SigningKey.generate(system_entropy).seed())
    (notes, *_) = small_files(tmp_path)
    site = ("--site", tmp_path) if len(words) == 4 else ()
    done = call(notes, *words, *site)
    assert done.code == 2
    assert said in done.err


def test_the_real_scrubber_in_a_process_of_its_own(tmp_path: Path, call: Call) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("IBAN DE89370400440532013000, write to anna.berg@example.com\n")
    many = tmp_path / "many.txt"
    many.write_text("\u200f\u05d0\u0301 \u2066a.b@example.com\u2069 \u0627\n" * 10_000)
    done = call(path, many, "--require", "IBAN_CODE", "--json")
    assert done.code == 0, done.err
    assert (tmp_path / "letter.scrubbed.txt").read_text() == (
        "IBAN <IBAN_CODE>, write to <EMAIL_ADDRESS>\n"
    )
    assert (tmp_path / "many.scrubbed.txt").read_text() == (
        "\u200f\u05d0\u0301 \u2066<EMAIL_ADDRESS>\u2069 \u0627\n" * 10_000
    )
    facts = json.loads(done.out)
    assert facts["files"][1]["replaced"] == {"EMAIL_ADDRESS": 10_000}
    assert set(PATTERN_ENTITIES) <= set(facts["coverage"]["looked_for"])


# -- being stopped ---------------------------------------------------------------------------------


def start(*words: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(HERE / "scrub_process.py"), "scrub", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until, "it did not begin"
        time.sleep(0.01)


def in_group(group: int) -> list[int]:
    """Return the processes of a group that are not zombies."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(entry.name))
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130)])
def test_stopping_leaves_nothing_of_the_file_and_no_process(
    tmp_path: Path, number: int, code: int
) -> None:
    path = tmp_path / "slow.txt"
    path.write_text(f"SLOW {CANARY} 12345\n" * 600)
    process = start(path, "--each-line", "--workers", "2")
    part = output.part_of(tmp_path / "slow.scrubbed.txt")
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    # As a terminal does it: to every process of the group.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert CANARY not in out + err
    assert "Stopped" in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["slow.txt"]
    wait_for(lambda: in_group(process.pid) == [])


def test_a_killed_run_leaves_no_output_and_the_next_one_cleans_up(tmp_path: Path) -> None:
    path = tmp_path / "slow.txt"
    path.write_text(f"{CANARY} 12345\n" * 9 + "SLOW\n" * 600)
    process = start(path, "--each-line", "--workers", "2")
    target = tmp_path / "slow.scrubbed.txt"
    part = output.part_of(target)
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    process.kill()
    process.communicate(timeout=60)
    assert not target.exists()
    assert "12345" not in part.read_text()
    wait_for(lambda: in_group(process.pid) == [])  # its workers notice by themselves
    path.write_text("12345\n")
    again = start(path, "--each-line")
    assert again.wait(timeout=60) == 0, again.communicate()
    again.communicate()
    assert target.read_text() == "<ACCOUNT_NUMBER>\n"
    assert not part.exists()


# -- the bar ---------------------------------------------------------------------------------------


def test_a_bar_moves_on_a_terminal_alone(tmp_path: Path) -> None:
    """A pseudo-terminal sees the file's name and bytes; a pipe sees nothing."""
    path = tmp_path / "slow.txt"
    path.write_text("SLOW 12345\n" * 9)
    leader, follower = os.openpty()
    command_line = [sys.executable, str(HERE / "scrub_process.py"), "scrub", "--each-line"]
    environment = {**os.environ, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(
        [*command_line, str(path)], stdout=subprocess.PIPE, stderr=follower, env=environment
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        assert process.wait(timeout=60) == 0
    os.close(leader)
    assert b"slow.txt" in shown
    assert b"bytes" in shown
    assert b"12345" not in shown
    assert shown.rstrip().endswith((b"\x1b[2K", b"\x1b[?25h", b"\x1b[1A\x1b[2K"))


def test_nothing_is_watched_where_nobody_looks() -> None:
    with Path(os.devnull).open("w") as nowhere:
        assert isinstance(progress.watcher_on(nowhere, ()), progress.Unwatched)
