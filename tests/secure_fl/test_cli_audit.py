"""`secure-fl audit`: exit codes, what goes to which stream, and a run that still verifies."""

from __future__ import annotations

import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest
from cli_workplace import Outcome
from fake_attacks import HEADLINE, Fakes
from tiny_run import RECORD, Setting, Watcher, tiny_config

from audits.findings import AuditReport, Verdict
from crypto.errors import ConfigError
from secure_fl.attempt import StopRequestedError
from secure_fl.auditing.display import display_for
from secure_fl.cli import main
from secure_fl.embedded import start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiny_model import TinyModel

    Call = Callable[..., Outcome]


@pytest.fixture(scope="module")
def finished(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    setting = Setting(tmp_path_factory.mktemp("finished"), tiny)
    start_run(tiny_config(tiny, RECORD, rounds=1), setting.out, setting.places(), Watcher())
    return setting


@pytest.fixture
def run(finished: Setting, tmp_path: Path) -> Path:
    """A copy of a run, with its state beside it where `audit` looks for it."""
    shutil.copytree(finished.out, tmp_path / "run")
    shutil.copytree(finished.state, tmp_path / "run.state")
    return tmp_path / "run"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def called(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return called


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return Fakes().install(monkeypatch)


def policy(folder: Path, text: str) -> Path:
    path = folder / "audit-policy.toml"
    path.write_text(f'schema = "secure-fl.audit-policy.v1"\n{text}\n')
    return path


# -- exit codes ------------------------------------------------------------------------------------


def test_an_audit_that_refutes_nothing_exits_0_and_the_run_verifies(
    call: Call, run: Path, finished: Setting
) -> None:
    done = call("audit", run)
    assert (done.code, done.err) == (0, "")
    assert "The audit: not refuted" in done.out
    assert (run / "audits" / "001" / "report.pdf").is_file()
    assert str(run / "audits" / "001" / "report.html") in done.out
    assert not run.with_name("run.audit").exists()
    verify_run(run, finished.root)
    assert call("audit", run).code == 0
    assert (run / "audits" / "002" / "manifest.json").is_file()
    verify_run(run, finished.root)


def test_a_violation_exits_7_and_is_signed_all_the_same(
    call: Call, run: Path, fakes: Fakes, finished: Setting
) -> None:
    fakes.second.verdict = Verdict.VIOLATED
    done = call("audit", run)
    assert done.code == 7
    assert done.err.splitlines() == [
        "The audit falls short: gate-b is violated: 3.0.",
        "The audit falls short: gate-c is violated: 3.0.",
    ]
    assert "The audit: violated" in done.out
    verify_run(run, finished.root)


def test_inconclusive_exits_0_unless_a_policy_requires_more(
    call: Call, run: Path, fakes: Fakes, tmp_path: Path
) -> None:
    fakes.third.verdict = Verdict.INCONCLUSIVE
    assert call("audit", run).code == 0
    wants_others = policy(tmp_path, f'required = ["{HEADLINE}"]')
    assert call("audit", run, "--gate", wants_others).code == 0
    short = call("audit", run, "--gate", policy(tmp_path, 'required = ["gate-d"]'))
    assert short.code == 7
    assert short.err == "The audit falls short: gate-d is inconclusive: 3.0.\n"
    small = call("audit", run, "--gate", policy(tmp_path, "largest_epsilon = 0.01"))
    assert small.code == 7
    assert "above 0.01" in small.err


def test_an_attack_that_fails_does_not_stop_the_audit(call: Call, run: Path, fakes: Fakes) -> None:
    fakes.first.fault = ConfigError("The base model is not here.")
    done = call("audit", run)
    assert done.code == 0
    assert f"{HEADLINE}: not run" in done.out
    assert "The base model is not here." in done.out
    assert "The audit: inconclusive" in done.out


@pytest.mark.parametrize("missing", ["run", "attack", "key", "policy"])
def test_what_cannot_be_audited_exits_2_and_nothing_is_attacked(
    call: Call, run: Path, fakes: Fakes, tmp_path: Path, missing: str
) -> None:
    words: dict[str, tuple[str | Path, ...]] = {
        "run": (tmp_path / "other",),
        "attack": (run, "--attack", "fourth"),
        "key": (run, "--state", tmp_path / "other"),
        "policy": (run, "--gate", policy(tmp_path, 'required = ["gate-x"]')),
    }
    said = {
        "run": "no finished run",
        "attack": "first, second, third",
        "key": "no coordinator's key",
        "policy": "which no attack has",
    }
    assert said[missing] in call("audit", *words[missing]).refused(2)
    assert fakes.asked() == (0, 0, 0)
    assert not (run / "audits").exists()


def test_the_key_of_another_consortium_is_refused(
    call: Call, run: Path, tiny: TinyModel, tmp_path: Path, fakes: Fakes
) -> None:
    other = Setting(tmp_path / "other", tiny)
    other.folder.mkdir()
    start_run(tiny_config(tiny, rounds=1), other.out, other.places(), Watcher())
    line = call("audit", run, "--state", other.state).refused(2)
    assert "is not the one that signed the run" in line
    assert fakes.asked() == (0, 0, 0)


def test_a_stopped_audit_exits_130_and_the_same_command_goes_on(
    call: Call, run: Path, fakes: Fakes
) -> None:
    fakes.third.fault = StopRequestedError()
    stopped = call("audit", run)
    assert stopped.refused(130).startswith("Stopped, and nothing was signed. What 2 attacks found")
    assert not (run / "audits").exists()
    fakes.third.fault = None
    done = call("audit", run)
    assert done.code == 0
    assert "first: kept from before" in done.out
    assert fakes.asked() == (1, 1, 2)


# -- what is printed -------------------------------------------------------------------------------


def test_json_is_one_audit_report_and_nothing_else(call: Call, run: Path, fakes: Fakes) -> None:
    fakes.third.verdict = Verdict.VIOLATED
    done = call("audit", run, "--json", "--attack", "third", "--attack", "first")
    assert done.code == 7
    report = AuditReport.from_json(done.out.encode())
    assert report.verdict is Verdict.VIOLATED
    assert {each.gate: each.verdict.value for each in report.findings} == {
        HEADLINE: "not refuted",
        "gate-b": "not run",
        "gate-c": "not run",
        "gate-d": "violated",
    }
    assert json.loads(done.out)["schema"] == "secure-fl.audit.v1"
    assert (run / "audits" / "001" / "audit.json").read_bytes() == report.to_json()
    assert "third: trying third" in done.err
    assert "The audit falls short: gate-d" in done.err


def test_output_to_a_file_is_plain(call: Call, run: Path, fakes: Fakes) -> None:
    fakes.second.verdict = Verdict.INCONCLUSIVE
    out = call("audit", run).out
    assert "\x1b" not in out
    assert "\r" not in out
    lines = out.splitlines()
    assert lines[:6] == [
        "first: trying first",
        f"  ok {HEADLINE}: not refuted",
        "second: trying second",
        "  ?? gate-b: inconclusive",
        "  ?? gate-c: inconclusive",
        "third: trying third",
    ]
    rows = [line.split() for line in lines if line.startswith("gate")]
    assert ["gate", "verdict", "why"] in rows


def test_every_verdict_has_a_mark_of_its_own(call: Call, run: Path, fakes: Fakes) -> None:
    fakes.first.fault = ConfigError("No.")
    fakes.second.verdict, fakes.third.verdict = Verdict.VIOLATED, Verdict.INCONCLUSIVE
    out = call("audit", run).out
    assert re.findall(r"^  (\S\S) ([a-z-]+):", out, re.MULTILINE) == [
        ("--", HEADLINE),
        ("!!", "gate-b"),
        ("!!", "gate-c"),
        ("??", "gate-d"),
    ]


def test_in_a_file_nothing_moves_and_lines_are_wide(tmp_path: Path) -> None:
    with (tmp_path / "out.txt").open("w", encoding="utf-8") as stream:
        shown = display_for(stream)
        assert shown._console.width == 100
        assert shown._progress.disable


def test_help_has_an_example_and_says_what_7_means(call: Call) -> None:
    said = call("audit", "--help")
    assert said.code == 0
    text = re.sub(r"\s+", " ", re.sub(r"[│╭╰─╮╯]", " ", said.out))
    for part in ("secure-fl audit runs/demo", "--attack", "--gate", "--json", "exit code is 7"):
        assert part in text
