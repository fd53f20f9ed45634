from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crypto.digests import (
    canonical_json,
    canonical_plain_json,
    digest_array,
    digest_file,
    digest_json,
    digest_json_streamed,
    member_order,
    sha256,
)
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from crypto.digests import JsonValue, PlainJson

LARGEST = 2**53 - 1

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
ARRAYS = hnp.arrays(
    dtype=st.sampled_from(["<f4", "<f8", "<u4", "<i8", "|u1", "|b1", "<f2"]),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)


def test_sha256_is_that_of_fips_180_4() -> None:
    published = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(b"abc").hex() == published


def test_canonical_json_is_the_example_of_rfc_8785() -> None:
    # RFC 8785 section 3.2.2 and 3.2.4.
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
        "literals": [None, True, False],
    }
    published = bytes.fromhex(
        "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b333333"
        "3333333333332e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e"
        "67223a22e282ac245c75303030665c6e412742225c5c5c5c5c222f227d".replace("42225c", "425c225c")
    )
    assert canonical_json(value) == published


def test_members_are_ordered_by_utf_16_as_in_rfc_8785() -> None:
    # RFC 8785 section 3.2.3: UTF-8 order would put the emoji last.
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(canonical_json(dict.fromkeys(names, 0))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    assert ordered != sorted(names, key=lambda name: name.encode("utf-8"))


@settings(deadline=None)
@given(JSON)
def test_canonical_json_says_the_same_and_only_in_one_way(value: JsonValue) -> None:
    encoded = canonical_json(value)
    # To RFC 8785 every number is a double: 1e17 is written without a point, and read back as one.
    read = json.loads(encoded, parse_int=float)
    assert read == value
    assert canonical_json(read) == encoded


@settings(deadline=None)
@given(st.dictionaries(st.text(), st.integers(-LARGEST, LARGEST), min_size=2))
def test_the_order_of_members_does_not_move_a_digest(value: dict[str, int]) -> None:
    assert digest_json(dict(reversed(value.items()))) == digest_json(value)


NAMES = st.text(st.characters(exclude_categories=["Cs"]))
PLAIN = st.recursive(
    NAMES | st.integers(-LARGEST, LARGEST),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES, inner),
    max_leaves=20,
)


def ordered(value: JsonValue) -> PlainJson:
    if isinstance(value, dict):
        return {name: ordered(value[name]) for name in sorted(value, key=member_order)}
    if isinstance(value, list):
        return [ordered(each) for each in value]
    assert isinstance(value, int | str)
    return value


@settings(deadline=None)
@given(PLAIN)
@example([chr(code) for code in range(0x100)])
@example({"\U0001f600": 1, "\ufb33": 2})
def test_texts_and_integers_have_one_canonical_form_however_made(value: JsonValue) -> None:
    assert canonical_plain_json(ordered(value)) == canonical_json(value)


def test_half_a_character_has_no_digest_and_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="half a character") as caught:
        canonical_plain_json(["secret \ud800"])
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@settings(deadline=None)
@given(
    st.dictionaries(NAMES, st.integers(-LARGEST, LARGEST) | NAMES),
    st.dictionaries(NAMES, st.lists(NAMES | st.lists(st.booleans(), max_size=2))),
)
def test_a_streamed_object_has_the_digest_of_the_whole_one(
    members: dict[str, Any], lists: dict[str, list[Any]]
) -> None:
    members = {name: value for name, value in members.items() if name not in lists}
    elements = {name: map(canonical_json, lists[name]) for name in lists}
    assert digest_json_streamed(members, elements) == digest_json({**lists, **members})


def test_names_are_ordered_as_utf_16_in_a_streamed_object() -> None:
    high, low = "\U0001f600", "\ufb33"  # the other way round as code points
    assert digest_json_streamed({high: 1}, {low: [b"2"]}) == digest_json({low: [2], high: 1})


def test_a_member_that_is_named_twice_has_no_digest() -> None:
    with pytest.raises(ConfigError, match="named twice"):
        digest_json_streamed({"a": 1}, {"a": []})


def _cycle() -> list[Any]:
    inside: list[Any] = []
    inside.append(inside)
    return inside


@pytest.mark.parametrize(
    "value",
    [
        *(b"bytes", {1: 2}, {None: 1}, float("nan"), float("inf"), 2**53, -(2**53), {1, 2}),
        *(object(), "\ud800", {"\ud800": 1}, 1j, _cycle()),
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", repr(value)),  # alike in every worker
)
def test_what_json_cannot_say_exactly_has_no_digest(value: JsonValue) -> None:
    with pytest.raises(ConfigError, match="no canonical JSON"):
        digest_json(value)


def test_a_file_has_the_digest_of_its_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    path = tmp_path / "weights"
    path.write_bytes(content)
    assert digest_file(path) == sha256(content)
    path.write_bytes(content[:-1])
    assert digest_file(path) != sha256(content)


@settings(deadline=None)
@given(ARRAYS)
def test_an_array_has_one_digest_whatever_its_memory_looks_like(array: NDArray[Any]) -> None:
    digest = digest_array(array)
    assert digest_array(np.asfortranarray(array).reshape(array.shape)) == digest
    assert digest_array(array.astype(array.dtype.newbyteorder(">"))) == digest
    wide = np.repeat(array[..., np.newaxis], 2, axis=-1)
    assert digest_array(wide[..., 0]) == digest


@settings(deadline=None)
@given(ARRAYS)
def test_type_and_shape_are_part_of_an_arrays_digest(array: NDArray[Any]) -> None:
    digest = digest_array(array)
    assert digest_array(array[np.newaxis]) != digest
    raw = np.frombuffer(array.tobytes(), dtype=np.uint8)
    if array.dtype != np.uint8 or array.ndim != 1:
        assert digest_array(raw) != digest


def test_every_bit_of_an_array_moves_its_digest() -> None:
    array = np.array([1.5, -0.0, 3.0], dtype=np.float32)
    digests = {digest_array(array)}
    for bit in range(96):
        raw = bytearray(array.tobytes())
        raw[bit // 8] ^= 1 << (bit % 8)
        digests.add(digest_array(np.frombuffer(bytes(raw), dtype=np.float32)))
    assert len(digests) == 97


@pytest.mark.parametrize("kind", ["O", "U4", "S4", "c8", "M8[s]", np.longdouble])
def test_elements_without_one_encoding_have_no_digest(kind: str | type[np.longdouble]) -> None:
    with pytest.raises(ConfigError, match="has no digest"):
        digest_array(np.zeros(2, dtype=kind))
