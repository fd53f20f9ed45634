"""`secure-fl ledger`: what a site's officer reads, checks, hands out, backs up and restores."""

from __future__ import annotations

import hashlib
import json
import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_workplace import Outcome

import secure_fl
from crypto.digests import canonical_json
from crypto.errors import IntegrityError
from crypto.keyfiles import write_secret
from crypto.secrets import SecretBytes, system_entropy
from crypto.signatures import SigningKey
from privacy.accounting import epsilon
from privacy.events import NoGuarantee, Relation, SubsampledGaussian, Unit
from privacy.events import to_json as event_json
from privacy.ledger import Budget, ExtractEntry, Ledger, charged_events
from privacy.ledger_fingerprints import Fingerprints, record_digest
from secure_fl import site_home
from secure_fl.cli import main
from secure_fl.rounds.charging import extract_json
from secure_fl.sites.store import FileSiteStore

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPLATES = Path(secure_fl.__file__).parent / "templates"
NAME = "invented-sentences"  # the template's
RUNS = ("run-1", "run-2")


def steps(count: int) -> SubsampledGaussian:
    return SubsampledGaussian(20.0, 1.0, count)


OPEN = Budget(math.inf, 1e-5, Unit.RECORD, Relation.ADD_REMOVE)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Return a site's folder: two runs of two years, with one round of the second drawn again."""
    folder = tmp_path / "sites" / "site-1"
    folder.mkdir(parents=True, mode=0o700)
    write_secret(folder / "identity.key", SecretBytes(bytes(range(32))))
    (folder / "policy.toml").write_text((TEMPLATES / "policy.toml").read_text())
    now = datetime(2025, 12, 31, tzinfo=UTC)
    prints = Fingerprints.of([record_digest("a text")], SecretBytes(bytes(32)))
    with Ledger.open(folder / "ledger.sqlite", clock=lambda: now) as ledger:
        ledger.reserve(NAME, bytes(32), "run-1", steps(30), OPEN, records=prints)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        ledger.reserve(NAME, bytes(32), "run-2", steps(40), OPEN)
        for attempt in range(2):
            ledger.draw(NAME, "run-2", 0, attempt, steps(5), OPEN)
    return folder


def head_of(site: Path) -> str:
    with Ledger.open(site / "ledger.sqlite", clock=lambda: datetime.now(UTC)) as ledger:
        return ledger.head().hex()


def spend(
    site: Path, name: str = NAME, event: SubsampledGaussian | NoGuarantee | None = None
) -> str:
    with Ledger.open(site / "ledger.sqlite", clock=lambda: datetime.now(UTC)) as ledger:
        return ledger.reserve(name, bytes(32), "run-9", event or steps(1), OPEN).hex()


# -- show -----------------------------------------------------------------------------------------


def test_show_says_what_is_spent_and_left_over_all_per_year_and_per_run(
    call: Callable[..., Outcome], site: Path
) -> None:
    outcome = call("ledger", "show", "--site", site, "--json")
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.out)
    assert shown["head"] == head_of(site)
    assert shown["entries"] == 5
    (account,) = shown["datasets"]
    total = epsilon([steps(75)], 1e-5)
    expected: dict[str, Any] = {
        "name": NAME,
        "unit": "record",
        "relation": "add-remove",
        "delta": 1e-5,
        "composition": {"kind": "planned"},
        "shares_people_with": [],
        "ceiling": 10.0,
        "left": 10.0 - total,
        "spent": total,
        "no_guarantee": False,
    }
    assert {key: account[key] for key in expected} == expected
    first, second = epsilon([steps(30)], 1e-5), epsilon([steps(45)], 1e-5)
    assert [(y["year"], y["spent"]) for y in account["years"]] == [(2025, first), (2026, second)]
    assert [(r["run"], r["spent"]) for r in account["runs"]] == [
        ("run-1", first),
        ("run-2", second),
    ]
    assert total < first + second


def test_show_is_read_by_people_too(call: Callable[..., Outcome], site: Path) -> None:
    outcome = call("ledger", "show", "--site", site)
    assert outcome.code == 0, outcome.err
    for said in (
        NAME,
        "per record, add-remove, delta 1e-05, runs planned together",
        "in 2025, alone",
        "run run-2, alone",
        f"5 entries, which verify. Head: {head_of(site)}",
    ):
        assert said in outcome.out
    rows = dict(re.findall(r"^  (ceiling|spent|left) +([0-9.]+)$", outcome.out, re.MULTILINE))
    total = epsilon([steps(75)], 1e-5)
    assert rows["ceiling"] == "10.0000"
    # What was spent is rounded up, and what is left is rounded down.
    assert total <= float(rows["spent"]) < total + 1e-4
    assert 10.0 - total - 1e-4 < float(rows["left"]) <= 10.0 - total


