"""What a run with shared noise leaves: on whom its bound counts, and what `verify` refuses."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from run_forgery import coordinator_key, sign_again, state_facts
from tiny_run import Setting, Watcher, tiny_config

from audits.facts import (
    DistributedPrivacyFacts,
    ReportFacts,
    ReportWarning,
    Selection,
    SitePrivacyFacts,
)
from audits.site_facts import SiteFacts
from crypto.errors import ConfigError, IntegrityError
from crypto.roster import read_unverified_roster
from privacy import accounting
from privacy.events import Relation, Unit
from secure_fl.config import Mechanism
from secure_fl.embedded import start_run
from secure_fl.guarantee import planned_event, round_event
from secure_fl.privacy_reporting import privacy_facts
from secure_fl.runfolder import RunFolder
from secure_fl.sites.workbench import SiteWorkbench
from secure_fl.transcript_check import CheckedTranscript, read_transcript
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from tiny_model import TinyModel

    from crypto.signatures import SigningKey
    from privacy.update import Update
    from secure_fl.config import RunConfig
    from secure_fl.embedded import EmbeddedPlaces
    from secure_fl.rounds.site_parts import Tap

SITES, ROUNDS = 4, 4
DISTRIBUTED: dict[str, Any] = {
    "mode": "record-distributed",
    "unit": "record",
    "delta": 1e-5,
    "sigma": 2.0,
    "sampling_rate": 0.1,
    "clip": 0.5,
    "divisor": 4.0,
    "colluders": 1,
    "selection": "other-data",
}
WHOLE_SITES: dict[str, Any] = {
    "mode": "site",
    "delta": 1e-5,
    "sigma": 4.0,
    "clip": 0.5,
    "colluders": 1,
}


def shared_config(tiny: TinyModel, privacy: dict[str, Any], *, every: int = 3) -> RunConfig:
    training = {"local_steps": 1}
    if privacy["mode"] == "site":
        training["batch_size"] = 8
    config = tiny_config(tiny, privacy, sites=SITES, rounds=ROUNDS, training=training)
    runtime = config.runtime.model_copy(update={"evaluate_every": every})
    return config.model_copy(update={"runtime": runtime})


def places_of(setting: Setting, privacy: dict[str, Any]) -> EmbeddedPlaces:
    places = setting.places()
    if privacy["mode"] == "site":
        table = places.policy.read_text("utf-8")
        places.policy.write_text(table.replace('unit = "record"', 'unit = "site"'), "utf-8")
    return places


def run_in(folder: Path, tiny: TinyModel, privacy: dict[str, Any]) -> Setting:
    setting = Setting(folder, tiny)
    start_run(shared_config(tiny, privacy), setting.out, places_of(setting, privacy), Watcher())
    return setting


@pytest.fixture(scope="module")
def distributed(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return run_in(tmp_path_factory.mktemp("distributed"), tiny, DISTRIBUTED)


@pytest.fixture(scope="module")
def whole_sites(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return run_in(tmp_path_factory.mktemp("sites"), tiny, WHOLE_SITES)


@pytest.fixture
def run(distributed: Setting, tmp_path: Path) -> RunFolder:
    """A copy of the run with shared noise, to tamper with."""
    shutil.copytree(distributed.out, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def coordinator(distributed: Setting) -> SigningKey:
    return coordinator_key(distributed.state)


def facts_of(setting: Setting) -> ReportFacts:
    return ReportFacts.from_json((setting.out / "facts.json").read_bytes())


def test_a_run_of_shared_steps_says_what_was_promised_and_on_whom_it_counts(
    distributed: Setting,
) -> None:
    verify_run(distributed.out, distributed.root)
    facts = facts_of(distributed)
    privacy, mechanism = facts.privacy, RunFolder(distributed.out).config().mechanism
    assert isinstance(privacy, DistributedPrivacyFacts)
    plan = (planned_event(mechanism),)
    assert privacy.epsilon == accounting.epsilon(plan, 1e-5)
    assert privacy.accountant == accounting.Method.RENYI.value
    assert privacy.steps == ROUNDS
    assert [(s.cohort, s.drop_outs, s.colluders, s.honest) for s in privacy.shares] == [
        (4, 1, 1, 2)
    ]
    smoothed, approximated = privacy.cross_checks
    assert not smoothed.approximation
    assert approximated.approximation
    assert approximated.epsilon <= smoothed.epsilon < privacy.epsilon
    assert privacy.selection is Selection.OTHER_DATA
    assert {charge.drawn_epsilon for charge in privacy.sites} == {privacy.epsilon}
    assert ReportWarning.HONEST_SITES_NEEDED in facts.warnings
    assert ReportWarning.COORDINATOR_TRUSTED in facts.warnings
    assert ReportWarning.FLOATING_POINT_NOISE not in facts.warnings
    assert "clipped gradients" in facts.method.sent


def test_a_run_that_hides_sites_is_accounted_for_under_zero_out(whole_sites: Setting) -> None:
    verify_run(whole_sites.out, whole_sites.root)
    facts = facts_of(whole_sites)
    privacy, mechanism = facts.privacy, RunFolder(whole_sites.out).config().mechanism
    assert isinstance(privacy, SitePrivacyFacts)
    assert (privacy.unit, privacy.relation) == (Unit.SITE, Relation.ZERO_OUT)
    plan = (planned_event(mechanism),)
    assert privacy.epsilon == accounting.epsilon(plan, 1e-5, relation=Relation.ZERO_OUT)
    assert ReportWarning.SELECTION_UNSTATED in facts.warnings
    own = (whole_sites.state / "sites" / "site-1" / "facts.json").read_bytes()
    site = SiteFacts.from_json(own)
    assert site.budget.unit is Unit.SITE
    assert site.budget.relation is Relation.ZERO_OUT
    assert site.charge == privacy.sites[0]
    assert any("sums with shared noise" in entry.event for entry in site.ledger)
    assert any(entry.kind == "declare" and entry.run is None for entry in site.ledger)


def test_another_relation_would_be_another_epsilon(distributed: Setting) -> None:
    """Every epsilon is computed under the mode's own relation."""
    folder = RunFolder(distributed.out)
    mechanism = folder.config().mechanism
    stronger = mechanism.privacy.model_copy(update={"relation": Relation.REPLACE_ONE})
    plan, each = planned_event(mechanism), round_event(mechanism)
    checked = CheckedTranscript(
        joined={"site-1": None},  # type: ignore[dict-item] # only names are read
        heads={"site-1": b"\0" * 32},
        cohorts=dict.fromkeys(range(ROUNDS), SITES),
    )
    checked.uploads["site-1"] = {(round_, 1) for round_ in range(ROUNDS)}
    for privacy, relation in (
        (mechanism.privacy, Relation.ADD_REMOVE),
        (stronger, Relation.REPLACE_ONE),
    ):
        changed = mechanism.model_copy(update={"privacy": privacy})
        facts = privacy_facts(changed, checked, {})
        assert isinstance(facts, DistributedPrivacyFacts)
        expected = accounting.epsilon((plan,), 1e-5, relation=relation)
        drawn = accounting.epsilon((each,) * ROUNDS, 1e-5, relation=relation)
        assert facts.epsilon == expected
        assert facts.sites[0].reserved_epsilon == facts.sites[0].charged_epsilon == expected
        assert facts.sites[0].drawn_epsilon == drawn


