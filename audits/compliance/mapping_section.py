"""The section that says which question of which instrument this report has a fact for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audits.compliance.blocks import (
    Bullets,
    Cell,
    Column,
    Definitions,
    Heading,
    Paragraph,
    Row,
    Section,
    Table,
    text,
)
from audits.mappings.instrument import Status
from audits.mappings.instruments import INSTRUMENTS

if TYPE_CHECKING:
    from audits.compliance.blocks import Block
    from audits.compliance.document import ComplianceDocument
    from audits.mappings.instrument import Instrument, Question

TITLE = "What this report gives to which instrument"
NOT_COMPARED = "The wording was not checked against the source."
COMPARED = "The questions were compared with the text."
_MEANINGS = {
    Status.ANSWERED: "the report states the fact that is asked for; not that it is good enough",
    Status.PARTLY: "it states a part; what has to be added is named",
    Status.LEFT: "it has nothing that answers the question",
}


def mapping_section(document: ComplianceDocument) -> Section:
    """Return, for each instrument, its questions and what this document answers to each."""
    blocks: list[Block] = [
        Paragraph(
            "This section claims no conformity with anything. It lists what some laws, guidelines "
            "and opinions ask for, in this project's own words, and says for each question which "
            "fact of this report belongs to it. Whether an instrument applies, and whether the "
            "facts are enough, is for the organisation and its counsel to decide.",
            lead="NO LEGAL OPINION.",
        ),
        Definitions(tuple((status.value, _MEANINGS[status]) for status in Status)),
    ]
    for instrument in INSTRUMENTS:
        blocks += _instrument(instrument, document)
    return Section("mappings", TITLE, tuple(blocks))


def _instrument(instrument: Instrument, document: ComplianceDocument) -> list[Block]:
    dated = f"{instrument.dated:%Y-%m-%d}"
    wording = instrument.wording
    return [
        Heading(instrument.name, f"mapping-{instrument.slug}"),
        Paragraph(f"{instrument.publisher}. Version: {instrument.version}; dated {dated}."),
        Paragraph(f"{COMPARED if wording.compared else NOT_COMPARED} {wording.how}", note=True)
        if wording.compared
        else Paragraph(wording.how, lead=NOT_COMPARED),
        Bullets(instrument.notes),
        Table(
            f"{instrument.name}: {len(instrument.questions)} questions",
            (
                Column("What is asked", 0.27),
                Column("What this report states", 0.41),
                Column("Answered, and what to add", 0.32),
            ),
            tuple(_row(question, document) for question in instrument.questions),
        ),
    ]


def _row(question: Question, document: ComplianceDocument) -> Row:
    answer = question.answer(document)
    stated = [answer.fact]
    if question.place is not None and answer.status is not Status.LEFT:
        stated.append(f"See: {question.place.value}")
    status = [answer.status.value]
    if answer.to_add:
        status.append(answer.to_add)
    return Row((text(question.asks, question.clause), Cell(tuple(stated)), Cell(tuple(status))))
