"""Generated notes: labels sit on what was filled in, parts share nothing, and runs repeat."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.notes import LabelledNote, NoteKind, Part, labelled_notes
from domains.notes.grammar import Piece, Slot, expand
from domains.notes.number_slots import NUMBERS
from domains.notes.people import load_regions, without_accents
from domains.notes.slots import Cast
from domains.notes.template_files import load_templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from domains.notes.grammar import Pattern

BOTH = tuple(itertools.product(NoteKind, Part))
ENOUGH = 400
LEAST_TEMPLATES = {Part.TRAIN: 40, Part.HELD_OUT: 15}
PLACES_AND_PEOPLE = {
    "PERSON", "LOCATION", "STREET_ADDRESS", "POSTAL_CODE", "ORGANIZATION", "DATE_TIME", "NRP",
    "AGE_OVER_89", "EMAIL_ADDRESS",
}  # fmt: skip
EVERYWHERE = {
    "PERSON", "LOCATION", "STREET_ADDRESS", "POSTAL_CODE", "ORGANIZATION", "DATE_TIME",
    "PHONE_NUMBER", "EMAIL_ADDRESS", "UNIQUE_ID", "US_SSN", "URL", "IBAN_CODE",
}  # fmt: skip


def notes(kind: NoteKind, part: Part, count: int = ENOUGH, seed: int = 11) -> list[LabelledNote]:
    return list(labelled_notes(kind, part, count, seed))


@pytest.fixture(scope="module", params=BOTH, ids=lambda both: f"{both[0].value}-{both[1].value}")
def sample(request: pytest.FixtureRequest) -> list[LabelledNote]:
    return notes(*request.param)


def typed_alike(text: str) -> str:
    """Return `text` without what a typist may change: case, accents, line ends."""
    return " ".join(without_accents(text).casefold().split())


def test_labels_sit_exactly_on_what_was_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    filled: list[Piece] = []
    fill = Cast.fill

    def remembered(cast: Cast, slot: Slot) -> Piece:
        filled.append(fill(cast, slot))
        return filled[-1]

    monkeypatch.setattr(Cast, "fill", remembered)
    for kind, part in BOTH:
        for note in labelled_notes(kind, part, 150, 5):
            labelled = [(typed_alike(p.text), p.entity) for p in filled if p.entity]
            assert [
                (typed_alike(note.text[s.start : s.end]), s.entity) for s in note.spans
            ] == labelled, note.template
            filled.clear()


def test_spans_are_disjoint_ascending_and_end_in_no_space(sample: list[LabelledNote]) -> None:
    for note in sample:
        done = 0
        for span in note.spans:
            assert done <= span.start < span.end <= len(note.text)
            assert span.score == 1.0
            value = note.text[span.start : span.end]
            assert value == value.strip()
            done = span.end


def test_no_label_touches_a_letter_or_a_digit_that_is_not_labelled(
    sample: list[LabelledNote],
) -> None:
    """A name that runs on into a word of the template would be labelled in half."""
    torn = [
        (note.template, note.text[max(0, span.start - 2) : span.end + 2])
        for note in sample
        for span in note.spans
        if note.text[span.end : span.end + 1].isalnum()
        or (span.start and note.text[span.start - 1].isalnum())
    ]
    assert torn == []


def test_the_same_arguments_give_the_same_notes_and_another_seed_does_not() -> None:
    for kind, part in BOTH:
        assert notes(kind, part, 60) == notes(kind, part, 60)
        assert notes(kind, part, 60) != notes(kind, part, 60, seed=12)


def test_a_longer_run_begins_with_the_shorter_one() -> None:
    for kind, part in BOTH:
        assert notes(kind, part, 120)[:30] == notes(kind, part, 30)


def test_neither_the_hash_seed_nor_the_process_shows() -> None:
    code = (
        "from domains.notes import *; import hashlib; print(hashlib.sha256(repr([n for k in "
        "NoteKind for p in Part for n in labelled_notes(k, p, 40, 3)]).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


def test_the_parts_share_no_template() -> None:
    for kind in NoteKind:
        train, held_out = (load_templates(kind.value, part.value).notes for part in Part)
        assert not train.keys() & held_out.keys()
        assert not set(train.values()) & set(held_out.values())


def test_the_parts_share_no_sentence_of_some_length() -> None:
    """Longer than what two writers hit on alike, such as "Kind regards" or "Date of birth"."""
    for kind in NoteKind:
        runs = []
        for part in Part:
            templates = load_templates(kind.value, part.value).notes.values()
            words = [text.split() for pattern in templates for text in literals(pattern)]
            runs.append({tuple(w[i : i + 6]) for w in words for i in range(len(w) - 5)})
        assert not runs[0] & runs[1]


def test_the_parts_share_no_locale_and_no_word_that_only_looks_like_a_name() -> None:
    train, held_out = (load_regions(part.value) for part in Part)
    for field in ("names", "country"):
        assert not {getattr(r, field) for r in train} & {getattr(r, field) for r in held_out}
    assert not {r.places for r in train} & {r.places for r in held_out}
    for kind in NoteKind:
        lists = [load_templates(kind.value, part.value).words for part in Part]
        for name in ("eponym", "eponym_sign", "device_name", "bank", "finance_term", "tricky"):
            first, second = (set(texts_of(words[name])) for words in lists)
            assert first
            assert second
            assert not first & second, name


def test_the_locales_of_the_notes_are_those_of_their_part(sample: list[LabelledNote]) -> None:
    for part in Part:
        if sample[0].template in load_templates(sample[0].kind.value, part.value).notes:
            assert {note.locale for note in sample} <= {r.names for r in load_regions(part.value)}


def test_there_are_many_templates_and_each_is_used(sample: list[LabelledNote]) -> None:
    for kind, part in BOTH:
        assert len(load_templates(kind.value, part.value).notes) >= LEAST_TEMPLATES[part]
    uses = Counter(note.template for note in sample)
    assert max(uses.values()) - min(uses.values()) <= 1
    assert len(uses) >= LEAST_TEMPLATES[Part.HELD_OUT]


def test_notes_are_of_many_lengths(sample: list[LabelledNote]) -> None:
    lengths = sorted(len(note.text) for note in sample)
    assert lengths[0] < 120
    assert lengths[-1] > 1000
    assert lengths[len(lengths) // 2] > 200


def test_every_entity_occurs() -> None:
    known = {entity for entity, _ in NUMBERS.values()} | PLACES_AND_PEOPLE
    for part in Part:
        found = {s.entity for kind in NoteKind for n in notes(kind, part) for s in n.spans}
        assert found >= EVERYWHERE
        if part is Part.TRAIN:
            assert found == known


def test_nothing_that_only_looks_like_a_name_is_labelled(sample: list[LabelledNote]) -> None:
    seen = 0
    for note in sample:
        for part in Part:
            words = load_templates(note.kind.value, part.value).words
            for name in ("eponym", "device_name"):
                for text in texts_of(words[name]):
                    for start in places(note.text, text):
                        seen += 1
                        assert not any(
                            s.start < start + len(text) and start < s.end for s in note.spans
                        ), (note.template, text)
    assert seen > 50 or sample[0].kind is NoteKind.BANKING


def test_words_that_are_names_occur_as_words_and_a_month_is_a_date_where_it_is_one() -> None:
    """May, Will and Chase name nobody here; "in May" is part of a date (164.514(b)(2)(i)(C))."""
    sample = [note for kind in NoteKind for note in notes(kind, Part.TRAIN, 600)]
    entities = Counter(
        (word, next((s.entity for s in note.spans if s.start <= start < s.end), None))
        for note in sample
        for word in ("May ", "May.", "June", "Will ", "Mark ", "Chase", "Wells Fargo")
        for start in places(note.text, word)
    )
    for word in ("May ", "Will ", "Mark ", "Chase", "Wells Fargo"):
        assert entities[word, None] > 5, word
    assert entities["May.", None] == entities["June", None] == 0
    assert entities["June", "DATE_TIME"] > 10


def test_every_slot_of_every_template_is_known() -> None:
    rng = np.random.default_rng(0)
    for kind, part in BOTH:
        templates = load_templates(kind.value, part.value)
        regions = load_regions(part.value)
        cast = Cast(rng, regions[0], regions)
        for pattern in (*templates.notes.values(), *templates.words.values()):
            for slot in pattern.slots():
                if slot.name.rstrip("0123456789") not in templates.words:
                    assert cast.fill(slot).text


def test_a_slot_has_one_value_in_a_note_and_a_number_makes_another() -> None:
    regions = load_regions("train")
    cast = Cast(np.random.default_rng(3), regions[0], regions)
    assert cast.fill(Slot("iban")) == cast.fill(Slot("iban"))
    assert cast.fill(Slot("iban")) != cast.fill(Slot("iban2"))
    whole, last = cast.fill(Slot("patient", "full")).text, cast.fill(Slot("patient", "last")).text
    assert whole.endswith(" " + last)
    assert cast.fill(Slot("patient", "last_first")).text.startswith(last + ", ")


@pytest.mark.parametrize("slot", [Slot("nobody"), Slot("iban", "long"), Slot("patient", "odd")])
def test_an_unknown_slot_is_refused_by_name(slot: Slot) -> None:
    regions = load_regions("train")
    with pytest.raises(ConfigError, match=slot.name):
        Cast(np.random.default_rng(0), regions[0], regions).fill(slot)


@given(st.integers(min_value=0, max_value=2**32), st.sampled_from(BOTH))
def test_any_seed_gives_notes_whose_ages_are_below_ninety_where_not_labelled(
    seed: int, both: tuple[NoteKind, Part]
) -> None:
    regions = load_regions(both[1].value)
    age = Cast(np.random.default_rng(seed), regions[0], regions).fill(Slot("age"))
    assert 18 <= int(age.text) <= 89
    assert age.entity == ""


@pytest.mark.parametrize(("count", "seed"), [(-1, 0), (1, -1)])
def test_a_negative_count_or_seed_is_refused(count: int, seed: int) -> None:
    with pytest.raises(ConfigError, match="none was made"):
        next(labelled_notes(NoteKind.CLINICAL, Part.TRAIN, count, seed))


def places(text: str, word: str) -> Iterator[int]:
    start = text.find(word)
    while start >= 0:
        yield start
        start = text.find(word, start + 1)


def literals(pattern: Pattern) -> Iterator[str]:
    for part in pattern.parts:
        if isinstance(part, str):
            yield part
        elif hasattr(part, "options"):
            for option in part.options:
                yield from literals(option)


def texts_of(pattern: Pattern) -> list[str]:
    """Return the entries of a word list that are plain text."""
    return [
        option.parts[0]
        for choice in pattern.parts
        if hasattr(choice, "options")
        for option in choice.options
        if len(option.parts) == 1 and isinstance(option.parts[0], str)
    ]


def test_a_list_of_words_can_hold_slots_of_its_own() -> None:
    words = load_templates("clinical", "train").words["drug"]

    def nothing(slot: Slot) -> list[Piece]:
        raise AssertionError(slot)

    drawn = {
        "".join(p.text for p in expand(words, np.random.default_rng(n), nothing)) for n in range(99)
    }
    assert len(drawn) > 20
