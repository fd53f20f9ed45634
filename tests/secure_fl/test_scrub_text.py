"""Text files: encodings are kept to the byte, and a byte that is wrong is named."""

from __future__ import annotations

import codecs
import io
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scrub_workplace import CANARY, refused, scrub, toy

from crypto.errors import ConfigError
from secure_fl.scrubbing_files import window
from secure_fl.scrubbing_files.plain_text import lines
from secure_fl.scrubbing_files.plan import Choices, plan
from secure_fl.scrubbing_files.window import BadBytesError, Encoding, TextWindow, known_encoding

EACH_LINE = Choices(each_line=True)


def text_file(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "t.txt"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        (None, "Anna é 12345\r\n".encode()),
        (None, codecs.BOM_UTF8 + "Anna é 12345\r\n".encode()),
        ("utf-16", codecs.BOM_UTF16_LE + "Anna é 12345\r\n".encode("utf-16-le")),
        ("utf-16", codecs.BOM_UTF16_BE + "Anna é 12345\r\n".encode("utf-16-be")),
        ("utf-16-be", "Anna é 12345\r\n".encode("utf-16-be")),
        ("utf-16-le", codecs.BOM_UTF16_LE + "Anna é 12345\r\n".encode("utf-16-le")),
        ("latin-1", "Anna é 12345\r\n".encode("latin-1")),
        ("cp1252", "Anna é 12345 \u20ac\r\n".encode("cp1252")),
    ],
)
@pytest.mark.parametrize("choices", [Choices(), EACH_LINE])
def test_encodings_and_marks_are_kept(
    tmp_path: Path, encoding: str | None, data: bytes, choices: Choices
) -> None:
    path = text_file(tmp_path, data)
    choices = Choices(each_line=choices.each_line, encoding=encoding)
    codec = encoding or "utf-8"
    changed = data
    for old, new in (("Anna", "<PERSON>"), ("12345", "<ACCOUNT_NUMBER>")):
        order = "utf-16-be" if data.startswith(codecs.BOM_UTF16_BE) else "utf-16-le"
        name = order if codec == "utf-16" else codec
        changed = changed.replace(old.encode(name), new.encode(name))
    assert scrub(path, choices)[0] == changed


def test_a_whole_text_is_one_document_and_a_line_may_be_one(tmp_path: Path) -> None:
    path = text_file(tmp_path, b"a\n\nb 12345\rc\r\n")
    assert scrub(path)[1].count.texts == 1
    out, done = scrub(path, EACH_LINE)
    assert out == b"a\n\nb <ACCOUNT_NUMBER>\rc\r\n"
    assert (done.count.rows, done.count.rows_changed, done.count.texts) == (2, 1, 2)
    assert (done.count.characters_in, done.count.characters_out) == (10, 21)


def test_an_empty_file_stays_empty(tmp_path: Path) -> None:
    for choices in (Choices(), EACH_LINE):
        out, done = scrub(text_file(tmp_path, b""), choices)
        assert (out, done.count.rows) == (b"", 0)


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(st.sampled_from("ab 1\n\r\u0301\u200f\u2028\U0001f600é\ufeff"), max_size=40),
    chunk_bytes=st.integers(1, 9),
)
@example(text="\u0627\u0628 12345 \u05d0\u0301\u200e", chunk_bytes=1)
def test_all_else_stays_whatever_the_script(text: str, chunk_bytes: int) -> None:
    """Right-to-left text, combining marks, characters of four bytes, cut anywhere."""
    text = text.replace("1", "12345")
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "_CHUNK_BYTES", chunk_bytes)
        path = text_file(Path(folder), text.encode())
        assert scrub(path)[0].decode("utf-8") == toy(text)
        assert scrub(path, EACH_LINE)[0].decode("utf-8") == toy(text)


