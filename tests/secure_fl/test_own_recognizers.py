"""A site's own recognisers may hang, die, lie and print: the scrubber says so, and nothing else."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

import pytest
from own_workplace import CANARY, TEXT, function, write_module

from crypto.codec import decode, encode
from crypto.errors import ConfigError
from privacy.scrubbing import ProviderKind, Scrubber, ScrubProfile, Span
from privacy.scrubbing.own_models import OwnFunction, OwnModel, OwnModelKind
from privacy.scrubbing.recognizers import RecognizerFailedError
from secure_fl.own_models import OwnRecognizers
from secure_fl.own_models import process as process_module
from secure_fl.own_models.messages import Ask, Begin

ROOT = Path(__file__).resolve().parents[2]
FOUND = Span(TEXT.index(CANARY), TEXT.index(CANARY) + len(CANARY), "PERSON", 0.9)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_module(tmp_path)


def failure_of(own: OwnRecognizers, text: str = TEXT, number: int = 0) -> str:
    """Return how the recogniser failed, and check that the failure holds nothing of the text."""
    with pytest.raises(RecognizerFailedError) as caught:
        own.recognizers[number].find(text)
    assert caught.value.__cause__ is None
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    assert not [word for word in CANARY.split() if word in told]
    return caught.value.failure


def is_gone(pid: int) -> bool:
    """Say whether a process ends within a few seconds; a zombie has ended."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state.split()[0] == "Z":
            return True
        time.sleep(0.05)
    return False


