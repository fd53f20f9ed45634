"""An audit that was signed into a run verifies, and the first thing that does not is named."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from fake_attacks import HEADLINE, finding, report_of
from run_forgery import coordinator_key
from tiny_run import NONE, RECORD, Setting, Watcher, tiny_config

from audits.facts import GuaranteedFacts
from audits.findings import Verdict
from crypto.digests import canonical_json, sha256
from crypto.errors import ConfigError, IntegrityError
from crypto.merkle import MerkleLog
from crypto.roster import Roster, read_unverified_roster
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from secure_fl.auditing import binding
from secure_fl.auditing.binding import AuditSigner, verify_audits, write_audit
from secure_fl.auditing.subject import Subject, open_subject
from secure_fl.embedded import start_run
from secure_fl.runfolder import RunFolder
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel

FILES = (
    *("audit.json", "report.html", "report.pdf", "deployment.yaml"),
    *("log.json", "manifest.json"),
)


@dataclass(frozen=True)
class Audited:
    """A run with two audits, and who signed them."""

    setting: Setting
    subject: Subject
    signer: AuditSigner

    def copied(self, path: Path) -> RunFolder:
        shutil.copytree(self.setting.out, path)
        return RunFolder(path)


def audited(setting: Setting, times: int, privacy: dict[str, Any] = RECORD) -> Audited:
    """Run, and audit the run so often: first all is well, then it is not."""
    start_run(
        tiny_config(setting.model, privacy, rounds=1), setting.out, setting.places(), Watcher()
    )
    subject = open_subject(setting.out)
    roster = read_unverified_roster(subject.folder.read("transcript/roster.json"))
    signer = AuditSigner(roster, coordinator_key(setting.state))
    for number in range(times):
        verdict = Verdict.VIOLATED if number else Verdict.NOT_REFUTED
        folder = write_audit(subject, report_of(subject, finding(HEADLINE, verdict)), signer)
        assert folder.name == f"{number + 1:03d}"
    return Audited(setting, subject, signer)


@pytest.fixture(scope="module")
def original(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Audited:
    return audited(Setting(tmp_path_factory.mktemp("audited"), tiny), 2)


@pytest.fixture
def run(original: Audited, tmp_path: Path) -> RunFolder:
    """A copy to tamper with."""
    return original.copied(tmp_path / "run")


@pytest.fixture
def roster(original: Audited) -> Roster:
    return original.signer.roster


def refused(run: RunFolder, roster: Roster, said: str = ".") -> str:
    with pytest.raises(IntegrityError, match=said) as refusal:
        verify_audits(run, roster)
    return str(refusal.value)


def test_audits_verify_with_the_run_and_without_them_it_verifies_too(
    run: RunFolder, original: Audited, roster: Roster
) -> None:
    verify_run(run.path, original.setting.root)
    assert verify_audits(run, roster) == 2
    assert {path.name for path in (run.path / "audits" / "002").iterdir()} == set(FILES)
    shutil.rmtree(run.path / "audits")
    verify_run(run.path, original.setting.root)
    assert verify_audits(run, roster) == 0


def test_the_last_audit_can_be_taken_out_and_one_below_it_cannot(
    run: RunFolder, roster: Roster
) -> None:
    """What is not shown is said: that no later audit was removed."""
    shutil.rmtree(run.path / "audits" / "002")
    assert verify_audits(run, roster) == 1


# -- anybody with the folder -----------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("number", ["001", "002"])
def test_one_changed_byte_is_found(run: RunFolder, roster: Roster, number: str, name: str) -> None:
    path = run.path / "audits" / number / name
    whole = path.read_bytes()
    places = {0, len(whole) - 1, *range(0, len(whole), max(1, len(whole) // 12))}
    for place in sorted(places):
        flipped = bytearray(whole)
        flipped[place] ^= 0x01
        path.write_bytes(flipped)
        refused(run, roster)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(run: RunFolder, roster: Roster, name: str) -> None:
    (run.path / "audits" / "001" / name).unlink()
    # Without its manifest an audit is none, and what is there belongs to nobody.
    refused(run, roster, "belongs to no signed audit" if name == "manifest.json" else name)


@pytest.mark.parametrize(
    "name", ["notes.txt", "001/notes.txt", "001/more/notes.txt", "003/audit.json", "1/log.json"]
)
def test_an_added_file_is_named(run: RunFolder, roster: Roster, name: str) -> None:
    path = run.path / "audits" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    assert f"audits/{name} belongs to no signed audit" in refused(run, roster)


def test_a_link_in_place_of_a_file_is_named(run: RunFolder, roster: Roster) -> None:
    path = run.path / "audits" / "001" / "report.html"
    path.rename(run.path.parent / "report.html")
    path.symlink_to(run.path.parent / "report.html")
    refused(run, roster, r"report\.html is a link")


def test_an_audit_below_a_later_one_cannot_be_removed(run: RunFolder, roster: Roster) -> None:
    audits = run.path / "audits"
    shutil.rmtree(audits / "001")
    refused(run, roster, "belongs to no signed audit")
    (audits / "002").rename(audits / "001")
    refused(run, roster, "an audit was exchanged, or one before it was removed")


def test_audits_in_another_order_are_refused(run: RunFolder, roster: Roster) -> None:
    audits = run.path / "audits"
    (audits / "001").rename(audits / "x")
    (audits / "002").rename(audits / "001")
    (audits / "x").rename(audits / "002")
    refused(run, roster, "an audit was exchanged")


def test_an_audit_of_another_run_of_the_same_consortium_is_refused(
    original: Audited, run: RunFolder, roster: Roster, tmp_path: Path
) -> None:
    again = replace(original.setting, folder=tmp_path / "other")
    shutil.copytree(original.setting.state, again.state)
    other = audited(again, 1)
    assert other.signer.roster.digest() == roster.digest()
    shutil.rmtree(run.path / "audits")
    shutil.copytree(other.setting.out / "audits", run.path / "audits")
    refused(run, roster, "does not go on with the run's log")


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b"[" * 100_000, b'{"statement": 3}'])
def test_a_log_that_is_none_is_refused(run: RunFolder, roster: Roster, text: bytes) -> None:
    (run.path / "audits" / "001" / "log.json").write_bytes(text)
    refused(run, roster, r"log\.json is missing or is no audit's log")


# -- whoever holds a key ---------------------------------------------------------------------------


def test_another_key_does_not_sign_audits(original: Audited) -> None:
    with pytest.raises(ConfigError, match="is not the one that signed the run"):
        AuditSigner(original.signer.roster, SigningKey.generate(system_entropy))


def test_an_audit_signed_by_another_key_is_refused(
    original: Audited, run: RunFolder, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run.path / "audits")
    with monkeypatch.context() as patch:
        patch.setattr(AuditSigner, "__post_init__", lambda _: None)
        stranger = AuditSigner(roster, SigningKey.generate(system_entropy))
    subject = open_subject(run.path)
    write_audit(subject, report_of(subject), stranger)
    refused(run, roster)
    del original


def log_of(run: RunFolder) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(
        (run.path / "audits" / "001" / "log.json").read_bytes()
    )
    return found


def test_a_statement_of_another_key_under_the_coordinators_checkpoint_is_refused(
    original: Audited, run: RunFolder, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator can sign any log; whose statement is in it is checked beside it."""
    shutil.rmtree(run.path / "audits")
    stranger = SigningKey.generate(system_entropy)
    sign = binding.sign_message

    def signed_by_another(key: SigningKey, name: str, message: object) -> object:
        made = isinstance(message, binding.AuditMade)
        return sign(stranger if made else key, name, message)  # type: ignore[arg-type]

    monkeypatch.setattr(binding, "sign_message", signed_by_another)
    subject = open_subject(run.path)
    write_audit(subject, report_of(subject), original.signer)
    refused(run, roster, "audits")


