from __future__ import annotations

import json
import math
import socket
from typing import TYPE_CHECKING

import pytest
import tldextract

from benchmarks import scrub
from benchmarks.scrub_cells import ScrubCell, Tables
from benchmarks.scrub_corpora import (
    FILE,
    PARTS,
    Document,
    held_out_notes,
    notes_of_about,
    presidio_documents,
)
from benchmarks.scrub_engines import OfflineError, Ours, StockPresidio, no_network
from benchmarks.scrub_markdown import markdown
from benchmarks.scrub_speed import Contest, contests, in_one_process
from crypto.errors import ConfigError
from domains.notes import NoteKind
from privacy.scrubbing.measuring import Quality
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXT = "Write to ann.lee@example.com by 2031-05-04, born in 1950, aged 93 or 42."
LABELS = (
    ("EMAIL_ADDRESS", "ann.lee@example.com"), ("DATE_TIME", "2031-05-04"), ("DATE_TIME", "1950"),
    ("AGE", "93"), ("AGE", "42"),
)  # fmt: skip


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A data set of two templates, in presidio-research's layout."""
    spans = [
        {
            "entity_type": entity,
            "entity_value": value,
            "start_position": TEXT.index(value),
            "end_position": TEXT.index(value) + len(value),
        }
        for entity, value in LABELS
    ]
    rows = [
        {"full_text": TEXT + "x" * template, "spans": spans, "template_id": template}
        for template in (4, 7, 7)
    ]
    (tmp_path / FILE).write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path


