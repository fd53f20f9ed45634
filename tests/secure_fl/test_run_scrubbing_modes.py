"""Whole runs in each mode of scrubbing: what is trained on, and which report says what of it."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

import pytest
from tiny_run import RECORD, Setting, Watcher, small_dataset, tiny_config

from audits.facts import ReportFacts
from audits.site_facts import SiteFacts
from crypto.errors import BudgetError, ConfigError
from domains.classification import SentenceClassification
from privacy.scrubbing import SAFE_HARBOR_ENTITIES, Recognizer, ScrubMode, engine
from secure_fl.config import RunConfig
from secure_fl.embedded import resume_run, start_run
from secure_fl.verification import verify_run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tiny_model import TinyModel

    from domains.encoding import EncodedRecords
    from domains.records import Record
    from secure_fl.embedded import EmbeddedPlaces

STATEMENT = hashlib.sha256(b"an expert's words").hexdigest()
LOOKED_FOR = ("DATE_TIME", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER")


@pytest.fixture(autouse=True)
def _all_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if something were loaded for every entity of Safe Harbor."""
    there = {entity for recognizer in engine.BUILT_IN for entity in recognizer.entities}
    fakes = tuple(
        Recognizer(f"fake {entity}", (entity,), lambda _: ())
        for entity in SAFE_HARBOR_ENTITIES
        if entity not in there
    )
    monkeypatch.setattr(engine, "BUILT_IN", engine.BUILT_IN + fakes)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that any site's model was given, evaluation aside."""
    texts: list[str] = []
    evaluation = {record.text for record in small_dataset().evaluation}
    encode = SentenceClassification.encode

    def spy(task: SentenceClassification, records: Sequence[Record]) -> EncodedRecords:
        texts.extend(record.text for record in records if record.text not in evaluation)
        return encode(task, records)

    monkeypatch.setattr(SentenceClassification, "encode", spy)
    return texts


def config_of(
    model: TinyModel, mode: ScrubMode, scrub: tuple[str, ...] = (), sample: Path | None = None
) -> RunConfig:
    table = tiny_config(model, RECORD, rounds=1, scrub=scrub).model_dump(mode="json", by_alias=True)
    table["mechanism"]["data"]["scrub_mode"] = mode.value
    table["runtime"]["scrub_sample"] = None if sample is None else str(sample)
    return RunConfig.model_validate(table)


def places_of(setting: Setting, **lines: str) -> EmbeddedPlaces:
    """The places of a setting whose policy has these further lines."""
    places = setting.places()
    said = "".join(f"{key} = {value}\n" for key, value in lines.items())
    places.policy.write_text(said + places.policy.read_text("utf-8"), "utf-8")
    return places


def own_report(setting: Setting, site: str = "site-1") -> tuple[SiteFacts, str]:
    home = setting.state / "sites" / site
    facts = SiteFacts.from_json((home / "facts.json").read_bytes())
    return facts, (home / "report.html").read_text("utf-8")


def written_by(setting: Setting) -> str:
    """All text that a run left, in its folder and at the sites."""
    files = [path for path in setting.folder.rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in files)


def test_a_run_in_safe_harbor_mode(tiny: TinyModel, tmp_path: Path, read: list[str]) -> None:
    setting = Setting(tmp_path, tiny)
    places = places_of(setting, required_scrub_mode='"safe-harbor"')
    start_run(config_of(tiny, ScrubMode.SAFE_HARBOR), setting.out, places, Watcher())
    verify_run(setting.out, setting.root)

    assert any("<EMAIL_ADDRESS>" in text for text in read)
    assert not re.search(r"\S@\w+\.\w", "".join(read))
    facts = ReportFacts.from_json((setting.out / "facts.json").read_bytes())
    assert {entry.mode for entry in facts.scrubbing} == {ScrubMode.SAFE_HARBOR}
    assert set(facts.scrubbing[0].looked_for) >= set(SAFE_HARBOR_ENTITIES)
    written = (setting.out / "config.toml").read_text("utf-8")
    assert all(f'"{entity}"' in written for entity in SAFE_HARBOR_ENTITIES)
    released = (setting.out / "report.html").read_text("utf-8")
    assert "no actual knowledge" in released
    own, page = own_report(setting)
    assert {entry.entity for entry in own.providers} == set(own.scrubbing.looked_for)
    assert own.pii
    assert "The eighteen identifiers" in page
    assert "The eighteen identifiers" not in released
    assert "finds in" not in released
    assert "pii" not in json.loads((setting.out / "facts.json").read_bytes())


