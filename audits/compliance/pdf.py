"""Writes the compliance report as a PDF: the parts of the page, in the same order.

Equal documents give equal bytes: the creation date is the audit's end, and nothing is random. The
PDF has a language, a title and bookmarks, but no tags: who reads with a screen reader takes the
page. Characters that its fonts lack stand as code points (`pdf_sheet`).
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from audits.compliance import words
from audits.compliance.blocks import (
    Bullets,
    Command,
    Definitions,
    Figure,
    Heading,
    Paragraph,
    Table,
)
from audits.compliance.content import report_of
from audits.compliance.drawing import Ink
from audits.compliance.pdf_pictures import picture_height, write_picture
from audits.compliance.pdf_sheet import (
    BODY,
    BOTTOM,
    COMMAND,
    LEFT,
    NOTE,
    RIGHT,
    STRONG,
    TOP,
    WIDTH,
    Font,
    Sheet,
)
from audits.compliance.pdf_tables import badge, badge_height, write_table
from audits.compliance.styles import VERDICT_INKS

if TYPE_CHECKING:
    from audits.compliance.blocks import Block, Report, Section, Tally, VerdictBox
    from audits.compliance.document import ComplianceDocument

_TITLE = Font(17.0, bold=True)
_KIND = Font(8.4, Ink.ACCENT, bold=True)
_SECTION = Font(12.0, bold=True)
_FRONT = Font(9.4, bold=True)
_HEADING = Font(9.2, bold=True)
_WHOLE = Font(15.0)
_COUNT = Font(14.0, bold=True)
_SMALL = Font(6.6)
_INSET = 5.0


def render_pdf(document: ComplianceDocument) -> bytes:
    """Return the compliance report as a PDF of A4 pages.

    Raises:
        ConfigError: the fonts, which come with matplotlib, are not installed.
    """
    report, audit = report_of(document), document.audit
    begun = Sheet(
        title=f"{report.kind}: {report.title}",
        subject=f"Run {audit.run_id}",
        author=document.facts.federation.consortium,
        made=audit.ended,
    )
    with closing(begun) as sheet:
        _front(sheet, report)
        sheet.new_page()
        for section in report.sections:
            _section(sheet, section)
        sheet.y += 4.0
        sheet.lines(report.footer, NOTE)
        return sheet.finish(
            above=f"{report.title}: compliance report",
            verdict=words.label(audit.verdict),
            below=f"Run {audit.run_id}, document {document.sha256()[:16]}",
        )


def _front(sheet: Sheet, report: Report) -> None:
    sheet.y = TOP - 5.0
    sheet.bookmark("Page one", 0)
    sheet.lines(report.kind, _KIND)
    sheet.lines(report.title, _TITLE)
    sheet.lines(report.subject, Font(BODY.size, Ink.SOFT))
    sheet.y += 2.5
    if report.warning:
        top = sheet.y
        sheet.y += 1.6
        text = f"{report.warning}. The audited run was made without differential privacy: no "
        sheet.lines(f"{text}bound holds.", STRONG, left=LEFT + _INSET, width=WIDTH - 2 * _INSET)
        sheet.y += 1.6
        sheet.frame(top, Ink.INK, 0.7)
        sheet.y += 2.5
    sheet.bookmark("Verdict of the audit", 1)
    _verdict_box(sheet, report.box)
    for section in report.front:
        sheet.y += 3.0
        sheet.need(20.0)
        sheet.bookmark(section.title, 1)
        sheet.lines(section.title, _FRONT)
        sheet.y += 0.8
        for block in section.blocks:
            _block(sheet, block)


def _verdict_box(sheet: Sheet, box: VerdictBox) -> None:
    """Write the audit's result in a frame; where it takes more than a page, without the frame."""
    top, page = sheet.y, sheet.pdf.page
    left, width = LEFT + _INSET, WIDTH - 2 * _INSET
    sheet.y += 3.2
    sheet.lines("Verdict of the audit", _KIND, left=left, width=width)
    sheet.y += 0.8
    badge(sheet, left, sheet.y, box.verdict, _WHOLE)
    sheet.y += badge_height(_WHOLE) + 0.6
    sheet.lines(box.sentence, Font(9.0), left=left, width=width)
    sheet.y += 2.0
    _tallies(sheet, box.tallies, left, width)
    for tally in box.tallies:
        if tally.gates:
            listed = f"{words.label(tally.verdict)}: {', '.join(tally.gates)}."
            sheet.lines(listed, STRONG, left=left, width=width)
    sheet.y += 1.4
    sheet.need(STRONG.height * 3)
    lead = f"Headline gate, named in advance: {box.headline}."
    sheet.lines(lead, STRONG, left=left, width=width)
    badge(sheet, left, sheet.y + 0.4, box.headline_verdict, Font(7.0))
    sheet.y += badge_height(Font(7.0)) + 0.6
    sheet.lines(box.headline_text, BODY, left=left, width=width)
    sheet.y += 3.0
    if sheet.pdf.page == page:
        sheet.frame(top, VERDICT_INKS[box.verdict] or Ink.INK, 0.9)


