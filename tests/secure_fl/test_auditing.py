"""An audit runs its attacks in any order, goes on after a kill, and never leaves a gate out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from fake_attacks import HEADLINE, Fakes, Listener, finding, report_of
from tiny_run import RECORD, Setting, Watcher, tiny_config

from audits.findings import AuditReport, Verdict
from crypto.errors import BudgetError, ConfigError, IntegrityError, PeerError
from secure_fl.auditing import attacks, audit
from secure_fl.auditing.audit import AuditWork, attacks_called, perform
from secure_fl.auditing.demands import NO_DEMANDS, AuditPolicy, load_audit_policy
from secure_fl.auditing.subject import Subject, open_subject
from secure_fl.embedded import start_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel


@pytest.fixture(scope="module")
def finished(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    setting = Setting(tmp_path_factory.mktemp("finished"), tiny)
    start_run(tiny_config(tiny, RECORD, rounds=1), setting.out, setting.places(), Watcher())
    return setting


@pytest.fixture
def subject(finished: Setting, tmp_path: Path) -> Subject:
    shutil.copytree(finished.out, tmp_path / "run")
    return open_subject(tmp_path / "run")


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return Fakes().install(monkeypatch)


def audited(subject: Subject, *names: str, listener: Listener | None = None) -> AuditReport:
    work = AuditWork.of(subject)
    return perform(subject, attacks_called(names), work, listener or Listener())


def verdicts(report: AuditReport) -> dict[str, Verdict]:
    return {each.gate: each.verdict for each in report.findings}


GATES = (HEADLINE, "gate-b", "gate-c", "gate-d")

# -- the report ------------------------------------------------------------------------------------


def test_every_gate_has_a_finding_and_they_stand_in_the_order_of_the_attacks(
    subject: Subject, fakes: Fakes
) -> None:
    listener = Listener()
    report = audited(subject, listener=listener)
    assert tuple(verdicts(report)) == GATES
    assert report.verdict is Verdict.NOT_REFUTED
    assert fakes.asked() == (1, 1, 1)
    assert report.run_manifest == subject.manifest
    assert report.run_id == subject.facts.run.run_id
    assert report.claim.epsilon == pytest.approx(subject.facts.privacy.epsilon)  # type: ignore[union-attr]
    assert listener.events[:3] == ["began first: trying first", "1 of 2", "found first 1"]
    assert AuditReport.from_json(report.to_json()) == report


def test_other_attacks_than_the_named_are_reported_as_not_run(
    subject: Subject, fakes: Fakes
) -> None:
    report = audited(subject, "third", "first", "third")
    assert tuple(verdicts(report)) == GATES
    assert fakes.asked() == (1, 0, 1)
    for gate in ("gate-b", "gate-c"):
        left = report.finding(gate)
        assert left is not None
        assert (left.verdict, left.samples) == (Verdict.NOT_RUN, 0)
        assert "asked for other attacks" in left.reason
        assert left.claim == f"The claim of {gate}."
    assert report.verdict is Verdict.INCONCLUSIVE


def test_one_violated_gate_makes_the_whole_violated(subject: Subject, fakes: Fakes) -> None:
    fakes.second.verdict = Verdict.VIOLATED
    assert audited(subject, "second").verdict is Verdict.VIOLATED


@pytest.mark.usefixtures("fakes")
def test_an_unknown_attack_is_refused_with_the_names_of_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"'fourth': nothing was audited.*first, second, third"):
        attacks_called(["first", "fourth"])


def test_the_real_attacks_have_different_gates_and_the_headline_is_one() -> None:
    gates = [gate.name for attack in attacks.ATTACKS for gate in attack.gates]
    assert len(set(gates)) == len(gates)
    assert attacks.HEADLINE in gates
    for attack in attacks.ATTACKS:
        for left in attack.not_run("No."):
            assert (left.verdict, left.reason) == (Verdict.NOT_RUN, "No.")


# -- attacks that fail -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ConfigError, PeerError, BudgetError, IntegrityError])
def test_an_attack_that_fails_is_not_run_says_why_and_is_tried_again(
    subject: Subject, fakes: Fakes, kind: type[Exception]
) -> None:
    fakes.second.fault = kind("The base model is not here.")
    report = audited(subject)
    assert [report.finding(gate).reason for gate in ("gate-b", "gate-c")] == [  # type: ignore[union-attr]
        "The base model is not here."
    ] * 2
    assert verdicts(report)["gate-b"] is Verdict.NOT_RUN
    assert verdicts(report)["gate-d"] is Verdict.NOT_REFUTED
    fakes.second.fault = None
    assert set(verdicts(audited(subject)).values()) == {Verdict.NOT_REFUTED}
    assert fakes.asked() == (1, 2, 1)


def test_a_defect_of_an_attack_is_not_called_not_run(subject: Subject, fakes: Fakes) -> None:
    fakes.second.fault = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        audited(subject)


def test_findings_of_other_gates_than_its_own_are_not_taken(
    subject: Subject, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attack = fakes.second.attack()
    wrong = replace(attack, run=lambda _, __: (finding("gate-b"), finding(HEADLINE)))
    monkeypatch.setattr(audit, "ATTACKS", (fakes.first.attack(), wrong))
    report = audited(subject)
    assert verdicts(report)["gate-b"] is Verdict.NOT_RUN
    assert verdicts(report)[HEADLINE] is Verdict.NOT_REFUTED
    assert not (AuditWork.of(subject).folder / "second.json").exists()


# -- going on --------------------------------------------------------------------------------------


def test_after_a_kill_what_was_found_is_used_again(subject: Subject, fakes: Fakes) -> None:
    fakes.second.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        audited(subject)
    assert fakes.asked() == (1, 1, 0)
    fakes.second.fault = None
    listener = Listener()
    report = audited(subject, listener=listener)
    assert fakes.asked() == (1, 2, 1)
    assert listener.events[0] == "kept first 1"
    assert tuple(verdicts(report)) == GATES
    assert report.verdict is Verdict.NOT_REFUTED
    assert report.started <= report.ended


def test_what_was_kept_is_used_whatever_is_asked_for_in_whatever_order(
    subject: Subject, fakes: Fakes
) -> None:
    audited(subject, "third")
    audited(subject, "second")
    report = audited(subject, "first")
    assert fakes.asked() == (1, 1, 1)
    assert tuple(verdicts(report)) == GATES
    assert report.verdict is Verdict.NOT_REFUTED


def test_a_violation_is_not_forgotten_by_a_kill(subject: Subject, fakes: Fakes) -> None:
    fakes.first.verdict = Verdict.VIOLATED
    fakes.second.fault = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        audited(subject)
    fakes.first.verdict, fakes.second.fault = Verdict.NOT_REFUTED, None
    assert verdicts(audited(subject))[HEADLINE] is Verdict.VIOLATED


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("run_manifest", "ab" * 32),
        ("version", "0.0.1"),
        ("schema", "secure-fl.audit-attack.v0"),
        ("findings", []),
    ],
)
def test_what_was_found_of_another_run_version_or_gate_is_not_used(
    subject: Subject, fakes: Fakes, field: str, value: object
) -> None:
    audited(subject, "first")
    path = AuditWork.of(subject).folder / "first.json"
    table = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(table | {field: value}), "utf-8")
    audited(subject, "first")
    assert fakes.first.asked == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_what_was_kept_by_half_is_not_used(subject: Subject, fakes: Fakes, text: str) -> None:
    audited(subject, "first")
    (AuditWork.of(subject).folder / "first.json").write_text(text, "utf-8")
    audited(subject, "first")
    assert fakes.first.asked == 2


@pytest.mark.usefixtures("fakes")
def test_the_run_folder_is_not_written_to_and_what_was_kept_can_be_forgotten(
    subject: Subject,
) -> None:
    before = {path: path.read_bytes() for path in subject.folder.path.rglob("*") if path.is_file()}
    audited(subject)
    after = {path: path.read_bytes() for path in subject.folder.path.rglob("*") if path.is_file()}
    assert after == before
    work = AuditWork.of(subject)
    assert work.folder == subject.folder.path.with_name("run.audit")
    assert {path.stem for path in work.folder.iterdir()} == {"first", "second", "third"}
    work.remove()
    work.remove()
    assert not work.folder.exists()


# -- demands ---------------------------------------------------------------------------------------


def demanding(*required: str, largest_epsilon: float | None = None) -> AuditPolicy:
    return AuditPolicy(
        schema="secure-fl.audit-policy.v1", required=required, largest_epsilon=largest_epsilon
    )


@pytest.mark.parametrize("verdict", [Verdict.INCONCLUSIVE, Verdict.NOT_RUN])
def test_a_required_gate_has_to_be_not_refuted(subject: Subject, verdict: Verdict) -> None:
    report = report_of(subject, finding(HEADLINE), finding("gate-b", verdict, "Too few."))
    assert NO_DEMANDS.unmet(report) == ()
    assert demanding(HEADLINE).unmet(report) == ()
    (line,) = demanding(HEADLINE, "gate-b").unmet(report)
    assert line == f"gate-b is {verdict.value}: Too few."
    (line,) = demanding("gate-x").unmet(report)
    assert "gate-x is no gate of this audit" in line


def test_a_violated_gate_fails_every_policy_and_is_said_once(subject: Subject) -> None:
    report = report_of(subject, finding(HEADLINE), finding("gate-b", Verdict.VIOLATED, "9 bits."))
    for policy in (NO_DEMANDS, demanding(HEADLINE), demanding("gate-b")):
        assert policy.unmet(report) == ("gate-b is violated: 9 bits.",)


def test_a_run_that_claims_more_than_is_allowed_falls_short(subject: Subject) -> None:
    report = report_of(subject)
    claimed = report.claim.epsilon
    assert claimed is not None
    assert demanding(largest_epsilon=claimed).unmet(report) == ()
    (line,) = demanding(largest_epsilon=claimed / 2).unmet(report)
    assert f"epsilon {claimed:.4g}, above {claimed / 2:g}" in line
    nothing = report.claim.model_copy(update={"epsilon": None, "delta": None})
    (line,) = demanding(largest_epsilon=1e6).unmet(report.model_copy(update={"claim": nothing}))
    assert "no guarantee" in line


@pytest.mark.usefixtures("fakes")
def test_a_policy_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "audit-policy.toml"
    path.write_text(
        'schema = "secure-fl.audit-policy.v1"\nrequired = ["gate-b"]\nlargest_epsilon = 8\n'
    )
    assert load_audit_policy(path) == demanding("gate-b", largest_epsilon=8.0)


REFUSED = {
    "no TOML": ("schema = ", "is no TOML"),
    "no text": ("\x80", "no TOML"),
    "no schema": ('required = ["gate-b"]', "schema"),
    "another schema": ('schema = "secure-fl.audit-policy.v9"', "schema"),
    "an unknown key": ('schema = "secure-fl.audit-policy.v1"\nsmallest = 1', "smallest"),
    "a wrong type": ('schema = "secure-fl.audit-policy.v1"\nrequired = "gate-b"', "required"),
    "no epsilon": ('schema = "secure-fl.audit-policy.v1"\nlargest_epsilon = 0', "largest_epsilon"),
    "an unknown gate": (
        'schema = "secure-fl.audit-policy.v1"\nrequired = ["gate-x"]',
        r"'gate-x', which no attack has.*gate-b, gate-c, gate-d",
    ),
}


@pytest.mark.usefixtures("fakes")
@pytest.mark.parametrize("what", REFUSED)
def test_a_policy_that_cannot_be_honoured_is_refused(tmp_path: Path, what: str) -> None:
    text, said = REFUSED[what]
    path = tmp_path / "audit-policy.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=said) as refusal:
        load_audit_policy(path)
    assert "audit-policy.toml" in str(refusal.value)


def test_a_policy_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_audit_policy(tmp_path / "none.toml")


# -- the subject -----------------------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_no_subject(subject: Subject) -> None:
    (subject.folder.path / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="nothing can be audited"):
        open_subject(subject.folder.path)
