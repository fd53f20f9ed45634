"""Put small faults into a module, one at a time, and say which of them no test notices.

    python tests/mutation/run_mutations.py crypto/shamir.py

The tree is copied first; the checkout is never touched. Each mutant runs the tests that guard its
module in a process forked from one that has the heavy libraries loaded. A mutant on which they
fail, or take four times as long as without it, is found. One that changes nothing that a caller
could see is listed with the reason in `equivalent.toml`; nothing else may survive.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mutants import Mutant, mutants_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
COPIED = ("audits", "crypto", "domains", "privacy", "secure_fl", "tests")
PRELOADED = ("numpy", "torch", "scipy.stats", "cryptography", "msgspec", "hypothesis", "peft")
MODELS = tuple(f"transformers.models.{m}.modeling_{m}" for m in ("bert", "gpt2", "llama", "qwen2"))
MEMORY_BYTES = 12 << 30
LOADED_EARLY = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
LEAST_SECONDS = 15.0
PATIENCE = 4
POLL_SECONDS = 0.02

GUARDS = {
    "crypto/keystream.py": ("crypto/test_crypto_keystream", "crypto/test_crypto_masking"),
    "crypto/masking.py": (
        "crypto/test_crypto_masking",
        "crypto/test_crypto_vectors",
        "crypto/test_crypto_masked_sum_checks",
    ),
    "crypto/ring.py": ("crypto/test_crypto_ring", "crypto/test_crypto_vectors"),
    "crypto/masked_sum_graph.py": (
        "crypto/test_crypto_masked_sum_graph",
        "crypto/test_crypto_vectors",
        "crypto/test_crypto_masked_sum_checks",
    ),
    "crypto/masked_sum*.py": (
        "crypto/test_crypto_vectors",
        "crypto/test_crypto_masked_sum_checks",
        "crypto/test_crypto_masked_sum_state",
        "crypto/test_crypto_masked_sum_dealing",
        "crypto/test_crypto_masked_sum_opening",
        "crypto/test_crypto_masked_sum",
        "crypto/test_crypto_masked_sum_settings",
    ),
    "privacy/clipping.py": (
        "privacy/test_privacy_clipping_layers",
        "privacy/test_privacy_clipping_rules",
        "privacy/test_privacy_clipping_units",
        "privacy/test_privacy_clipping",
        "privacy/test_privacy_clipping_precision",
    ),
    "privacy/example_rows.py": (
        "privacy/test_privacy_example_rows",
        "privacy/test_privacy_clipping_layers",
    ),
    "privacy/example_*.py": (
        "privacy/test_privacy_example_gradients",
        "privacy/test_privacy_clipping_layers",
        "privacy/test_privacy_clipping",
        "privacy/test_privacy_clipping_checkpoint",
        "privacy/test_privacy_clipping_precision",
        "privacy/test_privacy_clipping_table",
    ),
    "privacy/accounting*.py": (
        "privacy/test_privacy_accounting_calibration",
        "privacy/test_privacy_accounting",
    ),
    "privacy/renyi.py": ("privacy/test_privacy_renyi",),
    "privacy/opacus_prv.py": (
        "privacy/test_privacy_accounting_calibration",
        "privacy/test_privacy_accounting",
    ),
    "privacy/ledger*.py": (
        "privacy/test_privacy_ledger_entries",
        "privacy/test_privacy_ledger_file",
        "privacy/test_privacy_ledger",
        "privacy/test_privacy_ledger_damage",
        "privacy/test_privacy_ledger_acts",
        "privacy/test_privacy_ledger_people",
        "privacy/test_privacy_ledger_migration",
        "privacy/test_privacy_ledger_backup",
        "privacy/test_privacy_ledger_twin",
        "privacy/test_privacy_ledger_crash",
    ),
}
"""Which tests guard which modules, where it is not `test_ROOM_MODULE*.py`; the quickest first."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Running:
    """A mutant whose tests are running in process `pid`, in the copy `tree`, until `deadline`."""

    mutant: Mutant
    tree: Path
    deadline: float


def guards_of(module: str) -> tuple[str, ...]:
    """Return the test files that guard `module`, relative to the root."""
    room, stem = module.removesuffix(".py").split("/", 1)
    patterns: tuple[str, ...] = (f"{room}/test_{room}_{stem}*",)
    for known, named in GUARDS.items():
        if Path(module).match(known):
            patterns = named
            break
    found: dict[str, None] = {}
    for pattern in patterns:
        for path in sorted((ROOT / "tests").glob(f"{pattern}.py")):
            found[path.relative_to(ROOT).as_posix()] = None
    if not found:
        raise SystemExit(f"No test guards {module}: nothing was tried. Name its tests in GUARDS.")
    return tuple(found)


def equivalents_of(module: str) -> dict[Key, str]:
    """Return the reviewed mutants of `module` that change nothing, each with its reason."""
    table = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return {
        (entry["scope"], entry["before"], after): entry["reason"]
        for entry in table.get("mutant", [])
        if entry["module"] == module
        for after in entry["after"]
    }


def copied_tree(folder: Path) -> Path:
    """Return a copy of what the tests need, in a new folder under `folder`."""
    tree = Path(tempfile.mkdtemp(dir=folder))
    for name in COPIED:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tree)
    return tree


