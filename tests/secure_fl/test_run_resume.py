"""A run that was stopped anywhere goes on, and ends where an undisturbed one ends."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from tiny_run import (
    BUDGET,
    RECORD,
    Setting,
    Watcher,
    adapter_bytes,
    tiny_config,
    write_config,
)

from audits.facts import RecordPrivacyFacts, ReportFacts, ReportWarning
from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError
from privacy.ledger import Ledger, charged_events
from secure_fl.embedded import resume_run, start_run
from secure_fl.runfolder import RunFolder
from secure_fl.site_home import now
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tiny_model import TinyModel

    from privacy.ledger import Entry

SITES = ("site-1", "site-2", "site-3")


@pytest.fixture(scope="module")
def undisturbed(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The adapter of a run that nobody stopped."""
    setting = Setting(tmp_path_factory.mktemp("undisturbed"), tiny)
    start_run(tiny_config(tiny), setting.out, setting.places(), Watcher())
    return adapter_bytes(setting.out)


def at(event: str) -> Callable[[str], bool]:
    """Stop when `event` is told."""
    return lambda told: told == event


def at_number(number: int) -> Callable[[str], bool]:
    """Stop at the event with this number, counted from 1."""
    told = iter(range(1, 10**6))
    return lambda _: next(told) == number


def entries(setting: Setting, site: str) -> tuple[Entry, ...]:
    with Ledger.open(setting.state / "sites" / site / "ledger.sqlite", clock=now) as ledger:
        return ledger.entries()


def spent(setting: Setting, site: str) -> float:
    with Ledger.open(setting.state / "sites" / site / "ledger.sqlite", clock=now) as ledger:
        return ledger.spent(BUDGET, 1e-5)


# -- without a guarantee: the same bytes -----------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        "hello 0",
        "open 0",
        "close 0",
        "close 1",
        "scored 2",
        "preparing writing and signing the run folder",
    ],
)
def test_a_run_stopped_in_any_phase_ends_with_the_same_adapter(
    tiny: TinyModel, tmp_path: Path, undisturbed: dict[str, bytes], event: str
) -> None:
    setting = Setting(tmp_path, tiny)
    stopped = Watcher(at(event))
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny_config(tiny), setting.out, setting.places(), stopped)
    assert stopped.events[-1] == event
    resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    assert adapter_bytes(setting.out) == undisturbed


def test_a_run_stopped_again_and_again_ends_with_the_same_adapter(
    tiny: TinyModel, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    """Every attempt gets a few replies further than the one before; most of them end in a round."""
    setting = Setting(tmp_path, tiny)
    watcher = Watcher(at("replied site-2"))
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny_config(tiny), setting.out, setting.places(), watcher)
    stops = 0
    while True:
        # 5 events before the rounds; a finished round is not done again.
        watcher = Watcher(at_number(7 + 3 * stops))
        try:
            resume_run(setting.out, setting.places(), watcher)
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 4
    verify_run(setting.out, setting.root)
    assert adapter_bytes(setting.out) == undisturbed
    facts = ReportFacts.from_json((setting.out / "facts.json").read_bytes())
    assert facts.run.resumes > 2
    assert ReportWarning.ROUNDS_REPEATED in facts.warnings
    assert sum(row.attempts for row in facts.rounds) == facts.run.resumes + 2


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("write_checkpoint", "before"),
        ("write_report", "after"),
        ("write_manifest", "before"),
        ("_seal", "before"),
        ("write_manifest", "after"),
    ],
)
def test_a_run_stopped_while_its_folder_is_finished_can_be_finished(  # noqa: PLR0913, PLR0917 - fixtures
    tiny: TinyModel,
    tmp_path: Path,
    undisturbed: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    when: str,
) -> None:
    setting = Setting(tmp_path, tiny)
    write = getattr(RunFolder, name)

    def stop(folder: RunFolder, *arguments: object) -> None:
        if when == "after":
            write(folder, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(RunFolder, name, stop)
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny_config(tiny), setting.out, setting.places(), Watcher())
    monkeypatch.setattr(RunFolder, name, write)
    if not (setting.out / "manifest.json").exists():
        sealed = (setting.out / "manifest.pending").exists()
        assert sealed == (name == "_seal")
        with pytest.raises(ConfigError, match="is finished") if sealed else nullcontext():
            resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    assert adapter_bytes(setting.out) == undisturbed
    for site in SITES:
        assert (setting.state / "sites" / site / "report.html").exists()
    with pytest.raises(ConfigError, match="is finished"):
        resume_run(setting.out, setting.places(), Watcher())


