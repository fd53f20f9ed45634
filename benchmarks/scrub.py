"""How much of what identifies people scrubbing finds, and how fast, beside stock Presidio.

Quality, by corpus, engine and entity: recall is the share of labelled entities of which no letter
or digit is left, with its 95 % Clopper-Pearson interval; typed recall asks for the right type too.
Over all entities: the share of their letters and digits that is left, of documents in which
nothing is left, false findings per 1000 tokens (`privacy.scrubbing.measuring` defines each).

A document is "clean of identifiers" where nothing is left but titles, organisations, nationalities,
ages up to 89 and bare years: none of them is listed in 45 CFR 164.514(b)(2)(i), but for the name of
the person's employer, which labels do not tell from other organisations. "Clean" counts them all.

Corpora: one part of presidio-research's synthetic data set, by template, where `--data` names its
folder; generated clinical and banking notes with templates and locales that no training note has.

Speed: documents of about 1 kB per second, engines taking turns in one run.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.cells import write_cells
from benchmarks.scrub_cells import ScrubCell, Tables
from benchmarks.scrub_corpora import (
    PARTS,
    PRESIDIO,
    held_out_notes,
    notes_of_about,
    presidio_documents,
)
from benchmarks.scrub_engines import TYPES, Ours, StockPresidio, no_network
from benchmarks.scrub_markdown import markdown
from benchmarks.scrub_speed import PROCESSES, Pool, contests, in_one_process, in_two_processes
from crypto.errors import ConfigError, SecureFLError
from domains.notes import NoteKind
from privacy.scrubbing.measuring import NO_IDENTIFIERS, Quality, measure
from secure_fl.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks.scrub_corpora import Document
    from benchmarks.scrub_engines import Finder
    from benchmarks.scrub_speed import Contest, Rates
    from privacy.scrubbing.measuring import TypeQuality

_DOCUMENTS: Final = 600
_SPEED_NOTES: Final = 200
_CHARACTERS: Final = 1000
_PAIRS: Final = 5
_MEASURES: Final = ("quality", "speed")


def corpora(data: Path | None, part: str, count: int) -> Mapping[str, Sequence[Document]]:
    """Return the documents of each corpus by its name; the published one only with `data`.

    Raises:
        ConfigError: the published one cannot be read.
    """
    published = {} if data is None else {f"{PRESIDIO}, {part}": presidio_documents(data, part)}
    return published | {f"{kind.value} notes": held_out_notes(kind, count) for kind in NoteKind}


def measure_quality(
    documents: Mapping[str, Sequence[Document]], note: Callable[[str], None]
) -> tuple[tuple[ScrubCell, ...], tuple[ScrubCell, ...]]:
    """Return the rows over all entities and those by entity, for both engines on every corpus."""
    overall: list[ScrubCell] = []
    by_entity: list[ScrubCell] = []
    stock, ours = StockPresidio(), Ours()
    for corpus, texts in documents.items():
        theirs = quality_of(stock, texts)
        note(f"{corpus}: stock Presidio has read {theirs.documents} documents")
        own = quality_of(ours, texts)
        note(f"{corpus}: ours has read them too")
        overall += (
            _overall_cell(corpus, stock.name, theirs),
            _overall_cell(corpus, ours.name, own),
        )
        by_entity += (_entity_cell(corpus, theirs.of(row.entity), row) for row in own.types)
    return tuple(overall), tuple(by_entity)


def quality_of(engine: Finder, documents: Sequence[Document]) -> Quality:
    """Return the sum of what `engine` finds and misses in the documents, without a network."""
    total = Quality()
    with no_network():
        for document in documents:
            found = engine.find(document.text)
            total += measure(document.text, document.labels, found, TYPES)
    return total


def _overall_cell(corpus: str, engine: str, quality: Quality) -> ScrubCell:
    return ScrubCell(
        name="all",
        corpus=corpus,
        engine=engine,
        n=quality.documents,
        leaked=_known(quality.leaked_share),
        leaked_identifiers=_known(quality.leaked_identifier_share),
        clean=_known(quality.clean_share),
        clean_of_identifiers=_known(quality.clean_of_identifiers_share),
        false_per_1000=_known(quality.false_per_1000_tokens),
        precision=_known(quality.precision),
    )


def _entity_cell(corpus: str, stock: TypeQuality, ours: TypeQuality) -> ScrubCell:
    stock_low, stock_high = stock.recall_interval()
    ours_low, ours_high = ours.recall_interval()
    return ScrubCell(
        name=_titled(ours),
        corpus=corpus,
        n=ours.labelled,
        stock=stock.recall,
        stock_low=stock_low,
        stock_high=stock_high,
        stock_typed=stock.typed_recall,
        ours=ours.recall,
        ours_low=ours_low,
        ours_high=ours_high,
        ours_typed=ours.typed_recall,
    )


def _titled(row: TypeQuality) -> str:
    return f"({row.entity})" if row.entity in NO_IDENTIFIERS else row.entity


def _known(share: float) -> float | None:
    """Return `share`, or None where there was nothing to take a share of."""
    return None if math.isnan(share) else share


def measure_speed(
    notes: Sequence[str], pairs: int, note: Callable[[str], None]
) -> tuple[ScrubCell, ...]:
    """Return the rows about speed: each contest in one process and in two.

    Raises:
        ConfigError: there is nothing to measure.
    """
    if pairs < 1 or not notes:
        raise ConfigError(f"{pairs} pairs of {len(notes)} notes measure nothing: give 1 or more.")
    cells = []
    with Pool() as pool:
        for contest in contests():
            alone = in_one_process(contest, notes, pairs)
            together = in_two_processes(contest, notes, pairs, pool)
            for processes, rates in ((1, alone), (PROCESSES, together)):
                cells.append(_speed_cell(contest, processes, len(notes), rates))
                note(f"{contest.name}, {processes} at once: {cells[-1].ratio:.2f}")
    return tuple(cells)


def _speed_cell(
    contest: Contest, processes: int, documents: int, rates: Sequence[Rates]
) -> ScrubCell:
    ratios = [pair.ratio for pair in rates]
    return ScrubCell(
        name=contest.name,
        corpus="clinical notes",
        n=documents,
        processes=processes,
        stock_per_second=median(pair.stock for pair in rates),
        ours_per_second=median(pair.ours for pair in rates),
        ratio=median(ratios),
        min=min(ratios),
        max=max(ratios),
        pairs=len(ratios),
    )


_NO_DATA: Final = ScrubCell(
    name="all",
    corpus=PRESIDIO,
    error=(
        "not measured: the published data set is not part of this project; name its folder with "
        "--data DIR"
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scrub", description="Quality and speed of scrubbing."
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print one JSON object")
    form.add_argument("--markdown", action="store_true", help="print tables for a document")
    parser.add_argument("--data", type=Path, help="the folder of presidio-research's data set")
    parser.add_argument("--part", choices=PARTS, default="test", help="which part of it")
    parser.add_argument("--docs", type=int, default=_DOCUMENTS, help="generated notes of each kind")
    parser.add_argument("--speed-notes", type=int, default=_SPEED_NOTES, help="notes per round")
    parser.add_argument("--pairs", type=int, default=_PAIRS, help="measured pairs of rounds")
    parser.add_argument("--measure", nargs="+", choices=_MEASURES, default=list(_MEASURES))
    options = parser.parse_args(arguments)
    try:
        tables = _measured(options)
    except SecureFLError as error:
        failure = Failure.of(error)
        failure.tell(sys.stderr, as_json=options.json)
        return int(failure.code)
    _print(tables, options)
    return 0


def _print(tables: Tables, options: argparse.Namespace) -> None:
    if options.json:
        write_cells("", tables.all, as_json=True)
        return
    if options.markdown:
        print("\n".join(markdown(tables)))
        return
    for title, cells in (
        ("Scrubbing, all entities", tables.overall),
        ("Scrubbing, by entity; in brackets what is no identifier", tables.by_entity),
        ("Scrubbing, documents per second", tables.speed),
    ):
        if cells:
            write_cells(title, cells, as_json=False)


def _measured(options: argparse.Namespace) -> Tables:
    overall: tuple[ScrubCell, ...] = ()
    by_entity: tuple[ScrubCell, ...] = ()
    speed: tuple[ScrubCell, ...] = ()
    if "quality" in options.measure:
        documents = corpora(options.data, options.part, options.docs)
        overall, by_entity = measure_quality(documents, _note)
        if options.data is None:
            # `make bench` runs every benchmark, also where the published files are not.
            overall = (_NO_DATA, *overall)
    if "speed" in options.measure:
        notes = notes_of_about(_CHARACTERS, options.speed_notes)
        speed = measure_speed(notes, options.pairs, _note)
    return Tables(overall, by_entity, speed)


def _note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