FORGED: dict[str, Any] = {
    "privacy.epsilon": 0.25,
    "privacy.unit": "patient",
    "privacy.relation": "replace-one",
    "privacy.noise_multiplier": 8.0,
    "privacy.clip": 0.1,
    "privacy.steps": 1,
    "privacy.sampling_rate": 0.01,
    "privacy.accountant": "dp-accounting PLD, pessimistic",
    "privacy.cross_checks.0.epsilon": 0.25,
    "privacy.cross_checks.1.approximation": False,
    "privacy.selection": "charged",
    "privacy.shares.0.drop_outs": 0,
    "privacy.shares.0.colluders": 2,
    "privacy.sites.1.extra_draws": 3,
    "adversary": "malicious",
    "protection.threshold": 2,
    "rounds.1.epsilon": 0.1,
    "rounds.2.scores": None,
    "method.sent": "nothing at all",
}


@pytest.mark.parametrize("path", FORGED)
def test_a_fact_that_does_not_follow_is_found_under_the_coordinators_own_signature(
    run: RunFolder, distributed: Setting, coordinator: SigningKey, path: str
) -> None:
    facts = json.loads(run.read("facts.json"))
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    table = facts
    for key in parents:
        table = table[key]
    assert table[last] != FORGED[path]
    table[last] = FORGED[path]
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError):
        verify_run(run.path, distributed.root)


def test_a_run_with_shared_noise_is_not_passed_off_as_one_that_counts_on_nobody(
    run: RunFolder, distributed: Setting, coordinator: SigningKey
) -> None:
    facts = json.loads(run.read("facts.json"))
    facts["privacy"]["mode"] = "record"
    del facts["privacy"]["shares"]
    facts["warnings"] = ["one-process-held-all-keys"]
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match="mode record, and the run had mode record-distrib"):
        verify_run(run.path, distributed.root)


# -- sums that hold too little noise ---------------------------------------------------------------


def test_a_cohort_in_which_nobodys_noise_counts_is_refused(distributed: Setting) -> None:
    mechanism = RunFolder(distributed.out).config().mechanism
    small = CheckedTranscript(joined={}, cohorts={0: 1})
    with pytest.raises(IntegrityError, match="nobody's share of the noise counts"):
        privacy_facts(mechanism, small, {})


