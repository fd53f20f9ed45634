"""JSON as text (RFC 8259): the places of strings, so that all the rest stays as it is.

Nothing is turned into numbers or dictionaries, so long integers, the order of keys and the way
that characters are escaped survive. The reader keeps its own stack, and refuses what nests deeper
than other readers of the output can follow.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from secure_fl.scrubbing_files.field_paths import FieldPath, Into
from secure_fl.scrubbing_files.rows import RowError, Slot

if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST: Final = 200
"""Levels of nesting; Python's own reader follows about a thousand, others a hundred or so."""

_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(
    r"(?:-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)(?![\w.+-])"
)
_LONE = re.compile("[\ud800-\udfff]")
_STRINGS = json.JSONDecoder()


class Missing(enum.Enum):
    """What becomes of a row that lacks a chosen field, or has null there."""

    REFUSE = "refuse"
    SKIP = "skip"


Spot = tuple[int, int]
"""A path's number, and how many of its steps lead here."""


@dataclass(slots=True)
class _Open:
    """An object or list that is being read.

    `spots` are the paths that lead to it, `unmet` the keys they ask it for, `keys` those it had.
    """

    closer: str
    spots: tuple[Spot, ...]
    keys: set[str] = field(default_factory=set)
    begun: bool = False


class _Reader:
    def __init__(self, row: str, paths: tuple[FieldPath, ...] | None, missing: Missing) -> None:
        self.slots: list[Slot] = []
        self._row = row
        self._paths = paths
        self._missing = missing
        self._place = 0
        self._open: list[_Open] = []

    def read(self) -> None:
        self._value(tuple((number, 0) for number in range(len(self._paths or ()))))
        while self._open:
            self._go_on(self._open[-1])
        self._skip()
        if self._place != len(self._row):
            raise self._no_json()

    def _skip(self) -> str:
        """Go behind white space, and return the character there."""
        space = _SPACE.match(self._row, self._place)
        self._place = self._place if space is None else space.end()
        return self._row[self._place : self._place + 1]

    def _no_json(self) -> RowError:
        where = f"at character {self._place + 1}"
        if self._place >= len(self._row.rstrip()):
            return RowError(f"it ends {where} in the middle of its JSON: it is cut there")
        return RowError(f"it is no JSON from {where.removeprefix('at ')} on: mend the row")

    def _go_on(self, inner: _Open) -> None:
        """Read the next item of the innermost object or list, or its end."""
        character = self._skip()
        if character == inner.closer:
            self._place += 1
            self._close(inner)
            return
        if inner.begun:
            if character != ",":
                raise self._no_json()
            self._place += 1
            self._skip()
        inner.begun = True
        if inner.closer == "}":
            self._member(inner)
        else:
            self._value(self._onward(inner.spots, Into.EACH))

    def _member(self, inner: _Open) -> None:
        begin = self._place
        key = self._string()
        if key in inner.keys:
            raise RowError(
                f"an object has one key twice, the second time at character {begin + 1}: readers "
                "differ in which they take"
            )
        inner.keys.add(key)
        if self._skip() != ":":
            raise self._no_json()
        self._place += 1
        self._value((*self._onward(inner.spots, key), *self._onward(inner.spots, Into.ANY_KEY)))

    def _onward(self, spots: Iterable[Spot], step: str | Into) -> tuple[Spot, ...]:
        paths = self._paths or ()
        return tuple(
            (number, done + 1) for number, done in spots if paths[number].steps[done] == step
        )

    def _string(self) -> str:
        if not self._row.startswith('"', self._place):
            raise self._no_json()
        wrong: int | None = None
        text: str = ""
        try:
            text, self._place = _STRINGS.raw_decode(self._row, self._place)
        except json.JSONDecodeError as error:
            wrong = error.pos
        if wrong is not None:
            # Python names the opening quote where the closing one is missing.
            cut = self._row[wrong : wrong + 1] == '"' and wrong == self._place
            self._place = len(self._row.rstrip()) if cut else wrong
            raise self._no_json()
        return text

    def _value(self, spots: tuple[Spot, ...]) -> None:
        character = self._skip()
        begin = self._place
        if character == '"':
            text = self._string()
            self._found(spots, "a string")
            ended = self._ended(spots)
            if self._paths is None or ended:
                self.slots.append(Slot(begin, self._place, text, ended))
        elif character and character in "{[":
            self._found(spots, "an object" if character == "{" else "a list")
            self._place += 1
            if len(self._open) == DEEPEST:
                raise RowError(
                    f"it nests deeper than {DEEPEST} levels, which many programs cannot read"
                )
            self._open.append(_Open("}" if character == "{" else "]", spots))
        else:
            plain = _PLAIN.match(self._row, self._place)
            if plain is None:
                raise self._no_json()
            self._place = plain.end()
            self._found(spots, "null" if plain[0] == "null" else "a number, true or false")

    def _ended(self, spots: Iterable[Spot]) -> tuple[int, ...]:
        paths = self._paths or ()
        return tuple(number for number, done in spots if done == len(paths[number].steps))

    def _found(self, spots: Iterable[Spot], kind: str) -> None:
        """Compare a value with what the paths that lead to it expect."""
        for number, done in spots:
            path = (self._paths or ())[number]
            wanted, where = "a string", "at"
            if done < len(path.steps):
                where = "on the way to"
                wanted = "a list" if path.steps[done] is Into.EACH else "an object"
            if kind == "null":
                self._lacks(path)
            elif kind != wanted:
                hint = f" (did you mean {path.written}[]?)" if (kind, wanted) == _LISTED else ""
                raise RowError(
                    f"{where} {path.written} there is {kind}, and {wanted} was expected{hint}: it "
                    "cannot be scrubbed"
                )

    def _close(self, inner: _Open) -> None:
        self._open.pop()
        if inner.closer == "}":
            for number, done in inner.spots:
                path = (self._paths or ())[number]
                step = path.steps[done]
                if isinstance(step, str) and step not in inner.keys:
                    self._lacks(path)

    def _lacks(self, path: FieldPath) -> None:
        if self._missing is Missing.REFUSE:
            raise RowError(
                f"it has no {path.written}, or null there: name another field, or let such rows "
                "pass with --missing skip"
            )


