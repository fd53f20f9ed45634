"""Records do not show their text, and a data set's version changes with its content."""

from __future__ import annotations

import hashlib
import json

import pytest

from crypto.digests import digest_json
from crypto.errors import ConfigError
from domains.records import Dataset, Record, content_digest

LABELS = ("negative", "positive")
TRAIN = (Record("a", "Erika Mustermann sold", 0), Record("b", "Jean Dupont bought", 1))
EVALUATION = (Record("c", "Maija Meikäläinen waited", 1),)


def build(
    train: tuple[Record, ...] = TRAIN,
    evaluation: tuple[Record, ...] = EVALUATION,
    *,
    name: str = "tests.few",
    notes: tuple[str, ...] = (),
) -> Dataset:
    return Dataset.of(
        name=name, labels=LABELS, train=train, evaluation=evaluation, licence="none", notes=notes
    )


def test_neither_a_record_nor_a_data_set_shows_text() -> None:
    dataset = build()
    shown = repr(dataset) + str(dataset) + repr(TRAIN) + f"{TRAIN[0]}"
    for record in (*TRAIN, *EVALUATION):
        for word in record.text.split():
            assert word not in shown


def test_the_version_is_the_digest_of_the_canonical_content() -> None:
    content = {
        "schema": "secure-fl.dataset-content.v1",
        "labels": list(LABELS),
        "train": [[r.id, r.text, r.label] for r in TRAIN],
        "evaluation": [[r.id, r.text, r.label] for r in EVALUATION],
    }
    naive = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert build().version == hashlib.sha256(naive.encode("utf-8")).digest()


def test_the_version_covers_columns_and_options_canonically() -> None:
    columns = {"\U0001f600": "last by code point", "\ufb33": "first", "a": 'qu"ote\\ \x01\x7f'}
    records = (
        Record("a", "tab\tand\nline", 1, columns, ("one", "tw\u00f6")),
        Record("b", "none", 0, options=("x", "y")),
        Record("c", "columns alone", 0, {"who": "x"}),
    )
    content = {
        "schema": "secure-fl.dataset-content.v1",
        "labels": list(LABELS),
        "train": [
            ["a", records[0].text, 1, columns, ["one", "tw\u00f6"]],
            ["b", "none", 0, {}, ["x", "y"]],
            ["c", "columns alone", 0, {"who": "x"}],
        ],
        "evaluation": [],
    }
    assert content_digest(LABELS, records, ()) == digest_json(content)


def test_the_version_depends_on_the_content_alone() -> None:
    assert build(name="other", notes=("read me",)).version == build().version


@pytest.mark.parametrize(
    ("train", "evaluation"),
    [
        (TRAIN[::-1], EVALUATION),
        ((*TRAIN, Record("d", "one more", 0)), EVALUATION),
        ((Record("z", TRAIN[0].text, 0), TRAIN[1]), EVALUATION),
        ((Record("a", TRAIN[0].text + " ", 0), TRAIN[1]), EVALUATION),
        ((Record("a", TRAIN[0].text, 1), TRAIN[1]), EVALUATION),
        (TRAIN[:1], (TRAIN[1], *EVALUATION)),
    ],
    ids=["order", "added", "id", "text", "label", "moved across the split"],
)
def test_any_change_of_content_changes_the_version(
    train: tuple[Record, ...], evaluation: tuple[Record, ...]
) -> None:
    assert build(train, evaluation).version != build().version


def test_other_labels_are_another_version() -> None:
    assert content_digest(LABELS, TRAIN, EVALUATION) != content_digest(
        LABELS[::-1], TRAIN, EVALUATION
    )


@pytest.mark.parametrize(
    ("train", "evaluation", "message"),
    [
        ((), EVALUATION, "no training records"),
        (TRAIN, (), "no evaluation records"),
        ((TRAIN[0], TRAIN[0]), EVALUATION, "'a' twice"),
        (TRAIN, (Record("b", "in both parts", 0),), "'b' twice"),
        ((Record("x", " \t\n", 0),), EVALUATION, "'x' of tests.few has no text"),
        ((Record("x", "Erika Mustermann", 2),), EVALUATION, "label 2"),
        ((Record("x", "Erika Mustermann", -1),), EVALUATION, "label -1"),
    ],
)
def test_content_that_makes_a_score_ambiguous_is_refused(
    train: tuple[Record, ...], evaluation: tuple[Record, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as refusal:
        build(train, evaluation)
    assert message in str(refusal.value)
    assert "Mustermann" not in str(refusal.value)


def optional(label: int = 1, options: tuple[str, ...] = ("left", "right")) -> Record:
    return Record("q", "Which way?", label, options=options)


def of_options(record: Record, labels: tuple[str, ...] = ()) -> Dataset:
    other = Record("p", "And then?", 0, options=("up", "down"))
    return Dataset.of(
        name="t", labels=labels, train=(record,), evaluation=(other,), licence="none", notes=()
    )


def test_a_record_may_bring_options_of_its_own_that_are_not_shown() -> None:
    dataset = of_options(optional())
    assert "right" not in repr(dataset.train[0])
    assert of_options(optional(options=("left", "write"))).version != dataset.version


@pytest.mark.parametrize(
    ("record", "labels", "message"),
    [
        (optional(2), (), "outside its 2 options"),
        (optional(options=("only",)), (), "nothing to choose from"),
        (optional(options=("left", " ")), (), "nothing to choose from"),
        (optional(options=("a", "b", "c")), ("A", "B"), "3 options and the data set names 2"),
    ],
)
def test_options_that_leave_no_choice_are_refused(
    record: Record, labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        of_options(record, labels)