@pytest.fixture(autouse=True)
def _suffixes_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock Presidio is given a list of suffixes: take it back after the test."""
    monkeypatch.setattr(tldextract, "extract", tldextract.extract)


class Fixed:
    """Finds the first word."""

    name = "fixed"

    def find(self, text: str) -> Sequence[Span]:
        return [Span(0, text.index(" "), "PERSON", 1.0)]


@pytest.mark.timeout(300)  # two processes import spaCy and torch, beside other tests
def test_json_is_one_object_with_every_row(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["--docs", "25", "--pairs", "1", "--speed-notes", "4", "--json"]
    assert scrub.main([*tiny, "--data", str(published)]) == 0
    captured = capsys.readouterr()
    (line,) = captured.out.splitlines()
    cells = json.loads(line)["cells"]
    overall = [(c["corpus"], c["engine"]) for c in cells if c["name"] == "all"]
    corpora = ("presidio synthetic, test", "clinical notes", "banking notes")
    assert overall == [(c, engine) for c in corpora for engine in ("presidio", "ours")]
    emails = [c for c in cells if c["name"] == "EMAIL_ADDRESS" and c["corpus"] == corpora[0]]
    assert [(c["n"], c["stock"], c["ours"], c["ours_typed"]) for c in emails] == [(2, 1, 1, 1)]
    assert 0 < emails[0]["ours_low"] < emails[0]["ours_high"] == 1
    speed = [c for c in cells if c["ratio"] is not None]
    assert [(c["name"], c["processes"]) for c in speed] == [
        ("same entities", 1),
        ("same entities", 2),
        ("ours with everything", 1),
        ("ours with everything", 2),
    ]
    assert all(c["stock_per_second"] > 0 and c["pairs"] == 1 for c in speed)


def test_without_the_published_data_its_row_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert scrub.main(["--docs", "10", "--measure", "quality"]) == 0
    out = capsys.readouterr().out
    assert "name its folder with --data DIR" in " ".join(out.split())
    assert "clinical notes" in out
    assert "documents per second" not in out


def test_a_document_gets_its_figures_as_tables(
    published: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = ["--docs", "10", "--measure", "quality", "--markdown"]
    assert scrub.main([*tiny, "--data", str(published), "--part", "dev"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (head,) = (line for line in lines if line.startswith("| entity "))
    assert head == "| entity | presidio synthetic, dev | clinical notes | banking notes |"
    (mails,) = (line for line in lines if line.startswith("| EMAIL_ADDRESS "))
    assert "| **1.000** [0.025, 1.000], 1.000; 1 |" in mails
    assert {line.count("|") for line in lines[lines.index(head) :] if line} == {5}
    assert sum(line.startswith(("| clinical", "| banking")) for line in lines) == 4


def test_speed_is_told_as_a_table_too() -> None:
    row = ScrubCell(
        name="same", corpus="notes", processes=2, stock_per_second=10.0, ours_per_second=52.0,
        ratio=5.2, min=5.0, max=5.5, pairs=3,
    )  # fmt: skip
    *_, last = markdown(Tables(speed=(row,)))
    assert last == "| same | 2 | 10 | 52 | 5.2 | 5.0 to 5.5, 3 pairs |"


def test_a_folder_without_the_data_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert scrub.main(["--data", str(tmp_path), "--measure", "quality"]) == 2
    assert "nothing was measured" in capsys.readouterr().err
    (tmp_path / FILE).write_text('[{"full_text": 3}]', encoding="utf-8")
    with pytest.raises(ConfigError, match="as published"):
        presidio_documents(tmp_path, "test")


def test_no_speed_is_claimed_of_nothing() -> None:
    with pytest.raises(ConfigError, match="measure nothing"):
        scrub.measure_speed((), 1, print)
    with pytest.raises(ConfigError, match="measure nothing"):
        scrub.measure_speed(("x",), 0, print)


def test_the_parts_of_the_published_data_share_no_template(published: Path) -> None:
    parts = {part: presidio_documents(published, part) for part in PARTS}
    assert {part: len(documents) for part, documents in parts.items()} == {"dev": 1, "test": 2}
    assert not {d.text for d in parts["dev"]} & {d.text for d in parts["test"]}


def test_what_was_read_in_development_is_not_the_test(published: Path) -> None:
    path = published / FILE
    rows = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps([row | {"template_id": 99} for row in rows]), encoding="utf-8")
    assert presidio_documents(published, "test") == ()
    assert len(presidio_documents(published, "dev")) == 3


def test_ages_and_years_are_told_apart_by_what_the_law_counts(published: Path) -> None:
    (document,) = presidio_documents(published, "dev")
    assert [label.entity for label in document.labels] == [
        "EMAIL_ADDRESS",
        "DATE_TIME",
        "YEAR",
        "AGE_OVER_89",
        "AGE",
    ]


def test_quality_is_summed_over_the_documents() -> None:
    documents = [
        Document("Ann is here", (Span(0, 3, "PERSON", 1.0),)),
        Document("He is Bob", (Span(6, 9, "PERSON", 1.0),)),
    ]
    quality = scrub.quality_of(Fixed(), documents)
    assert isinstance(quality, Quality)
    row = quality.of("PERSON")
    assert (row.labelled, row.covered, row.leaked) == (2, 1, 3)
    assert (quality.clean, quality.false_findings, quality.tokens) == (1, 1, 6)


def test_the_notes_are_repeatable_and_of_the_asked_length() -> None:
    assert held_out_notes(NoteKind.BANKING, 8) == held_out_notes(NoteKind.BANKING, 8)
    notes = notes_of_about(1000, 12)
    assert len(notes) == 12
    assert all(800 <= len(note) <= 1200 for note in notes)


def test_stock_presidio_would_ask_the_network_for_an_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the packaged list is for: as installed, with an empty cache, it asks."""
    stock = StockPresidio()
    with no_network():
        assert [s.entity for s in stock.find("Mail ann@example.com")] == ["EMAIL_ADDRESS", "URL"]
    asks = tldextract.TLDExtract(cache_dir=str(tmp_path), fallback_to_snapshot=False)
    monkeypatch.setattr(tldextract, "extract", asks)
    with no_network(), pytest.raises(OfflineError):
        stock.find("Mail ann@example.com")


def test_no_network_means_no_look_up_and_no_connection() -> None:
    with socket.socket() as free, no_network():
        with pytest.raises(OfflineError):
            socket.getaddrinfo("example.com", 80)
        with pytest.raises(OfflineError):
            free.connect(("127.0.0.1", 9))


def test_both_engines_look_for_the_same_where_it_is_said() -> None:
    same, everything = contests()
    assert same.stock == same.ours == everything.stock
    assert {"CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE", "PHONE_NUMBER"} <= set(same.ours)
    assert not {"PERSON", "LOCATION", "NRP"} & set(same.stock)
    assert set(everything.ours) > set(same.ours)
    mail = "Mail ann@example.com, card 4012 8888 8888 1881"
    for engine in (StockPresidio(same.stock), Ours(same.ours)):
        assert {s.entity for s in engine.find(mail)} >= {"EMAIL_ADDRESS", "CREDIT_CARD"}


def test_each_pair_gives_a_ratio() -> None:
    contest = Contest("mails", ("EMAIL_ADDRESS",), ("EMAIL_ADDRESS",))
    rates = in_one_process(contest, ["Mail ann@example.com now."] * 4, 2)
    assert len(rates) == 2
    assert all(math.isfinite(pair.ratio) and pair.ratio > 0 for pair in rates)
