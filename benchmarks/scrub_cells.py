"""The rows that the comparison of scrubbing prints."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.cells import Cell


@dataclass(frozen=True)
class ScrubCell(Cell):
    """One row; which fields it has depends on what it tells.

    Attributes:
        corpus: what was read.
        engine: what read it, in a row about all entities.
        n: labelled entities; documents in a row about all of them; notes per round for speed.
        stock: recall of stock Presidio: the share of the entities of which nothing is left.
        stock_low: of its 95 % interval.
        stock_high: of it.
        stock_typed: share of the entities that are found under their type too.
        ours: the same four of this project's scrubber.
        ours_low: of its interval.
        ours_high: of it.
        ours_typed: under their type too.
        leaked: share of the entities' letters and digits that is left.
        leaked_identifiers: the same without types that are no identifiers.
        clean: share of the documents with entities in which none leaks.
        clean_of_identifiers: share of those with identifiers in which none leaks.
        false_per_1000: findings that overlap no entity, per 1000 tokens.
        precision: share of the findings that overlap an entity.
        processes: how many read at once.
        stock_per_second: documents.
        ours_per_second: documents.
        ratio: ours over stock, median over pairs.
        min: of the pairs.
        max: of the pairs.
        pairs: how many.
        error: why there is no number.
    """

    corpus: str
    engine: str | None = None
    n: int | None = None
    stock: float | None = None
    stock_low: float | None = None
    stock_high: float | None = None
    stock_typed: float | None = None
    ours: float | None = None
    ours_low: float | None = None
    ours_high: float | None = None
    ours_typed: float | None = None
    leaked: float | None = None
    leaked_identifiers: float | None = None
    clean: float | None = None
    clean_of_identifiers: float | None = None
    false_per_1000: float | None = None
    precision: float | None = None
    processes: int | None = None
    stock_per_second: float | None = None
    ours_per_second: float | None = None
    ratio: float | None = None
    min: float | None = None
    max: float | None = None
    pairs: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class Tables:
    """The rows of a run, by what they tell."""

    overall: tuple[ScrubCell, ...] = ()
    by_entity: tuple[ScrubCell, ...] = ()
    speed: tuple[ScrubCell, ...] = ()

    @property
    def all(self) -> tuple[ScrubCell, ...]:
        """Every row."""
        return self.overall + self.by_entity + self.speed