PIECES = [b"a", b"\n", "é".encode(), b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0"]


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(
            [b"a", b"\n", "é".encode(), b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0"]
        ),
        max_size=12,
    ),
    chunk_bytes=st.integers(1, 5),
)
def test_the_first_wrong_byte_is_the_one_that_python_names(
    pieces: list[bytes], chunk_bytes: int
) -> None:
    """The twin decodes the whole file at once."""
    data = b"".join(pieces)
    expected, before = None, b""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        expected, before = error.start, data[: error.start]
    found = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(window, "_CHUNK_BYTES", chunk_bytes)
        read = TextWindow(io.BytesIO(data), Encoding("utf-8"))
        seen = []
        try:
            seen = [*lines(read)]
        except BadBytesError as error:
            found = error.offset_bytes
    assert found == expected
    assert expected is not None or "".join(seen) == data.decode()
    with TemporaryDirectory() as folder:
        path = text_file(Path(folder), data)
        if expected is not None and not data.startswith(b"\xff"):
            for choices, unit in ((Choices(), "line"), (EACH_LINE, "row")):
                place = f"{unit} {before.count(10) + 1}: the byte at offset {expected} "
                assert place in refused(path, choices)


@pytest.mark.parametrize(
    ("data", "encoding", "said"),
    [
        (b"fine\nCANARY \xff\n", None, "line 2: the byte at offset 12 of the file is no UTF-8"),
        (b"fine\nCANARY \xe2\x82", None, "line 2: the byte at offset 12"),
        (b"fine\nCANARY\0", None, "line 2: there is a NUL character at byte offset 11"),
        ("CANARY".encode("utf-16"), None, "line 1: the file begins with the mark of UTF-16"),
        ("CANARY".encode("utf-16-be"), None, "line 1: there is a NUL character at byte offset 0"),
        ("CANARY".encode("utf-32"), None, "line 1: the file begins with the mark of UTF-32"),
        (b"CANARY", "utf-16", "does not begin with the mark of UTF-16"),
        (codecs.BOM_UTF16_LE + b"a\0", "utf-16-be", "mark says utf-16-le"),
        (codecs.BOM_UTF16_LE + b"a\0\n\0\0\xd8a\0", "utf-16", "line 2: the byte at offset 6 of"),
        (b"a\0b", "utf-16-le", "the byte at offset 2"),
        (b"CANARY \x81", "cp1252", "line 1: the byte at offset 7 of the file is no CP1252"),
    ],
)
def test_bytes_that_are_no_text_are_refused(
    tmp_path: Path, data: bytes, encoding: str | None, said: str
) -> None:
    path = text_file(tmp_path, data)
    told = refused(path, Choices(encoding=encoding))
    assert said in told
    assert "CANARY" not in told


def test_only_encodings_that_can_be_written_back_are_taken(tmp_path: Path) -> None:
    assert known_encoding("UTF8") == "utf-8"
    assert known_encoding("Latin1") == "iso8859-1"
    assert known_encoding("koi8-r") == "koi8-r"
    for name in (
        "shift_jis",
        "utf-7",
        "utf-8-sig",
        "cp037",
        "rot13",
        "hex",
        "idna",
        "gb18030",
        "no-such",
    ):
        with pytest.raises(ValueError, match=r"could not be written back|is no encoding"):
            known_encoding(name)
    path = text_file(tmp_path, CANARY.encode())
    with pytest.raises(ConfigError, match="--encoding utf-7 cannot be honoured"):
        plan([path], Choices(encoding="utf-7"), None, replace=False)


def test_lines_are_read_with_memory_that_does_not_grow_with_the_file() -> None:
    """Ten megabytes of lines pass through less than two."""

    class Lines(io.RawIOBase):
        left = 10_000_000

        def read(self, size: int = -1) -> bytes:
            given = min(size, self.left)
            self.left -= given
            return (b"x" * 99 + b"\n") * (given // 100) + b"y" * (given % 100)

    tracemalloc.start()
    count = sum(1 for _ in lines(TextWindow(Lines(), Encoding("utf-8"))))  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count >= 99_000
    assert peak < 2_000_000
