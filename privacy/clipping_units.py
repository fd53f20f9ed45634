"""Units of privacy that own several rows: a patient's records are summed and clipped as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from crypto.errors import ConfigError
from privacy.example_rows import DenseRows, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping


@final
class OpenUnits:
    """The rows of units that may still get more, by owner.

    An owner's row stays open until `most_open` others came after it, or all are closed. It is
    closed for good then: one that came again would be clipped twice, and count twice.

    Memory: `most_open` times the trainable parameters between two calls.

    Args:
        most_open: how many rows are held between two calls, at least one.

    Raises:
        ConfigError: `most_open` is less than one.
    """

    def __init__(self, most_open: int) -> None:
        if most_open < 1:
            raise ConfigError(
                f"With {most_open} open units none could go on in a second micro-batch: hold one "
                "at least."
            )
        self._most_open = most_open
        self._owners: list[int] = []  # of the open rows; the one that came last is the last
        self._rows: dict[str, Tensor] = {}  # (owners, *shape) by parameter
        self._closed: set[int] = set()

    def __len__(self) -> int:
        return len(self._owners)

    def owners_of(self, owners: Tensor, losses: Tensor) -> list[int]:
        """Return the owner of each of `losses` (B,), if all of them may get a row.

        Raises:
            ConfigError: `owners` is not one integer per loss, or one of them is closed.
        """
        if owners.shape != losses.shape or owners.is_floating_point() or owners.is_complex():
            raise ConfigError(
                f"Owners of shape {tuple(owners.shape)} and type {owners.dtype} do not say to whom "
                f"each of {len(losses)} losses belongs: give one integer for each."
            )
        found: list[int] = owners.tolist()
        late = self._closed.intersection(found)
        if late:
            raise ConfigError(
                f"{len(late)} units got a row after theirs were clipped and added, so that they "
                "would count twice: keep the rows of a unit together within a step, or hold more "
                "of them open (`open_units`)."
            )
        return found

    def add(
        self, rows: Mapping[str, Rows], owners: list[int], usable: list[bool]
    ) -> dict[str, Rows]:
        """Add the rows of `owners`; return those of the units that are closed by it, (U, *shape).

        Args:
            rows: by parameter, for each of B examples.
            owners: whose they are, B.
            usable: which rows are not taken as zero, B.
        """
        recent = list(dict.fromkeys(reversed(owners)))[::-1]  # by their last row
        held = [owner for owner in self._owners if owner not in set(recent)] + recent
        place = {owner: n for n, owner in enumerate(held)}
        places = [place[owner] if fine else -1 for owner, fine in zip(owners, usable, strict=True)]
        moved = [place[owner] for owner in self._owners]
        summed = {}
        for name, own in rows.items():
            where = torch.tensor(places, device=own.device, dtype=torch.int64)
            summed[name] = own.grouped(where, len(held))
        for name, old in self._rows.items():
            if name not in summed:
                summed[name] = old.new_zeros((len(held), *old.shape[1:]))
            where = torch.tensor(moved, device=old.device, dtype=torch.int64)
            summed[name].index_add_(0, where, old)
        self._owners, self._rows = held, summed
        return self._close(max(len(held) - self._most_open, 0))

    def close(self) -> dict[str, Rows]:
        """Close all units; return their rows, (U, *shape) by parameter. Forget who was closed."""
        rows = self._close(len(self._owners))
        self._closed.clear()
        return rows

    def _close(self, count: int) -> dict[str, Rows]:
        """Close the `count` units that are open for longest; return their rows."""
        if not count:
            return {}
        self._closed.update(self._owners[:count])
        closed: dict[str, Rows] = {n: DenseRows(row[:count]) for n, row in self._rows.items()}
        self._owners = self._owners[count:]
        self._rows = {n: row[count:].clone() for n, row in self._rows.items()}  # frees the rest
        return closed