def test_show_of_what_has_no_bound(call: Callable[..., Outcome], site: Path) -> None:
    spend(site, "other", NoGuarantee())
    shown = json.loads(call("ledger", "show", "--site", site, "--json").out)
    other = shown["datasets"][1]
    assert (other["spent"], other["no_guarantee"], other["ceiling"]) == (None, True, None)
    text = call("ledger", "show", "--site", site).out
    assert "infinity (no guarantee)" in text
    assert "not in the policy" in text
    (site / "policy.toml").unlink()
    assert (
        json.loads(call("ledger", "show", "--site", site, "--json").out)["datasets"][0]["ceiling"]
        is None
    )


def test_show_of_an_empty_ledger(call: Callable[..., Outcome], site: Path) -> None:
    (site / "ledger.sqlite").unlink()
    Ledger.open(site / "ledger.sqlite", clock=lambda: datetime.now(UTC)).close()
    outcome = call("ledger", "show", "--site", site)
    assert "No data set was used yet." in outcome.out
    assert "0 entries" in outcome.out


@pytest.mark.parametrize("verb", ["show", "verify", "export", "backup"])
def test_no_command_makes_a_ledger(call: Callable[..., Outcome], site: Path, verb: str) -> None:
    """An empty one would say that nothing was ever spent."""
    (site / "ledger.sqlite").unlink()
    words = [site.parent / "copy"] if verb == "backup" else []
    line = call("ledger", verb, *words, "--site", site).refused(2)
    assert "There is no ledger at" in line
    assert "before the site starts again" in line
    assert "There is no folder" in call("ledger", verb, *words, "--site", site / "x").refused(2)
    assert not (site / "ledger.sqlite").exists()


# -- verify ---------------------------------------------------------------------------------------


def test_verify_is_silent_where_all_is_as_it_was(call: Callable[..., Outcome], site: Path) -> None:
    for words in ((), ("--known-head", head_of(site).upper())):
        assert call("ledger", "verify", "--site", site, *words) == Outcome(0, "", "")


def test_verify_names_what_does_not_check_out(call: Callable[..., Outcome], site: Path) -> None:
    line = call("ledger", "verify", "--site", site, "--known-head", "ab" * 32).refused(6)
    assert "never had the head" in line
    assert "64 hexadecimal digits" in call(
        "ledger", "verify", "--site", site, "--known-head", "ab"
    ).refused(2)
    content = bytearray((site / "ledger.sqlite").read_bytes())
    at = content.index(b'"run":"run-2"')
    content[at + 11] ^= 1
    (site / "ledger.sqlite").write_bytes(content)
    assert re.search(r"Entry \d of the ledger", call("ledger", "verify", "--site", site).refused(6))


# -- export ---------------------------------------------------------------------------------------


def test_an_export_holds_the_whole_chain(call: Callable[..., Outcome], site: Path) -> None:
    outcome = call("ledger", "export", "--site", site)
    assert outcome.code == 0, outcome.err
    exported = json.loads(outcome.out)
    assert exported["schema"] == "secure-fl.ledger-export.v1"
    head = bytes.fromhex(exported["genesis"])
    for entry in exported["entries"]:
        head = hashlib.sha256(head + canonical_json(entry)).digest()
    assert head.hex() == exported["head"] == head_of(site)
    assert [entry["kind"] for entry in exported["entries"]] == [
        *("declare", "reserve", "reserve", "draw", "draw")
    ]
    assert outcome.out == canonical_json(exported).decode() + "\n"


def test_the_export_of_a_run_hides_what_a_run_hides(
    call: Callable[..., Outcome], site: Path
) -> None:
    outcome = call("ledger", "export", "--site", site, "--run", "run-2")
    assert NAME not in outcome.out
    extract = [ExtractEntry.from_json(value) for value in json.loads(outcome.out)]
    assert charged_events(extract) == (steps(40), steps(5))
    key = SigningKey(SecretBytes(bytes(range(32))))
    with Ledger.open(site / "ledger.sqlite", clock=lambda: datetime.now(UTC)) as ledger:
        assert outcome.out.encode() == extract_json(ledger, "run-2", key) + b"\n"
    assert "no entry of run" in call("ledger", "export", "--site", site, "--run", "run-8").refused(
        2
    )


