"""A run that keeps what it sends: whole after a resume, bound by the log, and asked by an audit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest
from tiny_run import NONE, Setting, Watcher, small_dataset, tiny_config

from audits.findings import Verdict, Window
from audits.release import canary_gates
from audits.site.round_delta_gates import GATE
from crypto.errors import ConfigError, IntegrityError
from secure_fl.auditing import canary_parts, round_deltas
from secure_fl.auditing.subject import open_subject
from secure_fl.config import Runtime
from secure_fl.embedded import resume_run, start_run
from secure_fl.kept_rounds import KeptRounds
from secure_fl.runfolder import RunFolder
from secure_fl.runner import Runner
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from audits.findings import Finding
    from secure_fl.config import RunConfig
    from secure_fl.runfolder import Progress

ROUNDS = 4
AVERAGED = 3


@dataclass
class Kept:
    """A finished run, and the parameters after each of its rounds as the coordinator had them."""

    setting: Setting
    after: dict[int, NDArray[np.float32]]
    found: Finding
    noted: list[tuple[int, int]]

    @property
    def rounds(self) -> KeptRounds:
        return KeptRounds.beside(self.setting.out)


def asking(model: TinyModel) -> RunConfig:
    config = tiny_config(
        model,
        NONE,
        sites=2,
        rounds=ROUNDS,
        canaries={"each": 24, "repetitions": [1, 2]},
        training={"averaged_rounds": AVERAGED, "local_steps": 1, "batch_size": 4},
    )
    runtime = config.runtime.model_copy(
        update={"keep_rounds": True, "micro_batch": 48, "workers": 1}
    )
    return config.model_copy(update={"runtime": runtime})


@pytest.fixture(scope="module")
def kept(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """The run is stopped in its third round and gone on with."""
    folder = tmp_path_factory.mktemp("rounds")
    setting = Setting(folder, tiny, dataset=small_dataset(20, 12), most_canaries=100)
    after: dict[int, NDArray[np.float32]] = {}
    write = RunFolder.write_progress

    def spy(
        self: RunFolder,
        progress: Progress,
        parameters: NDArray[np.float32] | None,
        kept: bytes = b"",
    ) -> None:
        if parameters is not None:
            after[progress.rounds_done] = parameters.copy()
        write(self, progress, parameters, kept)

    noted: list[tuple[int, int]] = []
    stale = KeptRounds.beside(setting.out)
    stale.keep(7, np.zeros(3, np.float32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFolder, "write_progress", spy)
        patch.setattr(canary_gates, "_DEALINGS", 19)
        patch.setattr(canary_parts, "LESSON", replace(canary_parts.LESSON, most_steps=6))
        with pytest.raises(KeyboardInterrupt):
            start_run(
                asking(tiny),
                setting.out,
                setting.places(),
                Watcher(lambda told: told == "scored 2"),
            )
        resume_run(setting.out, setting.places(), Watcher())
        (found,) = round_deltas.run(
            open_subject(setting.out), lambda done, of: noted.append((done, of))
        )
    return Kept(setting, after, found, noted)


def test_every_round_is_kept_once_beside_the_run_which_verifies(kept: Kept) -> None:
    verify_run(kept.setting.out, kept.setting.root)
    names = sorted(path.name for path in kept.rounds.folder.iterdir())
    assert names == [f"round-{number:05d}.f32" for number in range(1, ROUNDS + 1)]
    assert {path.stat().st_mode & 0o777 for path in kept.rounds.folder.iterdir()} == {0o600}
    assert {path.stat().st_size for path in kept.rounds.folder.iterdir()} == {
        4 * kept.after[1].size
    }
    for done in range(1, ROUNDS):
        raw = (kept.rounds.folder / f"round-{done + 1:05d}.f32").read_bytes()
        assert np.array_equal(np.frombuffer(raw, "<f4"), kept.after[done])


def test_the_attack_asks_all_of_them_and_those_after_the_last_round(kept: Kept) -> None:
    found = kept.found
    assert (found.gate, found.window) == (GATE, Window.SITE)
    assert f"By {ROUNDS} changes of the parameters" in found.reason
    assert found.statistic is not None
    assert [each for each in found.details if "2 repetitions: decides nothing" in each.name]
    assert found.verdict is Verdict.INCONCLUSIVE  # nothing is claimed
    total = ROUNDS + 2
    assert kept.noted == [(done, total) for done in range(total + 1)]


def test_a_mean_of_the_last_rounds_gives_away_the_last_one(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[NDArray[np.float32]] = []
    counted = np.zeros(2 * 24 * 2)

    def under(_: round_deltas._Asked, parameters: NDArray[np.float32]) -> NDArray[np.float64]:
        asked.append(parameters)
        return counted + len(asked)

    monkeypatch.setattr(round_deltas._Asked, "under", under)
    monkeypatch.setattr(round_deltas._Asked, "now", lambda _: counted)
    monkeypatch.setattr(round_deltas, "learn", lambda *_: None)
    monkeypatch.setattr(canary_gates, "_DEALINGS", 19)
    round_deltas.run(open_subject(kept.setting.out), lambda *_: None)
    *broadcast, last, _, released = asked
    assert len(broadcast) == ROUNDS
    assert last == pytest.approx(kept.after[ROUNDS], abs=1e-6)
    assert not np.allclose(released, kept.after[ROUNDS], atol=1e-5)
    # A long run is asked at fewer places, first and last among them.
    del asked[:]
    monkeypatch.setattr(round_deltas, "MOST_READINGS", 3)
    round_deltas.run(open_subject(kept.setting.out), lambda *_: None)
    first, middle, end, *_ = asked
    assert np.array_equal(first, broadcast[0])
    assert np.array_equal(middle, broadcast[2])
    assert np.array_equal(end, last)
    assert len(asked) == 3 + 2


# -- what is not there, or another's ---------------------------------------------------------------


@pytest.fixture
def copied(kept: Kept, tmp_path: Path) -> Path:
    """Return a copy of the run folder and of its rounds."""
    shutil.copytree(kept.setting.out, tmp_path / "run")
    shutil.copytree(kept.rounds.folder, tmp_path / "run.rounds")
    return tmp_path / "run"


def ask(run: Path) -> None:
    round_deltas.run(open_subject(run), lambda *_: None)


def test_rounds_that_nobody_sent_are_not_asked(copied: Path) -> None:
    path = KeptRounds.beside(copied).folder / "round-00002.f32"
    raw = bytearray(path.read_bytes())
    raw[0] ^= 1
    path.write_bytes(raw)
    with pytest.raises(IntegrityError, match="header of round 2 names"):
        ask(copied)


def test_rounds_in_another_order_are_not_asked(copied: Path) -> None:
    folder = KeptRounds.beside(copied).folder
    shutil.copy(folder / "round-00003.f32", folder / "round-00002.f32")
    with pytest.raises(IntegrityError, match="header of round 2 names"):
        ask(copied)


def test_a_round_that_is_missing_is_named(copied: Path) -> None:
    (KeptRounds.beside(copied).folder / "round-00003.f32").unlink()
    with pytest.raises(ConfigError, match=r"round-00003\.f32 is missing"):
        ask(copied)


def test_where_nothing_was_kept_the_mend_is_named(copied: Path) -> None:
    shutil.rmtree(KeptRounds.beside(copied).folder)
    with pytest.raises(ConfigError, match=r"Set `runtime\.keep_rounds = true` before the run"):
        ask(copied)


def test_a_run_without_canaries_has_nothing_to_ask_for(copied: Path) -> None:
    subject = open_subject(copied)
    mechanism = subject.config.mechanism.model_copy(update={"canaries": None})
    without = replace(subject, config=subject.config.model_copy(update={"mechanism": mechanism}))
    with pytest.raises(ConfigError, match="had no canaries"):
        round_deltas.run(without, lambda *_: None)


# -- what a run does by itself ---------------------------------------------------------------------


def test_nothing_is_kept_unless_it_is_asked_for(kept: Kept, tmp_path: Path) -> None:
    assert not Runtime().keep_rounds
    asked = RunFolder(kept.setting.out).config()
    for keep in (False, True):
        runtime = asked.runtime.model_copy(update={"keep_rounds": keep})
        config = asked.model_copy(update={"runtime": runtime})
        assert config.mechanism.digest() == asked.mechanism.digest()
        sender = SimpleNamespace(
            _parts=SimpleNamespace(config=config, folder=RunFolder(tmp_path / "run")),
            _mechanism=config.mechanism,
        )
        Runner._keep_sent(cast("Runner", sender), 0, kept.after[1])
        assert KeptRounds.beside(tmp_path / "run").folder.exists() is keep
