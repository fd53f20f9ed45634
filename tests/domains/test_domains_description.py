"""What a data set holds, in numbers, against a twin that compares every pair of texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.description import PERCENTS, describe, label_counts
from domains.records import Dataset, Record

LABELS = ("no", "yes")
TEXTS = st.sampled_from(["A b", "a  B", "ab", "Straße", "STRASSE", "c", "longer text"])
PARTS = st.lists(st.tuples(TEXTS, st.integers(0, 1)), min_size=1, max_size=12)


def dataset(train: list[tuple[str, int]], evaluation: list[tuple[str, int]]) -> Dataset:
    return Dataset.of(
        name="tests.invented",
        labels=LABELS,
        train=tuple(Record(f"t{n}", *pair) for n, pair in enumerate(train)),
        evaluation=tuple(Record(f"e{n}", *pair) for n, pair in enumerate(evaluation)),
        licence="none",
        notes=(),
    )


def alike(one: str, other: str) -> bool:
    return one.casefold().split() == other.casefold().split()


@given(train=PARTS, evaluation=PARTS)
def test_repeated_texts_are_those_that_a_comparison_of_all_pairs_finds(
    train: list[tuple[str, int]], evaluation: list[tuple[str, int]]
) -> None:
    told = describe(dataset(train, evaluation))
    assert told.shared == sum(any(alike(text, held) for held, _ in evaluation) for text, _ in train)
    for part, pairs in ((told.train, train), (told.evaluation, evaluation)):
        assert part.repeated == sum(
            any(alike(text, earlier) for earlier, _ in pairs[:n])
            for n, (text, _) in enumerate(pairs)
        )
        assert part.contradicted == sum(
            any(alike(text, other) and label != another for other, another in pairs)
            for text, label in pairs
        )
        assert part.labels == tuple(sum(label == k for _, label in pairs) for k in (0, 1))
        lengths = sorted(len(text) for text, _ in pairs)
        assert len(part.lengths) == len(PERCENTS)
        assert (part.lengths[0], part.lengths[-1]) == (lengths[0], lengths[-1])
        assert set(part.lengths) <= set(lengths)


def test_the_percentiles_are_lengths_in_characters() -> None:
    texts = [("é" * length, 0) for length in range(1, 101)]
    told = describe(dataset(texts, [("x", 1)]))
    assert told.train.lengths == (1, 5, 50, 95, 100)


def test_places_among_different_options_do_not_contradict_each_other() -> None:
    told = describe(
        Dataset.of(
            name="tests.asked",
            labels=("A", "B"),
            train=tuple(
                Record(f"t{n}", "Which of these?", n % 2, options=(f"one {n}", f"two {n}"))
                for n in range(4)
            ),
            evaluation=(Record("e0", "And of these?", 0, options=("one", "two")),),
            licence="none",
            notes=(),
        )
    )
    assert (told.train.repeated, told.train.contradicted) == (3, None)
    assert told.evaluation.contradicted is None


def test_a_label_outside_the_classes_is_named_and_not_counted() -> None:
    with pytest.raises(ConfigError, match="'r1' has label 2") as caught:
        label_counts([Record("r1", "secret words", 2)], 2)
    assert "secret" not in str(caught.value)


def test_a_description_holds_no_text() -> None:
    assert "secret" not in repr(describe(dataset([("secret words", 0)], [("secret too", 1)])))
