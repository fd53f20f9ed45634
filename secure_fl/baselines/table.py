"""The results that are kept, and the table of means and spreads over them."""

from __future__ import annotations

import json
from statistics import mean, stdev
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import Field, ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crypto.digests import digest_json
from crypto.errors import ConfigError
from domains.task_kinds import TaskKind
from secure_fl.baselines.names import Row
from secure_fl.baselines.rows import mean_if_all, mean_ranking
from secure_fl.config import explain
from secure_fl.config_sections import Count, CountOrNone, Hex32, Positive, Probability, Section
from secure_fl.runfolder import RankingMetrics
from secure_fl.storage import write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import TextIO

    from secure_fl.config import RunConfig

Fraction = Annotated[float, Field(ge=0, le=1)]
Split = Literal["evaluation", "validation"]
_WIDE: Final = 1000
_SCORES: Final = MappingProxyType(
    {
        TaskKind.CLASSIFICATION: ("accuracy", "macro F1", "weighted F1"),
        # A class would be a place among a record's own options: F1 over places says nothing.
        TaskKind.MULTIPLE_CHOICE: ("accuracy",),
        TaskKind.RANKING: ("HR@10", "NDCG@10", "AUC"),
    }
)


class Result(Section):
    """One row under one seed."""

    row: Row
    seed: CountOrNone
    dataset: Hex32
    """Version of the records that it was measured on."""
    n: Count
    accuracy: Fraction
    macro_f1: Fraction | None
    """None where records bring options of their own; older files have a number there."""
    weighted_f1: Fraction | None
    """Likewise."""
    epsilon: Positive | None
    delta: Probability | None
    batch_size: Count | None
    seconds: Annotated[float, Field(ge=0)]
    """By the clock on the wall, preparation and evaluation included."""
    ranking: Annotated[RankingMetrics | None, Field(exclude_if=lambda found: found is None)] = None
    auc: Annotated[Fraction | None, Field(exclude_if=lambda found: found is None)] = None
    """Area under the ROC curve of two classes; older files have none."""


class Line(Section):
    """One row over its seeds: means, and sample standard deviations where there are two or more."""

    row: Row
    seeds: tuple[CountOrNone, ...] = ()
    n: Count | None = None
    accuracy: float | None = None
    accuracy_sd: float | None = None
    macro_f1: float | None = None
    macro_f1_sd: float | None = None
    weighted_f1: float | None = None
    weighted_f1_sd: float | None = None
    epsilon: float | None = None
    """The largest that one of the runs claims, at `delta`; None without a guarantee."""
    delta: float | None = None
    seconds: float | None = None
    ranking: Annotated[RankingMetrics | None, Field(exclude_if=lambda found: found is None)] = None
    """Means of the seeds, where options are ranked."""
    hit_rate_10_sd: Annotated[float | None, Field(exclude_if=lambda found: found is None)] = None
    auc: Annotated[float | None, Field(exclude_if=lambda found: found is None)] = None
    """Where there are two classes, and every seed has it."""
    auc_sd: Annotated[float | None, Field(exclude_if=lambda found: found is None)] = None
    error: str | None = None
    """Why the row, or a seed of it, was not measured."""

    @classmethod
    def of(cls, row: Row, results: Sequence[Result], error: str | None = None) -> Self:
        """Return the line of `row` over those of `results` that are its own."""
        own = [result for result in results if result.row is row]
        if not own:
            return cls(row=row, error=error)
        accuracy, macro, weighted = (
            [result.accuracy for result in own],
            [result.macro_f1 for result in own],
            [result.weighted_f1 for result in own],
        )
        auc = [result.auc for result in own]
        claimed = [result.epsilon for result in own if result.epsilon is not None]
        return cls(
            row=row,
            seeds=tuple(result.seed for result in own),
            n=own[0].n,
            accuracy=mean(accuracy),
            accuracy_sd=_spread(accuracy),
            macro_f1=mean_if_all(macro),
            macro_f1_sd=_spread(macro),
            weighted_f1=mean_if_all(weighted),
            weighted_f1_sd=_spread(weighted),
            epsilon=max(claimed) if claimed else None,
            delta=own[0].delta,
            seconds=mean(result.seconds for result in own),
            ranking=mean_ranking([result.ranking for result in own]),
            hit_rate_10_sd=_spread([r.ranking.hit_rate_10 for r in own if r.ranking is not None]),
            auc=mean_if_all(auc),
            auc_sd=_spread(auc),
            error=error,
        )


