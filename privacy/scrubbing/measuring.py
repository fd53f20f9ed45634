"""How good scrubbing is on labelled texts: recall by type, what leaks, what is hit in vain.

Everything is counted, so results of documents add up; shares and intervals are computed from the
sums. The measures:

- an entity is *covered* where each of its letters and digits lies in a finding, whatever type the
  finding claims: nothing of it is left to read. Marks and spaces do not count: "+1" instead of
  "(+1)" leaks nothing;
- it is *typed* where it is covered and a finding of the same common type overlaps it: the
  placeholder says what was there;
- *leaked* are the letters and digits of entities that no finding covers;
- a document is *clean* where none of its entities leaks; documents that hold no entity are left
  out, since scrubbing cannot fail on them;
- a finding is *false* where it shares no character with an entity. Overlapping findings are one,
  as a scrubbed text has one placeholder for them.
"""

from __future__ import annotations

import bisect
import itertools
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import ConfigError
from privacy.scrubbing.intervals import clopper_pearson
from privacy.scrubbing.spans import merge_overlaps

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from privacy.scrubbing.spans import Span

_TOKEN = re.compile(r"[^\W_]+")
"""A run of letters or digits: what false findings are counted against."""

NO_IDENTIFIERS = ("AGE", "NRP", "ORGANIZATION", "TITLE", "YEAR")
"""Common types that do not of themselves identify anybody (45 CFR 164.514(b)(2)(i)).

They are measured and reported, but a document that still shows them is *clean of identifiers*. An
organisation's name is an identifier where it is the person's employer, which labels do not tell:
so both shares are given, with these types and without.
"""


@dataclass(frozen=True, slots=True)
class CommonTypes:
    """What types of a corpus and types of an engine are called where the two are compared.

    Args:
        names: pairs of a type and its common name; a type that is not listed keeps its own.
    """

    names: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        listed = [name for name, _ in self.names]
        if len(set(listed)) < len(listed):
            raise ConfigError(
                "A type has two common names: its recall would depend on which is read first. "
                "Name each type once."
            )

    def common(self, entity: str) -> str:
        """Return the common name of `entity`."""
        return next((common for name, common in self.names if name == entity), entity)


COMMON_TYPES = CommonTypes(
    (
        ("DOMAIN_NAME", "URL"),
        ("GPE", "LOCATION"),
        ("US_BANK_NUMBER", "ACCOUNT_NUMBER"),
        ("ZIP_CODE", "POSTAL_CODE"),
    )
)
"""Types of common corpora under our names; two kinds of account numbers are one."""


@dataclass(frozen=True, slots=True)
class TypeQuality:
    """What became of the labelled entities of one common type.

    Attributes:
        entity: the common type.
        labelled: entities.
        covered: of them, those of which nothing is left.
        typed: of the covered, those whose finding says the same type.
        characters: letters and digits of the entities.
        leaked: of them, those that no finding covers.
    """

    entity: str
    labelled: int
    covered: int
    typed: int
    characters: int
    leaked: int

    def __post_init__(self) -> None:
        if not (
            0 <= self.typed <= self.covered <= self.labelled and 0 <= self.leaked <= self.characters
        ):
            raise ConfigError(
                f"The counts of {self.entity} contradict each other: its recall would be wrong. "
                "Make them with `measure` and addition."
            )

    @property
    def recall(self) -> float:
        """Share of the entities that are covered; without any, not a number."""
        return _share(self.covered, self.labelled)

    @property
    def typed_recall(self) -> float:
        """Share of the entities that are typed; without any, not a number."""
        return _share(self.typed, self.labelled)

    def recall_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Clopper-Pearson interval of the recall, as if entities were independent."""
        return clopper_pearson(self.covered, self.labelled, confidence=confidence)

    def typed_recall_interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Return the Clopper-Pearson interval of the typed recall."""
        return clopper_pearson(self.typed, self.labelled, confidence=confidence)

    def __add__(self, other: TypeQuality) -> TypeQuality:
        if self.entity != other.entity:
            raise ConfigError(
                f"Counts of {self.entity} and {other.entity} do not add up to one type's recall. "
                "Add results of the same type."
            )
        return TypeQuality(
            self.entity,
            self.labelled + other.labelled,
            self.covered + other.covered,
            self.typed + other.typed,
            self.characters + other.characters,
            self.leaked + other.leaked,
        )


