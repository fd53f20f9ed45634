"""What a mapping is made of: an instrument, its questions, and the answers of one document."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from audits.compliance.document import ComplianceDocument


class Status(StrEnum):
    """How far a document answers a question; none of them says that anything conforms."""

    ANSWERED = "answered"
    """The document states the fact that is asked for; whether it is good enough is not said."""
    PARTLY = "partly"
    """It states a part of it."""
    LEFT = "left to the organisation"
    """It has nothing that answers it."""


class Place(StrEnum):
    """Where in the report a fact stands in full: the title of that section."""

    PROMISE = "What was promised"
    DATA = "Data and scrubbing"
    FEDERATION = "Who took part, and how updates travelled"
    RESULTS = "Results"
    EPSILON = "Claimed against measured epsilon"
    UTILITY = "Utility"
    LIMITS = "Limits"
    VERIFY = "Signatures, and how to check them offline"


@dataclass(frozen=True)
class Answer:
    """What one document says to one question.

    Attributes:
        status: how far that answers it.
        fact: what the document states, or that it states nothing.
        to_add: what the organisation has to add; empty where the question is answered.

    Raises:
        ValueError: there is no fact, or something is left and is not named, or the other way round.
    """

    status: Status
    fact: str
    to_add: str = ""

    def __post_init__(self) -> None:
        if not self.fact:
            raise ValueError("an answer says at least that there is none")
        if (self.status is Status.ANSWERED) == bool(self.to_add):
            raise ValueError("what is left to add is named if and only if something is left")


@dataclass(frozen=True)
class Question:
    """One thing that an instrument asks for.

    Attributes:
        clause: where the instrument asks it.
        asks: what it asks, in this project's words.
        answer: what a document says to it; the same document gives the same answer.
        place: where in the report that stands in full; None where it stands nowhere.
    """

    clause: str
    asks: str
    answer: Callable[[ComplianceDocument], Answer]
    place: Place | None = None


@dataclass(frozen=True)
class Wording:
    """Whether the words behind an instrument's questions were compared with its text.

    Attributes:
        compared: with a copy of the text itself.
        how: what was read, as a sentence.
    """

    compared: bool
    how: str


@dataclass(frozen=True)
class Instrument:
    """A law, a guideline or an opinion that asks for things that a report may state.

    Attributes:
        slug: its name in links.
        name: as it is cited.
        version: which state of it the questions follow.
        dated: the day of that version.
        publisher: who issued it.
        wording: whether the questions were compared with the text.
        notes: what somebody has to know who uses the rows.
        questions: in the order of the instrument.
    """

    slug: str
    name: str
    version: str
    dated: date
    publisher: str
    wording: Wording
    notes: tuple[str, ...]
    questions: tuple[Question, ...]


def answered(fact: str) -> Answer:
    """Return that the document states what is asked for."""
    return Answer(Status.ANSWERED, fact)


def partly(fact: str, to_add: str) -> Answer:
    """Return that the document states a part of what is asked for."""
    return Answer(Status.PARTLY, fact, to_add)


def left(fact: str, to_add: str) -> Answer:
    """Return that the document does not state what is asked for."""
    return Answer(Status.LEFT, fact, to_add)


def nothing(to_add: str) -> Callable[[ComplianceDocument], Answer]:
    """Return the answer of every document to what no run of this software can know."""
    return lambda _: left("This report has no fact for it.", to_add)


def needing(
    answer: Callable[[ComplianceDocument], Answer], more: str
) -> Callable[[ComplianceDocument], Answer]:
    """Return `answer` where the question asks for `more` than any document states.

    It is never answered in full.
    """

    def asked(document: ComplianceDocument) -> Answer:
        given = answer(document)
        if given.status is Status.ANSWERED:
            return partly(given.fact, more)
        return replace(given, to_add=f"{given.to_add} {more}")

    return asked


def joined(
    *answers: Callable[[ComplianceDocument], Answer],
) -> Callable[[ComplianceDocument], Answer]:
    """Return several answers as one: answered if all are, left if all are, and else partly."""

    def asked(document: ComplianceDocument) -> Answer:
        given = [answer(document) for answer in answers]
        statuses = {entry.status for entry in given}
        return Answer(
            status=statuses.pop() if len(statuses) == 1 else Status.PARTLY,
            fact=" ".join(entry.fact for entry in given),
            to_add=" ".join(dict.fromkeys(entry.to_add for entry in given if entry.to_add)),
        )

    return asked
