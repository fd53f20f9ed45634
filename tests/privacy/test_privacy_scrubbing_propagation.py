from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privacy.scrubbing.names.tokens import plain, tokenise
from privacy.scrubbing.propagation import propagated
from privacy.scrubbing.spans import Span


def spans_of(text: str, *found: tuple[str, str]) -> list[Span]:
    return [
        Span(text.index(words), text.index(words) + len(words), entity, 0.7)
        for words, entity in found
    ]


def repeated(text: str, *found: tuple[str, str]) -> list[tuple[int, str]]:
    """Where else something was found."""
    first = spans_of(text, *found)
    places = {(s.start, s.end) for s in first}
    new = {(s.start, s.end): s.entity for s in propagated(text, first)}
    return sorted(
        (s, text[s:e]) for s, e in new if (s, e) not in places and not inside(s, e, first)
    )


def inside(start: int, end: int, spans: list[Span]) -> bool:
    return any(span.start <= start and end <= span.end for span in spans)


@pytest.mark.parametrize(
    ("text", "found", "also"),
    [
        (
            "Patient: Ludmila Petrovska. Petrovska slept. LUDMILA ate; Petrovska's son came.",
            ("Ludmila Petrovska", "PERSON"),
            ["Petrovska", "LUDMILA", "Petrovska"],
        ),
        # An English word is a name only beside the other name.
        ("Grace Hopper called. Grace was given. Ask Grace Hopper.", ("Grace Hopper", "PERSON"),
         ["Grace Hopper", "Hopper"]),
        # The discoverer's name is not the patient's.
        ("Tom Wilson has Wilson's disease, Wilson disease and Wilson.", ("Tom Wilson", "PERSON"),
         ["Wilson"]),
        ("MRN 4711-0815, again 4711-0815 and 47110815.", ("4711-0815", "MEDICAL_RECORD_NUMBER"),
         ["4711-0815"]),
        ("A. B. Nowak, A. B. Nowak", ("A. B. Nowak", "LOCATION"), ["A. B. Nowak"]),
        ("4711 0815 99, 4711 0815", ("4711 0815", "ACCOUNT_NUMBER"), ["4711 0815"]),
        ("ab 12, 12", ("12", "ACCOUNT_NUMBER"), []),
        ("In Ljubljana. LJUBLJANA!", ("Ljubljana", "LOCATION"), ["LJUBLJANA"]),
        # A town that is an English word would take the word with it.
        ("In Bath. Bath time.", ("Bath", "LOCATION"), []),
        ("On 3 May. 3 May again.", ("3 May", "DATE_TIME"), []),
        ("A British man, British beef.", ("British", "NRP"), []),
        ("Li Wu. Li and Wu.", ("Li Wu", "PERSON"), []),
        ("Szab\u00f3 came. Szab\u00f3 left. szab\u00f3.", ("Szab\u00f3", "PERSON"), ["Szab\u00f3"]),
    ],
)  # fmt: skip
def test_what_was_found_once_is_found_again(
    text: str, found: tuple[str, str], also: list[str]
) -> None:
    assert [words for _, words in repeated(text, found)] == also


def test_nothing_found_is_nothing_repeated() -> None:
    assert propagated("Anna and Anna", []) == []


WORDS = st.sampled_from(["Petrovska", "Zyx", "qrs", "4711", "Lublin", "is", ",", "\n", "PETROVSKA"])


@given(st.lists(WORDS, max_size=30), st.data())
def test_all_that_is_repeated_reads_like_what_was_found(words: list[str], data: object) -> None:
    text = " ".join(words)
    tokens, places = tokenise(text)
    if not tokens:
        return
    assert isinstance(data, st.DataObject)
    first = data.draw(st.integers(0, len(tokens) - 1))
    last = data.draw(st.integers(first, min(first + 3, len(tokens) - 1)))
    entity = data.draw(st.sampled_from(["PERSON", "ACCOUNT_NUMBER", "LOCATION"]))
    source = Span(places[first][0], places[last][1], entity, 0.5)
    original = [plain(token) for token in tokens[first : last + 1]]
    result = propagated(text, [source])
    assert source in result
    for span in result:
        again = [plain(token) for token in tokenise(text[span.start : span.end])[0]]
        assert again == original or (entity == "PERSON" and again[0] in original)
        assert (span.entity, span.score) == (entity, 0.5)


def test_ten_thousand_findings_take_no_longer_than_the_text() -> None:
    names = [f"Zyx{number:05d}" for number in range(10_000)]
    text = " ".join(names * 2)
    found = [Span(9 * n, 9 * n + 8, "ACCOUNT_NUMBER", 0.9) for n in range(10_000)]
    result = propagated(text, found)
    assert len({(s.start, s.end) for s in result}) == 20_000
