"""Bytes that a decoder should not trust: noise, edited encodings, and well-formed nonsense."""

from __future__ import annotations

import copy
import json
import struct
import tomllib
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec
import tomli_w
from hypothesis import strategies as st

from crypto.digests import canonical_json
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

_DEEP = 3_000
_MOST_EDITS = 4


class Form(Enum):
    """What the bytes are, so that they can be taken apart and put together again."""

    MESSAGE_PACK = "MessagePack"
    JSON = "JSON"
    TOML = "TOML"
    BYTES = "bytes"


AIMED_AT_THE_PARSER: dict[Form, tuple[bytes, ...]] = {
    Form.MESSAGE_PACK: (
        b"\x91" * _DEEP,
        b"\x81\xa1a" * _DEEP,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x00",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xc1",
    ),
    Form.JSON: (
        b"[" * _DEEP,
        b'{"a":' * _DEEP,
        b"9" * 5_000,
        b"1e999",
        b"NaN",
        b"-Infinity",
        b'"\\ud800"',
        b"\xff\xfe[\x00",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b"5",
        b"null",
        b"[5]",
        b"{}",
        b'{"record":1}',
        b'{"none":{}}',
    ),
    Form.TOML: (
        b"a = " + b"[" * _DEEP,
        b"a = " + b"{a = " * _DEEP,
        b".".join([b"a"] * _DEEP) + b" = 1",
        b"a = " + b"9" * 5_000,
        b"a = nan",
        b"a = 9999-99-99",
        b"[a]\n[a]",
        b"record = 1",
        b"\xff",
    ),
    Form.BYTES: (b"", b"\0", b"\xff" * 64),
}


def _junk() -> st.SearchStrategy[Any]:
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.sampled_from([0, -1, 2**31, 2**32, 2**53, 2**63, 10**400]),
        st.floats(),
        st.text(max_size=8),
        st.text(st.characters(categories=["Cs", "Cc", "Lu"]), max_size=3),
        st.binary(max_size=40),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
        max_leaves=6,
    )


def hostile(valid: st.SearchStrategy[bytes], form: Form) -> st.SearchStrategy[bytes]:
    """Return a strategy for bytes that pretend to be one of the `valid` encodings."""
    strategies = [st.binary(max_size=200), _edited(valid), st.sampled_from(aimed(form))]
    if form is not Form.BYTES:
        strategies += [_reshaped(valid, form), _reshaped(valid, form), _junk().map(_writer(form))]
    if form is Form.MESSAGE_PACK:
        strategies.append(valid.map(_reader(form)).map(_pack_loosely))
    return st.one_of(strategies)


def aimed(form: Form) -> tuple[bytes, ...]:
    """Return what parsers of this form are known to trip over."""
    return AIMED_AT_THE_PARSER[form] + AIMED_AT_THE_PARSER[Form.BYTES]


@st.composite
def _edited(draw: st.DrawFn, valid: st.SearchStrategy[bytes]) -> bytes:
    """A valid encoding with a few of its bytes flipped, cut, doubled, put in or swapped."""
    data = draw(valid)
    for _ in range(draw(st.integers(1, _MOST_EDITS))):
        low, high = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        match draw(st.integers(0, 6)):
            case 0 if data:
                at = min(low, len(data) - 1)
                flipped = bytes([data[at] ^ (1 << draw(st.integers(0, 7)))])
                data = data[:at] + flipped + data[at + 1 :]
            case 1:
                data = data[:low]
            case 2:
                data += draw(st.binary(min_size=1, max_size=20))
            case 3:
                data = data[:low] + data[high:]
            case 4:
                data = data[:high] + data[low:]
            case 5:
                data = data[:low] + draw(st.binary(min_size=1, max_size=8)) + data[low:]
            case _:
                data = data[:low] + draw(valid)[high:]
    return data


@st.composite
def _reshaped(draw: st.DrawFn, valid: st.SearchStrategy[bytes], form: Form) -> bytes:
    """What a valid encoding says, with fields swapped, dropped, doubled or replaced by nonsense."""
    tree = _reader(form)(draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(tree))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        other, other_key = draw(st.sampled_from(places))
        match draw(st.integers(0, 4)):
            case 0:
                holder[key], other[other_key] = (
                    copy.deepcopy(other[other_key]),
                    copy.deepcopy(holder[key]),
                )
            case 1:
                del holder[key]
            case 2 if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case 3:
                holder[key] = copy.deepcopy(other[other_key])
            case _:
                holder[key] = draw(_junk())
    return _writer(form)(tree)


def _places(tree: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - whatever was parsed
    """Return every (container, key) in `tree`, which is made of lists and dictionaries."""
    found: list[tuple[Any, Any]] = []
    ahead = [tree]
    while ahead:
        holder = ahead.pop()
        if isinstance(holder, (list, dict)):
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            found += [(holder, key) for key in keys]
            ahead += [holder[key] for key in keys]
    return found


def _reader(form: Form) -> Callable[[bytes], Any]:
    if form is Form.MESSAGE_PACK:
        return msgspec.msgpack.decode
    if form is Form.JSON:
        return json.loads
    return lambda data: tomllib.loads(data.decode())


def _writer(form: Form) -> Callable[[Any], bytes]:
    return {Form.MESSAGE_PACK: _pack, Form.JSON: _json, Form.TOML: _toml}[form]


def _pack(tree: Any) -> bytes:  # noqa: ANN401 - whatever was parsed
    try:
        return msgspec.msgpack.encode(tree)
    except (OverflowError, ValueError):  # beyond 64 bits, a lone surrogate
        return struct.pack("<d", 0.5) + repr(tree).encode(errors="replace")


def _pack_loosely(tree: Any) -> bytes:  # noqa: ANN401 - whatever was parsed
    """Return MessagePack that says the same as the shortest one, with every length in 32 bits."""
    match tree:
        case bool() | None | float():
            return msgspec.msgpack.encode(tree)
        case int():
            return struct.pack(">Bq" if tree < 0 else ">BQ", 0xD3 if tree < 0 else 0xCF, tree)
        case bytes():
            return struct.pack(">BI", 0xC6, len(tree)) + tree
        case str():
            return struct.pack(">BI", 0xDB, len(tree.encode())) + tree.encode()
        case list():
            return struct.pack(">BI", 0xDD, len(tree)) + b"".join(map(_pack_loosely, tree))
    parts = [_pack_loosely(part) for pair in reversed(tree.items()) for part in pair]
    return struct.pack(">BI", 0xDF, len(tree)) + b"".join(parts)


def _json(tree: Any) -> bytes:  # noqa: ANN401 - whatever was parsed
    try:
        return canonical_json(tree)
    except ConfigError:
        return json.dumps(tree, default=repr).encode()


def _toml(tree: Any) -> bytes:  # noqa: ANN401 - whatever was parsed
    try:
        return tomli_w.dumps(tree).encode()
    except (TypeError, ValueError, AttributeError):  # null, bytes, text alone, a lone surrogate
        return repr(tree).encode(errors="replace")