def test_a_cohort_that_shrank_has_larger_shares_and_a_row_of_its_own(
    tiny: TinyModel,
    tmp_path: Path,
    leaving: Callable[[str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leaving("site-2", 1)
    setting = run_in(tmp_path, tiny, DISTRIBUTED)
    verify_run(setting.out, setting.root)
    facts = facts_of(setting)
    assert [row.sites_in_sum for row in facts.rounds] == [4, 3, 3, 3]
    assert isinstance(facts.privacy, DistributedPrivacyFacts)
    assert [(s.cohort, s.drop_outs, s.honest) for s in facts.privacy.shares] == [
        (4, 1, 2),
        (3, 0, 2),
    ]
    page = (setting.out / "report.html").read_text("utf-8")
    assert "How the noise was shared" in page

    # The very same sums hold too little noise where no drop-out was paid for.
    folder = RunFolder(setting.out)
    mechanism, run_id = folder.config().mechanism, bytes.fromhex(facts.run.run_id)
    roster = read_unverified_roster(folder.read("transcript/roster.json"))
    cohorts = read_transcript(folder.leaves(), roster, mechanism, run_id).cohorts
    assert cohorts == {0: 4, 1: 4, 2: 3, 3: 3}
    monkeypatch.setattr(Mechanism, "paid_drop_outs", lambda *_: 0)
    with pytest.raises(IntegrityError, match="does not show that round 2 was opened by enough"):
        read_transcript(folder.leaves(), roster, mechanism, run_id)


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Let one site fail from a round on, counted from 0."""
    train = SiteWorkbench.train

    def leave(site: str, from_round: int) -> None:
        def fail(
            bench: SiteWorkbench,
            mechanism: Mechanism,
            shared: NDArray[np.float32],
            round_: int,
            tap: Tap | None = None,
        ) -> Update:
            if bench._site == site and round_ >= from_round:
                raise ConfigError("This machine is on fire.")
            return train(bench, mechanism, shared, round_, tap)

        monkeypatch.setattr(SiteWorkbench, "train", fail)

    return leave


# -- rounds that are not scored --------------------------------------------------------------------


def test_scores_are_measured_as_often_as_configured_and_at_the_end(distributed: Setting) -> None:
    facts = facts_of(distributed)
    assert [row.scores is not None for row in facts.rounds] == [False, False, True, True]
    assert all(row.epsilon is not None for row in facts.rounds)
    page = (distributed.out / "report.html").read_text("utf-8")
    assert "a dash where a round was not scored" in page


def test_a_score_that_was_not_to_be_measured_is_found(
    run: RunFolder, distributed: Setting, coordinator: SigningKey
) -> None:
    """Whoever measures more often could publish the best round of many."""
    rows = [json.loads(line) for line in run.read("metrics.jsonl").splitlines()]
    facts = json.loads(run.read("facts.json"))
    rows[0] |= {"accuracy": 0.9, "macro_f1": 0.9, "weighted_f1": 0.9}
    facts["rounds"][0]["scores"] = {"accuracy": 0.9, "macro_f1": 0.9, "weighted_f1": 0.9}
    write_metrics(run, rows)
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match="round 1 was scored, or was not, otherwise"):
        verify_run(run.path, distributed.root)


def test_a_score_that_was_to_be_measured_cannot_be_left_out(
    run: RunFolder, distributed: Setting, coordinator: SigningKey
) -> None:
    rows = [json.loads(line) for line in run.read("metrics.jsonl").splitlines()]
    facts = json.loads(run.read("facts.json"))
    rows[2] |= dict.fromkeys(("accuracy", "macro_f1", "weighted_f1"))
    facts["rounds"][2]["scores"] = None
    write_metrics(run, rows)
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match="round 3 was scored, or was not, otherwise"):
        verify_run(run.path, distributed.root)


def test_the_f1_of_records_with_classes_cannot_be_left_out(
    run: RunFolder, distributed: Setting, coordinator: SigningKey
) -> None:
    rows = [json.loads(line) for line in run.read("metrics.jsonl").splitlines()]
    facts = json.loads(run.read("facts.json"))
    without = dict.fromkeys(("macro_f1", "weighted_f1"))
    scores = (facts["utility"]["before"], *(row["scores"] for row in facts["rounds"]))
    for entry in (*rows, *(found for found in scores if found is not None)):
        entry.update(without)
    write_metrics(run, rows)
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match="round 3 has no F1, and the records have classes"):
        verify_run(run.path, distributed.root)


def write_metrics(run: RunFolder, rows: list[dict[str, Any]]) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (run.path / "metrics.jsonl").write_text(text, "utf-8")
