"""The rows of the comparison as tables for a document, which is where its figures come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.scrub_cells import ScrubCell, Tables

_OVERALL: Final = (
    ("letters and digits left", "leaked"),
    ("of identifiers", "leaked_identifiers"),
    ("documents clean", "clean"),
    ("of identifiers", "clean_of_identifiers"),
    ("false per 1000 tokens", "false_per_1000"),
    ("precision", "precision"),
)


def markdown(tables: Tables) -> Iterator[str]:
    """Yield the lines of all tables that hold a row.

    By entity, one column per corpus: our recall, its interval, stock Presidio's recall, and of how
    many entities.
    """
    if tables.overall:
        yield from _overall(tables.overall)
        yield ""
    if tables.by_entity:
        yield from _by_entity(tables.by_entity)
        yield ""
    if tables.speed:
        yield from _speed(tables.speed)


def _overall(cells: Sequence[ScrubCell]) -> Iterator[str]:
    yield from _head(("corpus", "engine", "n", *(title for title, _ in _OVERALL)))
    for cell in cells:
        numbers = (_number(getattr(cell, field)) for _, field in _OVERALL)
        count = "-" if cell.n is None else str(cell.n)
        yield _row((cell.corpus, cell.engine or "-", count, *numbers))


def _by_entity(cells: Sequence[ScrubCell]) -> Iterator[str]:
    corpora = tuple(dict.fromkeys(cell.corpus for cell in cells))
    rows = {(cell.name, cell.corpus): cell for cell in cells}
    yield from _head(("entity", *corpora))
    for name in sorted({cell.name for cell in cells}, key=lambda name: name.strip("()")):
        yield _row((name, *(_recall(rows.get((name, corpus))) for corpus in corpora)))


def _recall(cell: ScrubCell | None) -> str:
    if cell is None:
        return ""
    interval = f"[{_number(cell.ours_low)}, {_number(cell.ours_high)}]"
    return f"**{_number(cell.ours)}** {interval}, {_number(cell.stock)}; {cell.n}"


def _speed(cells: Sequence[ScrubCell]) -> Iterator[str]:
    yield from _head(("looked for", "processes", "Presidio/s", "ours/s", "ratio", "of pairs"))
    for cell in cells:
        rates = (f"{rate:.0f}" for rate in (cell.stock_per_second, cell.ours_per_second) if rate)
        ratios = f"{cell.min:.1f} to {cell.max:.1f}, {cell.pairs} pairs"
        yield _row((cell.name, str(cell.processes), *rates, f"{cell.ratio:.1f}", ratios))


def _head(titles: Sequence[str]) -> Iterator[str]:
    yield _row(titles)
    yield "|" + "---|" * len(titles)


def _row(columns: Sequence[str]) -> str:
    return "| " + " | ".join(columns) + " |"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
