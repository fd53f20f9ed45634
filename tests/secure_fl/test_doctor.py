"""What the doctor finds is what a run would fail of, and its words say what to do."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING

import pytest
from cli_workplace import Workplace, few_records
from round_simulator import mechanism_of

from crypto.errors import ConfigError
from domains.catalogue import ENTRIES
from secure_fl import machine_checks, run_checks
from secure_fl.config import DataSection, ModelSection, Runtime
from secure_fl.findings import Finding, Health, write_findings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from tiny_model import TinyModel

HYBRID = "x25519-mlkem768-hkdf-sha256-aes256ctr-z32"
NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
DEFAULT_ROUTE = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
)
LOCAL_ROUTE = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)
LOOPBACK_V6 = f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200 lo\n"
DEFAULT_V6 = (
    f"{'0' * 32} 00 {'0' * 32} 00 fe80{'0' * 27}1 00000400 00000003 00000000 00000003 eth0\n"
)


@pytest.fixture
def work(
    tmp_path: Path,
    tiny: TinyModel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Workplace:
    monkeypatch.setattr("secure_fl.embedded.load_dataset", few_records)
    return Workplace(tmp_path, tiny, capsys)


def one(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


def examined(work: Workplace, code: int, *words: str | Path) -> dict[str, list[tuple[str, str]]]:
    """Return what the doctor says of a workplace, by topic, after checking its exit code."""
    done = work.call("doctor", *words, "--state", work.root / "state", "--json")
    assert done.code == code, done.out
    assert done.err == ""
    told = json.loads(done.out)
    assert told["healthy"] is (code == 0)
    topics: dict[str, list[tuple[str, str]]] = {}
    for finding in told["findings"]:
        topics.setdefault(finding["topic"], []).append((finding["health"], finding["said"]))
    return topics


def test_a_machine_that_can_run_it_is_told_so(work: Workplace) -> None:
    topics = examined(work, 0, work.config)
    assert topics["base model"][0][0] == "ok"
    assert "local folder" in topics["base model"][0][1]
    looked_for = [said for _, said in topics["scrubbing"] if said.startswith("Can be looked for")]
    assert "PERSON" in looked_for[0]
    assert "the first run makes keys" in topics["state"][0][1]
    assert not (work.root / "state").exists()


def test_after_a_run_the_state_is_looked_through_and_nothing_changes(work: Workplace) -> None:
    assert work.run("--rounds", "1").code == 0
    files = {path: path.read_bytes() for path in work.root.rglob("*") if path.is_file()}
    topics = examined(work, 2, work.config)
    assert "3 open and verify" in topics["ledgers"][0][1]
    assert "`invented-sentences` has spent epsilon" in topics["budget"][0][1]
    assert "its ceiling is 8.01" in topics["policy"][0][1]
    assert {path: path.read_bytes() for path in work.root.rglob("*") if path.is_file()} == files


def test_the_lines_for_a_person_name_topic_and_health(work: Workplace) -> None:
    done = work.call("doctor", work.config, "--state", work.root / "state")
    assert done.code == 0
    assert "This machine can run it." in done.out
    work.edit("^base_model = .[^\n]*", 'base_model = "nowhere"')
    done = work.call("doctor", work.config, "--state", work.root / "state")
    assert done.code == 2
    assert "mend  base model" in done.out
    assert "One thing has to be mended before a run." in done.out


def _readable_key(work: Workplace) -> None:
    (work.root / "state" / "sites" / "site-2" / "identity.key").chmod(0o644)


def _readable_ledger(work: Workplace) -> None:
    (work.root / "state" / "sites" / "site-2" / "ledger.sqlite").chmod(0o644)


def _cut_ledger(work: Workplace) -> None:
    (work.root / "state" / "sites" / "site-3" / "ledger.sqlite").write_bytes(b"no ledger at all")


def _foreign_root(work: Workplace) -> None:
    public = work.root / "state" / "consortium" / "root.pub"
    other = work.root / "other"
    assert work.run("--rounds", "1", "--state", other, out="of-another").code == 0
    shutil.copyfile(other / "consortium" / "root.pub", public)


@pytest.mark.parametrize(
    ("damage", "topic", "expected"),
    [
        (_readable_key, "keys", "chmod 600"),
        (_readable_ledger, "ledgers", "chmod 600"),
        (_cut_ledger, "ledgers", "restore the ledger from a backup"),
        (_foreign_root, "roster", "do not belong together"),
    ],
)
def test_damage_to_the_state_is_found_and_the_mend_is_named(
    work: Workplace, damage: Callable[[Workplace], None], topic: str, expected: str
) -> None:
    work.edit("epsilon = 8.01", "epsilon = 50.0", "policy.toml")
    assert work.run("--rounds", "1").code == 0
    assert examined(work, 0, work.config)
    damage(work)
    topics = examined(work, 2, work.config)
    health, said = topics[topic][0]
    assert health == "mend"
    assert expected in said


def test_a_bad_configuration_is_one_finding_among_others(work: Workplace) -> None:
    work.edit("^delta = [^\n]*\n", "")
    topics = examined(work, 2, work.config)
    assert "`mechanism.privacy.delta` is missing" in topics["run"][0][1]
    assert topics["Python"][0][0] == "ok"


def test_what_the_run_needs_and_is_not_here_is_found(work: Workplace) -> None:
    work.edit("IBAN_CODE", "PET_NAME")
    work.edit('^method = "fedit"', 'method = "fedit-median"')
    work.edit("finance.generated", "finance.secret")
    topics = examined(work, 2, work.config)
    assert "requires PET_NAME" in topics["scrubbing"][0][1]
    assert "has to read every single update" in topics["method"][0][1]
    assert "finance.secret" in topics["data"][0][1]
    assert (
        "is not allowed" in topics["policy"][0][1] or "names no data set" in topics["policy"][0][1]
    )


def test_a_published_data_set_names_its_files(work: Workplace) -> None:
    work.edit("finance.generated", "finance.phrasebank")
    work.edit("finance.generated", "finance.phrasebank", "policy.toml")
    health, said = examined(work, 0, work.config)["data"][0]
    assert health == "note"
    assert "--data" in said
    assert "Sentences_50Agree.txt" in said


def test_a_model_that_may_be_downloaded_is_a_note_and_a_wrong_one_is_not(tmp_path: Path) -> None:
    model = ModelSection(name="nobody/nothing", weights_sha256="0" * 64, revision="0" * 40)
    runtime = Runtime(allow_hub=True)
    assert one(run_checks.base_model(model, runtime)).health is Health.NOTE
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    local = runtime.model_copy(update={"base_model": str(tmp_path)})
    with pytest.raises(Exception, match="expected SHA-256"):
        list(run_checks.base_model(model, local))


def test_providers_that_find_nothing_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_checks, "_SPECIMEN", "Nothing of that kind in here.")
    finding = one(run_checks.scrubbing(()))
    assert finding.health is Health.BAD
    assert "EMAIL_ADDRESS and IBAN_CODE" in finding.said


# -- the machine ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        ("numpy>=2.4", None),
        ("numpy<2", "numpy is "),
        ("numpy==1.0", "and ==1.0 is needed"),
        ("torch==2.13.0", None),
        ("no-such-library>=1", "no-such-library is not installed"),
        ("no-such-library>=1; extra == 'dev'", None),
    ],
)
def test_a_library_is_missing_or_of_a_version_that_does_not_do(
    requirement: str, fault: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "requires", lambda _: [requirement])
    finding = one(machine_checks.libraries())
    assert finding.faulty is (fault is not None)
    assert (fault or "torch") in finding.said


def test_a_clock_before_the_release_is_wrong() -> None:
    assert one(machine_checks.clock(datetime(1970, 1, 1, tzinfo=UTC))).faulty
    assert not one(machine_checks.clock(NOW)).faulty


def test_a_clock_behind_the_newest_ledger_entry_is_wrong(work: Workplace) -> None:
    assert work.run("--rounds", "1").code == 0
    state = work.root / "state"
    right = datetime.now(UTC)
    assert not any(f.topic == "clock" for f in machine_checks.state(state, right))
    findings = list(machine_checks.state(state, right - timedelta(hours=1)))
    clocks = [finding for finding in findings if finding.topic == "clock"]
    assert len(clocks) == 3
    assert all(finding.faulty and "was set back" in finding.said for finding in clocks)


@pytest.mark.parametrize(
    ("free", "health"), [(2**20, Health.BAD), (2**30, Health.NOTE), (2**35, Health.OK)]
)
def test_room_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, health: Health
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
    finding = one(machine_checks.disk([tmp_path / "not" / "there" / "yet"]))
    assert finding.health is health
    assert str(tmp_path) in finding.said


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "may not write" in one(machine_checks.disk([tmp_path])).said


@pytest.mark.parametrize(
    ("route", "ipv6", "said"),
    [
        (DEFAULT_ROUTE, "", "There is a default route"),
        (LOCAL_ROUTE, LOOPBACK_V6, "No default route"),
        (LOCAL_ROUTE, LOOPBACK_V6 + DEFAULT_V6, "There is a default route"),
    ],
)
def test_the_network_is_judged_by_the_routing_tables(
    tmp_path: Path, route: str, ipv6: str, said: str
) -> None:
    (tmp_path / "route").write_text(route)
    (tmp_path / "ipv6_route").write_text(ipv6)
    finding = one(machine_checks.network(tmp_path))
    assert said in finding.said
    assert not finding.faulty


def test_a_system_without_routing_tables_is_no_fault(tmp_path: Path) -> None:
    assert one(machine_checks.network(tmp_path)).health is Health.NOTE


def test_the_doctor_opens_no_socket(work: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)
    examined(work, 0, work.config)


def test_findings_are_json_with_a_schema(tmp_path: Path) -> None:
    def findings() -> Iterator[Finding]:
        yield Finding("disk", Health.BAD, "full")

    target = tmp_path / "findings.json"
    with target.open("w", encoding="utf-8") as stream:
        assert not write_findings(list(findings()), stream, as_json=True)
    assert json.loads(target.read_text()) == {
        "schema": "secure-fl.doctor.v1",
        "healthy": False,
        "findings": [{"topic": "disk", "health": "mend", "said": "full"}],
    }


# -- what the sums stand up to ---------------------------------------------------------------------


def test_what_the_sums_stand_up_to_is_said() -> None:
    told = one(run_checks.sums(mechanism_of(adversary="malicious", cipher_suite=HYBRID)))

    assert told.health is Health.OK
    assert told.said == (
        f"3 of 4 sites open a masked sum, against a malicious coordinator, in {HYBRID}"
    )
    assert list(run_checks.sums(mechanism_of(protection="plain"))) == []
    shared = one(run_checks.sums(mechanism_of(protection="homomorphic")))
    assert "one key (BFV): any one of them, together with the coordinator" in shared.said


def test_a_large_cohorts_neighbours_are_said() -> None:
    cohort = {"drop_out_rate": 0.05, "corrupted_share": 0.2}
    said = [found.said for found in run_checks.sums(mechanism_of(sites=104, cohort=cohort))]

    assert said[0].startswith("70 of 104 sites open a masked sum")
    assert said[1] == "Each site deals shares to 26 others, of which 20 rebuild a secret"


def test_a_cohort_that_nobody_can_bear_is_refused_before_anything_starts(work: Workplace) -> None:
    work.edit(
        r"^sites = 3",
        "sites = 104\ncohort = { drop_out_rate = 0.33, corrupted_share = 0.33 }",
    )
    topics = examined(work, 2, work.config)
    ((health, said),) = topics["sums"]
    assert health == "mend"
    assert "No neighbourhood among 104 sites bears" in said
    assert "No neighbourhood among 104 sites bears" in work.run().refused(2)
    assert not (work.root / "out").exists()
    assert not (work.root / "state").exists()


def test_a_machine_without_ml_kem_cannot_run_hybrid_sums(
    work: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(_: object) -> None:
        raise ConfigError("This machine's OpenSSL has no ML-KEM-768")

    monkeypatch.setattr("secure_fl.rounds.proposing.KemKey.generate", absent)
    work.edit(r"^adversary = [^\n]*", f'adversary = "semi-honest"\ncipher_suite = "{HYBRID}"')

    topics = examined(work, 2, work.config)

    assert topics["sums"] == [("mend", "This machine's OpenSSL has no ML-KEM-768")]
    assert "has no ML-KEM-768" in work.run().refused(2)
    assert not (work.root / "out").exists()


def test_what_a_data_sets_records_need_is_said() -> None:
    """An encoder chooses among options and ranks too; own records are in no catalogue."""

    def told(dataset: str, **more: object) -> Finding:
        data = DataSection.model_validate({"dataset": dataset, **more})
        return one(run_checks.data(mechanism_of().model_copy(update={"data": data})))

    for name, entry in ENTRIES.items():
        found = told(name)
        assert found.health is (Health.NOTE if entry.files else Health.OK)
        assert all(file in found.said for file in entry.files)
        assert ("Hugging Face cache" in found.said) == (entry.hub is not None)
    assert told("own", labels=("bad", "good")).health is Health.NOTE
    assert told("finance.none").health is Health.BAD
