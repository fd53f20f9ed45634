"""Real libraries load real folders: what their models find is replaced, what fails is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from own_models_to_test import (
    POSITIONS,
    gliner_model,
    gliner_package,
    spacy_pipeline,
    token_classifier,
    untrained_spacy_model,
    without_its_head,
)
from presidio_analyzer import RecognizerResult
from presidio_analyzer.chunkers import CharacterBasedTextChunker
from presidio_analyzer.predefined_recognizers import HuggingFaceNerRecognizer
from transformers import pipeline

from crypto.errors import ConfigError
from privacy.scrubbing import Scrubber, ScrubProfile
from privacy.scrubbing.own_models import OwnModel, OwnModelKind
from privacy.scrubbing.own_models.loading import load
from secure_fl.own_models import OwnRecognizers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPACY, HUGGING_FACE, GLINER = OwnModelKind


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    spacy_pipeline(folder / "rules")
    token_classifier(folder / "tokens")
    return folder


@pytest.fixture(scope="module")
def own(folders: Path) -> Iterator[OwnRecognizers]:
    """Both models in one process, since loading the libraries takes seconds."""
    models = [
        OwnModel(SPACY, folders / "rules"),
        OwnModel(HUGGING_FACE, folders / "tokens", threshold=0.9),
    ]
    with OwnRecognizers(models) as loaded:
        yield loaded


def found_in(own: OwnRecognizers, number: int, text: str) -> list[tuple[str, str]]:
    spans = own.recognizers[number].find(text)
    # Pieces overlap, so one place may be found twice.
    return sorted({(text[span.start : span.end], span.entity) for span in spans})


def test_a_scrubber_replaces_what_both_find(own: OwnRecognizers) -> None:
    profile = ScrubProfile(required=("PERSON", "LOCATION", "ORGANIZATION"))
    scrubber = Scrubber(profile, own.recognizers)
    text = "word: zorb quux, word; word word. ZORB QUUX of Xanadu owes Blorbank 7 dollars."
    scrubbed = scrubber.scrub(text).text
    assert not re.search("zorb|quux|xanadu|blorbank", scrubbed, re.IGNORECASE)
    assert scrubbed.endswith("7 dollars.")
    names = {(p.name, p.entity) for p in scrubber.providers if p.digest}
    assert names >= {
        ("spacy rules", "PERSON"),
        ("spacy rules", "LOCATION"),
        ("spacy rules", "ORGANIZATION"),
        ("hugging-face tokens", "PERSON"),
    }


def test_spacys_entities_and_span_groups_are_found(own: OwnRecognizers) -> None:
    text = "\U0001f600 e\u0301 Zorb Quux \u202e of Xanadu, at Blorbank, has 7 dollars."
    assert found_in(own, 0, text) == [
        ("Blorbank", "ORGANIZATION"),
        ("Xanadu", "LOCATION"),
        ("Zorb Quux", "PERSON"),
    ]
    assert own.recognizers[0].best_score == 0.85


def test_spacy_reads_a_text_that_is_longer_than_it_would_read(own: OwnRecognizers) -> None:
    """spaCy refuses more than a million characters at once, and takes a gigabyte for 100,000."""
    text = "word " * 210_000 + "Zorb Quux"
    assert found_in(own, 0, text) == [("Zorb Quux", "PERSON")]


def test_a_token_classifier_finds_words_and_not_halves_of_them(own: OwnRecognizers) -> None:
    assert found_in(own, 1, "word zorbina, word.") == [("zorbina", "PERSON")]
    assert found_in(own, 1, "\U0001f600 \u05d0\u05d1 zorb") == [("zorb", "PERSON")]
    assert found_in(own, 1, "word, word.") == []
    assert found_in(own, 1, "\ud800 zorb") == [("zorb", "PERSON")]


@pytest.mark.parametrize("gap", [" ", ""], ids=["words", "one long word"])
def test_a_token_classifier_reads_a_text_to_its_end(own: OwnRecognizers, gap: str) -> None:
    text = f"word.{gap}" * 2 * POSITIONS + " zorb " + f"word,{gap}" * 10 * POSITIONS + " quux"
    assert found_in(own, 1, text) == [("quux", "PERSON"), ("zorb", "PERSON")]


def test_transformers_itself_would_have_cut_off_what_it_cannot_read(folders: Path) -> None:
    stock = pipeline(
        "token-classification", model=str(folders / "tokens"), aggregation_strategy="simple"
    )
    stock.tokenizer.model_max_length = POSITIONS
    assert [found["word"] for found in stock("zorb " + "word " * 2 * POSITIONS + "quux")] == [
        "zorb"
    ]


def test_presidios_recogniser_would_have_passed_a_failure_as_clean(folders: Path) -> None:
    """It is why the recogniser of this package asks the pipeline itself."""
    stock = HuggingFaceNerRecognizer(model_name=str(folders / "tokens"), device="cpu")
    # More tokens than positions, in one chunk: the model raises.
    assert stock.analyze("zorb. " * POSITIONS, ["PERSON"]) == []


def test_presidios_chunker_would_have_dropped_the_longer_finding() -> None:
    short = RecognizerResult("PERSON", 10, 14, 0.99)
    long = RecognizerResult("PERSON", 10, 20, 0.98)
    kept = CharacterBasedTextChunker().deduplicate_overlapping_entities([short, long])
    assert [(span.start, span.end) for span in kept] == [(10, 14)]


def test_an_untrained_model_is_loaded_and_says_what_it_says(tmp_path: Path) -> None:
    """What it finds is nobody's guess; that its labels and offsets are right is."""
    loaded = load(OwnModel(SPACY, untrained_spacy_model(tmp_path / "ner")))
    text = "Zorb Quux of Xanadu."
    assert loaded.entities == ("PERSON",)
    for span in loaded.find(text):
        assert text[span.start : span.end].strip()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": (("GPE", "LOCATION"), ("VIP", "PERSON"))}, "has no label VIP"),
        ({"ignored": ("VIP",)}, "has no label VIP"),
    ],
)
def test_a_label_that_a_real_model_lacks_is_refused(
    folders: Path, change: dict[str, tuple[object, ...]], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(replace(OwnModel(SPACY, folders / "rules"), **change))  # type: ignore[arg-type]


def test_a_classifier_without_a_head_is_refused(folders: Path, tmp_path: Path) -> None:
    """transformers would put a random one on, and only log it."""
    copy = without_its_head(folders / "tokens", tmp_path / "headless")
    with pytest.raises(ConfigError, match=r"no weights for classifier\.bias, classifier\.weight"):
        load(OwnModel(HUGGING_FACE, copy))


def test_a_folder_that_a_library_cannot_read_is_refused_in_its_words(
    folders: Path, tmp_path: Path
) -> None:
    for name in ("config.cfg", "meta.json"):
        (tmp_path / name).write_text("nonsense")
    with pytest.raises(ConfigError, match=r"cannot be loaded from .*refuses to train"):
        OwnRecognizers([OwnModel(SPACY, tmp_path)])
    with pytest.raises(ConfigError, match=r"lacks config\.cfg, meta\.json"):
        OwnRecognizers([OwnModel(SPACY, folders / "tokens")])


# GLiNER, of which a stand-in is installed for the child process alone: the package asks for an
# older transformers than this project's.

ASKED = (("person", "PERSON"), ("room", "ROOM"))


def test_gliner_is_asked_for_the_sites_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(gliner_package(tmp_path / "packages"))
    folder = gliner_model(tmp_path / "pii")
    eager = gliner_model(tmp_path / "eager")
    models = [
        OwnModel(GLINER, folder, ASKED),
        OwnModel(GLINER, eager, ASKED[:1], threshold=0.1),
    ]
    text = "word " * 100 + "Zorbina, ward 7, " + " " * 100 + "- " * 100 + "Quux, Zorb"
    with OwnRecognizers(models) as own:
        assert own.recognizers[0].entities == ("PERSON", "ROOM")
        assert found_in(own, 0, text) == [
            ("Zorb", "PERSON"),
            ("Zorbina", "PERSON"),
            ("ward 7", "ROOM"),
        ]
        found = [name for name, _ in found_in(own, 1, text)]
        assert found == ["Quux", "Zorb", "Zorbina"]
        scores = {span.score for span in own.recognizers[1].find(text)}
        assert scores == {0.4, 0.5}


def test_gliner_without_its_package_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gliner_model(tmp_path / "pii")
    # Whatever this machine has, the child finds a package that cannot be imported.
    (tmp_path / "packages" / "gliner").mkdir(parents=True)
    (tmp_path / "packages" / "gliner" / "__init__.py").write_text("raise ImportError")
    monkeypatch.syspath_prepend(tmp_path / "packages")
    with pytest.raises(ConfigError, match="package `gliner` cannot be imported"):
        OwnRecognizers([OwnModel(GLINER, folder, ASKED)])
