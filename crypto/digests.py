"""SHA-256 digests: of bytes, of canonical JSON (RFC 8785), of files and of arrays.

Two values have one digest only when they are the same value: JSON is made canonical first, and
an array's digest covers its element type and shape as well as its bytes.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import rfc8785

from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

JsonValue: TypeAlias = (
    "bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"
)
"""What JSON can say. Integers stay within +-(2^53 - 1) and floats are finite."""

PlainJson: TypeAlias = "int | str | Sequence[PlainJson] | Mapping[str, PlainJson]"
"""JSON without a float, whose canonical form takes more than escaping texts."""

_PLAIN: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))

_ARRAY_KINDS: Final = frozenset("biuf")
"""numpy's kinds with one fixed-width encoding: boolean, signed, unsigned, float."""


def canonical_json(value: JsonValue) -> bytes:
    """Return the one RFC 8785 (JCS) encoding of `value`, in UTF-8.

    Raises:
        ConfigError: `value` holds something that JSON cannot say exactly (bytes, a key that is
            not text, NaN, an infinity, an integer beyond 2^53 - 1, a lone surrogate, a cycle).
    """
    try:
        return rfc8785.dumps(value)
    except (ValueError, RecursionError) as error:
        # Its UnicodeEncodeError and CanonicalizationError are both ValueErrors.
        raise ConfigError(
            "A value has no canonical JSON, so it has no digest: it holds something other than "
            "text, finite numbers up to 2^53 - 1, true, false, null, lists and objects."
        ) from error


def sha256(data: bytes) -> bytes:
    """Return the 32-byte SHA-256 digest of `data` (FIPS 180-4)."""
    return hashlib.sha256(data).digest()


def digest_json(value: JsonValue) -> bytes:
    """Return the SHA-256 digest of the canonical JSON of `value`.

    Raises:
        ConfigError: `value` has no canonical JSON.
    """
    return sha256(canonical_json(value))


def canonical_plain_json(value: PlainJson) -> bytes:
    """Return what `canonical_json` returns of texts and integers, many times faster.

    Python's own encoder escapes the same characters in the same way (RFC 8785, section 3.2.2.2).
    It keeps the order of an object's members: sort them with `member_order` before.

    Raises:
        ConfigError: a text holds a lone surrogate.
    """
    try:
        return _PLAIN.encode(value).encode()
    except UnicodeEncodeError:  # holds the text, so it is not chained
        pass
    raise ConfigError("A text holds half a character: it has no canonical JSON, so no digest.")


def member_order(name: str) -> bytes:
    """Return what RFC 8785, section 3.2.3, orders the names of an object's members by."""
    return name.encode("utf-16-be", "surrogatepass")


def digest_json_streamed(
    members: Mapping[str, JsonValue], lists: Mapping[str, Iterable[bytes]]
) -> bytes:
    """Return what `digest_json` returns of the object with all of both, without holding it.

    Args:
        members: the object's members that are encoded whole.
        lists: the others; each is a list, given as the canonical JSON of one element after another.

    Raises:
        ConfigError: a member has no canonical JSON, or a name stands in both.
    """
    if members.keys() & lists.keys():
        raise ConfigError(
            "A member of an object is named twice: one of the two would be missing from its "
            "digest. Name each once."
        )
    digest = hashlib.sha256()
    before = b"{"
    for name in sorted((*members, *lists), key=member_order):
        digest.update(before + canonical_json(name) + b":")
        if name in members:
            digest.update(canonical_json(members[name]))
        else:
            _add_list(digest, lists[name])
        before = b","
    digest.update(b"{}" if before == b"{" else b"}")
    return digest.digest()


def _add_list(digest: hashlib._Hash, elements: Iterable[bytes]) -> None:
    before = b"["
    for element in elements:
        digest.update(before + element)
        before = b","
    digest.update(b"[]" if before == b"[" else b"]")


def digest_file(path: Path) -> bytes:
    """Return the SHA-256 digest of a file's content, read in pieces.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def digest_array(array: NDArray[Any]) -> bytes:
    """Return the SHA-256 digest of an array of any shape: its type, its shape, its elements.

    The digest is over the canonical JSON of `[dtype, shape]`, a zero byte, and the elements in
    little-endian C order, so that it depends neither on the machine nor on the memory layout.
    Equality is that of bits: 0.0 and -0.0 differ.

    Raises:
        ConfigError: the elements have no fixed-width encoding (objects, text, dates, complex).
    """
    if array.dtype.kind not in _ARRAY_KINDS or array.dtype.itemsize > 8:  # noqa: PLR2004 - 64 bits; longer floats differ between machines
        raise ConfigError(
            f"An array of {array.dtype} has no digest, since its bytes mean different things on "
            "different machines: convert it to integers or floats of at most 64 bits."
        )
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    # ascontiguousarray makes a scalar (1,): the shape is the caller's.
    header = canonical_json([little.dtype.str, list(array.shape)])
    digest = hashlib.sha256(header + b"\0")
    digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.digest()
