"""Labelled texts for measuring scrubbing: a published corpus, and notes of this project's own.

The published one is the synthetic data set of presidio-research (MIT), which is not part of this
project. It is split by template, so that no text of one part looks like one of the other: odd
template numbers are the test, but for those of which a text was read before the names model's
recipe was written, which may have guided it. Those and the even ones are for development.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crypto.errors import ConfigError
from domains.notes import NoteKind, Part, labelled_notes
from privacy.scrubbing.spans import Span

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRESIDIO: Final = "presidio synthetic"
FILE: Final = "synth_dataset_v2.json"
PARTS: Final = ("dev", "test")
_SEEN: Final = frozenset(
    (1, 11, 29, 41, 43, 49, 59, 69, 81, 83, 87, 89, 95, 99, 137, 139, 141, 151, 157, 179, 199)
)
"""Odd templates among the file's first sixty texts, which were read."""

_BARE_YEAR: Final = re.compile(r"\s*(?:1[89]|20)\d\d\s*")
_OVER_89: Final = 90
_SEED: Final = 20_260


@dataclass(frozen=True)
class Document:
    """A text and where its entities are; invented, so it may be shown."""

    text: str
    labels: tuple[Span, ...]


def presidio_documents(folder: Path, part: str) -> tuple[Document, ...]:
    """Return one part of the presidio-research data set, in the order of its file.

    Args:
        folder: holds the file as published.
        part: one of `PARTS`.

    Raises:
        ConfigError: the file is not there, or not what it should be.
    """
    path = folder / FILE
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Document(row["full_text"], tuple(_label(row["full_text"], s) for s in row["spans"]))
            for row in rows
            if _part(row["template_id"]) == part
        )
    except OSError as error:
        raise ConfigError(
            f"The data set {FILE} cannot be read in {folder} ({error.strerror}): nothing was "
            "measured on it. Name the folder of presidio-research's published data with --data."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is not presidio-research's data set: nothing was measured on it. Take "
            "data/synth_dataset_v2.json as published."
        ) from error


def _part(template: int) -> str:
    return "test" if template % 2 and template not in _SEEN else "dev"


def _label(text: str, row: dict[str, Any]) -> Span:
    """Return one label; an age up to 89 is AGE, an older one AGE_OVER_89, a bare year YEAR."""
    start, end, entity = row["start_position"], row["end_position"], row["entity_type"]
    value = text[start:end]
    if entity == "AGE" and value.isdecimal() and int(value) >= _OVER_89:
        entity = "AGE_OVER_89"
    if entity == "DATE_TIME" and _BARE_YEAR.fullmatch(value):
        entity = "YEAR"
    return Span(start, end, entity, 1.0)


def held_out_notes(kind: NoteKind, count: int) -> tuple[Document, ...]:
    """Return generated notes whose templates and locales no training note has."""
    notes = labelled_notes(kind, Part.HELD_OUT, count, _SEED)
    return tuple(Document(note.text, note.spans) for note in notes)


def notes_of_about(characters: int, count: int) -> tuple[str, ...]:
    """Return held-out clinical notes within a fifth of a length; for speed.

    There are such notes among any hundred, so it ends.
    """
    return tuple(itertools.islice(_of_about(characters), count))


def _of_about(characters: int) -> Iterator[str]:
    notes = labelled_notes(NoteKind.CLINICAL, Part.HELD_OUT, 2**31, _SEED)
    fifth = characters // 5
    return (note.text for note in notes if abs(len(note.text) - characters) <= fifth)
