"""Labelled notes: templates filled with invented people, places, dates and numbers.

A label sits exactly on what was filled in. What is not labelled, though it looks like a name, is
there on purpose: eponyms, brands, banks, words that are also names.

Rules of labelling, the same in every template:

- titles and degrees ("Dr.", "MD") stand outside a name's label; "Last, First" is one label;
- a date is labelled where it says more than the year, a month alone too, as the law has it (45
  CFR 164.514(b)(2)(i)(C)); a bare year, a weekday or a time of day is not;
- of an age over 89 the number is labelled, not the unit; other ages are not;
- street, post code, town, province and country are labels of their own.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.errors import ConfigError
from domains.notes.grammar import Piece, Slot, expand
from domains.notes.people import load_regions, without_accents
from domains.notes.slots import Cast
from domains.notes.template_files import Templates, load_templates
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from domains.notes.grammar import Pattern


class NoteKind(enum.Enum):
    """Whose notes they are."""

    CLINICAL = "clinical"
    BANKING = "banking"


class Part(enum.Enum):
    """What the notes are for; the two share no template and no locale."""

    TRAIN = "train"
    HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True)
class LabelledNote:
    """One invented note and where its entities stand; shown freely, since nobody real is meant.

    `spans` are disjoint and ascending, each with score 1. `locale` is the patient's or customer's;
    others in the note can have another one of the same part.
    """

    text: str
    spans: tuple[Span, ...]
    kind: NoteKind
    template: str
    locale: str


_ORDER: Final = {member: number for kind in (NoteKind, Part) for number, member in enumerate(kind)}

_WRAPPABLE: Final = frozenset({"", "PERSON", "ORGANIZATION", "STREET_ADDRESS", "LOCATION"})
"""What a hard line end may cut in two."""

_NARROWEST, _WIDEST = 50, 100

_LOWER, _UPPER, _WITHOUT_ACCENTS, _WITHOUT_PUNCTUATION = 0.12, 0.05, 0.2, 0.06
_HARD_LINES, _ONE_LINE = 0.2, 0.06
"""Shares of the notes that were typed so."""


def labelled_notes(kind: NoteKind, part: Part, count: int, seed: int) -> Iterator[LabelledNote]:
    """Yield `count` notes, the same for the same arguments in every process.

    A longer run begins with the same notes. Templates take turns in a random order, so that
    `count` notes hold each of them about equally often.

    Args:
        kind: clinical or banking.
        part: training or held out.
        count: how many, 0 or more.
        seed: non-negative.

    Raises:
        ConfigError: a negative count or seed.
    """
    if count < 0 or seed < 0:
        raise ConfigError(
            f"Notes need a count and a seed of 0 or more, not {count} and {seed}: none was made."
        )
    templates = load_templates(kind.value, part.value)
    return _notes(kind, part, templates, count, seed)


def _notes(
    kind: NoteKind, part: Part, templates: Templates, count: int, seed: int
) -> Iterator[LabelledNote]:
    names = tuple(templates.notes)
    regions = load_regions(part.value)
    weights = np.array([region.weight for region in regions])
    stream = (seed, _ORDER[kind], _ORDER[part])
    for index in range(count):
        turn, place = divmod(index, len(names))
        order = np.random.default_rng((*stream, 0, turn)).permutation(len(names))
        name = names[int(order[place])]
        rng = np.random.default_rng((*stream, 1, index))
        region = regions[int(rng.choice(len(regions), p=weights / weights.sum()))]
        cast = Cast(rng, region, regions)
        pieces = _filled(templates.notes[name], rng, cast, templates.words)
        text, spans = _typed(pieces, _Style.draw(rng))
        yield LabelledNote(text, spans, kind, name, region.names)


def _filled(
    pattern: Pattern, rng: np.random.Generator, cast: Cast, words: dict[str, Pattern]
) -> list[Piece]:
    """Return the pieces of one note; a slot that names a word list is a pattern of its own."""

    def fill(slot: Slot) -> list[Piece]:
        base = slot.name.rstrip("0123456789")
        if base in words:
            return expand(words[base], rng, fill)
        return [cast.fill(slot)]

    return expand(pattern, rng, fill)


@dataclass(frozen=True, slots=True)
class _Style:
    """How a note was typed."""

    case: Callable[[str], str]
    accents: bool
    punctuation: bool
    width: int
    """Characters of a line; 0 where lines are as the template has them."""
    one_line: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> _Style:
        case = rng.random()
        accents, punctuation, layout = rng.random(3)
        return cls(
            case=str.lower if case < _LOWER else str.upper if case > 1 - _UPPER else str,
            accents=accents > _WITHOUT_ACCENTS,
            punctuation=punctuation > _WITHOUT_PUNCTUATION,
            width=int(rng.integers(_NARROWEST, _WIDEST)) if layout < _HARD_LINES else 0,
            one_line=layout > 1 - _ONE_LINE,
        )

    def typed(self, piece: Piece) -> str:
        text = piece.text
        if not self.accents:
            text = without_accents(text)
        if not (self.punctuation or piece.entity):
            text = _without_punctuation(text)
        return self.case(text)


def _without_punctuation(text: str) -> str:
    for mark in (". ", ", ", "; "):
        text = text.replace(mark, " ")
    return text.replace(".\n", "\n")


@dataclass(slots=True)
class _Page:
    """A text that grows, and the labels on it."""

    parts: list[str] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    fixed: list[tuple[int, int]] = field(default_factory=list)
    """Stretches in which no line may end."""
    length: int = 0

    def write(self, text: str, entity: str) -> None:
        end = self.length + len(text)
        if entity:
            self.spans.append(Span(self.length, end, entity, 1.0))
        if entity not in _WRAPPABLE:
            self.fixed.append((self.length, end))
        self.parts.append(text)
        self.length = end


def _typed(pieces: Sequence[Piece], style: _Style) -> tuple[str, tuple[Span, ...]]:
    """Return the note's text and labels; line ends are moved without moving any other character."""
    page = _Page()
    for piece in pieces:
        page.write(style.typed(piece), piece.entity)
    text = "".join(page.parts)
    if style.one_line:
        text = text.replace("\n", " ")
    if style.width:
        text = _wrapped(text, page.fixed, style.width)
    return text, tuple(page.spans)


def _wrapped(text: str, fixed: Sequence[tuple[int, int]], width: int) -> str:
    """Return `text` with spaces made line ends, so that lines have at most about `width`."""
    kept = {place for start, end in fixed for place in range(start, end)}
    characters = list(text)
    line_start, last_space = 0, -1
    for place, character in enumerate(characters):
        if character == "\n":
            line_start, last_space = place + 1, -1
        elif character == " " and place not in kept:
            last_space = place
        if place - line_start >= width and last_space > line_start:
            characters[last_space] = "\n"
            line_start, last_space = last_space + 1, -1
    return "".join(characters)