@dataclass(frozen=True, slots=True)
class Quality:
    """Counts over labelled documents; an immutable sum, whose zero is `Quality()`.

    Attributes:
        types: per common type, sorted by its name.
        documents: all, with entities or without.
        with_entities: those that hold a labelled entity.
        clean: of them, those of which no entity leaks.
        with_identifiers: those that hold an entity of a type not in `NO_IDENTIFIERS`.
        clean_of_identifiers: of them, those of which no such entity leaks.
        tokens: runs of letters or digits.
        findings: disjoint stretches that were found.
        false_findings: of them, those that share no character with an entity.
    """

    types: tuple[TypeQuality, ...] = ()
    documents: int = 0
    with_entities: int = 0
    clean: int = 0
    with_identifiers: int = 0
    clean_of_identifiers: int = 0
    tokens: int = 0
    findings: int = 0
    false_findings: int = 0

    def __post_init__(self) -> None:
        names = [row.entity for row in self.types]
        if names != sorted(set(names)) or not (
            0 <= self.clean <= self.with_entities <= self.documents
            and 0 <= self.clean_of_identifiers <= self.with_identifiers <= self.with_entities
            and 0 <= self.false_findings <= self.findings
            and self.tokens >= 0
        ):
            raise ConfigError(
                "The counts of a measurement contradict each other: what it says would be wrong. "
                "Make them with `measure` and addition."
            )

    def of(self, entity: str) -> TypeQuality:
        """Return the row of a common type; all zeros where none was labelled."""
        return next(
            (row for row in self.types if row.entity == entity),
            TypeQuality(entity, 0, 0, 0, 0, 0),
        )

    @property
    def leaked_share(self) -> float:
        """Share of the entities' letters and digits that are left; not a number without any."""
        return _share(
            sum(row.leaked for row in self.types), sum(row.characters for row in self.types)
        )

    @property
    def leaked_identifier_share(self) -> float:
        """The same over types that are not in `NO_IDENTIFIERS`."""
        rows = [row for row in self.types if row.entity not in NO_IDENTIFIERS]
        return _share(sum(row.leaked for row in rows), sum(row.characters for row in rows))

    @property
    def clean_share(self) -> float:
        """Share of the documents with entities of which none leaks; not a number without any."""
        return _share(self.clean, self.with_entities)

    @property
    def clean_of_identifiers_share(self) -> float:
        """Share of the documents with identifiers of which none leaks."""
        return _share(self.clean_of_identifiers, self.with_identifiers)

    @property
    def false_per_1000_tokens(self) -> float:
        """False findings per 1000 tokens; not a number without a token."""
        return 1000 * _share(self.false_findings, self.tokens)

    @property
    def precision(self) -> float:
        """Share of the findings that share a character with an entity; not a number without any."""
        return _share(self.findings - self.false_findings, self.findings)

    def __add__(self, other: Quality) -> Quality:
        by_name = operator.attrgetter("entity")
        rows = sorted((*self.types, *other.types), key=by_name)
        groups = (list(group) for _, group in itertools.groupby(rows, key=by_name))
        return Quality(
            tuple(group[0] if len(group) == 1 else group[0] + group[1] for group in groups),
            self.documents + other.documents,
            self.with_entities + other.with_entities,
            self.clean + other.clean,
            self.with_identifiers + other.with_identifiers,
            self.clean_of_identifiers + other.clean_of_identifiers,
            self.tokens + other.tokens,
            self.findings + other.findings,
            self.false_findings + other.false_findings,
        )


def measure(
    text: str,
    labels: Sequence[Span],
    found: Iterable[Span],
    types: CommonTypes = COMMON_TYPES,
) -> Quality:
    """Return how the findings in one document compare with its labelled entities.

    Labels may overlap; a character in two of them counts for both.

    Args:
        text: the document as it was scrubbed.
        labels: where its entities are.
        found: what was found; overlapping findings become one, as in `merge_overlaps`.
        types: under which names labels and findings are compared.

    Raises:
        ConfigError: a label or a finding is empty or lies outside the text.
    """
    merged = merge_overlaps(found)
    for span in (*labels, *merged):
        if not 0 <= span.start < span.end <= len(text):
            raise ConfigError(
                f"A {span.entity} is said to be at [{span.start}, {span.end}) of a text of "
                f"{len(text)} characters: nothing can be measured against it. Count code points "
                "of the text as it stands, from 0, the end excluded."
            )
    rows: dict[str, TypeQuality] = {}
    leaking: set[str] = set()
    hit: set[int] = set()
    for label in labels:
        overlapping = _overlapping(merged, label)
        hit.update(overlapping)
        row = _row(text, label, [merged[place] for place in overlapping], types)
        if row.leaked:
            leaking.add(row.entity)
        rows[row.entity] = rows[row.entity] + row if row.entity in rows else row
    identifiers = rows.keys() - set(NO_IDENTIFIERS)
    return Quality(
        types=tuple(rows[entity] for entity in sorted(rows)),
        documents=1,
        with_entities=int(bool(rows)),
        clean=int(bool(rows) and not leaking),
        with_identifiers=int(bool(identifiers)),
        clean_of_identifiers=int(bool(identifiers) and not leaking & identifiers),
        tokens=sum(1 for _ in _TOKEN.finditer(text)),
        findings=len(merged),
        false_findings=len(merged) - len(hit),
    )


def _overlapping(merged: Sequence[Span], label: Span) -> range:
    """Return the places in the disjoint ascending `merged` of what shares a character."""
    first = bisect.bisect_right(merged, label.start, key=operator.attrgetter("end"))
    after = bisect.bisect_left(merged, label.end, key=operator.attrgetter("start"))
    return range(first, after)


def _row(text: str, label: Span, over: Sequence[Span], types: CommonTypes) -> TypeQuality:
    """Return the counts of one entity, given the findings that share a character with it."""
    entity = types.common(label.entity)
    characters = _letters_and_digits(text, label.start, label.end)
    removed = sum(
        _letters_and_digits(text, max(span.start, label.start), min(span.end, label.end))
        for span in over
    )
    covered = characters == removed
    typed = covered and any(types.common(span.entity) == entity for span in over)
    return TypeQuality(entity, 1, int(covered), int(typed), characters, characters - removed)


def _letters_and_digits(text: str, start: int, end: int) -> int:
    return sum(map(str.isalnum, text[start:end]))


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
