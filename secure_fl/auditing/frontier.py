"""Reads what `secure-fl baselines` measured, for an audit's report to stand it beside the run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from audits.frontier import MOST_POINTS, FrontierPoint
from crypto.digests import sha256
from crypto.errors import ConfigError
from secure_fl.baselines.table import Baselines, Line
from secure_fl.config import explain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from audits.facts import ReportFacts


def read_frontier(paths: Sequence[Path], facts: ReportFacts) -> tuple[FrontierPoint, ...]:
    """Return what the files at `paths` hold: a point for each of their rows.

    Means are made anew from the files' results, and not read from their tables.

    Raises:
        ConfigError: a file cannot be read, is none of `secure-fl baselines`, was measured on a
            validation part, or on another number of evaluation records than the run's: accuracies
            of different records say nothing beside each other. Or there are too many points.
    """
    points = tuple(point for path in paths for point in _points(path, facts))
    if len(points) > MOST_POINTS:
        raise ConfigError(
            f"The files hold {len(points)} points, and nobody reads more than {MOST_POINTS}: "
            "nothing was audited. Give fewer --frontier files."
        )
    return points


def _points(path: Path, facts: ReportFacts) -> Iterator[FrontierPoint]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read, {error.strerror}: nothing was audited. Name a file that "
            "`secure-fl baselines --out` wrote."
        ) from None
    try:
        study = Baselines.model_validate_json(data)
    except ValidationError as error:
        raise ConfigError(explain(error, str(path), Baselines)) from None
    _check(path, study, facts)
    for row in dict.fromkeys(result.row for result in study.results):
        line = Line.of(row, study.results)
        if line.n is None or line.accuracy is None:
            continue
        yield FrontierPoint(
            study=study.name,
            row=row.value,
            epsilon=line.epsilon,
            delta=line.delta if line.epsilon is not None else None,
            mean=line.accuracy,
            spread=line.accuracy_sd,
            seeds=len(line.seeds),
            records=line.n,
            source=sha256(data).hex(),
        )


def _check(path: Path, study: Baselines, facts: ReportFacts) -> None:
    if study.split != "evaluation":
        raise ConfigError(
            f"{path} was measured on a validation part of training records, and the run on "
            "evaluation records: nothing was audited. Measure without --validation."
        )
    records = facts.data.evaluation_records
    other = next((result.n for result in study.results if result.n != records), None)
    if other is not None:
        raise ConfigError(
            f"{path} was measured on {other} evaluation records, and the run on {records}: their "
            "accuracies say nothing beside each other, and nothing was audited. Give a study of "
            "the run's own task."
        )