def test_an_experts_run_is_nowhere_called_safe_harbor(
    tiny: TinyModel, tmp_path: Path, read: list[str]
) -> None:
    setting = Setting(tmp_path, tiny)
    places = places_of(setting, expert_statement=f'"{STATEMENT}"')
    config = config_of(tiny, ScrubMode.EXPERT_DETERMINATION, LOOKED_FOR)
    start_run(config, setting.out, places, Watcher())
    verify_run(setting.out, setting.root)

    assert any(re.search("<EMAIL_ADDRESS [0-9a-f]{12}>", text) for text in read)
    assert not re.search(r"\S@\w+\.\w", "".join(read))
    assert not re.search("safe.?harbou?r", written_by(setting), re.IGNORECASE)
    own, page = own_report(setting)
    assert own.expert_statement == STATEMENT
    assert "policy names a document as the expert" in page
    assert STATEMENT not in (setting.out / "facts.json").read_text("utf-8")


@pytest.mark.parametrize("mode", [ScrubMode.SAFE_HARBOR, ScrubMode.EXPERT_DETERMINATION])
def test_a_run_that_goes_on_trains_on_the_text_it_began_with(
    tiny: TinyModel, tmp_path: Path, read: list[str], mode: ScrubMode
) -> None:
    setting = Setting(tmp_path, tiny)
    stopped = Watcher(lambda event: event == "close 0")
    with pytest.raises(KeyboardInterrupt):
        start_run(config_of(tiny, mode, LOOKED_FOR), setting.out, setting.places(), stopped)
    before = list(read)
    read.clear()
    resume_run(setting.out, setting.places(), Watcher())
    verify_run(setting.out, setting.root)
    assert read == before
    assert len(before) >= len(small_dataset().train)


def test_without_what_it_was_drawn_by_a_run_would_go_on_with_other_text(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: list[str]
) -> None:
    """Or the test above would hold for surrogates that are no surrogates."""
    names = Recognizer("words", ("PERSON",), _first_words)
    monkeypatch.setattr(engine, "BUILT_IN", (*engine.BUILT_IN, names))
    setting = Setting(tmp_path, tiny)
    stopped = Watcher(lambda event: event == "close 0")
    with pytest.raises(KeyboardInterrupt):
        start_run(config_of(tiny, ScrubMode.SAFE_HARBOR), setting.out, setting.places(), stopped)
    before = list(read)
    read.clear()
    for kept in setting.state.rglob("*.scrub"):
        kept.unlink()
    resume_run(setting.out, setting.places(), Watcher())
    assert read != before


def _first_words(text: str) -> list[object]:
    from privacy.scrubbing import Span  # noqa: PLC0415 - with its one use

    match = re.match(r"[A-Za-z]{3,}", text)
    return [] if match is None else [Span(0, match.end(), "PERSON", 1.0)]


def test_another_mode_than_the_policy_requires_is_refused(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny)
    places = places_of(setting, required_scrub_mode='"safe-harbor"')
    with pytest.raises(BudgetError, match="safe-harbor is required"):
        start_run(
            config_of(tiny, ScrubMode.PLACEHOLDERS, LOOKED_FOR), setting.out, places, Watcher()
        )
    assert not setting.out.exists()


