"""Whole runs from the command line: started, stopped, gone on with, verified."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_workplace import Workplace, few_records
from safetensors.numpy import load_file

import secure_fl.embedded
from secure_fl import launch
from secure_fl.plain_display import PlainDisplay

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from secure_fl.observing import RoundScored


@pytest.fixture
def work(
    tmp_path: Path,
    tiny: TinyModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    monkeypatch.setattr("secure_fl.embedded.load_dataset", few_records)
    return Workplace(tmp_path, tiny, capsys)


def stop_after(round_: int, monkeypatch: pytest.MonkeyPatch, number: int = signal.SIGINT) -> None:
    """Send this process a signal when a round was shown, as somebody who watches would."""
    scored = PlainDisplay.scored

    def then_stop(display: PlainDisplay, result: RoundScored) -> None:
        scored(display, result)
        if result.round == round_:
            signal.raise_signal(number)

    monkeypatch.setattr(PlainDisplay, "scored", then_stop)


def adapter(work: Workplace, out: str) -> dict[str, NDArray[np.float32]]:
    return dict(load_file(work.root / out / "adapter" / "adapter_model.safetensors"))


def test_a_run_ends_with_a_folder_and_the_command_that_verifies_it(work: Workplace) -> None:
    done = work.run()
    assert done.code == 0, done.err
    assert not done.err
    assert "Round 2 of 2: accuracy" in done.out
    command = shlex.split(done.out.splitlines()[-1])
    assert command[0] == "secure-fl"
    verified = work.call(*command[1:])
    assert (verified.code, verified.out, verified.err) == (0, "", "")
    unknown = work.call("verify", work.root / "out").refused(3)
    assert "--trust" in unknown


def test_verify_names_the_first_thing_that_does_not_check_out(work: Workplace) -> None:
    assert work.run().code == 0
    report = work.root / "out" / "report.html"
    report.write_text(report.read_text() + " ")
    said = work.call("verify", work.root / "out", "--trust", work.trust).refused(6)
    assert "report.html" in said


def test_json_says_everything_and_nothing_else_is_printed(work: Workplace) -> None:
    done = work.run("--json")
    events = work.events(done)
    assert done.code == 0, done.err
    assert not done.err
    assert [event["event"] for event in events if event["event"] == "scored"] == ["scored"] * 2
    assert events[-1]["event"] == "ended"
    assert shlex.split(events[-1]["verify"])[1] == "verify"
    assert 0 < events[-1]["epsilon"] <= 8


def test_options_override_the_file(work: Workplace) -> None:
    done = work.run("--rounds", "1", "--sites", "4", "--seed", "7", "--json")
    assert done.code == 0, done.err
    text = (work.root / "out" / "config.toml").read_text()
    for line in ("rounds = 1", "sites = 4", "seed = 7"):
        assert line in text.splitlines()


def test_a_fresh_state_lies_beside_the_run_and_a_resume_finds_it(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        stopped = work.run("--fresh-state")
    assert stopped.code == 130
    assert "The budget is not carried" in stopped.out
    assert (work.root / "out.state" / "consortium" / "root.key").is_file()
    command = shlex.split(stopped.err.partition("Go on with: ")[2])
    assert command == ["secure-fl", "run", "--resume", str(work.root / "out")]
    finished = work.call(*command[1:])
    assert finished.code == 0, finished.err
    assert "It goes on after round 1 of 2." in finished.out


def test_default_places_are_the_users_state_and_a_new_folder_under_runs(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work.root)
    monkeypatch.setattr(launch, "default_state", lambda: work.root / "of-this-user")
    done = work.call("run", "run.toml", "--rounds", "1")
    assert done.code == 0, done.err
    (folder,) = (work.root / "runs").iterdir()
    assert folder.name.startswith("first-run-2")
    assert (work.root / "of-this-user" / "sites" / "site-1" / "ledger.sqlite").is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_kept_and_says_how_to_go_on(
    work: Workplace, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        stop_after(1, patch, number)
        line = work.run().refused(130)
    assert line.startswith("Stopped after 1 finished round. The run is kept. Go on with: ")
    assert signal.getsignal(number) is before
    command = shlex.split(line.partition("Go on with: ")[2])
    finished = work.call(*command[1:])
    assert finished.code == 0, finished.err
    assert work.call("verify", work.root / "out", "--trust", work.trust).code == 0


def test_without_privacy_a_resumed_run_ends_with_the_same_adapter(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.without_privacy()
    whole = work.run(out="whole")
    assert whole.code == 0, whole.err
    with monkeypatch.context() as patch:
        stop_after(1, patch)
        assert work.run(out="halves").code == 130
    assert work.resume(out="halves").code == 0
    one, other = adapter(work, "whole"), adapter(work, "halves")
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)
    assert any(values.any() for values in one.values())


def test_a_run_stopped_before_it_began_leaves_nothing(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainDisplay, "preparing", lambda *_: signal.raise_signal(signal.SIGINT))
    line = work.run("--fresh-state").refused(130)
    assert line == "Stopped before the run began: nothing was written and nothing was spent."
    assert sorted(path.name for path in work.root.iterdir()) == ["policy.toml", "run.toml"]


def test_a_refused_run_with_a_fresh_state_leaves_nothing(work: Workplace) -> None:
    work.edit("largest_clip = 1.0", "largest_clip = 0.1", "policy.toml")
    work.run("--fresh-state").refused(4)
    assert sorted(path.name for path in work.root.iterdir()) == ["policy.toml", "run.toml"]


def test_a_defect_shows_its_traceback_and_how_to_report_it(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(secure_fl.embedded, "start_run", fail)
    done = work.run()
    assert done.code == 1
    assert "Traceback" in done.err
    assert "defect of secure-fl" in done.err.splitlines()[-1]
    machine = work.run("--json")
    told = json.loads(machine.err)
    assert (told["kind"], told["exit_code"]) == ("InternalError", 1)
    assert "ZeroDivisionError" in told["trace"]


def test_sites_that_keep_another_policy_are_named(work: Workplace) -> None:
    assert work.run("--rounds", "1", out="first").code == 0
    work.edit("epsilon = 8.01", "epsilon = 100.0", "policy.toml")
    again = work.run("--rounds", "1", out="second")
    assert "3 of 3 sites keep a policy of their own" in again.out
    assert again.code == 4
    named = work.run("--policy", work.root / "policy.toml", out="third").refused(2)
    assert "would not be enforced" in named


def test_sigterm_ends_a_process_whose_sites_are_at_work(work: Workplace) -> None:
    """The sites' threads go on for many seconds; nobody waits for them."""
    work.edit("local_steps = 2", "local_steps = 400")
    script = Path(__file__).with_name("cli_workplace.py")
    words = [sys.executable, str(script), "run", str(work.config), "--json"]
    words += ["--out", str(work.root / "out"), "--fresh-state"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "exchanging" and event["phase"] == "open":
                break
        time.sleep(0.5)
        process.terminate()
        started = time.monotonic()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - started < 10
    failure = json.loads(said)
    assert failure["kind"] == "Stopped"
    assert failure["resume"] == f"secure-fl run --resume {work.root / 'out'}"