def test_a_killed_process_leaves_a_run_that_goes_on(tiny: TinyModel, tmp_path: Path) -> None:
    """No handler runs at kill -9: what was written by then is all there is."""
    setting = Setting(tmp_path, tiny, dataset=None)
    places = setting.places()
    config = tiny_config(tiny, rounds=4)
    twin = Setting(tmp_path / "twin", tiny, dataset=None)
    twin.folder.mkdir()
    start_run(config, twin.out, twin.places(), Watcher())

    file = write_config(tmp_path / "run.toml", config)
    command = [
        *(sys.executable, "-m", "secure_fl.cli", "run", str(file), "--out", str(setting.out)),
        *("--state", str(setting.state), "--policy", str(places.policy)),
    ]
    progress = setting.out / "progress" / "progress.json"
    with (tmp_path / "child.log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 90
            while not progress.exists() and child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(random.uniform(0.0, 1.5))  # noqa: S311 - any moment will do
        finally:
            child.kill()
    assert child.wait() in {-signal.SIGKILL, 0}, (tmp_path / "child.log").read_text("utf-8")
    if not (setting.out / "manifest.json").exists():
        resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    assert adapter_bytes(setting.out) == adapter_bytes(twin.out)


def test_stopped_before_the_rounds_nothing_is_written_and_nothing_is_charged(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    stopped = Watcher(at("preparing site-2: scrubbing and encoding its records"))
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny_config(tiny), setting.out, setting.places(), stopped)
    assert not setting.out.exists()
    assert [entries(setting, site) for site in SITES] == [(), (), ()]


# -- under a guarantee: fresh noise, and every draw charged ----------------------------------------


def test_a_private_round_that_is_repeated_is_charged_on_top_and_the_report_says_so(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    stopped = Watcher(at("close 1"))
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny_config(tiny, RECORD), setting.out, setting.places(), stopped)
    planned = spent(setting, "site-1")
    resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)

    draws = [entry.draw for entry in entries(setting, "site-1") if entry.draw is not None]
    assert [(draw.round, draw.attempt) for draw in draws] == [(0, 1), (1, 1), (1, 2)]
    total = spent(setting, "site-1")
    assert total > planned
    facts = ReportFacts.from_json((setting.out / "facts.json").read_bytes())
    assert isinstance(facts.privacy, RecordPrivacyFacts)
    assert facts.privacy.epsilon == pytest.approx(planned)
    for charge in facts.privacy.sites:
        assert charge.extra_draws == 1
        assert charge.charged_epsilon == pytest.approx(total)
        assert charge.drawn_epsilon == pytest.approx(total)
    assert facts.run.resumes == 1
    assert [row.attempts for row in facts.rounds] == [1, 2]
    assert ReportWarning.ROUNDS_REPEATED in facts.warnings
    page = (setting.out / "report.html").read_text("utf-8")
    assert f"{facts.privacy.highest_charge:.2f}"[:3] in page


def test_two_private_runs_of_one_seed_differ(tiny: TinyModel, tmp_path: Path) -> None:
    """The noise comes from the system's generator, never from the run's seed."""
    adapters = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        setting = Setting(tmp_path / name, tiny)
        config = tiny_config(tiny, RECORD, rounds=1)
        start_run(config, setting.out, setting.places(), Watcher())
        adapters.append(adapter_bytes(setting.out)["adapter_model.safetensors"])
    assert adapters[0] != adapters[1]


def test_a_round_whose_repetition_exceeds_the_ceiling_is_not_repeated(
    tiny: TinyModel, tmp_path: Path
) -> None:
    from privacy import accounting  # noqa: PLC0415 - dp_accounting takes a second
    from secure_fl.guarantee import planned_event  # noqa: PLC0415 - with its one use

    config = tiny_config(tiny, RECORD)
    plan = accounting.epsilon((planned_event(config.mechanism),), 1e-5)
    setting = Setting(tmp_path, tiny, epsilon=plan * 1.01)
    with pytest.raises(KeyboardInterrupt):
        start_run(config, setting.out, setting.places(), Watcher(at("close 1")))
    before = [entries(setting, site) for site in SITES]
    with pytest.raises(PeerError, match="its ceiling is"):
        resume_run(setting.out, setting.places(), Watcher())
    assert [entries(setting, site) for site in SITES] == before
    assert spent(setting, "site-1") <= plan * 1.01
    assert RunFolder(setting.out).progress().rounds_done == 1, "what was finished stands"


