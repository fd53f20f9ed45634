"""Tables: the chosen cells change, every other byte stays, and what is ambiguous is refused."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scrub_workplace import CANARY, refused, scrub, toy

from secure_fl.scrubbing_files import window
from secure_fl.scrubbing_files.csv_table import record, records, shown
from secure_fl.scrubbing_files.plan import Choices, NoChoiceError, plan
from secure_fl.scrubbing_files.rows import RowError
from secure_fl.scrubbing_files.window import Encoding, TextWindow

REMARK = Choices(columns=("remark",))


def table(tmp_path: Path, text: str, name: str = "t.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_only_the_chosen_cells_change(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        '\ufeffid,remark,"note ""x"""\r\n'
        "12345,Anna paid 98765,77777\r\n"
        '"12345","a ""quote"", 55555\nnext line",\'x\'\r\n'
        "\r\n"
        '1,"plain, quoted",5" pipe\n'
        "2,,last without a line end",
    )
    out, done = scrub(path, REMARK)
    assert out.decode() == (
        '\ufeffid,remark,"note ""x"""\r\n'
        "12345,<PERSON> paid <ACCOUNT_NUMBER>,77777\r\n"
        '"12345","a ""quote"", <ACCOUNT_NUMBER>\nnext line",\'x\'\r\n'
        "\r\n"
        '1,"plain, quoted",5" pipe\n'
        "2,,last without a line end"
    )
    assert done.columns == ("id", "remark", 'note "x"')
    assert (done.count.rows, done.count.rows_changed, done.count.texts) == (4, 2, 4)
    assert done.count.entities == (("ACCOUNT_NUMBER", 2), ("PERSON", 1))


def test_several_columns_all_columns_and_no_header(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b,c\n11111,22222,33333\n")
    gone = "<ACCOUNT_NUMBER>"
    assert scrub(path, Choices(columns=("c", "a")))[0] == f"a,b,c\n{gone},22222,{gone}\n".encode()
    assert scrub(path, Choices(all_columns=True))[0] == f"a,b,c\n{gone},{gone},{gone}\n".encode()
    bare = Choices(columns=("2",), header=False)
    assert scrub(path, bare)[0] == f"a,b,c\n11111,{gone},33333\n".encode()
    assert scrub(path, bare)[1].count.rows == 2
    empty = table(tmp_path, "", "empty.csv")
    assert scrub(empty, bare)[0] == b""


def test_other_delimiters(tmp_path: Path) -> None:
    path = table(tmp_path, "a\tb\n1,5\t12345\n", "t.tsv")
    assert scrub(path, Choices(columns=("b",)))[0] == b"a\tb\n1,5\t<ACCOUNT_NUMBER>\n"
    path = table(tmp_path, "a;b\n1,5;12345\n")
    semicolon = Choices(columns=("b",), delimiter=";")
    assert scrub(path, semicolon)[0] == b"a;b\n1,5;<ACCOUNT_NUMBER>\n"


CELL = st.text(alphabet=st.sampled_from('ab ,;"\n\r\té\u0301\u200f1'), max_size=8).map(
    lambda text: text.replace("1", " 12345 ")
)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(
            st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=5
        )
    ),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    delimiter=st.sampled_from(",;\t"),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    chunk_bytes=st.integers(1, 9),
)
def test_what_the_standard_reader_reads_is_what_was_scrubbed(
    rows: list[list[str]], quoting: int, delimiter: str, line_end: str, chunk_bytes: int
) -> None:
    """The twin is Python's csv module; pieces of a few bytes cut every row everywhere."""
    # Python leaves a line end of another kind unquoted, and then reads a new row behind it.
    others = {"\r", "\n"} - set(line_end)
    assume(quoting == csv.QUOTE_ALL or others.isdisjoint("".join(map("".join, rows))))
    source = io.StringIO()
    writer = csv.writer(source, quoting=quoting, delimiter=delimiter, lineterminator=line_end)
    width = len(rows[0])
    writer.writerow([f"c{number}" for number in range(width)])
    writer.writerows(rows)
    choices = Choices(columns=(f"c{width - 1}",), delimiter=delimiter)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "_CHUNK_BYTES", chunk_bytes)
        path = table(Path(folder), source.getvalue())
        out, _ = scrub(path, choices)
    read = list(csv.reader(io.StringIO(out.decode(), newline=""), delimiter=delimiter))
    assert (
        read[1:]
        == [
            [*row[:-1], toy(row[-1])]
            for row in csv.reader(io.StringIO(source.getvalue(), newline=""), delimiter=delimiter)
        ][1:]
    )
    if not any("1" in row[-1] for row in rows):
        assert out == source.getvalue().encode()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,remark\n1,x\n2,{}\n3,a,b\n", "row 4: it has 3 cells and the first row has 2"),
        ("id,remark\n1,x\n2\n", "row 3: it has 1 cells"),
        ('id,remark\n1,x\n2,"{} and the rest', "row 3: a quote that opens in this row never"),
        ('id,remark\n1,"{}"x\n', "row 2: there is text behind the closing quote of cell 2"),
        ("id,remark,id\n1,x,{}\n", "row 1: columns 1 and 3 have the same name"),
        ("", "row 1: the file is empty"),
        ("id,remarks\n1,{}\n", "row 1: there is no column remark. The columns are: id, remarks"),
        ("4711,{}\n", "row 1: there is no column remark. The first row has 2 cells that do not"),
        ("id,remark\n1,\0{}\n", "row 2: there is a NUL character at byte offset 12"),
    ],
)
def test_a_damaged_table_is_refused_with_its_row(tmp_path: Path, text: str, said: str) -> None:
    path = table(tmp_path, text.replace("{}", CANARY))
    assert said in refused(path, REMARK)