# -- backup and restore ---------------------------------------------------------------------------


def test_a_backup_prints_the_head_to_write_down(
    call: Callable[..., Outcome], site: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite"
    outcome = call("ledger", "backup", copy, "--site", site)
    assert outcome == Outcome(0, f"Wrote {copy}. Write its head down:\n{head_of(site)}\n", "")
    assert "already" in call("ledger", "backup", copy, "--site", site).refused(2)
    other = json.loads(call("ledger", "backup", tmp_path / "b", "--site", site, "--json").out)
    assert other["head"] == head_of(site)


@pytest.fixture
def older(call: Callable[..., Outcome], site: Path, tmp_path: Path) -> Path:
    """Return a backup that was made before the site's last run."""
    copy = tmp_path / "copy.sqlite"
    assert call("ledger", "backup", copy, "--site", site).code == 0
    spend(site)
    return copy


def test_an_older_backup_is_refused(call: Callable[..., Outcome], site: Path, older: Path) -> None:
    before = head_of(site)
    line = call("ledger", "restore", older, "--site", site).refused(6)
    assert "is older than the ledger" in line
    assert head_of(site) == before
    (site / "ledger.sqlite").unlink()
    line = call("ledger", "restore", older, "--site", site).refused(6)
    assert "Nothing says whether" in line
    words = ("ledger", "restore", older, "--site", site, "--known-head", before)
    assert "is older than" in call(*words).refused(6)
    assert not (site / "ledger.sqlite").exists()


def test_the_newest_backup_comes_back(
    call: Callable[..., Outcome], site: Path, older: Path
) -> None:
    head = head_of(site)
    newest = older.with_name("newest.sqlite")
    call("ledger", "backup", newest, "--site", site)
    (site / "ledger.sqlite").write_bytes(b"a broken disk")
    outcome = call("ledger", "restore", newest, "--site", site, "--known-head", head)
    assert outcome.code == 0, outcome.err
    assert f"Its head: {head}" in outcome.out
    assert "is kept as" in outcome.out
    assert "charged" not in outcome.out
    assert head_of(site) == head


def test_an_accepted_loss_costs_every_data_set_of_the_policy(
    call: Callable[..., Outcome], site: Path, older: Path
) -> None:
    outcome = call("ledger", "restore", older, "--site", site, "--accept-loss")
    assert outcome.code == 0, outcome.err
    assert f"{NAME} is charged infinity: no private run" in outcome.out
    shown = json.loads(call("ledger", "show", "--site", site, "--json").out)
    assert shown["datasets"][0]["no_guarantee"] is True


def test_an_officer_states_what_was_lost(
    call: Callable[..., Outcome], site: Path, older: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events.json"
    events.write_text(json.dumps([event_json(steps(1))]))
    words = ("ledger", "restore", older, "--site", site, "--accept-loss")
    outcome = call(*words, "--charge", f"{NAME}={events}")
    assert outcome.code == 0, outcome.err
    assert f"{NAME} is charged what was stated (events: 1)." in outcome.out
    (account,) = json.loads(call("ledger", "show", "--site", site, "--json").out)["datasets"]
    assert account["spent"] == epsilon([steps(76)], 1e-5)
    assert [run["run"] for run in account["runs"]] == ["run-1", "run-2"]


@pytest.mark.parametrize(("what", "spent"), [("infinity", None), ("none", 0.0)])
def test_a_name_that_was_never_used_can_have_been_lost_too(
    call: Callable[..., Outcome], site: Path, older: Path, what: str, spent: float | None
) -> None:
    policy = site / "policy.toml"
    policy.write_text(policy.read_text().replace(f'"{NAME}"', '"renamed"'))
    words = ("--charge", f"renamed={what}", "--charge", f"{NAME}=none")
    outcome = call("ledger", "restore", older, "--site", site, "--accept-loss", *words)
    assert outcome.code == 0, outcome.err
    accounts = json.loads(call("ledger", "show", "--site", site, "--json").out)["datasets"]
    assert accounts[0]["spent"] == epsilon([steps(75)], 1e-5)
    assert (accounts[1]["name"], accounts[1]["spent"]) == ("renamed", spent)
    assert (accounts[1]["unit"], accounts[1]["ceiling"]) == (None, 10.0)
    shown = call("ledger", "show", "--site", site).out
    assert "charged for a backup that was restored, and never declared" in shown


def test_what_was_stated_of_a_name_that_was_never_used(
    call: Callable[..., Outcome], site: Path, older: Path
) -> None:
    policy, events = site / "policy.toml", older.with_name("events.json")
    text = policy.read_text()
    policy.write_text(text.replace(f'"{NAME}"', '"renamed"'))
    events.write_text(json.dumps([event_json(steps(2))]))
    words = ("--accept-loss", "--charge", f"renamed={events}", "--charge", f"{NAME}=none")
    assert call("ledger", "restore", older, "--site", site, *words).code == 0
    show = ("ledger", "show", "--site", site, "--json")
    assert json.loads(call(*show).out)["datasets"][1]["spent"] == epsilon([steps(2)], 1e-5)
    policy.write_text(text)  # without its delta, no number can be claimed
    assert json.loads(call(*show).out)["datasets"][1]["no_guarantee"] is True


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--charge", f"{NAME}=none"), 2, "goes with --accept-loss"),
        (("--accept-loss", "--charge", NAME), 2, "NAME=none"),
        (("--accept-loss", "--charge", f"{NAME}="), 2, "NAME=none"),
        (("--accept-loss", "--charge", "=none"), 2, "NAME=none"),
        (("--accept-loss", *["--charge", f"{NAME}=none"] * 2), 2, "once for each data set"),
        (("--accept-loss", "--charge", "typo=none"), 2, "knows a data set `typo`"),
        (("--accept-loss", "--charge", f"{NAME}=/no/file"), 2, "cannot be read as JSON"),
        (("--known-head", "xyz"), 2, "64 hexadecimal digits"),
    ],
)
def test_what_an_officer_cannot_mean_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    call: Callable[..., Outcome],
    site: Path,
    older: Path,
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    before = head_of(site)
    assert said in call("ledger", "restore", older, "--site", site, *words).refused(code)
    assert head_of(site) == before


