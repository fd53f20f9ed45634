from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING

import compliance_samples as samples
import pytest
import report_samples
from pdf_reading import pages_of

from audits.compliance import pdf_sheet, pdf_tables, words
from audits.compliance.blocks import Bullets, Definitions, Figure, Paragraph, Table
from audits.compliance.content import report_of
from audits.compliance.document import ComplianceDocument
from audits.compliance.pdf import render_pdf
from audits.compliance.pdf_sheet import BODY, BOTTOM, TOP, Sheet
from crypto.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from audits.compliance.blocks import Block, Report


@pytest.fixture(scope="module")
def pdf() -> bytes:
    return render_pdf(samples.document())


def squeezed(text: str) -> str:
    """Text without its spaces: lines and digests are broken where they fit."""
    return re.sub(r"\s", "", text)


def text_of(pdf: bytes) -> str:
    return squeezed("".join(pages_of(pdf)))


def sentences_of(block: Block) -> list[str]:
    match block:
        case Paragraph():
            said = [block.lead, block.text]
        case Bullets():
            said = list(block.items)
        case Definitions():
            said = [word for pair in block.pairs for word in pair]
        case Table():
            said = [block.caption]
        case Figure():
            said = [block.picture.title, *block.picture.legend, block.picture.caption]
        case _:
            said = [block.text]
    return said


def in_order(report: Report) -> list[str]:
    """What both outputs say, in the order in which both say it."""
    said = [report.kind, report.title, report.box.sentence, report.box.headline_text]
    for section in (*report.front, *report.sections):
        said.append(section.title)
        for block in section.blocks:
            said += sentences_of(block)
    return [*said, report.footer]


def test_equal_documents_give_equal_bytes(pdf: bytes) -> None:
    assert render_pdf(ComplianceDocument.from_json(samples.document().to_json())) == pdf


def test_the_bytes_hold_the_end_of_the_audit_and_no_other_time(pdf: bytes) -> None:
    document = samples.document()
    assert re.findall(rb"D:(\d{14})Z", pdf) == [f"{document.audit.ended:%Y%m%d%H%M%S}".encode()]
    later = document.audit.model_copy(update={"ended": document.audit.ended + timedelta(seconds=1)})
    assert render_pdf(document.model_copy(update={"audit": later})) != pdf


@pytest.mark.parametrize("private", [True, False])
def test_the_pdf_says_what_the_page_says_in_the_same_order(*, private: bool) -> None:
    facts = report_samples.report(private=private, notes=("69 texts were dropped.",))
    document = samples.document(facts=facts)
    pages = pages_of(render_pdf(document))
    text = squeezed("".join(strip_margins(page) for page in pages))
    at = 0
    for sentence in in_order(report_of(document)):
        found = text.find(squeezed(sentence), at)
        assert found >= 0, sentence
        at = found + len(squeezed(sentence))


@pytest.mark.parametrize("lines", [0, 42, 49])
def test_no_heading_is_left_behind_by_its_picture(lines: int) -> None:
    """However long what stands above it is."""
    document = samples.document()
    longer = f"{document.audit.findings[0].reason} {'Nothing more is known of it. ' * 4 * lines}"
    first = document.audit.findings[0].model_copy(update={"reason": longer})
    audit = document.audit.model_copy(update={"findings": (first, *document.audit.findings[1:])})
    document = document.model_copy(update={"audit": audit})
    pages = [squeezed(page) for page in pages_of(render_pdf(document))]
    for section in report_of(document).sections:
        if section.blocks and isinstance(section.blocks[0], Figure):
            both = squeezed(section.title) + squeezed(section.blocks[0].picture.title)
            assert any(both in page for page in pages), section.title


def strip_margins(page: str) -> str:
    """A page without head and foot, which are written last: four lines, on the first page two."""
    lines = page.split("\n")
    last = 4 if "compliance report" in lines[-4] else 2
    return "\n".join(lines[:-last])


def test_every_cell_of_every_table_is_there(pdf: bytes) -> None:
    text = text_of(pdf)
    report = report_of(samples.document())
    for section in (*report.front, *report.sections):
        for block in section.blocks:
            if not isinstance(block, Table):
                continue
            for row in block.rows:
                for cell in row.cells:
                    assert all(squeezed(line) in text for line in cell.shown)
                    if cell.verdict is not None:
                        assert squeezed(words.label(cell.verdict)) in text


