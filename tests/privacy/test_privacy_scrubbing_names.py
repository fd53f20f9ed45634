from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import IntegrityError
from domains.notes import NoteKind, Part, labelled_notes
from privacy.scrubbing.names import recognizer as recognizer_module
from privacy.scrubbing.names.artefact import (
    FOLDER,
    GAZETTEER,
    PINNED,
    WEIGHTS,
    load_artefact,
    pinned_digest,
)
from privacy.scrubbing.names.features import (
    LISTS,
    PLACE_FLAGS,
    SHAPES,
    list_flags,
    place_rows,
    shape,
    token_row,
)
from privacy.scrubbing.names.gazetteer import LONGEST_PHRASE, Gazetteer, Listed
from privacy.scrubbing.names.network import KINDS, Network
from privacy.scrubbing.names.recognizer import NamesModel, find_listed_places, find_names
from privacy.scrubbing.names.tokens import plain, tokenise
from recipes.names.training import TrainedNetwork

if TYPE_CHECKING:
    from pathlib import Path

FIVE_MEGABYTES = 5_000_000


# --- tokens ---------------------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_tokens_are_the_text_without_its_spaces(text: str) -> None:
    tokens, places = tokenise(text)
    assert [text[start:end] for start, end in places] == tokens
    ends = [0, *(end for _, end in places)]
    starts = [*(start for start, _ in places), len(text)]
    for end, start in zip(ends, starts, strict=True):
        assert text[end:start].replace("\n", "x").strip() == ""


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("O'Brien's", ["O'Brien", "'", "s"]),
        ("Jean-Luc d\u2019Arc", ["Jean", "-", "Luc", "d\u2019Arc"]),
        ("<PERSON>, MRN 12a", ["<PERSON>", ",", "MRN", "12", "a"]),
        ("a_b\n<b>", ["a", "_", "b", "\n", "<", "b", ">"]),
    ],
)
def test_words_keep_their_apostrophes_and_placeholders_are_one(
    text: str, tokens: list[str]
) -> None:
    assert tokenise(text)[0] == tokens


@pytest.mark.parametrize(
    ("word", "expected"),
    [("Sz\u00f6ll\u0151sy", "szollosy"), ("\u00d8rsted", "orsted"), ("\u0141ukasz", "lukasz"),
     ("I\u015f\u0131k", "isik"), ("\u00deor", "thor"), ("STRA\u00dfE", "strasse")],
)  # fmt: skip
def test_names_are_looked_up_without_their_accents(word: str, expected: str) -> None:
    assert plain(word) == expected


# --- lists ----------------------------------------------------------------------------------------

LINES = ["new york\t4", "york\t2", "new york city\t4", "san\t0", "san jos\t4", "grace\t33"]


def test_the_longest_place_name_counts() -> None:
    gazetteer = Gazetteer(LINES)
    words = ["in", "new", "york", "city", "and", "new", "york"]
    assert gazetteer.phrases(words) == [0, 4, 4, 4, 0, 4, 4]
    assert gazetteer.of("grace") == Listed.FIRST_NAME | Listed.EVERYDAY
    assert gazetteer.of("new") == 0


@given(st.lists(st.sampled_from(["new", "york", "city", "san", "jos", "x"]), max_size=12))
def test_phrases_agree_with_trying_every_window(words: list[str]) -> None:
    gazetteer = Gazetteer(LINES)
    known = {line.split("\t")[0]: int(line.split("\t")[1]) for line in LINES if " " in line}
    expected = [0] * len(words)
    for place in range(len(words)):
        if expected[place]:
            continue
        windows = [words[place : place + n] for n in range(LONGEST_PHRASE, 1, -1)]
        for window in windows:
            if known.get(" ".join(window)):
                expected[place : place + len(window)] = [known[" ".join(window)]] * len(window)
                break
    assert gazetteer.phrases(words) == expected


# --- features -------------------------------------------------------------------------------------