_LISTED = ("a list", "a string")


@dataclass(frozen=True, slots=True)
class JsonRules:
    """The chosen fields of a JSON value; keys, numbers and other fields stay as they are.

    Attributes:
        paths: the fields; None for every string at any depth.
        missing: what becomes of a row without one of them.
        unit_keys: the keys that lead to whose a row is; none where nobody said.
    """

    paths: tuple[FieldPath, ...] | None
    missing: Missing = Missing.REFUSE
    unit_keys: tuple[str, ...] = ()

    def slots(self, row: str) -> tuple[Slot, ...]:
        """Return the chosen strings; none for a line of white space.

        Raises:
            RowError: the row is no JSON, has a key twice or NaN, nests too deep, lacks a field, or
                has no string where one was chosen.
        """
        if not row.strip(" \t\r\n"):
            return ()
        reader = _Reader(row, self.paths, self.missing)
        reader.read()
        return tuple(reader.slots)

    def unit(self, row: str) -> str | None:
        """Return the string or number that says whose a row is, which `slots` has read before.

        Raises:
            RowError: there is none.
        """
        if not self.unit_keys or not row.strip(" \t\r\n"):
            return None
        said = json.loads(row, parse_int=str, parse_float=str)
        for key in self.unit_keys:
            said = said.get(key) if isinstance(said, dict) else None
        if not isinstance(said, str) or not said:
            raise RowError(
                f"its {'.'.join(self.unit_keys)} does not say whose it is: its dates would not "
                "move with those of the same person"
            )
        return said

    def literal(self, replaced: str, text: str) -> str:
        """Return the text as a JSON string; in ASCII alone if its source was."""
        written = json.dumps(text, ensure_ascii=replaced.isascii())
        return _LONE.sub(lambda lone: f"\\u{ord(lone[0]):04x}", written)
