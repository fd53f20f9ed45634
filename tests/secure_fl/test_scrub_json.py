"""JSON: only the chosen strings change, every other byte stays, and damage is named by its row."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scrub_workplace import CANARY, refused, scrub, toy

from secure_fl.scrubbing_files import window
from secure_fl.scrubbing_files.field_paths import Into, field_path
from secure_fl.scrubbing_files.json_text import DEEPEST, JsonRules, Missing
from secure_fl.scrubbing_files.plan import Choices
from secure_fl.scrubbing_files.rows import RowError

ALL = Choices(all_fields=True)
GONE = "<ACCOUNT_NUMBER>"


def rows(tmp_path: Path, *lines: str, name: str = "r.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes("".join(lines).encode())
    return path


def fields(*paths: str, missing: Missing = Missing.REFUSE) -> Choices:
    return Choices(fields=paths, missing=missing)


def test_only_the_chosen_strings_change(tmp_path: Path) -> None:
    first = '{ "id":123456789012345678901234567890, "z":1.50e+07,"note": "Anna 12345 \\u00e9\\/", '
    path = rows(
        tmp_path,
        first + '"history":[{"text":"55555", "by":"66666"},{"text":"ok"}] }\r\n',
        "\n",
        '{"note":"é 12345","history":[],"a\\u0062":true}',
    )
    out, done = scrub(path, fields("note", "history[].text"))
    written = first.replace("Anna 12345 \\u00e9\\/", f"<PERSON> {GONE} \\u00e9/")
    assert out.decode() == (
        written + f'"history":[{{"text":"{GONE}", "by":"66666"}},{{"text":"ok"}}] }}\r\n'
        f'\n{{"note":"é {GONE}","history":[],"a\\u0062":true}}'
    )
    assert (done.count.rows, done.count.rows_changed, done.count.texts) == (2, 2, 4)
    assert done.task.format.chosen == ("note", "history[].text")


def test_a_whole_file_is_one_value(tmp_path: Path) -> None:
    path = rows(tmp_path, '{"1":\n{"a":["12345"]},\n"2":{"a":["x"]}}\n', name="whole.json")
    out, _ = scrub(path, fields("*.a[]"))
    assert out.decode() == f'{{"1":\n{{"a":["{GONE}"]}},\n"2":{{"a":["x"]}}}}\n'


VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.sampled_from('aé"\\/\n\u0301\u200f\ud83d\U0001f600 1'), max_size=6).map(
        lambda text: text.replace("1", " 12345 ")
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("ab1é", max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


def lone(value: object) -> bool:
    """Say whether a value holds half a character, which is written as an escape or not at all."""
    return "\ud83d" in json.dumps(value, ensure_ascii=False)


def scrubbed(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value with every string scrubbed, the naive way."""
    if isinstance(value, str):
        return toy(value)
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {key: scrubbed(item) for key, item in value.items()}
    return value


@settings(max_examples=150, deadline=None)
@given(
    values=st.lists(VALUE, max_size=4),
    ascii_only=st.booleans(),
    separators=st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", "  :\r")]),
    chunk_bytes=st.integers(1, 9),
)
def test_what_the_standard_reader_reads_is_what_was_scrubbed(
    values: list[Any], *, ascii_only: bool, separators: tuple[str, str], chunk_bytes: int
) -> None:
    """The twin is Python's json module over whole values."""
    lines = [
        # A lone surrogate cannot be written in UTF-8 but as an escape.
        json.dumps(
            value, ensure_ascii=ascii_only or "ud83d" in json.dumps(value), separators=separators
        )
        for value in values
    ]
    source = "".join(f"{line}\n" for line in lines)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "_CHUNK_BYTES", chunk_bytes)
        out, _ = scrub(rows(Path(folder), source), ALL)
    written = out.decode().split("\n")[:-1]
    assert [json.loads(line) for line in written] == [scrubbed(value) for value in values]
    for line, new, value in zip(lines, written, values, strict=True):
        assert scrubbed(value) != value or line == new
        assert new.isascii() or not line.isascii()


