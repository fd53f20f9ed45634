"""What `verify` accepts, and the first thing that it names when something does not check out."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from run_forgery import coordinator_key, sign_again, sign_leaves_again, state_facts
from tiny_run import RECORD, Setting, Watcher, tiny_config

from crypto.digests import canonical_json
from crypto.errors import ConfigError, IntegrityError
from crypto.masked_sum import Adversary
from crypto.secrets import system_entropy
from crypto.signatures import SigningKey
from secure_fl.embedded import start_run
from secure_fl.runfolder import RunFolder
from secure_fl.verification import SignerUnknownError, verify_run

if TYPE_CHECKING:
    from pathlib import Path

    from tiny_model import TinyModel


FILES = (
    "adapter/README.md",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "config.toml",
    "facts.json",
    "ledger.json",
    "metrics.jsonl",
    "report.html",
    "transcript/checkpoint.json",
    "transcript/leaves.b64",
    "transcript/roster.json",
)


@pytest.fixture(scope="module")
def original(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """A finished private run."""
    setting = Setting(tmp_path_factory.mktemp("original"), tiny)
    config = tiny_config(tiny, RECORD, scrub=("IBAN_CODE",))
    start_run(config, setting.out, setting.places(), Watcher())
    return setting


@pytest.fixture
def run(original: Setting, tmp_path: Path) -> RunFolder:
    """A copy of it to tamper with."""
    shutil.copytree(original.out, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def coordinator(original: Setting) -> SigningKey:
    return coordinator_key(original.state)


def test_the_untouched_folder_verifies_and_the_tests_know_its_files(
    run: RunFolder, original: Setting
) -> None:
    verify_run(run.path, original.root)
    assert tuple(run.files()) == FILES


# -- anybody with the folder -----------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_flipped_bit_is_found_and_the_file_is_named(
    run: RunFolder, original: Setting, name: str
) -> None:
    path = run.path / name
    whole = path.read_bytes()
    places = {0, len(whole) - 1, *range(0, len(whole), max(1, len(whole) // 40))}
    for place in sorted(places):
        for bit in (0x01, 0x20):
            flipped = bytearray(whole)
            flipped[place] ^= bit
            path.write_bytes(flipped)
            with pytest.raises(IntegrityError) as refusal:
                verify_run(run.path, original.root)
            assert name in str(refusal.value), (place, bit)
    path.write_bytes(whole)
    verify_run(run.path, original.root)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(run: RunFolder, original: Setting, name: str) -> None:
    (run.path / name).unlink()
    with pytest.raises(IntegrityError, match=rf"{name} is missing"):
        verify_run(run.path, original.root)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "adapter/more.py", "progress/x", "a/b/c"])
def test_an_added_file_is_named(run: RunFolder, original: Setting, name: str) -> None:
    (run.path / name).parent.mkdir(parents=True, exist_ok=True)
    (run.path / name).write_bytes(b"")
    with pytest.raises(IntegrityError, match=rf"{name} was added after the run was signed"):
        verify_run(run.path, original.root)


def test_a_link_in_place_of_a_file_is_named(run: RunFolder, original: Setting) -> None:
    path = run.path / "report.html"
    path.rename(run.path.parent / "report.html")
    path.symlink_to(run.path.parent / "report.html")
    with pytest.raises(IntegrityError, match=r"report\.html is a link"):
        verify_run(run.path, original.root)


@pytest.mark.parametrize("cut", [1, 100])
def test_a_truncated_transcript_is_named(run: RunFolder, original: Setting, cut: int) -> None:
    path = run.path / "transcript" / "leaves.b64"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(IntegrityError, match=r"transcript/leaves\.b64 was changed"):
        verify_run(run.path, original.root)


def test_a_folder_without_a_manifest_is_no_finished_run(run: RunFolder, original: Setting) -> None:
    (run.path / "manifest.json").unlink()
    with pytest.raises(ConfigError, match="holds no finished run"):
        verify_run(run.path, original.root)


def test_without_a_trusted_key_the_signer_is_unknown(run: RunFolder) -> None:
    with pytest.raises(SignerUnknownError, match="anybody could have made"):
        verify_run(run.path, None)


def test_without_a_trusted_key_a_damaged_folder_is_damaged_first(run: RunFolder) -> None:
    (run.path / "report.html").write_bytes(b"<p>all is well</p>")
    with pytest.raises(IntegrityError, match=r"report\.html was changed"):
        verify_run(run.path, None)


def test_another_root_key_did_not_sign_the_roster(run: RunFolder) -> None:
    stranger = SigningKey.generate(system_entropy).public
    with pytest.raises(IntegrityError, match=r"transcript/roster\.json"):
        verify_run(run.path, stranger)


def test_a_whole_consortium_of_an_attackers_own_is_not_the_trusted_one(
    tiny: TinyModel, tmp_path: Path, original: Setting
) -> None:
    other = Setting(tmp_path, tiny)
    start_run(tiny_config(tiny, rounds=1), other.out, other.places(), Watcher())
    with pytest.raises(SignerUnknownError):
        verify_run(other.out, None)
    with pytest.raises(IntegrityError, match=r"transcript/roster\.json"):
        verify_run(other.out, original.root)


def test_an_altered_ledger_under_an_attackers_signature_is_refused(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    cheapen(run)
    attacker = SigningKey.generate(system_entropy)
    sign_again(run, coordinator, attacker)
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        verify_run(run.path, original.root)


def cheapen(run: RunFolder) -> None:
    """Let site-1's extract say that it drew half of the steps in its last round."""
    extracts = run.ledger()
    entries = json.loads(extracts["site-1"])
    entries[-1]["event"]["steps"] = 1
    extracts["site-1"] = canonical_json(entries)
    run.write_ledger(extracts)


