r"""Paths of fields in a JSON row: `note`, `patient.note`, `history[].text`, `*.text`.

A dot leads into an object, `[]` into each item of a list, `*` into every key. A backslash takes
the special meaning from the character behind it: `a\.b` is one key.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_SEGMENT = re.compile(r"(?P<key>\*|(?:\\.|[^\\.\[\]*])*)(?P<each>(?:\[\])*)", re.DOTALL)


class Into(enum.Enum):
    """A step of a path that is no key."""

    EACH = "[]"
    ANY_KEY = "*"


Step = str | Into


@dataclass(frozen=True, slots=True)
class FieldPath:
    """A path as it was written, and its steps."""

    written: str
    steps: tuple[Step, ...]


def field_path(written: str) -> FieldPath:
    """Return the path that `written` stands for.

    Raises:
        ValueError: a key is empty, or a special character stands where it means nothing.
    """
    steps: list[Step] = []
    place = 0
    while True:
        segment = _SEGMENT.match(written, place)
        if segment is None or not (segment["key"] or (segment["each"] and place == 0)):
            break
        if segment["key"] == "*":
            steps.append(Into.ANY_KEY)
        elif segment["key"]:
            steps.append(re.sub(r"\\(.)", r"\1", segment["key"], flags=re.DOTALL))
        steps += [Into.EACH] * (len(segment["each"]) // len(Into.EACH.value))
        if segment.end() == len(written):
            return FieldPath(written, tuple(steps))
        if written[segment.end()] != ".":
            break
        place = segment.end() + 1
    raise ValueError(
        f"{written!r} is no path of a field: write keys with dots between them, [] for each item "
        r"of a list and * for every key, such as history[].text; \. is a dot within a key"
    )
