"""Each way to give the command line what cannot be run: one sentence, its exit code, no trace."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cli_full_disk import NO_SUCH_RIGHT
from cli_workplace import Workplace, few_records

import secure_fl.storage
from crypto.errors import PeerError, SecureFLError
from secure_fl import __version__, launch
from secure_fl.cli import main
from secure_fl.failures import ExitCode, Failure
from secure_fl.plain_display import PlainDisplay

if TYPE_CHECKING:
    from collections.abc import Callable

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


def stop_after_round_1(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(display: PlainDisplay, result: RoundScored) -> None:
        del display, result
        raise PeerError("Too few sites remained.")

    monkeypatch.setattr(PlainDisplay, "scored", stop)


CASES = {
    "an unknown key": (
        ("^rank = 4", "ranc = 4"),
        ("`mechanism.adapter.ranc` is not a key", "did you mean `rank`?"),
    ),
    "an epsilon without delta": (
        ("^delta = [^\n]*\n", ""),
        ("`mechanism.privacy.delta` is missing and has no default",),
    ),
    "an epsilon without unit": (
        ("^unit = [^\n]*\n", ""),
        ("`mechanism.privacy.unit` is missing and has no default",),
    ),
    "no adversary": (("^adversary = [^\n]*\n", ""), ("adversary` is missing",)),
    "a method that needs more than is revealed": (
        ('^method = "fedit"', 'method = "fedit-median"'),
        ("has to read every single update", "reveals only their sum", "protection"),
    ),
    "an unknown method": (('^method = "fedit"', 'method = "fedprox"'), ("Choose one of: fedit",)),
    "an unknown data set": (("finance.generated", "finance.secret"), ("Known data sets:",)),
    "a data set whose folder is missing": (
        ("finance.generated", "finance.phrasebank"),
        ("needs its published files, and no folder was named", "--data", "allow_hub"),
    ),
    "an entity that nobody finds": (
        ("IBAN_CODE", "PRESON"),
        ("requires PRESON", "no provider", "refuses to train"),
    ),
    "no TOML": (("^sites = 3", "sites = = 3"), ("is not TOML",)),
    "layers that the model does not have": (
        ('"query", "key", "value"', '"q_proj"'),
        ("No layer of this model is called q_proj", "target_modules"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_configuration_is_refused_in_a_sentence(work: Workplace, case: str) -> None:
    (old, new), expected = CASES[case]
    work.edit(old, new)
    work.edit('dataset = "finance.generated"', f'dataset = "{_dataset(work)}"', "policy.toml")
    if "fedprox" in new or "median" in new:
        work.edit(
            "allowed_methods = .", f'allowed_methods = ["{new.split(chr(34))[1]}", ', "policy.toml"
        )
    said = work.run("--fresh-state").refused(2)
    assert all(part in said for part in expected), said
    assert not (work.root / "out").exists()
    assert not (work.root / "out.state").exists()


def _dataset(work: Workplace) -> str:
    line = next(row for row in work.config.read_text().splitlines() if row.startswith("dataset"))
    return line.split('"')[1]


def test_a_data_folder_that_does_not_match_is_refused(work: Workplace) -> None:
    folder = work.root / "data"
    folder.mkdir()
    given = work.run("--data", folder).refused(2)
    assert "is generated and reads no files" in given
    work.edit("finance.generated", "finance.phrasebank")
    work.edit("finance.generated", "finance.phrasebank", "policy.toml")
    shutil.rmtree(work.root / "state")
    said = work.run("--data", folder).refused(2)
    assert "has no Sentences_50Agree.txt" in said
    assert not (work.root / "out").exists()


def test_a_model_with_a_wrong_digest_is_refused(work: Workplace) -> None:
    altered = work.root / "altered"
    shutil.copytree(work.model.folder, altered)
    weights = bytearray((altered / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (altered / "model.safetensors").write_bytes(weights)
    work.edit('^base_model = "[^"]*"', f'base_model = "{altered}"')
    said = work.run("--fresh-state").refused(2)
    assert f"expected SHA-256 {work.model.weights_sha256}" in said
    assert "Replace the file with the original" in said
    assert not (work.root / "out").exists()


def test_a_budget_that_is_spent_is_refused_and_nothing_more_is_charged(work: Workplace) -> None:
    assert work.run(out="first").code == 0
    ledgers = sorted(work.root.glob("state/sites/*/ledger.sqlite"))
    before = [path.read_bytes() for path in ledgers]
    said = work.run(out="second").refused(4)
    assert "its ceiling is 8.01" in said
    assert "nothing was charged" in said
    assert not (work.root / "second").exists()
    assert [path.read_bytes() for path in ledgers] == before


def test_a_policy_that_says_no_lists_every_point(work: Workplace) -> None:
    work.edit("largest_clip = 1.0", "largest_clip = 0.1", "policy.toml")
    work.edit("largest_rank = 16", "largest_rank = 2", "policy.toml")
    said = work.run().refused(4)
    assert "clip 0.5 exceeds the largest of 0.1" in said
    assert "rank 4 exceeds the largest of 2" in said
    assert not (work.root / "out").exists()


def test_without_a_policy_init_is_named(work: Workplace) -> None:
    (work.root / "policy.toml").unlink()
    said = work.run().refused(2)
    assert "secure-fl init" in said
    assert sorted(path.name for path in work.root.iterdir()) == ["run.toml"]


def test_without_a_configuration_init_is_named(work: Workplace) -> None:
    assert "secure-fl init" in work.call("run", work.root / "none.toml").refused(2)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--rounds", "0"), "with --rounds 0 cannot be"),
        (("--sites", "1"), "`mechanism.sites`"),
        (("--seed", "-1"), "`mechanism.seed`"),
    ],
)
def test_an_override_that_breaks_a_rule_gets_the_files_sentence(
    work: Workplace, words: tuple[str, ...], expected: str
) -> None:
    assert expected in work.run(*words).refused(2)
    assert not (work.root / "state").exists()


def test_an_override_is_checked_together_with_the_rest_of_the_file(work: Workplace) -> None:
    work.edit("^sites = 3", "threshold = 3\nsites = 3")
    assert "a threshold of 3 among 2 sites" in work.run("--sites", "2").refused(2)


def test_a_folder_with_something_in_it_is_never_written_to(work: Workplace) -> None:
    (work.root / "out").mkdir()
    (work.root / "out" / "mine.txt").write_text("mine")
    said = work.run("--fresh-state").refused(2)
    assert "is not empty" in said
    assert [path.name for path in (work.root / "out").iterdir()] == ["mine.txt"]
    assert not (work.root / "out.state").exists()


def test_a_state_that_would_not_be_fresh_is_refused_and_kept(work: Workplace) -> None:
    (work.root / "out.state").mkdir()
    assert "is there already" in work.run("--fresh-state").refused(2)
    assert (work.root / "out.state").is_dir()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("run",), "Give a configuration to start"),
        (("run", "a.toml", "--resume", "b"), "Give a configuration to start"),
        (("run", "--resume", "b", "--rounds", "3"), "goes on with a run as it was begun"),
        (("run", "a.toml", "--state", "s", "--fresh-state"), "--fresh-state makes a new folder"),
        (("run", "--rounds", "many", "a.toml"), "not a valid int"),
        (("run", "--round", "3", "a.toml"), "No such option"),
        (("rum",), "No such command"),
        (("verify",), "Missing argument"),
    ],
)
def test_a_command_line_that_cannot_be_read_names_the_help(
    work: Workplace, words: tuple[str, ...], expected: str
) -> None:
    said = work.call(*words).refused(2)
    assert expected in said
    assert "--help" in said


def test_with_json_a_failure_is_an_object_on_stderr(work: Workplace) -> None:
    done = work.call("run", work.root / "none.toml", "--json")
    told = json.loads(done.err)
    assert done.out == ""
    assert told["schema"] == "secure-fl.failure.v1"
    assert (told["kind"], told["exit_code"]) == ("ConfigError", 2)
    assert "none.toml" in told["message"]
    assert json.loads(work.call("run", "--json").err)["kind"] == "UsageError"


# -- what was begun ------------------------------------------------------------------------------


def test_too_few_sites_is_exit_code_5_and_the_run_is_kept(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after_round_1(monkeypatch)
    said = work.run().refused(5)
    assert "Too few sites remained." in said
    assert "The run is kept. Go on with: secure-fl run --resume" in said


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.toml", _shorten),
        ("progress/progress.json", _shorten),
        ("progress/round-1.f32", _flip),
        ("progress/round-1.f32", Path.unlink),
    ],
)
def test_a_damaged_run_folder_is_not_gone_on_with(
    work: Workplace,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    with monkeypatch.context() as patch:
        stop_after_round_1(patch)
        assert work.run().code == 5
    damage(work.root / "out" / name)
    stopped = work.resume()
    assert stopped.code == 6, stopped.err
    assert "Traceback" not in stopped.err
    assert not (work.root / "out" / "manifest.json").exists()


def test_a_resume_needs_the_state_that_the_run_was_begun_with(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_after_round_1(patch)
        assert work.run().code == 5
    monkeypatch.setattr(launch, "default_state", lambda: work.root / "another")
    said = work.call("run", "--resume", work.root / "out").refused(2)
    assert "give the --state folder" in said
    assert not (work.root / "another").exists()


def test_there_is_nothing_to_go_on_with_in_an_empty_folder_or_a_finished_run(
    work: Workplace,
) -> None:
    assert "no run that could be gone on with" in work.resume().refused(2)
    assert work.run("--rounds", "1").code == 0
    assert "is finished" in work.resume().refused(2)


def test_verify_of_no_run_or_with_no_key_is_refused(work: Workplace) -> None:
    assert "no finished run" in work.call("verify", work.root).refused(2)
    assert "root.pub" in work.call("verify", work.root, "--trust", work.trust).refused(2)


def test_a_full_disk_stops_a_run_that_then_goes_on(work: Workplace) -> None:
    script = Path(__file__).with_name("cli_full_disk.py")
    # The interrupted round is drawn again, and charged again.
    work.edit("epsilon = 8.01", "epsilon = 20.0", "policy.toml")
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("there is no `unshare` here, so no small disk can be made")
    done = subprocess.run(
        [unshare, "--map-root-user", "--mount", sys.executable, str(script), str(work.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == NO_SUCH_RIGHT:
        pytest.skip(f"this system lets no user make a small disk: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    assert result["full"]
    assert result["code"] == 2, result
    told = json.loads(result["said"])
    assert "the disk is full: free some space" in told["message"]
    assert told["resume"].startswith("secure-fl run --resume")
    assert (result["resumed"], result["verified"]) == ([0, ""], [0, ""]), result


def test_a_full_disk_before_the_run_leaves_nothing_half_written(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        del descriptor
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(secure_fl.storage.os, "fsync", full)
    said = work.run("--fresh-state").refused(2)
    assert "disk" in said or "No space left" in said
    assert sorted(path.name for path in work.root.iterdir()) == ["policy.toml", "run.toml"]


def test_an_error_that_nobody_gave_a_code_is_a_defect() -> None:
    assert Failure.of(SecureFLError("new")).code is ExitCode.INTERNAL


def test_version_and_help_are_answered(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"secure-fl {__version__}\n"
    for words in ([], ["run", "--help"], ["verify", "-h"], ["init", "-h"], ["doctor", "-h"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "Usage: secure-fl" in said
        assert "Example" in said


def test_output_that_nobody_reads_ends_without_a_traceback(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "secure_fl.cli", "init", str(tmp_path / "new")]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert done.returncode == 130
    assert done.stderr == "Whoever read the output went away.\n"