class Baselines(Section):
    """The file: what was measured so far, of one configuration and one split."""

    schema_: Literal["secure-fl.baselines.v1"] = Field(alias="schema")
    name: str
    configuration: Hex32
    """Digest of the mechanism without its seed, and of the split."""
    split: Split
    notes: tuple[str, ...]
    results: tuple[Result, ...]
    table: tuple[Line, ...]
    """Over all of `results`; written for a reader, and made anew from them."""

    @classmethod
    def begin(cls, config: RunConfig, split: Split, notes: tuple[str, ...]) -> Self:
        """Return the file of a configuration before anything was measured."""
        return cls(
            schema="secure-fl.baselines.v1",
            name=config.name,
            configuration=configuration_digest(config, split),
            split=split,
            notes=notes,
            results=(),
            table=(),
        )

    def having(self, result: Result) -> Baselines:
        """Return the same with one more result."""
        results = (*self.results, result)
        measured = [row for row in Row if any(kept.row is row for kept in results)]
        lines = tuple(Line.of(row, results) for row in measured)
        return self.model_copy(update={"results": results, "table": lines})

    def write(self, path: Path) -> None:
        """Replace the file at `path`, durably.

        Raises:
            ConfigError: the disk is full or refuses; the old file stands.
        """
        content = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(path, f"{text}\n".encode(), mode=0o644)


def configuration_digest(config: RunConfig, split: Split) -> str:
    """Return in hexadecimal what two measurements have to agree in to stand in one table."""
    mechanism = config.mechanism.model_dump(mode="json")
    del mechanism["seed"]
    return digest_json(
        {"schema": "secure-fl.baselines-configuration.v1", "mechanism": mechanism, "split": split}
    ).hex()


def open_results(path: Path, begun: Baselines) -> Baselines:
    """Return what `path` holds for the same configuration; `begun` where there is no such file.

    Raises:
        ConfigError: it holds another configuration's results, or something else.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return begun
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read, {error.strerror}: nothing was measured. Name another --out."
        ) from None
    try:
        kept = Baselines.model_validate_json(data)
    except ValidationError as error:
        raise ConfigError(explain(error, str(path), Baselines)) from None
    if kept.configuration != begun.configuration:
        raise ConfigError(
            f"{path} holds results of another configuration, or of another split: they cannot "
            "stand in one table, and nothing was measured. Name another --out."
        )
    return begun.model_copy(update={"results": kept.results, "table": kept.table})


def write_table(
    begun: Baselines, lines: Sequence[Line], kind: TaskKind, stream: TextIO, *, as_json: bool
) -> None:
    """Write the lines that were asked for, for a person or as one JSON object.

    Args:
        begun: what was measured.
        lines: of the rows and seeds that were asked for.
        kind: the form of the records, which says what scores a person is shown.
        stream: written to.
        as_json: whether a machine reads it.
    """
    if as_json:
        content = {
            "schema": "secure-fl.baselines-table.v1",
            "name": begun.name,
            "configuration": begun.configuration,
            "split": begun.split,
            "notes": list(begun.notes),
            "table": [line.model_dump(mode="json") for line in lines],
        }
        stream.write(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
        return
    console = Console(file=stream, highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    console.print(_table(begun, lines, kind))
    for line in lines:
        if line.error is not None:
            console.print(Text(f"{line.row.value}: {line.error}"), soft_wrap=True)
    for note in begun.notes:
        console.print(Text(note), soft_wrap=True)


def _table(begun: Baselines, lines: Sequence[Line], kind: TaskKind) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), title_style="")
    table.title = Text(f"{begun.name}, {begun.split} records; mean and sample sd over seeds")
    table.title_justify = "left"
    table.add_column("row")
    # Whether there are two classes is known by what was measured: records of one's own have any.
    areas = kind is TaskKind.CLASSIFICATION and any(line.auc is not None for line in lines)
    scores = (*_SCORES[kind], "AUC") if areas else _SCORES[kind]
    for name in (*scores, "epsilon", "n", "seeds", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(
            line.row.value,
            *_cells(line, kind),
            *((_with_spread(line.auc, line.auc_sd),) if areas else ()),
            "-" if line.epsilon is None else f"{line.epsilon:.3f} at {line.delta:g}",
            "-" if line.n is None else str(line.n),
            " ".join(str(seed) for seed in line.seeds) or "-",
            "-" if line.seconds is None else f"{line.seconds:.1f}",
        )
    return table


def _cells(line: Line, kind: TaskKind) -> tuple[str, ...]:
    """Return the scores of `_SCORES`, in its order."""
    if kind is TaskKind.RANKING:
        return _ranked_cells(line)
    accuracy = _with_spread(line.accuracy, line.accuracy_sd)
    if kind is TaskKind.MULTIPLE_CHOICE:
        return (accuracy,)
    return (
        accuracy,
        _with_spread(line.macro_f1, line.macro_f1_sd),
        _with_spread(line.weighted_f1, line.weighted_f1_sd),
    )


def _ranked_cells(line: Line) -> tuple[str, ...]:
    if line.ranking is None:
        return ("-",) * len(_SCORES[TaskKind.RANKING])
    return (
        _with_spread(line.ranking.hit_rate_10, line.hit_rate_10_sd),
        _with_spread(line.ranking.ndcg_10, None),
        _with_spread(line.ranking.auc, None),
    )


def _with_spread(value: float | None, spread: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if spread is None else f"{value:.4f} ± {spread:.4f}"


def _spread(values: Sequence[float | None]) -> float | None:
    each = [value for value in values if value is not None]
    return stdev(each) if len(each) == len(values) > 1 else None
