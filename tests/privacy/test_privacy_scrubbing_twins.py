"""The quick engine against Presidio's own loop, and merging against marked characters."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rules_alone import rules_alone

from privacy.scrubbing import Recognizer, Scrubber, ScrubProfile, Span, Trigger
from privacy.scrubbing.folding import readings
from privacy.scrubbing.spans import merge_overlaps, replace, to_original

PIECES = [
    "anna@example.com", "a@b", "@", "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "DE89",
    "4111 1111 1111 1111", "4111111111111112", "+44 20 7946 0958", "212-555-0187", "(212) 555-0187",
    "020 7946 0958", "x12", "ext. 3", "536-90-4399", "536904399", "912-70-1234", "12345678",
    "12-34-56", "021000021", "NDEAFIHH", "DEUTDEFF500", "DIVIDEND", "10.20.30.40", "2001:db8::1",
    "::1", "12:30:45", "http://a.example/b?c", "www.example.com", "example.com", "e.g.", "U.S.",
    "1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2", "6/24/1991", "3 May 2009", "2007-2008", "****1234",
    "MRN: 4471829", "MRN", "NHS number 943 476 5919", "plate AB12 CDE", "12 March 2019", "13/03",
    "92-year-old", "118 Maple Road", "Leeds LS1 4AP", "P.O. Box 12", "Dr. ", "Anna Berg", "Name:",
    "J. R. Smith", ", MD", "Dear ", "Polish", "5493001KJTIIGC8Y1R12", "US0378331005", "037833100",
    "12-3456789", "AB123456C", "RSSMRA85T10A562S", "131052-308T", "1HGCM82633A004352", "(01)",
    "00:1a:2b:3c:4d:5e", "no.", "#", "id", "12 rue de la Paix", "Hauptstra\u00dfe 12", "aged 101",
    "account", "SSN", "phone", "swift", "card", "routing", "IBAN", "a/c", "mail", "Account",
    "EUR", "mn", "12 500 000", "1", "9", "the", "is", "no", "profit", "<URL>", "<PERSON>", "<", ">",
    "jose\u0301", "\u0301", "\u200b", "\u200e", "\u00a0", "\u2011", "\u0661", "\u05d0",
]  # fmt: skip
GLUE = st.sampled_from(["", " ", " ", " ", "-", ".", ",", "/", "(", ")", ": ", "\n", "'", '"'])
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="0123456789-. ()/+@:abDEx", max_size=60),
    st.lists(st.tuples(st.sampled_from(PIECES), GLUE), max_size=14).map(
        lambda pairs: "".join(piece + glue for piece, glue in pairs)
    ),
)


@pytest.fixture(scope="module")
def scrubber() -> Scrubber:
    return rules_alone()


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_asking_only_who_can_match_finds_what_presidio_finds(scrubber: Scrubber, text: str) -> None:
    engine = scrubber._engine
    assert engine is not None
    for reading in readings(text):
        quick = merge_overlaps(engine.find(reading.text))
        assert quick == merge_overlaps(engine.find_by_presidio(reading.text))


def test_a_trigger_that_is_too_narrow_shows(
    scrubber: Scrubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above can fail: a recogniser behind the wrong trigger is found out."""
    del scrubber
    monkeypatch.setattr("privacy.scrubbing.engine.BUILT_IN", ())
    wrong = Recognizer(
        "names", ("PERSON",), lambda _: [Span(0, 4, "PERSON", 0.9)], trigger=Trigger.AT_SIGN
    )
    engine = Scrubber(ScrubProfile(("PERSON",)), (wrong,))._engine
    assert engine is not None
    assert engine.find("Anna") == []
    assert engine.find_by_presidio("Anna") == [Span(0, 4, "PERSON", 0.9)]


def nearby_words_naively(text: str, start: int, end: int) -> set[str]:
    from privacy.scrubbing.engine import WordEngine  # noqa: PLC0415 - it imports Presidio

    stop = WordEngine().is_stopword
    words = [
        (match.start(), match[0].lower())
        for match in re.finditer(r"(?i)a/c(?!\w)|[^\W\d_]+", text)
        if not stop(match[0], "en")
    ]
    before = [word for place, word in words if place < start][-5:]
    after = [word for place, word in words if place >= end][:3]
    return {*before, *after}