def test_a_second_spelling_of_the_same_transcript_is_another_file(
    run: RunFolder, original: Setting
) -> None:
    path = run.path / "transcript" / "leaves.b64"
    leaves = run.leaves()
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert run.leaves() == leaves
    with pytest.raises(IntegrityError, match=r"transcript/leaves\.b64 was changed"):
        verify_run(run.path, original.root)


# -- whoever holds the coordinator's key -----------------------------------------------------------


def test_an_altered_ledger_under_the_coordinators_signature_is_not_what_the_site_signed(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    cheapen(run)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match=r"ledger\.json: the extract of site-1 is not what"):
        verify_run(run.path, original.root)


def test_a_site_left_out_of_the_ledger_is_missed(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    extracts = run.ledger()
    del extracts["site-2"]
    run.write_ledger(extracts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match=r"ledger\.json does not hold the extracts"):
        verify_run(run.path, original.root)


def test_swapped_leaves_do_not_have_the_signed_root(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    lines = run.read("transcript/leaves.b64").splitlines(keepends=True)
    lines[3], lines[4] = lines[4], lines[3]
    (run.path / "transcript" / "leaves.b64").write_bytes(b"".join(lines))
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match="does not have the signed Merkle root"):
        verify_run(run.path, original.root)


def test_a_transcript_cut_short_and_signed_again_misses_a_round(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    leaves = list(run.leaves())
    last_close = max(i for i, leaf in enumerate(leaves) if b"secure-fl.round-close.v2" in leaf)
    sign_leaves_again(run, coordinator, leaves[: last_close + 1])
    with pytest.raises(IntegrityError, match="does not show that round 2 was opened"):
        verify_run(run.path, original.root)


def test_a_statement_before_its_session_is_named_by_its_number(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    hello, joined, *rest = run.leaves()
    sign_leaves_again(run, coordinator, [joined, hello, *rest])
    with pytest.raises(IntegrityError, match=r"statement 0: .*never opened"):
        verify_run(run.path, original.root)


def test_a_leaf_with_another_signature_is_named_by_its_number(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    leaves = list(run.leaves())
    forged = bytearray(leaves[1])
    forged[-1] ^= 1
    sign_leaves_again(run, coordinator, [leaves[0], bytes(forged), *leaves[2:]])
    with pytest.raises(IntegrityError, match="statement 1"):
        verify_run(run.path, original.root)


def test_another_configuration_is_not_the_one_that_the_parties_signed(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    path = run.path / "config.toml"
    path.write_text(path.read_text("utf-8").replace("sigma = 1.5", "sigma = 3.0"), "utf-8")
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match=r"config\.toml is not the configuration"):
        verify_run(run.path, original.root)
    digest = run.config().mechanism.digest().hex()
    facts = json.loads(run.read("facts.json"))
    facts["digests"]["config"] = digest
    state_facts(run, facts)
    sign_again(run, coordinator, say={"config_digest": digest})
    with pytest.raises(IntegrityError, match=r"statement 0: .*another run, configuration"):
        verify_run(run.path, original.root)


def test_an_edited_report_does_not_say_what_the_facts_hold(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    path = run.path / "report.html"
    page = path.read_text("utf-8")
    path.write_text(page.replace("</body>", "<p>Nobody can learn anything.</p></body>"), "utf-8")
    assert path.read_text("utf-8") != page
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match=r"report\.html does not say"):
        verify_run(run.path, original.root)


def test_better_scores_are_not_those_of_the_rounds(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    facts = json.loads(run.read("facts.json"))
    facts["rounds"][-1]["scores"]["weighted_f1"] = 0.99
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match=r"metrics\.jsonl"):
        verify_run(run.path, original.root)


FORGED: dict[str, Any] = {
    "privacy.epsilon": 0.5,
    "privacy.delta": 1e-9,
    "privacy.unit": "patient",
    "privacy.relation": "replace-one",
    "privacy.noise_multiplier": 4.0,
    "privacy.clip": 0.1,
    "privacy.sampling_rate": 0.01,
    "privacy.steps": 1,
    "privacy.target_epsilon": 0.25,
    "privacy.accountant": "a better one",
    "privacy.cross_checks.0.epsilon": 0.5,
    "privacy.sites.1.ledger_head": "00" * 32,
    "privacy.sites.1.extra_draws": 3,
    "rounds.0.epsilon": 0.1,
    "rounds.0.attempts": 5,
    "rounds.0.sites_in_sum": 1,
    "scrubbing.0.looked_for": ["IBAN_CODE", "NAMES_OF_PETS"],
    "scrubbing.0.not_looked_for": [],
    "scrubbing.0.mode": "expert-determination",
    "protection.threshold": 2,
    "protection.cipher_suite": "a better one",
    "adversary": "malicious",
    "method.name": "ffa-lora",
    "method.tuned": "nothing at all",
    "base_model.name": "a better one",
    "base_model.weights_sha256": "00" * 32,
    "data.name": "finance.phrasebank",
    "holdings.rule": "label",
    "federation.consortium": "a better one",
    "federation.root_fingerprint": "00" * 32,
    "federation.coordinator.key_fingerprint": "00" * 32,
    "federation.sites.0.key_fingerprint": "00" * 32,
    "run.name": "another",
    "run.run_id": "00" * 16,
    "settings.0.value": "other",
    "digests.config": "00" * 32,
    "digests.roster": "00" * 32,
    "digests.transcript_size": 1,
}


@pytest.mark.parametrize("path", FORGED)
def test_a_fact_that_does_not_follow_is_found_under_the_coordinators_own_signature(
    run: RunFolder, original: Setting, coordinator: SigningKey, path: str
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
        verify_run(run.path, original.root)


def test_a_lower_charge_than_the_ledgers_is_found(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    facts = json.loads(run.read("facts.json"))
    for name in ("reserved_epsilon", "drawn_epsilon", "charged_epsilon"):
        facts["privacy"]["sites"][0][name] /= 2
    state_facts(run, facts)
    sign_again(run, coordinator)
    with pytest.raises(IntegrityError, match=r"facts\.json.*ledger"):
        verify_run(run.path, original.root)


def test_an_accountant_that_differs_in_the_last_digits_is_no_forgery(
    run: RunFolder, original: Setting, coordinator: SigningKey
) -> None:
    """Another machine's Fourier transform may round otherwise."""
    facts = json.loads(run.read("facts.json"))
    facts["privacy"]["epsilon"] *= 1 + 1e-12
    facts["rounds"][1]["epsilon"] *= 1 - 1e-12
    facts["privacy"]["cross_checks"][1]["epsilon"] *= 1 + 1e-12
    facts["privacy"]["sites"][0]["charged_epsilon"] *= 1 + 1e-12
    state_facts(run, facts)
    lines = [json.loads(line) for line in run.read("metrics.jsonl").splitlines()]
    lines[1]["epsilon"] = facts["rounds"][1]["epsilon"]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (run.path / "metrics.jsonl").write_text(text, "utf-8")
    sign_again(run, coordinator)
    verify_run(run.path, original.root)


# -- against a malicious coordinator ---------------------------------------------------------------


def test_a_malicious_run_without_its_confirmations_is_refused(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, rounds=1)
    mechanism = config.mechanism.model_copy(update={"adversary": Adversary.MALICIOUS})
    malicious = config.model_copy(update={"mechanism": mechanism})
    start_run(malicious, setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    run = RunFolder(setting.out)
    fewer = [leaf for leaf in run.leaves() if b"secure-fl.confirmation.v1" not in leaf]
    assert len(run.leaves()) - len(fewer) == 3

    sign_leaves_again(run, coordinator_key(setting.state), fewer)

    with pytest.raises(IntegrityError, match="does not show that round 1 was opened by enough"):
        verify_run(setting.out, setting.root)