# -- budgets over several runs ---------------------------------------------------------------------


def test_a_second_run_on_the_same_state_composes_and_is_refused_over_the_ceiling(
    tiny: TinyModel, tmp_path: Path
) -> None:
    config = tiny_config(tiny, RECORD)
    setting = Setting(tmp_path, tiny, epsilon=1.3)
    start_run(config, setting.out, setting.places(), Watcher())
    once = spent(setting, "site-1")
    start_run(config, tmp_path / "second", setting.places(), Watcher())
    twice = spent(setting, "site-1")
    assert once < twice < 2 * once, "composed, and better than by adding"
    of_both = entries(setting, "site-1")
    assert len(charged_events(of_both)) == 2

    with pytest.raises(BudgetError, match=r"its ceiling is .*nothing was charged"):
        start_run(config, tmp_path / "third", setting.places(), Watcher())
    assert not (tmp_path / "third").exists()
    assert entries(setting, "site-1") == of_both
    # Nor does a run without a guarantee leave room for one with.
    start_run(tiny_config(tiny, rounds=1), tmp_path / "none", setting.places(), Watcher())
    with pytest.raises(BudgetError, match="nothing was charged"):
        start_run(config, tmp_path / "after", setting.places(), Watcher())


def test_one_site_that_cannot_afford_a_run_keeps_the_others_from_being_charged(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, RECORD, rounds=1)
    with pytest.raises(KeyboardInterrupt):
        start_run(config, setting.out, setting.places(), Watcher(at("preparing loading the data")))
    own = setting.state / "sites" / "site-3" / "policy.toml"
    own.write_text(
        own.read_text("utf-8").replace("epsilon = 20.0", "epsilon = 0.5"), encoding="utf-8"
    )
    with pytest.raises(BudgetError, match=r"its ceiling is 0\.5"):
        start_run(config, setting.out, setting.places(), Watcher())
    assert not setting.out.exists()
    assert [entries(setting, site) for site in SITES] == [(), (), ()]


# -- what a resume refuses -------------------------------------------------------------------------


@pytest.fixture
def half(tiny: TinyModel, tmp_path: Path) -> Setting:
    """A run of two rounds, stopped after the first."""
    setting = Setting(tmp_path, tiny)
    with pytest.raises(KeyboardInterrupt):
        start_run(tiny_config(tiny), setting.out, setting.places(), Watcher(at("scored 1")))
    return setting


def test_a_resume_from_changed_parameters_is_refused(half: Setting) -> None:
    path = half.out / "progress" / "round-1.f32"
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    with pytest.raises(IntegrityError, match=r"round-1\.f32 is missing or was changed"):
        resume_run(half.out, half.places(), Watcher())


def test_a_resume_with_another_state_folder_is_refused(
    half: Setting, tmp_path: Path, tiny: TinyModel
) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Setting(tmp_path / "elsewhere", tiny)
    with pytest.raises(ConfigError, match="another roster"):
        resume_run(half.out, other.places(), Watcher())


def test_a_resume_over_a_changed_configuration_is_refused_by_the_sites(half: Setting) -> None:
    path = half.out / "config.toml"
    changed = path.read_text("utf-8").replace("learning_rate = 0.02", "learning_rate = 0.03")
    path.write_text(changed, encoding="utf-8")
    with pytest.raises(PeerError, match="another configuration"):
        resume_run(half.out, half.places(), Watcher())


def test_a_new_run_never_overwrites_another(half: Setting, tiny: TinyModel) -> None:
    with pytest.raises(ConfigError, match="never overwrites another"):
        start_run(tiny_config(tiny), half.out, half.places(), Watcher())


def test_half_a_line_at_the_end_of_the_logs_is_what_a_crash_leaves(
    half: Setting, undisturbed: dict[str, bytes]
) -> None:
    with (half.out / "transcript" / "leaves.b64").open("ab") as leaves:
        leaves.write(b"aGFsZiBhIGxl")
    resume_run(half.out, half.places(), Watcher())
    verify_run(half.out, half.root)
    assert adapter_bytes(half.out) == undisturbed