def test_lone_surrogates_stay_escaped(tmp_path: Path) -> None:
    path = rows(tmp_path, '{"a":"\\ud800 12345 é","b":"\\udc00"}\n')
    assert scrub(path, ALL)[0].decode() == f'{{"a":"\\ud800 {GONE} é","b":"\\udc00"}}\n'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"note":"%s", "x":NaN}', "it is no JSON from character"),
        ('{"note":"%s", "x":-Infinity}', "it is no JSON"),
        ('{"note":"%s", "x":01}', "it is no JSON"),
        ('{"note":"%s", "x":1.}', "it is no JSON"),
        ('{"note":"%s", "x":\'a\'}', "it is no JSON"),
        ('{"note":"%s",}', "it is no JSON"),
        ('{"note":"%s"} {}', "it is no JSON"),
        ('{"note":"%s\\x"}', "it is no JSON"),
        ('{"note":"%s\t"}', "it is no JSON"),
        ('{"note" "%s"}', "it is no JSON"),
        ('{"note":"%s', "in the middle of its JSON: it is cut there"),
        ('{"note":"%s"', "in the middle of its JSON: it is cut there"),
        ('{"note":"%s", "a": 1, "note":"b"}', "an object has one key twice"),
        ('{"note":"%s", "n\\u006fte":"b"}', "an object has one key twice"),
        ('{"notes":"%s"}', "it has no note, or null there"),
        ('{"note":null, "x":"%s"}', "it has no note, or null there"),
        ('{"note":5, "x":"%s"}', "there is a number, true or false, and a string was expected"),
        ('{"note":["%s"]}', "there is a list, and a string was expected (did you mean note[]?)"),
        ('{"note":{"x":"%s"}}', "there is an object, and a string was expected"),
        ('["%s"]', "there is a list, and an object was expected"),
        ('"%s"', "there is a string, and an object was expected"),
    ],
)
def test_a_damaged_row_is_refused(tmp_path: Path, line: str, said: str) -> None:
    path = rows(tmp_path, '{"note":"fine"}\n', line % CANARY + "\n", '{"note":"fine"}\n')
    told = refused(path, fields("note"))
    assert f"{path}, row 2: " in told
    assert said in told


def test_a_file_that_is_cut_in_its_last_line(tmp_path: Path) -> None:
    whole = "".join(f'{{"note":"{number} {CANARY}"}}\n' for number in range(1500))
    path = rows(tmp_path, whole[:-9])
    assert "row 1500: it ends at character 23 in the middle" in refused(path, fields("note"))


def test_missing_fields_may_be_skipped_but_not_mistyped(tmp_path: Path) -> None:
    lines = ['{"note":null}\n', '{"x":"12345"}\n', '{"note":"12345"}\n', '{"note":""}\n']
    path = rows(tmp_path, *lines)
    out, done = scrub(path, fields("note", missing=Missing.SKIP))
    assert out.decode() == "".join(lines).replace('"note":"12345"', f'"note":"{GONE}"')
    assert done.count.rows == 4
    assert "No row of" in refused(path, fields("note", "note2", missing=Missing.SKIP))
    assert "a number" in refused(rows(tmp_path, '{"note":1}'), fields("note", missing=Missing.SKIP))


def test_a_field_missing_in_one_item_of_a_list_is_missing(tmp_path: Path) -> None:
    path = rows(tmp_path, '{"h":[{"t":"a"},{"u":"b"}]}\n')
    assert "row 1: it has no h[].t" in refused(path, fields("h[].t"))


def test_deep_nesting_is_refused_without_recursion(tmp_path: Path) -> None:
    deep = 10_000
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        path = rows(tmp_path, '"fine"\n', opening * deep + f'"{CANARY}"' + closing * deep)
        assert f"row 2: it nests deeper than {DEEPEST} levels" in refused(path, ALL)
    just = "[" * DEEPEST + '"12345"' + "]" * DEEPEST
    assert GONE.encode() in scrub(rows(tmp_path, just), ALL)[0]


def test_two_paths_may_lead_to_one_string(tmp_path: Path) -> None:
    path = rows(tmp_path, '{"note":"12345","x":"a"}\n')
    choices = fields("note", "*", missing=Missing.SKIP)
    assert scrub(path, choices)[0].decode() == f'{{"note":"{GONE}","x":"a"}}\n'


@pytest.mark.parametrize(
    ("written", "steps"),
    [
        ("note", ("note",)),
        ("a.b", ("a", "b")),
        ("a[].b", ("a", Into.EACH, "b")),
        ("a[][]", ("a", Into.EACH, Into.EACH)),
        ("[].a", (Into.EACH, "a")),
        ("*.a", (Into.ANY_KEY, "a")),
        (r"a\.b.\*", ("a.b", "*")),
        (r"a\[\]", ("a[]",)),
        ("two words", ("two words",)),
    ],
)
def test_paths(written: str, steps: tuple[object, ...]) -> None:
    assert field_path(written).steps == steps


@pytest.mark.parametrize("written", ["", ".", "a.", ".a", "a..b", "a[", "a]", "a[0]", "a*", "a.[]"])
def test_what_is_no_path_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no path of a field"):
        field_path(written)


def test_slots_say_where_strings_stand() -> None:
    row = '{"a":"x\\n", "b":["é"]}'
    slots = JsonRules(None).slots(row)
    assert [(row[slot.start : slot.end], slot.text) for slot in slots] == [
        ('"x\\n"', "x\n"),
        ('"é"', "é"),
    ]
    with pytest.raises(RowError):
        JsonRules(None).slots("{} {}")


def test_a_long_row_costs_time_linear_in_it() -> None:
    """Eight times as long may not take 64 times as long, which a quadratic reader would need."""

    def seconds(length: int) -> float:
        row = '{"note":"' + "word \\u00e9 " * length + '","n":[' + "1," * length + "1]}"
        took = []
        for _ in range(3):
            began = time.process_time()
            JsonRules(None).slots(row)
            took.append(time.process_time() - began)
        return min(took)

    assert seconds(80_000) < 32 * seconds(10_000)
