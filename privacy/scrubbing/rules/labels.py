"""One recogniser for every number that a label announces: "MRN: 4471829", "Plate no. AB12 CDE".

It goes from each number backwards, so that a text without labels costs little, and looks the words
before it up in `label_words`. A label is the strongest sign of what a number is: the same seven
digits are a record number, a claim or an account.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from privacy.scrubbing.recognizers import ProviderKind, Recognizer, Trigger
from privacy.scrubbing.rules.label_words import (
    FILLERS,
    LABELS,
    LAST_WORDS,
    LONGEST_LABEL_WORDS,
    NUMBER_WORDS,
    Label,
)
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator

_LABELLED = 0.85
_LOOK_BACK = 64
_LONGEST_PREFIX = 8
_LONGEST_WORD = 32
_SHORTEST_AFTER_COLON = 5
_SHORTEST_VALUE = 4
_SHORTEST_SPACED_GROUP = 5
_MARKS = " \t\u00a0:#=.,-(\n\"'\u00b0\u00ba\u2116[*_|"

_ANNOUNCING = frozenset("#:=\u2116")
_NUMBERING = NUMBER_WORDS | frozenset("#\u2116")
_BETWEEN = frozenset(".,-('\u2019\"\u00b0\u00ba/[*|")

_VALUE = re.compile(r"\d[^\W_]*(?:[-/.\\:][^\W_]+)*|[Xx*]{2,}[-/ ]?(?:[Xx*]+[-/ ]?)*\d{2,}")
_TOKEN = re.compile(r"[Nn][\u00b0\u00ba]|[^\W\d_]+|\d+|\n|[^\w\s]")
_LETTER_GROUPS = re.compile(r"(?<!\w)(?:[A-Z]{1,3}[ -]){1,2}\Z")
_NEXT_GROUP = re.compile(r" (?=[A-Z]{0,4}\d)[A-Z0-9]{1,6}(?![\w.,/-]\w|\w)")
_NEXT_PLATE_GROUP = re.compile(r"[ -][A-Z0-9]{1,4}(?!\w)")
_MEASURE = re.compile(r"\d{1,3}[.:]\d{1,2}|\d{1,3}[-/]\d{1,3}|\d+\.\d+[-/]\d+\.\d+")
_FRACTION = re.compile(r"\d{1,4}(?:[.,]\d{1,3})?[-/]\d{1,4}(?:[.,]\d{1,3})?")
_YEAR = re.compile(r"(?:FY|[QH][1-4]-?)?(?:19|20)\d\d(?:[-/](?:19|20)?\d\d)?")
_LIST_GAP = re.compile(r"\s{0,2}(?:,|;|/|&|and|or|und|et|y)\s{1,2}(?:and |or )?")
_NUMBER_ENDINGS = ("nummer", "nr", "nummern", "numret")
_LONGEST_LIST_GAP = 10
_AGE = re.compile(r"\d+[- ]?(?:year|month|week|day|yo\b|y/o)", re.IGNORECASE)
_MANY_DIGITS = 7
_SOME_DIGITS = 4
_PLATE = re.compile(
    r"(?:[A-Z]{1,3}[ -][A-Z]{0,2} ?\d{1,4}|[A-Z]{2}\d\d ?[A-Z]{3}|\d{1,3} [A-Z]{1,4} \d{1,4}|"
    r"[A-Z]{3}[ -]?\d{3,4}|[A-Z]{2}-\d{3}-[A-Z]{2}|\d[A-Z]{3}\d{3})(?!\w)"
)
_TRIAL = re.compile(r"(?:NCT|ISRCTN|ACTRN|CRD|ChiCTR|JPRN|UMIN|DRKS|PMC)\S", re.IGNORECASE)
_SHORT_VALUES = {"LICENCE_PLATE": 3, "POSTAL_CODE": 3, "ACCOUNT_NUMBER": 3}
_SPACED = frozenset((
    "ACCOUNT_NUMBER", "HEALTH_PLAN_NUMBER", "IBAN_CODE", "LICENCE_PLATE", "MEDICAL_RECORD_NUMBER",
    "POSTAL_CODE", "TAX_ID", "UNIQUE_ID", "US_DRIVER_LICENSE", "US_PASSPORT", "US_SSN",
))  # fmt: skip


_SOME_NUMBER = Label("UNIQUE_ID", bare=False)


@dataclass(frozen=True, slots=True)
class _Found:
    """A label before a number, and how clearly it asks for one."""

    label: Label
    numbered: bool
    marked: bool
    last_word: str = ""


def _could_follow_a_label(text: str, start: int) -> bool:
    """Say whether the last word before `start` can end a label: the cheap test that most fail."""
    if text[start - 1 : start] == "#":
        return True
    tail = text[max(0, start - _LONGEST_WORD) : start].rstrip(_MARKS)
    word = tail.rpartition(" ")[2]
    if not word.isalpha():
        at = len(word)
        while at and word[at - 1].isalpha():
            at -= 1
        word = word[at:]
    word = word.lower()
    return word in LAST_WORDS or word.endswith(_NUMBER_ENDINGS)


def _stem(word: str) -> str | None:
    """Return what a German or Nordic compound with "number" in it numbers: `patienten`."""
    for ending in _NUMBER_ENDINGS:
        stem = word.removesuffix(ending)
        if stem != word and stem in LABELS:
            return stem
    return None


def _label_before(text: str, start: int) -> _Found | None:
    """Return the label that stands right before `start`, the longest that is known."""
    pieces = _TOKEN.findall(text, max(0, start - _LOOK_BACK), start)
    passed: list[str] = []
    while pieces and _may_stand_between(pieces[-1]):
        passed.append(pieces.pop().lower())
    if passed.count("\n") > 1 or (pieces and not pieces[-1].isalpha()):
        return None
    marked = not _ANNOUNCING.isdisjoint(passed)
    numbered = not _NUMBERING.isdisjoint(passed)
    words = _last_words(pieces)
    for first in range(len(words)):
        phrase = " ".join(words[first:])
        if phrase in LABELS:
            return _Found(LABELS[phrase], numbered, marked, words[-1])
    stem = _stem(words[-1]) if words else None
    if stem is not None:
        return _Found(LABELS[stem], numbered=True, marked=marked)
    # "Job no. 12345", or "ID:" after something else: a number of something, whatever it is.
    return _Found(_SOME_NUMBER, numbered, marked) if numbered else None


def _may_stand_between(piece: str) -> bool:
    """Say whether a piece of text can stand between a label and its number."""
    if piece[0].isalpha():
        return piece.lower() in NUMBER_WORDS or piece.lower() in FILLERS
    return piece in _BETWEEN or piece in _ANNOUNCING or piece == "\n"


def _last_words(pieces: list[str]) -> list[str]:
    """Return up to as many words as a label has that end `pieces`, in lower case."""
    words: list[str] = []
    for piece in reversed(pieces):
        if piece.isalpha():
            words.append(piece.lower())
        elif piece not in _BETWEEN and piece != "\n":
            break
        if len(words) == LONGEST_LABEL_WORDS:
            break
    words.reverse()
    return words


def _announces(found: _Found, value: str) -> bool:
    """Say whether a number of this look is what the label announces."""
    entity = found.label.entity
    if entity is None or _TRIAL.match(value) or _MEASURE.fullmatch(value) or _AGE.match(value):
        return False
    size = sum(map(str.isalnum, value))
    if size < _SHORT_VALUES.get(entity, _SHORTEST_VALUE) and not (found.numbered and size > 2):  # noqa: PLR2004 - two digits number a page
        return False
    announced = found.marked and size >= _SHORTEST_AFTER_COLON and not _YEAR.fullmatch(value)
    if found.label is _SOME_NUMBER or found.last_word == "s":
        # A topic of the day such as #SP500 is no number, and 2003A is not the company's.
        many = sum(map(str.isdecimal, value)) >= _SOME_DIGITS
        return many and (announced or _is_code(value)) and found.numbered
    if found.label.bare and entity == "LICENCE_PLATE" and value.isdecimal():
        return found.numbered or found.marked  # "the plate 3 mm thick" is none
    return found.numbered or found.label.bare or announced or _is_code(value)


def _is_code(value: str) -> bool:
    """Say whether a value looks like nothing but a code: letters or hyphens among many digits."""
    if _FRACTION.fullmatch(value) or _YEAR.fullmatch(value):
        return False
    digits = sum(map(str.isdecimal, value))
    return digits >= _MANY_DIGITS or (
        digits >= _SOME_DIGITS and any(c.isupper() or c in "-/" for c in value)
    )


def _with_spaced_groups(text: str, end: int, entity: str, first_size: int) -> int:
    """Return where a value ends that goes on after a space, as in "943 476 5919"."""
    following = _NEXT_PLATE_GROUP if entity in ("LICENCE_PLATE", "POSTAL_CODE") else _NEXT_GROUP
    if entity not in _SPACED or first_size > _SHORTEST_SPACED_GROUP:
        return end
    for _ in range(1 if entity == "POSTAL_CODE" else 6):
        group = following.match(text, end)
        if group is None or (entity == "UNIQUE_ID" and group.end() - end < _SHORTEST_VALUE):
            break
        end = group.end()
    return end


def _openings(text: str, start: int) -> Iterator[int]:
    """Yield where the value around a digit at `start` may start, the shortest value first."""
    while start and (text[start - 1].isalnum() or text[start - 1] == "_"):
        start -= 1
    yield start
    longer = start
    while longer and (
        text[longer - 1].isalnum()
        or (text[longer - 1] in "-/" and longer > 1 and text[longer - 2].isalnum())
    ):
        longer -= 1
        if start - longer > _LOOK_BACK:
            return
    if longer != start:
        yield longer
    groups = _LETTER_GROUPS.search(text, max(0, start - _LONGEST_PREFIX), start)
    if groups is not None and groups.start() < longer:
        yield groups.start()


def _find_labelled(text: str) -> Iterator[Span]:
    done = 0
    last: Span | None = None
    for match in _VALUE.finditer(text):
        if match.start() < done or _is_far_from_labels(text, match.start(), done):
            continue
        span = _labelled_at(text, match.start(), match.end(), done, last)
        if span is not None:
            yield span
            last, done = span, span.end


def _look(value: str) -> str:
    """Return a value with 9 for each digit and A for each letter."""
    return "".join("9" if c.isdecimal() else "A" if c.isalpha() else c for c in value)


def _is_far_from_labels(text: str, digit: int, done: int) -> bool:
    """Say whether a number after a plain space has neither a label before it nor a list's start."""
    return (
        text[digit - 1 : digit] == " "
        and not text[digit - 2 : digit - 1].isupper()
        and (not done or digit - done > _LONGEST_LIST_GAP)
        and not _could_follow_a_label(text, digit)
    )