@given(st.text(max_size=60))
def test_every_token_has_a_form(text: str) -> None:
    for token in tokenise(text)[0]:
        assert 0 <= shape(token) < SHAPES


def test_forms_are_told_apart() -> None:
    tokens = ["a", "Anna", "A", "ANNA", "McKay", "7", "77", "12345", "123456", ".", "\n", "<URL>"]
    assert [shape(t) for t in tokens] == [16, 17, 18, 19, 0, 11, 12, 15, 15, 2, 1, 9]


def test_what_depends_on_the_place_is_told() -> None:
    tokens, _ = tokenise("SEEN IN\nnew york by Ana")
    flags = place_rows(tokens, Gazetteer(LINES))
    part_of_place, first, capitals, small, text_small, single = flags.T.tolist()
    assert part_of_place == [0, 0, 0, 1, 1, 0, 0]
    assert first == [1, 0, 0, 1, 0, 0, 0]
    assert capitals == [1, 1, 0, 0, 0, 0, 0]
    assert small == [0] * 7
    assert text_small == [0] * 7
    assert single == [0] * 7
    lower = place_rows(tokenise("seen by ana")[0], Gazetteer([]))
    assert lower[:, 3:].tolist() == [[1, 1, 1]] * 3
    assert place_rows([], Gazetteer([])).shape == (0, PLACE_FLAGS)


def test_list_numbers_become_flags() -> None:
    flags = list_flags(np.array([0, 1, int(Listed.FOREIGN_WORD | Listed.CITY)]))
    assert flags.shape == (3, LISTS)
    assert flags.sum(axis=1).tolist() == [0, 1, 2]


# --- network --------------------------------------------------------------------------------------


def test_the_network_in_numpy_is_the_one_that_was_trained() -> None:
    torch.manual_seed(7)
    trained = TrainedNetwork(words=4).eval()
    network = Network.of(trained.tensors())
    rng = np.random.default_rng(7)
    tokens = [str(word) for word in rng.choice(["Anna", "sees", "b", "12", ".", "in", "Rome"], 40)]
    gazetteer = Gazetteer(["anna\t1", "rome\t4"])
    rows = np.array([token_row(t, {"sees": 1, "in": 2, "b": 4}, gazetteer) for t in tokens])
    flags = place_rows(tokens, gazetteer)
    found = network.probabilities(network.token_vectors(rows), flags)
    with torch.no_grad():
        scores = trained(
            torch.from_numpy(rows)[None],
            torch.from_numpy(list_flags(rows[:, -1]))[None],
            torch.from_numpy(flags)[None],
            torch.ones(1, len(tokens), 1),
        )
    expected = torch.softmax(scores[0], dim=1).numpy()
    assert np.abs(found - expected).max() < 2e-3  # the weights are rounded to half precision
    assert np.abs(expected - expected[0]).max() > 2e-2


def test_cutting_a_long_text_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    notes = labelled_notes(NoteKind.CLINICAL, Part.HELD_OUT, 12, 5)
    tokens = tokenise("\n".join(note.text for note in notes))[0]
    whole = NamesModel(load_artefact()).probabilities(tokens)
    monkeypatch.setattr(recognizer_module, "_CHUNK", 37)
    monkeypatch.setattr(recognizer_module, "_CACHED_TOKENS", 90)
    cut = NamesModel(load_artefact()).probabilities(tokens)
    assert cut.shape == whole.shape == (len(tokens), len(KINDS))
    assert np.abs(cut - whole).max() < 1e-5
    monkeypatch.setattr(recognizer_module, "REACH", 0)  # what the overlap is for
    assert np.abs(NamesModel(load_artefact()).probabilities(tokens) - whole).max() > 1e-2


# --- files ----------------------------------------------------------------------------------------


def test_the_model_is_small_and_pinned() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < FIVE_MEGABYTES
    assert set(json.loads((FOLDER / PINNED).read_text())) | {PINNED} == {
        path.name for path in FOLDER.iterdir()
    }
    assert len(pinned_digest()) == 64