def start(tree: Path, tests: tuple[str, ...], log: Path) -> int:
    """Fork a process that runs `tests` in `tree` and exits as pytest does; return its id."""
    shutil.rmtree(tree / ".hypothesis", ignore_errors=True)
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        os.chdir(tree)
        sys.path.insert(0, str(tree))
        os.environ["PYTHONPATH"] = str(tree)
        pytest = importlib.import_module("pytest")
        options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", *LOADED_EARLY]
        code = int(pytest.main([*options, *tests]))
        sys.stdout.flush()
        os._exit(code)
    finally:
        traceback.print_exc()
        os._exit(70)  # whatever went wrong, this copy of the process never returns


def seconds_without_a_fault(trees: list[Path], tests: tuple[str, ...], module: str) -> float:
    """Return how long `tests` take in the unchanged trees; their compiled files stay behind."""
    longest = 0.0
    for tree in trees:
        began = time.monotonic()
        log = tree / "baseline.log"
        _, status = os.waitpid(start(tree, tests, log), 0)
        if status:
            raise SystemExit(
                f"{log.read_text(errors='replace')}\n"
                "The tests fail without any fault: nothing was tried. Mend them first."
            )
        longest = max(longest, time.monotonic() - began)
        # Written within one second and equally long, a mutant would pass for the compiled file.
        Path(importlib.util.cache_from_source(str(tree / module))).unlink(missing_ok=True)
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return longest


def survivors_of(
    mutants: list[Mutant], module: str, tests: tuple[str, ...], trees: list[Path], limit: float
) -> Iterator[Mutant]:
    """Yield the mutants that no test noticed, as they come."""
    waiting, free, running = list(reversed(mutants)), list(trees), dict[int, Running]()
    while waiting or running:
        while waiting and free:
            mutant, tree = waiting.pop(), free.pop()
            (tree / module).write_text(mutant.source, encoding="utf-8")
            pid = start(tree, tests, tree / "mutant.log")
            running[pid] = Running(mutant, tree, time.monotonic() + limit)
        time.sleep(POLL_SECONDS)
        for pid, each in list(running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended and time.monotonic() > each.deadline:
                ended, status = stopped(pid)
            if ended:
                free.append(each.tree)
                del running[pid]
                if status == 0:
                    yield each.mutant


def stopped(pid: int) -> tuple[int, int]:
    """Kill a process that runs for too long, and what it started; return its id and status."""
    os.killpg(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)


def shown(module: str, mutant: Mutant) -> str:
    """Return where a mutant stands and what it changes."""
    scope = f" in {mutant.scope}" if mutant.scope else ""
    lines = [f"{module}:{mutant.line}{scope}"]
    lines += [f"    - {line}" for line in mutant.before.splitlines()]
    lines += [f"    + {line}" for line in mutant.after.splitlines()]
    return "\n".join(lines)


def chosen(options: argparse.Namespace, module: str) -> list[Mutant]:
    """Return the mutants to try; an entry of the list that fits none of them is an error."""
    allowed = equivalents_of(module)
    mutants = list(mutants_of((ROOT / module).read_text(encoding="utf-8")))
    stale = set(allowed) - {mutant.key for mutant in mutants}
    if stale:
        raise SystemExit(
            "equivalent.toml lists mutants that do not exist any more; look at the code again and "
            f"remove or correct them: {sorted(stale)}"
        )
    return [
        mutant
        for mutant in mutants
        if (mutant.key in allowed) == options.equivalents and mutant.scope.startswith(options.scope)
    ]


def tried(options: argparse.Namespace, module: str) -> bool:
    """Try the mutants of one module, print what came of it, and return whether all is well."""
    tests, mutants = guards_of(module), chosen(options, module)
    preload(PRELOADED if not module.startswith("crypto/") else PRELOADED[3:6])
    preload(MODELS if module.startswith(("privacy/clipping", "privacy/example_")) else ())
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = [copied_tree(Path(folder)) for _ in range(options.jobs)]
        usual = seconds_without_a_fault(trees, tests, module)
        print(f"{module}: {len(mutants)} mutants, {usual:.1f} s of tests each", flush=True)
        limit = max(LEAST_SECONDS, PATIENCE * usual)
        survivors = []
        for mutant in survivors_of(mutants, module, tests, trees, limit):
            survivors.append(mutant)
            if not options.equivalents:
                print(shown(module, mutant), flush=True)
    if options.equivalents:
        found = [mutant for mutant in mutants if mutant not in survivors]
        for mutant in found:
            print(f"not equivalent, a test notices it: {shown(module, mutant)}")
        return not found
    known = len(equivalents_of(module))
    print(
        f"{module}: {len(mutants) - len(survivors)} of {len(mutants)} mutants found, "
        f"{len(survivors)} survive; {known} more are listed as equivalent",
        flush=True,
    )
    return not survivors


def preload(names: Iterable[str]) -> None:
    """Import what every mutant's tests would import again; nothing of this project."""
    for name in names:
        importlib.import_module(name)


def main(arguments: list[str]) -> int:
    """Try the modules that are named, and return 1 if a mutant survives."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="+", help="for example crypto/shamir.py")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--scope", default="", help="only in this class or function")
    parser.add_argument(
        "--equivalents", action="store_true", help="try the listed ones: all have to survive"
    )
    options = parser.parse_args(arguments)
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    results = [tried(options, module) for module in options.modules]
    return 0 if all(results) else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
