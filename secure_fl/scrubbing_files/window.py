"""A file as text, read piece by piece and decoded strictly: a byte that is wrong is named."""

from __future__ import annotations

import codecs
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from secure_fl.scrubbing_files.rows import LARGEST_ROW_CHARACTERS, RowError

if TYPE_CHECKING:
    from typing import BinaryIO

_CHUNK_BYTES: Final = 2**18
_UTF_16: Final = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_UTF_32: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)


class BadBytesError(RowError):
    """A byte that is no text in the file's encoding; `offset_bytes` counts from 0."""

    def __init__(self, offset_bytes: int, reason: str) -> None:
        super().__init__(reason)
        self.offset_bytes = offset_bytes


@dataclass(frozen=True, slots=True)
class Encoding:
    """What a file's bytes mean.

    Attributes:
        codec: Python's name of the encoding, without a byte order mark.
        mark: the byte order mark at the file's start, which the output gets too.
    """

    codec: str
    mark: bytes = b""


def known_encoding(name: str) -> str:
    """Return Python's name of an encoding that can be written back byte for byte.

    UTF-8, UTF-16 and encodings of one byte per character: the others have more than one way to
    write a character, or states between characters.

    Raises:
        ValueError: the name is unknown, or the encoding is none of these.
    """
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        raise ValueError(
            f"{name!r} is no encoding: use utf-8, utf-16, cp1252, iso8859-1 or the like"
        ) from None
    if codec not in {"utf-8", "utf-16", "utf-16-le", "utf-16-be"} and not _is_one_byte(codec):
        raise ValueError(
            f"what is not scrubbed of a file in {name} could not be written back byte for byte: "
            "convert it to UTF-8 first"
        )
    return codec


def _is_one_byte(codec: str) -> bool:
    """Say whether each byte is one character, ASCII where it is ASCII, and none is two bytes'."""
    if codec not in {"ascii", "iso8859-1"}:
        try:
            module = importlib.import_module(f"encodings.{codec.replace('-', '_')}")
        except ModuleNotFoundError:
            return False
        if not hasattr(module, "decoding_table"):
            return False
    for number in range(256):
        byte = bytes([number])
        try:
            character = byte.decode(codec)
        except UnicodeDecodeError:
            continue
        if character.encode(codec) != byte or (byte.isascii() and character != chr(number)):
            return False
    return True


def encoding_of(head: bytes, asked: str | None) -> Encoding:
    """Return the encoding of a file that begins with `head`, at least four bytes if it has them.

    Args:
        head: the file's first bytes.
        asked: what `known_encoding` returned for the encoding that was asked for, or None for
            UTF-8.

    Raises:
        RowError: the byte order mark says otherwise, or UTF-16 has none and no byte order is given.
    """
    mark = next((mark for mark in _UTF_16 if head.startswith(mark)), b"")
    if asked is None or asked == "utf-8":
        if head.startswith(_UTF_32):
            raise RowError("the file begins with the mark of UTF-32: convert it to UTF-8 first")
        if mark:
            raise RowError(
                "the file begins with the mark of UTF-16, not UTF-8: give --encoding utf-16"
            )
        return Encoding("utf-8", codecs.BOM_UTF8 if head.startswith(codecs.BOM_UTF8) else b"")
    if asked == "utf-16":
        if not mark:
            raise RowError(
                "the file does not begin with the mark of UTF-16, which says the order of its "
                "bytes: give --encoding utf-16-le or utf-16-be, or the encoding that it has"
            )
        return Encoding(_UTF_16[mark], mark)
    if asked.startswith("utf-16-") and mark and _UTF_16[mark] != asked:
        raise RowError(f"the file's mark says {_UTF_16[mark]}, and --encoding says {asked}")
    return Encoding(asked, mark if asked.startswith("utf-16-") else b"")


class TextWindow:
    """The part of a file that is decoded and not yet taken.

    `text[start:]` is it. `more` reads on, in steps that grow with what is waiting, so that a row of
    any length costs time linear in it.
    """

    def __init__(self, stream: BinaryIO, encoding: Encoding) -> None:
        """Read `stream` from behind the byte order mark."""
        self.text = ""
        self.start = 0
        self._stream = stream
        self._codec = encoding.codec
        self._decoder = codecs.getincrementaldecoder(encoding.codec)("strict")
        self._fed_bytes = len(encoding.mark)
        self._failure: BadBytesError | None = None
        self._ended = False

    @property
    def waiting(self) -> int:
        """How many characters are decoded and not taken."""
        return len(self.text) - self.start

    @property
    def position_bytes(self) -> int:
        """About where in the file the next character stands, exact for ASCII."""
        return self._fed_bytes - self.waiting

    def take(self, end: int) -> str:
        """Return `text` from `start` to `end`, and go on behind it."""
        taken = self.text[self.start : end]
        self.start = end
        return taken

    def more(self) -> bool:
        """Read on; say whether there was anything. `text` and `start` change.

        Raises:
            BadBytesError: the next byte is no text in the file's encoding.
            RowError: what is waiting is longer than any row may be.
        """
        if self._failure is not None:
            raise self._failure
        if self._ended:
            return False
        if self.waiting > LARGEST_ROW_CHARACTERS:
            raise RowError(
                f"it is longer than {LARGEST_ROW_CHARACTERS} characters (a quote that never "
                "closes, or a text that is no single document?): cut it into smaller pieces"
            )
        chunk = self._stream.read(max(_CHUNK_BYTES, self.waiting))
        self._ended = not chunk
        decoded, self._failure = self._decoded(chunk)
        self.text = self.text[self.start :] + decoded
        self.start = 0
        if self._failure is not None and not decoded:
            raise self._failure
        return bool(decoded) or not self._ended

    def _decoded(self, chunk: bytes) -> tuple[str, BadBytesError | None]:
        """Return what is good of `chunk`, and the failure for when that is used up."""
        begin_bytes = self._fed_bytes - len(self._decoder.getstate()[0])
        self._fed_bytes += len(chunk)
        decoded = ""
        failure: BadBytesError | None = None
        try:
            decoded = self._decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            decoded = error.object[: error.start].decode(self._codec)
            failure = self._no_text(begin_bytes + error.start)
        nul = decoded.find("\0")
        if nul >= 0:
            decoded = decoded[:nul]
            failure = _nul(begin_bytes + len(decoded.encode(self._codec)))
        return decoded, failure

    def _no_text(self, offset_bytes: int) -> BadBytesError:
        return BadBytesError(
            offset_bytes,
            f"the byte at offset {offset_bytes} of the file is no {self._codec.upper()}: mend the "
            "file, or name the encoding that it has with --encoding",
        )


def _nul(offset_bytes: int) -> BadBytesError:
    return BadBytesError(
        offset_bytes,
        f"there is a NUL character at byte offset {offset_bytes} of the file, which no text has: "
        "the file is damaged, or its encoding is another (see --encoding)",
    )
