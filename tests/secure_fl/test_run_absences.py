"""A site that leaves, or never comes, does not cost the others their run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from run_forgery import coordinator_key, sign_again, state_facts
from tiny_run import RECORD, Setting, Watcher, tiny_config

from audits.facts import RecordPrivacyFacts, ReportFacts, ReportWarning
from crypto.errors import ConfigError, IntegrityError, PeerError
from secure_fl.embedded import start_run
from secure_fl.runfolder import RunFolder
from secure_fl.sites.workbench import SiteWorkbench
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from privacy.update import Update
    from secure_fl.config import Mechanism
    from secure_fl.rounds.site_parts import Tap


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, int]], None]:
    """Let sites fail from a round on, counted from 0, after their ledgers were charged."""
    train = SiteWorkbench.train

    def leave(rounds: dict[str, int]) -> None:
        def fail(
            bench: SiteWorkbench,
            mechanism: Mechanism,
            shared: NDArray[np.float32],
            round_: int,
            tap: Tap | None = None,
        ) -> Update:
            if round_ >= rounds.get(bench._site, 10**6):
                raise ConfigError("This machine is on fire.")
            return train(bench, mechanism, shared, round_, tap)

        monkeypatch.setattr(SiteWorkbench, "train", fail)

    return leave


def facts_of(setting: Setting) -> ReportFacts:
    return ReportFacts.from_json((setting.out / "facts.json").read_bytes())


@pytest.mark.parametrize("round_", [0, 1])
def test_a_run_survives_a_site_that_leaves_and_says_what_is_known_of_its_ledger(
    tiny: TinyModel, tmp_path: Path, leaving: Callable[[dict[str, int]], None], round_: int
) -> None:
    leaving({"site-2": round_})
    setting = Setting(tmp_path, tiny)
    watcher = Watcher()
    start_run(tiny_config(tiny, RECORD, sites=4), setting.out, setting.places(), watcher)
    verify_run(setting.out, setting.root)

    facts = facts_of(setting)
    assert [row.sites_in_sum for row in facts.rounds] == ([3, 3] if round_ == 0 else [4, 3])
    assert ReportWarning.SITE_LEFT_EARLY in facts.warnings
    assert "A site left before the end" in (setting.out / "report.html").read_text("utf-8")
    assert isinstance(facts.privacy, RecordPrivacyFacts)
    stayed, left = facts.privacy.sites[0], facts.privacy.sites[1]
    assert left.site == "site-2"
    assert left.charged_epsilon == stayed.charged_epsilon, "it had reserved the whole plan"
    assert left.drawn_epsilon < stayed.drawn_epsilon
    log = (setting.state / "sites" / "site-2" / "site.log").read_text("utf-8")
    assert "on fire" in log
    for path in setting.out.rglob("*"):
        assert path.is_dir() or b"on fire" not in path.read_bytes(), "the site's own words stay"

    stated = json.loads((setting.out / "facts.json").read_bytes())
    stated["warnings"].remove("site-left-early")
    state_facts(RunFolder(setting.out), stated)
    sign_again(RunFolder(setting.out), coordinator_key(setting.state))
    with pytest.raises(IntegrityError, match="leaves out the warning"):
        verify_run(setting.out, setting.root)


def test_a_whole_cohort_needs_no_warning(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny)
    start_run(tiny_config(tiny, rounds=1), setting.out, setting.places(), Watcher())
    assert ReportWarning.SITE_LEFT_EARLY not in facts_of(setting).warnings


def test_a_site_that_never_joins_is_not_said_to_have_taken_part(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = SiteWorkbench.prepare
    asked: list[str] = []

    def refuse(bench: SiteWorkbench, mechanism: Mechanism) -> bytes:
        asked.append(bench._site)
        if bench._site == "site-3" and asked.count("site-3") > 1:  # it passed before the start
            raise ConfigError("The base model went away.")
        return prepare(bench, mechanism)

    monkeypatch.setattr(SiteWorkbench, "prepare", refuse)
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, rounds=1, sites=4)
    start_run(config, setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    names = [party.name for party in facts_of(setting).federation.sites]
    assert names == ["site-1", "site-2", "site-4"]
    assert not (setting.state / "sites" / "site-3" / "report.html").exists()


def test_below_the_threshold_the_run_stops_and_the_sites_say_why(
    tiny: TinyModel, tmp_path: Path, leaving: Callable[[dict[str, int]], None]
) -> None:
    leaving({"site-1": 1, "site-2": 1})
    setting = Setting(tmp_path, tiny)
    with pytest.raises(PeerError, match=r"Only 2 of 4 sites .*site-1: .*on fire"):
        start_run(tiny_config(tiny, sites=4), setting.out, setting.places(), Watcher())
    assert not (setting.out / "manifest.json").exists()
    assert (setting.out / "progress" / "round-1.f32").exists(), "the first round stands"
