from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.codec import (
    Digest,
    Message,
    Name,
    PublicKey,
    decode,
    decode_one_of,
    encode,
    require_name,
)
from crypto.errors import ConfigError, PeerError

NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)
DIGESTS = st.binary(min_size=32, max_size=32)


class Letter(Message, frozen=True, tag="secure-fl.test-letter.v1"):
    sender: Name
    digest: Digest
    round: Annotated[int, msgspec.Meta(ge=0, le=2**32)]
    parts: tuple[bytes, ...]
    weight: float
    heads: dict[str, bytes]


class Lookalike(Message, frozen=True, tag="secure-fl.test-lookalike.v1"):
    sender: Name
    digest: Digest
    round: int
    parts: tuple[bytes, ...]
    weight: float
    heads: dict[str, bytes]


class Keyed(Message, frozen=True, tag="secure-fl.test-keyed.v1"):
    key: PublicKey


LETTERS = st.builds(
    Letter,
    sender=NAMES,
    digest=DIGESTS,
    round=st.integers(0, 2**32),
    parts=st.lists(st.binary(max_size=8), max_size=3).map(tuple),
    weight=st.floats(allow_nan=False),
    heads=st.dictionaries(st.text(max_size=4), st.binary(max_size=4), max_size=3),
)
LETTER = Letter("site-1", bytes(32), 7, (b"a", b""), 0.5, {"b": b"2", "a": b"1"})
ENCODED = encode(LETTER)


@settings(deadline=None)
@given(LETTERS)
def test_a_message_survives_and_has_one_encoding(letter: Letter) -> None:
    data = encode(letter)
    assert decode(Letter, data, limit_bytes=len(data)) == letter
    reordered = msgspec.structs.replace(letter, heads=dict(reversed(letter.heads.items())))
    assert encode(reordered) == data


def test_the_bytes_are_message_pack_with_the_schema_first() -> None:
    # array of 2, str of 23 bytes, bin8 of 32 bytes: written out by hand from the MessagePack
    # specification, so that another implementation reads what we write.
    tag = b"secure-fl.test-keyed.v1"
    by_hand = b"\x92" + bytes([0xA0 | len(tag)]) + tag + b"\xc4\x20" + bytes(range(32))
    assert encode(Keyed(bytes(range(32)))) == by_hand


@settings(deadline=None)
@given(LETTERS, st.data())
def test_no_altered_byte_decodes_to_the_same_message(letter: Letter, data: st.DataObject) -> None:
    raw = bytearray(encode(letter))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << (bit % 8)
    try:
        other = decode(Letter, bytes(raw), limit_bytes=1 << 16)
    except PeerError:
        return
    assert other != letter


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_the_peers_fault(data: bytes) -> None:
    try:
        message = decode(Letter, data, limit_bytes=200)
    except PeerError:
        return
    assert encode(message) == data


@pytest.mark.parametrize("cut", range(len(ENCODED)))
def test_every_cut_is_refused(cut: int) -> None:
    with pytest.raises(PeerError):
        decode(Letter, ENCODED[:cut], limit_bytes=1 << 16)


def test_left_over_bytes_are_refused() -> None:
    for tail in (b"\0", b"\xc0", ENCODED):
        with pytest.raises(PeerError, match="not a Letter"):
            decode(Letter, ENCODED + tail, limit_bytes=1 << 16)


def test_another_schema_with_the_same_fields_is_refused() -> None:
    lookalike = Lookalike("site-1", bytes(32), 7, (), 0.5, {})
    with pytest.raises(PeerError, match="not a Letter"):
        decode(Letter, encode(lookalike), limit_bytes=1 << 16)


def test_a_message_beyond_the_limit_is_not_even_parsed() -> None:
    with pytest.raises(PeerError, match="exceeds the limit of 10"):
        decode(Letter, b"\xc1" * 11, limit_bytes=10)
    with pytest.raises(PeerError, match=f"{len(ENCODED)} bytes exceeds"):
        decode(Letter, ENCODED, limit_bytes=len(ENCODED) - 1)
    assert decode(Letter, ENCODED, limit_bytes=len(ENCODED)) == LETTER


def _array(*fields: object) -> bytes:
    return msgspec.msgpack.encode(["secure-fl.test-letter.v1", *fields])


GOOD = ("site-1", bytes(32), 7, [b"a"], 0.5, {})


@pytest.mark.parametrize(
    "fields",
    [
        GOOD[:-1],
        (*GOOD, None),
        ("", *GOOD[1:]),
        ("Site", *GOOD[1:]),
        ("site-1\n", *GOOD[1:]),
        ("../site", *GOOD[1:]),
        ("s" * 65, *GOOD[1:]),
        ("-site", *GOOD[1:]),
        (GOOD[0], bytes(31), *GOOD[2:]),
        (GOOD[0], bytes(33), *GOOD[2:]),
        (GOOD[0], "0" * 32, *GOOD[2:]),
        (*GOOD[:2], -1, *GOOD[3:]),
        (*GOOD[:2], 2**32 + 1, *GOOD[3:]),
        (*GOOD[:2], 7.0, *GOOD[3:]),
        (*GOOD[:2], True, *GOOD[3:]),
        (*GOOD[:2], "7", *GOOD[3:]),
        (*GOOD[:3], ["a"], *GOOD[4:]),
        (*GOOD[:4], 1, {}),
        (*GOOD[:4], None, {}),
        (*GOOD[:5], {1: b"x"}),
    ],
    ids=repr,
)
def test_a_wrong_field_is_refused(fields: tuple[object, ...]) -> None:
    assert decode(Letter, _array(*GOOD), limit_bytes=1 << 16).round == 7
    with pytest.raises(PeerError):
        decode(Letter, _array(*fields), limit_bytes=1 << 16)


