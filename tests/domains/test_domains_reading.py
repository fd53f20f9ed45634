"""Strict reading: what is refused, how it is named, and that no message holds text."""

from __future__ import annotations

import csv
import json
import time
import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.errors import ConfigError
from domains.overlap import separate
from domains.reading import csv_rows, json_lines, json_object, published_file
from domains.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COLUMNS = ("text", "label")
GOOD_CSV = b"text,label\na first row,0\n"
GOOD_LINE = b'{"text": "a first row", "label": "0"}\n'


def all_of(read: Callable[[], object]) -> str:
    """Return the refusal with every exception that is chained to it."""
    with pytest.raises(ConfigError) as refusal:
        read()
    shown = "".join(traceback.format_exception(refusal.value))
    chained, error = "", refusal.value.__context__
    while error is not None:
        chained, error = chained + repr(error), error.__context__
    message = str(refusal.value)
    for word in ("Secret", "Person"):
        assert word not in message + chained
    assert message in shown
    return message


BROKEN_CSV = {
    "wrong columns": (b"text,mood\nSecret Person,0\n", "header"),
    "no header": (b"Secret Person,0\n", "header"),
    "empty file": (b"", "header"),
    "cell too many": (GOOD_CSV + b"Secret, Person,0\n", "Row 2 (to line 3)"),
    "cell too few": (GOOD_CSV + b"Secret Person\n", "Row 2 (to line 3)"),
    "blank line": (GOOD_CSV + b"\n", "Row 2 (to line 3)"),
    "open quote": (GOOD_CSV + b'"Secret Person,0\n', "Row 2 of"),
    "text after a quote": (GOOD_CSV + b'"Secret" Person,0\n', "Row 2 of"),
    "cut in a text": (GOOD_CSV + b"Secret Per", "Line 3 of"),
    "cut before the line end": (GOOD_CSV + b"Secret Person,0", "Line 3 of"),
    "latin-1": (GOOD_CSV + b"Secret Person M\xe4,0\n", "Line 3 of"),
    "a zero byte": (GOOD_CSV + b"Secret\x00 Person,0\n", "Line 3 of"),
    "utf-16": ("text,label\nSecret Person,0\n".encode("utf-16"), "Line 1 of"),
}


@pytest.mark.parametrize("case", BROKEN_CSV)
def test_a_broken_csv_is_named_and_never_shown(case: str, tmp_path: Path) -> None:
    content, named = BROKEN_CSV[case]
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    message = all_of(lambda: list(csv_rows(path, COLUMNS)))
    assert named in message
    assert str(path) in message


BROKEN_LINES = {
    "no json": (b"Secret Person\n", "Row 2 of"),
    "a list": (b'["Secret Person"]\n', "Row 2 of"),
    "column missing": (b'{"text": "Secret Person"}\n', "lacks the column 'label'"),
    "key twice": (b'{"text": "Secret", "text": "Person", "label": "0"}\n', "twice"),
    "cut": (b'{"text": "Secret Per', "Line 2 of"),
    "cut with a line end": (b'{"text": "Secret Per\n', "Row 2 of"),
    "blank line": (b"\n", "Row 2 of"),
    "latin-1": (b'{"text": "Secret Person \xe4", "label": "0"}\n', "Line 2 of"),
    "too deep": (b"[" * 200_000 + b"\n", "Row 2 of"),
}


@pytest.mark.parametrize("case", BROKEN_LINES)
def test_broken_json_lines_are_named_and_never_shown(case: str, tmp_path: Path) -> None:
    content, named = BROKEN_LINES[case]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD_LINE + content)
    message = all_of(lambda: list(json_lines(path, COLUMNS)))
    assert named in message
    assert str(path) in message