def _tallies(sheet: Sheet, tallies: tuple[Tally, ...], left: float, width: float) -> None:
    """Write the four counts side by side, each under a bar of its verdict."""
    gap = 3.0
    each = (width - gap * (len(tallies) - 1)) / len(tallies)
    top = sheet.y
    texts = [sheet.wrap(tally.meaning, each - 3.0, _SMALL) for tally in tallies]
    height = 14.2 + max(len(text) for text in texts) * _SMALL.height + 1.2
    for number, (tally, text) in enumerate(zip(tallies, texts, strict=True)):
        x = left + number * (each + gap)
        _tally(sheet, tally, x, top)
        corners = ((x, top), (x + each, top), (x + each, top + height), (x, top + height))
        sheet.stroke((*corners, corners[0]), Ink.LINE, 0.25)
        bar = VERDICT_INKS[tally.verdict] if tally.count else None
        sheet.box(x, top, each, 1.3, (bar or Ink.LINE).value)
        for place, line in enumerate(text):
            sheet.put(x + 1.6, top + 14.2 + place * _SMALL.height, line, _SMALL)
    sheet.y = top + height + 2.4


def _tally(sheet: Sheet, tally: Tally, x: float, top: float) -> None:
    if tally.count:
        sheet.put(x + 1.6, top + 1.6, str(tally.count), _COUNT)
        badge(sheet, x + 1.6, top + 9.2, tally.verdict, _SMALL)
        return
    # What was not found has no colour: a filled badge would look as if it had been.
    sheet.put(x + 1.6, top + 1.6, "0", Font(_COUNT.size, Ink.SOFT))
    sheet.put(x + 1.6, top + 9.4, words.label(tally.verdict), Font(6.6, Ink.SOFT, bold=True))


def _section(sheet: Sheet, section: Section) -> None:
    first = section.blocks[0] if section.blocks else None
    below = picture_height(sheet, first.picture) if isinstance(first, Figure) else 0.0
    sheet.need(max(45.0, _SECTION.height + 9.0 + below))
    if sheet.y > TOP:
        sheet.y += 5.0
    sheet.rule(Ink.INK, 0.5)
    sheet.y += 2.4
    sheet.bookmark(section.title, 0)
    sheet.lines(section.title, _SECTION)
    sheet.y += 1.6
    for block in section.blocks:
        _block(sheet, block)


def _block(sheet: Sheet, block: Block) -> None:
    match block:
        case Paragraph():
            _paragraph(sheet, block)
        case Bullets():
            for item in block.items:
                _bullet(sheet, item)
            sheet.y += 1.6
        case Definitions():
            for term, meaning in block.pairs:
                sheet.need(STRONG.height + 2 * BODY.height)
                sheet.lines(term, STRONG)
                sheet.lines(meaning, BODY)
                sheet.y += 1.8
        case Table():
            write_table(sheet, block)
        case Command():
            _command(sheet, block)
        case Heading():
            _heading(sheet, block)
        case Figure():
            write_picture(sheet, block.picture)


def _paragraph(sheet: Sheet, block: Paragraph) -> None:
    if block.lead:
        sheet.need(STRONG.height + 2 * BODY.height)
        sheet.lines(block.lead, STRONG)
    sheet.lines(block.text, NOTE if block.note else BODY)
    sheet.y += 2.0


def _bullet(sheet: Sheet, item: str) -> None:
    sheet.need(BODY.height)
    sheet.put(LEFT + 1.0, sheet.y, "\u2022", BODY)
    sheet.lines(item, BODY, left=LEFT + 4.5, width=WIDTH - 4.5)
    sheet.y += 0.6


def _command(sheet: Sheet, block: Command) -> None:
    height = COMMAND.height + 4.0
    sheet.need(height)
    sheet.box(LEFT, sheet.y, RIGHT - LEFT, height, Ink.TINT.value)
    sheet.put(LEFT + 3.0, sheet.y + 2.0, block.text, COMMAND)
    sheet.y += height + 2.4


def _heading(sheet: Sheet, block: Heading) -> None:
    """Write a heading that is not left alone at the end of a page."""
    sheet.y += 2.0
    below = 34.0 if block.verdict is None else 64.0
    if sheet.y + below > BOTTOM:
        sheet.new_page()
    sheet.bookmark(block.text, 1)
    x = LEFT
    if block.verdict is not None:
        x += badge(sheet, LEFT, sheet.y, block.verdict, Font(7.0)) + 2.5
    sheet.lines(block.text, _HEADING, left=x, width=RIGHT - x)
    sheet.y += 1.0
