"""What the report is made of: sections of blocks, without a word about how they look.

The page and the PDF write the same blocks in the same order, so that neither says more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from audits import numerals

if TYPE_CHECKING:
    from audits.compliance.drawing import Picture
    from audits.findings import Verdict


@dataclass(frozen=True)
class Cell:
    """What stands in one place of a table: a verdict if there is one, then lines of text."""

    lines: tuple[str, ...] = ()
    verdict: Verdict | None = None
    digest: bool = False
    """The first line is hexadecimal, to be read aloud in groups."""

    @property
    def shown(self) -> tuple[str, ...]:
        """The lines as they are read, a digest in groups of eight."""
        if not self.digest:
            return self.lines
        return (" ".join(numerals.groups(self.lines[0])), *self.lines[1:])


@dataclass(frozen=True)
class Row:
    """A row, whose first cell names it; `verdict` marks the whole row."""

    cells: tuple[Cell, ...]
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Column:
    """A column's head, its share of the width, and whether it holds numbers."""

    title: str
    width: float
    number: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under heads; without `heads` each row is a name and what belongs to it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    heads: bool = True
    signing: bool = False
    """Its rows are empty and tall, for a pen."""
    kind: Literal["table"] = "table"

    @property
    def marked(self) -> bool:
        """Whether its rows are marked by a verdict."""
        return any(row.verdict is not None for row in self.rows)


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, after `lead` in bold."""

    text: str
    lead: str = ""
    note: bool = False
    kind: Literal["paragraph"] = "paragraph"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: tuple[str, ...]
    kind: Literal["bullets"] = "bullets"


@dataclass(frozen=True)
class Definitions:
    """Terms, each with what it means."""

    pairs: tuple[tuple[str, str], ...]
    kind: Literal["definitions"] = "definitions"


@dataclass(frozen=True)
class Command:
    """A command line, as it is typed."""

    text: str
    kind: Literal["command"] = "command"


@dataclass(frozen=True)
class Heading:
    """A heading below a section's; `verdict` stands beside it."""

    text: str
    slug: str
    verdict: Verdict | None = None
    kind: Literal["heading"] = "heading"


@dataclass(frozen=True)
class Figure:
    """A plot."""

    picture: Picture
    kind: Literal["figure"] = "figure"


Block = Paragraph | Bullets | Definitions | Table | Command | Heading | Figure


@dataclass(frozen=True)
class Section:
    """A section under a heading of the second level."""

    slug: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Tally:
    """How many gates ended with one verdict, what that means, and which gates they are."""

    verdict: Verdict
    count: int
    meaning: str
    gates: tuple[str, ...]


@dataclass(frozen=True)
class VerdictBox:
    """The audit's result on page one."""

    verdict: Verdict
    sentence: str
    tallies: tuple[Tally, ...]
    headline: str
    headline_verdict: Verdict
    headline_text: str


@dataclass(frozen=True)
class Report:
    """The whole report: the front page, then its sections."""

    kind: str
    title: str
    subject: str
    warning: str
    """What must be read first of all, such as that nothing is guaranteed; may be empty."""
    box: VerdictBox
    front: tuple[Section, ...]
    sections: tuple[Section, ...]
    footer: str


def text(*lines: str) -> Cell:
    """Return a cell of lines."""
    return Cell(lines)


def digest(hexadecimal: str) -> Cell:
    """Return a cell of one digest."""
    return Cell((hexadecimal,), digest=True)


def pairs(caption: str, rows: tuple[tuple[str, Cell | str], ...], *, name: float = 0.28) -> Table:
    """Return a table without heads: names, and what belongs to each."""
    return Table(
        caption,
        (Column("", name), Column("", 1.0 - name)),
        tuple(
            Row((text(term), cell if isinstance(cell, Cell) else text(cell))) for term, cell in rows
        ),
        heads=False,
    )


def table(caption: str, columns: tuple[Column, ...], rows: tuple[tuple[str, ...], ...]) -> Table:
    """Return a table of plain text."""
    return Table(caption, columns, tuple(Row(tuple(text(cell) for cell in row)) for row in rows))