def test_safe_harbor_without_one_provider_stops_the_run_before_anything_is_charged(
    tiny: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = tuple(r for r in engine.BUILT_IN if "BIOMETRIC_ID" not in r.entities)
    monkeypatch.setattr(engine, "BUILT_IN", fewer)
    setting = Setting(tmp_path, tiny)
    with pytest.raises(ConfigError, match=r"requires .*BIOMETRIC_ID.*, and no provider"):
        start_run(config_of(tiny, ScrubMode.SAFE_HARBOR), setting.out, setting.places(), Watcher())
    assert not setting.out.exists()


# -- residual risk on a labelled sample -----------------------------------------------------------

TEXT = "Write to anna@example.org, or ask Anna."
ROWS = (
    {
        "text": TEXT,
        "spans": [
            {"start": 9, "end": 25, "entity": "EMAIL_ADDRESS"},
            {"start": 34, "end": 38, "entity": "PERSON"},
        ],
    },
    {"text": "Nothing here, but 10.1.2.3.", "spans": []},
)


def sample_of(folder: Path, *rows: object) -> Path:
    path = folder / "sample.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_the_site_reads_what_scrubbing_leaves_and_nobody_else_does(
    tiny: TinyModel, tmp_path: Path
) -> None:
    setting = Setting(tmp_path, tiny)
    sample = sample_of(tmp_path, *ROWS)
    config = config_of(tiny, ScrubMode.PLACEHOLDERS, ("EMAIL_ADDRESS", "IP_ADDRESS"), sample)
    start_run(config, setting.out, setting.places(), Watcher())
    own, page = own_report(setting)
    residual = own.residual
    assert residual is not None
    assert residual.sample_sha256 == hashlib.sha256(sample.read_bytes()).hexdigest()
    assert (residual.texts, residual.texts_with_data, residual.clean_texts) == (2, 1, 0)
    assert (residual.characters, residual.characters_left) == (18, 4)
    assert (residual.findings, residual.false_findings) == (2, 1)
    assert [(row.entity, row.labelled, row.removed) for row in residual.rows] == [
        ("EMAIL_ADDRESS", 1, 1),
        ("PERSON", 1, 0),
    ]
    assert "4 stayed" in page
    released = "".join(
        path.read_bytes().decode("utf-8", "replace")
        for path in setting.out.rglob("*")
        if path.is_file()
    )
    assert residual.sample_sha256 not in released
    assert "anna@example.org" not in released + page


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no labelled text"),
        (b'{"text": "Anna"}\n', "line 1, is no labelled text"),
        (b'\n{"text": "Anna", "spans": [], "more": 1}\n', "line 2, is no labelled text"),
        (b'{"text": "Anna", "spans": [{"start": 0, "end": 9, "entity": "PERSON"}]}', "line 1, has"),
        (b'{"text": "Anna", "spans": [{"start": 2, "end": 2, "entity": "PERSON"}]}', "line 1, has"),
        (b'{"text": "Anna", "spans": [{"start": -1, "end": 2, "entity": "X"}]}', "line 1, is no"),
        (b'{"text": "Ann\xff", "spans": []}', "line 1, is no labelled text"),
        (b'{"text": "Anna", "spans"', "line 1, is no labelled text"),
        (b"[" * 100_000, "line 1, is no labelled text"),
    ],
)
def test_a_sample_that_is_none_is_named_without_its_text(
    tiny: TinyModel, tmp_path: Path, content: bytes, said: str
) -> None:
    sample = tmp_path / "sample.jsonl"
    sample.write_bytes(content)
    setting = Setting(tmp_path, tiny)
    config = config_of(tiny, ScrubMode.PLACEHOLDERS, ("EMAIL_ADDRESS",), sample)
    with pytest.raises(ConfigError, match=said) as refused:
        start_run(config, setting.out, setting.places(), Watcher())
    assert "Anna" not in str(refused.value)
    assert refused.value.__context__ is None
    assert not setting.out.exists()


def test_a_sample_that_is_not_there_is_said(tiny: TinyModel, tmp_path: Path) -> None:
    setting = Setting(tmp_path, tiny)
    config = config_of(tiny, ScrubMode.PLACEHOLDERS, ("EMAIL_ADDRESS",), tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match=r"none\.jsonl cannot be read"):
        start_run(config, setting.out, setting.places(), Watcher())
