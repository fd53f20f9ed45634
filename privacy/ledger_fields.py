"""What every line of a ledger is made of: strict JSON fields, names, times, the chain.

Nothing here touches a disk.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from crypto.digests import sha256
from crypto.errors import ConfigError, IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable

GENESIS: Final = sha256(b"secure-fl/v1/ledger")
"""The head of a ledger without entries."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class _HasBody(Protocol):
    def body(self) -> bytes: ...


_Line = TypeVar("_Line", bound=_HasBody)


def chained(head: bytes, body: bytes) -> bytes:
    """Return the head after an entry with `body` follows `head`."""
    return sha256(head + body)


def decoded(body: bytes, build: Callable[[dict[str, object]], _Line]) -> _Line:
    """Return what `build` makes of the JSON object in `body`, if its bytes are the canonical ones.

    Raises:
        IntegrityError: `body` is no JSON object, `build` refuses it, or it is spelt in another way.
    """
    try:
        line = build(an_object(json.loads(body)))
        canonical = line.body()
    except (ValueError, RecursionError, ConfigError) as error:
        raise IntegrityError(f"it is no entry of a ledger: {error}") from error
    if canonical != body:
        raise IntegrityError("it is not in its canonical form, so it was written by other code")
    return line


def require_fields(fields: dict[str, object], kind: str, required: frozenset[str]) -> None:
    """Refuse an object that has not exactly the fields of its kind.

    Raises:
        ConfigError: one is missing, or is unknown.
    """
    if set(fields) != required:
        raise ConfigError(f"fields of a {kind} are missing, or it has unknown ones")


def an_object(value: object) -> dict[str, object]:
    """Return `value` if it is a JSON object.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, dict):
        raise ConfigError("it is not a JSON object")
    return value


def text(value: object) -> str:
    """Return `value` if it is text.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, str):
        raise ConfigError("a field that should be text is not")
    return value


def whole(value: object) -> int:
    """Return `value` if it is a whole number; true and false are none.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError("a field that should be a whole number is not")
    return value


def number(value: object) -> float:
    """Return `value` if it is a number; RFC 8785 writes 1.0 as 1, so whole ones are fine.

    Raises:
        ConfigError: it is none, or too large a one.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError("a field that should be a number is not")
    try:
        return float(value)
    except OverflowError as error:
        raise ConfigError("a field holds too large a number") from error


def many(value: object) -> list[object]:
    """Return `value` if it is a JSON array.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, list):
        raise ConfigError("a field that should be a list is not")
    return value


def digest(value: object) -> bytes:
    """Return the 32 bytes whose 64 lower-case hexadecimal digits `value` is.

    Raises:
        ConfigError: it is something else.
    """
    if _DIGEST.fullmatch(text(value)) is None:
        raise ConfigError("a field that should be 32 bytes in hexadecimal is not")
    return bytes.fromhex(text(value))


def require_name(what: str, name: str) -> None:
    """Refuse a name that could be mistaken for another, or for a path.

    Raises:
        ConfigError: it has another form.
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigError(
            f"The name of a {what} has 1 to 64 lower-case letters, digits, dots, dashes or "
            "underscores and starts with a letter or digit: rename it, nothing was charged."
        )


def require_time(time: str) -> None:
    """Refuse a time that is not RFC 3339 in UTC with seconds.

    Raises:
        ConfigError: it has another form.
        ValueError: it has this form and is no moment.
    """
    if _TIME.fullmatch(time) is None:
        raise ConfigError("a time is not RFC 3339 in UTC with seconds")
    datetime.fromisoformat(time)


def written_at(now: datetime) -> str:
    """Return `now` as RFC 3339 in UTC with seconds.

    Raises:
        ConfigError: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise ConfigError("The ledger's clock gave a time without a zone: pass one in UTC.")
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