NON_CANONICAL = {
    "number in more bytes than it needs": ENCODED.replace(b"\x07", b"\xcd\x00\x07", 1),
    "array header in more bytes than it needs": b"\xdc\x00\x07" + ENCODED[1:],
    "map in another order": ENCODED.replace(
        b"\xa1a\xc4\x011\xa1b\xc4\x012", b"\xa1b\xc4\x012\xa1a\xc4\x011"
    ),
    "map with a name twice": ENCODED.replace(
        b"\x82\xa1a\xc4\x011", b"\x83\xa1a\xc4\x010\xa1a\xc4\x011"
    ),
    "float in four bytes": ENCODED.replace(
        b"\xcb\x3f\xe0\x00\x00\x00\x00\x00\x00", b"\xca\x3f\x00\x00\x00"
    ),
}


@pytest.mark.parametrize("data", NON_CANONICAL.values(), ids=NON_CANONICAL.keys())
def test_one_value_in_another_encoding_is_refused(data: bytes) -> None:
    assert data != ENCODED
    # Without the check, a second encoding would pass, and one message would have two digests.
    assert msgspec.msgpack.decode(data, type=Letter) == LETTER
    with pytest.raises(PeerError, match="canonical"):
        decode(Letter, data, limit_bytes=1 << 16)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\x92\xdb\xff\xff\xff\xff",
        b"\x97\xb8secure-fl.test-letter.v1\xa1s\xc6\xff\xff\xff\xff",
        b"\x91" * 5000,
        b"\x97\xb8secure-fl.test-letter.v1\xa2\xff\xfe",
        b"\xc1",
        b"",
    ],
    ids=["huge array", "huge text", "huge bytes", "deep", "bad UTF-8", "reserved", "empty"],
)
def test_bytes_that_aim_at_the_parser_are_refused(data: bytes) -> None:
    with pytest.raises(PeerError):
        decode(Letter, data, limit_bytes=1 << 16)


def test_a_message_does_not_change() -> None:
    with pytest.raises(AttributeError):
        LETTER.round = 8  # type: ignore[misc]


class Named(Message, frozen=True, tag="secure-fl.test-named.v1"):
    name: Name


@settings(deadline=None)
@given(NAMES | st.text(max_size=70) | st.text("ab.-_9\n", max_size=66))
def test_a_name_may_be_used_exactly_where_a_message_can_carry_it(name: str) -> None:
    try:
        require_name(name)
    except ConfigError:
        if name.encode("utf-8", errors="replace").decode() == name:
            with pytest.raises(PeerError):
                decode(Named, encode(Named(name)), limit_bytes=1 << 10)
        return
    assert decode(Named, encode(Named(name)), limit_bytes=1 << 10) == Named(name)


def test_one_of_several_kinds_is_the_one_that_its_schema_names() -> None:
    lookalike = Lookalike(*(getattr(LETTER, field) for field in LETTER.__struct_fields__))
    for message in (LETTER, lookalike):
        read = decode_one_of((Letter, Lookalike), encode(message), limit_bytes=1 << 16)
        assert read == message
        assert type(read) is type(message)
    for data in (encode(Keyed(bytes(32))), ENCODED + b"\0", NON_CANONICAL["float in four bytes"]):
        with pytest.raises(PeerError, match="Letter or Lookalike"):
            decode_one_of((Letter, Lookalike), data, limit_bytes=1 << 16)
    with pytest.raises(PeerError, match="Letter or Lookalike of"):
        decode_one_of((Letter, Lookalike), ENCODED, limit_bytes=len(ENCODED) - 1)


_TOGETHER = """
import sys, threading
import msgspec
from crypto import codec
sys.setswitchinterval(1e-6)
for number in range(1500):
    part = msgspec.defstruct(
        f"Part{number}", [(f"field{n}", codec.Name) for n in range(30)], array_like=True
    )
    kind = msgspec.defstruct(
        f"Kind{number}", [(f"part{n}", part) for n in range(10)], array_like=True,
        tag=f"secure-fl.tests-{number}.v1", tag_field="schema", frozen=True,
    )
    data = codec.encode(kind(*[part(*["a"] * 30)] * 10))
    start = threading.Barrier(4)
    def work():
        start.wait()
        codec.decode(kind, data, limit_bytes=9000)
    threads = [threading.Thread(target=work) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print("all decoded")
"""


def test_threads_that_meet_a_kind_for_the_first_time_do_not_crash() -> None:
    """Two threads in msgspec's own `decode` of a new type end the process."""
    done = subprocess.run(
        [sys.executable, "-c", _TOGETHER], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "all decoded"), done.stderr
