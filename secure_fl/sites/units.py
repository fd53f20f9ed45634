"""Whose each record is: the rows that are sampled together and clipped as one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

from crypto.errors import ConfigError
from privacy.events import Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from domains.records import Record


@dataclass(frozen=True, eq=False)
class UnitRows:
    """The units of privacy of one site, numbered from 0; shows none of them.

    Attributes:
        owners: the unit of each record, int64, shape (records,).
        rows: each unit's records, in the order of the units.
    """

    owners: NDArray[np.int64] = field(repr=False)
    rows: tuple[NDArray[np.int64], ...] = field(repr=False)

    @classmethod
    def of(cls, records: Sequence[Record], unit: Unit, column: str | None) -> Self:
        """Return whose each of `records` is.

        Args:
            records: a site's own, in the order in which they are encoded.
            unit: of the run's guarantee.
            column: which of a record's columns says whose it is; needed for every unit but a
                record, and for a whole site without a meaning.

        Raises:
            ConfigError: no column is named where one is needed, or a record has none of that name:
                it would be sampled as somebody of its own, and the guarantee would be false.
        """
        if unit in {Unit.RECORD, Unit.SITE}:
            numbers = np.arange(len(records), dtype=np.int64)
            return cls(numbers, tuple(numbers.reshape(-1, 1)))
        if column is None:
            raise ConfigError(
                f"The run hides each {unit.value}, and nothing says whose a record is: nothing was "
                "trained. The compliance officer names the column in `unit_column` of the data "
                "set's entry in the site's policy."
            )
        known: dict[str, int] = {}
        owners = np.empty(len(records), np.int64)
        for row, record in enumerate(records):
            owner = record.columns.get(column, "")
            if not owner:
                raise ConfigError(
                    f"Record {record.id!r} says nothing in the column `{column}`, which names its "
                    f"{unit.value}: nothing was trained. Fill it in, or remove the record."
                )
            owners[row] = known.setdefault(owner, len(known))
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(1, len(known)))
        return cls(owners, tuple(np.split(order.astype(np.int64), bounds)))

    def __len__(self) -> int:
        """How many units there are."""
        return len(self.rows)

    @property
    def are_records(self) -> bool:
        """Whether each record is a unit of its own."""
        return len(self.rows) == self.owners.size

    def rows_of(self, units: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the records of all `units`, shape (b,)."""
        if not units.size:
            return np.empty(0, np.int64)
        return np.concatenate([self.rows[int(unit)] for unit in units])

    def owners_of(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whose each of the records `rows` is, shape (b,)."""
        return self.owners[rows]
