"""Runs of digit groups, the shape that cards, accounts and telephone numbers share."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP = re.compile(r"\d+")
_YEAR = r"(?:19|20)\d\d"
_DAY_OR_MONTH = r"(?:0?[1-9]|[12]\d|3[01])"
# Two digits for the year only beside dots and slashes: 12-10-11 is how a sort code is written.
_DATE = (
    rf"(?:{_DAY_OR_MONTH}([-./]){_DAY_OR_MONTH}\1{_YEAR}|{_DAY_OR_MONTH}([./]){_DAY_OR_MONTH}\2\d\d|"
    rf"{_YEAR}([-./]){_DAY_OR_MONTH}\3{_DAY_OR_MONTH})"
)
_RANGES = re.compile(
    rf"{_DAY_OR_MONTH}[./](?:{_DAY_OR_MONTH}[./])?{_YEAR} ?- ?"
    rf"{_DAY_OR_MONTH}[./](?:{_DAY_OR_MONTH}[./])?{_YEAR}"
)
_DATES = re.compile(rf"{_DATE}|{_RANGES.pattern}|{_YEAR}(?: ?[-/] ?(?:{_YEAR}|\d\d)| {_YEAR})+")


@dataclass(frozen=True, slots=True)
class Run:
    """Digit groups with nothing but separators between them, as (start, end) in the text."""

    groups: tuple[tuple[int, int], ...]

    @property
    def start(self) -> int:
        """Where the first group starts."""
        return self.groups[0][0]

    @property
    def end(self) -> int:
        """Where the last group ends."""
        return self.groups[-1][1]

    @property
    def digits(self) -> int:
        """How many digits the groups hold together."""
        return sum(end - start for start, end in self.groups)


def joined_by(separator: str) -> re.Pattern[str]:
    """Return the pattern of a maximal run of digit groups between which `separator` stands.

    `separator` is a pattern without capturing groups that matches no digit.
    """
    return re.compile(rf"\d+(?:(?:{separator})\d+)*")


def runs(text: str, pattern: re.Pattern[str], *, fewest: int) -> Iterator[Run]:
    """Yield the maximal runs of ASCII digit groups that hold `fewest` digits or more, in order.

    Args:
        text: a folded text.
        pattern: what `joined_by` returned.
        fewest: shorter runs, which most are, cost next to nothing.
    """
    for match in pattern.finditer(text):
        start, end = match.span()
        if end - start >= fewest:
            run = Run(tuple(group.span() for group in _GROUP.finditer(text, start, end)))
            if run.digits >= fewest:
                yield run


def parts(run: Run, *, shortest: int, longest: int) -> Iterator[tuple[int, Run]]:
    """Yield every sub-run of `shortest` to `longest` digits, with the index of its first group.

    Ordered by start, then longest first. The number of sub-runs is at most `longest` per group.
    """
    for first in range(len(run.groups)):
        found: list[Run] = []
        digits = 0
        for last in range(first, len(run.groups)):
            start, end = run.groups[last]
            digits += end - start
            if digits > longest:
                break
            if digits >= shortest:
                found.append(Run(run.groups[first : last + 1]))
        for part in reversed(found):
            yield first, part


def stands_alone(text: str, start: int, end: int) -> bool:
    """Say whether no letter, digit or underscore touches [`start`, `end`)."""
    before = text[start - 1] if start else " "
    after = text[end] if end < len(text) else " "
    return not (before.isalnum() or before == "_" or after.isalnum() or after == "_")


def is_date_or_years(text: str, start: int, end: int) -> bool:
    """Say whether [`start`, `end`) reads as a date, a range or a list of years alone."""
    return _DATES.fullmatch(text, start, end) is not None