def group_of(pid: int) -> list[int]:
    """Return the processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = path.read_text(encoding="utf-8").rpartition(")")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(group) == pid and state != "Z":
            found.append(int(path.parent.name))
    return found


def pid_of(own: OwnRecognizers) -> int:
    assert own._child is not None
    return own._child._process.pid


def test_a_function_finds_and_says_who_it_is(site: Path) -> None:
    with OwnRecognizers([function(site, "find")]) as own:
        (recognizer,) = own.recognizers
        assert recognizer.find(TEXT) == (FOUND,)
        assert (recognizer.name, recognizer.kind) == ("site_recognizers:find", ProviderKind.OWN)
        assert re.fullmatch("[0-9a-f]{64}", recognizer.digest or "")
        scrubber = Scrubber(ScrubProfile(required=("PERSON",)), own.recognizers)
        assert scrubber.scrub(TEXT).text == "Seen today: <PERSON>, in good spirits."
        providers = [p for p in scrubber.providers if p.kind is ProviderKind.OWN]
        assert [(p.entity, p.name, p.digest) for p in providers] == [
            ("PERSON", recognizer.name, recognizer.digest)
        ]
    assert not (site / "__pycache__").exists()


@pytest.mark.parametrize(
    "text",
    ["", "\ud800 lone", "a\0b", "e\u0301 \u202e\u05d0\u05d1 \U0001f600 ", "x" * 3_000_000],
    ids=["empty", "surrogate", "zero", "scripts", "long"],
)
def test_any_text_travels_with_its_offsets(site: Path, text: str) -> None:
    with OwnRecognizers([function(site, "find")]) as own:
        (span,) = own.recognizers[0].find(text + CANARY)
        assert (text + CANARY)[span.start : span.end] == CANARY


def test_an_entity_that_nothing_else_finds_is_satisfied(site: Path) -> None:
    profile = ScrubProfile(required=("BADGE",))
    badge = OwnFunction("site_recognizers:find_nothing", ("BADGE",), site)
    with pytest.raises(ConfigError, match="requires BADGE"):
        Scrubber(profile)
    with OwnRecognizers([badge]) as own:
        assert Scrubber(profile, own.recognizers).coverage.looked_for == ("BADGE",)


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("raise_with_text", "RuntimeError"),
        ("raise_named_by_text", "an error without a name"),
        ("return_none", "TypeError"),
        ("return_tuples", "TypeError"),
        ("half", "TypeError"),
        ("no_entity", "TypeError"),
        ("no_score", "TypeError"),
        ("connect", "PermissionError"),
        ("look_up", "PermissionError"),
        ("send", "PermissionError"),
    ],
)
def test_what_raises_is_named_and_asked_again(site: Path, name: str, failure: str) -> None:
    with OwnRecognizers([function(site, name), function(site, "find")]) as own:
        assert failure_of(own) == failure
        assert failure_of(own) == failure
        assert own.recognizers[1].find(TEXT) == (FOUND,)


def test_one_failure_does_not_outlast_its_text(site: Path) -> None:
    with OwnRecognizers([function(site, "raise_once")]) as own:
        assert failure_of(own) == "LookupError"
        assert own.recognizers[0].find(TEXT) == (FOUND,)


@pytest.mark.parametrize("name", ["beyond", "backwards", "undeclared", "unlikely"])
def test_a_span_that_is_none_is_refused_by_the_scrubber(site: Path, name: str) -> None:
    with OwnRecognizers([function(site, name)]) as own:
        scrubber = Scrubber(ScrubProfile(required=("PERSON",)), own.recognizers)
        with pytest.raises(ConfigError, match=r"site_recognizers.*a finding that is none"):
            scrubber.scrub(TEXT)


@pytest.mark.parametrize("name", ["hang", "hang_in_c", "hang_with_children", "hang_deaf"])
def test_what_hangs_is_killed_whatever_it_is_in(site: Path, name: str) -> None:
    with OwnRecognizers([function(site, name, seconds=0.5), function(site, "find")]) as own:
        began = time.monotonic()
        assert failure_of(own) == "no answer within 0.5 seconds"
        assert time.monotonic() - began < 20
        assert is_gone(pid_of(own))
        assert all(map(is_gone, group_of(pid_of(own))))
        assert failure_of(own) == "its process was ended before"
        assert failure_of(own, number=1) == "its process was ended before"


def test_what_reads_nothing_of_a_long_text_is_killed_too(site: Path) -> None:
    """A pipe holds 64 kB: whoever sends more waits for the other side to read."""
    with OwnRecognizers([function(site, "find", seconds=0.5)]) as own:
        os.kill(pid_of(own), signal.SIGSTOP)
        assert failure_of(own, "x" * 99_000 + CANARY) == "no answer within 0.5 seconds"
        assert is_gone(pid_of(own))


@pytest.mark.parametrize(
    ("name", "failure"),
    [
        ("exit_quietly", "its process ended (exit code 7)"),
        ("die", "its process ended (killed, as by a system that is short of memory)"),
        ("crash", f"its process ended (by signal {signal.SIGSEGV.value})"),
        ("garble", "its process wrote what is no answer"),
        ("flood", "its process wrote what is no answer"),
    ],
)
def test_what_ends_its_process_is_named(site: Path, name: str, failure: str) -> None:
    with OwnRecognizers([function(site, name)]) as own:
        assert failure_of(own) == failure
        assert is_gone(pid_of(own))
        assert failure_of(own) == "its process was ended before"


def test_nothing_that_a_recogniser_writes_is_seen(
    site: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with OwnRecognizers([function(site, "shout"), function(site, "raise_with_text")]) as own:
        assert own.recognizers[0].find(TEXT) == (FOUND,)
        scrubber = Scrubber(ScrubProfile(required=("PERSON",)), own.recognizers)
        with pytest.raises(ConfigError) as caught:
            list(scrubber.scrub_all(["", TEXT]))
    printed = capfd.readouterr()
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(printed)
    assert not [word for word in CANARY.split() if word in told]
    assert "'site_recognizers:raise_with_text' failed on document 0 (RuntimeError)" in told
    assert printed == ("", "")


def test_what_is_described_arrives_as_it_was(tmp_path: Path) -> None:
    own = (
        OwnModel(OwnModelKind.GLINER, tmp_path, (("a", "B"), ("c", "D")), ("e",), threshold=1),
        OwnModel(OwnModelKind.SPACY, tmp_path),
        OwnFunction("a.b:c", ("D", "E"), tmp_path),
        OwnFunction("a:b", ("C",)),
    )
    sent = encode(Begin.of(own, seconds=3))
    begin = decode(Begin, sent, limit_bytes=len(sent))
    assert (begin.described(), begin.seconds) == (own, 3.0)


def test_a_message_with_a_text_does_not_show_it() -> None:
    assert CANARY not in repr(Ask(0, 1.0, TEXT.encode()))


def test_its_process_is_as_cut_off_as_it_is_said_to_be(site: Path) -> None:
    with OwnRecognizers([function(site, "where")]) as own:
        assert own.recognizers[0].find(TEXT) == (Span(0, 1, "PERSON", 0.9),)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (("absent_module:find", None), r"ModuleNotFoundError.*Install its package"),
        (("site_recognizers:absent", "."), "has no function absent"),
        (("site_recognizers:not_callable", "."), "has no function not_callable"),
        (("broken:find", "."), "SyntaxError"),
        (("site_recognizers:find", "nowhere"), r"nowhere of the recogniser .* is not there"),
    ],
)
def test_a_function_that_cannot_be_loaded_is_refused(
    site: Path, own: tuple[str, str | None], message: str
) -> None:
    (site / "broken.py").write_text("def find(")
    name, folder = own
    described = OwnFunction(name, ("PERSON",), None if folder is None else site / folder)
    with pytest.raises(ConfigError, match=rf"{message}.*") as caught:
        OwnRecognizers([described])
    assert "refuses to train" in str(caught.value)


def test_a_module_that_hangs_or_dies_while_it_is_imported_is_refused(site: Path) -> None:
    (site / "sleepy.py").write_text("import time; time.sleep(3600)")
    (site / "deadly.py").write_text("import os; os._exit(9)")
    with pytest.raises(ConfigError, match=r"sleepy:find.*no answer within 0.5 seconds.*refuses"):
        OwnRecognizers([OwnFunction("sleepy:find", ("PERSON",), site)], start_seconds=0.5)
    with pytest.raises(ConfigError, match=r"deadly:find.*exit code 9.*refuses to train"):
        OwnRecognizers([OwnFunction("deadly:find", ("PERSON",), site)])


def test_a_folder_of_the_sites_stands_in_for_no_library(site: Path) -> None:
    (site / "colorsys.py").write_text("raise RuntimeError('the wrong one')")
    (site / "coloured.py").write_text("import colorsys\nfrom site_recognizers import find")
    with OwnRecognizers([OwnFunction("coloured:find", ("PERSON",), site)]) as own:
        assert own.recognizers[0].find(TEXT) == (FOUND,)


def test_two_of_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    twins = [function(site, "find"), function(site, "find")]
    models = [OwnModel(OwnModelKind.SPACY, tmp_path / part / "core") for part in ("a", "b")]
    for own in (twins, models):
        with pytest.raises(ConfigError, match="could tell them apart"):
            OwnRecognizers(own)


def test_a_model_without_a_folder_starts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module.subprocess, "Popen", None)
    with pytest.raises(ConfigError, match=r"is not there, so the site refuses to train"):
        OwnRecognizers([OwnModel(OwnModelKind.SPACY, tmp_path / "absent")])
    assert OwnRecognizers([]).recognizers == ()


def test_the_process_ends_with_what_asks_it(site: Path) -> None:
    with OwnRecognizers([function(site, "find")]) as own:
        first = pid_of(own)
    assert is_gone(first)
    assert failure_of(own) == "its process was ended before"
    own = OwnRecognizers([function(site, "find")])
    recognizers, second = own.recognizers, pid_of(own)
    del own
    gc.collect()
    # A scrubber keeps the recognisers alone.
    assert recognizers[0].find(TEXT) == (FOUND,)
    del recognizers
    gc.collect()
    assert is_gone(second)


@pytest.mark.parametrize("name", ["find", "hang_and_say_so"])
def test_the_process_ends_when_its_parent_is_killed(site: Path, name: str) -> None:
    """At once where it waits; soon after its deadline where it hangs and hears of nothing."""
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from own_workplace import function\n"
        "from secure_fl.own_models import OwnRecognizers\n"
        f"own = OwnRecognizers([function(Path({str(site)!r}), {name!r}, seconds=3)])\n"
        "print(own._child._process.pid, flush=True)\n"
        f"own.recognizers[0].find('x') if {name!r} != 'find' else sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        while name != "find" and not (site / "hangs").exists():
            time.sleep(0.02)
        parent.kill()
    assert is_gone(child)


def test_a_process_that_waits_for_a_text_has_all_the_time(site: Path) -> None:
    with OwnRecognizers([function(site, "rest")]) as own:
        for _ in range(100):
            if own.recognizers[0].find(TEXT):
                return
            time.sleep(0.05)
        pytest.fail("it would have been ended between two texts")


def test_a_copy_of_the_asking_process_is_refused_and_ends_nothing(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OwnRecognizers([function(site, "find")]) as own:
        with monkeypatch.context() as patch:
            patch.setattr(process_module.os, "getpid", lambda: -1)
            assert failure_of(own) == "it is asked by a copy of the process that it answers"
            assert own._child is not None
            process_module._end(own._child._process, os.getppid())
        assert own.recognizers[0].find(TEXT) == (FOUND,)


def test_an_interrupted_question_is_not_answered_to_the_next_one(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with OwnRecognizers([function(site, "find")]) as own:
        assert own._child is not None
        monkeypatch.setattr(own._child._ends, "receive", interrupt)
        with pytest.raises(KeyboardInterrupt):
            own.recognizers[0].find(TEXT)
        monkeypatch.undo()
        assert failure_of(own, "another") == "its process was ended before"


def test_a_site_without_a_guard_in_its_main_module_starts_no_second_one(site: Path) -> None:
    """`multiprocessing` would run the main module again, and with it the start of a process."""
    script = site / "run.py"
    script.write_text(
        "import json, sys\n"
        "print('begun')\n"
        "from privacy.scrubbing.own_models import OwnFunction\n"
        "from secure_fl.own_models import OwnRecognizers\n"
        "own = OwnRecognizers([OwnFunction('site_recognizers:find', ('PERSON',))])\n"
        f"print(json.dumps(len(own.recognizers[0].find({TEXT!r}))))\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["begun", json.dumps(1)], "")
