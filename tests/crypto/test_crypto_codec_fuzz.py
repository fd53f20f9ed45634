"""No bytes make the codec raise anything but PeerError, for any message of the project."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hostile_bytes import Form, hostile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from message_strategies import instances, project_messages

from crypto.codec import Message, decode, encode
from crypto.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
LIMIT_BYTES = 1 << 20
MESSAGES = {kind.__name__: kind for kind in project_messages()}

valid = cache(instances)


@cache
def hostile_to(kind: type[Message]) -> st.SearchStrategy[bytes]:
    return hostile(valid(kind).map(encode), Form.MESSAGE_PACK)


def test_every_message_that_the_source_defines_is_fuzzed() -> None:
    """A message outside of the modules that are walked, or without a schema, would be missed."""
    defined = {
        node.name
        for room in ("audits", "crypto", "domains", "privacy", "secure_fl")
        for path in (ROOT / room).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).split(".")[-1] == "Message" for base in node.bases)
    }
    assert defined == set(MESSAGES)
    assert len(defined) > 20


@pytest.mark.parametrize("name", MESSAGES)
@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_what_the_annotations_allow_survives(name: str, data: st.DataObject) -> None:
    message: Message = data.draw(valid(MESSAGES[name]))
    read = decode(MESSAGES[name], encode(message), limit_bytes=LIMIT_BYTES)
    assert read == message
    assert encode(read) == encode(message)


def decodes(kind: type[Message], raw: bytes, decoder: Callable[..., Message] = decode) -> bool:
    """Whether `raw` is read; then it is the one encoding of what came out."""
    try:
        message = decoder(kind, raw, limit_bytes=LIMIT_BYTES)
    except PeerError:
        return False
    assert type(message) is kind
    assert encode(message) == raw
    return True


@pytest.mark.parametrize("name", MESSAGES)
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_hostile_bytes_are_the_peers_fault_or_one_encoding(name: str, data: st.DataObject) -> None:
    decodes(MESSAGES[name], data.draw(hostile_to(MESSAGES[name])))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(sorted(MESSAGES)), st.sampled_from(sorted(MESSAGES)))
def test_no_message_is_read_as_another(data: st.DataObject, said: str, meant: str) -> None:
    raw = encode(data.draw(valid(MESSAGES[said])))
    assert decodes(MESSAGES[meant], raw) == (said == meant)


def lenient(kind: type[Message], raw: bytes, *, limit_bytes: int) -> Message:
    """The codec without its check that a value has one encoding."""
    del limit_bytes
    try:
        read: Any = msgspec.msgpack.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PeerError from error
    return read  # type: ignore[no-any-return]


def careless(kind: type[Message], raw: bytes, *, limit_bytes: int) -> Message:
    """The codec without its list of what a parser raises."""
    del limit_bytes
    read: Any = msgspec.msgpack.decode(raw, type=kind)
    return read  # type: ignore[no-any-return]


@pytest.mark.parametrize("wrong", [lenient, careless])
def test_a_wrong_codec_is_found(wrong: Callable[..., Message]) -> None:
    kind = MESSAGES["Checkpoint"]

    @settings(deadline=None, max_examples=500, database=None, report_multiple_bugs=False)
    @given(hostile_to(kind))
    def fuzz(raw: bytes) -> None:
        decodes(kind, raw, wrong)

    with pytest.raises((AssertionError, msgspec.DecodeError)):
        fuzz()