@pytest.mark.parametrize(
    "content", [b'{"1": "Secret Person", "2": "Secr', b'{"1": "Secret", "1": "Person"}', b"[]", b""]
)
def test_a_broken_json_object_is_named_and_never_shown(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "whole.json"
    path.write_bytes(content)
    assert str(path) in all_of(lambda: json_object(path))


def test_an_absent_or_unreadable_file_is_named(tmp_path: Path) -> None:
    assert "rows.csv, more.csv" in all_of(
        lambda: published_file(tmp_path, "rows.csv", ("rows.csv", "more.csv"))
    )
    assert "not a folder" in all_of(lambda: published_file(tmp_path / "no", "a", ("a",)))
    assert "could not be read" in all_of(lambda: list(csv_rows(tmp_path, COLUMNS)))


@given(
    rows=st.lists(
        st.tuples(
            st.text(
                st.characters(min_codepoint=32, exclude_categories=("Cs",))
                | st.sampled_from('\n\t,"'),
            ),
            st.sampled_from("012"),
        )
    )
)
def test_what_a_csv_writer_wrote_is_read(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    read = [(row.cells["text"], row.cells["label"]) for row in csv_rows(path, COLUMNS)]
    assert read == rows


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD_CSV.replace(b"\n", b"\r\n"))
    assert [row.cells for row in csv_rows(path, COLUMNS)] == [{"text": "a first row", "label": "0"}]


def test_an_id_that_stands_there_twice_is_named_by_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"1": {"a": 1}, "secret": {"a": 1}, "3": {"a": 1}, "secret": {"a": 2}}')
    with pytest.raises(ConfigError, match=r"id twice \(member 4 of its object") as e:
        json_object(path)
    assert "secret" not in str(e.value)


def test_half_a_character_is_named_by_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "whole"}\n{"a": "half \\ud800"}\n{"a": "\\ud83d\\ude00"}\n')
    whole, half, pair = json_lines(path, ["a"])
    assert (whole.text("a"), pair.text("a")) == ("whole", "\U0001f600")
    with pytest.raises(ConfigError, match=r"Row 2 of .* has half a character in 'a'"):
        half.text("a")


def test_a_row_does_not_show_its_cells(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\nSecret Person,0\n")
    (row,) = csv_rows(path, COLUMNS)
    assert "Secret" not in repr(row)
    assert "Row 1" in all_of(lambda: row.choice("text", {"x": 0}))
    assert "Row 1" in all_of(lambda: row.text("absent"))


def test_a_hundred_thousand_rows_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for number in range(100_000):
            file.write(json.dumps({"text": f"row {number} " + "word " * 20, "label": "0"}) + "\n")
    begun = time.process_time()
    records = tuple(
        Record(str(row.number), row.text("text"), 0) for row in json_lines(path, COLUMNS)
    )
    sides = separate(records[:80_000], records[80_000:], drop_overlap=True)
    assert time.process_time() - begun < 5
    assert len(sides.train) == 80_000


def of(*texts: str) -> tuple[Record, ...]:
    return tuple(Record(f"{texts[0]}-{number}", text, 0) for number, text in enumerate(texts))


def test_texts_on_both_sides_leave_the_training_side_and_are_counted() -> None:
    train, evaluation = of("one", "Two ", "two", "three", "three"), of("TWO", "four", "four")
    sides = separate(train, evaluation, drop_overlap=True)
    assert [record.text for record in sides.train] == ["one", "three", "three"]
    assert sides.notes[0].startswith("1 texts stand on both sides of the split; 2 training rows")
    assert sides.notes[1].startswith("1 training rows and 1 evaluation rows repeat")


def test_kept_overlap_is_said_to_flatter_the_score() -> None:
    train = of("one", "two")
    sides = separate(train, of("two"), drop_overlap=False)
    assert sides.train == train
    assert "flattered" in sides.notes[0]


def test_a_key_that_leaves_nothing_counts_the_whole_text() -> None:
    sides = separate(of("one", "two"), of("two"), drop_overlap=True, key=lambda _: "")
    assert [record.text for record in sides.train] == ["one"]
