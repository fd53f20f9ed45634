"""What a finished run leaves behind holds no record, and no count of one."""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING

import pytest
from tiny_run import RECORD, SCRUBBED, Setting, Watcher, small_dataset, tiny_config

from audits.site_facts import SiteFacts
from crypto.errors import BudgetError, ConfigError
from domains.classification import SentenceClassification
from domains.partition import equal
from privacy.scrubbing import Scrubber
from secure_fl.embedded import start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiny_model import TinyModel

    from domains.encoding import EncodedRecords
    from domains.records import Record

SITES = ("site-1", "site-2", "site-3")
RECORDS = 3 * 211  # a number that stands nowhere by chance
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,}(?: ?[A-Z0-9]{1,4})?\b")
EMAIL = re.compile(r"\S+@[\w.-]+\w")


class Leftovers:
    """A finished private run with scrubbing, and what its model was given to read."""

    def __init__(self, setting: Setting, tokenized: list[str], logged: str) -> None:
        self.setting = setting
        self.tokenized = tokenized
        self.logged = logged

    def released(self) -> dict[str, bytes]:
        out = self.setting.out
        return {str(path): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def kept_at_sites(self) -> dict[str, bytes]:
        state = self.setting.state
        return {str(path): path.read_bytes() for path in state.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def leftovers(tiny: TinyModel, tmp_path_factory: pytest.TempPathFactory) -> Leftovers:
    setting = Setting(
        tmp_path_factory.mktemp("leftovers"),
        tiny,
        dataset=small_dataset(RECORDS),
        required_scrubbing=SCRUBBED,
    )
    tokenized: list[str] = []
    encode = SentenceClassification.encode

    def spy(task: SentenceClassification, records: Sequence[Record]) -> EncodedRecords:
        tokenized.extend(record.text for record in records)
        return encode(task, records)

    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, root = Keep(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SentenceClassification, "encode", spy)
            config = tiny_config(tiny, RECORD, rounds=1, scrub=SCRUBBED)
            start_run(config, setting.out, setting.places(), Watcher())
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
    verify_run(setting.out, setting.root)
    return Leftovers(setting, tokenized, "\n".join(lines))


def training_texts() -> list[str]:
    return [record.text for record in small_dataset(RECORDS).train]


def secrets_of(texts: list[str]) -> set[str]:
    return {found for text in texts for form in (IBAN, EMAIL) for found in form.findall(text)}


def test_no_file_and_no_log_holds_a_records_text(leftovers: Leftovers) -> None:
    texts = training_texts()
    found = secrets_of(texts)
    assert len(found) > 50, "or there was nothing to find"
    files = leftovers.released() | leftovers.kept_at_sites()
    assert len(files) > 30
    for name, data in (files | {"the log": leftovers.logged.encode()}).items():
        said = data.decode("utf-8", errors="replace")
        assert not any(text in said for text in texts), name
        assert not any(secret in said for secret in found), name


def test_the_search_would_find_a_record_in_a_log() -> None:
    texts = training_texts()
    log = f"could not parse {texts[5]!r}"
    assert any(text in log for text in texts)


def test_what_the_model_reads_is_scrubbed(leftovers: Leftovers) -> None:
    raw = set(training_texts())
    found = secrets_of(list(raw))
    evaluation = {record.text for record in small_dataset(RECORDS).evaluation}
    read = [text for text in leftovers.tokenized if text not in evaluation]
    assert len(read) >= RECORDS, "every training record was read"
    assert not any(secret in text for text in read for secret in found)
    assert sum("IBAN" in text for text in read) > 20, "a placeholder stands in its place"
    untouched = raw & set(read)
    assert untouched, "a sentence without anything to scrub is read as it is"
    assert not secrets_of(list(untouched))


def test_a_run_without_scrubbing_reads_what_is_there(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or the test above would hold for a spy that sees nothing."""
    tokenized: list[str] = []
    encode = SentenceClassification.encode

    def spy(task: SentenceClassification, records: Sequence[Record]) -> EncodedRecords:
        tokenized.extend(record.text for record in records)
        return encode(task, records)

    monkeypatch.setattr(SentenceClassification, "encode", spy)
    setting = Setting(tmp_path, tiny)
    start_run(tiny_config(tiny, rounds=1), setting.out, setting.places(), Watcher())
    assert {record.text for record in small_dataset().train} <= set(tokenized)


def test_exact_counts_are_in_the_sites_report_and_nowhere_in_the_run_folder(
    leftovers: Leftovers,
) -> None:
    shares = equal(small_dataset(RECORDS).train, len(SITES), 3)
    scrubber_counts = set()
    for site, share in zip(SITES, shares, strict=True):
        home = leftovers.setting.state / "sites" / site
        facts = SiteFacts.model_validate_json((home / "facts.json").read_bytes())
        assert facts.training_records == len(share) == 211
        labels = [record.label for record in share]
        assert [row.records for row in facts.labels] == [labels.count(i) for i in range(3)]
        assert facts.records_changed > 20
        assert sum(row.spans for row in facts.pii) >= facts.records_changed
        assert "211" in (home / "report.html").read_text("utf-8")
        assert (home / "report.html").stat().st_mode & 0o077 == 0, "its own user alone reads it"
        scrubber_counts |= {facts.training_records, facts.records_changed}
        scrubber_counts |= {row.records for row in facts.labels}
    released = json.loads((leftovers.setting.out / "facts.json").read_bytes())
    # What a simulation shared out is part of the experiment; a consortium's report cannot hold it.
    shown = released.pop("holdings")
    assert [entry["records"] for entry in shown["sites"]] == [211] * len(SITES)
    assert not scrubber_counts & numbers_in(released)
    for line in (leftovers.setting.out / "metrics.jsonl").read_text("utf-8").splitlines():
        assert not scrubber_counts & numbers_in(json.loads(line))
    ledger = (leftovers.setting.out / "ledger.json").read_text("utf-8")
    assert not scrubber_counts & numbers_in(json.loads(ledger))
    words = set(re.findall(r"[\w_]+", ledger + json.dumps(released)))
    assert not words & {"training_records", "records_changed", "spans", "pii", "211"}


def numbers_in(value: object) -> set[float]:
    if isinstance(value, dict):
        return set().union(*map(numbers_in, value.values()))
    if isinstance(value, list):
        return set().union(*map(numbers_in, value))
    return {value} if isinstance(value, (int, float)) else set()


def test_the_ledger_extract_names_neither_the_data_set_nor_its_digest(
    leftovers: Leftovers,
) -> None:
    extract = (leftovers.setting.out / "ledger.json").read_text("utf-8")
    facts = (leftovers.setting.state / "sites" / "site-1" / "facts.json").read_bytes()
    own = SiteFacts.model_validate_json(facts)
    assert own.dataset not in extract
    assert own.dataset_version not in extract
    commitments = {
        entry["dataset_commitment"]
        for site in json.loads(extract)["sites"].values()
        for entry in site
    }
    assert len(commitments) == len(SITES), "each site commits under a secret of its own"


def test_a_run_that_scrubs_less_than_the_policy_asks_is_refused(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny, required_scrubbing=SCRUBBED)
    config = tiny_config(tiny, scrub=SCRUBBED[:1])
    with pytest.raises(BudgetError, match="does not scrub IBAN_CODE, PHONE_NUMBER"):
        start_run(config, setting.out, setting.places(), Watcher())
    assert not setting.out.exists()


def test_an_entity_without_a_provider_stops_the_run_before_anything_is_charged(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    with pytest.raises(ConfigError, match="PET_NAME"):
        start_run(tiny_config(tiny, scrub=("PET_NAME",)), setting.out, setting.places(), Watcher())
    assert not setting.out.exists()


def test_a_scrubber_that_fails_is_no_reason_to_train_on_raw_text(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConfigError("The scrubber is broken.")

    monkeypatch.setattr(Scrubber, "scrub_all", fail)
    setting = Setting(tmp_path, tiny)
    config = tiny_config(tiny, scrub=SCRUBBED)
    with pytest.raises(ConfigError, match="scrubber is broken"):
        start_run(config, setting.out, setting.places(), Watcher())
    assert not setting.out.exists()