@pytest.mark.parametrize("content", ["{}", '[{"kind": "laplace"}]', "[", "[1]"])
def test_events_that_are_none_are_refused(
    call: Callable[..., Outcome], site: Path, older: Path, content: str
) -> None:
    events = older.with_name("events.json")
    events.write_text(content)
    words = ("--accept-loss", "--charge", f"{NAME}={events}")
    assert call("ledger", "restore", older, "--site", site, *words).code == 2


def test_while_somebody_answers_for_the_site_nothing_is_restored(
    call: Callable[..., Outcome], site: Path, older: Path
) -> None:
    key = SigningKey(SecretBytes(bytes(range(32))))
    with FileSiteStore(site / "runs", key, system_entropy).locked():
        words = ("ledger", "restore", older, "--site", site, "--accept-loss")
        assert "Another process answers" in call(*words).refused(2)


def test_without_a_policy_nobody_knows_what_may_be_lost(
    call: Callable[..., Outcome], site: Path, older: Path
) -> None:
    (site / "policy.toml").unlink()
    line = call("ledger", "restore", older, "--site", site, "--accept-loss").refused(2)
    assert "no policy.toml" in line


def test_a_group_without_a_command_says_what_there_is(call: Callable[..., Outcome]) -> None:
    for group, verb in (("ledger", "restore"), ("policy", "check")):
        outcome = call(group)
        assert outcome.code == 0
        assert verb in outcome.out
        assert outcome.err == ""


def test_a_site_that_lost_its_ledger_begins_no_empty_one(site: Path) -> None:
    """Whoever starts it by mistake, before a backup is restored, would spend everything again."""
    (site / "runs").mkdir()
    assert site_home._ledger(site).close() is None
    (site / "runs" / "00ff.state").write_bytes(b"sealed")
    site_home._ledger(site).close()
    (site / "ledger.sqlite").unlink()
    with pytest.raises(IntegrityError, match="has taken part in runs"):
        site_home._ledger(site)
    assert not (site / "ledger.sqlite").exists()
    (site / "runs" / "00ff.state").unlink()
    site_home._ledger(site).close()
    assert (site / "ledger.sqlite").exists()