@settings(max_examples=150, deadline=None)
@given(
    before=st.lists(
        st.sampled_from(["account", "the", "profit", "7", "a/c", "accounts,"]), max_size=9
    ),
    after=st.lists(st.sampled_from(["acct", "is", "sales", "(9)", "banker"]), max_size=6),
)
def test_context_raises_a_score_exactly_when_a_word_stands_near(
    scrubber: Scrubber, before: list[str], after: list[str]
) -> None:
    from privacy.scrubbing.rules.banking import BANKING_RECOGNIZERS  # noqa: PLC0415 - not needed above

    del scrubber
    (bank,) = [r for r in BANKING_RECOGNIZERS if r.entities == ("US_BANK_NUMBER",)]
    text = " ".join([*before, "12345678", *after])
    start = len(" ".join([*before, ""]))
    near = nearby_words_naively(text, start, start + 8) & set(bank.context)
    alone = Scrubber(ScrubProfile(("US_BANK_NUMBER",)))
    assert bool(alone.scrub(text).spans) is bool(near)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS)
def test_scrubbing_is_idempotent_and_its_spans_explain_its_text(
    scrubber: Scrubber, text: str
) -> None:
    once = scrubber.scrub(text)
    assert replace(text, once.spans) == once.text
    assert scrubber.scrub(once.text).text == once.text
    assert scrubber.scrub(once.text).spans == ()
    ends = [0]
    for span in once.spans:
        assert ends[-1] <= span.start < span.end <= len(text)
        ends.append(span.end)


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_no_finding_of_the_first_look_is_left_in_part(scrubber: Scrubber, text: str) -> None:
    found = scrubber._find(text)
    gone = {place for span in scrubber.scrub(text).spans for place in range(span.start, span.end)}
    assert gone >= {place for span in found for place in range(span.start, span.end)}


SPANS = st.lists(
    st.builds(
        lambda start, length, entity, score: Span(start, start + length, entity, score),
        st.integers(0, 30),
        st.integers(1, 12),
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from([0.4, 0.5, 1.0]),
    ),
    max_size=8,
)


@given(spans=SPANS)
def test_merging_covers_the_same_characters_in_disjoint_spans(spans: list[Span]) -> None:
    merged = merge_overlaps(spans)
    marked = {place for span in spans for place in range(span.start, span.end)}
    covered = [place for span in merged for place in range(span.start, span.end)]
    assert covered == sorted(marked)
    for span in merged:
        inside = [s for s in spans if span.start <= s.start and s.end <= span.end]
        longest = max(s.end - s.start for s in inside)
        best = [s for s in inside if s.end - s.start == longest]
        assert span.score == max(s.score for s in best)
        assert span.entity in {s.entity for s in best if s.score == span.score}


@given(spans=SPANS, seed=st.randoms())
def test_merging_does_not_depend_on_the_order(spans: list[Span], seed: object) -> None:
    shuffled = list(spans)
    seed.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis' Random
    assert merge_overlaps(shuffled) == merge_overlaps(spans)


@given(
    text=st.text(alphabet="abcdefgh", min_size=45, max_size=60),
    first=SPANS,
    place=st.integers(0, 200),
)
def test_spans_move_back_through_placeholders(text: str, first: list[Span], place: int) -> None:
    replaced = merge_overlaps(first)
    scrubbed = replace(text, replaced)
    letters = [i for i, character in enumerate(scrubbed) if character in "abcdefgh"]
    at = letters[place % len(letters)]
    (moved,) = to_original([Span(at, at + 1, "A", 1.0)], replaced)
    assert text[moved.start] == scrubbed[at]
    outside = [i for i in range(len(text)) if not any(s.start <= i < s.end for s in replaced)]
    assert moved.start == outside[letters.index(at)]
    assert moved.end == moved.start + 1


@given(text=st.text(max_size=60))
def test_every_reading_moves_back_onto_the_characters_it_shows(text: str) -> None:
    for reading in readings(text):
        spans = [Span(i, i + 1, "A", 1.0) for i in range(len(reading.text))]
        back = reading.unfold(spans)
        for one, two in itertools.pairwise(back):
            assert one.end <= two.start
        for span, character in zip(back, reading.text, strict=True):
            assert text[span.start] == character or not text[span.start].isascii()