def test_rows_before_a_damaged_one_change_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{number},fine\n" for number in range(5000))
    path = table(tmp_path, f"id,remark\n{rows}1,{CANARY},2\n")
    assert "row 5002:" in refused(path, REMARK)


def test_two_columns_without_a_name_stay(tmp_path: Path) -> None:
    path = table(tmp_path, "id,remark,,\n1,12345,,\n")
    assert scrub(path, REMARK)[0] == b"id,remark,,\n1,<ACCOUNT_NUMBER>,,\n"


@pytest.mark.parametrize(
    ("head", "told"),
    [
        ("id,remark,date of birth", "The columns are: id, remark, date of birth"),
        (f"4711,{CANARY}", "The first row has 2 cells that do not look like names of columns"),
        (f"{CANARY}@example.com,x", "The first row has 2 cells"),
    ],
)
def test_without_a_choice_the_columns_are_listed(tmp_path: Path, head: str, told: str) -> None:
    """A table without a header begins with a record, which is not to be shown."""
    path = table(tmp_path, f"{head}\n1,2,3\n")
    with pytest.raises(NoChoiceError) as caught:
        plan([path], Choices(), None, replace=False)
    assert told in str(caught.value)
    assert CANARY not in str(caught.value)


def test_a_cell_is_quoted_where_what_it_became_asks_for_it(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b\nx,y\n")
    table_format = plan([path], Choices(all_columns=True), None, replace=False)[0].format
    with path.open("rb") as stream:
        rules = table_format.begin(TextWindow(stream, Encoding("utf-8"))).rules
    assert rules.literal("x", "Berg, Anna") == '"Berg, Anna"'
    assert rules.literal("x", 'the "old" one') == 'the "old" one'
    assert rules.literal("x", '"old"') == '"""old"""'
    assert rules.literal('"x"', 'the "old" one') == '"the ""old"" one"'
    assert rules.literal("x", "") == '""'


def test_a_row_is_over_when_nothing_can_follow_it() -> None:
    assert record("a,b", 0, ",", final=False) is None
    assert record("a,b\r", 0, ",", final=False) is None
    assert record('a,"b"', 0, ",", final=False) is None
    assert record('a,"b', 0, ",", final=False) is None
    found = record("a,b\r\nc", 0, ",", final=False)
    assert found is not None
    assert (found.cells, found.end) == (((0, 1), (2, 3)), 5)
    with pytest.raises(RowError, match="never closes"):
        record('a,"b', 0, ",", final=True)


def test_a_quote_that_never_closes_does_not_read_a_whole_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "LARGEST_ROW_CHARACTERS", 1000)
    monkeypatch.setattr(window, "_CHUNK_BYTES", 100)
    path = table(tmp_path, 'a,b\n1,"' + "x\n" * 5000)
    with path.open("rb") as stream:
        reader = records(TextWindow(stream, Encoding("utf-8")), ",")
        assert next(reader) == "a,b\n"
        with pytest.raises(RowError, match="longer than 1000 characters"):
            next(reader)


def test_names_of_columns_may_be_shown_and_records_not() -> None:
    assert shown(("id", "Date (UTC)", "größe", "")) == "id, Date (UTC), größe, (no name)"
    assert shown(("Berg", "1974-05-01")) is None
    assert shown(("x" * 65,)) is None
