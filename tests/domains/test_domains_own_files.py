"""A site's own file: faults by file and row, what is dropped, what stands on which side."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crypto.errors import ConfigError
from domains.own_files import (
    BadRows,
    OwnFile,
    load_evaluation,
    load_simulation,
    load_site,
    read,
)

LABELS = ("bad", "good")
PERSON = "Ferdinand"
KINDS = (".csv", ".jsonl", ".parquet", ".tsv")
Rows = list[dict[str, str]]


def some(count: int, start: int = 0) -> Rows:
    return [
        {
            "text": f"{PERSON} note {n}",
            "label": LABELS[n % 2],
            "who": f"c{n // 2}",
            "part": "test" if n % 4 == 0 else "train",
            "nr": str(n),
        }
        for n in range(start, start + count)
    ]


def write(path: Path, rows: Rows) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=3)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        between = "\t" if path.suffix == ".tsv" else ","
        lines = [between.join(rows[0]), *(between.join(row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def said(file: OwnFile) -> str:
    with pytest.raises(ConfigError) as caught:
        read(file, LABELS)
    message = str(caught.value)
    assert PERSON not in message
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_records(tmp_path: Path, kind: str) -> None:
    file = OwnFile(write(tmp_path / f"a{kind}", some(8)), unit="who", split="part", id="nr")
    found = read(file, LABELS)
    assert [record.text for record in found.evaluation] == [f"{PERSON} note {n}" for n in (0, 4)]
    assert [record.label for record in found.train] == [1, 0, 1, 1, 0, 1]
    assert [record.id for record in found.train][:2] == [f"a{kind}:2", f"a{kind}:3"]
    assert found.train[0].columns == {"who": "c0"}
    assert not found.notes
    assert PERSON not in repr(found)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("text", "  ", "an empty text"),
        ("label", "worse", "an unknown label"),
        ("who", "", "no unit"),
        ("part", "tset", "an unknown split"),
        ("nr", "", "no id"),
        ("nr", "1", "the id of an earlier row"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_or_dropped_with_a_count(
    tmp_path: Path, kind: str, column: str, value: str, fault: str
) -> None:
    rows = some(8)
    rows[5][column] = value
    path = write(tmp_path / f"a{kind}", rows)
    columns = {"unit": "who", "split": "part", "id": "nr"}
    message = said(OwnFile(path, **columns))
    assert message.startswith(f"Row 6 of {path} has {fault}")
    if column == "label":
        assert "Known labels: bad, good." in message
    if value == "1":
        assert "(row 2)" in message
    kept = read(OwnFile(path, **columns, bad_rows=BadRows.DROP), LABELS)
    assert len(kept.train) + len(kept.evaluation) == 7
    assert kept.notes == (f"1 of 8 rows of a{kind} were dropped: 1 with {fault}.",)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_column_lists_those_that_exist(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a{kind}", some(3))
    message = said(OwnFile(path, text="note"))
    assert "has no column 'note'" in message
    assert "Its columns are text, label, who, part, nr." in message


def test_a_first_row_in_the_place_of_a_header_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{PERSON} has been in the ward for a week.,bad\n")
    assert "are not all named like columns" in said(OwnFile(path))


def test_a_column_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label,text\na,bad,b\n")
    assert "has the column 'text' twice" in said(OwnFile(path))


@pytest.mark.parametrize(
    ("name", "row", "fault"),
    [
        ("a.csv", f"{PERSON},bad,more\n".encode(), "another number of cells"),
        ("a.csv", f"{PERSON}\n".encode(), "another number of cells"),
        ("a.csv", PERSON.encode() + b" \xe9,bad\n", "broken encoding"),
        ("a.csv", PERSON.encode() + b" \x00,bad\n", "broken encoding"),
        ("a.jsonl", b'{"text": "\xe9", "label": "bad"}\n', "broken encoding"),
        ("a.jsonl", f'{{"text": "{PERSON}", "lab\n'.encode(), "no JSON object"),
        ("a.jsonl", b'{"text": "a", "text": "b", "label": "bad"}\n', "no JSON object"),
        ("a.jsonl", b'{"text": "a"}\n', "an unknown label"),
        ("a.jsonl", b'{"text": 3, "label": "bad"}\n', "an empty text"),
    ],
)
def test_a_row_of_a_bad_form(tmp_path: Path, name: str, row: bytes, fault: str) -> None:
    path = write(tmp_path / name, [{"text": "a", "label": "bad"}])
    path.write_bytes(path.read_bytes() + row + path.read_bytes().splitlines(keepends=True)[-1])
    assert said(OwnFile(path)).startswith(f"Row 2 of {path} has {fault}")
    kept = read(OwnFile(path, bad_rows=BadRows.DROP), LABELS)
    assert len(kept.train) == 2
    assert kept.notes[0].startswith(f"1 of 3 rows of {name} were dropped: 1 with {fault}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad_rows", BadRows)
def test_a_file_cut_in_the_middle_is_refused_even_where_rows_are_dropped(
    tmp_path: Path, kind: str, bad_rows: BadRows
) -> None:
    path = write(tmp_path / f"a{kind}", some(9))
    path.write_bytes(path.read_bytes()[:-1])
    message = said(OwnFile(path, bad_rows=bad_rows))
    assert str(path) in message
    assert "cut" in message


def test_a_damaged_row_group_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(some(3000)), path, compression="zstd", row_group_size=1000)
    raw = bytearray(path.read_bytes())
    raw[20:2000] = bytes(1980)
    path.write_bytes(raw)
    assert str(path) in said(OwnFile(path))


def test_parquet_text_that_is_not_utf8_is_a_row_of_broken_encoding(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"a\xe9")],
    )
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": texts, "label": ["bad", "bad"]}), path)
    assert said(OwnFile(path)).startswith(f"Row 2 of {path} has broken encoding")


def test_a_quote_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f'text,label\n"{PERSON},bad\nb,bad\n')
    assert "Row 1 of" in said(OwnFile(path, bad_rows=BadRows.DROP))


def test_quotes_other_delimiters_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes('\ufefftext;label\r\n"a;\r\nb";good\r\n'.encode())
    (record,) = read(OwnFile(path, delimiter=";"), LABELS).train
    assert (record.text, record.label) == ("a;\r\nb", 1)


def test_numbers_are_names_where_a_label_or_unit_is_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"text": ["x", "y"], "label": [1, 0], "who": [7, 8]}), path)
    found = read(OwnFile(path, unit="who"), ("0", "1"))
    assert [(record.label, record.columns["who"]) for record in found.train] == [(1, "7"), (0, "8")]


@pytest.mark.parametrize("name", ["a.xlsx", "absent.csv"])
def test_what_is_not_read_or_not_there(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.xlsx").touch()
    assert "nothing was loaded" in said(OwnFile(tmp_path / name))


@pytest.mark.parametrize("labels", [(), ("a",), ("a", "a"), ("a", " ")])
def test_labels_that_are_no_classes(tmp_path: Path, labels: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="two names or more"):
        read(OwnFile(tmp_path / "a.csv"), labels)


@pytest.mark.parametrize(
    "columns", [{"label": "text"}, {"unit": "label"}, {"split": "text"}, {"delimiter": ";;"}]
)
def test_columns_that_cannot_be_meant(columns: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"\[data\]"):
        OwnFile(Path("a.csv"), **columns)


def test_a_seeded_fifth_of_the_units_is_held_out_and_no_unit_is_on_both_sides(
    tmp_path: Path,
) -> None:
    file = OwnFile(write(tmp_path / "a.csv", some(100)), unit="who")
    one = load_simulation(file, LABELS, seed=1, sites=3)
    again = load_simulation(file, LABELS, seed=1, sites=3)
    other = load_simulation(file, LABELS, seed=2, sites=3)
    assert one.dataset.version == again.dataset.version != other.dataset.version
    assert len(one.dataset.evaluation) == 20
    sides = [
        {record.columns["who"] for record in side}
        for side in (one.dataset.train, one.dataset.evaluation)
    ]
    assert not sides[0] & sides[1]
    assert one.shares is None
    assert "Evaluation set: a seeded fifth of the units." in one.dataset.notes


def test_a_unit_in_several_files_is_on_one_side_of_them_all(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write(tmp_path / f"site-{number}.csv", some(60 + 10 * number))
    found = load_simulation(OwnFile(tmp_path, unit="who"), LABELS, seed=0, sites=3)
    assert found.shares is not None
    held_out = {record.columns["who"] for record in found.dataset.evaluation}
    assert 9 <= len(held_out) <= 15  # 9 of the largest file's 45, and what smaller ones draw
    for share in found.shares:
        assert not held_out & {record.columns["who"] for record in share}


def test_what_stands_at_several_sites_is_counted(tmp_path: Path) -> None:
    for number, rows in enumerate((some(20), some(20, 18), some(10, 100)), start=1):
        for row in rows:
            row["part"] = "train"
        rows[-1]["part"] = "test"
        write(tmp_path / f"site-{number}.csv", rows)
    file = OwnFile(tmp_path, unit="who", split="part")
    notes = load_simulation(file, LABELS, seed=0, sites=3).dataset.notes
    assert "1 texts stand at more than one site and were kept at each." in notes
    (units,) = [note for note in notes if "units stand at more than one site" in note]
    assert units.startswith("1 units")
    alone = load_simulation(OwnFile(tmp_path, split="part"), LABELS, seed=0, sites=3).dataset
    assert not [note for note in alone.notes if "units" in note]


@pytest.mark.parametrize("column", ["text", "who"])
@pytest.mark.parametrize("bad_rows", BadRows)
def test_half_a_character_is_broken_encoding(
    tmp_path: Path, column: str, bad_rows: BadRows
) -> None:
    rows = some(20)
    rows[3][column] = "\ud800"
    file = OwnFile(write(tmp_path / "a.jsonl", rows), unit="who", bad_rows=bad_rows)
    if bad_rows is BadRows.REFUSE:
        with pytest.raises(ConfigError, match=r"Row 4 of .*a\.jsonl has broken encoding"):
            load_site(file, LABELS)
        return
    assert len(load_site(file, LABELS).train) == 19
    assert load_simulation(file, LABELS, seed=0, sites=2).dataset.notes[0].startswith("1 of 20 row")


def test_texts_on_both_sides_leave_training(tmp_path: Path) -> None:
    rows = some(8)
    rows[1]["text"] = rows[0]["text"].upper()
    file = OwnFile(write(tmp_path / "a.csv", rows), split="part")
    dataset = load_simulation(file, LABELS, seed=0, sites=2).dataset
    assert len(dataset.train) == 5
    assert "1 training rows with them were dropped" in dataset.notes[0]


def test_a_folder_gives_every_site_its_own_file(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        kind = KINDS[number]
        rows = some(10 * number, 100 * number)
        write(tmp_path / f"site-{number}{kind}", rows)
    found = load_simulation(OwnFile(tmp_path, id="nr"), LABELS, seed=0, sites=3)
    assert found.shares is not None
    assert [len(share) for share in found.shares] == [8, 16, 24]
    assert [share[0].id.split(":")[0] for share in found.shares] == [
        "site-1.jsonl",
        "site-2.parquet",
        "site-3.tsv",
    ]
    assert sum(found.shares, ()) == found.dataset.train
    with pytest.raises(ConfigError, match=r"3 files of records, and the run has 4 sites"):
        load_simulation(OwnFile(tmp_path), LABELS, seed=0, sites=4)


def test_a_folder_may_have_a_folder_for_every_site(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"site-0{number}").mkdir()
        write(tmp_path / f"site-0{number}" / "records.csv", some(10, 100 * number))
    (tmp_path / "site-02" / "README.txt").write_text("as exported\n")
    write(tmp_path / "site-3.jsonl", some(5, 300))
    found = load_simulation(OwnFile(tmp_path), LABELS, seed=0, sites=3)
    assert found.shares is not None
    assert [share[0].id.split(":")[0] for share in found.shares] == [
        "site-01/records.csv",
        "site-02/records.csv",
        "site-3.jsonl",
    ]


@pytest.mark.parametrize("more", ["site-1/b.csv", "site-1.csv", "bank/a.csv", "empty"])
def test_a_site_with_none_or_several_files_is_refused(tmp_path: Path, more: str) -> None:
    for name in ("site-1", "site-2", "bank"):
        (tmp_path / name).mkdir()
    write(tmp_path / "site-1" / "a.csv", some(10))
    if more != "empty":
        write(tmp_path / "site-2" / "a.csv", some(10, 20))
        write(tmp_path / more, some(10, 40))
    if more != "bank/a.csv":
        (tmp_path / "bank").rmdir()
    with pytest.raises(ConfigError, match="unclear who holds what"):
        load_simulation(OwnFile(tmp_path), LABELS, seed=0, sites=2)


def test_a_site_without_a_training_record_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "site-1.csv", some(8))
    rows = some(3, 100)
    for row in rows:
        row["part"] = "validation"
    path = write(tmp_path / "site-2.csv", rows)
    with pytest.raises(ConfigError, match=r"site-2\.csv leaves its site no record"):
        load_simulation(OwnFile(tmp_path, split="part"), LABELS, seed=0, sites=2)
    with pytest.raises(ConfigError, match="no record to train on"):
        load_site(OwnFile(path, split="part"), LABELS)


def test_deployed_parties_use_their_side_of_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", some(8))
    assert len(load_site(OwnFile(path), LABELS).train) == 8
    site = load_site(OwnFile(path, split="part"), LABELS)
    assert len(site.train) == 6
    assert site.notes == ("2 rows of a.csv are not for training: unused.",)
    assert len(load_evaluation(OwnFile(path), LABELS).evaluation) == 8
    held = load_evaluation(OwnFile(path, split="part"), LABELS)
    assert len(held.evaluation) == 2
    assert not held.train
    for row in (rows := some(2, 1)):
        row["part"] = "train"
    write(path, rows)
    with pytest.raises(ConfigError, match="no record to evaluate on"):
        load_evaluation(OwnFile(path, split="part"), LABELS)


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet"])
def test_a_hundred_thousand_rows_in_seconds(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a{kind}"
    rows = some(100_000)
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write(path, rows)
    began = time.process_time()
    found = load_simulation(OwnFile(path, unit="who", id="nr"), LABELS, seed=0, sites=3)
    assert len(found.dataset.train) + len(found.dataset.evaluation) == 100_000
    assert time.process_time() - began < 5


def test_loading_holds_no_second_copy_of_the_texts(tmp_path: Path) -> None:
    rows = some(20_000)
    for row in rows:
        row["text"] += " " + "of care " * 100
    path = write(tmp_path / "a.jsonl", rows)
    held = sum(len(row["text"]) for row in rows)
    del rows
    tracemalloc.start()
    try:
        found = load_simulation(OwnFile(path, unit="who", id="nr"), LABELS, seed=0, sites=3)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.dataset.train) + len(found.dataset.evaluation) == 20_000
    assert held < peak < 1.8 * held