def test_every_finding_stands_in_the_pdf_with_its_verdict_and_basis(pdf: bytes) -> None:
    text = text_of(pdf)
    for found in samples.document().audit.findings:
        badge = f"{words.sign(found.verdict)}{words.label(found.verdict)}{found.gate}"
        assert squeezed(badge) in text
        assert squeezed(found.reason) in text
        assert squeezed(f"Evidence: {found.basis.value}") in text
        assert squeezed(words.basis_sentence(found.basis)) in text


def test_pages_are_numbered_and_carry_the_verdict(pdf: bytes) -> None:
    pages = pages_of(pdf)
    assert len(pages) > 5
    for number, page in enumerate(pages, start=1):
        assert page.endswith(f"page {number} of {len(pages)}")
        assert ("finance-demo: compliance report\nVIOLATED" in page) is (number > 1)


def test_the_pdf_has_a_language_a_title_and_bookmarks(pdf: bytes) -> None:
    assert b"/Lang (en)" in pdf
    assert b"/Title (Compliance report: audit of a joint training run: finance-demo)" in pdf
    outline = re.findall(rb"/Title \(([^)]*)\)", pdf)
    for name in (b"Verdict of the audit", b"Results", b"noise-scale", b"Plots", b"Limits"):
        assert name in outline


# Names that the fonts cannot show, and names that are too long.


def test_letters_of_other_scripts_are_kept_or_shown_and_markup_is_text() -> None:
    names = {
        "bank-aare": "Zürich Łódź Ελλάς Киев \u4e2d \u05d0 {nb} \U0001f600",
        "bank-rhine": "**bold** <b>x</b> (a) \\\\ --u--",
    }
    data = samples.document().to_json().decode()
    for name, instead in names.items():
        data = data.replace(name, instead)
    text = text_of(render_pdf(ComplianceDocument.from_json(data.encode())))
    assert squeezed("Zürich Łódź Ελλάς Киев [U+4E2D] [U+05D0] {nb} [U+1F600]") in text
    assert squeezed("**bold** <b>x</b> (a) \\ --u--") in text


@pytest.fixture
def sheet() -> Iterator[Sheet]:
    made = samples.document().audit.ended
    with closing(Sheet(title="t", subject="s", author="a", made=made)) as begun:
        yield begun


def test_what_stands_in_the_text_is_never_what_an_escape_hides(sheet: Sheet) -> None:
    assert sheet.shown("plain ASCII") == "plain ASCII"
    assert sheet.shown("é\u200d") == "é[U+200D]"
    for font in sheet.pdf.fonts.values():
        assert sheet._shown <= set(font.cmap)


def test_a_word_longer_than_a_line_is_cut_and_kept(sheet: Sheet) -> None:
    word = "a-" + "b" * 400
    lines = sheet.wrap(f"x {word} y", 40.0, BODY)
    assert "".join(lines).replace(" ", "") == f"x{word}y"
    assert all(sheet.width(line, BODY) <= 40.0 for line in lines)


def test_a_row_longer_than_a_page_goes_on_with_its_heads_repeated() -> None:
    long = " ".join(f"w{number}" for number in range(420))
    found = samples.noise_scale().model_copy(update={"claim": long})
    pages = pages_of(render_pdf(samples.document(found)))
    assert squeezed(long) in squeezed("".join(strip_margins(page) for page in pages)).replace(
        "GateClaimVerdictStatisticCeiling", ""
    )
    heads = [page for page in pages if "\nCeiling" in page and "\nStatistic" in page]
    assert len(heads) > 1


def test_nothing_is_written_below_the_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Sheet.put
    lowest: list[float] = []

    def watched(self: Sheet, x: float, y: float, *rest: object) -> None:
        lowest.append(y)
        put(self, x, y, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Sheet, "put", watched)
    many = [samples.noise_scale().model_copy(update={"gate": f"gate-{n}"}) for n in range(30)]
    render_pdf(samples.document(*many))
    body = [y for y in lowest if y not in {10.5, 284.0}]
    assert max(body) <= BOTTOM
    assert min(body) >= TOP - 5.0


def test_splitting_a_row_loses_no_line(sheet: Sheet) -> None:
    cells = [[pdf_tables._Piece(str(n), BODY) for n in range(count)] for count in (3, 9, 0)]
    parts, rests = pdf_tables._split(cells, 4.2 * BODY.height)
    assert [len(part) for part in parts] == [3, 4, 0]
    assert [a + b for a, b in zip(parts, rests, strict=True)] == cells
    assert sheet.pdf.page == 1


def test_without_its_fonts_the_pdf_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pdf_sheet, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="DejaVuSans"):
        render_pdf(samples.document())
