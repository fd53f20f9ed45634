"""The meters that a run reads after every round: how many directions its opened sum shows.

A round moves the shared low-rank factors, and everybody who sees the parameters before and after
sees by how much. While a sum holds fewer token inputs than the rank, the span of that change is
theirs (`audits.inversion`): a sum that does not fill the rank is a warning. Everything here is
computed from what was opened, and costs no privacy.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from audits.inversion.meters import stable_rank
from audits.inversion.row_space import visible_subspace
from privacy.update import Update
from secure_fl.config import SharedNoisePrivacy
from secure_fl.methods.method import is_factor
from secure_fl.rounds.grids import grid_of
from secure_fl.runfolder import LayerRank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from privacy.update import UpdateSpec
    from secure_fl.config import Mechanism

_FLOAT32: Final = float(np.finfo(np.float32).eps)


def opened_ranks(
    mechanism: Mechanism,
    spec: UpdateSpec,
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    survivors: int,
) -> tuple[LayerRank, ...]:
    """Return the ranks of every low-rank factor that a round moved, in the order of the spec.

    A singular value counts where it is above what rounding brings about: that of the parameters,
    which are float32, and where noise is a site's own that of the sum's grid, whose mean over
    `survivors` sites has a deviation of at most step / (2 sqrt(survivors)) by random rounding. That
    the server's rule may make a change larger or smaller than the mean is not taken into account.

    Args:
        mechanism: of the run.
        spec: of its parameters.
        before: shared parameters before the round, shape (d,).
        after: likewise after it.
        survivors: how many sites are in the sum.
    """
    names = [t.name for t in spec.parameters if is_factor(t.name, "A") or is_factor(t.name, "B")]
    if not names:
        return ()
    old = Update.from_flat(spec, before).parameters
    new = Update.from_flat(spec, after).parameters
    grid = 0.0
    if not isinstance(mechanism.privacy, SharedNoisePrivacy):
        grid = grid_of(mechanism).step / (2 * math.sqrt(survivors))
    found = []
    for name in names:
        change = new[name].astype(np.float64) - old[name].astype(np.float64)
        if change.any():
            rounding = max(grid, _FLOAT32 * float(np.abs(new[name]).max()))
            found.append(_rank(name, change, rounding))
    return tuple(found)


def _rank(name: str, change: NDArray[np.float64], rounding: float) -> LayerRank:
    subspace = visible_subspace(change, noise_deviation=rounding)
    return LayerRank(
        factor=name.removeprefix("base_model.model."),
        rank=int(subspace.singular_values.size),
        columns=subspace.ambient,
        numerical_rank=subspace.dimension,
        stable_rank=round(stable_rank(subspace.singular_values), 4),
    )
