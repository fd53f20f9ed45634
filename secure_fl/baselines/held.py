"""The records that all rows are measured on, and who holds what of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from crypto.errors import ConfigError
from domains.overlap import separate
from domains.records import Dataset

if TYPE_CHECKING:
    from domains.partition import Shares
    from domains.records import Record

_HELD_OUT: Final = 5
"""One unit of this many is held out for validation."""
_HELD_OUT_NOTE: Final = (
    "Evaluation set: a fifth of the training {units}, drawn by seed {seed}, to choose settings "
    "with; not comparable with published scores."
)


@dataclass(frozen=True)
class Held:
    """A data set, and who holds what of its training records where they say it themselves.

    Attributes:
        dataset: all training records and the evaluation set.
        shares: one per site in order, where every site has a file of its own; None where the
            run's rule shares the training records out.
    """

    dataset: Dataset
    shares: Shares | None = field(default=None, repr=False)

    def validation(self, seed: int, unit: str | None) -> Held:
        """Return the training records alone, a fifth of them as the evaluation set.

        Raises:
            ConfigError: there are too few for a fifth, or a site is left with none.
        """
        part = held_out(self.dataset, seed, unit)
        if self.shares is None:
            return Held(part)
        kept = {record.id for record in part.train}
        shares = tuple(
            tuple(record for record in share if record.id in kept) for share in self.shares
        )
        empty = [f"site-{number}" for number, share in enumerate(shares, 1) if not share]
        if empty:
            raise ConfigError(
                f"With a fifth held out by seed {seed}, {', '.join(empty)} would have no record to "
                "train on: nothing can be compared. Give it more records, or leave --validation "
                "out."
            )
        return Held(part, shares)


def held_out(dataset: Dataset, seed: int, unit: str | None = None) -> Dataset:
    """Return the training records of `dataset`; a fifth, drawn by `seed`, is the evaluation set.

    Training records with the words of one in that fifth are dropped. The evaluation records of
    `dataset` are in neither part.

    Args:
        dataset: its training records are divided.
        seed: what is drawn by.
        unit: the column whose equal values stay on one side; None where each record stands for
            itself.

    Raises:
        ConfigError: the records are too few for a fifth.
    """
    units = _units(dataset.train, unit)
    order = np.random.default_rng(seed).permutation(len(units))
    count = len(units) // _HELD_OUT
    evaluation = tuple(record for index in order[:count] for record in units[int(index)])
    rest = tuple(record for index in order[count:] for record in units[int(index)])
    parts = separate(rest, evaluation, drop_overlap=True)
    note = _HELD_OUT_NOTE.format(units="records" if unit is None else "units", seed=seed)
    return Dataset.of(
        name=dataset.name,
        labels=dataset.labels,
        train=parts.train,
        evaluation=evaluation,
        licence=dataset.licence,
        notes=(note, *parts.notes),
    )


def _units(records: tuple[Record, ...], unit: str | None) -> list[list[Record]]:
    if unit is None:
        return [[record] for record in records]
    units: dict[str, list[Record]] = {}
    for record in records:
        units.setdefault(record.columns[unit], []).append(record)
    return list(units.values())
