"""Quality measures against a loop over characters, and what each of them counts."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from privacy.scrubbing.measuring import (
    COMMON_TYPES,
    NO_IDENTIFIERS,
    CommonTypes,
    Quality,
    TypeQuality,
    measure,
)
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Sequence

ENTITIES = ("PERSON", "GPE", "LOCATION", "NRP", "TITLE", "PHONE_NUMBER")
TEXTS = st.text("ab1 .-é\n٣", min_size=1, max_size=40)


@st.composite
def spans_of(draw: st.DrawFn, length: int, *, disjoint: bool) -> list[Span]:
    spans: list[Span] = []
    for _ in range(draw(st.integers(0, 5))):
        start = draw(st.integers(0, length - 1))
        end = draw(st.integers(start + 1, length))
        span = Span(start, end, draw(st.sampled_from(ENTITIES)), 1.0)
        if not disjoint or all(span.end <= s.start or s.end <= span.start for s in spans):
            spans.append(span)
    return spans


@st.composite
def cases(draw: st.DrawFn) -> tuple[str, list[Span], list[Span]]:
    text = draw(TEXTS)
    labels = draw(spans_of(len(text), disjoint=False))
    return text, labels, draw(spans_of(len(text), disjoint=True))


def naive(text: str, labels: Sequence[Span], found: Sequence[Span]) -> Quality:
    """Ask of every character whether it is labelled and whether it was found."""
    found_at: list[Span | None] = [None] * len(text)
    for span in found:
        for place in range(span.start, span.end):
            found_at[place] = span
    rows: dict[str, list[int]] = {}
    leaking = set()
    for label in labels:
        entity = COMMON_TYPES.common(label.entity)
        places = range(label.start, label.end)
        letters = [place for place in places if text[place].isalnum()]
        left = [place for place in letters if found_at[place] is None]
        over = {s.entity for p in places if (s := found_at[p]) is not None}
        same = entity in {COMMON_TYPES.common(name) for name in over}
        row = rows.setdefault(entity, [0, 0, 0, 0, 0])
        counts = [1, not left, not left and same, len(letters), len(left)]
        rows[entity] = [a + b for a, b in zip(row, counts, strict=True)]
        if left:
            leaking.add(entity)
    labelled = {place for label in labels for place in range(label.start, label.end)}
    identifying = {entity for entity in rows if entity not in NO_IDENTIFIERS}
    spaced = "".join(c if c.isalnum() else " " for c in text)
    return Quality(
        tuple(TypeQuality(entity, *counts) for entity, counts in sorted(rows.items())),
        1,
        int(len(rows) > 0),
        int(len(rows) > 0 and not leaking),
        int(len(identifying) > 0),
        int(len(identifying) > 0 and not (leaking & identifying)),
        len(spaced.split()),
        len(found),
        sum(1 for s in found if labelled.isdisjoint(range(s.start, s.end))),
    )


@given(cases())
def test_measure_agrees_with_a_loop_over_characters(
    case: tuple[str, list[Span], list[Span]],
) -> None:
    assert measure(*case) == naive(*case)


@given(st.lists(cases(), max_size=4))
def test_results_add_in_any_order(several: list[tuple[str, list[Span], list[Span]]]) -> None:
    parts = [measure(*case) for case in several]
    total = reduce(lambda a, b: a + b, parts, Quality())
    assert total == reduce(lambda a, b: b + a, parts, Quality())
    assert total.documents == len(several)
    assert sum(row.labelled for row in total.types) == sum(len(labels) for _, labels, _ in several)


@given(cases())
def test_finding_more_never_uncovers_anything(case: tuple[str, list[Span], list[Span]]) -> None:
    text, labels, found = case
    few = measure(text, labels, found)
    everything = measure(text, labels, [*found, Span(0, len(text), "PERSON", 0.1)])
    assert everything.clean == everything.with_entities
    for row in few.types:
        assert everything.of(row.entity).covered == row.labelled
        assert row.covered >= row.typed


@given(cases())
def test_finding_exactly_what_is_labelled_is_perfect(
    case: tuple[str, list[Span], list[Span]],
) -> None:
    text, _, labels = case
    quality = measure(text, labels, labels)
    assert quality.false_findings == 0
    assert all(row.typed == row.labelled and row.leaked == 0 for row in quality.types)


def test_an_entity_is_covered_without_its_marks_and_under_another_type() -> None:
    text = "Call (+1) 202-555-0101 now"
    label = Span(5, 22, "PHONE_NUMBER", 1.0)
    inner = measure(text, [label], [Span(7, 22, "UNIQUE_ID", 0.5)]).of("PHONE_NUMBER")
    assert (inner.covered, inner.typed, inner.leaked) == (1, 0, 0)
    most = measure(text, [label], [Span(5, 21, "PHONE_NUMBER", 0.5)]).of("PHONE_NUMBER")
    assert (most.covered, most.typed, most.leaked, most.characters) == (0, 0, 1, 11)


def test_two_findings_cover_an_entity_together() -> None:
    text = "Ann Lee"
    row = measure(
        text, [Span(0, 7, "PERSON", 1.0)], [Span(0, 3, "PERSON", 1.0), Span(4, 7, "NRP", 1.0)]
    ).of("PERSON")
    assert (row.covered, row.typed) == (1, 1)


def test_types_are_compared_under_their_common_names() -> None:
    text = "Paris"
    labels, found = [Span(0, 5, "GPE", 1.0)], [Span(0, 5, "LOCATION", 1.0)]
    assert measure(text, labels, found).of("LOCATION").typed == 1
    assert measure(text, labels, found, CommonTypes()).of("GPE").typed == 0


def test_a_profession_that_stays_leaves_a_document_clean_of_identifiers() -> None:
    text = "Ann, baker"
    labels = [Span(0, 3, "PERSON", 1.0), Span(5, 10, "TITLE", 1.0)]
    quality = measure(text, labels, labels[:1])
    assert (quality.clean, quality.clean_of_identifiers) == (0, 1)
    assert quality.leaked_identifier_share == 0
    assert quality.leaked_share == 5 / 8
    assert measure(text, labels[1:], ()).with_identifiers == 0


def test_overlapping_findings_are_one_and_a_false_one_overlaps_nothing() -> None:
    text = "Ann lives here"
    found = [Span(0, 3, "PERSON", 1.0), Span(0, 2, "NRP", 0.5), Span(10, 14, "LOCATION", 0.5)]
    quality = measure(text, [Span(0, 3, "PERSON", 1.0)], found)
    assert (quality.findings, quality.false_findings, quality.tokens) == (2, 1, 3)
    assert quality.precision == 0.5
    assert quality.false_per_1000_tokens == pytest.approx(1000 / 3)


def test_without_anything_to_measure_no_share_is_claimed() -> None:
    quality = Quality()
    shares = (
        quality.leaked_share, quality.leaked_identifier_share, quality.clean_share,
        quality.clean_of_identifiers_share, quality.false_per_1000_tokens, quality.precision,
        quality.of("PERSON").recall, quality.of("PERSON").typed_recall,
    )  # fmt: skip
    assert all(math.isnan(share) for share in shares)
    assert quality.of("PERSON").recall_interval() == (0.0, 1.0)
    assert measure("no entity", (), ()).clean_share != 1


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 2), (2, 99), (5, 4)])
def test_a_label_outside_its_text_is_refused_without_showing_the_text(start: int, end: int) -> None:
    with pytest.raises(ConfigError, match="nothing can be measured") as caught:
        measure("a secret", [Span(start, end, "PERSON", 1.0)], ())
    assert "secret" not in str(caught.value)


def test_counts_that_contradict_each_other_are_refused() -> None:
    row = TypeQuality("PERSON", 2, 1, 1, 9, 4)
    for broken in ((2, 3, 0, 9, 4), (2, 1, 2, 9, 4), (2, 1, 1, 9, 10)):
        with pytest.raises(ConfigError, match="contradict"):
            TypeQuality("PERSON", *broken)
    with pytest.raises(ConfigError, match="contradict"):
        Quality((row, row), 1, 1)
    with pytest.raises(ConfigError, match="contradict"):
        Quality((row,), documents=1, with_entities=1, clean=2)
    with pytest.raises(ConfigError, match="same type"):
        row + TypeQuality("NRP", 0, 0, 0, 0, 0)
    with pytest.raises(ConfigError, match="two common names"):
        CommonTypes((("A", "B"), ("A", "C")))