@pytest.mark.parametrize("name", [WEIGHTS, GAZETTEER])
def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(FOLDER, folder)
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{name}.*not the one that was pinned.*make ner"):
        load_artefact(folder)
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=rf"{name}.*could not be read"):
        load_artefact(folder)


# --- what is found --------------------------------------------------------------------------------


def found_in(text: str) -> list[tuple[str, str]]:
    return [(s.entity, text[s.start : s.end]) for s in find_names(text) if s.score >= 0.4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My name is Szabina Gelencs\u00e9r.", ("PERSON", "Szabina Gelencs\u00e9r")),
        ("Please call Kwabena Owusu-Ansah back.", ("PERSON", "Kwabena Owusu-Ansah")),
        ("follow up with patricia desrosiers next week", ("PERSON", "patricia desrosiers")),
        ("PATIENT: MARTA KOWALCZYK", ("PERSON", "MARTA KOWALCZYK")),
        ("Seen by Dr. Wilson for Wilson disease.", ("PERSON", "Wilson")),
        ("She flew in from Ljubljana.", ("LOCATION", "Ljubljana")),
        ("He moved to New Zealand in 1999.", ("LOCATION", "New Zealand")),
    ],
)
def test_names_and_places_are_found(text: str, expected: tuple[str, str]) -> None:
    assert expected in found_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Foley catheter removed. Babinski negative.",
        "History of Wilson disease, Crohn's disease and Hodgkin lymphoma.",
        "Apgar scores 8 and 9. Glasgow Coma Scale 15.",
        "Started Lisinopril 10 mg daily, Lasix 40 mg as needed.",
        "Net sales rose 12% to EUR 13.1 mn in the second quarter.",
        "Kaplan-Meier curves were compared (p < 0.05).",
    ],
)
def test_eponyms_drugs_and_figures_stay(text: str) -> None:
    assert found_in(text) == []


def test_other_scripts_are_names_within_english_and_words_elsewhere() -> None:
    greek = "\u039b\u03b5\u03c5\u03ba\u03c9\u03c3\u03af\u03b1"  # Nicosia
    assert found_in(f"We flew to {greek} last week.") == [("LOCATION", greek)]
    russian = "\u041c\u044b \u0431\u044b\u043b\u0438 \u0434\u043e\u043c\u0430"
    assert found_in(russian) == []  # "We were at home"
    ivan = "\u0418\u0432\u0430\u043d"
    assert ("PERSON", ivan) in found_in(f"{russian}, {ivan}")
    assert found_in("\u05d0 and \u0627") == []


def test_countries_and_provinces_are_found_by_their_list() -> None:
    text = "Finland bans it; new zealand and New Zealand agree, turkey in Kent, baths, Sri Lanka"
    assert [text[s.start : s.end] for s in find_listed_places(text)] == [
        "Finland", "New Zealand", "Kent", "Sri Lanka",
    ]  # fmt: skip


def test_a_name_does_not_run_over_the_end_of_its_line() -> None:
    assert found_in("Regards,\nJoanna Nowak\nMarek Zielinski") == [
        ("PERSON", "Joanna Nowak"),
        ("PERSON", "Marek Zielinski"),
    ]


@pytest.mark.parametrize("kind", NoteKind)
def test_names_of_locales_that_were_never_seen_are_found(kind: NoteKind) -> None:
    """A floor far below what is measured, that a broken model does not reach."""
    names = covered = 0
    for note in labelled_notes(kind, Part.HELD_OUT, 150, 11):
        marked = np.zeros(len(note.text), bool)
        for span in find_names(note.text):
            marked[span.start : span.end] = True
        people = [span for span in note.spans if span.entity == "PERSON"]
        names += len(people)
        covered += sum(bool(marked[s.start : s.end].mean() > 0.8) for s in people)
    assert names > 200
    assert covered / names > 0.8