def _labelled_at(text: str, digit: int, end: int, floor: int, last: Span | None) -> Span | None:
    for start in _openings(text, digit):
        if start < floor:
            return None
        if last is not None and _LIST_GAP.fullmatch(text, last.end, start):
            # One label for a list of numbers that look alike.
            alike = _look(text[start:end]) == _look(text[last.start : last.end])
            return Span(start, end, last.entity, _LABELLED) if alike else None
        if not _could_follow_a_label(text, start):
            continue
        found = _label_before(text, start)
        if found is None:
            continue
        entity = found.label.entity
        if entity is None:
            return None
        plate = _PLATE.match(text, start) if found.last_word == "registration" else None
        if plate is not None:
            return Span(start, plate.end(), "LICENCE_PLATE", _LABELLED)
        if text[start:digit].endswith(" ") and (entity not in _SPACED or entity == "UNIQUE_ID"):
            continue
        stop = _with_spaced_groups(text, end, entity, end - start)
        if _announces(found, text[start:stop]):
            return Span(start, stop, entity, _LABELLED)
    return None


LABEL_RECOGNIZERS = (
    Recognizer(
        "labelled number",
        tuple(sorted({label.entity for label in LABELS.values() if label.entity is not None})),
        _find_labelled,
        (),
        Trigger.DIGIT,
        _LABELLED,
        ProviderKind.CUE,
    ),
)