def test_a_report_that_was_rendered_from_other_facts_is_refused(
    original: Audited, run: RunFolder, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the coordinator itself signs it."""
    shutil.rmtree(run.path / "audits")
    subject = open_subject(run.path)
    rendered = binding._rendered

    def flattering(facts: object, report: object) -> dict[str, bytes]:
        files = rendered(facts, report)  # type: ignore[arg-type]
        return files | {"report.html": files["report.html"].replace(b"not refuted", b"proven")}

    with monkeypatch.context() as patch:
        patch.setattr(binding, "_rendered", flattering)
        write_audit(subject, report_of(subject), original.signer)
    refused(run, roster, r"report\.html does not say what audit\.json and facts\.json hold")


def test_an_audit_of_another_state_of_the_run_is_refused(
    original: Audited, run: RunFolder, roster: Roster
) -> None:
    shutil.rmtree(run.path / "audits")
    other = replace(open_subject(run.path), manifest="ab" * 32)
    write_audit(other, report_of(other), original.signer)
    refused(run, roster, "an audit of another run, or of another state of it")


def test_a_verdict_that_the_report_does_not_have_is_refused(
    original: Audited, run: RunFolder, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run.path / "audits")
    made = binding.AuditMade

    def better(**said: object) -> object:
        return made(**(said | {"verdict": Verdict.NOT_REFUTED.value}))  # type: ignore[arg-type]

    subject = open_subject(run.path)
    with monkeypatch.context() as patch:
        patch.setattr(binding, "AuditMade", better)
        write_audit(
            subject, report_of(subject, finding(HEADLINE, Verdict.VIOLATED)), original.signer
        )
    refused(run, roster, "an audit of another run")


# -- the draft for the registry of deployments -----------------------------------------------------


def test_the_draft_of_a_private_run_is_signed_and_says_what_the_run_promises(
    run: RunFolder, original: Audited
) -> None:
    entry = yaml.safe_load((run.path / "audits" / "001" / "deployment.yaml").read_bytes())
    privacy = original.subject.facts.privacy
    assert isinstance(privacy, GuaranteedFacts)
    assert entry["deployment"]["privacy_loss"]["privacy_parameters"] == {
        "epsilon": privacy.highest_charge,
        "delta": privacy.delta,
    }
    statement = base64.b64decode(log_of(run)["statement"]["body"])
    assert sha256((run.path / "audits" / "001" / "deployment.yaml").read_bytes()) in statement


def test_a_draft_that_promises_less_is_refused_though_the_coordinator_signs_it(
    original: Audited, run: RunFolder, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run.path / "audits")
    subject = open_subject(run.path)
    rendered = binding._rendered

    def flattering(facts: object, report: object) -> dict[str, bytes]:
        files = rendered(facts, report)  # type: ignore[arg-type]
        entry = files["deployment.yaml"].replace(b"      epsilon: ", b"      epsilon: 0.")
        return files | {"deployment.yaml": entry}

    with monkeypatch.context() as patch:
        patch.setattr(binding, "_rendered", flattering)
        write_audit(subject, report_of(subject), original.signer)
    refused(run, roster, r"deployment\.yaml does not say what audit\.json and facts\.json hold")


def test_a_private_run_whose_statement_has_no_draft_is_refused(
    original: Audited, run: RunFolder, roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run.path / "audits")
    made = binding.AuditMade
    with monkeypatch.context() as patch:
        patch.setattr(binding, "AuditMade", lambda **said: made(**(said | {"deployment": None})))
        write_audit(open_subject(run.path), report_of(original.subject), original.signer)
    refused(run, roster, "states other files than an audit of this run has")


def test_a_run_without_a_guarantee_has_no_draft_and_can_be_given_none(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = audited(Setting(tmp_path, tiny), 1, NONE)
    run, roster = RunFolder(plain.setting.out), plain.signer.roster
    first = run.path / "audits" / "001"
    assert {path.name for path in first.iterdir()} == set(FILES) - {"deployment.yaml"}
    assert verify_audits(run, roster) == 1
    (first / "deployment.yaml").write_bytes(b"url_slug: x")
    refused(run, roster, r"deployment\.yaml belongs to no signed audit")
    # A coordinator that states one nevertheless is refused as well.
    shutil.rmtree(run.path / "audits")
    made = binding.AuditMade
    with monkeypatch.context() as patch:
        patch.setattr(
            binding, "AuditMade", lambda **said: made(**(said | {"deployment": bytes(32)}))
        )
        patch.setattr(binding, "_manifest", lambda *_: b"{}")
        write_audit(plain.subject, report_of(plain.subject), plain.signer)
    refused(run, roster, "states other files than an audit of this run has")


# -- writing ---------------------------------------------------------------------------------------


def test_an_audit_that_was_killed_before_its_manifest_is_begun_anew(
    original: Audited, run: RunFolder, roster: Roster
) -> None:
    third = run.path / "audits" / "003"
    third.mkdir()
    (third / "audit.json").write_bytes(b"half")
    refused(run, roster, "003/audit.json belongs to no signed audit")
    subject = open_subject(run.path)
    assert write_audit(subject, report_of(subject), original.signer) == third
    assert verify_audits(run, roster) == 3


@pytest.mark.parametrize("which", ["statement", "checkpoint"])
def test_no_audit_is_added_to_one_that_does_not_check_out(
    original: Audited, run: RunFolder, which: str
) -> None:
    path = run.path / "audits" / "001" / "log.json"
    log = log_of(run)
    log[which]["signature"] = base64.b64encode(bytes(64)).decode()
    path.write_bytes(canonical_json(log))
    subject = open_subject(run.path)
    with pytest.raises(IntegrityError):
        write_audit(subject, report_of(subject), original.signer)
    assert not (run.path / "audits" / "003").exists()


def test_the_audits_go_on_with_the_runs_own_log(run: RunFolder) -> None:
    leaves = list(run.leaves())
    checkpoint = base64.b64decode(log_of(run)["checkpoint"]["body"])
    statement = log_of(run)["statement"]
    assert base64.b64decode(statement["body"]).find(sha256(run.read("manifest.json"))) >= 0
    assert checkpoint.find(MerkleLog(leaves).root()) < 0
    assert canonical_json(log_of(run)) == (run.path / "audits" / "001" / "log.json").read_bytes()
