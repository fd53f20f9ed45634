"""Spans, what a scrubbed text is, and how found spans become placeholders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Span:
    """Where an entity stands: code points [`start`, `end`) of the text as it was given.

    A span holds no text, so printing or logging one shows nothing of a record.
    """

    start: int
    end: int
    entity: str
    score: float
    """How sure the recogniser is, in (0, 1]."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """A text in which findings are replaced, and where they were.

    `spans` are disjoint, ascending, and count code points of the *original* text; what a mode lets
    stay is none of them. `text` may still
    hold what nothing looked for, so the representation shows its length alone.
    """

    text: str = field(repr=False)
    spans: tuple[Span, ...]

    def __repr__(self) -> str:
        return f"<Scrubbed: {len(self.text)} characters, {len(self.spans)} placeholders>"


_ANY_NUMBER = "UNIQUE_ID"
"""The entity that says least: a number of somebody's, of no known type."""


def placeholder(entity: str) -> str:
    """Return what stands in the text for one `entity`, such as `<IBAN_CODE>`."""
    return f"<{entity}>"


def merge_overlaps(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return disjoint ascending spans that cover exactly what `spans` cover together.

    Spans that share a character become one, since cutting the loser off would leave part of an
    identifier in the text. It takes the entity and score of the longest of them, where one says
    more than that there is some number; then the highest score, the earliest start and the first
    name in the alphabet decide, so that neither the order of recognisers nor the hash seed shows.
    Spans that only touch stay apart.
    """
    merged: list[Span] = []
    chain: list[Span] = []
    reach = -1
    for span in sorted(spans, key=lambda span: (span.start, span.end)):
        if chain and span.start >= reach:
            merged.append(_named_after_best(chain, reach))
            chain = []
        reach = span.end if not chain else max(reach, span.end)
        chain.append(span)
    if chain:
        merged.append(_named_after_best(chain, reach))
    return tuple(merged)


def _named_after_best(chain: Sequence[Span], reach: int) -> Span:
    if len(chain) == 1:
        return chain[0]
    best = min(
        chain, key=lambda s: (s.entity == _ANY_NUMBER, s.start - s.end, -s.score, s.start, s.entity)
    )
    return Span(chain[0].start, reach, best.entity, best.score)


def replace(text: str, spans: Sequence[Span]) -> str:
    """Return `text` with every span of the disjoint ascending `spans` as its placeholder."""
    parts: list[str] = []
    done = 0
    for span in spans:
        parts += (text[done : span.start], placeholder(span.entity))
        done = span.end
    parts.append(text[done:])
    return "".join(parts)


def to_original(found: Iterable[Span], replaced: Sequence[Span]) -> list[Span]:
    """Return spans of `replace(text, replaced)` as spans of `text`.

    `found` must not touch the inside of a placeholder that `replaced` left.
    """
    moved: list[Span] = []
    pending = iter(replaced)
    earlier = next(pending, None)
    shift = 0
    for span in sorted(found, key=lambda span: (span.start, span.end)):
        while earlier is not None and earlier.start < span.start + shift:
            shift += earlier.end - earlier.start - len(placeholder(earlier.entity))
            earlier = next(pending, None)
        moved.append(Span(span.start + shift, span.end + shift, span.entity, span.score))
    return moved
