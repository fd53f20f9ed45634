"""What the command line promises before it does anything: it is quick, and brings nothing heavy."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = [
    *("dp_accounting", "flwr", "matplotlib", "opacus", "peft", "presidio_analyzer", "scipy"),
    *("sklearn", "spacy", "tenseal", "torch", "transformers"),
]
REPORT = f"""
import json
print("LOADED", json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
HELP = """
import sys
sys.argv = ["secure-fl", *sys.argv[1:]]
from secure_fl.cli import main
try:
    main()
except SystemExit as stop:
    code = stop.code
"""


def run(program: str, *arguments: str) -> tuple[str, list[str]]:
    """Return what a program printed, and which heavy libraries it had loaded at its end."""
    command = [sys.executable, "-c", program + REPORT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    printed, _, loaded = done.stdout.rpartition("LOADED ")
    return printed, json.loads(loaded)


def test_the_check_itself_sees_a_heavy_library() -> None:
    assert run("import sys, scipy")[1] == ["scipy"]


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    printed, loaded = run(HELP, "--help")
    assert loaded == []
    for command in (
        "run",
        "verify",
        "audit",
        "init",
        "doctor",
        "ledger",
        "policy",
        "scrub",
        "domains",
    ):
        assert f" {command} " in printed, printed


@pytest.mark.parametrize("words", [["--help"], ["verify", "nowhere"], ["verify"]])
def test_the_package_is_the_same_command(words: list[str]) -> None:
    """Its help, what it says of a failure, and its exit code; nothing calls itself otherwise."""
    installed = "from secure_fl.cli import main; raise SystemExit(main())"
    module, command = (
        subprocess.run(
            [sys.executable, *how, *words], capture_output=True, text=True, check=False, cwd="/"
        )
        for how in (["-m", "secure_fl"], ["-c", installed])
    )
    assert (module.returncode, module.stdout, module.stderr) == (
        command.returncode,
        command.stdout,
        command.stderr,
    )
    assert "secure-fl" in module.stdout or module.returncode == 2


@pytest.mark.parametrize(
    "command",
    [
        *("run", "verify", "init", "doctor", "audit", "scrub", "ledger", "policy", "policy check"),
        *("domains", "domains list", "domains show"),
        *(f"ledger {verb}" for verb in ("show", "verify", "export", "backup", "restore")),
    ],
)
def test_the_help_of_each_command_loads_nothing_heavy_either(command: str) -> None:
    printed, loaded = run(HELP, *command.split(), "--help")
    assert "Usage" in printed
    assert loaded == []


def test_help_takes_less_than_a_second_of_processor_time() -> None:
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(HELP, "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 1, seconds


@pytest.mark.parametrize(
    "module",
    [
        *("privacy.ledger", "privacy.ledger_backup", "secure_fl.policy", "secure_fl.config"),
        *("secure_fl.policy_check", "secure_fl.ledger_account", "secure_fl.ledger_transfer"),
    ],
)
def test_the_ledger_and_the_policy_check_load_nothing_heavy(module: str) -> None:
    assert run(f"import sys, {module}")[1] == []


def test_a_ledger_is_verified_without_any_accountant(tmp_path: Path) -> None:
    """Only where an epsilon is shown is dp_accounting imported, and nothing else that is heavy."""
    site = tmp_path / "site"
    code = (
        "import sys, datetime, math, pathlib\n"
        "from privacy.events import NoGuarantee, Relation, SubsampledGaussian, Unit\n"
        "from privacy.ledger import Budget, Ledger\n"
        "place = pathlib.Path(sys.argv[1]) / 'ledger.sqlite'\n"
        "now = lambda: datetime.datetime.now(datetime.UTC)\n"
        "budget = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)\n"
        "with Ledger.open(place, clock=now) as ledger:\n"
        "    event = SubsampledGaussian(20.0, 1.0, 1)\n"
        "    ledger.reserve('ward', bytes(32), 'run-1', event, budget)\n"
    )
    assert run(code, str(site))[1] == []
    assert run(HELP, "ledger", "verify", "--site", str(site)) == ("", [])
    copy = str(tmp_path / "copy.sqlite")
    assert run(HELP, "ledger", "backup", copy, "--site", str(site))[1] == []
    printed, loaded = run(HELP, "ledger", "show", "--site", str(site))
    assert "ward" in printed
    assert set(loaded) <= {"dp_accounting", "scipy"}
